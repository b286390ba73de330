package audit_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// archiveOf writes the messages, which are numbered anew, to an archive.
func archiveOf(t testing.TB, h audit.Header, messages []eventlog.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := audit.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		m.Seq = h.First + fact.Seq(i)
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compareHeader() audit.Header {
	return audit.Header{Games: verifyGames, Epoch: 1, First: 1, CreatedBy: "test"}
}

func compareArchives(t testing.TB, a, b []byte) (audit.Comparison, error) {
	t.Helper()
	readerA, errA := audit.NewReader(bytes.NewReader(a))
	readerB, errB := audit.NewReader(bytes.NewReader(b))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return audit.Compare(context.Background(), readerA, readerB)
}

func compareLogs(t testing.TB, a, b []eventlog.Message) audit.Comparison {
	t.Helper()
	c, err := compareArchives(t, archiveOf(t, compareHeader(), a), archiveOf(t, compareHeader(), b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// honestLog makes the log that the services would have made of the reported facts of the messages.
func honestLog(t testing.TB, messages []eventlog.Message) []eventlog.Message {
	w := emptyVerifyWorld(t)
	for _, m := range messages {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if !m.Family.Derived() {
			w.add(e.Fact)
		}
	}
	all := w.messages()
	for i := range all {
		all[i].Stored = 1_700_000_000_000 // or the times would tell more than the facts
	}
	return all
}

func TestCompare(t *testing.T) {
	w, _ := cleanWorld(t)
	log := honestLog(t, w.messages())
	half := func(n int) int { i, _ := find[fact.HalfReported](t, log, n); return i }
	formed := func(n int) int { i, _ := find[fact.FriendshipFormed](t, log, n); return i }
	h := half(16)
	medal, _ := find[fact.MedalAwarded](t, log, 0)
	without := func(i int) []eventlog.Message { return slices.Delete(slices.Clone(log), i, i+1) }
	moved := func(from, to int) []eventlog.Message { return slices.Insert(without(from), to, log[from]) }
	replaced := func(i int, with ...eventlog.Message) []eventlog.Message {
		return slices.Insert(without(i), i, with...)
	}
	time := func(n fact.UnixMilli) eventlog.Message {
		payload, err := eventlog.Encode(fact.Record{Fact: fact.TimePassed{Time: n}})
		if err != nil {
			t.Fatal(err)
		}
		return eventlog.Message{Stored: log[0].Stored, Family: fact.Clock, Payload: payload}
	}
	stored := slices.Clone(log)
	stored[h].Stored++
	lied := slices.Clone(log)
	_, friendship := find[fact.FriendshipFormed](t, lied, 3)
	friendship.Mate--
	rewrite(t, lied, formed(3), friendship)
	friendship.Hi[0] ^= 1
	forged := slices.Clone(log)
	rewrite(t, forged, formed(3), friendship)
	torn := slices.Clone(log)
	torn[h].Payload = []byte{0xff}
	twice := replaced(h, time(1))
	twice[half(18)] = time(2)
	parted := slices.Clone(log[:h])
	for n := range 50 {
		parted = append(parted, time(fact.UnixMilli(n+1)))
	}
	n := len(log)
	replacedEnd := []eventlog.Message{time(1), time(2)}
	for name, tt := range map[string]struct {
		b            []eventlog.Message
		at           int // index of the first difference
		kind         audit.Parting
		among        string
		onlyA, onlyB int
		inA, inB     string // of the descriptions
	}{
		"stored later":        {stored, h, audit.StoredTime, "reported", 0, 0, "stored 2023-11-14T22:13:20.000Z", "stored 2023-11-14T22:13:20.001Z"},
		"rewritten":           {replaced(h, time(1)), h, audit.Rewritten, "reported", 1, 1, "HalfReported{", "TimePassed{Time:1970-01-01T00:00:00.001Z}"},
		"rewritten twice":     {twice, h, audit.Rewritten, "reported", 3, 3, "HalfReported{", "TimePassed{"},
		"not to be decoded":   {torn, h, audit.Rewritten, "reported", 1, 1, "HalfReported{", "log: sequence"},
		"one fact more":       {slices.Insert(slices.Clone(log), h, time(1)), h, audit.OnlyInB, "reported", 0, 1, "HalfReported{", "TimePassed{"},
		"three facts more":    {slices.Insert(slices.Clone(log), h, time(1), time(2), time(3)), h, audit.OnlyInB, "reported", 0, 3, "HalfReported{", "TimePassed{"},
		"a fact dropped":      {without(h), h, audit.OnlyInA, "reported", 1, 0, "HalfReported{", ""},
		"dropped, honestly":   {honestLog(t, without(h)), h, audit.OnlyInA, "reported", 1, 0, "HalfReported{", ""},
		"one more, honestly":  {honestLog(t, slices.Insert(slices.Clone(log), h, time(1))), h, audit.OnlyInB, "reported", 0, 1, "HalfReported{", "TimePassed{"},
		"one for three":       {replaced(h, time(1), time(2), time(3)), h, audit.Replaced, "reported", 1, 3, "HalfReported{", "TimePassed{"},
		"repeated":            {slices.Insert(slices.Clone(log), h, log[half(3)]), h, audit.OnlyInB, "reported", 0, 1, "", ""},
		"moved a little":      {moved(h, half(18)), h, audit.Reordered, "reported", 0, 0, "HalfReported{", ""},
		"moved ahead":         {moved(half(22), h), h, audit.Reordered, "reported", 0, 0, "HalfReported{", "HalfReported{"},
		"moved far":           {moved(half(3), half(28)), half(3), audit.Reordered, "reported", 0, 0, "HalfReported{", ""},
		"parted":              {parted, h, audit.Parted, "reported", 0, 0, "HalfReported{", "TimePassed{"},
		"a derived dropped":   {without(formed(3)), formed(3), audit.OnlyInA, "friendship", 1, 0, "FriendshipFormed{", ""},
		"a derived, adjusted": {adjusted(t, without(formed(3)), fact.Seq(formed(3)+1)), formed(3), audit.OnlyInA, "friendship", 1, 0, "FriendshipFormed{", ""},
		"a derived twice":     {slices.Insert(slices.Clone(log), formed(3), log[medal]), formed(3), audit.OnlyInB, "award", 0, 1, "FriendshipFormed{", "MedalAwarded{"},
		"a derived moved":     {moved(formed(3), formed(4)), formed(3), audit.Reordered, "friendship", 0, 0, "FriendshipFormed{", ""},
		"a derived delayed":   {moved(formed(3), formed(3)+2), formed(3), audit.Reordered, "all", 0, 0, "FriendshipFormed{", ""},
		"a derived forged":    {forged, formed(3), audit.Rewritten, "friendship", 1, 1, "FriendshipFormed{", "FriendshipFormed{"},
		"another mate":        {lied, formed(3), audit.Rewritten, "friendship", 1, 1, "FriendshipFormed{", "FriendshipFormed{"},
		"another end":         {slices.Concat(log[:n-5], replacedEnd), n - 5, audit.Parted, "reported", 0, 0, "", "TimePassed{"},
		"the last but one":    {without(n - 2), n - 2, audit.OnlyInA, "", 1, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(c audit.Comparison, onlyA, onlyB int, kind audit.Parting, inA, inB string) {
				t.Helper()
				d := c.Difference
				if d == nil || c.Verdict != audit.Different {
					t.Fatalf("got %+v, want a difference", c)
				}
				if int(d.Seq) != tt.at+1 || int(c.Agree) != tt.at || d.Kind != kind || tt.among != "" && d.Among != tt.among || d.OnlyA != onlyA || d.OnlyB != onlyB {
					t.Errorf("%d agree, then %+v\nwant %d, then %s among %s, %d and %d", c.Agree, *d, tt.at, kind, tt.among, onlyA, onlyB)
				}
				if !strings.Contains(d.A, inA) || !strings.Contains(d.B, inB) {
					t.Errorf("described as %q and %q, want %q and %q", d.A, d.B, inA, inB)
				}
			}
			check(compareLogs(t, log, tt.b), tt.onlyA, tt.onlyB, tt.kind, tt.inA, tt.inB)
			mirror := tt.kind
			switch tt.kind {
			case audit.OnlyInA:
				mirror = audit.OnlyInB
			case audit.OnlyInB:
				mirror = audit.OnlyInA
			}
			check(compareLogs(t, tt.b, log), tt.onlyB, tt.onlyA, mirror, tt.inB, tt.inA)
		})
	}
}

// adjusted makes the facts fit a log from which the one at this sequence was taken.
func adjusted(t testing.TB, messages []eventlog.Message, taken fact.Seq) []eventlog.Message {
	t.Helper()
	earlier := func(seqs ...*fact.Seq) {
		for _, s := range seqs {
			if *s > taken {
				*s--
			}
		}
	}
	for i, m := range messages {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		earlier(&e.Derivation.Cause)
		switch f := e.Fact.(type) {
		case fact.FriendshipFormed:
			earlier(&f.Mate)
			e.Fact = f
		case fact.FriendshipEnded:
			earlier(&f.Friendship)
			e.Fact = f
		case fact.HalfRefused:
			earlier(&f.Half)
			e.Fact = f
		}
		if messages[i].Payload, err = eventlog.Encode(e.Record); err != nil {
			t.Fatal(err)
		}
	}
	return messages
}

// TestCompareQuiet puts one fact of a family into a log in which there are no others for long.
// TestCompareBytes: facts that say the same in other bytes are told apart.
func TestCompareBytes(t *testing.T) {
	w, _ := cleanWorld(t)
	a := w.messages()
	b := slices.Clone(a)
	b[7].Payload = slices.Concat(b[1].Payload, b[7].Payload) // the second fact replaces the first
	c := compareLogs(t, a, b)
	if d := c.Difference; d == nil || d.Seq != 8 || d.Kind != audit.Rewritten || d.A == d.B {
		t.Errorf("got %+v, want two texts of sequence 8", d)
	}
}

func TestCompareQuiet(t *testing.T) {
	w := newVerifyWorld(t)
	for range 5000 {
		if _, err := w.log.Append(context.Background(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimePassed{Time: w.now}}}}); err != nil {
			t.Fatal(err)
		}
	}
	log := w.messages()
	goal, err := eventlog.Encode(fact.Record{Fact: fact.StepGoalReached{Steps: 9}, Derivation: fact.Derivation{Cause: 1, Count: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d := compareLogs(t, log, slices.Insert(slices.Clone(log), 50, eventlog.Message{Family: fact.Goal, Payload: goal})).Difference
	if d == nil || d.Seq != 51 || d.Kind != audit.OnlyInB || d.Among != "goal" || d.OnlyB != 1 {
		t.Errorf("got %+v", d)
	}
}

// TestCompareAgree compares a log with itself and its beginnings, over the ends of chunks.
func TestCompareAgree(t *testing.T) {
	w := newVerifyWorld(t)
	w.crowdOf(4)
	log := w.messages()
	other := compareHeader()
	other.Epoch, other.CreatedBy = 2, "somebody else"
	for n := range len(log) + 1 {
		c, err := compareArchives(t, archiveOf(t, compareHeader(), log), archiveOf(t, other, log[:n]))
		want := audit.Comparison{Verdict: audit.ALonger, Games: verifyGames, EpochA: 1, EpochB: 2, Agree: uint64(n), MoreA: uint64(len(log) - n)}
		if n == len(log) {
			want.Verdict = audit.Same
		}
		if err != nil || c != want {
			t.Errorf("error %v, got %+v, want %+v", err, c, want)
		}
		c = compareLogs(t, log[:n], log)
		want.EpochB, want.MoreA, want.MoreB = 1, 0, want.MoreA
		if n < len(log) {
			want.Verdict = audit.BLonger
		}
		if c != want {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
}

// TestCompareFinds changes a log at random: the first difference is where it is, and the two are the same the other way
// round.
func TestCompareFinds(t *testing.T) {
	w, _ := cleanWorld(t)
	log := w.messages()
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(log)-1).Draw(rt, "at")
		b := slices.Clone(log)
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			at := rapid.IntRange(i, len(b)-1).Draw(rt, "change")
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				b = slices.Delete(b, at, at+1)
			case 1:
				b = slices.Insert(b, at, log[rapid.IntRange(0, len(log)-1).Draw(rt, "of")])
			case 2:
				b[at].Stored++
			}
			i = min(i, max(len(b)-1, 0))
			if len(b) == 0 {
				return
			}
		}
		first := 0
		for first < min(len(log), len(b)) && bytes.Equal(log[first].Payload, b[first].Payload) && log[first].Stored == b[first].Stored {
			first++
		}
		c, d := compareLogs(t, log, b), compareLogs(t, b, log)
		if int(c.Agree) != first || c.Agree != d.Agree || c.MoreA != d.MoreB || c.MoreB != d.MoreA || (c.Difference == nil) != (d.Difference == nil) {
			rt.Fatalf("%d agree, want %d; got %+v, the other way round %+v", c.Agree, first, c, d)
		}
		if end := first == min(len(log), len(b)); end != (c.Difference == nil) {
			rt.Fatalf("got %+v, of %d and %d facts", c, len(log), len(b))
		}
		if c.Difference != nil && (int(c.Difference.Seq) != first+1 || c.Difference.A != d.Difference.B || c.Difference.B != d.Difference.A) {
			rt.Fatalf("%+v, the other way round %+v", c.Difference, d.Difference)
		}
	})
}

func TestCompareErrors(t *testing.T) {
	w := newVerifyWorld(t)
	log := w.messages()
	whole := archiveOf(t, compareHeader(), log)
	games, first := compareHeader(), compareHeader()
	games.Games, first.First = "paris2024", 5
	if _, err := compareArchives(t, whole, archiveOf(t, games, log)); err == nil || !strings.Contains(err.Error(), "games tokyo2020 of A and paris2024 of B") {
		t.Errorf("other Games: error %v", err)
	}
	if _, err := compareArchives(t, whole, archiveOf(t, first, log)); err == nil || !strings.Contains(err.Error(), "first sequence 1 of A and 5 of B") {
		t.Errorf("another first sequence: error %v", err)
	}
	if _, err := compareArchives(t, whole[:len(whole)-1], whole); !errors.Is(err, audit.ErrTruncated) || !strings.HasPrefix(err.Error(), "A: ") {
		t.Errorf("A is torn: error %v", err)
	}
	if _, err := compareArchives(t, whole, whole[:len(whole)-1]); !errors.Is(err, audit.ErrTruncated) || !strings.HasPrefix(err.Error(), "B: ") {
		t.Errorf("B is torn: error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a, _ := audit.NewReader(bytes.NewReader(whole))
	b, _ := audit.NewReader(bytes.NewReader(whole))
	if _, err := audit.Compare(ctx, a, b); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: error %v", err)
	}
}
