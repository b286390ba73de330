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
	bucketDue        = "due"        // deadline 8, sequence 8 -> tap id 16, author 8
	bucketPair       = "pair"       // lo 16, hi 16 -> cause 8, standing 1, blocks 1; with marks also, of lo and then of hi: pin 8, counter 4, sequence 8
	bucketFriend     = "friend"     // wearer 16, inverted cause 8 -> friend 16; wearer 16 alone -> count 4, of a wearer with friends
	bucketFriendship = "friendship" // cause 8 -> lo 16, hi 16, tap id 16, mate 8, sequence of its end 8, ending 1
	bucketTotal      = "total"      // "all" -> the sums of Tally, 8 each
	bucketSchedule   = "schedule"   // "now" -> pending for 8, opens 8, closes 8, upload grace 8; all in milliseconds
)

// The sizes of keys and values, as above.
const (
	wearerSize        = 16
	halfKeySize       = 16 + 8
	doneSize          = 8 + 8
	pendingSize       = doneSize + 4 + wearerSize
	dueKeySize        = 8 + 8
	pairKeySize       = 2 * wearerSize
	pairSize          = 8 + 1 + 1
	markSize          = 8 + 4 + 8
	markedPairSize    = pairSize + 2*markSize
	friendKeySize     = wearerSize + 8
	countSize         = 4
	friendshipKeySize = 8
	friendshipSize    = 2*wearerSize + 16 + 8 + 8 + 1
	tallySums         = 8 + len(Tally{}.Refused) - 1
	tallySize         = 8 * tallySums
	scheduleSize      = 4 * 8
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

func dueKey(deadline fact.UnixMilli, seq fact.Seq) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, dueKeySize), uint64(deadline))
	return binary.BigEndian.AppendUint64(k, uint64(seq))
}

func decodeDueKey(k []byte) (fact.UnixMilli, fact.Seq) {
	return fact.UnixMilli(binary.BigEndian.Uint64(k)), fact.Seq(binary.BigEndian.Uint64(k[8:]))
}

// pair is what two wearers are to each other, and its key.
type pair struct {
	lo, hi   fact.WearerID
	cause    fact.Seq // of the current friendship, or else of the last one; 0 = there never was one
	standing standing
	blocks   [2]bool // by lo, by hi
	marks    [2]mark // of lo's commands, of hi's
}

// standing says whether the pair is friends.
type standing uint8

const (
	apart   standing = iota // never friends, or no longer
	friends                 // now
	revoked                 // never again
)

// mark remembers the last command by which one side of a pair ended or blocked a friendship. A half of that side which
// was signed before it forms nothing.
type mark struct {
	pin     fact.PinID
	counter fact.Counter
	seq     fact.Seq // of the command; 0 = no mark
}

// newPair returns the record of two wearers who have none yet.
func newPair(a, b fact.WearerID) pair {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return pair{lo: a, hi: b}
}

// side returns the place of one of the two wearers in blocks and marks.
func (p *pair) side(w fact.WearerID) int {
	if w == p.hi {
		return 1
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
		blocks:   [2]bool{v[9]&1 != 0, v[9]&2 != 0},
	}
	for side, v := 0, v[pairSize:]; side < len(p.marks) && len(v) > 0; side, v = side+1, v[markSize:] {
		p.marks[side] = mark{
			pin:     fact.PinID(v[:8]),
			counter: fact.Counter(binary.BigEndian.Uint32(v[8:])),
			seq:     fact.Seq(binary.BigEndian.Uint64(v[12:])),
		}
	}
	return p
}

func (p *pair) encode() []byte {
	v := make([]byte, 0, markedPairSize)
	v = binary.BigEndian.AppendUint64(v, uint64(p.cause))
	var blocks byte
	for side, blocked := range p.blocks {
		if blocked {
			blocks |= 1 << side
		}
	}
	v = append(v, byte(p.standing), blocks)
	if p.marks == [2]mark{} {
		return v
	}
	for _, m := range p.marks {
		v = append(v, m.pin[:]...)
		v = binary.BigEndian.AppendUint32(v, uint32(m.counter))
		v = binary.BigEndian.AppendUint64(v, uint64(m.seq))
	}
	return v
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
	}
}

func (f Friendship) encode() []byte {
	v := make([]byte, 0, friendshipSize)
	v = append(v, f.Lo[:]...)
	v = append(v, f.Hi[:]...)
	v = append(v, f.Tap[:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(f.Mate))
	v = binary.BigEndian.AppendUint64(v, uint64(f.Ended))
	return append(v, byte(f.Ending))
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
		window: rules.Window{
			Opens:       fact.UnixMilli(binary.BigEndian.Uint64(v[8:])),
			Closes:      fact.UnixMilli(binary.BigEndian.Uint64(v[16:])),
			UploadGrace: time.Duration(binary.BigEndian.Uint64(v[24:])) * time.Millisecond,
		},
	}
}

func (s schedule) encode() []byte {
	v := make([]byte, 0, scheduleSize)
	v = binary.BigEndian.AppendUint64(v, uint64(s.pendingFor.Milliseconds()))
	v = binary.BigEndian.AppendUint64(v, uint64(s.window.Opens))
	v = binary.BigEndian.AppendUint64(v, uint64(s.window.Closes))
	return binary.BigEndian.AppendUint64(v, uint64(s.window.UploadGrace.Milliseconds()))
}
