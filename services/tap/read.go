package tap

import (
	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// Friend is one line of a wearer's list of friends.
type Friend struct {
	Wearer     fact.WearerID
	Friendship fact.Seq // the friendship's cause
}

// Friends returns at most limit friends of the wearer, newest first: those whose friendship is older than after, the
// last one that the caller has seen, or from the start where after is 0. It reads as many keys as it returns friends.
func Friends(r kv.Reader, wearer fact.WearerID, after fact.Seq, limit int) []Friend {
	var list []Friend
	// 0-1 wraps to the newest friendship that there could be.
	for k, v := range r.Scan(bucketFriend, wearer[:], friendKey(wearer, after-1)) {
		if len(list) >= limit {
			break
		}
		cause := causeOf(k)
		list = append(list, Friend{Wearer: fact.WearerID(v), Friendship: cause})
	}
	return list
}

// FriendCount returns how many friends the wearer has, by a single read.
func FriendCount(r kv.Reader, wearer fact.WearerID) uint32 {
	v := r.Get(bucketFriend, wearer[:])
	if v == nil {
		return 0
	}
	return decodeCount(v)
}

// Friendship is one friendship, current or ended, and its evidence: the two halves of the tap that formed it.
type Friendship struct {
	Cause  fact.Seq      // the half that came second
	Mate   fact.Seq      // the half that came first
	Lo, Hi fact.WearerID // the pair in ascending order
	Tap    fact.TapID
	Ended  fact.Seq    // the command that ended it; 0 = it is current
	Ending fact.Ending // how it ended; 0 = it is current. It is not for everybody's eyes, see EndingFor
	by     byte        // who ended it, as in sideOf
}

// EndingFor returns how the friendship ended as it may be told to the wearer: only who blocked is told of the block. All
// others see a friendship that was ended.
func (f Friendship) EndingFor(w fact.WearerID) fact.Ending {
	if f.Ending == fact.EndedBlocked && f.sideOf(w) != f.by {
		return fact.EndedUnfriended
	}
	return f.Ending
}

// LastBlock returns the last Blocked or Unblocked of the wearer against the other that took effect, and whether the
// other is blocked by it; 0 if there is none. It is what the next one has to follow.
func LastBlock(r kv.Reader, wearer, other fact.WearerID) (last fact.Seq, blocked bool) {
	p := getPair(r, wearer, other)
	by := p.of(wearer)
	return by.block, by.blocked
}

// Current reports whether the two are friends by this friendship.
func (f Friendship) Current() bool { return f.Ended == 0 }

// FriendshipByCause returns the friendship whose FriendshipFormed has this cause, and whether there is one.
func FriendshipByCause(r kv.Reader, cause fact.Seq) (Friendship, bool) {
	k := friendshipKey(cause)
	v := r.Get(bucketFriendship, k)
	if v == nil {
		return Friendship{}, false
	}
	return decodeFriendship(k, v), true
}

// FriendshipOf returns the current friendship of two wearers, in either order, and whether they have one.
func FriendshipOf(r kv.Reader, a, b fact.WearerID) (Friendship, bool) {
	p := getPair(r, a, b)
	if p.standing != friends {
		return Friendship{}, false
	}
	return FriendshipByCause(r, p.cause)
}

// Tally counts the outcomes of all reported halves, and friendships.
type Tally struct {
	Halves uint64 // reported

	// What became of them. Each half is in one of these.
	Matched        uint64
	AlreadyFriends uint64
	Duplicate      uint64
	Expired        uint64
	Pending        uint64
	Refused        [fact.RefusedExpired]uint64 // by refusal; EXPIRED, the last one, is an outcome of its own

	Friendships       uint64 // current
	FriendshipsFormed uint64 // ever
}

// Outcomes returns the number of halves that have an outcome. It equals Halves (invariant 4).
func (t Tally) Outcomes() uint64 {
	sum := t.Matched + t.AlreadyFriends + t.Duplicate + t.Expired + t.Pending
	for _, n := range t.Refused {
		sum += n
	}
	return sum
}

// Totals returns the counts of the whole view, by a single read.
func Totals(r kv.Reader) Tally {
	v := r.Get(bucketTotal, tallyKey)
	if v == nil {
		return Tally{}
	}
	return decodeTally(v)
}
