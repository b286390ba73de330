package tap

import (
	"bytes"
	"encoding/binary"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
)

// The buckets of the view beside those of package roster, with the size of each field in bytes. Integers are
// big-endian, so that keys sort by number.
const (
	bucketHalf       = "half"       // tap id 16, author 8 -> deadline 8, sequence 8; of a pending one also counter 4, wearer 16
	bucketDue        = "due"        // era 8, deadline 8, sequence 8 -> tap id 16, author 8
	bucketEra        = "era"        // "all" -> of each era: its sequence 8, limit 8, dead 8; see file era.go
	bucketPair       = "pair"       // lo 16, hi 16 -> cause 8, standing 1; after commands also, of lo and then of hi: a side as below
	bucketFriend     = "friend"     // wearer 16, inverted cause 8 -> friend 16; wearer 16 alone -> count 4, of a wearer with friends
	bucketFriendship = "friendship" // cause 8 -> lo 16, hi 16, tap id 16, mate 8, sequence of its end 8, ending 1, ended by 1
	bucketTotal      = "total"      // "all" -> the sums of Tally, 8 each
	bucketSchedule   = "schedule"   // "now" -> pending for 8, in milliseconds, and the window as package rules writes it
)

// A side of a pair is: last command 8, last block command 8, blocked 1, number of marks 4, and each mark: pin 8, counter 4.

// The sizes of keys and values, as above.
const (
	wearerSize        = 16
	halfKeySize       = 16 + 8
	doneSize          = 8 + 8
	pendingSize       = doneSize + 4 + wearerSize
	dueKeySize        = 8 + 8 + 8
	eraSize           = 8 + 8 + 8
	pairKeySize       = 2 * wearerSize
	pairSize          = 8 + 1
	sideSize          = 8 + 8 + 1 + 4
	markSize          = 8 + 4
	friendKeySize     = wearerSize + 8
	countSize         = 4
	friendshipKeySize = 8
	friendshipSize    = 2*wearerSize + 16 + 8 + 8 + 1 + 1
	tallySums         = 8 + len(Tally{}.Refused) - 1
	tallySize         = 8 * tallySums
	scheduleSize      = 8 + rules.WindowSize
)

// half is what is kept of a reported half until its deadline, and its key.
type half struct {
	tap      fact.TapID
	author   fact.PinID
	deadline fact.UnixMilli
	seq      fact.Seq
	pending  bool          // else done: it has its outcome and is kept to know a repeat by
	counter  fact.Counter  // of a pending one
	wearer   fact.WearerID // of a pending one: the author's
}

func halfKey(tap fact.TapID, author fact.PinID) []byte {
	return append(append(make([]byte, 0, halfKeySize), tap[:]...), author[:]...)
}

func decodeHalf(k, v []byte) half {
	h := half{
		tap:      fact.TapID(k[:16]),
		author:   fact.PinID(k[16:]),
		deadline: fact.UnixMilli(binary.BigEndian.Uint64(v)),
		seq:      fact.Seq(binary.BigEndian.Uint64(v[8:])),
		pending:  len(v) == pendingSize,
	}
	if h.pending {
		h.counter = fact.Counter(binary.BigEndian.Uint32(v[16:]))
		h.wearer = fact.WearerID(v[20:])
	}
	return h
}

func (h half) encode() []byte {
	v := make([]byte, 0, pendingSize)
	v = binary.BigEndian.AppendUint64(v, uint64(h.deadline))
	v = binary.BigEndian.AppendUint64(v, uint64(h.seq))
	if h.pending {
		v = binary.BigEndian.AppendUint32(v, uint32(h.counter))
		v = append(v, h.wearer[:]...)
	}
	return v
}

func dueKey(era fact.Seq, deadline fact.UnixMilli, seq fact.Seq) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, dueKeySize), uint64(era))
	k = binary.BigEndian.AppendUint64(k, uint64(deadline))
	return binary.BigEndian.AppendUint64(k, uint64(seq))
}

// decodeDueKey leaves out the era, which is that of the sequence.
func decodeDueKey(k []byte) (fact.UnixMilli, fact.Seq) {
	return fact.UnixMilli(binary.BigEndian.Uint64(k[8:])), fact.Seq(binary.BigEndian.Uint64(k[16:]))
}

// eraPrefix begins the dueKeys of an era.
func eraPrefix(era fact.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(era)) }

var erasKey = []byte("all")

func decodeEras(v []byte) eras {
	es := make(eras, 0, len(v)/eraSize+1) // and one that may come
	for ; len(v) > 0; v = v[eraSize:] {
		es = append(es, era{
			seq: fact.Seq(binary.BigEndian.Uint64(v)), limit: fact.UnixMilli(binary.BigEndian.Uint64(v[8:])),
			dead: fact.UnixMilli(binary.BigEndian.Uint64(v[16:])),
		})
	}
	return es
}

func (es eras) encode() []byte {
	v := make([]byte, 0, len(es)*eraSize)
	for _, e := range es {
		v = binary.BigEndian.AppendUint64(v, uint64(e.seq))
		v = binary.BigEndian.AppendUint64(v, uint64(e.limit))
		v = binary.BigEndian.AppendUint64(v, uint64(e.dead))
	}
	return v
}

// pair is what two wearers are to each other, and its key.
type pair struct {
	lo, hi   fact.WearerID
	cause    fact.Seq // of the current friendship, or else of the last one; 0 = there never was one
	standing standing
	sides    [2]side // what lo ordered, what hi did
}

// standing says whether the pair is friends.
type standing uint8

const (
	apart   standing = iota // never friends, or no longer
	friends                 // now
	revoked                 // never again
)

// side is what one of a pair ordered by Unfriended, Blocked and Unblocked, as far as they took effect.
type side struct {
	last    fact.Seq // the last of these commands; 0 = there was none
	block   fact.Seq // the last Blocked or Unblocked; 0 = there was none
	blocked bool     // that was a Blocked
	marks   []mark   // of the author's pins, in the order of their ids; a pin without one counts as marked at 0
}

// mark remembers the highest counter that a pin had signed with by its wearer's last command. What it signed up to there
// forms nothing.
type mark struct {
	pin     fact.PinID
	counter fact.Counter
}

// newPair returns the record of two wearers who have none yet.
func newPair(a, b fact.WearerID) pair {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return pair{lo: a, hi: b}
}

// of returns the side of one of the two wearers.
func (p *pair) of(w fact.WearerID) *side {
	if w == p.hi {
		return &p.sides[1]
	}
	return &p.sides[0]
}

// mark returns the counter up to which halves of the pin form nothing.
func (s *side) mark(pin fact.PinID) fact.Counter {
	for _, m := range s.marks {
		if m.pin == pin {
			return m.counter
		}
	}
	return 0
}

func pairKey(lo, hi fact.WearerID) []byte {
	return append(append(make([]byte, 0, pairKeySize), lo[:]...), hi[:]...)
}

func getPair(r kv.Reader, a, b fact.WearerID) pair {
	p := newPair(a, b)
	k := pairKey(p.lo, p.hi)
	if v := r.Get(bucketPair, k); v != nil {
		return decodePair(k, v)
	}
	return p
}

func decodePair(k, v []byte) pair {
	p := pair{
		lo:       fact.WearerID(k[:16]),
		hi:       fact.WearerID(k[16:]),
		cause:    fact.Seq(binary.BigEndian.Uint64(v)),
		standing: standing(v[8]),
	}
	if v = v[pairSize:]; len(v) > 0 {
		v = p.sides[0].decode(v)
		p.sides[1].decode(v)
	}
	return p
}

// decode reads the side, and returns what stands behind it.
func (s *side) decode(v []byte) []byte {
	s.last, s.block = fact.Seq(binary.BigEndian.Uint64(v)), fact.Seq(binary.BigEndian.Uint64(v[8:]))
	s.blocked = v[16] != 0
	n := binary.BigEndian.Uint32(v[17:])
	for v = v[sideSize:]; n > 0; n, v = n-1, v[markSize:] {
		s.marks = append(s.marks, mark{pin: fact.PinID(v[:8]), counter: fact.Counter(binary.BigEndian.Uint32(v[8:]))})
	}
	return v
}

func (p *pair) encode() []byte {
	v := make([]byte, 0, pairSize)
	v = binary.BigEndian.AppendUint64(v, uint64(p.cause))
	v = append(v, byte(p.standing))
	if p.sides[0].last == 0 && p.sides[1].last == 0 {
		return v
	}
	for _, s := range p.sides {
		v = binary.BigEndian.AppendUint64(v, uint64(s.last))
		v = binary.BigEndian.AppendUint64(v, uint64(s.block))
		v = append(v, boolByte(s.blocked))
		v = binary.BigEndian.AppendUint32(v, uint32(len(s.marks)))
		for _, m := range s.marks {
			v = append(v, m.pin[:]...)
			v = binary.BigEndian.AppendUint32(v, uint32(m.counter))
		}
	}
	return v
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// pairFits reports whether the value has the length of its layout.
func pairFits(v []byte) bool {
	if len(v) == pairSize {
		return true
	}
	for range 2 {
		if len(v) < pairSize+sideSize {
			return false
		}
		marks := uint64(binary.BigEndian.Uint32(v[pairSize+sideSize-4:]))
		if marks*markSize > uint64(len(v)-pairSize-sideSize) {
			return false
		}
		v = v[sideSize+int(marks)*markSize:]
	}
	return len(v) == pairSize
}

// friendKey inverts the cause, so that the newest friendship of a wearer comes first.
func friendKey(w fact.WearerID, cause fact.Seq) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, friendKeySize), w[:]...), ^uint64(cause))
}

// causeOf returns the friendship that a friend key names.
func causeOf(k []byte) fact.Seq { return fact.Seq(^binary.BigEndian.Uint64(k[16:])) }

func encodeCount(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func decodeCount(v []byte) uint32 { return binary.BigEndian.Uint32(v) }

func friendshipKey(cause fact.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(cause)) }

func decodeFriendship(k, v []byte) Friendship {
	return Friendship{
		Cause:  fact.Seq(binary.BigEndian.Uint64(k)),
		Lo:     fact.WearerID(v[:16]),
		Hi:     fact.WearerID(v[16:32]),
		Tap:    fact.TapID(v[32:48]),
		Mate:   fact.Seq(binary.BigEndian.Uint64(v[48:])),
		Ended:  fact.Seq(binary.BigEndian.Uint64(v[56:])),
		Ending: fact.Ending(v[64]),
		by:     v[65],
	}
}

func (f Friendship) encode() []byte {
	v := make([]byte, 0, friendshipSize)
	v = append(v, f.Lo[:]...)
	v = append(v, f.Hi[:]...)
	v = append(v, f.Tap[:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(f.Mate))
	v = binary.BigEndian.AppendUint64(v, uint64(f.Ended))
	return append(v, byte(f.Ending), f.by)
}

var tallyKey = []byte("all")

// sums lists the fields in the order of the layout.
func (t *Tally) sums() [tallySums]*uint64 {
	sums := [tallySums]*uint64{
		&t.Halves, &t.Matched, &t.AlreadyFriends, &t.Duplicate, &t.Expired, &t.Pending,
		&t.Friendships, &t.FriendshipsFormed,
	}
	for refusal := 1; refusal < len(t.Refused); refusal++ {
		sums[tallySums-len(t.Refused)+refusal] = &t.Refused[refusal]
	}
	return sums
}

func decodeTally(v []byte) Tally {
	var t Tally
	for i, sum := range t.sums() {
		*sum = binary.BigEndian.Uint64(v[8*i:])
	}
	return t
}

func (t *Tally) encode() []byte {
	v := make([]byte, 0, tallySize)
	for _, sum := range t.sums() {
		v = binary.BigEndian.AppendUint64(v, *sum)
	}
	return v
}

// schedule is what the fold needs of the rules in force.
type schedule struct {
	pendingFor time.Duration
	window     rules.Window
}

var scheduleKey = []byte("now")

// getSchedule returns the zero schedule before any rules were adopted.
func getSchedule(r kv.Reader) schedule {
	v := r.Get(bucketSchedule, scheduleKey)
	if v == nil {
		return schedule{}
	}
	return decodeSchedule(v)
}

func decodeSchedule(v []byte) schedule {
	return schedule{
		pendingFor: time.Duration(binary.BigEndian.Uint64(v)) * time.Millisecond,
		window:     rules.WindowFrom(v[8:]),
	}
}

func (s schedule) encode() []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, scheduleSize), uint64(s.pendingFor.Milliseconds()))
	return rules.AppendWindow(v, s.window)
}
