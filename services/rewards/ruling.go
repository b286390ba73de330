package rewards

import (
	"encoding/binary"
	"iter"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
)

// ruling is what the rules in force say about awards, small enough to be read in every step: five u32, friends per
// background, starter backgrounds, and the thresholds of bronze, silver and gold; then the sports, u32 each.
type ruling struct {
	fact.Rules        // the five numbers, and Sports of the right length, but blank: package rules only counts them
	sports     []byte // in the order of the rules
}

const (
	numbersSize = 20
	sportSize   = 4
)

// blank is as long as any list of sports.
var blank [256]fact.Sport

// sport stands for a sport's id in the view: its number, from 1, in the order in which adopted rules brought the ids up.
type sport uint32

var now = []byte("now")

// inForce returns the rules in force, or none if none were adopted so far.
func inForce(r kv.Reader) ruling {
	v := r.Get(ruled, now)
	if v == nil {
		return ruling{}
	}
	return ruling{
		Rules: fact.Rules{
			FriendsPerBackground: binary.BigEndian.Uint32(v),
			StarterBackgrounds:   binary.BigEndian.Uint32(v[4:]),
			Medals: fact.Thresholds{
				Bronze: binary.BigEndian.Uint32(v[8:]),
				Silver: binary.BigEndian.Uint32(v[12:]),
				Gold:   binary.BigEndian.Uint32(v[16:]),
			},
			Sports: blank[:(len(v)-numbersSize)/sportSize],
		},
		sports: v[numbersSize:],
	}
}

// adopted reports whether there are rules at all.
func (in ruling) adopted() bool { return len(in.Sports) > 0 }

// completedBy reports whether the wearer holds the background of every sport.
func (in ruling) completedBy(rec record) bool {
	if !in.adopted() || int(rec.held) < len(in.Sports) {
		return false
	}
	for range in.notIn(rec.sportsHeld()) {
		return false
	}
	return true
}

// notIn goes through the sports, in the order of the rules, that are not among the given.
func (in ruling) notIn(given map[sport]bool) iter.Seq[sport] {
	return func(yield func(sport) bool) {
		for i := range in.Sports {
			sp := sport(binary.BigEndian.Uint32(in.sports[i*sportSize:]))
			if !given[sp] && !yield(sp) {
				return
			}
		}
	}
}

// adopt puts the rules into force. Rules that package rules refuses change nothing; the codec of the log lets none in.
func adopt(tx kv.Tx, r fact.Rules) {
	if rules.Check(r) != nil {
		return
	}
	numbers := make(map[string]sport)
	for k, id := range tx.Scan(sports, nil, nil) {
		numbers[string(id)] = sport(binary.BigEndian.Uint32(k))
	}
	m := r.Medals
	var v []byte
	for _, n := range []uint32{r.FriendsPerBackground, r.StarterBackgrounds, m.Bronze, m.Silver, m.Gold} {
		v = binary.BigEndian.AppendUint32(v, n)
	}
	for _, listed := range r.Sports {
		sp, known := numbers[listed.ID]
		if !known {
			sp = sport(len(numbers) + 1)
			numbers[listed.ID] = sp
			tx.Put(sports, sportKey(sp), []byte(listed.ID))
		}
		v = binary.BigEndian.AppendUint32(v, uint32(sp))
	}
	tx.Put(ruled, now, v)
}

// sportID returns the id of a sport that some rules have brought up.
func sportID(r kv.Reader, sp sport) string { return string(r.Get(sports, sportKey(sp))) }

func sportKey(sp sport) []byte { return binary.BigEndian.AppendUint32(nil, uint32(sp)) }
