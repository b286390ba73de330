package rewards

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/view"
)

// manySports returns as many sports as rules can have.
func manySports(t *testing.T) []string {
	var ids []string
	for {
		more := append(slices.Clone(ids), fmt.Sprintf("sport-%d", len(ids)))
		if err := rules.Check(rulesWith(1, 0, fact.Thresholds{Bronze: 1, Silver: 2, Gold: 3}, more...)); err != nil {
			t.Logf("%d sports, then: %v", len(ids), err)
			return ids
		}
		ids = more
	}
}

// The most that one fact can lead to: both wearers get everything.
func TestStepDerivesAtMost256(t *testing.T) {
	w := newWorld(t)
	sports := manySports(t)
	for range 3 {
		w.fold(formed(wearer("Ann"), wearer("Ben")))
	}
	medals := fact.Thresholds{Bronze: 1, Silver: 2, Gold: 3}
	w.fold(fact.RulesAdopted{Rules: rulesWith(1, uint32(len(sports)), medals, sports...)})
	cause, derived := w.fold(formed(wearer("Ann"), wearer("Ben")))
	w.check()
	if got, want := len(derived), 2*(len(sports)+3); got != want || got > 256 {
		t.Errorf("got %d derived facts, want %d, at most 256", got, want)
	}
	w.read(func(r kv.Reader) {
		// The index of an award fits the byte that the view gives it.
		last := AwardID{cause, uint32(len(derived) - 1)}
		if got := AwardsOf(r, wearer("Ben")).Medals[2].Award; got != last {
			t.Errorf("got the last award as %v, want %v", got, last)
		}
	})
}

// TestChooseNothing: a medal is of no sport, so the background of no name is none that somebody with a medal holds.
func TestChooseNothing(t *testing.T) {
	w := newWorld(t)
	w.fold(fact.RulesAdopted{Rules: rulesWith(1, 0, fact.Thresholds{Bronze: 1, Silver: 2, Gold: 3}, "judo")})
	w.fold(formed(wearer("Ann"), wearer("Ben")))
	w.fold(fact.BackgroundChosen{Wearer: wearer("Ann"), Background: "judo"})
	w.fold(fact.BackgroundChosen{Wearer: wearer("Ann")})
	w.check()
	w.read(func(r kv.Reader) {
		if got := AwardsOf(r, wearer("Ann")); got.Chosen != "judo" || len(got.Medals) != 1 {
			t.Errorf("got %+v, want a medal, and judo as it was chosen", got)
		}
	})
}

func TestStepIsTotal(t *testing.T) {
	w := newWorld(t)
	refused := tokyo
	refused.FriendsPerBackground = 0
	for _, f := range []fact.Fact{
		nil,
		fact.RulesAdopted{Rules: refused},
		fact.RulesAdopted{},
		fact.FriendshipFormed{}, // of a wearer with itself
		fact.FriendshipEnded{},
		fact.FriendshipEnded{},
		fact.BackgroundChosen{},
		fact.AwardRevoked{Cause: math.MaxUint64, Index: math.MaxUint32},
		fact.TimePassed{Time: 1},
		fact.MedalAwarded{},
	} {
		if _, derived := w.fold(f); derived != nil {
			t.Errorf("%+v: got %+v, want nothing", f, derived)
		}
		w.check()
	}
	if got := oneMore(math.MaxUint32); got != math.MaxUint32 {
		t.Errorf("one more than the highest count: got %d", got)
	}
}

// randomLog returns n facts about some 60 wearers.
func randomLog(seed uint64, n int) []fact.Entry {
	rnd := rand.New(rand.NewPCG(seed, 0))
	somebody := func() fact.WearerID { return wearer(fmt.Sprintf("w%d", rnd.IntN(60))) }
	other := func(w fact.WearerID) fact.WearerID {
		for {
			if o := somebody(); o != w {
				return o
			}
		}
	}
	adopted := func() fact.RulesAdopted {
		bronze := 1 + rnd.Uint32N(10)
		sports := slices.Clone(tokyo.Sports)
		rnd.Shuffle(len(sports), func(i, j int) { sports[i], sports[j] = sports[j], sports[i] })
		medals := fact.Thresholds{Bronze: bronze, Silver: 2 * bronze, Gold: 3 * bronze}
		r := rulesWith(1+rnd.Uint32N(5), rnd.Uint32N(3), medals)
		r.Sports = sports[:3+rnd.IntN(30)]
		return fact.RulesAdopted{Rules: r}
	}
	log := []fact.Entry{{Seq: 1, Record: fact.Record{Fact: adopted()}}}
	for len(log) < n {
		var f fact.Fact
		a := somebody()
		switch pin := fmt.Sprintf("pin%d", rnd.IntN(100)); rnd.IntN(100) {
		case 0:
			f = adopted()
		case 1:
			f = fact.WearerErased{Wearer: a}
		case 2, 3, 4:
			f = fact.AwardRevoked{Cause: fact.Seq(1 + rnd.IntN(len(log))), Index: rnd.Uint32N(3)}
		case 5, 6, 7, 8, 9:
			f = fact.BackgroundChosen{Wearer: a, Background: tokyo.Sports[rnd.IntN(len(tokyo.Sports))].ID}
		case 10, 11, 12, 13:
			f = fact.PinRegistered{Key: pinKey(pin)}
		case 14, 15, 16, 17:
			f = paired(pin, a)
		case 18:
			f = fact.PinRetired{Pin: pinKey(pin).PinID()}
		default:
			if f = formed(a, other(a)); rnd.IntN(4) == 0 {
				f = ended(a, other(a))
			}
		}
		log = append(log, fact.Entry{Seq: fact.Seq(len(log) + 1), Record: fact.Record{Fact: f}})
	}
	return log
}

// The view is a function of the log, whatever keeps it and however the log is cut into transactions.
func TestViewsAgree(t *testing.T) {
	log := randomLog(1, 3000)
	memory := view.NewMemory()
	bolt, err := view.OpenBolt(filepath.Join(t.TempDir(), "rewards.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()

	var inMemory, inBolt []fact.Fact
	for chunk := range slices.Chunk(log, 7) {
		inMemory = append(inMemory, foldAll(t, memory, chunk)...)
	}
	for chunk := range slices.Chunk(log, 500) {
		inBolt = append(inBolt, foldAll(t, bolt, chunk)...)
	}
	if !slices.Equal(inMemory, inBolt) {
		t.Errorf("derived %d facts in memory and %d others in bbolt", len(inMemory), len(inBolt))
	}
	if got, want := digestOf(t, bolt), digestOf(t, memory); got != want {
		t.Errorf("digest of bbolt is %v, of memory %v", got, want)
	}
	t.Logf("%d facts, %d derived", len(log), len(inBolt))
}

func digestOf(t *testing.T, v view.Store) (d view.Digest) {
	t.Helper()
	err := v.View(func(r view.Reader) error {
		d = view.DigestOf(r)
		return Check(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Check has to notice what it is for: an entry that is lost, or a byte that is not what it was. What it cannot see, such
// as another name of a sport, the audit does.
func TestCheckFinds(t *testing.T) {
	log := randomLog(2, 600)
	for _, bucket := range []string{wearers, awards, ranks, counts, sums, ruled, sports} {
		t.Run(bucket+" lost", func(t *testing.T) {
			spoil(t, log, bucket, func(tx kv.Tx, k, _ []byte) { tx.Delete(bucket, k) })
		})
	}
	for _, bucket := range []string{awards, ranks} {
		t.Run(bucket+" of nobody", func(t *testing.T) {
			spoil(t, log, bucket, func(tx kv.Tx, k, v []byte) {
				k = slices.Clone(k)
				k[0] ^= 1
				tx.Put(bucket, k, v)
			})
		})
	}
	t.Run("complete with nothing, in the totals too", func(t *testing.T) {
		spoil(t, log, wearers, func(tx kv.Tx, _, _ []byte) {
			for k, v := range tx.Scan(wearers, nil, nil) {
				if rec := decodeRecord(v); rec.held == 0 && !rec.complete {
					old := rec.head
					rec.complete = true
					tx.Put(wearers, k, rec.encode())
					moveTotals(tx, old, rec.head)
					return
				}
			}
			t.Fatal("all wearers have backgrounds")
		})
	})
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("awards in another order, of one cause %t", together), func(t *testing.T) {
			spoil(t, log, wearers, func(tx kv.Tx, _, _ []byte) {
				for k, v := range tx.Scan(wearers, nil, nil) {
					last := award{}
					for i, a := range decodeRecord(v).all() {
						if i > 0 && last.medal == 0 && a.medal == 0 && !last.revoked && !a.revoked && (last.cause == a.cause) == together {
							one, two := headSize+(i-1)*awardSize, headSize+i*awardSize
							tx.Put(wearers, k, slices.Concat(v[:one], v[two:two+awardSize], v[one:two], v[two+awardSize:]))
							return
						}
						last = a
					}
				}
				t.Fatal("no wearer has two such backgrounds")
			})
		})
	}
	t.Run("a medal of a sport", func(t *testing.T) {
		spoil(t, log, wearers, func(tx kv.Tx, _, _ []byte) {
			for k, v := range tx.Scan(wearers, nil, nil) {
				for i, a := range decodeRecord(v).all() {
					if a.medal != 0 {
						v = slices.Clone(v)
						v[headSize+(i+1)*awardSize-1] = 1
						tx.Put(wearers, k, v)
						return
					}
				}
			}
			t.Fatal("no wearer has a medal")
		})
	})
	t.Run("a record with a byte behind", func(t *testing.T) {
		spoil(t, log, wearers, func(tx kv.Tx, k, v []byte) { tx.Put(wearers, k, append(v, 0)) })
	})
	t.Run("a sport listed twice", func(t *testing.T) {
		spoil(t, log, ruled, func(tx kv.Tx, k, v []byte) {
			copy(v[numbersSize+sportSize:], v[numbersSize:numbersSize+sportSize])
			tx.Put(ruled, k, v)
		})
	})
	t.Run("one sport given twice", func(t *testing.T) {
		spoil(t, log, wearers, func(tx kv.Tx, _, _ []byte) {
			for k, v := range tx.Scan(wearers, nil, nil) {
				last, at := award{}, 0
				for i, a := range decodeRecord(v).all() {
					// Of two that nobody chose, so that nothing else is wrong.
					if last.sport != 0 && a.sport != 0 && last.sport != decodeRecord(v).chosen && a.sport != decodeRecord(v).chosen {
						v = slices.Clone(v)
						copy(v[headSize+i*awardSize+awardSize-4:headSize+(i+1)*awardSize], v[headSize+at*awardSize+awardSize-4:])
						tx.Put(wearers, k, v)
						return
					}
					last, at = a, i
				}
			}
			t.Fatal("no wearer has two such backgrounds")
		})
	})
	t.Run("a record shorter than its head, by an award", func(t *testing.T) {
		spoil(t, log, wearers, func(tx kv.Tx, k, v []byte) { tx.Put(wearers, k, v[:headSize-awardSize]) })
	})
	t.Run("two sports of one id", func(t *testing.T) {
		spoil(t, log, sports, func(tx kv.Tx, k, _ []byte) { tx.Put(sports, k, tx.Get(sports, sportKey(1))) })
	})
	t.Run("a number between two sports left out", func(t *testing.T) {
		spoil(t, log, sports, func(tx kv.Tx, k, v []byte) {
			tx.Delete(sports, k)
			k = slices.Clone(k)
			k[len(k)-1]++
			tx.Put(sports, k, v)
		})
	})
	for _, test := range []struct {
		what, bucket string
		at           int // the byte of the value
	}{
		{"friends", wearers, 3},
		{"given", wearers, 7},
		{"held", wearers, 11},
		{"chosen", wearers, 12},
		{"medal", wearers, 16},
		{"medals", wearers, 17},
		{"complete", wearers, 18},
		{"zero", wearers, 19},
		{"cause", wearers, headSize},
		{"index", wearers, headSize + 8},
		{"kind", wearers, headSize + kindAt},
		{"sport", wearers, headSize + 10},
		{"wearer", awards, 0},
		{"counter", counts, 11},
		{"total", sums, 55},
		{"listed sport", ruled, numbersSize},
	} {
		t.Run(test.what+" changed", func(t *testing.T) {
			spoil(t, log, test.bucket, func(tx kv.Tx, k, v []byte) {
				v[test.at] ^= 1
				tx.Put(test.bucket, k, v)
			})
		})
	}
}

// spoil lets f damage the last entry of the bucket, and wants Check to say so.
func spoil(t *testing.T, log []fact.Entry, bucket string, f func(tx kv.Tx, k, v []byte)) {
	t.Helper()
	v := view.NewMemory()
	foldAll(t, v, log)
	err := v.Update(func(tx kv.Tx) error {
		if err := Check(tx); err != nil {
			t.Fatalf("before: %v", err)
		}
		var key, value []byte
		for k, v := range tx.Scan(bucket, nil, nil) {
			key, value = k, slices.Clone(v)
		}
		f(tx, key, value)
		err := Check(tx)
		if err == nil {
			t.Error("got no fault")
			return nil
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		t.Log(first)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
