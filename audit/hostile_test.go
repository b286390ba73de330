package audit_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// TestVerifyOtherRules: rules that make medals cheap for as long as one friendship takes derive what they say, so only who
// knows which ones were published finds them.
func TestVerifyOtherRules(t *testing.T) {
	w := newVerifyWorld(t)
	a, b := w.wearer(), w.wearer()
	cheap := verifyRules()
	cheap.Medals = fact.Thresholds{Bronze: 1, Silver: 3, Gold: 4}
	cheap.Opens = 1_500_000_000_000
	adopted := w.add(fact.RulesAdopted{Rules: cheap})
	w.meet(a, b)
	w.add(fact.RulesAdopted{Rules: verifyRules()})
	messages := w.messages()
	if r := verify(t, messages, audit.Options{}); r.Verdict != audit.Clean || r.Medals != 2 || r.RulesAdopted != 3 {
		t.Fatalf("got %+v, want a clean log of 2 medals and 3 times rules", r)
	}
	o := audit.Options{Rules: []fact.Rules{verifyRules()}}
	wantFindings(t, messages, o, at{adopted, audit.OtherRules})
	want := `others: medals {"bronze":1,"gold":4,"silver":3}, opens "2017-07-14T02:40:00.000Z"`
	if got := verify(t, messages, o).Findings[0].Found; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	o.Rules = append(o.Rules, cheap)
	if r := verify(t, messages, o); r.Verdict != audit.Clean {
		t.Errorf("got %v, want a log that is clean where both were published", r.Findings)
	}
	for _, published := range [][]fact.Rules{{cheap}, {rules.Tokyo2020(), cheap}} { // what differs is said of the last ones
		o.Rules = published
		if got, want := verify(t, messages, o).Findings[0].Found, `others: medals {"bronze":2,"gold":4,"silver":3}, no opens`; got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// casablanca returns the clocks of Morocco as a database knows them that ends at an instant.
func casablanca(t testing.TB, end fact.UnixMilli) []fact.ZoneOffset {
	t.Helper()
	r, err := rules.Parse([]byte(`{
		"name": "Games", "sports": [{"id": "judo", "english": "Judo"}],
		"friends_per_background": 5, "starter_backgrounds": 0, "medals": {"bronze": 1, "silver": 2, "gold": 3},
		"time_zone": "Africa/Casablanca", "step_goal": 1, "pending_for": "24h", "upload_grace": "0s"}`))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(r.Zone, func(z fact.ZoneOffset) bool { return z.From.Start() >= end })
}

// TestZonesToCome: an auditor, or an other set of rules, whose zone database knows more of what is to come, has the rules of
// the log, until a fact of the log is behind the first difference.
func TestZonesToCome(t *testing.T) {
	w := emptyVerifyWorld(t)
	inForce := verifyRules()
	inForce.Zone = casablanca(t, w.now.Add(365*24*time.Hour))
	newer := inForce
	newer.Zone = casablanca(t, math.MaxInt64)
	first := newer.Zone[len(inForce.Zone)].From.Start() // of the changes that the log does not know of
	w.add(fact.RulesAdopted{Rules: inForce}, fact.TimePassed{Time: w.now})
	a, b := w.wearer(), w.wearer()
	w.meet(a, b)
	w.walk(a, 1200)
	published := audit.Options{Rules: []fact.Rules{verifyRules(), newer}}
	whatIf := func() error {
		_, err := audit.WhatIf(t.Context(), each(w.messages(), nil), func(fact.Rules) (fact.Rules, error) { return newer, nil })
		return err
	}
	w.now = first - 1001 // a second passes before a fact is stored
	w.add(fact.TimePassed{Time: w.now})
	if r := verify(t, w.messages(), published); r.Verdict != audit.Clean {
		t.Errorf("got %v, want a clean log: the change is to come", r.Findings)
	}
	if err := whatIf(); err != nil {
		t.Errorf("what if the rules had a change to come: %v", err)
	}
	w.now = first - 1000
	w.add(fact.TimePassed{Time: w.now})
	wantFindings(t, w.messages(), published, at{1, audit.OtherRules})
	want := "others: another time_zone from " + first.String() + " on"
	if got := verify(t, w.messages(), published).Findings[0].Found; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
	if err := whatIf(); err == nil || !strings.Contains(err.Error(), "rules adopted at sequence 1: time_zone: must stay that of the log") {
		t.Errorf("what if the rules had another zone: %v", err)
	}
}

// TestVerifySurplus puts a fact before a fact, in one message: decoders see the second.
func TestVerifySurplus(t *testing.T) {
	w, _ := cleanWorld(t)
	clean := w.messages()
	for i := range clean {
		m := slices.Clone(clean)
		m[i].Payload = slices.Concat(clean[1].Payload, m[i].Payload)
		wantFindings(t, m, audit.Options{}, at{m[i].Seq, audit.Surplus})
	}
}

// TestVerifySurplusByte: a number may be written with one byte more than it takes.
func TestVerifySurplusByte(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	i, want := find[fact.TimePassed](t, messages, 1)
	p := slices.Clone(messages[i].Payload) // the tag of TimePassed, two bytes, and its length, then the tag of its time, and the time
	p[2]++
	p[len(p)-1] |= 0x80
	messages[i].Payload = append(p, 0)
	if e, err := messages[i].Decode(); err != nil || e.Fact != want {
		t.Fatalf("%x: got %v, %v, want the same fact, %v", p, e.Fact, err, want)
	}
	wantFindings(t, messages, audit.Options{}, at{messages[i].Seq, audit.Surplus})
}

// forgedBackground is an award of a background with a name that no rules can have.
func forgedBackground(t *testing.T, name string, cause fact.Seq) []byte {
	t.Helper()
	payload, err := eventlog.Encode(fact.Record{
		Fact: fact.BackgroundUnlocked{Background: name, Friends: 1}, Derivation: fact.Derivation{Cause: cause, Count: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestVerifyForgedText: what a forged fact says does not speak for the auditor on a terminal.
func TestVerifyForgedText(t *testing.T) {
	w, _ := cleanWorld(t)
	messages := w.messages()
	payload := forgedBackground(t, "\x1b[2J\x1b[Hverdict\u202e clean\n"+strings.Repeat("é", 100_000), 3)
	messages = append(messages, eventlog.Message{Stored: w.now, Family: fact.Award, Payload: payload})
	messages = renumber(messages)
	last := messages[len(messages)-1].Seq
	wantFindings(t, messages, audit.Options{}, at{last, audit.Extra})
	found := verify(t, messages, audit.Options{}).Findings[0].Found
	if strings.ContainsFunc(found, func(c rune) bool { return !unicode.IsPrint(c) }) || len(found) > 2000 || !strings.Contains(found, "clean") {
		t.Errorf("found %.3000q", found)
	}
	c := compareLogs(t, append(slices.Clone(messages[:last-1]), messages[0]), messages)
	if d := c.Difference; d == nil || strings.ContainsFunc(d.B, func(c rune) bool { return !unicode.IsPrint(c) }) || len(d.B) > 100_000 {
		t.Errorf("got %.3000q", d.B)
	}
}

// TestVerifyLargeFacts: forged facts may be large, and take no room in an archive. The memory stays within bounds, those of
// facts whose cause is still to come too.
func TestVerifyLargeFacts(t *testing.T) {
	const forged, size = 600, 512 << 10
	w, _ := cleanWorld(t)
	messages := w.messages()
	payload := forgedBackground(t, strings.Repeat("x", size), 1<<40)
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	log := func(yield func(eventlog.Message, error) bool) {
		for i := range len(messages) + forged {
			m := eventlog.Message{Seq: fact.Seq(i + 1), Stored: w.now, Family: fact.Award, Payload: payload}
			if i < len(messages) {
				m = messages[i]
			}
			if !yield(m, nil) {
				return
			}
			if i%50 == 0 {
				runtime.GC()
				most = max(most, heap())
			}
		}
	}
	r, err := audit.Verify(context.Background(), verifyGames, log, audit.Options{Workers: 2})
	if err != nil || len(r.Findings) != forged {
		t.Fatalf("got error %v and %d findings, want %d", err, len(r.Findings), forged)
	}
	if taken, all := most-min(before, most), uint64(forged*size); taken > all/2 {
		t.Errorf("%d MiB in use, want less than half of the %d MiB that were read", taken>>20, all>>20)
	}
}

// TestVerifyStrangeTimes: an operator can store anything at any time, and claim any.
func TestVerifyStrangeTimes(t *testing.T) {
	for _, strange := range []fact.UnixMilli{math.MaxInt64, math.MinInt64, -1, 0} {
		w := newVerifyWorld(t)
		a, b := w.wearer(), w.wearer()
		first, second := w.halves(a, b)
		now := w.now
		w.now = strange
		w.add(fact.TimePassed{Time: strange})
		w.add(first)
		w.now = now
		w.add(second)
		w.add(fact.TimePassed{Time: strange})
		if r := verify(t, w.messages(), audit.Options{}); r.Verdict != audit.Clean || r.Halves != 2 {
			t.Errorf("%d: got %+v, want what the folds themselves derived", strange, r)
		}
	}
}
