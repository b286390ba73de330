package crowd

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func compressed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t testing.TB, name string, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readBoth reads a text from a plain file and from a compressed one, which must be the same.
func readBoth(t *testing.T, text string) Contacts {
	t.Helper()
	plain, err := ReadContacts(writeFile(t, "contacts.dat", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := ReadContacts(writeFile(t, "contacts.dat.gz", compressed(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, packed) {
		t.Fatalf("plain: %+v, compressed: %+v", plain, packed)
	}
	return plain
}

// meets is an encounter that begins so many seconds after midnight.
func meets(second, a, b int) Encounter {
	return Encounter{Begin: time.Duration(second) * time.Second, A: a, B: b}
}

func TestReadContacts(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		people int
		want   []Encounter
	}{
		"one line":                   {"40 1 2\n", 2, []Encounter{meets(20, 0, 1)}},
		"without its end":            {"40 1 2", 2, []Encounter{meets(20, 0, 1)}},
		"ended as on Windows":        {"40 1 2\r\n60 1 2\r\n", 2, []Encounter{meets(20, 0, 1)}},
		"with tabs and many spaces":  {"\t40   1\t2  \n", 2, []Encounter{meets(20, 0, 1)}},
		"the midnight itself":        {"0 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		"the first slot":             {"20 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		"the last moment of a year":  {"31622400 1 2\n", 2, []Encounter{meets(31622380, 0, 1)}},
		"badge 0":                    {"40 0 5\n", 2, []Encounter{meets(20, 0, 1)}},
		"a badge with a long number": {"40 9223372036854775807 5\n", 2, []Encounter{meets(20, 0, 1)}},

		// Runs of slots: 20 s apart they are one encounter, 40 s apart two.
		"a run":                    {"20 1 2\n40 1 2\n60 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		"a gap of one slot":        {"20 1 2\n60 1 2\n", 2, []Encounter{meets(0, 0, 1), meets(40, 0, 1)}},
		"two runs":                 {"20 1 2\n40 1 2\n80 1 2\n100 1 2\n", 2, []Encounter{meets(0, 0, 1), meets(60, 0, 1)}},
		"from midnight on":         {"0 1 2\n20 1 2\n40 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		"midnight, then a gap":     {"0 1 2\n40 1 2\n", 2, []Encounter{meets(0, 0, 1), meets(20, 0, 1)}},
		"another pair is no gap":   {"20 1 2\n40 3 4\n40 1 2\n60 3 4\n", 4, []Encounter{meets(0, 0, 1), meets(20, 2, 3)}},
		"another pair joins none":  {"20 1 2\n40 1 3\n60 1 2\n", 3, []Encounter{meets(0, 0, 1), meets(20, 0, 2), meets(40, 0, 1)}},
		"repeated lines":           {"20 1 2\n20 1 2\n40 1 2\n40 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		"the same pair turned":     {"20 1 2\n40 2 1\n20 2 1\n", 2, []Encounter{meets(0, 0, 1)}},
		"unsorted":                 {"60 2 1\n20 1 2\n100 1 2\n40 1 2\n", 2, []Encounter{meets(0, 0, 1), meets(80, 0, 1)}},
		"unsorted, the gap filled": {"60 1 2\n20 1 2\n40 1 2\n", 2, []Encounter{meets(0, 0, 1)}},

		// As others publish them.
		"columns behind":            {"40 1 2 MP PSI*\n60 1 2 MP PSI*\n", 2, []Encounter{meets(20, 0, 1)}},
		"commas":                    {"40,1,2,-66\n60, 1 ,2,\n", 2, []Encounter{meets(20, 0, 1)}},
		"semicolons and quotes":     {"\"40\";\"1\";\"2\"\n", 2, []Encounter{meets(20, 0, 1)}},
		"a header":                  {"t\ti\tj\tDateTime\n40\t1\t2\t04/06/2009 10:00\n", 2, []Encounter{meets(20, 0, 1)}},
		"numbers of the rows":       {"\"\",\"contact_time\",\"id1\",\"id2\",\"day\"\n\"1\",40,1,2,1\n\"2\",60,1,2,1\n", 2, []Encounter{meets(20, 0, 1)}},
		"rows of pandas":            {",t,i,j\n0,40,1,2\n1,60,1,2\n", 2, []Encounter{meets(20, 0, 1)}},
		"comments and blank lines":  {"# timestamp,user_a,user_b\n\n40 1 2\n  \n#60 3 4\n", 2, []Encounter{meets(20, 0, 1)}},
		"a mark of UTF-8":           {"\ufeff40 1 2\n", 2, []Encounter{meets(20, 0, 1)}},
		"names":                     {"40 FANA ARIELLE\n60 ARIELLE FANA\n80 BOBO 7\n", 4, []Encounter{meets(20, 1, 3), meets(60, 0, 2)}},
		"off the grid":              {"31 1 2\n51 1 2\n92 1 2\n", 2, []Encounter{meets(11, 0, 1), meets(71, 0, 1)}},
		"each second":               {"40 1 2\n41 1 2\n59 1 2\n60 1 2\n", 2, []Encounter{meets(20, 0, 1)}},
		"off the grid and unsorted": {"31 1 2\n10 1 2\n11 1 2\n", 2, []Encounter{meets(0, 0, 1)}},
		// 15 July 2009, 19:00 in Tokyo; the next day, 00:00:40 there.
		"since the Unix epoch":  {"1247652000 1 2\n1247670040 1 2\n", 2, []Encounter{meets(19*3600-20, 0, 1), meets(24*3600+20, 0, 1)}},
		"an epoch off the grid": {"1247652007 1 2\n1247652027 1 2\n1247652000 1 2\n", 2, []Encounter{meets(19*3600-33, 0, 1)}},

		// Badges are numbered in ascending order, as numbers, not in the order of the lines.
		"badges":              {"20 1000 42\n40 42 7\n", 3, []Encounter{meets(0, 1, 2), meets(20, 0, 1)}},
		"badges as numbers":   {"20 10 9\n20 9 100\n", 3, []Encounter{meets(0, 0, 1), meets(0, 0, 2)}},
		"written with zeros":  {"20 007 42\n40 7 042\n", 2, []Encounter{meets(0, 0, 1)}},
		"in order of persons": {"20 3 4\n20 1 4\n20 1 2\n", 4, []Encounter{meets(0, 0, 1), meets(0, 0, 3), meets(0, 2, 3)}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := readBoth(t, tt.text), (Contacts{People: tt.people, Encounters: tt.want}); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestReadContactsErrors: an error in a line names the file and the line.
func TestReadContactsErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"no line":             {"", ": no line in which two met"},
		"blank lines":         {"\n \n", ": no line in which two met"},
		"a comment":           {"# of contacts\n", ": no line in which two met"},
		"a header":            {"t i j\n", ": no line in which two met"},
		"self contacts":       {"20 7 7\n40 7 007\n", ": no line in which two met"},
		"two numbers":         {"20 1 2\n20 1\n", `:2: "20 1": want three columns or more: t i j`},
		"words":               {"I met her\nand him\n", `:2: "and him": want three columns or more: t i j`},
		"a word as the time":  {"x 1 2\n", `:1: t: "x": want a number of seconds, from 0 to 99999999999`},
		"a second header":     {"t i j\nt i j\n", `:2: t: "t": want a number of seconds, from 0 to 99999999999`},
		"a header within":     {"20 1 2\nt i j\n", `:2: t: "t": want a number of seconds, from 0 to 99999999999`},
		"a date":              {"2009-06-04 1 2\n", `:1: t: "2009-06-04": want a number of seconds, from 0 to 99999999999`},
		"a word as a badge":   {"20 1 2\n40 y 2\n", `:2: i: "y": want a number from 0 on`},
		"a word as the other": {"20 1 2\n40 1 2\n40 1 z\n", `:3: j: "z": want a number from 0 on`},
		"rows of two":         {",t,i,j\n0,40,1\n", `:2: "0,40,1": want three columns or more: t i j`},
		"an empty column":     {"20,1,2\n20,,2,1\n", `:2: i: "": want a number from 0 on`},
		"an empty name":       {"20,a,b\n20,,b\n", `:2: i: "": want a number from 0 on`},
		"a fraction":          {"20.5 1 2\n", `:1: t: "20.5": want a number of seconds, from 0 to 99999999999`},
		"before midnight":     {"-20 1 2\n", `:1: t: "-20": want a number of seconds, from 0 to 99999999999`},
		"a badge below 0":     {"20 1 -2\n", `:1: j: "-2": want a number from 0 on`},
		"too large a number":  {"20 1 9223372036854775808\n", `:1: j: "9223372036854775808": want a number from 0 on`},
		"a year":              {"20 1 2\n31622420 1 2\n", `:2: t: 31622420: want less than a year`},
		"a year of epochs":    {"1247652000 1 2\n1279274500 1 2\n", `:2: t: 1279274500: want less than a year behind the first line`},
		"a day before":        {"1247652000 1 2\n1247565600 1 2\n", `:2: t: 1247565600: before the midnight before the first line, 1247583600`},
		"milliseconds":        {"1247652000000 1 2\n", `:1: t: "1247652000000": want a number of seconds, from 0 to 99999999999`},
		"a byte of zero":      {"20 1 2\n\x00\n", `:2: a byte of zero: want text`},
		"a long line":         {"20 1 2\n" + strings.Repeat("x", 300), `:2: "` + strings.Repeat("x", 80) + `": want three columns or more: t i j`},
		"more than one error": {"20 1 2\n21 1\nx\n", `:2: "21 1": want three columns or more: t i j`},
		"far down":            {strings.Repeat("20 1 2\n", 9999) + "20 1\n", `:10000: "20 1": want three columns or more: t i j`},
		"an endless line":     {"20 1 2\n" + strings.Repeat("1", 1<<17), `:2: want lines of less than 4096 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			for file, content := range map[string][]byte{"contacts.dat": []byte(tt.text), "contacts.dat.gz": compressed(t, tt.text)} {
				path := writeFile(t, file, content)
				c, err := ReadContacts(path)
				if want := "contacts: " + path + tt.want; err == nil || err.Error() != want {
					t.Errorf("got %v, want %q", err, want)
				}
				if !reflect.DeepEqual(c, Contacts{}) {
					t.Errorf("got %+v beside the error, want nothing", c)
				}
			}
		})
	}
}

// TestReadContactsFiles: files that are not what they seem are errors that name the file.
func TestReadContactsFiles(t *testing.T) {
	whole := compressed(t, strings.Repeat("20 1 2\n", 1000))
	damaged := slices.Clone(whole)
	damaged[len(damaged)-5] ^= 1 // in the checksum
	dir := t.TempDir()
	for name, path := range map[string]string{
		"no file":                  filepath.Join(dir, "nowhere.dat"),
		"a folder":                 dir,
		"only the mark of gzip":    writeFile(t, "mark.gz", whole[:2]),
		"cut off within the lines": writeFile(t, "cut.gz", whole[:len(whole)-12]),
		"cut off at the checksum":  writeFile(t, "sum.gz", whole[:len(whole)-8]),
		"damaged":                  writeFile(t, "damaged.gz", damaged),
		"compressed twice":         writeFile(t, "twice.gz", compressed(t, string(whole))),
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := ReadContacts(path); err == nil || !strings.HasPrefix(err.Error(), "contacts: ") || !strings.Contains(err.Error(), path) {
				t.Errorf("got %+v, %v, want an error that names %s", c, err, path)
			}
		})
	}
}

// TestReadContactsForeign: what is no text is called by its name, and a compressed file that is cut off is no malformed line.
func TestReadContactsForeign(t *testing.T) {
	whole := compressed(t, strings.Repeat("20 1 2\n", 1000))
	for want, content := range map[string]string{
		"a zip archive":                  "PK\x03\x04\x14\x00\x00\x00",
		"an xz file":                     "\xfd7zXZ\x00\x00",
		"a bzip2 file":                   "BZh91AY&SY",
		"a zstd file":                    "\x28\xb5\x2f\xfd\x04\x00",
		"text in UTF-16":                 "\xff\xfe2\x000\x00",
		"the compressed file is cut off": string(whole[:len(whole)-12]),
	} {
		path := writeFile(t, "contacts.dat", []byte(content))
		if _, err := ReadContacts(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q and the file", err, want)
		}
	}
}

// TestSelfContacts: a badge that meets itself is skipped, and counted.
func TestSelfContacts(t *testing.T) {
	got := readBoth(t, "20 1 2\n20 7 7\n40 9 009\n")
	if want := (Contacts{People: 2, Encounters: []Encounter{meets(0, 0, 1)}, SelfContacts: 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestReadContactsTogether: gzip files written one behind the other are one.
func TestReadContactsTogether(t *testing.T) {
	two := append(compressed(t, "20 1 2\n"), compressed(t, "40 1 2\n80 1 2\n")...)
	c, err := ReadContacts(writeFile(t, "two.gz", two))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Encounter{meets(0, 0, 1), meets(60, 0, 1)}; !slices.Equal(c.Encounters, want) {
		t.Errorf("got %v, want %v", c.Encounters, want)
	}
}

// plainLines are those of SocioPatterns: what a dumb model reads.
var plainLines = regexp.MustCompile(`^(?:\d{0,5}[02468]0 \d{1,9} \d{1,9}\n)+$`)

// FuzzParseContacts compares plain files with a dumb model: an encounter begins where a pair has a slot and does not have the
// one before it. Of others it checks what holds of all.
func FuzzParseContacts(f *testing.F) {
	for _, text := range []string{
		"20 1 2\n40 1 2\n80 2 1\n", "0 3 4\n20 3 4\n40 4 3\n100 1 2\n", "20 007 42\r\n40 7 042", "", "\n", "20 1 2\n\n",
		"20 1 1\n", "-20 1 2\n", "30 1 2\n", "20 1\n", "20 1 2 3\n", "31622420 1 2\n", "+20 +1 +2\n", "20 1 9223372036854775807\n",
		"x", "20 1 2\x00\n", "\xff\xfe", "t i j\n1247652000 A B\n1247652027,B,C,\n", "# c\n7;1;2\n", ",t,i,j\n0,20,1,2\n,\n", "9223372036854775807 1 2\n0 1 2\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseContacts(strings.NewReader(text), "file")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "contacts: file:") || !reflect.DeepEqual(c, Contacts{}) {
				t.Errorf("got %+v, %v, want nothing but an error that names the file", c, err)
			}
			return
		}
		if plainLines.MatchString(text) {
			if want := dumbContacts(t, text); !reflect.DeepEqual(c, want) {
				t.Errorf("got %+v, want %+v", c, want)
			}
		}
		met := map[int]bool{}
		last := map[[2]int]time.Duration{}
		for i, e := range c.Encounters {
			before, again := last[[2]int{e.A, e.B}]
			if e.A < 0 || e.A >= e.B || e.B >= c.People || e.Begin < 0 || i > 0 && compareEncounters(c.Encounters[i-1], e) >= 0 || again && e.Begin < before+SlotLength {
				t.Errorf("encounter %d of %d people: %+v, the last of the pair at %v", i, c.People, e, before)
			}
			met[e.A], met[e.B], last[[2]int{e.A, e.B}] = true, true, e.Begin
		}
		if len(met) != c.People {
			t.Errorf("%d of %d people met somebody", len(met), c.People)
		}
	})
}

func dumbContacts(t *testing.T, text string) Contacts {
	t.Helper()
	type slot struct{ at, a, b int64 }
	var c Contacts
	has := map[slot]bool{}
	var badges []int64
	for line := range strings.Lines(text) {
		var at, a, b int64
		if n, err := fmt.Sscanf(line, "%d %d %d", &at, &a, &b); n != 3 || err != nil {
			t.Fatalf("%q was taken: %v", line, err)
		}
		if a == b {
			c.SelfContacts++
			continue
		}
		has[slot{at, min(a, b), max(a, b)}] = true
		badges = append(badges, a, b)
	}
	slices.Sort(badges)
	badges = slices.Compact(badges)
	c.People = len(badges)
	for s := range has {
		if !has[slot{s.at - 20, s.a, s.b}] {
			c.Encounters = append(c.Encounters, meets(int(max(0, s.at-20)), slices.Index(badges, s.a), slices.Index(badges, s.b)))
		}
	}
	slices.SortFunc(c.Encounters, func(x, y Encounter) int {
		return cmp.Or(cmp.Compare(x.Begin, y.Begin), cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B))
	})
	return c
}

// TestSpans adds slots in any order, and compares with a set of them. Whatever comes, the runs that are kept are no more
// than twice those that there ever were: a slot that closes a gap leaves one less.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		has := map[int32]bool{}
		total, peak := 0, 4
		for _, slot := range rapid.SliceOfN(rapid.Int32Range(0, rapid.Int32Range(0, 60).Draw(t, "last")), 1, 300).Draw(t, "slots") {
			has[slot] = true
			total += s.add(slot)
			var want []span
			for _, at := range slices.Sorted(maps.Keys(has)) {
				if n := len(want); n > 0 && want[n-1].last == at-1 {
					want[n-1].last = at
				} else {
					want = append(want, span{at, at})
				}
			}
			if peak = max(peak, len(want)); len(s.list) > 2*peak || total != len(s.list) {
				t.Fatalf("%d runs are kept, counted as %d: want at most %d", len(s.list), total, 2*peak)
			}
			joined := spans{list: slices.Clone(s.list)}
			if joined.join(); !slices.Equal(joined.list, want) {
				t.Fatalf("got %v, want %v", joined.list, want)
			}
		}
	})
}

// endless gives the lines again and again, up to so many.
type endless struct {
	line func(n int) string
	left int
	rest string
	n    int
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	for e.rest == "" {
		if e.left == 0 {
			return 0, io.EOF
		}
		e.left, e.n, e.rest = e.left-1, e.n+1, e.line(e.n)
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// TestContactBounds passes each bound by one.
func TestContactBounds(t *testing.T) {
	for name, tt := range map[string]struct {
		lines int
		line  func(n int) string
		want  string // "" = it is taken
	}{
		"as many badges as may be": {MaxBadges / 2, func(n int) string { return fmt.Sprintf("20 %d %d\n", 2*n, 2*n+1) }, ""},
		"two badges more":          {MaxBadges/2 + 1, func(n int) string { return fmt.Sprintf("20 %d %d\n", 2*n, 2*n+1) }, "file:50001: want at most 100000 badges"},
		"a long line":              {1, func(int) string { return "20 1 2" + strings.Repeat(" ", MaxContactLine-7) + "\n" }, ""},
		"too long a line":          {1, func(int) string { return "20 1 2" + strings.Repeat(" ", MaxContactLine-6) + "\n" }, "file:1: want lines of less than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseContacts(&endless{line: tt.line, left: tt.lines}, "file")
			switch {
			case tt.want != "" && (err == nil || err.Error() != "contacts: "+tt.want || c.People != 0):
				t.Errorf("got %d people, %v, want %q", c.People, err, tt.want)
			case tt.want == "" && err != nil:
				t.Error(err)
			}
		})
	}
	m := meetings{of: map[pair]*spans{}, badges: map[int64]bool{}}
	m.spans = MaxEncounters - 1
	if err := m.add(pair{1, 2}, 1); err != nil {
		t.Errorf("the last encounter that may be: %v", err)
	}
	if err := m.add(pair{1, 2}, 2); err != nil {
		t.Errorf("another slot of it: %v", err)
	}
	if err := m.add(pair{1, 2}, 4); err == nil || err.Error() != "want at most 2000000 encounters" {
		t.Errorf("one more: %v", err)
	}
}
