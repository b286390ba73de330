package evidence

import (
	"encoding/binary"
	"iter"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
)

// The buckets of the index. Integers are big-endian; a wearer is 16 bytes, a pin 8.
const (
	// awardBucket: wearer, medal u8 (0 = a background), the background's id -> sequence u64, cause u64, index u32, count u32.
	awardBucket = "evidence.award"
	// friendshipBucket, both ways: wearer, cause u64 of the friendship -> sequence u64 of FriendshipFormed, mate u64,
	// sequence u64 of FriendshipEnded (0 = it has not ended). By cause is by the order in which they were formed, since
	// derived facts stand in the order of their causes.
	friendshipBucket = "evidence.friendship"
	// registeredBucket: pin -> sequence u64 of the PinRegistered that took effect.
	registeredBucket = "evidence.registered"
	// rulesBucket: sequence u64 of each RulesAdopted -> 1.
	rulesBucket = "evidence.rules"
	// rosterPrefix stands before the names of the buckets of package roster, which decides what takes effect.
	rosterPrefix = "evidence.roster."
)

// Enter folds the next message of the log into the index. It decodes only the families roster, friendship and award;
// its error is that of a message there which cannot be decoded. The caller keeps the position, and enters each message
// once.
func Enter(tx kv.Tx, m eventlog.Message) error {
	if m.Family != fact.Roster && m.Family != fact.Friendship && m.Family != fact.Award {
		return nil
	}
	e, err := m.Decode()
	if err != nil {
		return err
	}
	switch f := e.Fact.(type) {
	case fact.RulesAdopted:
		tx.Put(rulesBucket, appendSeq(nil, e.Seq), []byte{1})
	case fact.FriendshipFormed:
		v := appendSeq(nil, e.Seq, f.Mate, 0)
		tx.Put(friendshipBucket, friendshipKey(f.Lo, e.Derivation.Cause), v)
		tx.Put(friendshipBucket, friendshipKey(f.Hi, e.Derivation.Cause), v)
	case fact.FriendshipEnded:
		end(tx, friendshipKey(f.Lo, f.Friendship), e.Seq)
		end(tx, friendshipKey(f.Hi, f.Friendship), e.Seq)
	case fact.MedalAwarded, fact.BackgroundUnlocked:
		enterAward(tx, e)
	default:
		enterRoster(tx, e)
	}
	return nil
}

// end notes the end of a friendship. One that the log never formed is passed over.
func end(tx kv.Tx, key []byte, seq fact.Seq) {
	v := tx.Get(friendshipBucket, key)
	if v == nil {
		return
	}
	s := decodeStay(key, v)
	tx.Put(friendshipBucket, key, appendSeq(nil, s.formed, s.mate, seq))
}

// enterAward notes an award. The first in the log counts.
func enterAward(tx kv.Tx, e fact.Entry) {
	w, what, _, _ := given(e.Fact)
	key := awardKey(w, what)
	if tx.Get(awardBucket, key) != nil {
		return
	}
	v := appendSeq(nil, e.Seq, e.Derivation.Cause)
	v = binary.BigEndian.AppendUint32(v, e.Derivation.Index)
	tx.Put(awardBucket, key, binary.BigEndian.AppendUint32(v, e.Derivation.Count))
}

func enterRoster(tx kv.Tx, e fact.Entry) {
	effective := roster.Apply(newRosterTx(tx), e)
	if f, ok := e.Fact.(fact.PinRegistered); ok && effective {
		pin := f.Key.PinID()
		tx.Put(registeredBucket, pin[:], appendSeq(nil, e.Seq))
	}
}

// Ref is where an award stands in the log.
type Ref struct {
	Seq        fact.Seq
	Derivation fact.Derivation
}

// Find returns where the award of the wearer stands, and whether there is one. An award that was revoked since is found
// too: it was given.
func Find(r kv.Reader, w fact.WearerID, what Award) (Ref, bool) {
	v := r.Get(awardBucket, awardKey(w, what))
	if v == nil {
		return Ref{}, false
	}
	return Ref{Seq: seqAt(v, 0), Derivation: fact.Derivation{
		Cause: seqAt(v, 1), Index: binary.BigEndian.Uint32(v[16:]), Count: binary.BigEndian.Uint32(v[20:]),
	}}, true
}

// stay is a friendship of a wearer as the index has it.
type stay struct {
	cause  fact.Seq // the later half
	formed fact.Seq
	mate   fact.Seq // the first half
	ended  fact.Seq // 0 = not
}

// at reports whether the friendship was there once the fact at seq had its effect.
func (s stay) at(seq fact.Seq) bool { return s.formed <= seq && (s.ended == 0 || s.ended > seq) }

func decodeStay(k, v []byte) stay {
	return stay{cause: seqAt(k[len(fact.WearerID{}):], 0), formed: seqAt(v, 0), mate: seqAt(v, 1), ended: seqAt(v, 2)}
}

// staysOf goes through all friendships that the wearer ever had, in the order in which they were formed.
func staysOf(r kv.Reader, w fact.WearerID) iter.Seq[stay] {
	return func(yield func(stay) bool) {
		for k, v := range r.Scan(friendshipBucket, w[:], nil) {
			if !yield(decodeStay(k, v)) {
				return
			}
		}
	}
}

// rulesBefore returns the sequence of the last RulesAdopted before seq; 0 if there is none.
func rulesBefore(r kv.Reader, seq fact.Seq) fact.Seq {
	var last fact.Seq
	for k := range r.Scan(rulesBucket, nil, nil) {
		adopted := seqAt(k, 0)
		if adopted >= seq {
			break
		}
		last = adopted
	}
	return last
}

// enrolled returns where the pin was registered and paired; 0 where it was not.
func enrolled(r kv.Reader, id fact.PinID) (registered, paired fact.Seq) {
	if v := r.Get(registeredBucket, id[:]); v != nil {
		registered = seqAt(v, 0)
	}
	pin, _ := roster.PinByID(rosterReader{r}, id)
	return registered, pin.Paired
}

func awardKey(w fact.WearerID, what Award) []byte {
	return append(append(w[:len(w):len(w)], byte(what.Medal)), what.Background...)
}

func friendshipKey(w fact.WearerID, cause fact.Seq) []byte {
	return appendSeq(w[:len(w):len(w)], cause)
}

func appendSeq(b []byte, seqs ...fact.Seq) []byte {
	for _, seq := range seqs {
		b = binary.BigEndian.AppendUint64(b, uint64(seq))
	}
	return b
}

func seqAt(b []byte, i int) fact.Seq { return fact.Seq(binary.BigEndian.Uint64(b[8*i:])) }
