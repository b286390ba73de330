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
}

// The largest contact data. The largest that were published have some hundred thousand lines.
const (
	MaxContactLines = 10_000_000
	MaxContactLine  = 1 << 12 // bytes
	MaxBadges       = 100_000
	MaxEncounters   = 2_000_000
)

// ReadContacts reads a file of face-to-face contacts in the format of SocioPatterns, plain or gzip: lines "t i j", t in
// seconds, i and j the numbers of two badges. It takes memory for the encounters, whatever the size of the file. An error in
// a line names the file and the line, as does one that says that a bound is passed.
func ReadContacts(path string) (Contacts, error) {
	f, err := os.Open(path)
	if err != nil {
		return Contacts{}, fmt.Errorf("contacts: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var text io.Reader = in
	if mark, _ := in.Peek(2); string(mark) == "\x1f\x8b" { // an error comes again at the first line
		if text, err = gzip.NewReader(in); err != nil {
			return Contacts{}, fmt.Errorf("contacts: %s: %w", path, err)
		}
	}
	return parseContacts(text, path)
}

func parseContacts(text io.Reader, path string) (Contacts, error) {
	m := meetings{of: map[pair]*spans{}, badges: map[int64]bool{}}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, MaxContactLine)
	number := 0
	for lines.Scan() {
		number++
		slot, p, err := parseLine(lines.Text())
		if err == nil {
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
		return Contacts{}, fmt.Errorf("contacts: %s:%d: %w", path, number+1, err)
	}
	if number == 0 {
		return Contacts{}, fmt.Errorf("contacts: %s: no line", path)
	}
	return m.contacts(), nil
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
}

// add adds a slot of two badges. The error names the bound that is passed.
func (m *meetings) add(p pair, slot int64) error {
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

// contacts numbers the badges in ascending order: each run of a pair is an encounter.
func (m *meetings) contacts() Contacts {
	badges := slices.Sorted(maps.Keys(m.badges))
	number := make(map[int64]int, len(badges))
	for i, b := range badges {
		number[b] = i
	}
	c := Contacts{People: len(badges)}
	for p, s := range m.of {
		s.join()
		for _, run := range s.list {
			begin := max(0, time.Duration(run.first)*SlotLength-SlotLength)
			c.Encounters = append(c.Encounters, Encounter{Begin: begin, A: number[p[0]], B: number[p[1]]})
		}
	}
	slices.SortFunc(c.Encounters, compareEncounters)
	return c
}

func parseLine(line string) (slot int64, p pair, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return 0, p, fmt.Errorf("%q: want three numbers: t i j", line)
	}
	var n [3]int64
	for i, name := range []string{"t", "i", "j"} {
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil || n[i] < 0 {
			return 0, p, fmt.Errorf("%s: %q: want a number from 0 on", name, fields[i])
		}
	}
	step := int64(SlotLength / time.Second)
	switch {
	case n[0]%step != 0:
		return 0, p, fmt.Errorf("t: %d: want a multiple of %d seconds", n[0], step)
	case n[0] > int64(366*24*time.Hour/time.Second):
		return 0, p, fmt.Errorf("t: %d: want less than a year", n[0])
	case n[1] == n[2]:
		return 0, p, errors.New("i and j are the same badge")
	}
	return n[0] / step, pair{min(n[1], n[2]), max(n[1], n[2])}, nil
}
