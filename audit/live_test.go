package audit_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/view"
	"pinfold/services/gateway"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// foldTo folds a core over the messages up to a sequence, as a service does.
func foldTo(t testing.TB, core fold.Core, messages []eventlog.Message, seq fact.Seq) *view.Memory {
	t.Helper()
	store := view.NewMemory()
	for _, m := range messages {
		if m.Seq > seq || !slices.Contains(core.ActsOn(), m.Family) {
			continue
		}
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		_ = store.Update(func(tx kv.Tx) error { core.Step(tx, e); return nil })
	}
	// What the runner keeps is no part of the digest.
	_ = store.Update(func(tx kv.Tx) error { tx.Put("runner", []byte("p"), []byte{byte(seq), 1}); return nil })
	return store
}

func digestOf(service string, store view.Store, seq fact.Seq) audit.ViewDigest {
	d := audit.ViewDigest{Service: service, Seq: seq}
	_ = store.View(func(r view.Reader) error { d.Digest = fold.Digest(r); return nil })
	return d
}

var everyCore = []fold.Core{gateway.Core{}, tap.Core{}, rewards.Core{}, steps.Core{}}

// TestVerifyViews compares views of all services at many sequences with the log that they were folded from, and each of
// them once more with one value changed.
func TestVerifyViews(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	last := fact.Seq(len(messages))
	var views, wrong []audit.ViewDigest
	var want []at
	for i, core := range everyCore {
		for _, seq := range []fact.Seq{0, 1, 40, 40, 41 + fact.Seq(i), last - 1, last} {
			store := foldTo(t, core, messages, seq)
			views = append(views, digestOf(core.Name(), store, seq))
			if seq == 0 {
				continue
			}
			changeOne(t, store)
			wrong = append(wrong, digestOf(core.Name(), store, seq))
			want = append(want, at{seq, audit.ViewDiffers})
		}
	}
	slices.Reverse(views) // any order will do
	if r := verify(t, messages, audit.Options{Views: views}); r.Verdict != audit.Clean || r.Views != uint64(len(views)) {
		t.Errorf("%s, %d of %d views equal: %v", r.Verdict, r.Views, len(views), r.Findings)
	}
	slices.SortFunc(want, func(a, b at) int { return int(a.seq) - int(b.seq) })
	wantFindings(t, messages, audit.Options{Views: append(wrong, views...)}, want...)
}

// TestVerifyViewsOfLongLog has views at both sides of every place where runs or transactions may end.
func TestVerifyViewsOfLongLog(t *testing.T) {
	w := newVerifyWorld(t)
	pins := w.crowdOf(3)
	for range 5 {
		var clock []fact.Fact
		for i := range eventlog.MaxBatch {
			clock = append(clock, fact.TimePassed{Time: w.now + fact.UnixMilli(i)})
		}
		w.add(clock...)
		w.walk(pins[0], 100)
		w.meet(pins[0], w.wearer())
	}
	messages := w.messages()
	var views []audit.ViewDigest
	for _, seq := range []fact.Seq{2047, 2048, 2049, 4095, 4096, 4097, fact.Seq(len(messages))} {
		for _, core := range everyCore {
			views = append(views, digestOf(core.Name(), foldTo(t, core, messages, seq), seq))
		}
	}
	if r := verify(t, messages, audit.Options{Views: views}); r.Verdict != audit.Clean || r.Views != uint64(len(views)) {
		t.Errorf("%s, %d of %d views equal: %v", r.Verdict, r.Views, len(views), r.Findings)
	}
}

// changeOne changes the last byte of the first value of the last bucket but the runner's.
func changeOne(t *testing.T, store *view.Memory) {
	t.Helper()
	var bucket string
	var key, value []byte
	_ = store.View(func(r view.Reader) error {
		for _, name := range r.Buckets() {
			if name != "runner" {
				bucket = name
			}
		}
		for k, v := range r.Scan(bucket, nil, nil) {
			key, value = slices.Clone(k), slices.Clone(v)
			break
		}
		return nil
	})
	if key == nil {
		t.Fatal("the view is empty")
	}
	value[len(value)-1] ^= 1
	_ = store.Update(func(tx kv.Tx) error { tx.Put(bucket, key, value); return nil })
}

// TestVerifyViewsOfAnotherLog: a view that is right for the log as it was is not for the log as it was rewritten.
func TestVerifyViewsOfAnotherLog(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	i, f := find[fact.HalfReported](t, messages, 8)
	view := digestOf("tap", foldTo(t, tap.Core{}, messages, fact.Seq(i+1)), fact.Seq(i+1))
	before := digestOf("tap", foldTo(t, tap.Core{}, messages, fact.Seq(i)), fact.Seq(i))
	f.Half.Nonce[0] ^= 1
	rewrite(t, messages, i, f)
	var got []at
	for _, p := range placesOf(verify(t, messages, audit.Options{Views: []audit.ViewDigest{view, before}})) {
		if p.kind == audit.ViewDiffers {
			got = append(got, p)
		}
	}
	if want := []at{{fact.Seq(i + 1), audit.ViewDiffers}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestVerifyViewsAhead(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	last := fact.Seq(len(messages))
	ahead := digestOf("steps", foldTo(t, steps.Core{}, messages, last), last)
	ahead.Seq++
	wantFindings(t, messages, audit.Options{Views: []audit.ViewDigest{ahead}, Unfinished: true}, at{last + 1, audit.ViewDiffers})
}

// TestVerifyViewsBehindStop: of a fold that was stopped nothing is compared any more.
func TestVerifyViewsBehindStop(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	i, _ := find[fact.HalfReported](t, messages, 3)
	last := fact.Seq(len(messages))
	views := []audit.ViewDigest{
		digestOf("tap", foldTo(t, tap.Core{}, messages, fact.Seq(i)), fact.Seq(i)), digestOf("tap", foldTo(t, tap.Core{}, messages, last), last),
	}
	messages[i].Payload = []byte{0xff}
	r := verify(t, messages, audit.Options{Views: views})
	if want := []at{{messages[i].Seq, audit.FoldStopped}, {messages[i].Seq, audit.Undecodable}}; !slices.Equal(placesOf(r), want) || r.Views != 1 {
		t.Errorf("got %v and %d views equal, want %v and 1", placesOf(r), r.Views, want)
	}
}

func TestVerifyViewsOfNobody(t *testing.T) {
	_, err := audit.Verify(context.Background(), verifyGames, each(nil, nil), audit.Options{Views: []audit.ViewDigest{{Service: "tea"}}})
	if err == nil || !strings.Contains(err.Error(), `"tea"`) {
		t.Errorf("got %v, want an error that names the service", err)
	}
}
