package tap

import (
	"math"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// A time that is corrected takes sense from the deadlines that were given by the wrong one, and no record can be rewritten:
// there may be any number. So records are kept by era, and each correction says in one place what it means for all records
// of an era. The era of a record is the sequence of the last TimeCorrected before it; 0 is that of those before the first.

// era is what corrections did to the deadlines that were given in it.
type era struct {
	seq fact.Seq
	// limit is what no deadline of the era counts as later than; noLimit in the era that lasts.
	limit fact.UnixMilli
	// dead is the line up to which deadlines had passed when the time was corrected, so that they have passed for good,
	// whatever the time is now; 0 = none had.
	dead fact.UnixMilli
}

// noLimit is later than every deadline, and as a line, below which everything is dead.
const noLimit fact.UnixMilli = math.MaxInt64

// overdue reports whether a record of the era with this deadline does not count any more.
func (e era) overdue(deadline, now fact.UnixMilli) bool {
	return min(deadline, e.limit) <= now || deadline <= e.dead
}

// correct returns the era as a correction leaves it. Before it the time was was; from it on no deadline counts as later than
// the limit. What was overdue stays so.
func (e era) correct(was, limit fact.UnixMilli) era {
	if e.limit <= was {
		e.dead = noLimit
	}
	e.dead = max(e.dead, was)
	e.limit = min(e.limit, limit)
	return e
}

// eras are those that have records, in their order, and last the one that lasts. There is always one.
type eras []era

func getEras(r kv.Reader) eras {
	v := r.Get(bucketEra, erasKey)
	if v == nil { // no time was ever corrected
		return eras{{limit: noLimit}}
	}
	return decodeEras(v)
}

// current returns the era that lasts: new records belong to it.
func (es eras) current() era { return es[len(es)-1] }

// at returns the era of a record that was kept at the sequence. It is there as long as the record is.
func (es eras) at(seq fact.Seq) era {
	i := len(es) - 1
	for i > 0 && es[i].seq >= seq {
		i--
	}
	return es[i]
}

// correct ends the era that lasts and begins another. No deadline that was given so far counts as later than the time at
// which the correction was stored and the pending time: with that, a half waits no longer than it would have by right.
func (s *step) correct(was, stored fact.UnixMilli) {
	limit := stored.Add(getSchedule(s.tx).pendingFor)
	for i, e := range s.eras {
		s.eras[i] = e.correct(was, limit)
	}
	s.eras = append(s.eras, era{seq: s.seq, limit: noLimit})
	s.tx.Put(bucketEra, erasKey, s.eras.encode())
}

// expire drops the records that are overdue, era by era and by (deadline, sequence) within each, as many in all as one
// fact may. An era goes with its last record, unless it lasts.
func (s *step) expire(most int) {
	last := len(s.eras) - 1
	var emptied []fact.Seq
	for i, e := range s.eras {
		overdue, more := s.overdueOf(e, most)
		for _, h := range overdue {
			s.drop(h)
		}
		most -= len(overdue)
		if !more && i < last {
			emptied = append(emptied, e.seq)
		}
	}
	if emptied != nil {
		s.eras = slices.DeleteFunc(s.eras, func(e era) bool { return slices.Contains(emptied, e.seq) })
		s.tx.Put(bucketEra, erasKey, s.eras.encode())
	}
}

// overdueOf returns the first overdue records of the era, at most so many, and whether it has more records, overdue or not.
func (s *step) overdueOf(e era, most int) (overdue []half, more bool) {
	for k, v := range s.tx.Scan(bucketDue, eraPrefix(e.seq), nil) {
		if deadline, _ := decodeDueKey(k); !e.overdue(deadline, s.now) || len(overdue) == most {
			return overdue, true
		}
		overdue = append(overdue, decodeHalf(v, s.tx.Get(bucketHalf, v)))
	}
	return overdue, false
}

// overdue reports whether the record does not count any more, whether that was noted yet or not.
func (s *step) overdue(h half) bool { return s.eras.at(h.seq).overdue(h.deadline, s.now) }
