package crowd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
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

// ReadContacts reads a file of face-to-face contacts in the format of SocioPatterns, plain or gzip: lines "t i j", t in
// seconds, i and j the numbers of two badges. An error in a line names the file and the line.
func ReadContacts(path string) (Contacts, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Contacts{}, fmt.Errorf("contacts: %w", err)
	}
	var text io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		if text, err = gzip.NewReader(text); err != nil {
			return Contacts{}, fmt.Errorf("contacts: %s: %w", path, err)
		}
	}
	return parseContacts(text, path)
}

func parseContacts(text io.Reader, path string) (Contacts, error) {
	slots := map[pair][]int64{}
	lines := bufio.NewScanner(text)
	number := 0
	for lines.Scan() {
		number++
		slot, p, err := parseLine(lines.Text())
		if err != nil {
			return Contacts{}, fmt.Errorf("contacts: %s:%d: %w", path, number, err)
		}
		slots[p] = append(slots[p], slot)
	}
	if err := lines.Err(); err != nil {
		return Contacts{}, fmt.Errorf("contacts: %s:%d: %w", path, number+1, err)
	}
	if number == 0 {
		return Contacts{}, fmt.Errorf("contacts: %s: no line", path)
	}
	return contactsOf(slots), nil
}

// pair is two badges, the lower number first.
type pair [2]int64

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

// contactsOf joins the slots of each pair to encounters, and numbers the badges in ascending order.
func contactsOf(slots map[pair][]int64) Contacts {
	var badges []int64
	for p := range slots {
		badges = append(badges, p[:]...)
	}
	slices.Sort(badges)
	badges = slices.Compact(badges)
	number := make(map[int64]int, len(badges))
	for i, b := range badges {
		number[b] = i
	}
	c := Contacts{People: len(badges)}
	for p, of := range slots {
		slices.Sort(of)
		for i, slot := range of {
			if i > 0 && slot-of[i-1] <= 1 {
				continue
			}
			begin := max(0, time.Duration(slot)*SlotLength-SlotLength)
			c.Encounters = append(c.Encounters, Encounter{Begin: begin, A: number[p[0]], B: number[p[1]]})
		}
	}
	slices.SortFunc(c.Encounters, compareEncounters)
	return c
}
