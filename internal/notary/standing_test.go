package notary_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/view"
)

// gatewayOn is a notary of a key of its own, with others that share its list.
type gatewayOn struct {
	*world
	n    *notary.Notary
	name string
	stop func() error
}

// join starts a notary with a new key on the log of the world.
func (w *world) join(list notary.List) *gatewayOn {
	w.t.Helper()
	private, public, err := merkle.GenerateKey(games)
	if err != nil {
		w.t.Fatal(err)
	}
	own := *w
	own.public = public
	own.config.Key, own.config.Keys = private, list
	own.config.Tree, own.config.Signed = kept(view.NewMemory()), view.NewMemory()
	g := &gatewayOn{world: &own}
	if g.name, err = merkle.KeyName(public); err != nil {
		w.t.Fatal(err)
	}
	g.start()
	return g
}

func (g *gatewayOn) start() {
	g.t.Helper()
	g.config.Log = g.log
	g.n = g.open()
	g.stop = g.run(g.n)
}

// ends waits until the notary has ended by itself, and returns why.
func (g *gatewayOn) ends() error {
	g.t.Helper()
	synctest.Wait()
	return g.stop()
}

func (g *gatewayOn) grow(facts int) {
	g.t.Helper()
	g.tick(facts)
	minutes(1)
}

func minutes(n int) { <-time.After(time.Duration(n)*time.Minute + 3*time.Second); synctest.Wait() }

func (g *gatewayOn) wantReason(want ...string) {
	g.t.Helper()
	got := strings.Join(g.n.Reasons(), "; ")
	for _, text := range want {
		if !strings.Contains(got, text) {
			g.t.Errorf("key %s: got the reasons %q, want %q", g.name, got, text)
		}
	}
	if len(want) == 0 && got != "" {
		g.t.Errorf("key %s: got the reasons %q", g.name, got)
	}
}

func (g *gatewayOn) wantSigns(yes bool) {
	g.t.Helper()
	size := g.n.Size()
	text, err := g.n.Checkpoint(g.t.Context(), size)
	if yes != (err == nil) || !yes && !paused(err) || g.n.Numbers().Signs != yes {
		g.t.Fatalf("key %s: a checkpoint of %d facts: %q, %v, want one: %t", g.name, size, text, err, yes)
	}
	if yes {
		g.wantSigned(text, size)
	}
}

// wantNewest checks what the list says of the key.
func (g *gatewayOn) wantNewest(list notary.List, size fact.Seq) {
	g.t.Helper()
	all, err := list.All(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, l := range all {
		if l.Public == g.public {
			g.wantSigned(l.Newest, size)
			return
		}
	}
	g.t.Errorf("the key %s is not in the list", g.name)
}

func wantKeyError(t *testing.T, err error, want ...string) {
	t.Helper()
	bad, yes := errors.AsType[*notary.KeyError](err)
	for _, text := range want {
		if !yes || !strings.Contains(bad.Error(), text) {
			t.Fatalf("got %v, want an error of the key, with %q", err, text)
		}
	}
}

// fork returns a world whose log begins with the same 15 facts as any other's, and goes on otherwise.
func fork(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.tick(14)
	return w
}

// differently lets the next facts of the world's log be others.
func (w *world) differently() { w.now += 500 }

// TestKeysAgree: notaries with keys of their own sign the same trees, and the list says what each signed.
func TestKeysAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list notary.MemoryList
		w := fork(t)
		a := w.join(&list)
		minutes(0)
		a.wantSigns(true)
		a.wantNewest(&list, 10)
		b := w.join(&list)
		minutes(0)
		b.wantNewest(&list, 10)
		w.tick(30)
		minutes(1)
		for _, g := range []*gatewayOn{a, b} {
			g.wantSigns(true)
			g.wantReason()
			g.wantUnasked(g.n, 10, 20, 30, 40)
			if len(g.n.Listed()) != 2 {
				t.Errorf("got the list %+v", g.n.Listed())
			}
		}
		minutes(1)
		a.wantNewest(&list, 45)
		b.wantNewest(&list, 45)
		for _, g := range []*gatewayOn{a, b} {
			if err := g.stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestTwoTrees: an older copy of the log came back and grew anew, and another gateway follows it. Where as many keys stand
// behind one tree as behind the other, nobody signs and all go on; once an operator has removed a key the others sign, and
// that one ends.
func TestTwoTrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list notary.MemoryList
		a := fork(t).join(&list)
		a.grow(20) // 35
		a.wantNewest(&list, 30)

		restored := fork(t)
		restored.differently()
		b := restored.join(&list)
		minutes(0)
		b.wantSigns(false) // it cannot be held against what a signed yet
		b.wantReason("checkpoint key " + a.name + " signed 30 facts")
		b.grow(30)
		b.wantSigns(false)
		b.wantReason(a.name, b.name, "pinfold checkpoint-keys remove")
		a.wantSigns(true) // b signed nothing
		a.wantReason()

		// A third one, which believed the older log before there was a list.
		c := restored.join(&notary.MemoryList{})
		c.config.Keys = &list
		minutes(0)
		c.wantSigns(true)
		if err := c.stop(); err != nil {
			t.Fatal(err)
		}
		putNewest(t, &list, c)
		a.grow(20)
		b.wantSigns(true) // two against one
		b.wantReason("checkpoint key " + a.name + " signed another tree than this gateway and most others")
		b.wantUnasked(b.n, 10, 20, 30, 40)
		a.wantSigns(false) // one against two
		wantKeyError(t, a.ends(), "most gateways signed another tree", b.name, c.name)
		b.wantSigns(true)

		if err := notary.Remove(t.Context(), &list, a.name); err != nil {
			t.Fatal(err)
		}
		minutes(1)
		b.wantSigns(true)
		b.wantReason()
		a.start()
		wantKeyError(t, a.ends(), a.name, "an operator removed it", "--join")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// putNewest puts the newest checkpoint that a notary signed in a list.
func putNewest(t *testing.T, list notary.List, g *gatewayOn) {
	t.Helper()
	text, err := g.n.Checkpoint(t.Context(), g.n.Size())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list.Put(t.Context(), notary.Listed{Public: g.public, Newest: text}); err != nil {
		t.Fatal(err)
	}
}

// TestTie: of two that signed different trees neither goes on signing, after a start either, until one is removed.
func TestTie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list notary.MemoryList
		a := fork(t).join(&list)
		a.grow(20)
		restored := fork(t)
		restored.differently()
		restored.tick(20)
		b := restored.join(&notary.MemoryList{})
		minutes(0)
		putNewest(t, &list, b)
		minutes(1)
		a.wantSigns(false)
		a.wantReason(a.name, b.name)
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b.config.Keys = &list
		b.start()
		a.tick(10)
		minutes(1)
		for _, g := range []*gatewayOn{a, b} {
			g.wantSigns(false)
			g.wantReason(a.name, b.name)
		}
		a.wantUnasked(a.n, 10, 20, 30) // and not 40
		if err := notary.Remove(t.Context(), &list, b.name); err != nil {
			t.Fatal(err)
		}
		minutes(1)
		a.wantSigns(true)
		a.wantUnasked(a.n, 10, 20, 30, 40)
		wantKeyError(t, b.ends(), b.name, "an operator removed it")
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestTwins: two gateways with one key, or a folder of which an older copy came back, are found out by the list.
func TestTwins(t *testing.T) {
	twin := func(a *gatewayOn) *gatewayOn {
		b := &gatewayOn{world: &world{t: a.t, log: a.log, now: a.now, config: a.config, public: a.public}, name: a.name}
		b.config.Tree, b.config.Signed = kept(view.NewMemory()), view.NewMemory()
		return b
	}
	t.Run("a copy that remembers less", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := fork(t).join(&notary.MemoryList{})
			minutes(0)
			b := twin(a)
			b.start()
			wantKeyError(t, b.ends(), b.name, "it signed 10 facts, as the list says, and only 0", "--join")
			if err := a.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("both at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := fork(t)
			w.log.Truncate(0)
			a := w.join(&notary.MemoryList{})
			b := twin(a)
			minutes(0)
			b.start() // neither has signed
			minutes(0)
			for range 3 {
				a.tick(10)
				minutes(1)
			}
			lives := a // the list has the other one's checkpoint, or this one's: which of them, the moment decides
			if a.n.Size() == 0 {
				lives = b
			}
			lives.wantSigns(true)
			first, second := a.stop(), b.stop()
			if (first == nil) == (second == nil) {
				t.Fatalf("got %v and %v, want one of them to end", first, second)
			}
			wantKeyError(t, errors.Join(first, second), a.name, "another gateway uses the same key")
		})
	})
	t.Run("on another log", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := fork(t).join(&notary.MemoryList{})
			a.grow(20)
			other := fork(t)
			other.differently()
			other.tick(40)
			b := twin(a)
			b.log = other.log
			b.config.Keys = &notary.MemoryList{}
			b.start()
			minutes(0)
			if err := b.stop(); err != nil {
				t.Fatal(err)
			}
			b.config.Keys = a.config.Keys
			b.start()
			wantKeyError(t, b.ends(), b.name, "it signed another tree of 30 facts")
			if err := a.stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestListFails lets the list fail: nothing is signed before the key is in it, and what a write that nobody answered has
// stored is taken for what it is.
func TestListFails(t *testing.T) {
	errAway := errors.New("the list is away")
	for name, stored := range map[string]bool{"failed and not stored": false, "failed but stored": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away atomic.Bool
				away.Store(true)
				list := &notary.MemoryList{Fail: func(call string) (bool, error) {
					if away.Load() && (call == "Put" || !stored) {
						return stored, errAway
					}
					return true, nil
				}}
				w := fork(t)
				a := w.join(list)
				if !stored {
					minutes(1)
					a.wantSigns(false)
					a.wantReason("before the list of keys was looked at", errAway.Error())
				}
				a.grow(20)
				a.grow(20)
				away.Store(false)
				minutes(1)
				a.wantSigns(true)
				a.wantReason()
				minutes(2)
				a.wantNewest(list, 55)
				away.Store(true) // later it does no harm
				a.grow(20)
				a.wantSigns(true)
				away.Store(false)
				minutes(1)
				a.wantNewest(list, 75)
				if err := a.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// farLog is a log that cannot be read for a while.
type farLog struct {
	eventlog.Log
	away atomic.Bool
}

func (f *farLog) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	if f.away.Load() {
		return nil, eventlog.ErrUnreachable
	}
	return f.Log.Read(ctx, after)
}

// TestRebuiltIsNoTrouble: a gateway whose tree is built anew waits until it can be held against what the list says of its
// own key, and says nothing of the list meanwhile.
func TestRebuiltIsNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fork(t).join(&notary.MemoryList{})
		a.grow(20)
		minutes(1)
		if err := a.stop(); err != nil {
			t.Fatal(err)
		}
		log := &farLog{Log: a.log}
		log.away.Store(true)
		a.config.Log, a.config.Tree = log, kept(view.NewMemory())
		a.n = a.open()
		a.stop = a.run(a.n)
		minutes(1)
		a.wantReason()
		a.wantUnasked(a.n, 10, 20, 30)
		log.away.Store(false)
		minutes(1)
		a.wantReason()
		a.wantSigns(true)
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNewestStays: one that is signed unasked behind the newest one does not take its place: a log that was cut between
// the two is found out.
func TestNewestStays(t *testing.T) {
	w := newWorld(t)
	w.tick(68) // 69
	n := w.open()
	stop := w.run(n)
	w.wait(n)
	text, err := n.Checkpoint(t.Context(), 69)
	if err != nil {
		t.Fatal(err)
	}
	w.wantSigned(text, 69)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.config.Every = 7
	w.wantUnasked(w.follow(), 10, 20, 30, 40, 50, 60, 63)
	w.log.Truncate(66)
	w.config.Tree = kept(view.NewMemory())
	_, err = notary.Open(t.Context(), w.config)
	w.wantMisfit(err)
}
