package audit_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

func TestVerifyClean(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	for _, workers := range []int{1, 4} {
		var progress uint64
		got := verify(t, messages, audit.Options{Workers: workers, Factory: factoryOf(w.pins), Progress: func(n uint64) { progress = n }})
		want := audit.Report{
			Verdict: audit.Clean, Facts: uint64(len(messages)), Halves: 35, Friendships: 15, Medals: 18, Backgrounds: 12, RulesAdopted: 1,
			Findings: []audit.Finding{}, Size: fact.Seq(len(messages)), Root: rootOf(t, messages),
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers: got %+v, want %+v", workers, got, want)
		}
		if progress != got.Facts {
			t.Errorf("progress ended with %d, want %d", progress, got.Facts)
		}
	}
}

func factoryOf(pins []*client.Pin) map[fact.PinID]fact.PublicKey {
	made := map[fact.PinID]fact.PublicKey{}
	for _, p := range pins {
		made[p.ID()] = p.Key()
	}
	return made
}

// at is a finding without its words.
type at struct {
	seq  fact.Seq
	kind audit.Kind
}

func placesOf(r audit.Report) []at {
	var places []at
	for _, f := range r.Findings {
		places = append(places, at{f.Seq, f.Kind})
	}
	return places
}

// allowedKinds are what owners of pins can bring about within the rules of the log.
var allowedKinds = []audit.Kind{audit.ClonedKey}

// TestVerdictOfKinds: of all else, some signature, some gateway or some service is at fault.
func TestVerdictOfKinds(t *testing.T) {
	all := []audit.Kind{
		audit.Sequence, audit.Beginning, audit.Unreadable, audit.Undecodable, audit.FoldStopped, audit.BadSignature, audit.BadProof,
		audit.Surplus, audit.RestoredDiffers, audit.OtherRules, audit.Unverifiable, audit.WeakKey, audit.InventedPin, audit.ClonedKey,
		audit.Missing, audit.Extra, audit.Changed, audit.Moved, audit.Shifted, audit.RewrittenSince, audit.Cut, audit.Equivocation,
		audit.ViewDiffers, audit.Inconsistent,
	}
	for _, k := range all {
		want := audit.Broken
		if slices.Contains(allowedKinds, k) {
			want = audit.Suspect
		}
		if got := k.Verdict(); got != want {
			t.Errorf("%s leaves a log %s, want %s", k, got, want)
		}
	}
}

// TestVerifySuspectAndBroken: what breaks a log stands first, and is not hidden by what anybody can bring about before it.
func TestVerifySuspectAndBroken(t *testing.T) {
	w := newVerifyWorld(t)
	a, b := w.wearer(), w.wearer()
	first, second := w.halves(a, b)
	w.add(first, second)
	forged := second
	forged.Half.Nonce[0] ^= 1
	first.Half.Nonce[0] ^= 1
	twin := w.add(w.half(a, a.SignRaw(statement.AppendHalf(nil, first.Half))))
	bad := w.add(forged)
	r := verify(t, w.messages(), audit.Options{})
	if want := []at{{bad, audit.BadSignature}, {twin, audit.ClonedKey}}; !slices.Equal(placesOf(r), want) || r.Verdict != audit.Broken {
		t.Errorf("%s: got %v, want %v", r.Verdict, r.Findings, want)
	}
	if r.Findings[0].Verdict != audit.Broken || r.Findings[1].Verdict != audit.Suspect {
		t.Errorf("got %+v, want what each makes of the log", r.Findings)
	}
}

func wantFindings(t *testing.T, messages []eventlog.Message, o audit.Options, want ...at) {
	t.Helper()
	r := verify(t, messages, o)
	verdict := audit.Suspect
	for _, w := range want {
		if !slices.Contains(allowedKinds, w.kind) {
			verdict = audit.Broken
		}
	}
	if got := placesOf(r); !slices.Equal(got, want) || r.Verdict != verdict {
		t.Errorf("%s: got %d findings %v, want %v", r.Verdict, len(got), got, want)
		for _, f := range r.Findings[:min(len(r.Findings), 20)] {
			t.Log(f)
		}
	}
}

// TestVerifyTampered changes a clean log afterwards, each time in one place, and wants exactly these findings. Where the
// log was numbered anew, the derived facts behind the place name causes that are off, which is said once for each family.
func TestVerifyTampered(t *testing.T) {
	w, _ := cleanWorld(t)
	clean := w.messages()
	type tampering func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at)
	for name, tamper := range map[string]tampering{
		"flipped bit in a half": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, f := find[fact.HalfReported](t, m, 3)
			f.Half.RSSI ^= 1
			rewrite(t, m, i, f)
			return m, []at{{m[i].Seq, audit.BadSignature}}
		},
		"flipped bit in a signature": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, f := find[fact.HalfReported](t, m, 3)
			f.Signature[40] ^= 4
			rewrite(t, m, i, f)
			return m, []at{{m[i].Seq, audit.BadSignature}}
		},
		"flipped bit in a step report": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, f := find[fact.StepsReported](t, m, 1)
			f.Report.Steps[0] ^= 1
			rewrite(t, m, i, f)
			return m, []at{{m[i].Seq, audit.BadSignature}}
		},
		"flipped bit in a derived fact": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, f := find[fact.FriendshipFormed](t, m, 2)
			f.Tap[0] ^= 1
			rewrite(t, m, i, f)
			return m, []at{{m[i].Seq, audit.Changed}}
		},
		"better medal": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, f := find[fact.MedalAwarded](t, m, 0)
			f.Medal = fact.Gold
			rewrite(t, m, i, f)
			return m, []at{{m[i].Seq, audit.Changed}}
		},
		"derived fact dropped": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.MedalAwarded](t, m, 2)
			e, _ := m[i].Decode()
			return slices.Delete(m, i, i+1), []at{{e.Derivation.Cause, audit.Missing}, {e.Seq, audit.Sequence}}
		},
		"derived fact dropped and renumbered": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.BackgroundUnlocked](t, m, 11)
			e, _ := m[i].Decode()
			m = renumber(slices.Delete(m, i, i+1))
			return m, []at{
				{e.Derivation.Cause, audit.Missing},
				{firstOf(t, m[i:], fact.Friendship), audit.Shifted},
				{firstOf(t, m[i:], fact.Goal), audit.Shifted},
			}
		},
		"half dropped": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.FriendshipFormed](t, m, 4)
			want := []at{{m[i-1].Seq, audit.Sequence}, {m[i].Seq, audit.Extra}}
			return slices.Delete(m, i-1, i), want
		},
		"doubled": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.HalfReported](t, m, 5)
			return slices.Insert(m, i+1, m[i]), []at{{m[i].Seq, audit.Sequence}}
		},
		"medal doubled and renumbered": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.MedalAwarded](t, m, 17)
			m = renumber(slices.Insert(m, i+1, m[i]))
			return m, []at{
				{m[i+1].Seq, audit.Extra},
				{firstOf(t, m[i:], fact.Friendship), audit.Shifted},
				{firstOf(t, m[i:], fact.Goal), audit.Shifted},
			}
		},
		"moved": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.StepsReported](t, m, 0)
			m[i], m[i+1] = m[i+1], m[i]
			return m, []at{{m[i+1].Seq, audit.Sequence}, {m[i+1].Seq, audit.Sequence}}
		},
		"medals moved and renumbered": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i := doubleAward(t, m)
			m[i], m[i+1] = m[i+1], m[i]
			m = renumber(m)
			return m, []at{{m[i+1].Seq, audit.Moved}}
		},
		"no rules at the beginning": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			m[0], m[1] = m[1], m[0]
			return renumber(m), []at{{1, audit.Beginning}, {2, audit.Beginning}}
		},
		"derived fact that is no fact": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.MedalAwarded](t, m, 3)
			m[i].Payload = []byte{0xff}
			return m, []at{{m[i].Seq, audit.Undecodable}}
		},
		"half that is no fact": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			i, _ := find[fact.HalfReported](t, m, 3)
			m[i].Payload = []byte{0xff}
			return m, []at{{m[i].Seq, audit.FoldStopped}, {m[i].Seq, audit.Undecodable}}
		},
		"rules changed": func(t *testing.T, m []eventlog.Message) ([]eventlog.Message, []at) {
			r := verifyRules()
			r.StepGoal = 2400 // one of four reached it
			rewrite(t, m, 0, fact.RulesAdopted{Rules: r})
			var want []at
			for n := range 3 { // of 1000, 1500 and 2000 steps
				i, _ := find[fact.StepGoalReached](t, m, n)
				want = append(want, at{m[i].Seq, audit.Extra})
			}
			return m, want
		},
	} {
		t.Run(name, func(t *testing.T) {
			messages, want := tamper(t, slices.Clone(clean))
			wantFindings(t, messages, audit.Options{}, want...)
		})
	}
}

// doubleAward returns the index of the first of two awards that follow each other.
func doubleAward(t *testing.T, m []eventlog.Message) int {
	t.Helper()
	for i := range m[1:] {
		if m[i].Family == fact.Award && m[i+1].Family == fact.Award {
			return i
		}
	}
	t.Fatal("no two awards follow each other")
	return 0
}

// firstOf returns the sequence of the first message of the family.
func firstOf(t *testing.T, m []eventlog.Message, f fact.Family) fact.Seq {
	t.Helper()
	for _, msg := range m {
		if msg.Family == f {
			return msg.Seq
		}
	}
	t.Fatalf("no fact of family %s", f)
	return 0
}

// TestVerifyFlippedBits flips bits all over a half and its signature.
func TestVerifyFlippedBits(t *testing.T) {
	w := newVerifyWorld(t)
	a, b := w.wearer(), w.wearer()
	w.meet(a, b)
	messages := w.messages()
	i, f := find[fact.HalfReported](t, messages, 0)
	raw := statement.AppendHalf(nil, f.Half)
	from := slices.Index(messages[i].Payload, 'P') // the magic
	size := len(raw) + len(f.Signature)
	for bit := 0; bit < 8*size; bit += 7 {
		tampered := slices.Clone(messages)
		tampered[i].Payload = flip(messages[i].Payload, 8*from+bit)
		r := verify(t, tampered, audit.Options{Workers: 1})
		if r.Verdict != audit.Broken || r.Findings[0].Seq > messages[i].Seq {
			t.Errorf("bit %d: %s %v", bit, r.Verdict, r.Findings)
		}
	}
}

func TestVerifyMedalNobodyEarned(t *testing.T) {
	w, all := cleanWorld(t)
	forged := w.addRecords(fact.Record{
		Fact:       fact.MedalAwarded{Wearer: wearerOf(all[0]), Medal: fact.Gold, Friends: 151},
		Derivation: fact.Derivation{Cause: 20, Count: 1},
	})
	w.meet(w.wearer(), w.wearer())
	wantFindings(t, w.messages(), audit.Options{}, at{forged, audit.Extra})
}

func TestVerifyFriendshipWithoutItsSecondHalf(t *testing.T) {
	w := newVerifyWorld(t)
	a, b := w.wearer(), w.wearer()
	first, _ := w.halves(a, b)
	cause := w.add(first)
	lo, hi := wearerOf(a), wearerOf(b)
	if string(lo[:]) > string(hi[:]) {
		lo, hi = hi, lo
	}
	forged := w.addRecords(fact.Record{
		Fact:       fact.FriendshipFormed{Lo: lo, Hi: hi, Tap: statement.TapID(first.Half), Mate: cause - 1},
		Derivation: fact.Derivation{Cause: cause, Count: 1},
	})
	w.meet(w.wearer(), w.wearer())
	wantFindings(t, w.messages(), audit.Options{}, at{forged, audit.Extra})
}

// TestVerifyRefusalRemoved takes away the refusal of a half that admission should not have let in.
func TestVerifyRefusalRemoved(t *testing.T) {
	for _, tt := range []struct {
		name       string
		registered bool
		want       []audit.Kind
	}{
		{"never paired", true, []audit.Kind{audit.Missing}},
		{"never registered", false, []audit.Kind{audit.Missing, audit.Unverifiable}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newVerifyWorld(t)
			friend, stranger := w.wearer(), w.newPin()
			if tt.registered {
				w.add(fact.PinRegistered{Key: stranger.Key()})
			}
			first, _ := w.halves(stranger, friend)
			half := w.add(first)
			messages := w.messages()
			if r := verify(t, messages, audit.Options{}); r.Verdict != audit.Clean {
				t.Errorf("with the refusal: %v", r.Findings)
			}
			messages = messages[:half] // the refusal was the last fact
			var want []at
			for _, kind := range tt.want {
				want = append(want, at{half, kind})
			}
			wantFindings(t, messages, audit.Options{}, want...)
			r := verify(t, messages, audit.Options{Unfinished: true})
			if r.Verdict != audit.Clean || r.Outstanding != 1 {
				t.Errorf("unfinished: %s, %d outstanding, %v", r.Verdict, r.Outstanding, r.Findings)
			}
		})
	}
}

// TestVerifyUnverifiableStopped: where the fold of tap was stopped, nobody knows any more which refusals are missing: a half
// that cannot be verified, and was not refused, is a finding all the same.
func TestVerifyUnverifiableStopped(t *testing.T) {
	w := newVerifyWorld(t)
	friend, other, stranger := w.wearer(), w.wearer(), w.newPin()
	pending, _ := w.halves(friend, other)
	stopped := w.add(pending)
	first, _ := w.halves(stranger, friend)
	half := w.add(first)
	messages := w.messages()[:half] // the refusal was the last fact
	messages[stopped-1].Payload = []byte{0xff}
	wantFindings(t, messages, audit.Options{Unfinished: true},
		at{stopped, audit.FoldStopped}, at{stopped, audit.Undecodable}, at{half, audit.Unverifiable})
}

func TestVerifyPairings(t *testing.T) {
	for name, forge := range map[string]func(*verifyWorld, *client.Pin) fact.PinPaired{
		"without a valid signature": func(w *verifyWorld, p *client.Pin) fact.PinPaired {
			f := w.pairing(p, verifyGames)
			f.Signature[0] ^= 1
			return f
		},
		"for other games": func(w *verifyWorld, p *client.Pin) fact.PinPaired { return w.pairing(p, "paris2024") },
		"for another wearer": func(w *verifyWorld, p *client.Pin) fact.PinPaired {
			f := w.pairing(p, verifyGames)
			f.Wearer[15] = 9
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newVerifyWorld(t)
			other, p := w.wearer(), w.newPin()
			w.add(fact.PinRegistered{Key: p.Key()})
			seq := w.add(forge(w, p))
			w.meet(p, other)
			wantFindings(t, w.messages(), audit.Options{}, at{seq, audit.BadProof})
		})
	}
}

func TestVerifyPairingOfNobody(t *testing.T) {
	w := newVerifyWorld(t)
	seq := w.add(w.pairing(w.newPin(), verifyGames))
	wantFindings(t, w.messages(), audit.Options{}, at{seq, audit.Unverifiable})
}

func TestVerifyClonedKey(t *testing.T) {
	w := newVerifyWorld(t)
	a, b := w.wearer(), w.wearer()
	first, second := w.halves(a, b)
	w.add(first, second)
	first.Half.Nonce[0] ^= 1
	twin := w.half(a, a.SignRaw(statement.AppendHalf(nil, first.Half)))
	seq := w.add(twin)
	original := first
	original.Half.Nonce[0] ^= 1
	w.add(original) // a repeat is none
	wantFindings(t, w.messages(), audit.Options{}, at{seq, audit.ClonedKey})
}

func TestVerifyInventedPins(t *testing.T) {
	w := newVerifyWorld(t)
	real := w.crowdOf(3)
	p := w.newPin()
	seq := w.add(fact.PinRegistered{Key: p.Key()})
	w.add(w.pairing(p, verifyGames))
	w.meet(p, real[0])
	if r := verify(t, w.messages(), audit.Options{}); r.Verdict != audit.Clean {
		t.Errorf("without a roster: %v", r.Findings)
	}
	wantFindings(t, w.messages(), audit.Options{Factory: factoryOf(real)}, at{seq, audit.InventedPin})
}

func TestVerifyWeakKey(t *testing.T) {
	w := newVerifyWorld(t)
	seq := w.add(fact.PinRegistered{Key: fact.PublicKey{1}})
	wantFindings(t, w.messages(), audit.Options{}, at{seq, audit.WeakKey})
}

func TestVerifyNoLog(t *testing.T) {
	wantFindings(t, nil, audit.Options{}, at{1, audit.Beginning})
}

// TestVerifyShift drops a half in a log of many friendships and numbers the rest anew.
func TestVerifyShift(t *testing.T) {
	w := newVerifyWorld(t)
	w.crowdOf(12)
	messages := w.messages()
	i, f := find[fact.FriendshipFormed](t, messages, 20)
	half := slices.IndexFunc(messages, func(m eventlog.Message) bool { return m.Seq == f.Mate })
	r := verify(t, renumber(slices.Delete(slices.Clone(messages), half, half+1)), audit.Options{})
	if want := (at{messages[i].Seq - 1, audit.Extra}); len(r.Findings) == 0 || placesOf(r)[0] != want {
		t.Errorf("got %v, want %v first", placesOf(r), want)
	}
	if len(r.Findings) > 4 {
		t.Errorf("%d findings, want few: %v", len(r.Findings), placesOf(r))
	}
}

func TestVerifyReadingFails(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	lost := errors.New("connection lost")
	for _, tt := range []struct {
		err, want error
	}{
		{lost, lost},
		{fmt.Errorf("archive: %w", audit.ErrTruncated), nil},
		{&eventlog.DecodeError{Seq: 31, Err: errors.New("unknown subject")}, nil},
	} {
		r, err := audit.Verify(context.Background(), verifyGames, each(messages[:30], tt.err), audit.Options{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%v: got error %v, want %v", tt.err, err, tt.want)
		}
		if got, want := placesOf(r), []at{{31, audit.Unreadable}}; !slices.Equal(got, want) || r.Facts != 30 {
			t.Errorf("%v: got %v of %d facts, want %v of 30", tt.err, got, r.Facts, want)
		}
	}
}

func TestVerifyInterrupted(t *testing.T) {
	w, _ := cleanWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := audit.Verify(ctx, verifyGames, each(w.messages(), nil), audit.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	if _, err := audit.Verify(context.Background(), "No Games", each(nil, nil), audit.Options{}); err == nil {
		t.Error("no error of games that cannot be")
	}
}

// TestVerifyManyFindings has more findings than are reported.
func TestVerifyManyFindings(t *testing.T) {
	w := newVerifyWorld(t)
	messages := w.messages()
	medal, err := eventlog.Encode(fact.Record{Fact: fact.MedalAwarded{Medal: fact.Gold}, Derivation: fact.Derivation{Cause: 1, Count: 1}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 3*audit.MaxFindings + 5
	for range n {
		messages = append(messages, eventlog.Message{Seq: fact.Seq(len(messages) + 1), Family: fact.Award, Payload: medal})
	}
	r := verify(t, messages, audit.Options{})
	if len(r.Findings) != audit.MaxFindings || r.LeftOut != n-audit.MaxFindings {
		t.Fatalf("got %d findings and %d left out, want %d and %d", len(r.Findings), r.LeftOut, audit.MaxFindings, n-audit.MaxFindings)
	}
	for i, f := range r.Findings {
		if want := fact.Seq(i + 3); f.Seq != want {
			t.Fatalf("finding %d is of sequence %d, want %d", i, f.Seq, want)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newVerifyWorld(b)
	w.crowdOf(70)
	messages := w.messages()
	for b.Loop() {
		if r := verify(b, messages, audit.Options{}); r.Verdict != audit.Clean {
			b.Fatal(r.Findings[0])
		}
	}
	b.ReportMetric(float64(len(messages))*float64(b.N)/b.Elapsed().Seconds(), "facts/s")
}
