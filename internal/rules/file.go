package rules

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"pinfold/internal/fact"
)

// MaxFile is the size of the largest rules file, in bytes: 33 sports take 4 KB.
const MaxFile = 1 << 20

// Parse reads rules from the JSON of a rules file; the embedded tokyo2020.json is an example. Its keys:
//
//	name                    of the Games, for people
//	sports                  list of {id, english, japanese, french}, in the order in which backgrounds are unlocked;
//	                        without a Japanese or French name, the English one stands for it
//	friends_per_background  friends for each background
//	starter_backgrounds     backgrounds that a wearer starts with
//	medals                  {bronze, silver, gold}: friends, at least, for each
//	time_zone               IANA name, such as "Asia/Tokyo"
//	step_goal               steps in a local day
//	pending_for             how long a half waits for its mate, as a Go duration, such as "336h"
//	opens, closes           RFC 3339, to the millisecond; without them taps and steps are always taken
//	upload_grace            how long after closing taps and step reports are still taken, as a Go duration, such as "168h"
//
// All but opens, closes and those names must be given, none twice, and no others. The error names the field, its value and the rule.
// What Parse returns passes Check.
func Parse(document []byte) (fact.Rules, error) {
	r, problems := parse(document)
	if len(problems) > 0 {
		return fact.Rules{}, problems[0]
	}
	return r, nil
}

// Problems returns all that is wrong with a rules file, and nothing if Parse takes it: first what cannot be read, and where
// all can be, what breaks a rule.
func Problems(document []byte) []error {
	_, problems := parse(document)
	return problems
}

func parse(document []byte) (r fact.Rules, problems []error) {
	if len(document) > MaxFile {
		return r, []error{fmt.Errorf("rules: %d bytes: must be at most %d", len(document), MaxFile)}
	}
	if err := checkSyntax(document); err != nil {
		return r, []error{err}
	}
	if problems = each(readObject("", document, fieldsOf(&r))); len(problems) > 0 {
		return r, problems
	}
	return r, each(checkAll(r))
}

// each returns the errors that were joined into one, in their order.
func each(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}

// ZoneName returns the time zone that a rules file names; rules themselves have a table of its offsets.
func ZoneName(document []byte) string {
	var named struct {
		Zone string `json:"time_zone"`
	}
	_ = json.Unmarshal(document, &named) // it was parsed before
	return named.Zone
}

func checkSyntax(document []byte) error {
	// The JSON decoder would replace what is not UTF-8 without a word.
	if !utf8.Valid(document) {
		return errors.New("rules: must be UTF-8")
	}
	err := json.Unmarshal(document, new(json.RawMessage))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(document[:min(int(syntax.Offset), len(document))], []byte("\n"))
		return fmt.Errorf("rules: line %d: must be JSON: %w", line, err)
	}
	return err
}

// field is a key of an object in a rules file and what reads its value. Package json alone would take keys in any case,
// keys twice, and null for anything.
type field struct {
	key      string
	optional bool
	read     reader
}

// reader reads the JSON value at the path.
type reader func(path string, value json.RawMessage) error

func fieldsOf(r *fact.Rules) []field {
	return []field{
		{key: "name", read: text(&r.Name)},
		{key: "sports", read: sports(&r.Sports)},
		{key: "friends_per_background", read: number(&r.FriendsPerBackground)},
		{key: "starter_backgrounds", read: number(&r.StarterBackgrounds)},
		{key: "medals", read: object([]field{
			{key: "bronze", read: number(&r.Medals.Bronze)},
			{key: "silver", read: number(&r.Medals.Silver)},
			{key: "gold", read: number(&r.Medals.Gold)},
		})},
		{key: "time_zone", read: zone(&r.Zone)},
		{key: "step_goal", read: number(&r.StepGoal)},
		{key: "pending_for", read: duration(&r.PendingFor)},
		{key: "opens", optional: true, read: moment(&r.Opens)},
		{key: "closes", optional: true, read: moment(&r.Closes)},
		{key: "upload_grace", read: duration(&r.UploadGrace)},
	}
}

// readObject reads the object at the path, which must hold the fields, and nothing else. The value must be valid JSON.
func readObject(path string, value []byte, fields []field) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return broken(path, value, "must be an object")
	}
	var problems error
	seen := map[string]bool{}
	for decoder.More() {
		key, err := readField(decoder, path, fields)
		if seen[key] && err == nil {
			err = fmt.Errorf("%.80s: must be given once", join(path, key))
		}
		seen[key] = true
		problems = errors.Join(problems, err)
	}
	for _, f := range fields {
		if !f.optional && !seen[f.key] {
			problems = errors.Join(problems, fmt.Errorf("%s: must be given", join(path, f.key)))
		}
	}
	return problems
}

// readField reads the next key and its value, and returns the key.
func readField(decoder *json.Decoder, path string, fields []field) (string, error) {
	token, err := decoder.Token()
	if err != nil {
		return "", err
	}
	key := token.(string)
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	for _, f := range fields {
		if f.key == key {
			return key, f.read(join(path, key), value)
		}
	}
	return key, fmt.Errorf("%.80q: unknown key", join(path, key))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// broken is the error for a value that breaks the rule.
func broken(path string, value json.RawMessage, rule string) error {
	if path == "" {
		path = "rules"
	}
	return fmt.Errorf("%s %.80s: %s", path, bytes.TrimSpace(value), rule)
}

func object(fields []field) reader {
	return func(path string, value json.RawMessage) error { return readObject(path, value, fields) }
}

func text(into *string) reader {
	return func(path string, value json.RawMessage) error {
		if value[0] != '"' {
			return broken(path, value, "must be a string")
		}
		return json.Unmarshal(value, into)
	}
}

func number(into *uint32) reader {
	return func(path string, value json.RawMessage) error {
		if value[0] == 'n' || json.Unmarshal(value, into) != nil {
			return broken(path, value, "must be a whole number from 0 to 4294967295")
		}
		return nil
	}
}

func duration(into *time.Duration) reader {
	return func(path string, value json.RawMessage) error {
		var s string
		if err := text(&s)(path, value); err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return broken(path, value, `must be a duration such as "336h"`)
		}
		*into = d
		return nil
	}
}

func moment(into *fact.UnixMilli) reader {
	return func(path string, value json.RawMessage) error {
		var s string
		if err := text(&s)(path, value); err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return broken(path, value, `must be RFC 3339 such as "2021-07-23T20:00:00+09:00"`)
		}
		if t.Nanosecond()%int(time.Millisecond) != 0 {
			return broken(path, value, "must be a whole number of milliseconds")
		}
		if t.UnixMilli() <= 0 {
			return broken(path, value, "must be after the start of 1970") // which would read as "always"
		}
		*into = fact.UnixMilli(t.UnixMilli())
		return nil
	}
}

func zone(into *[]fact.ZoneOffset) reader {
	return func(path string, value json.RawMessage) error {
		var name string
		if err := text(&name)(path, value); err != nil {
			return err
		}
		table, err := zoneNamed(name)
		if err != nil {
			return fmt.Errorf("%s %w", path, err)
		}
		*into = table
		return nil
	}
}

func sports(into *[]fact.Sport) reader {
	return func(path string, value json.RawMessage) error {
		var items []json.RawMessage
		if value[0] != '[' {
			return broken(path, value, "must be a list")
		}
		if err := json.Unmarshal(value, &items); err != nil {
			return err
		}
		list := make([]fact.Sport, len(items))
		var problems error
		for i, item := range items {
			sport := &list[i]
			problems = errors.Join(problems, readObject(fmt.Sprintf("%s[%d]", path, i), item, sportFields(sport)))
			sport.Japanese, sport.French = cmp.Or(sport.Japanese, sport.English), cmp.Or(sport.French, sport.English)
		}
		*into = list
		return problems
	}
}

func sportFields(s *fact.Sport) []field {
	return []field{
		{key: "id", read: text(&s.ID)},
		{key: "english", read: text(&s.English)},
		{key: "japanese", optional: true, read: text(&s.Japanese)},
		{key: "french", optional: true, read: text(&s.French)},
	}
}
