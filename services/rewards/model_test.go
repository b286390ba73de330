package rewards

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// dumb follows the rules above Core in plain maps, the slow way.
type dumb struct {
	rules    *fact.Rules
	pins     map[fact.PinID]bool // true = can be paired
	erased   map[fact.WearerID]bool
	friends  map[fact.WearerID]int
	given    map[fact.WearerID][]dumbAward
	chosen   map[fact.WearerID]string
	complete map[fact.WearerID]bool
}

type dumbAward struct {
	id      AwardID
	sport   string     // or
	medal   fact.Medal // one of the two
	revoked bool
}

func newDumb() *dumb {
	return &dumb{
		pins:     map[fact.PinID]bool{},
		erased:   map[fact.WearerID]bool{},
		friends:  map[fact.WearerID]int{},
		given:    map[fact.WearerID][]dumbAward{},
		chosen:   map[fact.WearerID]string{},
		complete: map[fact.WearerID]bool{},
	}
}

func (d *dumb) step(seq fact.Seq, f fact.Fact) []fact.Fact {
	var out []fact.Fact
	switch f := f.(type) {
	case fact.RulesAdopted:
		d.rules = &f.Rules
	case fact.PinRegistered:
		if _, known := d.pins[f.Key.PinID()]; !known {
			d.pins[f.Key.PinID()] = true
		}
	case fact.PinRetired:
		if _, known := d.pins[f.Pin]; known {
			d.pins[f.Pin] = false
		}
	case fact.PinPaired:
		if d.pins[f.Proof.Pin] && !d.erased[f.Wearer] {
			d.pins[f.Proof.Pin] = false
			out = d.check(seq, f.Wearer, out)
		}
	case fact.WearerErased:
		d.erased[f.Wearer] = true
	case fact.FriendshipFormed:
		for _, w := range []fact.WearerID{f.Lo, f.Hi} {
			d.friends[w]++
			out = d.check(seq, w, out)
		}
	case fact.FriendshipEnded:
		for _, w := range []fact.WearerID{f.Lo, f.Hi} {
			if d.friends[w] > 0 {
				d.friends[w]--
				out = d.check(seq, w, out)
			}
		}
	case fact.BackgroundChosen:
		for _, a := range d.backgrounds(f.Wearer) {
			if a.sport == f.Background && !a.revoked && !d.erased[f.Wearer] {
				d.chosen[f.Wearer] = f.Background
			}
		}
	case fact.AwardRevoked:
		d.revoke(f)
	}
	return out
}

func (d *dumb) backgrounds(w fact.WearerID) []dumbAward {
	return slices.DeleteFunc(slices.Clone(d.given[w]), func(a dumbAward) bool { return a.sport == "" })
}

// ids returns the awards that were ever given, in the order of the log.
func (d *dumb) ids() []AwardID {
	var ids []AwardID
	for _, list := range d.given {
		for _, a := range list {
			ids = append(ids, a.id)
		}
	}
	slices.SortFunc(ids, func(a, b AwardID) int {
		return cmp.Or(cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Index, b.Index))
	})
	return ids
}

func (d *dumb) was(w fact.WearerID, sport string, medal fact.Medal) bool {
	return slices.ContainsFunc(d.given[w], func(a dumbAward) bool { return a.sport == sport && a.medal == medal })
}

// due says how many backgrounds so many friends are, in the words of docs/design.md section 3.
func (d *dumb) due(friends int) int {
	due := int(d.rules.StarterBackgrounds)
	for n := 1; n <= friends; n++ {
		if n%int(d.rules.FriendsPerBackground) == 0 {
			due++
		}
	}
	return min(due, len(d.rules.Sports))
}

func (d *dumb) threshold(m fact.Medal) int {
	return int(map[fact.Medal]uint32{
		fact.Bronze: d.rules.Medals.Bronze, fact.Silver: d.rules.Medals.Silver, fact.Gold: d.rules.Medals.Gold,
	}[m])
}

func (d *dumb) check(seq fact.Seq, w fact.WearerID, out []fact.Fact) []fact.Fact {
	if d.rules == nil || d.erased[w] {
		return out
	}
	friends := d.friends[w]
	for _, sport := range d.rules.Sports {
		if len(d.backgrounds(w)) < d.due(friends) && !d.was(w, sport.ID, 0) {
			d.given[w] = append(d.given[w], dumbAward{id: AwardID{seq, uint32(len(out))}, sport: sport.ID})
			out = append(out, fact.BackgroundUnlocked{Wearer: w, Background: sport.ID, Friends: uint32(friends)})
		}
	}
	for _, m := range fact.Medals() {
		if friends >= d.threshold(m) && !d.was(w, "", m) {
			d.given[w] = append(d.given[w], dumbAward{id: AwardID{seq, uint32(len(out))}, medal: m})
			out = append(out, fact.MedalAwarded{Wearer: w, Medal: m, Friends: uint32(friends)})
		}
	}
	d.judge(w)
	return out
}

func (d *dumb) judge(w fact.WearerID) {
	missing := func(s fact.Sport) bool {
		return !slices.ContainsFunc(d.given[w], func(a dumbAward) bool { return a.sport == s.ID && !a.revoked })
	}
	d.complete[w] = !slices.ContainsFunc(d.rules.Sports, missing)
}

func (d *dumb) revoke(f fact.AwardRevoked) {
	for w, list := range d.given {
		for i, a := range list {
			if (a.id != AwardID{f.Cause, f.Index}) || a.revoked {
				continue
			}
			list[i].revoked = true
			if a.sport != "" && d.chosen[w] == a.sport {
				delete(d.chosen, w)
			}
			d.judge(w)
		}
	}
}

func (d *dumb) totals() Tally {
	var t Tally
	ends := 0
	for w := range d.friends {
		if ends += d.friends[w]; d.friends[w] > 0 {
			t.Befriended++
		}
	}
	t.Friendships = uint64(ends / 2)
	for w, list := range d.given {
		for _, a := range list {
			switch {
			case a.revoked:
			case a.sport != "":
				t.Backgrounds++
			case a.medal == fact.Bronze:
				t.Bronze++
			case a.medal == fact.Silver:
				t.Silver++
			case a.medal == fact.Gold:
				t.Gold++
			}
		}
		if d.complete[w] {
			t.Complete++
		}
	}
	return t
}

// ranking returns all places.
func (d *dumb) ranking() []Place {
	var list []Place
	for w, friends := range d.friends {
		if friends == 0 || d.erased[w] {
			continue
		}
		p := Place{Rank: 1, Score: uint32(friends), Wearer: w}
		for other, more := range d.friends {
			if more > friends && !d.erased[other] {
				p.Rank++
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), slices.Compare(a.Wearer[:], b.Wearer[:]))
	})
	return list
}

func (d *dumb) awardsOf(w fact.WearerID) Awards {
	a := Awards{Friends: uint32(d.friends[w]), Chosen: d.chosen[w]}
	for _, given := range d.given[w] {
		if given.sport != "" {
			a.Backgrounds = append(a.Backgrounds, Background{given.id, given.sport, given.revoked})
		} else if !given.revoked {
			a.Medals = append(a.Medals, Medal{given.id, given.medal})
		}
	}
	if d.rules == nil || d.erased[w] {
		return a
	}
	given := len(a.Backgrounds)
	if given < len(d.rules.Sports) {
		next := slices.IndexFunc(d.rules.Sports, func(s fact.Sport) bool { return !d.was(w, s.ID, 0) })
		a.NextBackground = d.rules.Sports[next].ID
		for d.due(d.friends[w]+int(a.ToBackground)) <= given {
			a.ToBackground++
		}
	}
	for _, m := range fact.Medals() {
		if !d.was(w, "", m) {
			a.NextMedal, a.ToMedal = m, uint32(max(d.threshold(m)-d.friends[w], 0))
			break
		}
	}
	return a
}

// people are few, so that they meet again, and near each other, so that their places in the index are.
var people = []fact.WearerID{{0: 1}, {0: 1, 15: 1}, {0: 1, 15: 2}, {0: 1, 1: 1}, {0: 2}, {0: 0x80}, {0: 0xff, 15: 0xff}}

var games = []string{"archery", "boxing", "canoe", "diving", "equestrian", "fencing"}

func drawRules() *rapid.Generator[fact.Rules] {
	return rapid.Custom(func(t *rapid.T) fact.Rules {
		sports := rapid.Permutation(games).Draw(t, "sports")[:rapid.IntRange(1, len(games)).Draw(t, "how many")]
		bronze := rapid.Uint32Range(1, 5).Draw(t, "bronze")
		silver := bronze + rapid.Uint32Range(1, 3).Draw(t, "silver")
		return rulesWith(
			rapid.Uint32Range(1, 3).Draw(t, "per"),
			rapid.Uint32Range(0, uint32(len(sports))).Draw(t, "starters"),
			fact.Thresholds{Bronze: bronze, Silver: silver, Gold: silver + rapid.Uint32Range(1, 3).Draw(t, "gold")},
			sports...)
	})
}

// TestModel folds random facts and compares what is derived, and every answer, with the dumb model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, d := newWorld(t), newDumb()
		fold := func(f fact.Fact) {
			seq, got := w.fold(f)
			if want := d.step(seq, f); !slices.Equal(got, want) {
				t.Fatalf("%v: %+v\ngot  %+v\nwant %+v", seq, f, got, want)
			}
		}
		anybody := func(t *rapid.T, label string) fact.WearerID { return rapid.SampledFrom(people).Draw(t, label) }
		pair := func(t *rapid.T) (lo, hi fact.WearerID) {
			two := rapid.SliceOfNDistinct(rapid.IntRange(0, len(people)-1), 2, 2, rapid.ID).Draw(t, "pair")
			slices.Sort(two)
			return people[two[0]], people[two[1]]
		}
		pin := func(t *rapid.T) string { return rapid.SampledFrom([]string{"p", "q", "r", "s"}).Draw(t, "pin") }
		form := func(t *rapid.T) { lo, hi := pair(t); fold(fact.FriendshipFormed{Lo: lo, Hi: hi}) }
		t.Repeat(map[string]func(*rapid.T){
			"form":     form,
			"form 2":   form, // so that counts grow
			"form 3":   form,
			"end":      func(t *rapid.T) { lo, hi := pair(t); fold(fact.FriendshipEnded{Lo: lo, Hi: hi}) },
			"refuse":   func(*rapid.T) { fold(fact.HalfRefused{Half: 1, Refusal: fact.RefusedClosed}) },
			"adopt":    func(t *rapid.T) { fold(fact.RulesAdopted{Rules: drawRules().Draw(t, "rules")}) },
			"register": func(t *rapid.T) { fold(fact.PinRegistered{Key: pinKey(pin(t))}) },
			"pair":     func(t *rapid.T) { fold(paired(pin(t), anybody(t, "wearer"))) },
			"retire":   func(t *rapid.T) { fold(fact.PinRetired{Pin: pinKey(pin(t)).PinID()}) },
			"erase": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "seldom") == 0 {
					fold(fact.WearerErased{Wearer: anybody(t, "wearer")})
				}
			},
			"choose": func(t *rapid.T) {
				fold(fact.BackgroundChosen{Wearer: anybody(t, "wearer"), Background: rapid.SampledFrom(games).Draw(t, "sport")})
			},
			"revoke": func(t *rapid.T) {
				award := rapid.SampledFrom(append(d.ids(), AwardID{1, 0}, AwardID{0, 256})).Draw(t, "award")
				fold(fact.AwardRevoked{Cause: award.Cause, Index: award.Index})
			},
			"": func(t *rapid.T) {
				w.check()
				w.read(func(r kv.Reader) { compare(t, r, d) })
			},
		})
	})
}

// compare compares every answer.
func compare(t *rapid.T, r kv.Reader, d *dumb) {
	if got, want := Totals(r), d.totals(); got != want {
		t.Fatalf("totals: got %+v, want %+v", got, want)
	}
	ranking := d.ranking()
	comparePages(t, r, ranking)
	for _, w := range people {
		if got, want := AwardsOf(r, w), d.awardsOf(w); !equalAwards(got, want) {
			t.Fatalf("awards of %v:\ngot  %+v\nwant %+v", w, got, want)
		}
		at := slices.IndexFunc(ranking, func(p Place) bool { return p.Wearer == w })
		own, ok := Rank(r, w)
		if ok != (at >= 0) || ok && own != ranking[at] {
			t.Fatalf("rank of %v: got %+v, %v in %v", w, own, ok, ranking)
		}
		for n := range 4 {
			var want []Place
			if at >= 0 {
				want = ranking[max(at-n, 0):min(at+n+1, len(ranking))]
			}
			if got := Neighbours(r, w, n); !slices.Equal(got, want) {
				t.Fatalf("%d neighbours of %v:\ngot  %v\nwant %v", n, w, got, want)
			}
		}
	}
}

func comparePages(t *rapid.T, r kv.Reader, ranking []Place) {
	for limit := 1; limit <= len(ranking)+1; limit++ {
		var got []Place
		var after Place
		for {
			page := Leaderboard(r, after, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[limit-1]
		}
		if !slices.Equal(got, ranking) {
			t.Fatalf("leaderboard in pages of %d:\ngot  %v\nwant %v", limit, got, ranking)
		}
	}
}

func equalAwards(a, b Awards) bool {
	return a.Friends == b.Friends && slices.Equal(a.Medals, b.Medals) && slices.Equal(a.Backgrounds, b.Backgrounds) &&
		a.Chosen == b.Chosen && a.NextBackground == b.NextBackground && a.ToBackground == b.ToBackground &&
		a.NextMedal == b.NextMedal && a.ToMedal == b.ToMedal
}
