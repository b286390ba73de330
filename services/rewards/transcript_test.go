package rewards

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands print into testdata/*.txt")

// TestTranscripts replays testdata/*.txt. A transcript is prose, in lines that start with #, and commands; what follows
// a line of dashes up to the next empty line is what the commands above it print. After a change of the rules above
// Core, run go test -rewrite and read the difference; commit it only if you can say why each line of it changed.
//
//	rules [per=5] [starter=0] [medals=50/100/151] [sports=a,b,c]    adopts the default rules with these changes
//	register PIN, pair PIN WEARER, retire PIN, erase WEARER
//	friends A B, end A B                                            form and end a friendship
//	friends A *45, end A *45                                        with so many of a crowd, one after the other
//	choose WEARER SPORT, revoke CAUSE/INDEX
//	awards WEARER, totals
//	leaderboard LIMIT [AFTER], rank WEARER, neighbours WEARER N
//
// Derived facts are printed as CAUSE/INDEX, what they give, and at how many friends; those about the crowd are counted.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s:\n%s\nrun go test -rewrite to see the difference in full", file, firstDifference(got, string(text)))
			}
		})
	}
}

// replay returns the transcript with what the commands print now.
func replay(t *testing.T, text string) string {
	p := &player{world: newWorld(t)}
	var now strings.Builder
	old := false // in the lines that were printed before
	for line := range strings.Lines(text) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case old && line != "":
			continue
		case line == "----":
			old = true
			line += "\n" + strings.TrimSuffix(p.out.String(), "\n")
			p.out.Reset()
		case line == "":
			old = false
		case line[0] != '#':
			p.play(line)
		}
		now.WriteString(line + "\n")
	}
	if p.out.Len() > 0 {
		t.Fatal("there is no line of dashes after the last commands")
	}
	return now.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got  %s\nline %d: want %s", i+1, g[i], i+1, w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// player carries out the commands of one transcript.
type player struct {
	world *world
	out   strings.Builder // what the commands since the last dashes have printed
	crowd int             // how many of the crowd are friends with somebody
}

func (p *player) play(line string) {
	words := strings.Fields(line)
	command, args := words[0], append(words[1:], "", "")
	a, b := args[0], args[1]
	switch command {
	case "rules":
		p.fold(fact.RulesAdopted{Rules: p.rules(words[1:])})
	case "register":
		p.fold(fact.PinRegistered{Key: pinKey(a)})
	case "pair":
		p.fold(paired(a, wearer(b)))
	case "retire":
		p.fold(fact.PinRetired{Pin: pinKey(a).PinID(), Reason: fact.RetiredLost})
	case "erase":
		p.fold(fact.WearerErased{Wearer: wearer(a)})
	case "friends":
		p.fold(p.meet(a, b)...)
	case "end":
		p.fold(p.part(a, b)...)
	case "choose":
		p.fold(fact.BackgroundChosen{Wearer: wearer(a), Background: b})
	case "revoke":
		cause, index, _ := strings.Cut(a, "/")
		p.fold(fact.AwardRevoked{Cause: fact.Seq(p.number(cause)), Index: uint32(p.number(index)), Reason: fact.RevokedFraud})
	default:
		p.world.read(func(r kv.Reader) { p.ask(r, command, a, b) })
	}
	p.world.check()
}

func (p *player) ask(r kv.Reader, command, a, b string) {
	switch command {
	case "awards":
		p.tellAwards(AwardsOf(r, wearer(a)))
	case "totals":
		p.printf("%s\n", strings.Trim(fmt.Sprintf("%+v", Totals(r)), "{}"))
	case "leaderboard":
		after, _ := Rank(r, wearer(b))
		p.tellPlaces(Leaderboard(r, after, p.number(a)))
	case "rank":
		own, ok := Rank(r, wearer(a))
		p.printf("%d, %d friends, %v\n", own.Rank, own.Score, ok)
	case "neighbours":
		p.tellPlaces(Neighbours(r, wearer(a), p.number(b)))
	default:
		p.world.tb.Fatalf("no such command: %s", command)
	}
}

func (p *player) printf(format string, args ...any) { fmt.Fprintf(&p.out, format, args...) }

func (p *player) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.world.tb.Fatalf("not a number: %v", err)
	}
	return n
}

// meet returns the friendships of a with b, or with so many strangers.
func (p *player) meet(a, b string) []fact.Fact {
	if !strings.HasPrefix(b, "*") {
		return []fact.Fact{formed(wearer(a), wearer(b))}
	}
	var facts []fact.Fact
	for range p.number(b[1:]) {
		p.crowd++
		facts = append(facts, formed(wearer(a), p.stranger()))
	}
	return facts
}

// part ends what meet formed, the last strangers first.
func (p *player) part(a, b string) []fact.Fact {
	if !strings.HasPrefix(b, "*") {
		return []fact.Fact{ended(wearer(a), wearer(b))}
	}
	var facts []fact.Fact
	for range p.number(b[1:]) {
		facts = append(facts, ended(wearer(a), p.stranger()))
		p.crowd--
	}
	return facts
}

func (p *player) stranger() fact.WearerID { return wearer(fmt.Sprintf("~%d", p.crowd)) }

// fold appends the facts and prints what is derived from them.
func (p *player) fold(facts ...fact.Fact) {
	var own, crowd int
	for _, f := range facts {
		cause, derived := p.world.fold(f)
		for i, d := range derived {
			about, text := tell(d)
			if strings.HasPrefix(about, "~") {
				crowd++
				continue
			}
			own++
			p.printf("%d/%d %s %s\n", cause, i, about, text)
		}
	}
	if crowd > 0 {
		p.printf("and %d facts about the crowd\n", crowd)
	}
	if own+crowd == 0 {
		p.printf("nothing\n")
	}
}

func tell(f fact.Fact) (about, text string) {
	switch f := f.(type) {
	case fact.BackgroundUnlocked:
		return nameOf(f.Wearer), fmt.Sprintf("background %s at %d", f.Background, f.Friends)
	case fact.MedalAwarded:
		return nameOf(f.Wearer), fmt.Sprintf("medal %v at %d", f.Medal, f.Friends)
	}
	return "", fmt.Sprintf("%#v", f)
}

func (p *player) tellAwards(a Awards) {
	p.printf("%d friends, medals:", a.Friends)
	for _, m := range a.Medals {
		p.printf(" %v %v/%d", m.Medal, m.Award.Cause, m.Award.Index)
	}
	p.printf("\nbackgrounds:")
	for _, b := range a.Backgrounds {
		p.printf(" %s %v/%d", b.Sport, b.Award.Cause, b.Award.Index)
		if b.Revoked {
			p.printf(" revoked")
		}
		if b.Sport == a.Chosen {
			p.printf(" chosen")
		}
	}
	p.printf("\nnext:")
	if a.NextBackground != "" {
		p.printf(" %s in %d", a.NextBackground, a.ToBackground)
	}
	if a.NextMedal != 0 {
		p.printf(" %v in %d", a.NextMedal, a.ToMedal)
	}
	p.printf("\n")
}

func (p *player) tellPlaces(places []Place) {
	for _, place := range places {
		p.printf("%d %s %d\n", place.Rank, nameOf(place.Wearer), place.Score)
	}
	if len(places) == 0 {
		p.printf("nobody\n")
	}
}

// rules returns the default rules with the settings.
func (p *player) rules(settings []string) fact.Rules {
	r := tokyo
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		switch name {
		case "per":
			r.FriendsPerBackground = uint32(p.number(value))
		case "starter":
			r.StarterBackgrounds = uint32(p.number(value))
		case "medals":
			n := strings.Split(value+"//", "/")
			r.Medals = fact.Thresholds{
				Bronze: uint32(p.number(n[0])), Silver: uint32(p.number(n[1])), Gold: uint32(p.number(n[2])),
			}
		case "sports":
			r = rulesWith(r.FriendsPerBackground, r.StarterBackgrounds, r.Medals, strings.Split(value, ",")...)
		default:
			p.world.tb.Fatalf("no such setting: %s", setting)
		}
	}
	if err := rules.Check(r); err != nil {
		p.world.tb.Fatalf("rules: %v", err)
	}
	return r
}
