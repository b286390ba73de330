package audit_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// rootOf returns the root of the tree of messages, by the definition in RFC 6962, section 2.1.
func rootOf(t testing.TB, messages []eventlog.Message) merkle.Hash {
	t.Helper()
	switch n := len(messages); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		leaf, err := merkle.Leaf(messages[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := rootOf(t, messages[:k]), rootOf(t, messages[k:])
		return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
	}
}

// keep returns the checkpoints of these sizes.
func keep(t testing.TB, messages []eventlog.Message, sizes ...int) []merkle.Checkpoint {
	t.Helper()
	var list []merkle.Checkpoint
	for _, n := range sizes {
		list = append(list, merkle.Checkpoint{Games: verifyGames, Size: fact.Seq(n), Root: rootOf(t, messages[:n])})
	}
	return list
}

// byCheckpoints returns the findings that rest on checkpoints.
func byCheckpoints(r audit.Report) (list []audit.Finding) {
	for _, f := range r.Findings {
		if f.Kind == audit.RewrittenSince || f.Kind == audit.Cut || f.Kind == audit.Equivocation {
			list = append(list, f)
		}
	}
	return list
}

// rewriteCarrier changes who carried the half at i, or the next one: nothing but a checkpoint can tell.
func rewriteCarrier(t testing.TB, m []eventlog.Message, i int) []eventlog.Message {
	t.Helper()
	m = slices.Clone(m)
	for ; ; i++ {
		e, err := m[i].Decode()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := e.Fact.(fact.HalfReported); ok {
			f.Carrier[0] ^= 1
			rewrite(t, m, i, f)
			return m
		}
	}
}

// TestVerifyCheckpoints tampers with a log of which checkpoints were kept at 30, 60 and 100 facts.
func TestVerifyCheckpoints(t *testing.T) {
	w, _ := cleanWorld(t)
	clean := w.messages()
	kept := keep(t, clean, 100, 30, 60, 60) // in any order, one of them twice
	type found struct {
		at
		text string
	}
	for name, tt := range map[string]struct {
		log   []eventlog.Message
		kept  []merkle.Checkpoint
		holds uint64
		want  []found
	}{
		"untouched":        {log: clean, holds: 3},
		"no fact signed":   {log: clean, kept: keep(t, clean, 0), holds: 1},
		"every fact":       {log: clean, kept: keep(t, clean, len(clean)), holds: 1},
		"only those kept":  {log: clean[:100], holds: 3},
		"rewritten behind": {log: rewriteCarrier(t, clean, 100), holds: 3},
		"rewritten in the first range": {log: rewriteCarrier(t, clean, 20), want: []found{
			{at{1, audit.RewrittenSince}, "sequences 1 to 30 was rewritten, inserted, dropped or moved; 2 later"},
		}},
		"rewritten in the second range": {log: rewriteCarrier(t, clean, 40), holds: 1, want: []found{
			{at{31, audit.RewrittenSince}, "sequences 31 to 60 was rewritten, inserted, dropped or moved; 1 later"},
		}},
		"rewritten in the last range": {log: rewriteCarrier(t, clean, 70), holds: 2, want: []found{
			{at{61, audit.RewrittenSince}, "sequences 61 to 100 was rewritten, inserted, dropped or moved"},
		}},
		"stored at another time": {log: func() []eventlog.Message {
			m := slices.Clone(clean)
			m[45].Stored++
			return m
		}(), holds: 1, want: []found{{at{31, audit.RewrittenSince}, "31 to 60"}}},
		"inserted": {log: renumber(slices.Insert(slices.Clone(clean), 70, clean[70])), holds: 2, want: []found{
			{at{61, audit.RewrittenSince}, "61 to 100"},
		}},
		"inserted behind": {log: renumber(slices.Insert(slices.Clone(clean), 100, clean[70])), holds: 3},
		"dropped": {log: renumber(slices.Delete(slices.Clone(clean), 59, 60)), holds: 1, want: []found{
			{at{31, audit.RewrittenSince}, "31 to 60"},
		}},
		"dropped and not numbered anew": {log: slices.Delete(slices.Clone(clean), 59, 60), holds: 1, want: []found{
			{at{31, audit.RewrittenSince}, "31 to 60"},
		}},
		"moved": {log: func() []eventlog.Message {
			m := slices.Clone(clean)
			m[60], m[61] = m[61], m[60]
			return renumber(m)
		}(), holds: 2, want: []found{{at{61, audit.RewrittenSince}, "61 to 100"}}},
		"moved over a checkpoint": {log: func() []eventlog.Message {
			m := slices.Clone(clean)
			m[59], m[60] = m[60], m[59]
			return renumber(m)
		}(), holds: 1, want: []found{{at{31, audit.RewrittenSince}, "31 to 60"}}},
		"cut": {log: clean[:80], holds: 2, want: []found{
			{at{81, audit.Cut}, "a log that ends at sequence 80, before 1 of"},
		}},
		"cut before all":    {log: clean[:29], want: []found{{at{30, audit.Cut}, "at sequence 29, before 3 of"}}},
		"cut and rewritten": {log: rewriteCarrier(t, clean, 40)[:99], holds: 1, want: []found{{at{31, audit.RewrittenSince}, "31 to 60"}, {at{100, audit.Cut}, "at sequence 99"}}},
		"two roots of one size": {
			log: clean, kept: append(keep(t, rewriteCarrier(t, clean, 40), 60), kept...), holds: 3,
			want: []found{{at{60, audit.Equivocation}, "the log has"}},
		},
		"two roots of one size, neither this log's": {
			log: rewriteCarrier(t, clean, 44), kept: append(keep(t, rewriteCarrier(t, clean, 40), 60), kept...), holds: 1,
			want: []found{{at{31, audit.RewrittenSince}, "31 to 60"}, {at{60, audit.Equivocation}, "the log has"}},
		},
		"rewritten and signed again": {
			log: rewriteCarrier(t, clean, 40), kept: append(keep(t, rewriteCarrier(t, clean, 40), 90, 110), keep(t, clean, 30, 60, 80)...), holds: 3,
			want: []found{{at{31, audit.RewrittenSince}, "31 to 60"}, {at{60, audit.Equivocation}, "at size 110"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.kept == nil {
				tt.kept = kept
			}
			for _, unfinished := range []bool{false, true} {
				r := verify(t, tt.log, audit.Options{Checkpoints: tt.kept, Unfinished: unfinished})
				got := byCheckpoints(r)
				if len(got) != len(tt.want) || r.Checkpoints != tt.holds {
					t.Fatalf("%d hold, want %d; found %v, want %v", r.Checkpoints, tt.holds, got, tt.want)
				}
				for i, want := range tt.want {
					if f := got[i]; f.Seq != want.seq || f.Kind != want.kind || !strings.Contains(f.Found, want.text) {
						t.Errorf("got %v, want %v", f, want)
					}
				}
				if root := rootOf(t, tt.log); r.Root != root || int(r.Size) != len(tt.log) {
					t.Errorf("root %v of %d facts, want %v of %d", r.Root, r.Size, root, len(tt.log))
				}
			}
		})
	}
}

// TestVerifyTwoArchives has two archives that hold for themselves: the kept checkpoint tells which one was signed for.
func TestVerifyTwoArchives(t *testing.T) {
	w, _ := cleanWorld(t)
	one := w.messages()
	other := rewriteCarrier(t, one, 40)
	for name, tt := range map[string]struct {
		signed, log []eventlog.Message
		want        string
	}{
		"one, of one":     {one, one, audit.Clean},
		"one, of other":   {one, other, audit.Broken},
		"other, of one":   {other, one, audit.Broken},
		"other, of other": {other, other, audit.Clean},
	} {
		if r := verify(t, tt.log, audit.Options{}); r.Verdict != audit.Clean {
			t.Errorf("%s: without a checkpoint: %v", name, r.Findings)
		}
		if r := verify(t, tt.log, audit.Options{Checkpoints: keep(t, tt.signed, 90)}); r.Verdict != tt.want {
			t.Errorf("%s: got %s, want %s", name, r.Verdict, tt.want)
		}
	}
}

// TestVerifyCheckpointsUnreadable: what could not be read was not checked, so it is not cut either.
func TestVerifyCheckpointsUnreadable(t *testing.T) {
	w, _ := cleanWorld(t)
	m := w.messages()
	r, err := audit.Verify(context.Background(), verifyGames, each(m[:50], fmt.Errorf("archive: %w", audit.ErrTruncated)),
		audit.Options{Checkpoints: keep(t, m, 40, 60)})
	if err != nil || len(byCheckpoints(r)) != 0 || r.Checkpoints != 1 {
		t.Errorf("got %v, %d hold, %v, want one to hold and none to be broken", err, r.Checkpoints, byCheckpoints(r))
	}
}

func TestVerifyCheckpointsOfOtherGames(t *testing.T) {
	other := merkle.Checkpoint{Games: "paris2024", Root: sha256.Sum256(nil)}
	_, err := audit.Verify(context.Background(), verifyGames, each(nil, nil), audit.Options{Checkpoints: []merkle.Checkpoint{other}})
	if err == nil || !strings.Contains(err.Error(), `"paris2024"`) {
		t.Errorf("got %v, want an error that names the other Games", err)
	}
}
