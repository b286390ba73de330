package rules

import (
	"fmt"
	"sort"
	"time"
	_ "time/tzdata" // for hosts without a time zone database

	"pinfold/internal/fact"
)

const (
	// The table starts in 2000: older offsets were not all whole quarter hours (Africa/Monrovia until 1972), and no
	// Games of this system are older.
	tableFrom int64 = 946_684_800   // Unix seconds of 2000-01-01T00:00:00Z
	tableTo   int64 = 4_102_444_800 // Unix seconds of 2100-01-01T00:00:00Z

	secondsPerDay     = 24 * 60 * 60
	secondsPerQuarter = 15 * 60
)

// zoneNamed returns the table of an IANA time zone. The database is the host's if it has one, and else the one embedded
// in the binary, so tables made by different hosts may differ where a government changed its mind.
func zoneNamed(name string) ([]fact.ZoneOffset, error) {
	// time.LoadLocation takes these two for UTC and for the host's own zone.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf(`%.80q: must be an IANA time zone such as "Asia/Tokyo"`, name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf(`%.80q: must be an IANA time zone such as "Asia/Tokyo": %w`, name, err)
	}
	table, err := zoneOf(location)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", name, err)
	}
	return table, nil
}

// zoneOf looks at the location day by day and halves its way to each change. It does without Time.ZoneBounds, whose end
// is not after the time asked for on the last day of a leap year (go.dev/issue/81583). No zone changes twice in a day.
func zoneOf(location *time.Location) ([]fact.ZoneOffset, error) {
	first, err := quartersAt(location, tableFrom)
	if err != nil {
		return nil, err
	}
	table := []fact.ZoneOffset{{From: 0, Quarters: first}}
	for day := tableFrom; day < tableTo; day += secondsPerDay {
		before := offsetAt(location, day)
		if offsetAt(location, day+secondsPerDay) == before {
			continue
		}
		entry, err := entryAt(location, day+int64(sort.Search(secondsPerDay, func(s int) bool {
			return offsetAt(location, day+int64(s)) != before
		})))
		if err != nil {
			return nil, err
		}
		table = append(table, entry)
	}
	return table, nil
}

// entryAt returns the entry for a change of the offset at the Unix second. A slot is of the day in which it begins, so a
// change within one, as at a minute past midnight in St. John's until 2011, holds from the next slot on.
func entryAt(location *time.Location, at int64) (fact.ZoneOffset, error) {
	quarters, err := quartersAt(location, at)
	return fact.ZoneOffset{From: fact.Slot((at + secondsPerQuarter - 1) / secondsPerQuarter), Quarters: quarters}, err
}

func quartersAt(location *time.Location, at int64) (int8, error) {
	offset := offsetAt(location, at)
	if offset%secondsPerQuarter != 0 {
		return 0, fmt.Errorf("its offset at %s is %v: must be whole quarter hours", instant(at), time.Duration(offset)*time.Second)
	}
	quarters := offset / secondsPerQuarter
	if quarters < minQuarters || quarters > maxQuarters {
		return 0, fmt.Errorf("its offset at %s is %v: must be -12h to 14h", instant(at), time.Duration(offset)*time.Second)
	}
	return int8(quarters), nil
}

// offsetAt returns the seconds that local time is ahead of UTC at the Unix second.
func offsetAt(location *time.Location, at int64) int {
	_, offset := time.Unix(at, 0).In(location).Zone()
	return offset
}

func instant(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
