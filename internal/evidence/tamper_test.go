package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/statement"
	"pinfold/internal/view"
)

// bronzeWorld has a wearer with two friends, who thereby has the bronze medal and one background, and two strangers.
func bronzeWorld(t testing.TB) (*world, fact.WearerID) {
	w := newWorld(t, easyRules())
	var all []*client.Pin
	for range 5 {
		all = append(all, w.wearer())
	}
	w.meet(all[0], all[1])
	w.meet(all[3], all[4])
	w.meet(all[2], all[0])
	w.meet(all[1], all[2])
	return w, wearerOf(all[0])
}

// forgery is a certificate by an operator who can write any log, and signs checkpoints of it with the true key, but has no
// pin's key.
type forgery struct {
	t       testing.TB
	c       evidence.Certificate
	entries map[fact.Seq]fact.Entry // what its facts are to be
	size    fact.Seq                // of the log
}

// forge returns a certificate that is true so far.
func forge(t testing.TB, w *world, of fact.WearerID, what evidence.Award) *forgery {
	t.Helper()
	c, err := evidence.Parse(w.issue(w.collect(of, what), false))
	if err != nil {
		t.Fatal(err)
	}
	f := &forgery{t: t, c: *c, entries: map[fact.Seq]fact.Entry{}, size: w.next - 1}
	for _, m := range c.Facts {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		f.entries[e.Seq] = e
	}
	return f
}

// sign makes a log with the facts of the forgery, and nothing else of meaning, and returns the certificate of it.
func (f *forgery) sign() *evidence.Certificate {
	f.t.Helper()
	f.c.Facts = nil
	leaves := make([]merkle.Hash, f.size)
	for _, seq := range slices.Sorted(maps.Keys(f.entries)) {
		e := f.entries[seq]
		payload, err := eventlog.Encode(e.Record)
		if err != nil {
			f.t.Fatal(err)
		}
		m := eventlog.Message{Seq: seq, Stored: e.Stored, Family: e.Fact.Family(), Payload: payload}
		if leaves[seq-1], err = merkle.Leaf(m); err != nil {
			f.t.Fatal(err)
		}
		f.c.Facts = append(f.c.Facts, m)
	}
	f.plant(leaves)
	return &f.c
}

// plant makes the tree of the leaves, and takes checkpoint and hashes from it.
func (f *forgery) plant(leaves []merkle.Hash) {
	f.t.Helper()
	tree := view.NewMemory()
	if err := tree.Update(func(tx kv.Tx) error { return merkle.Append(tx, leaves...) }); err != nil {
		f.t.Fatal(err)
	}
	cp, text := checkpoint(f.t, tree)
	f.c.Checkpoint, f.c.Hashes = text, nil
	var seqs []fact.Seq
	for _, m := range f.c.Facts {
		seqs = append(seqs, m.Seq)
	}
	err := tree.View(func(r view.Reader) error {
		nodes, err := merkle.Nodes(r, cp.Size, seqs)
		for _, index := range slices.Sorted(maps.Keys(nodes)) {
			f.c.Hashes = append(f.c.Hashes, nodes[index])
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// nth returns the n-th fact, from 0, that is a T.
func nth[T fact.Fact](f *forgery, n int) (fact.Entry, T) {
	f.t.Helper()
	for _, seq := range slices.Sorted(maps.Keys(f.entries)) {
		if got, ok := f.entries[seq].Fact.(T); ok {
			if n == 0 {
				return f.entries[seq], got
			}
			n--
		}
	}
	f.t.Fatalf("no such %T", *new(T))
	panic("unreachable")
}

// change rewrites the n-th T.
func change[T fact.Fact](n int, how func(*T)) func(*forgery) {
	return func(f *forgery) {
		e, got := nth[T](f, n)
		how(&got)
		e.Fact = got
		f.entries[e.Seq] = e
	}
}

// derive rewrites from what the n-th T was derived.
func derive[T fact.Fact](n int, how func(*fact.Derivation)) func(*forgery) {
	return func(f *forgery) {
		e, _ := nth[T](f, n)
		how(&e.Derivation)
		f.entries[e.Seq] = e
	}
}

// drop leaves the n-th T out.
func drop[T fact.Fact](n int) func(*forgery) {
	return func(f *forgery) {
		e, _ := nth[T](f, n)
		delete(f.entries, e.Seq)
	}
}

// move puts the n-th T elsewhere.
func move[T fact.Fact](n int, to func(f *forgery, from fact.Seq) fact.Seq) func(*forgery) {
	return func(f *forgery) {
		e, _ := nth[T](f, n)
		delete(f.entries, e.Seq)
		e.Seq = to(f, e.Seq)
		if _, taken := f.entries[e.Seq]; taken {
			f.t.Fatalf("sequence %d is taken", e.Seq)
		}
		f.entries[e.Seq] = e
		f.size = max(f.size, e.Seq)
	}
}

func behind(f *forgery, _ fact.Seq) fact.Seq { return f.size + 1 }

// add puts facts behind all others.
func add(records ...fact.Record) func(*forgery) {
	return func(f *forgery) {
		for _, r := range records {
			f.size++
			f.entries[f.size] = fact.Entry{Seq: f.size, Record: r}
		}
	}
}

// TestTamperedByOperator has every field of every kind of fact, and every way to put facts together that is not the log's.
func TestTamperedByOperator(t *testing.T) {
	w, who := bronzeWorld(t)
	stranger := w.pins[4]
	for _, tt := range []struct {
		name   string
		tamper func(*forgery)
		want   evidence.Rule // "" = nobody can tell
	}{
		{"nothing", func(*forgery) {}, ""},

		{"medal to another wearer", change(0, func(f *fact.MedalAwarded) { f.Wearer = wearerOf(stranger) }), evidence.BadAward},
		{"another medal", change(0, func(f *fact.MedalAwarded) { f.Medal = fact.Gold }), evidence.BadAward},
		{"more friends", change(0, func(f *fact.MedalAwarded) { f.Friends++ }), evidence.BadCount},
		{"fewer friends", change(0, func(f *fact.MedalAwarded) { f.Friends-- }), evidence.BadCount},
		{"an earlier cause", derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Cause-- }), evidence.BadAward},
		{"a cause that is not there", derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Cause = 2 }), evidence.Missing},
		{"rules as the cause", func(f *forgery) {
			e, _ := nth[fact.RulesAdopted](f, 0)
			derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Cause = e.Seq })(f)
		}, evidence.BadOrder},
		{"itself as the cause", func(f *forgery) {
			e, _ := nth[fact.MedalAwarded](f, 0)
			derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Cause = e.Seq })(f)
		}, evidence.BadOrder},
		{"the cause was not the last friendship", func(f *forgery) {
			e, _ := nth[fact.FriendshipFormed](f, 0)
			derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Cause = e.Seq })(f)
		}, evidence.BadOrder},
		{"index and count", derive[fact.MedalAwarded](0, func(d *fact.Derivation) { d.Index, d.Count = 7, 9 }), ""},
		{"a background claimed", func(f *forgery) { f.c.What = background("aquatics") }, evidence.BadAward},
		{"another medal claimed", func(f *forgery) { f.c.What = medal(fact.Silver) }, evidence.BadAward},
		{"another wearer claimed", func(f *forgery) { f.c.Wearer = wearerOf(stranger) }, evidence.BadAward},
		{"another fact claimed", func(f *forgery) { f.c.Award = entryOf[fact.FriendshipFormed](f, 1).Seq }, evidence.BadAward},
		{"no fact claimed", func(f *forgery) { f.c.Award++ }, evidence.Missing},

		{"a higher threshold", change(0, func(f *fact.RulesAdopted) { f.Rules.Medals = fact.Thresholds{Bronze: 3, Silver: 4, Gold: 5} }), evidence.Threshold},
		{"other rules by name", change(0, func(f *fact.RulesAdopted) { f.Rules.Name = "Paris" }), ""},
		{"rules left out", drop[fact.RulesAdopted](0), evidence.Missing},
		{"rules adopted too late", move[fact.RulesAdopted](0, behind), evidence.BadOrder},
		{"rules twice", add(fact.Record{Fact: fact.RulesAdopted{Rules: easyRules()}}), evidence.Superfluous},

		{"friendship of others", change(0, func(f *fact.FriendshipFormed) { f.Lo, f.Hi = fact.WearerID{1}, fact.WearerID{2} }), evidence.BadFriendship},
		{"friendship with a stranger", change(0, func(f *fact.FriendshipFormed) {
			f.Lo, f.Hi = who, wearerOf(stranger)
			if bytes.Compare(f.Lo[:], f.Hi[:]) > 0 {
				f.Lo, f.Hi = f.Hi, f.Lo
			}
		}), evidence.BadPin},
		{"friendship with oneself", change(0, func(f *fact.FriendshipFormed) { f.Lo, f.Hi = who, who }), evidence.BadFriendship},
		{"friendship, wrong way round", change(0, func(f *fact.FriendshipFormed) { f.Lo, f.Hi = f.Hi, f.Lo }), evidence.BadFriendship},
		{"friendship by another tap", change(0, func(f *fact.FriendshipFormed) { f.Tap[0]++ }), evidence.BadTap},
		{"friendship by another mate", change(1, func(f *fact.FriendshipFormed) { f.Mate = 2 }), evidence.Missing},
		{"friendship by the mate of another", func(f *forgery) {
			_, first := nth[fact.FriendshipFormed](f, 0)
			change(1, func(f *fact.FriendshipFormed) { f.Mate = first.Mate })(f)
		}, evidence.BadTap},
		{"friendship by one half", func(f *forgery) {
			e, _ := nth[fact.FriendshipFormed](f, 0)
			change(0, func(f *fact.FriendshipFormed) { f.Mate = e.Derivation.Cause })(f)
		}, evidence.BadOrder},
		{"friendship by another later half", derive[fact.FriendshipFormed](0, func(d *fact.Derivation) { d.Cause-- }), evidence.BadOrder},
		{"friendship by the later half of another", func(f *forgery) {
			e, _ := nth[fact.FriendshipFormed](f, 0)
			derive[fact.FriendshipFormed](1, func(d *fact.Derivation) { d.Cause = e.Derivation.Cause })(f)
		}, evidence.BadOrder},
		{"friendship by rules", change(0, func(f *fact.FriendshipFormed) { f.Mate = 1 }), evidence.Unreadable},
		{"friendship left out", drop[fact.FriendshipFormed](0), evidence.BadCount},
		{"the cause left out", drop[fact.FriendshipFormed](1), evidence.Missing},
		{"friendship left out and not counted", func(f *forgery) {
			drop[fact.FriendshipFormed](0)(f)
			change(0, func(f *fact.MedalAwarded) { f.Friends-- })(f)
		}, evidence.Threshold},
		{"friendship after the award", func(f *forgery) {
			move[fact.FriendshipFormed](0, behind)(f)
		}, evidence.BadOrder},
		{"friendship before its halves", move[fact.FriendshipFormed](0, func(*forgery, fact.Seq) fact.Seq { return 2 }), evidence.BadOrder},
		{"friendship counted twice", func(f *forgery) { // the award has a third friend, who is the first one again
			e, first := nth[fact.FriendshipFormed](f, 0)
			e.Fact = first
			e.Seq++ // behind the first; another fact of the log, which the certificate does not have
			f.entries[e.Seq] = e
			change(0, func(f *fact.MedalAwarded) { f.Friends++ })(f)
		}, evidence.BadFriendship},

		{"half by another pin", change(0, func(f *fact.HalfReported) { f.Half.Pin = stranger.ID() }), evidence.BadTap},
		{"half with another pin", change(0, func(f *fact.HalfReported) { f.Half.Peer = stranger.ID() }), evidence.BadTap},
		{"half with another nonce", change(0, func(f *fact.HalfReported) { f.Half.Nonce[0]++ }), evidence.BadTap},
		{"half with another peer nonce", change(0, func(f *fact.HalfReported) { f.Half.PeerNonce[0]++ }), evidence.BadTap},
		{"later half by another pin", change(1, func(f *fact.HalfReported) { f.Half.Pin = stranger.ID() }), evidence.BadTap},
		{"later half with another pin", change(1, func(f *fact.HalfReported) { f.Half.Peer = stranger.ID() }), evidence.BadTap},
		{"later half with another nonce", change(1, func(f *fact.HalfReported) { f.Half.Nonce[0]++ }), evidence.BadTap},
		{"later half with another peer nonce", change(1, func(f *fact.HalfReported) { f.Half.PeerNonce[0]++ }), evidence.BadTap},
		{"half with another counter", change(0, func(f *fact.HalfReported) { f.Half.Counter++ }), evidence.BadSignature},
		{"half at another time", change(1, func(f *fact.HalfReported) { f.Half.Time++ }), evidence.BadSignature},
		{"half with another strength", change(2, func(f *fact.HalfReported) { f.Half.RSSI-- }), evidence.BadSignature},
		{"half by another link", change(3, func(f *fact.HalfReported) { f.Half.Link = fact.LinkNFC }), evidence.BadSignature},
		{"half with another signature", change(0, func(f *fact.HalfReported) { f.Signature[9]++ }), evidence.BadSignature},
		{"half carried by another", change(0, func(f *fact.HalfReported) { f.Carrier[0]++ }), ""},
		{"first half left out", drop[fact.HalfReported](0), evidence.Missing},
		{"later half left out", drop[fact.HalfReported](3), evidence.Missing},
		{"one half for both", func(f *forgery) {
			_, later := nth[fact.HalfReported](f, 1)
			change(0, func(f *fact.HalfReported) { *f = later })(f)
		}, evidence.BadTap},

		{"pin with another key", change(0, func(f *fact.PinRegistered) { f.Key[0]++ }), evidence.Missing},
		{"pin not registered", drop[fact.PinRegistered](1), evidence.Missing},
		{"pin registered late", move[fact.PinRegistered](0, behind), evidence.BadOrder},
		{"pin registered twice", add(fact.Record{Fact: fact.PinRegistered{Key: w.pins[0].Key()}}), evidence.BadPin},
		{"pin too many", add(fact.Record{Fact: fact.PinRegistered{Key: stranger.Key()}}), evidence.Superfluous},

		{"pin paired with a stranger", change(0, func(f *fact.PinPaired) { f.Wearer = wearerOf(stranger) }), evidence.BadPin},
		{"friend's pin paired with a stranger", change(1, func(f *fact.PinPaired) { f.Wearer = wearerOf(stranger) }), evidence.BadPin},
		{"friend's pin paired with the wearer", change(1, func(f *fact.PinPaired) { f.Wearer = who }), evidence.BadPin},
		{"proof of another pin", change(0, func(f *fact.PinPaired) { f.Proof.Pin = stranger.ID() }), evidence.Missing},
		{"proof for another challenge", change(0, func(f *fact.PinPaired) { f.Proof.Challenge[0]++ }), evidence.BadProof},
		{"proof at another time", change(1, func(f *fact.PinPaired) { f.Proof.Time++ }), evidence.BadSignature},
		{"proof with another signature", change(2, func(f *fact.PinPaired) { f.Signature[9]++ }), evidence.BadSignature},
		{"proof with another random", change(0, func(f *fact.PinPaired) { f.Random[0]++ }), evidence.BadProof},
		{"proof for other Games, well signed", func(f *forgery) {
			f.entries[entryOf[fact.PinPaired](f, 0).Seq] = fact.Entry{
				Seq: entryOf[fact.PinPaired](f, 0).Seq, Record: fact.Record{Fact: w.pairing(w.pins[0], who, "beijing2022")},
			}
		}, evidence.BadProof},
		{"pin not paired", drop[fact.PinPaired](1), evidence.Missing},
		{"pin paired late", move[fact.PinPaired](0, behind), evidence.BadOrder},
		{"pin paired twice", add(fact.Record{Fact: w.pairing(w.pins[0], who, games)}), evidence.BadPin},

		{"another award", add(fact.Record{
			Fact: fact.BackgroundUnlocked{Wearer: who, Background: "aquatics", Friends: 2}, Derivation: fact.Derivation{Cause: 3, Count: 1},
		}), evidence.Superfluous},
		{"other Games claimed", func(f *forgery) { f.c.Games = "beijing2022" }, evidence.BadCheckpoint},
		{"the short form", func(f *forgery) { f.c.Short = true }, evidence.Superfluous},
		{"no facts", func(f *forgery) { clear(f.entries) }, evidence.Missing},
	} {
		f := forge(t, w, who, medal(fact.Bronze))
		tt.tamper(f)
		_, err := f.sign().Check(trusted(t))
		if got := ruleOf(err); got != tt.want || (tt.want == "") != (err == nil) {
			t.Errorf("%s: got error %v, want rule %q", tt.name, err, tt.want)
		}
	}
}

func entryOf[T fact.Fact](f *forgery, n int) fact.Entry {
	e, _ := nth[T](f, n)
	return e
}

// TestTamperedByCourier flips what a certificate is made of, with no key at all.
func TestTamperedByCourier(t *testing.T) {
	w, who := bronzeWorld(t)
	for _, short := range []bool{true, false} {
		whole := w.issue(w.collect(who, medal(fact.Bronze)), short)
		refuse := func(name string, want evidence.Rule, tamper func(c *evidence.Certificate)) {
			t.Helper()
			c, err := evidence.Parse(whole)
			if err != nil {
				t.Fatal(err)
			}
			tamper(c)
			if _, err := c.Check(trusted(t)); err == nil || want != "" && ruleOf(err) != want {
				t.Errorf("short %t, %s: got error %v, want rule %q", short, name, err, want)
			}
		}
		c, err := evidence.Parse(whole)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range c.Facts {
			for at := range m.Payload {
				refuse("a byte of a payload", evidence.NotInLog, func(c *evidence.Certificate) { c.Facts[i].Payload[at] ^= 1 << (at % 8) })
			}
			refuse("a stored time", evidence.NotInLog, func(c *evidence.Certificate) { c.Facts[i].Stored++ })
			refuse("a family", evidence.NotInLog, func(c *evidence.Certificate) { c.Facts[i].Family = fact.Goal })
			refuse("no family", evidence.Unreadable, func(c *evidence.Certificate) { c.Facts[i].Family = "medal" })
			refuse("a sequence", "", func(c *evidence.Certificate) { c.Facts[i].Seq++ })
			refuse("no sequence", evidence.NotInLog, func(c *evidence.Certificate) { c.Facts[i].Seq = 0 })
			refuse("a sequence beyond the checkpoint", evidence.NotInLog, func(c *evidence.Certificate) { c.Facts[i].Seq = w.next })
			refuse("a fact left out", "", func(c *evidence.Certificate) { c.Facts = slices.Delete(c.Facts, i, i+1) })
			refuse("a fact twice", "", func(c *evidence.Certificate) { c.Facts = slices.Insert(c.Facts, i, m) })
		}
		for i := range c.Hashes {
			refuse("a hash", evidence.NotInLog, func(c *evidence.Certificate) { c.Hashes[i][i%32] ^= 4 })
			refuse("a hash left out", evidence.NotInLog, func(c *evidence.Certificate) { c.Hashes = slices.Delete(c.Hashes, i, i+1) })
		}
		refuse("a hash too many", evidence.NotInLog, func(c *evidence.Certificate) { c.Hashes = append(c.Hashes, merkle.Hash{}) })
		refuse("another award", "", func(c *evidence.Certificate) { c.Award-- })
		refuse("no checkpoint", evidence.BadCheckpoint, func(c *evidence.Certificate) { c.Checkpoint = "" })
		refuse("the other form", "", func(c *evidence.Certificate) { c.Short = !c.Short })
		refuse("facts in another order", "", func(c *evidence.Certificate) {
			if len(c.Facts) == 1 {
				c.Facts = append(c.Facts, c.Facts[0])
			}
			slices.Reverse(c.Facts)
		})
	}
}

// TestOtherCheckpoints puts the checkpoints of other trees, Games and keys into a certificate that is true.
func TestOtherCheckpoints(t *testing.T) {
	w, who := bronzeWorld(t)
	ev := w.collect(who, medal(fact.Bronze))
	whole := w.issue(ev, false)
	signer, _ := notary()
	otherSigner, otherPublic := newNotary(games)
	beijing, beijingPublic := newNotary("beijing2022")
	cp, _ := checkpoint(t, w.index)
	sign := func(s note.Signer, how func(*merkle.Checkpoint)) string {
		t.Helper()
		c := cp
		how(&c)
		text, err := c.Sign(s)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(*merkle.Checkpoint) {}
	earlier := func(size fact.Seq) func(*merkle.Checkpoint) {
		return func(c *merkle.Checkpoint) {
			c.Size = size
			_ = w.index.View(func(r view.Reader) (err error) { c.Root, err = merkle.Root(r, size); return err })
		}
	}
	for _, tt := range []struct {
		name   string
		text   string
		public string
		want   evidence.Rule
	}{
		{"another key", sign(otherSigner, same), "", evidence.BadCheckpoint},
		{"the key of other Games", sign(beijing, func(c *merkle.Checkpoint) { c.Games = "beijing2022" }), beijingPublic, evidence.BadCheckpoint},
		{"a key that is not trusted any more", sign(signer, same), otherPublic, evidence.BadCheckpoint},
		{"a size before the award", sign(signer, earlier(ev.Award.Seq-1)), "", evidence.NotInLog},
		{"a smaller size", sign(signer, earlier(ev.Award.Seq)), "", evidence.NotInLog},
		{"a larger size", sign(signer, func(c *merkle.Checkpoint) { c.Size++ }), "", evidence.NotInLog},
		{"another root", sign(signer, func(c *merkle.Checkpoint) { c.Root[0]++ }), "", evidence.NotInLog},
		{"the same one, signed again", sign(signer, same), "", ""},
	} {
		c, err := evidence.Parse(whole)
		if err != nil {
			t.Fatal(err)
		}
		c.Checkpoint = tt.text
		known := trusted(t)
		if tt.public != "" {
			known = trust(t, tt.public)
		}
		_, err = c.Check(known)
		if got := ruleOf(err); got != tt.want || (tt.want == "") != (err == nil) {
			t.Errorf("%s: got error %v, want rule %q", tt.name, err, tt.want)
		}
	}
}

// TestIssuedLater issues from trees of every size that hold the award, and checks.
func TestIssuedLater(t *testing.T) {
	w, who := bronzeWorld(t)
	ev := w.collect(who, medal(fact.Bronze))
	signer, _ := notary()
	for size := ev.Award.Seq - 1; size <= w.next; size++ {
		err := w.index.View(func(r view.Reader) error {
			cp := merkle.Checkpoint{Games: games, Size: size}
			cp.Root, _ = merkle.Root(r, size)
			text, err := cp.Sign(signer)
			if err != nil {
				t.Fatal(err)
			}
			b, err := evidence.Issue(ev, false, cp, text, r)
			if err == nil {
				_, err = check(t, b)
			}
			return err
		})
		if want := size >= ev.Award.Seq && size < w.next; (err == nil) != want {
			t.Errorf("size %d of %d, award at %d: got error %v", size, w.next-1, ev.Award.Seq, err)
		}
	}
}

// TestParse changes the text of a certificate. Every change is refused, by Parse or by Check; white space is not.
func TestParse(t *testing.T) {
	w, who := bronzeWorld(t)
	for _, short := range []bool{true, false} {
		whole := string(w.issue(w.collect(who, medal(fact.Bronze)), short))
		for i := range whole {
			b := []byte(whole)
			b[i] ^= 1 << (i % 8)
			if _, err := check(t, b); err == nil {
				t.Fatalf("short %t: byte %d, %q, became %q: no error", short, i, whole[i], b[i])
			}
			if _, err := evidence.Parse([]byte(whole[:i])); err == nil {
				t.Fatalf("short %t: cut at byte %d: no error", short, i)
			}
		}
	}
	whole := string(w.issue(w.collect(who, background("aquatics")), true))
	for _, tt := range []struct{ name, old, new string }{
		{"another version", `{"pinfold_certificate":1,`, `{"pinfold_certificate":2,`},
		{"no version", `"pinfold_certificate":1,`, ``},
		{"a fraction", `{"pinfold_certificate":1,`, `{"pinfold_certificate":1.0,`},
		{"Games in capitals", `"games":"tokyo2020"`, `"games":"TOKYO2020"`},
		{"no Games", `"games":"tokyo2020"`, `"games":""`},
		{"another form", `"form":"short"`, `"form":"long"`},
		{"an escape", `"form":"short"`, `"form":"\u0073hort"`},
		{"a field in capitals", `"form":`, `"Form":`},
		{"an unknown field", `"form":`, `"fine":true,"form":`},
		{"a field twice", `"form":"short"`, `"form":"full","form":"short"`},
		{"an unknown field of a fact", `"stored":`, `"where":1,"stored":`},
		{"fields of a fact in another order", `"family":"award","payload":`, `"payload":"","family":"award","payload":`},
		{"a medal and a background", `"background":"aquatics"`, `"medal":"gold","background":"aquatics"`},
		{"neither", `"background":"aquatics",`, ``},
		{"an empty medal", `"background":"aquatics"`, `"medal":"","background":"aquatics"`},
		{"an unknown medal", `"background":"aquatics"`, `"medal":"tin"`},
		{"a background that cannot be", `"background":"aquatics"`, `"background":"<b>"`},
		{"a wearer too long", `"wearer":"`, `"wearer":"a`},
		{"a negative award", `"award":`, `"award":-`},
		{"a list of one more", `"facts":[{`, `"facts":[null,{`},
		{"no list", `"facts":[{`, `"facts":{"a":[{`},
		{"a hash cut off", `"hashes":"`, `"hashes":"AAAA`},
		{"two certificates", whole, whole + whole},
		{"something behind", whole, whole + "1"},
		{"nothing", whole, ""},
		{"null", whole, "null"},
		{"a list", whole, "[" + whole + "]"},
		{"too many bytes", whole, whole + strings.Repeat(" ", 8<<20)},
	} {
		if !strings.Contains(whole, tt.old) {
			t.Fatalf("%s: there is no %s", tt.name, tt.old)
		}
		if _, err := evidence.Parse([]byte(strings.Replace(whole, tt.old, tt.new, 1))); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
	for n, want := range map[int]bool{4095: false, 4096: true} { // before the one that is there
		many := strings.Replace(whole, `"facts":[`, `"facts":[`+strings.Repeat("{},", n), 1)
		if _, err := evidence.Parse([]byte(many)); err == nil || strings.Contains(err.Error(), "facts: want at most 4096") != want {
			t.Errorf("%d facts: got error %v, want one about their number: %t", n+1, err, want)
		}
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(whole), " ", "\t"); err != nil {
		t.Fatal(err)
	}
	if _, err := check(t, append(spaced.Bytes(), '\n')); err != nil {
		t.Errorf("with white space: got error %v", err)
	}
}

// TestTooLarge goes to the limit of facts and beyond.
func TestTooLarge(t *testing.T) {
	w, who := bronzeWorld(t)
	ev := w.collect(who, medal(fact.Bronze))
	cp, text := checkpoint(t, w.index)
	for n, want := range map[int]error{4096: nil, 4097: evidence.ErrTooLarge} {
		many := evidence.WithMessages(ev, slices.Repeat(ev.Messages()[len(ev.Messages())-1:], n))
		err := w.index.View(func(r view.Reader) error { _, err := evidence.Issue(many, false, cp, text, r); return err })
		if !errors.Is(err, want) {
			t.Errorf("%d facts: got error %v, want %v", n, err, want)
		}
		if err := w.index.View(func(r view.Reader) error { _, err := evidence.Issue(many, true, cp, text, r); return err }); err != nil {
			t.Errorf("%d facts, short: got error %v", n, err)
		}
	}
	giant := ev.Messages()[len(ev.Messages())-1]
	giant.Payload = make([]byte, 8<<20)
	err := w.index.View(func(r view.Reader) error {
		_, err := evidence.Issue(evidence.WithMessages(ev, []eventlog.Message{giant}), false, cp, text, r)
		return err
	})
	if !errors.Is(err, evidence.ErrTooLarge) {
		t.Errorf("a giant fact: got error %v, want %v", err, evidence.ErrTooLarge)
	}
}

// TestCheckSmallOrder: a key for which anybody can sign is not taken for a pin's, whatever it is that stands there as signed.
func TestCheckSmallOrder(t *testing.T) {
	w, of := bronzeWorld(t)
	f := forge(t, w, of, medal(fact.Bronze))
	registered, pin := nth[fact.PinRegistered](f, 0)
	old, weak := pin.Key.PinID(), fact.PublicKey{1}
	for seq, e := range f.entries {
		switch got := e.Fact.(type) {
		case fact.PinRegistered:
			if got.Key == pin.Key {
				e.Fact = fact.PinRegistered{Key: weak}
			}
		case fact.PinPaired:
			if got.Proof.Pin == old {
				got.Proof.Pin = weak.PinID()
				e.Fact = got
			}
		case fact.HalfReported:
			for _, id := range []*fact.PinID{&got.Half.Pin, &got.Half.Peer} {
				if *id == old {
					*id = weak.PinID()
				}
			}
			e.Fact = got
		}
		f.entries[seq] = e
	}
	for seq, e := range f.entries {
		if got, ok := e.Fact.(fact.FriendshipFormed); ok {
			got.Tap = statement.TapID(f.entries[got.Mate].Fact.(fact.HalfReported).Half)
			e.Fact = got
			f.entries[seq] = e
		}
	}
	_, err := f.sign().Check(trusted(t))
	if flaw, ok := errors.AsType[*evidence.Error](err); !ok || flaw.Rule != evidence.BadPin || flaw.Seq != registered.Seq {
		t.Errorf("got error %v, want %s at %d", err, evidence.BadPin, registered.Seq)
	}
}

// TestCheckSurplus: nothing is hidden in the bytes of a fact, which the log may really hold.
func TestCheckSurplus(t *testing.T) {
	w, of := bronzeWorld(t)
	hidden, err := eventlog.Encode(fact.Record{Fact: fact.TimePassed{Time: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range forge(t, w, of, medal(fact.Bronze)).sign().Facts {
		f := forge(t, w, of, medal(fact.Bronze))
		m := &f.sign().Facts[i]
		m.Payload = slices.Concat(hidden, m.Payload) // the second fact replaces the first
		leaves := make([]merkle.Hash, f.size)
		for _, m := range f.c.Facts {
			if leaves[m.Seq-1], err = merkle.Leaf(m); err != nil {
				t.Fatal(err)
			}
		}
		f.plant(leaves)
		_, err := f.c.Check(trusted(t))
		if flaw, ok := errors.AsType[*evidence.Error](err); !ok || flaw.Rule != evidence.Superfluous || flaw.Seq != m.Seq {
			t.Errorf("sequence %d: got error %v, want %s", m.Seq, err, evidence.Superfluous)
		}
	}
}
