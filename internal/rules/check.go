package rules

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pinfold/internal/fact"
)

// The bounds of rules. Where the design gives no number, the reason for one stands with it.
const (
	maxSports   = 120       // two wearers' sports and medals, all due to one fact, fit the 256 facts of a step (docs/design.md section 7)
	maxIDLength = 32        // as for the id of the Games, docs/design.md section 9
	maxName     = 64        // bytes; RulesAdopted is one message of the log
	maxFriends  = 1_000_000 // far above any crowd, and times maxSports still 32 bits
	maxStepGoal = 1_000_000
	maxZone     = 512 // twice what the liveliest zone has from 2000 to 2100
	minQuarters = -48 // UTC-12:00
	maxQuarters = 56  // UTC+14:00

	minPending = time.Minute
	maxPending = 366 * 24 * time.Hour
	maxGrace   = 366 * 24 * time.Hour
)

// endOfTime is 2100-01-01, where the time zone tables of this package end.
const endOfTime = fact.UnixMilli(tableTo * 1000)

// Check returns nil if r are rules that every fold can live by, and otherwise an error that names the field as a rules
// file does, its value, and the rule that it breaks. Where several are broken it tells of the first.
func Check(r fact.Rules) error {
	if problems := each(checkAll(r)); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// checkAll returns all errors that Check could, joined.
func checkAll(r fact.Rules) (all error) {
	for _, check := range []func(fact.Rules) error{checkNames, checkBackgrounds, checkMedals, checkSteps, checkPending, checkWindow} {
		all = errors.Join(all, check(r))
	}
	return errors.Join(all, checkZone(r.Zone))
}

func checkNames(r fact.Rules) error {
	all := checkText("name", r.Name)
	if len(r.Sports) == 0 || len(r.Sports) > maxSports {
		return errors.Join(all, fmt.Errorf("sports: %d of them: must be 1 to %d", len(r.Sports), maxSports))
	}
	seen := make(map[string]bool, len(r.Sports))
	for i, sport := range r.Sports {
		err := checkSport(fmt.Sprintf("sports[%d]", i), sport)
		if seen[sport.ID] && err == nil {
			err = fmt.Errorf("sports[%d].id %.80q: must be unique", i, sport.ID)
		}
		seen[sport.ID] = true
		all = errors.Join(all, err)
	}
	return all
}

func checkSport(path string, s fact.Sport) error {
	if !isID(s.ID) {
		return fmt.Errorf("%s.id %.80q: must be 1 to %d of a-z, 0-9 and -", path, s.ID, maxIDLength)
	}
	if err := checkText(path+".english", s.English); err != nil {
		return err
	}
	if err := checkText(path+".japanese", s.Japanese); err != nil {
		return err
	}
	return checkText(path+".french", s.French)
}

func isID(id string) bool {
	strange := strings.IndexFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
	return id != "" && len(id) <= maxIDLength && strange < 0
}

// checkText checks a name for people, which ends up on displays and terminals.
func checkText(path, text string) error {
	if text == "" {
		return fmt.Errorf("%s %.80q: must not be empty", path, text)
	}
	if len(text) > maxName {
		return fmt.Errorf("%s %.80q: has %d bytes: must be at most %d", path, text, len(text), maxName)
	}
	// Found too where JSON escapes half a character, as in "\ud800".
	if strings.ContainsRune(text, utf8.RuneError) {
		return fmt.Errorf("%s %.80q: must be UTF-8 without replacement characters", path, text)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s %.80q: must not hold control characters", path, text)
	}
	return nil
}

func checkBackgrounds(r fact.Rules) error {
	if r.FriendsPerBackground < 1 || r.FriendsPerBackground > maxFriends {
		return fmt.Errorf("friends_per_background %d: must be 1 to %d", r.FriendsPerBackground, maxFriends)
	}
	if uint64(r.StarterBackgrounds) > uint64(len(r.Sports)) {
		return fmt.Errorf("starter_backgrounds %d: must be at most the number of sports, %d", r.StarterBackgrounds, len(r.Sports))
	}
	return nil
}

func checkMedals(r fact.Rules) (all error) {
	m := r.Medals
	if m.Bronze < 1 {
		all = fmt.Errorf("medals.bronze %d: must be at least 1", m.Bronze)
	}
	if m.Silver <= m.Bronze {
		all = errors.Join(all, fmt.Errorf("medals.silver %d: must be more than medals.bronze, %d", m.Silver, m.Bronze))
	}
	if m.Gold <= m.Silver {
		all = errors.Join(all, fmt.Errorf("medals.gold %d: must be more than medals.silver, %d", m.Gold, m.Silver))
	}
	if m.Gold > maxFriends {
		all = errors.Join(all, fmt.Errorf("medals.gold %d: must be at most %d", m.Gold, maxFriends))
	}
	return all
}

func checkSteps(r fact.Rules) error {
	if r.StepGoal < 1 || r.StepGoal > maxStepGoal {
		return fmt.Errorf("step_goal %d: must be 1 to %d", r.StepGoal, maxStepGoal)
	}
	return nil
}

func checkPending(r fact.Rules) error {
	if r.PendingFor < minPending || r.PendingFor > maxPending {
		return fmt.Errorf("pending_for %v: must be %v to %v", r.PendingFor, minPending, maxPending)
	}
	return checkWholeMillis("pending_for", r.PendingFor)
}

func checkWindow(r fact.Rules) error {
	if err := checkInstant("opens", r.Opens); err != nil {
		return err
	}
	if err := checkInstant("closes", r.Closes); err != nil {
		return err
	}
	if r.Opens != 0 && r.Closes != 0 && r.Closes <= r.Opens {
		return fmt.Errorf("closes %v: must be after opens, %v", r.Closes, r.Opens)
	}
	if r.UploadGrace < 0 || r.UploadGrace > maxGrace {
		return fmt.Errorf("upload_grace %v: must be 0s to %v", r.UploadGrace, maxGrace)
	}
	return checkWholeMillis("upload_grace", r.UploadGrace)
}

func checkInstant(path string, t fact.UnixMilli) error {
	if t < 0 {
		return fmt.Errorf("%s %v: must not be before 1970", path, t)
	}
	if t >= endOfTime {
		return fmt.Errorf("%s %v: must be before 2100", path, t)
	}
	return nil
}

// checkWholeMillis keeps out what the log, which counts milliseconds, would lose.
func checkWholeMillis(path string, d time.Duration) error {
	if d%time.Millisecond != 0 {
		return fmt.Errorf("%s %v: must be a whole number of milliseconds", path, d)
	}
	return nil
}

// checkZone is about the table that a rules file has no words for: Parse makes it from time_zone.
func checkZone(zone []fact.ZoneOffset) error {
	if len(zone) == 0 || len(zone) > maxZone {
		return fmt.Errorf("zone: %d entries: must be 1 to %d", len(zone), maxZone)
	}
	for i, z := range zone {
		if i > 0 && z.From <= zone[i-1].From {
			return fmt.Errorf("zone[%d].from %d: must be after that of the entry before, %d", i, z.From, zone[i-1].From)
		}
		if z.Quarters < minQuarters || z.Quarters > maxQuarters {
			return fmt.Errorf("zone[%d].quarters %d: must be %d to %d", i, z.Quarters, minQuarters, maxQuarters)
		}
	}
	return nil
}
