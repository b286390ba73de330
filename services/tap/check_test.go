package tap

import (
	"slices"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// TestCheck damages a good view in every way that Check looks for.
func TestCheck(t *testing.T) {
	anna, ben, chloe := wearerOf("anna"), wearerOf("ben"), wearerOf("chloe")
	// The halves of the view below: two that formed a current friendship, the cause of an ended one, one that waits.
	const first, current, ended, waiting = 9, 10, 12, 14
	tests := []struct {
		name   string
		damage func(tx kv.Tx)
		want   string
	}{
		{"LayoutOfKey", func(tx kv.Tx) { tx.Put(bucketHalf, []byte("short"), []byte("x")) }, "bucket half"},
		{"LayoutOfValue", func(tx kv.Tx) { tx.Put(bucketTotal, tallyKey, []byte("x")) }, "bucket total"},
		{"RecordNotDue", func(tx kv.Tx) { deleteFirst(tx, bucketDue) }, "is not in the due index"},
		{"DueWithoutRecord", func(tx kv.Tx) { deleteFirst(tx, bucketHalf) }, "has no record"},
		{"DueAtAnotherTime", func(tx kv.Tx) {
			changeHalf(tx, first, func(h *half) { h.deadline++ })
		}, "by its record"},
		{"DueForAnother", func(tx kv.Tx) {
			changeHalf(tx, first, func(h *half) { h.seq-- })
		}, "by its record"},
		{"PendingForAnother", func(tx kv.Tx) {
			changeHalf(tx, waiting, func(h *half) { h.wearer = anna })
		}, "who does not have pin"},
		{"BothPending", func(tx kv.Tx) {
			changeHalf(tx, first, func(h *half) { h.pending, h.wearer = true, anna })
			changeHalf(tx, current, func(h *half) { h.pending, h.wearer = true, ben })
		}, "are both pending"},
		{"PairDescends", func(tx kv.Tx) { put(tx, pair{lo: ben, hi: anna}) }, "ascending order"},
		{"FriendsAndBlocked", func(tx kv.Tx) {
			put(tx, pair{lo: anna, hi: ben, cause: current, standing: friends, sides: [2]side{{last: 9, block: 9, blocked: true}}})
		}, "friends and blocked"},
		{"MarkOfAnother", func(tx kv.Tx) {
			putMarks(tx, side{last: 9, marks: []mark{{pinOf("ben"), 1}}})
		}, "has a mark of " + anna.String() + " by pin"},
		{"MarkOfLaterPin", func(tx kv.Tx) {
			putMarks(tx, side{last: 3, marks: []mark{{pinOf("anna"), 1}}})
		}, "by pin"},
		{"MarkTwice", func(tx kv.Tx) {
			putMarks(tx, side{last: 9, marks: []mark{{pinOf("anna"), 1}, {pinOf("anna"), 2}}})
		}, "behind pin"},
		{"MarkOfNothing", func(tx kv.Tx) {
			putMarks(tx, side{last: 9, marks: []mark{{pinOf("anna"), 0}}})
		}, "at 0"},
		{"MarkWithoutCommand", func(tx kv.Tx) {
			put(tx, pair{
				lo: anna, hi: ben, cause: current, standing: friends,
				sides: [2]side{{marks: []mark{{pinOf("anna"), 1}}}, {last: 9}},
			})
		}, "who ordered nothing"},
		{"BlockedByNothing", func(tx kv.Tx) { putMarks(tx, side{last: 9, blocked: true}) }, "blocked by 0"},
		{"BlockBehindLast", func(tx kv.Tx) { putMarks(tx, side{last: 9, block: 10}) }, "blocked by 10, and ordered last by 9"},
		{"LayoutOfPair", func(tx kv.Tx) {
			p := pair{sides: [2]side{{last: 9}, {last: 9}}}
			tx.Put(bucketPair, pairKey(anna, ben), append(p.encode(), 1))
		}, "bucket pair"},
		{"LayoutOfMarks", func(tx kv.Tx) {
			p := pair{sides: [2]side{{last: 9}, {last: 9, marks: []mark{{}}}}}
			tx.Put(bucketPair, pairKey(anna, ben), p.encode()[:pairSize+2*sideSize+markSize-1])
		}, "bucket pair"},
		{"LayoutOfSides", func(tx kv.Tx) {
			p := pair{sides: [2]side{{last: 9}, {last: 9}}}
			tx.Put(bucketPair, pairKey(anna, ben), p.encode()[:pairSize+sideSize+2])
		}, "bucket pair"},
		{"EraWithoutEnd", func(tx kv.Tx) {
			putEras(tx, era{limit: noLimit}, era{seq: 5, limit: noLimit})
		}, "era 0 has the limit"},
		{"ErasDescend", func(tx kv.Tx) {
			putEras(tx, era{seq: 5, limit: 1 << 40}, era{seq: 5, limit: noLimit})
		}, "era 5 does not come before era 5"},
		{"LastEraEnds", func(tx kv.Tx) { putEras(tx, era{limit: 7}) }, "of 1 eras is number 1"},
		{"LastEraDies", func(tx kv.Tx) { putEras(tx, era{limit: noLimit, dead: 7}) }, "era 0 lasts"},
		{"DueInAnotherEra", func(tx kv.Tx) {
			putEras(tx, era{limit: 1 << 40}, era{seq: 5, limit: noLimit})
		}, "is not in the due index"},
		{"LayoutOfEras", func(tx kv.Tx) { tx.Put(bucketEra, erasKey, make([]byte, eraSize+1)) }, "bucket era"},
		{"PairOfNoFriendship", func(tx kv.Tx) { put(tx, pair{lo: anna, hi: ben, cause: 99}) }, "there is no friendship 99"},
		{"PairOfAnothersFriendship", func(tx kv.Tx) { put(tx, pair{lo: anna, hi: ben, cause: ended}) }, "is another pair's"},
		{"PairApart", func(tx kv.Tx) { put(tx, pair{lo: anna, hi: ben, cause: current}) }, "has standing 0"},
		{"PairRevoked", func(tx kv.Tx) { put(tx, pair{lo: anna, hi: chloe, cause: ended, standing: revoked}) }, "has standing 2"},
		{"PairMissing", func(tx kv.Tx) { tx.Delete(bucketPair, pairKey(anna, ben)) }, "friendship 10 is later than its pair's last, 0"},
		{"MateLater", func(tx kv.Tx) {
			changeFriendship(tx, current, func(f *Friendship) { f.Mate = current })
		}, "as its first"},
		{"EndedHalfway", func(tx kv.Tx) {
			changeFriendship(tx, current, func(f *Friendship) { f.Ending = fact.EndedBlocked })
		}, "friendship 10 ended at 0"},
		{"EndedTooEarly", func(tx kv.Tx) {
			changeFriendship(tx, ended, func(f *Friendship) { f.Ended = f.Cause })
		}, "before it began"},
		{"TwiceCurrent", func(tx kv.Tx) {
			f, _ := FriendshipByCause(tx, current)
			f.Cause = first
			tx.Put(bucketFriendship, friendshipKey(first), f.encode())
		}, "and so is 10 of the same pair"},
		{"NotListedByOne", func(tx kv.Tx) { tx.Delete(bucketFriend, friendKey(anna, current)) }, "not in the list of " + anna.String()},
		{"NotListedByOther", func(tx kv.Tx) { tx.Delete(bucketFriend, friendKey(ben, current)) }, "not in the list of " + ben.String()},
		{"ListedWithoutFriendship", func(tx kv.Tx) { tx.Put(bucketFriend, friendKey(ben, 3), chloe[:]) }, "is listed with"},
		{"ListedThoughEnded", func(tx kv.Tx) { tx.Put(bucketFriend, friendKey(anna, ended), chloe[:]) }, "by friendship 12"},
		{"Miscounted", func(tx kv.Tx) { tx.Put(bucketFriend, anna[:], encodeCount(7)) }, "1 friends listed and 7 counted"},
		{"MiscountedLast", func(tx kv.Tx) { tx.Delete(bucketFriend, ben[:]) }, "1 friends listed and 0 counted"},
		{"CountOfNone", func(tx kv.Tx) { tx.Put(bucketFriend, chloe[:], encodeCount(0)) }, "a count of no friends"},
		{"Outcomes", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Halves++ }) }, "6 halves have 5 outcomes"},
		{"Refusals", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Refused[fact.RefusedUnfriended]++ }) }, "5 halves have 6 outcomes"},
		{"Pending", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Pending-- }) }, "1 halves are pending, in total 0"},
		{"Matched", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Matched++ }) }, "4 halves formed friendships, in total 5"},
		{"Friendships", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.Friendships++ }) }, "1 friendships are current, in total 2"},
		{"Formed", func(tx kv.Tx) { changeTally(tx, func(t *Tally) { t.FriendshipsFormed++ }) }, "2 friendships were formed, in total 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.people("anna", "ben", "chloe")
			w.fold(reported("anna", "ben", "t1", 1), reported("ben", "anna", "t1", 1))
			w.fold(reported("anna", "chloe", "t2", 2), reported("chloe", "anna", "t2", 1))
			w.fold(fact.Unfriended{Wearer: anna, Pin: pinOf("anna"), Counter: 2, Friendship: w.seq})
			w.fold(reported("chloe", "ben", "t3", 2))
			w.check()
			w.update(tt.damage)
			w.view(func(r view.Reader) {
				if err := Check(r); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got the findings\n%v\nwant one with %q", err, tt.want)
				}
			})
		})
	}
}

// TestCheckLayouts lengthens each key and each value of a good view by a byte, one at a time.
func TestCheckLayouts(t *testing.T) {
	good := func() *world {
		w := newWorld(t)
		w.people("anna", "ben", "chloe")
		w.fold(reported("anna", "ben", "t1", 1), reported("ben", "anna", "t1", 1), reported("chloe", "ben", "t3", 2))
		w.check()
		return w
	}
	type entry struct{ key, value []byte }
	for _, bucket := range []string{bucketHalf, bucketDue, bucketFriend, bucketFriendship, bucketTotal, bucketSchedule, bucketPair, bucketEra} {
		var entries []entry
		good().view(func(r view.Reader) {
			for k, v := range r.Scan(bucket, nil, nil) {
				entries = append(entries, entry{slices.Clone(k), slices.Clone(v)})
			}
		})
		for _, e := range entries {
			for what, damaged := range map[string]entry{
				"key": {append(slices.Clone(e.key), 0), e.value}, "value": {e.key, append(slices.Clone(e.value), 0)},
			} {
				w := good()
				w.update(func(tx kv.Tx) {
					tx.Delete(bucket, e.key)
					tx.Put(bucket, damaged.key, damaged.value)
				})
				w.view(func(r view.Reader) {
					if err := Check(r); err == nil || !strings.Contains(err.Error(), "bucket "+bucket+", key ") {
						t.Errorf("bucket %s, key %x: a %s longer by a byte: got %v", bucket, e.key, what, err)
					}
				})
			}
		}
	}
}

// TestCheckFindingsAreBounded damages more than anybody wants to read.
func TestCheckFindingsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx kv.Tx) {
		for i := range 3 * maxFindings {
			tx.Put(bucketDue, dueKey(0, 0, fact.Seq(i+1)), halfKey(fact.TapID{}, fact.PinID{}))
		}
	})
	w.view(func(r view.Reader) {
		if got := strings.Count(Check(r).Error(), "\n") + 1; got != maxFindings {
			t.Errorf("got %d findings, want %d", got, maxFindings)
		}
	})
}

// putMarks gives anna a side between her and ben, who are friends.
func putMarks(tx kv.Tx, s side) {
	put(tx, pair{lo: wearerOf("anna"), hi: wearerOf("ben"), cause: 10, standing: friends, sides: [2]side{s}})
}

func putEras(tx kv.Tx, es ...era) { tx.Put(bucketEra, erasKey, eras(es).encode()) }

func put(tx kv.Tx, p pair) { tx.Put(bucketPair, pairKey(p.lo, p.hi), p.encode()) }

func deleteFirst(tx kv.Tx, bucket string) {
	var first []byte
	for k := range tx.Scan(bucket, nil, nil) {
		first = append(first, k...)
		break
	}
	tx.Delete(bucket, first)
}

func changeHalf(tx kv.Tx, seq fact.Seq, change func(*half)) {
	var h half
	for k, v := range tx.Scan(bucketHalf, nil, nil) {
		if h = decodeHalf(k, v); h.seq == seq {
			break
		}
	}
	change(&h)
	tx.Put(bucketHalf, halfKey(h.tap, h.author), h.encode())
}

func changeFriendship(tx kv.Tx, cause fact.Seq, change func(*Friendship)) {
	f, _ := FriendshipByCause(tx, cause)
	change(&f)
	tx.Put(bucketFriendship, friendshipKey(cause), f.encode())
}

func changeTally(tx kv.Tx, change func(*Tally)) {
	t := Totals(tx)
	change(&t)
	tx.Put(bucketTotal, tallyKey, t.encode())
}
