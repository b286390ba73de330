package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// ChangeRules returns the rules with some fields changed. A setting is KEY=VALUE, where the key is that of a rules file,
// with a dot between an object and a key within it, and the value is as a rules file has it; quotes around a text may be
// left out. An empty value of opens or closes is "always". The time zone cannot be set. The error names the setting, or
// the field, its value and the rule of package rules.
func ChangeRules(r fact.Rules, settings []string) (fact.Rules, error) {
	file := rulesFile(r)
	for _, s := range settings {
		if err := set(file, s); err != nil {
			return fact.Rules{}, err
		}
	}
	document, err := json.Marshal(file)
	if err != nil {
		return fact.Rules{}, err
	}
	changed, err := rules.Parse(document)
	if err != nil {
		return fact.Rules{}, err
	}
	changed.Zone = r.Zone
	return changed, nil
}

// rulesFile returns the rules as the keys and values of a rules file. In place of the zone, which the log holds as a
// table without a name, stands any.
func rulesFile(r fact.Rules) map[string]any {
	sports := make([]any, len(r.Sports))
	for i, s := range r.Sports {
		sports[i] = map[string]any{"id": s.ID, "english": s.English, "japanese": s.Japanese, "french": s.French}
	}
	file := map[string]any{
		"name":                   r.Name,
		"sports":                 sports,
		"friends_per_background": r.FriendsPerBackground,
		"starter_backgrounds":    r.StarterBackgrounds,
		"medals":                 map[string]any{"bronze": r.Medals.Bronze, "silver": r.Medals.Silver, "gold": r.Medals.Gold},
		zoneKey:                  "UTC",
		"step_goal":              r.StepGoal,
		"pending_for":            r.PendingFor.String(),
		"upload_grace":           r.UploadGrace.String(),
	}
	if r.Opens != 0 {
		file["opens"] = r.Opens.String()
	}
	if r.Closes != 0 {
		file["closes"] = r.Closes.String()
	}
	return file
}

// differing says what other rules have where they are not the published ones, with the keys and values of a rules file.
func differing(published, other fact.Rules) string {
	before, after := rulesFile(published), rulesFile(other)
	var differ []string
	for key := range after {
		if !reflect.DeepEqual(before[key], after[key]) {
			value, _ := json.Marshal(after[key]) // texts and numbers
			differ = append(differ, key+" "+string(value))
		}
		delete(before, key)
	}
	for key := range before {
		differ = append(differ, "no "+key)
	}
	if from, another := rules.ZonesDifferFrom(published.Zone, other.Zone); another {
		differ = append(differ, fmt.Sprintf("another %s from %v on", zoneKey, from))
	}
	slices.Sort(differ)
	return strings.Join(differ, ", ")
}

// zoneKey is the key of the time zone in a rules file.
const zoneKey = "time_zone"

// errZone says why the zone cannot be changed.
var errZone = errors.New(zoneKey + ": must stay that of the log, whose steps are counted by its days")

// set changes one value of a rules file. What the key and the value must be is for the reader of the file to say.
func set(file map[string]any, setting string) error {
	path, value, ok := strings.Cut(setting, "=")
	if !ok {
		return fmt.Errorf("setting %.80q: must be KEY=VALUE", setting)
	}
	if path == zoneKey {
		return errZone
	}
	keys := strings.Split(path, ".")
	in, key := file, keys[len(keys)-1]
	for _, k := range keys[:len(keys)-1] {
		inner, isObject := in[k].(map[string]any)
		if !isObject {
			return fmt.Errorf("%.80q: unknown key", path)
		}
		in = inner
	}
	if (path == "opens" || path == "closes") && value == "" {
		delete(file, path)
		return nil
	}
	old, known := in[key]
	if !known && path != "opens" && path != "closes" {
		return fmt.Errorf("%.80q: unknown key", path)
	}
	if _, number := old.(uint32); number {
		if _, err := strconv.ParseUint(value, 10, 32); err != nil {
			return fmt.Errorf("%s %.80q: must be a whole number from 0 to %d", path, value, uint32(math.MaxUint32))
		}
	}
	in[key] = valueOf(old, value)
	return nil
}

// CheckSettings returns the error of what can be no setting of ChangeRules, whatever the rules are.
func CheckSettings(settings []string) error {
	for _, s := range settings {
		if err := set(rulesFile(rules.Tokyo2020()), s); err != nil {
			return err
		}
	}
	return nil
}

// valueOf reads a value as JSON, but where a text is to stand, or it is no JSON, as that text.
func valueOf(old any, value string) any {
	_, text := old.(string)
	if quoted := strings.HasPrefix(value, `"`); json.Valid([]byte(value)) && (quoted || !text) {
		return json.RawMessage(value)
	}
	return value
}

// otherRules returns the rules that stand in the place of adopted ones. Steps are added up by days as they come, so the
// zone must be the same; a table that differs in what is to come, differs from the instant that is returned, and that of
// the log stands in its place.
func otherRules(adopted fact.Rules, change func(fact.Rules) (fact.Rules, error)) (other fact.Rules, from fact.UnixMilli, differ bool, err error) {
	if other, err = change(adopted); err != nil {
		return fact.Rules{}, 0, false, err
	}
	if err := rules.Check(other); err != nil {
		return fact.Rules{}, 0, false, err
	}
	from, differ = rules.ZonesDifferFrom(adopted.Zone, other.Zone)
	other.Zone = adopted.Zone
	return other, from, differ, nil
}
