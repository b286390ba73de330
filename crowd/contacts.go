package crowd

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SlotLength is the resolution of contact data: a line t says that two badges faced each other during [t-20 s, t].
const SlotLength = 20 * time.Second

// Encounter is one meeting of two people: a maximal run of consecutive slots of one pair. People are numbered from 0.
type Encounter struct {
	Begin time.Duration // of its first slot, since the midnight before the first day
	A, B  int           // A < B
}

// Walk is what one person's pin counts in consecutive quarter hours.
type Walk struct {
	Begin  time.Duration // of its first quarter hour, since the midnight before the first day
	Person int
	Steps  []uint16
}

// Contacts is who met whom, and who walked.
type Contacts struct {
	People     int
	Encounters []Encounter // ascending by Begin, then A, then B
	Walks      []Walk      // ascending by Begin; none in data of contacts

	SelfContacts int // lines that were skipped, since a badge met itself in them
}

// The largest contact data. The largest that were published have some hundred thousand lines.
const (
	MaxContactLines = 10_000_000
	MaxContactLine  = 1 << 12 // bytes
	MaxBadges       = 100_000
	MaxEncounters   = 2_000_000
)

// ReadContacts reads a file of face-to-face contacts as SocioPatterns and others publish them, plain or gzip: lines of three
// columns or more, "t i j", of which the rest is passed over. Columns are parted by white space, commas or semicolons. Blank
// lines, lines that begin with # and a header are passed over too, and so is a first column to which the header gives no name.
//
// t is in seconds, since the midnight before the first day, or since the Unix epoch, which then says what day it was in
// Tokyo. i and j are the numbers of two badges, or their names where the first line has a name. A line in which a badge
// meets itself is skipped and counted.
//
// It takes memory for the encounters, whatever the size of the file. An error in a line names the file and the line, as does one that says that a
// bound is passed.
func ReadContacts(path string) (Contacts, error) {
	f, err := os.Open(path)
	if err != nil {
		return Contacts{}, fmt.Errorf("contacts: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var text io.Reader = in
	mark, _ := in.Peek(6) // an error comes again at the first line
	if kind := foreign(mark); kind != "" {
		return Contacts{}, fmt.Errorf("contacts: %s: %s: want plain text, or that in gzip", path, kind)
	}
	if strings.HasPrefix(string(mark), "\x1f\x8b") {
		if text, err = gzip.NewReader(in); err != nil {
			return Contacts{}, fmt.Errorf("contacts: %s: %w", path, cutOff(err))
		}
	}
	return parseContacts(text, path)
}

// foreign names what a file is that begins so, and that ReadContacts does not read; "" = it may be text.
func foreign(mark []byte) string {
	for _, f := range []struct{ mark, kind string }{
		{"PK\x03\x04", "a zip archive"},
		{"PK\x05\x06", "an empty zip archive"},
		{"\xfd7zXZ", "an xz file"},
		{"BZh", "a bzip2 file"},
		{"\x28\xb5\x2f\xfd", "a zstd file"},
		{"7z\xbc\xaf", "a 7z archive"},
		{"Rar!", "a rar archive"},
		{"%PDF", "a PDF"},
		{"\xff\xfe", "text in UTF-16"},
		{"\xfe\xff", "text in UTF-16"},
	} {
		if strings.HasPrefix(string(mark), f.mark) {
			return f.kind
		}
	}
	return ""
}

// cutOff says in words that a compressed file has no end.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the compressed file is cut off: it ends before its end")
	}
	return err
}

func parseContacts(text io.Reader, path string) (Contacts, error) {
	m := meetings{of: map[pair]*spans{}, badges: map[int64]bool{}}
	var format lineFormat
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, MaxContactLine)
	number := 0
	for lines.Scan() {
		number++
		slot, p, found, err := format.parse(lines.Text(), number == 1)
		if err == nil && found {
			err = m.add(p, slot)
		}
		if err == nil && number > MaxContactLines {
			err = fmt.Errorf("want at most %d lines", MaxContactLines)
		}
		if err != nil {
			return Contacts{}, fmt.Errorf("contacts: %s:%d: %w", path, number, err)
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("want lines of less than %d bytes", MaxContactLine)
	}
	if err != nil {
		return Contacts{}, fmt.Errorf("contacts: %s:%d: %w", path, number+1, cutOff(err))
	}
	if len(m.of) == 0 {
		return Contacts{}, fmt.Errorf("contacts: %s: no line in which two met", path)
	}
	c := m.contacts(format)
	c.SelfContacts = m.self
	return c, nil
}

// pair is two badges, the lower number first.
type pair [2]int64

// span is a run of slots, all of them.
type span struct{ first, last int32 }

// spans are the runs of slots of one pair, in the order of the lines, which is mostly that of time. They are put in order
// and joined each time that they have doubled, so that lines that say nothing new take no room.
type spans struct {
	list   []span
	joined int // how many there were when they were last joined
}

// add adds a slot, and returns by how much the number of runs has changed.
func (s *spans) add(slot int32) (more int) {
	if n := len(s.list); n > 0 {
		switch newest := &s.list[n-1]; {
		case newest.first <= slot && slot <= newest.last:
			return 0
		case slot == newest.last+1:
			newest.last = slot
			return 0
		}
	}
	before := len(s.list)
	s.list = append(s.list, span{slot, slot})
	if len(s.list) >= 2*max(s.joined, 4) {
		s.join()
	}
	return len(s.list) - before
}

// join puts the runs in order, and joins those that touch.
func (s *spans) join() {
	slices.SortFunc(s.list, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	joined := s.list[:1]
	for _, next := range s.list[1:] {
		if last := &joined[len(joined)-1]; next.first <= last.last+1 {
			last.last = max(last.last, next.last)
			continue
		}
		joined = append(joined, next)
	}
	s.list, s.joined = joined, len(joined)
}

// meetings are who met whom, while they are read.
type meetings struct {
	of     map[pair]*spans
	badges map[int64]bool
	spans  int // of all pairs
	self   int // lines in which a badge met itself
}

// add adds a slot of two badges. The error names the bound that is passed.
func (m *meetings) add(p pair, slot int64) error {
	if p[0] == p[1] {
		m.self++
		return nil
	}
	s := m.of[p]
	if s == nil {
		s = &spans{}
		m.of[p] = s
		m.badges[p[0]], m.badges[p[1]] = true, true
	}
	m.spans += s.add(int32(slot))
	switch {
	case len(m.badges) > MaxBadges:
		return fmt.Errorf("want at most %d badges", MaxBadges)
	case m.spans > MaxEncounters:
		return fmt.Errorf("want at most %d encounters", MaxEncounters)
	}
	return nil
}

// contacts numbers the badges in ascending order, by number or by name: each run of a pair is an encounter.
func (m *meetings) contacts(f lineFormat) Contacts {
	badges := slices.SortedFunc(maps.Keys(m.badges), f.compare)
	number := make(map[int64]int, len(badges))
	for i, b := range badges {
		number[b] = i
	}
	c := Contacts{People: len(badges)}
	for p, s := range m.of {
		s.join()
		a, b := number[p[0]], number[p[1]]
		for _, run := range s.list {
			begin := max(0, time.Duration(run.first)*SlotLength+f.phase-SlotLength)
			c.Encounters = append(c.Encounters, Encounter{Begin: begin, A: min(a, b), B: max(a, b)})
		}
	}
	slices.SortFunc(c.Encounters, compareEncounters)
	return c
}

// lineFormat is what the first lines say of all.
type lineFormat struct {
	header   bool             // a header has come by
	rows     bool             // the first column is the row's number, as R and pandas write it
	known    bool             // a line with a time has
	midnight int64            // before the first day, in seconds as the lines count them
	phase    time.Duration    // of the first line's time against the grid of SlotLength
	names    map[string]int64 // of badges, numbered as they come; nil = badges have numbers
	sorted   []string         // of names, by that number
}

// The largest times since a midnight and since the Unix epoch. What is larger was counted in milliseconds.
const (
	lastSecond = int64(366 * 24 * time.Hour / time.Second)
	lastEpoch  = 99_999_999_999
)

// parse returns the slot and the badges of a line; found is false where the line has none.
func (f *lineFormat) parse(line string, first bool) (slot int64, p pair, found bool, err error) {
	if first {
		line = strings.TrimPrefix(line, "\ufeff")
	}
	if strings.IndexByte(line, 0) >= 0 {
		return 0, p, false, errors.New("a byte of zero: want text")
	}
	columns := columnsOf(line)
	if len(columns) == 0 || strings.HasPrefix(columns[0], "#") {
		return 0, p, false, nil
	}
	if f.rows {
		columns = columns[1:]
	}
	if len(columns) < 3 {
		return 0, p, false, fmt.Errorf("%.80q: want three columns or more: t i j", line)
	}
	if f.isHeader(columns) {
		return 0, p, false, nil
	}
	t, err := strconv.ParseInt(columns[0], 10, 64)
	if err != nil || t < 0 || t > lastEpoch {
		return 0, p, false, fmt.Errorf("t: %.80q: want a number of seconds, from 0 to %d", columns[0], lastEpoch)
	}
	if !f.known {
		f.learn(t, columns)
	}
	if slot, err = f.slot(t); err != nil {
		return 0, p, false, err
	}
	for i, name := range []string{"i", "j"} {
		if p[i], err = f.badge(columns[1+i]); err != nil {
			return 0, p, false, fmt.Errorf("%s: %w", name, err)
		}
	}
	return slot, pair{min(p[0], p[1]), max(p[0], p[1])}, true, nil
}

// isHeader says that the columns are those of the header. One that begins with a column of no name is that of a table with
// its rows' numbers.
func (f *lineFormat) isHeader(columns []string) bool {
	if f.known || f.header || columns[0] != "" && numeric(columns[0]) || slices.ContainsFunc(columns[1:3], numeric) {
		return false
	}
	f.header, f.rows = true, columns[0] == ""
	return true
}

// columnsOf parts a line at commas or semicolons, or else at white space.
func columnsOf(line string) []string {
	if line = strings.TrimSpace(line); !strings.ContainsAny(line, ",;") {
		return strings.Fields(line)
	}
	columns := strings.FieldsFunc(strings.NewReplacer(",", " ,", ";", " ,").Replace(line), func(r rune) bool { return r == ',' })
	for i := range columns {
		columns[i] = strings.Trim(strings.TrimSpace(columns[i]), `"`)
	}
	return columns
}

// numeric says that a text begins as a number.
func numeric(text string) bool { return text == "" || strings.ContainsAny(text[:1], "-+.0123456789") }

// learn takes from the first line what holds for all.
func (f *lineFormat) learn(t int64, columns []string) {
	f.known = true
	if t > lastSecond { // since the Unix epoch
		const ahead = 9 * 3600 // Tokyo
		f.midnight = (t+ahead)/86400*86400 - ahead
	}
	f.phase = time.Duration(t-f.midnight) * time.Second % SlotLength
	for _, c := range columns[1:3] {
		if !numeric(c) {
			f.names = map[string]int64{}
		}
	}
}

func (f *lineFormat) slot(t int64) (int64, error) {
	since := t - f.midnight
	switch {
	case since < 0:
		return 0, fmt.Errorf("t: %d: before the midnight before the first line, %d", t, f.midnight)
	case since > lastSecond && f.midnight == 0:
		return 0, fmt.Errorf("t: %d: want less than a year", t)
	case since > lastSecond:
		return 0, fmt.Errorf("t: %d: want less than a year behind the first line", t)
	}
	at := time.Duration(since)*time.Second - f.phase
	if at < 0 { // a line before the first one, on its day
		return int64((at - SlotLength + 1) / SlotLength), nil
	}
	return int64(at / SlotLength), nil
}

func (f *lineFormat) badge(text string) (int64, error) {
	if f.names != nil && text != "" {
		id, ok := f.names[text]
		if !ok {
			id = int64(len(f.sorted))
			f.names[text], f.sorted = id, append(f.sorted, text)
		}
		return id, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.80q: want a number from 0 on", text)
	}
	return n, nil
}

// compare orders badges by number, or by name.
func (f *lineFormat) compare(a, b int64) int {
	if f.names != nil {
		return strings.Compare(f.sorted[a], f.sorted[b])
	}
	return cmp.Compare(a, b)
}
