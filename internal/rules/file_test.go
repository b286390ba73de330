package rules_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

const winterFile = "testdata/winter.json"

func winter(t testing.TB) string {
	t.Helper()
	document, err := os.ReadFile(winterFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func TestParse(t *testing.T) {
	got, err := rules.Parse([]byte(winter(t)))
	if err != nil {
		t.Fatal(err)
	}
	want := fact.Rules{
		Name: "Jeux d'hiver",
		Sports: []fact.Sport{
			{ID: "curling", English: "Curling", Japanese: "カーリング", French: "Curling"},
			{ID: "luge", English: "Luge", Japanese: "リュージュ", French: "Luge"},
			{ID: "ski-jumping", English: "Ski Jumping", Japanese: "スキージャンプ", French: "Saut à ski"},
		},
		FriendsPerBackground: 4,
		StarterBackgrounds:   1,
		Medals:               fact.Thresholds{Bronze: 10, Silver: 20, Gold: 30},
		Zone:                 got.Zone,
		StepGoal:             8000,
		PendingFor:           72*time.Hour + 30*time.Minute,
		Opens:                fact.UnixMilli(time.Date(2030, 2, 1, 11, 0, 0, 0, time.UTC).UnixMilli()),
		Closes:               fact.UnixMilli(time.Date(2030, 2, 17, 22, 59, 59, 999e6, time.UTC).UnixMilli()),
		UploadGrace:          24 * time.Hour,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse:\n got %+v\nwant %+v", got, want)
	}
	if got, want := len(got.Zone), 201; got != want { // winter time, and two changes in each of 100 years
		t.Errorf("zone of %d entries, want %d", got, want)
	}
}

// Each row replaces one piece of a good file.
func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           string
	}{
		{"unknown key", `"step_goal"`, `"step_gaol"`, `"step_gaol": unknown key`},
		{"key in capitals", `"step_goal"`, `"Step_Goal"`, `"Step_Goal": unknown key`},
		{"unknown key of a sport", `{"id": "luge",`, `{"id": "luge", "german": "Rodeln",`, `"sports[1].german": unknown key`},
		{"unknown key of medals", `"gold": 30`, `"gold": 30, "platinum": 40`, `"medals.platinum": unknown key`},
		{"key twice", `"step_goal": 8000`, `"step_goal": 8000, "step_goal": 9000`, `step_goal: must be given once`},
		{"key left out", `"step_goal": 8000,`, ``, `step_goal: must be given`},
		{"key of a sport left out", `"english": "Luge", `, ``, `sports[1].english: must be given`},
		{"null as a name", `"リュージュ"`, `null`, `sports[1].japanese null: must be a string`},
		{"medal left out", `, "gold": 30`, ``, `medals.gold: must be given`},

		{"not JSON", `"step_goal": 8000`, `"step_goal" 8000`, `rules: line 12: must be JSON: invalid character '8' after object key`},
		{"more after the end", "\"24h\"\n}", "\"24h\"\n} {}", `rules: line 17: must be JSON: invalid character '{' after top-level value`},
		{"not UTF-8", `Jeux`, "J\xff", `rules: must be UTF-8`},
		{"half a character", `Jeux`, `\ud800`, `name "� d'hiver": must be UTF-8 without replacement characters`},

		{"null", `"Jeux d'hiver"`, `null`, `name null: must be a string`},
		{"number as name", `"Jeux d'hiver"`, `7`, `name 7: must be a string`},
		{"fraction", `8000`, `8000.5`, `step_goal 8000.5: must be a whole number from 0 to 4294967295`},
		{"negative", `8000`, `-1`, `step_goal -1: must be a whole number from 0 to 4294967295`},
		{"huge", `8000`, `4294967296`, `step_goal 4294967296: must be a whole number from 0 to 4294967295`},
		{"number as text", `8000`, `"8000"`, `step_goal "8000": must be a whole number from 0 to 4294967295`},
		{"null as number", `8000`, `null`, `step_goal null: must be a whole number from 0 to 4294967295`},
		{"medals as a list", `{"bronze": 10, "silver": 20, "gold": 30}`, `[10, 20, 30]`, `medals [10, 20, 30]: must be an object`},
		{"sport as text", `{"id": "luge", "english": "Luge", "japanese": "リュージュ", "french": "Luge"}`, `"luge"`, `sports[1] "luge": must be an object`},

		{"duration without unit", `"24h"`, `"24"`, `upload_grace "24": must be a duration such as "336h"`},
		{"duration as number", `"24h"`, `24`, `upload_grace 24: must be a string`},
		{"duration in microseconds", `"24h"`, `"1us"`, `upload_grace 1µs: must be a whole number of milliseconds`},
		{"opens without zone", `T12:00:00+01:00`, `T12:00:00`, `opens "2030-02-01T12:00:00": must be RFC 3339 such as "2021-07-23T20:00:00+09:00"`},
		{"opens null", `"2030-02-01T12:00:00+01:00"`, `null`, `opens null: must be a string`},
		{"closes in microseconds", `.999+`, `.9999+`, `closes "2030-02-17T23:59:59.9999+01:00": must be a whole number of milliseconds`},
		{"opens at the epoch", `2030-02-01T12:00:00+01:00`, `1970-01-01T00:00:00Z`, `opens "1970-01-01T00:00:00Z": must be after the start of 1970`},
		{"closes far away", `2030-02-17`, `2130-02-17`, `closes 2130-02-17T22:59:59.999Z: must be before 2100`},

		{"zone as number", `"Europe/Paris"`, `9`, `time_zone 9: must be a string`},
		{"no zone", `Europe/Paris`, ``, `time_zone "": must be an IANA time zone such as "Asia/Tokyo"`},
		{"the host's zone", `Europe/Paris`, `Local`, `time_zone "Local": must be an IANA time zone such as "Asia/Tokyo"`},
		{"unknown zone", `Europe/Paris`, `Europe/Atlantis`, `time_zone "Europe/Atlantis": must be an IANA time zone such as "Asia/Tokyo": unknown time zone Europe/Atlantis`},

		{"what Check refuses", `8000`, `0`, `step_goal 0: must be 1 to 1000000`},
	}
	good := winter(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(good, tt.old) != 1 {
				t.Fatalf("%q stands %d times in the good file, want once", tt.old, strings.Count(good, tt.old))
			}
			r, err := rules.Parse([]byte(strings.Replace(good, tt.old, tt.new, 1)))
			if err == nil {
				t.Fatalf("Parse passed, want error %s", tt.want)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("Parse:\n got %s\nwant %s", got, tt.want)
			}
			if !reflect.DeepEqual(r, fact.Rules{}) {
				t.Errorf("Parse returned %+v beside an error, want none", r)
			}
		})
	}
}

// TestParseEnglishForOthers: a name that is left out, or left empty, is the English one.
func TestParseEnglishForOthers(t *testing.T) {
	good := winter(t)
	for name, tt := range map[string]struct {
		old, new string
		want     fact.Sport
	}{
		"no French":   {`, "french": "Saut à ski"`, ``, fact.Sport{ID: "ski-jumping", English: "Ski Jumping", Japanese: "スキージャンプ", French: "Ski Jumping"}},
		"no Japanese": {`"japanese": "スキージャンプ", `, ``, fact.Sport{ID: "ski-jumping", English: "Ski Jumping", Japanese: "Ski Jumping", French: "Saut à ski"}},
		"neither": {
			`"english": "Ski Jumping", "japanese": "スキージャンプ", "french": "Saut à ski"`, `"french": "", "english": "Ski Jumping"`,
			fact.Sport{ID: "ski-jumping", English: "Ski Jumping", Japanese: "Ski Jumping", French: "Ski Jumping"},
		},
	} {
		if strings.Count(good, tt.old) != 1 {
			t.Fatalf("%q stands %d times in the good file, want once", tt.old, strings.Count(good, tt.old))
		}
		r, err := rules.Parse([]byte(strings.Replace(good, tt.old, tt.new, 1)))
		if err != nil || r.Sports[2] != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, r.Sports, err, tt.want)
		}
	}
}

func TestParseSportsMustBeAList(t *testing.T) {
	_, err := rules.Parse([]byte(`{"sports": null}`))
	if got, want := err.Error(), "sports null: must be a list"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestParseRefusesFragments(t *testing.T) {
	for _, document := range []string{"", " ", "null", "{}", "[]", "7", `"`, `{"name"`, "{\"name\": \"x\"}", "\ufeff{}"} {
		if r, err := rules.Parse([]byte(document)); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", document, r)
		}
	}
}

func TestParseWithoutWindow(t *testing.T) {
	document := winter(t)
	for _, line := range []string{
		"  \"opens\": \"2030-02-01T12:00:00+01:00\",\n",
		"  \"closes\": \"2030-02-17T23:59:59.999+01:00\",\n",
	} {
		document = strings.Replace(document, line, "", 1)
	}
	r, err := rules.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rules.WindowOf(r), (rules.Window{UploadGrace: 24 * time.Hour}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
}

func FuzzParse(f *testing.F) {
	good := winter(f)
	tokyo, err := os.ReadFile("tokyo2020.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tokyo)
	f.Add([]byte(good))
	for _, piece := range [][2]string{
		{`"luge"`, `"curling"`},
		{`8000`, `1e4`},
		{`8000`, `null`},
		{`"24h"`, `"-1ns"`},
		{`72h30m`, `9999999h`},
		{`Europe/Paris`, `Asia/Kathmandu`},
		{`Europe/Paris`, `../../etc/localtime`},
		{`Jeux`, `\ud800`},
		{`2030-02-01`, `9999-12-31`},
		{`2030-02-01`, `0001-01-01`},
		{`"medals"`, `"medals":{},"medals"`},
		{`]`, `,{}]`},
	} {
		f.Add([]byte(strings.Replace(good, piece[0], piece[1], 1)))
	}
	f.Add([]byte(`{"sports": [[[{}]]]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, document []byte) {
		r, err := rules.Parse(document)
		if err != nil {
			return
		}
		if err := rules.Check(r); err != nil {
			t.Errorf("Parse passed what Check refuses: %v", err)
		}
		applyAll(r)
	})
}

// applyAll calls what folds call, at the ends of each range.
func applyAll(r fact.Rules) {
	for _, n := range []uint32{0, 1, 1 << 31, 1<<32 - 1} {
		rules.BackgroundsDue(r, n)
		rules.ToNextBackground(r, n, int(n%128))
		rules.ToNextMedal(r, n, fact.Medal(n%4))
		rules.LocalDay(r.Zone, fact.Slot(n))
		_ = rules.Open(rules.WindowOf(r), fact.UnixMilli(n)<<20)
	}
}
