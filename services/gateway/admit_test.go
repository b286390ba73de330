package gateway_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

var (
	alice, bob = newPin("alice"), newPin("bob") // in service
	carol      = newPin("carol")                // paired, then retired
	dora       = newPin("dora")                 // registered, never paired
	emil       = newPin("emil")                 // registered, retired before it was paired
	frida      = newPin("frida")                // paired with a wearer who was erased since
	mallory    = newPin("mallory")              // unknown, though the log names it
)

// people is the roster that these pins are in, while the Games are open.
func people(t testing.TB) *view.Memory {
	t.Helper()
	return peopleAt(t, rules.Window{}, slot.Start())
}

// peopleAt is the same roster under rules with this window, at this time of the folds.
func peopleAt(t testing.TB, w rules.Window, now fact.UnixMilli) *view.Memory {
	t.Helper()
	r := rules.Tokyo2020()
	r.Opens, r.Closes, r.UploadGrace = w.Opens, w.Closes, w.UploadGrace
	return fold(t, fact.RulesAdopted{Rules: r}, fact.TimePassed{Time: now},
		registered(alice), registered(bob), registered(carol), registered(dora), registered(emil), registered(frida),
		paired(alice), paired(bob), paired(carol), paired(frida),
		retired(carol), retired(emil), erased("frida"),
		// Facts about a pin that is not registered have no effect.
		paired(mallory), retired(mallory))
}

// A clock of the gateway at which a slot begins, and one that is a tolerance before it.
const (
	slot      fact.Slot = 1_807_776
	tolerance           = 10 * time.Minute
)

var admission = gateway.Admission{Now: slot.Start().Add(-tolerance), Tolerance: tolerance}

// flaw is one thing that is wrong with a statement, named by its reason.
type flaw string

// The flaws that a half and a step report can have, each list in the order in which admission checks.
var (
	halfFlaws = []flaw{
		"UNKNOWN_MAGIC", "MALFORMED", "RESERVED_NOT_ZERO", "SELF_TAP", "UNKNOWN_PIN", "RETIRED_PIN",
		"UNPAIRED_PIN", "CLOSED", "BAD_SIGNATURE", "UNKNOWN_PEER",
	}
	stepFlaws = []flaw{
		"UNKNOWN_MAGIC", "MALFORMED", "RESERVED_NOT_ZERO", "UNKNOWN_PIN", "RETIRED_PIN",
		"UNPAIRED_PIN", "CLOSED", "BAD_SIGNATURE", "FROM_FUTURE", "IMPLAUSIBLE_STEPS",
	}
)

// stores are the rosters of statements with and without the one flaw that is not their own.
type stores struct{ open, closed *view.Memory }

func newStores(t testing.TB) stores {
	return stores{open: people(t), closed: peopleAt(t, rules.Window{Opens: slot.Start() + 1}, slot.Start())}
}

func (s stores) of(flaws []flaw) *view.Memory {
	if slices.Contains(flaws, "CLOSED") {
		return s.closed
	}
	return s.open
}

// author returns a pin that has those of the flaws that are a pin's.
func author(flaws []flaw) pin {
	unpaired, gone := slices.Contains(flaws, "UNPAIRED_PIN"), slices.Contains(flaws, "RETIRED_PIN")
	switch {
	case slices.Contains(flaws, "UNKNOWN_PIN"):
		return mallory // retired and unpaired as well, as far as a pin can be that nobody knows
	case unpaired && gone:
		return emil
	case unpaired:
		return dora
	case gone:
		return carol
	}
	return alice
}

// flawedHalf returns a half and its signature that have these flaws and no other: whatever is wrong with the bytes,
// the pin signed just these, unless the signature is what is wrong.
func flawedHalf(flaws []flaw) (raw, sig []byte) {
	has := func(f flaw) bool { return slices.Contains(flaws, f) }
	by := author(flaws)
	h := fact.Half{
		Pin: by.id, Peer: bob.id, Nonce: fact.Nonce{1}, PeerNonce: fact.Nonce{2}, Counter: 7,
		Time: slot.Start(), Link: fact.LinkNFC,
	}
	if has("UNKNOWN_PEER") {
		h.Peer = fact.PinID{1}
	}
	raw = statement.AppendHalf(nil, h)
	if has("SELF_TAP") {
		copy(raw[12:20], raw[4:12])
	}
	return finish(raw, by, has, func() { raw[65] = 4 }, func() { raw[71] = 1 })
}

// flawedSteps returns a step report likewise.
func flawedSteps(flaws []flaw) (raw, sig []byte) {
	has := func(f flaw) bool { return slices.Contains(flaws, f) }
	by := author(flaws)
	r := fact.StepReport{Pin: by.id, Counter: 8, FirstSlot: slot - 1, Steps: []uint16{4500, 0}}
	if has("FROM_FUTURE") {
		r.FirstSlot++
	}
	if has("IMPLAUSIBLE_STEPS") {
		r.Steps[1] = 4501
	}
	raw = statement.AppendStepReport(nil, r)
	return finish(raw, by, has, func() { raw[20] = 3 }, func() { raw[23] = 1 })
}

func finish(raw []byte, by pin, has func(flaw) bool, malform, reserve func()) (_, sig []byte) {
	if has("UNKNOWN_MAGIC") {
		raw[3] = '2'
	}
	if has("MALFORMED") {
		malform()
	}
	if has("RESERVED_NOT_ZERO") {
		reserve()
	}
	sig = by.sign(raw)
	if has("BAD_SIGNATURE") {
		sig[0] ^= 1
	}
	return raw, sig
}

// kinds are the two kinds of statement that are delivered.
var kinds = map[string]struct {
	flaws []flaw
	make  func([]flaw) (raw, sig []byte)
}{
	"half":  {halfFlaws, flawedHalf},
	"steps": {stepFlaws, flawedSteps},
}

// TestAdmit has one row for each reason, in the order in which admission checks.
func TestAdmit(t *testing.T) {
	stores := newStores(t)
	for name, kind := range kinds {
		for _, f := range kind.flaws {
			t.Run(name+" "+string(f), func(t *testing.T) {
				raw, sig := kind.make([]flaw{f})
				wantRefused(t, stores.of([]flaw{f}), raw, sig, reasons[string(f)])
			})
		}
	}
}

// TestAdmitOrder combines the flaws in every way, two of them and more: the reason given is the first one. Where
// nothing is wrong, the statement is admitted.
func TestAdmitOrder(t *testing.T) {
	stores := newStores(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			for set := range 1 << len(kind.flaws) {
				var flaws []flaw
				for i, f := range kind.flaws {
					if set>>i&1 == 1 {
						flaws = append(flaws, f)
					}
				}
				raw, sig := kind.make(flaws)
				got := "admitted"
				if err := admit(t, stores.of(flaws), raw, sig); err != nil {
					got = nameOf(refusalOf(t, err).Reason)
				}
				want := "admitted"
				if len(flaws) > 0 {
					want = string(flaws[0])
				}
				if got != want {
					t.Errorf("with %v: got %s, want %s", flaws, got, want)
				}
			}
		})
	}
}

func TestAdmitMalformed(t *testing.T) {
	store := people(t)
	half, _ := flawedHalf(nil)
	steps, _ := flawedSteps(nil)
	proof := statement.AppendProof(nil, fact.Proof{Pin: alice.id, Challenge: fact.Challenge{1}})
	edit := func(raw []byte, change func([]byte) []byte) []byte { return change(slices.Clone(raw)) }
	short := func(b []byte) []byte { return b[:len(b)-1] }
	long := func(b []byte) []byte { return append(b, 0) }
	for name, raw := range map[string][]byte{
		"a half that is too short":    edit(half, short),
		"a half that is too long":     edit(half, long),
		"the magic of a half alone":   half[:4],
		"link 0":                      edit(half, func(b []byte) []byte { b[65] = 0; return b }),
		"a time before the epoch":     edit(half, func(b []byte) []byte { b[56] = 0x80; return b }),
		"steps that are too short":    edit(steps, short),
		"steps that are too long":     edit(steps, long),
		"the magic of steps alone":    steps[:4],
		"no slot":                     edit(steps, func(b []byte) []byte { b[20] = 0; return b[:24] }),
		"33 slots":                    edit(steps, func(b []byte) []byte { b[20] = 33; return append(b[:24], make([]byte, 66)...) }),
		"a last slot past 32 bits":    edit(steps, func(b []byte) []byte { copy(b[16:20], "\xff\xff\xff\xff"); return b }),
		"a proof, which is no report": proof,
		"the magic of a proof alone":  proof[:4],
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, store, raw, alice.sign(raw), gateway.Malformed)
		})
	}
	for name, raw := range map[string][]byte{
		"nothing": nil, "three bytes of a magic": half[:3], "lower case": edit(half, func(b []byte) []byte { b[0] = 'p'; return b }),
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, store, raw, alice.sign(raw), gateway.UnknownMagic)
		})
	}
	for name, sig := range map[string][]byte{
		"no signature": nil, "a signature of 63 bytes": alice.sign(half)[:63], "a signature of 65 bytes": append(alice.sign(half), 0),
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, store, half, sig, gateway.Malformed)
		})
	}
}

// TestAdmitErased: no new statements come from a wearer who was erased, whichever pin it is.
func TestAdmitErased(t *testing.T) {
	store := people(t)
	raw := statement.AppendHalf(nil, fact.Half{Pin: frida.id, Peer: bob.id, Link: fact.LinkNFC})
	wantRefused(t, store, raw, frida.sign(raw), gateway.RetiredPin)
}

// TestAdmitPeer: a peer must be registered, and no more than that. What becomes of the tap is the fold's to say.
func TestAdmitPeer(t *testing.T) {
	store := people(t)
	for _, peer := range []pin{bob, carol, dora, emil, frida} {
		t.Run(peer.name, func(t *testing.T) {
			raw := statement.AppendHalf(nil, fact.Half{Pin: alice.id, Peer: peer.id, Link: fact.LinkNFC})
			if err := admit(t, store, raw, alice.sign(raw)); err != nil {
				t.Errorf("got %v, want it admitted", err)
			}
		})
	}
}

// TestAdmitWrongAuthor: a signature of another pin is none, also where that pin is in service or is the peer.
func TestAdmitWrongAuthor(t *testing.T) {
	store := people(t)
	for name, kind := range kinds {
		for _, by := range []pin{bob, carol, mallory} {
			t.Run(name+" signed by "+by.name, func(t *testing.T) {
				raw, _ := kind.make(nil)
				wantRefused(t, store, raw, by.sign(raw), gateway.BadSignature)
			})
		}
	}
}

// TestAdmitTime goes to the edges of the tolerance, which is for the slots of step reports.
func TestAdmitTime(t *testing.T) {
	store := people(t)
	report := func(first fact.Slot, n int) []byte {
		return statement.AppendStepReport(nil, fact.StepReport{Pin: alice.id, FirstSlot: first, Steps: make([]uint16, n)})
	}
	const (
		tol     = tolerance
		quarter = fact.SlotLength
		forever = math.MaxInt64 / time.Millisecond * time.Millisecond
	)
	now := admission.Now
	lastSlot := fact.Slot(math.MaxUint32).Start() // the latest that a slot can begin
	for name, tt := range map[string]struct {
		now   fact.UnixMilli
		tol   time.Duration
		raw   []byte
		retry time.Duration // for how long; 0 = admitted
	}{
		"a slot that begins in time":    {now, tol, report(slot, 1), 0},
		"and the last of 32":            {now, tol, report(slot-31, 32), 0},
		"a slot that begins 1 ms later": {now - 1, tol, report(slot, 1), tol + time.Millisecond + quarter},
		"and the last of 32 too":        {now - 1, tol, report(slot-31, 32), tol + time.Millisecond + quarter},
		"the slot that runs":            {slot.Start() + 1, 0, report(slot, 1), 0},
		"the next one":                  {slot.Start() + 1, 0, report(slot+1, 1), 2*quarter - time.Millisecond},
		"the last slot number":          {now, tol, report(math.MaxUint32, 1), forever},
		"at the end of time":            {lastSlot, 0, report(math.MaxUint32, 1), 0},
		"but not 1 ms sooner":           {lastSlot - 1, 0, report(math.MaxUint32, 1), quarter + time.Millisecond},
		"by a clock before the epoch":   {math.MinInt64, 0, report(math.MaxUint32, 1), forever},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			read(t, store, func(r kv.Reader) {
				_, err = gateway.Admission{Now: tt.now, Tolerance: tt.tol}.Admit(r, bob.id, tt.raw, alice.sign(tt.raw))
			})
			if tt.retry == 0 {
				if err != nil {
					t.Errorf("got %v, want it admitted", err)
				}
				return
			}
			if got := refusalOf(t, err); got.Reason != gateway.FromFuture || got.RetryFor != tt.retry {
				t.Errorf("got %s, retry for %v, want FROM_FUTURE for %v", nameOf(got.Reason), got.RetryFor, tt.retry)
			}
		})
	}
}

// TestAdmitClockAhead: no half is too late for the log, since no fold goes by its time. How far the clock of its pin was
// ahead is told where it is more than the tolerance.
func TestAdmitClockAhead(t *testing.T) {
	store := people(t)
	now := admission.Now
	for name, tt := range map[string]struct {
		now, signed fact.UnixMilli
		want        time.Duration
	}{
		"a clock never set":                 {now, 0, 0},
		"long ago":                          {now, 1, 0},
		"now":                               {now, now, 0},
		"at the tolerance":                  {now, now.Add(tolerance), 0},
		"1 ms later":                        {now, now.Add(tolerance) + 1, tolerance + time.Millisecond},
		"sixty days later":                  {now, now.Add(60 * 24 * time.Hour), 60 * 24 * time.Hour},
		"the latest time":                   {now, math.MaxInt64, math.MaxInt64 / time.Millisecond * time.Millisecond},
		"by a gateway's clock of long ago":  {math.MinInt64, math.MaxInt64, math.MaxInt64 / time.Millisecond * time.Millisecond},
		"by a gateway's clock at the epoch": {0, now, time.Duration(now) * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			raw := statement.AppendHalf(nil, fact.Half{Pin: alice.id, Peer: bob.id, Time: tt.signed, Link: fact.LinkNFC})
			a := gateway.Admission{Now: tt.now, Tolerance: tolerance}
			read(t, store, func(r kv.Reader) {
				if _, err := a.Admit(r, bob.id, raw, alice.sign(raw)); err != nil {
					t.Errorf("got %v, want it admitted", err)
				}
			})
			if got := a.ClockAhead(raw); got != tt.want {
				t.Errorf("ahead by %v, want %v", got, tt.want)
			}
		})
	}
	steps, _ := flawedSteps([]flaw{"FROM_FUTURE"})
	for _, raw := range [][]byte{nil, []byte("PFH1"), steps} {
		if got := (gateway.Admission{}).ClockAhead(raw); got != 0 {
			t.Errorf("%x: ahead by %v, want 0: it is no half", raw, got)
		}
	}
}

// TestAdmitClosed: what the folds would refuse as closed is not let in, by their time and not by the gateway's clock, and
// may be delivered again: until the opening, or for a day.
func TestAdmitClosed(t *testing.T) {
	const (
		opens, closes = fact.UnixMilli(1_600_000_000_000), fact.UnixMilli(1_700_000_000_000)
		grace         = time.Hour
		day           = 24 * time.Hour
	)
	window := rules.Window{Opens: opens, Closes: closes, UploadGrace: grace}
	for name, tt := range map[string]struct {
		store *view.Memory
		retry time.Duration // for how long; 0 = admitted
	}{
		"at the beginning of time":  {peopleAt(t, window, 0), time.Duration(opens) * time.Millisecond},
		"a second before":           {peopleAt(t, window, opens-1000), time.Second},
		"a millisecond before":      {peopleAt(t, window, opens-1), time.Millisecond},
		"at the opening":            {peopleAt(t, window, opens), 0},
		"at the closing":            {peopleAt(t, window, closes), 0},
		"at the end of the grace":   {peopleAt(t, window, closes.Add(grace)), 0},
		"a millisecond behind it":   {peopleAt(t, window, closes.Add(grace)+1), day},
		"a year behind it":          {peopleAt(t, window, closes.Add(365*day)), day},
		"before any rules":          {fold(t, registered(alice), registered(bob), paired(alice)), day},
		"open for ever":             {peopleAt(t, rules.Window{UploadGrace: grace}, math.MaxInt64), 0},
		"before any time, and open": {fold(t, fact.RulesAdopted{Rules: rules.Tokyo2020()}, registered(alice), registered(bob), paired(alice)), 0},
	} {
		for kind, k := range kinds {
			t.Run(kind+" "+name, func(t *testing.T) {
				raw, sig := k.make(nil)
				err := admit(t, tt.store, raw, sig)
				if tt.retry == 0 {
					if err != nil {
						t.Errorf("got %v, want it admitted", err)
					}
					return
				}
				if got := refusalOf(t, err); got.Reason != gateway.Closed || got.RetryFor != tt.retry {
					t.Errorf("got %s, retry for %v, want CLOSED for %v", nameOf(got.Reason), got.RetryFor, tt.retry)
				}
			})
		}
	}
}

// TestAdmitLastRules: the rules that were adopted last say when the Games are open.
func TestAdmitLastRules(t *testing.T) {
	raw, sig := flawedHalf(nil)
	open, closed := rules.Tokyo2020(), rules.Tokyo2020()
	closed.Closes = 1
	for name, tt := range map[string]struct {
		adopted []fact.Rules
		want    bool
	}{
		"closed": {[]fact.Rules{open, closed}, false}, "opened again": {[]fact.Rules{open, closed, open}, true},
	} {
		facts := []fact.Fact{registered(alice), registered(bob), paired(alice), fact.TimePassed{Time: slot.Start()}}
		for _, r := range tt.adopted {
			facts = append(facts, fact.RulesAdopted{Rules: r})
		}
		if err := admit(t, fold(t, facts...), raw, sig); (err == nil) != tt.want {
			t.Errorf("%s: got %v, want it admitted %t", name, err, tt.want)
		}
	}
}

// TestAdmitPlausible: 4,500 steps in a quarter hour are five a second; the detail says which slot has more.
func TestAdmitPlausible(t *testing.T) {
	store := people(t)
	for name, tt := range map[string]struct {
		steps []uint16
		want  string // in the detail; "" = admitted
	}{
		"none":                    {[]uint16{0}, ""},
		"as many as can be":       {[]uint16{4500}, ""},
		"in every slot":           {slices.Repeat([]uint16{4500}, 32), ""},
		"one too many":            {[]uint16{4501}, "steps[0]: 4501"},
		"in the last slot":        {append(slices.Repeat([]uint16{4500}, 31), 4501), "steps[31]: 4501"},
		"the largest that fits":   {[]uint16{0, math.MaxUint16}, "steps[1]: 65535"},
		"the first of several is": {[]uint16{1, 5000, 2, 6000}, "steps[1]: 5000"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := statement.AppendStepReport(nil, fact.StepReport{Pin: alice.id, FirstSlot: slot - 40, Steps: tt.steps})
			err := admit(t, store, raw, alice.sign(raw))
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want it admitted", err)
				}
				return
			}
			if r := refusalOf(t, err); r.Reason != gateway.ImplausibleSteps || !strings.HasPrefix(r.Detail, tt.want) {
				t.Errorf("got %s: %s, want IMPLAUSIBLE_STEPS: %s", nameOf(r.Reason), r.Detail, tt.want)
			}
		})
	}
}

// TestAdmitted compares the facts with what was delivered: they hold the statement and the signature unchanged.
func TestAdmitted(t *testing.T) {
	store := people(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			raw, sig := kind.make(nil)
			var got fact.Fact
			read(t, store, func(r kv.Reader) {
				var err error
				if got, err = admission.Admit(r, dora.id, raw, sig); err != nil {
					t.Fatal(err)
				}
			})
			var want fact.Fact
			if half, err := statement.ParseHalf(raw); err == nil {
				want = fact.HalfReported{Half: half, Signature: fact.Signature(sig), Carrier: dora.id}
			} else if report, err := statement.ParseStepReport(raw); err == nil {
				want = fact.StepsReported{Report: report, Signature: fact.Signature(sig), Carrier: dora.id}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestAdmitDetails shows some of the sentences that a developer reads: the field, the value and the rule.
func TestAdmitDetails(t *testing.T) {
	store := people(t)
	future, _ := flawedSteps([]flaw{"FROM_FUTURE"})
	unknownPeer, _ := flawedHalf([]flaw{"UNKNOWN_PEER"})
	reserved, _ := flawedSteps([]flaw{"RESERVED_NOT_ZERO"})
	for _, tt := range []struct {
		raw  []byte
		want string
	}{
		{[]byte("NONE of these"), `statement: magic is "NONE", want PFH1, PFS1 or PFP1 (UNKNOWN_MAGIC)`},
		{[]byte("PFH1"), "statement: length of half is 4, want 72 bytes (MALFORMED)"},
		{[]byte("PFP1"), "statement: proof is not delivered: want a half or a step report"},
		{reserved, "statement: reserved of step report is 000001, want only zero bytes (RESERVED_NOT_ZERO)"},
		{unknownPeer, "peer 0100000000000000: not registered"},
		{future, "last slot: 2021-07-23T00:15:00.000Z: later than 2021-07-23T00:00:00.000Z, which is now and a tolerance of 10m0s"},
	} {
		err := admit(t, store, tt.raw, alice.sign(tt.raw))
		if got := refusalOf(t, err).Detail; got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	half, sig := flawedHalf(nil)
	for _, tt := range []struct {
		window rules.Window
		want   string
	}{
		{rules.Window{Opens: slot.Start().Add(time.Hour)}, "closed until 2021-07-23T01:00:00.000Z: by the log it is 2021-07-23T00:00:00.000Z"},
		{rules.Window{Closes: 1000, UploadGrace: time.Hour}, "closed since 1970-01-01T00:00:01.000Z, and a grace of 1h0m0s: by the log it is 2021-07-23T00:00:00.000Z"},
	} {
		err := admit(t, peopleAt(t, tt.window, slot.Start()), half, sig)
		if got := refusalOf(t, err).Detail; got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// admit admits by the clock and the tolerance of these tests.
func admit(t testing.TB, store view.Store, raw, sig []byte) (err error) {
	t.Helper()
	read(t, store, func(r kv.Reader) { _, err = admission.Admit(r, bob.id, raw, sig) })
	return err
}

func wantRefused(t *testing.T, store view.Store, raw, sig []byte, want gateway.Reason) {
	t.Helper()
	err := admit(t, store, raw, sig)
	if err == nil {
		t.Fatalf("got it admitted, want %s", nameOf(want))
	}
	if got := refusalOf(t, err).Reason; got != want {
		t.Errorf("got %s (%v), want %s", nameOf(got), err, nameOf(want))
	}
}

// counted is a caller of whom so many bad signatures are checked. It counts what it is asked and told.
type counted struct{ left, asked, failed int }

func (c *counted) Allowed() bool {
	c.asked++
	return c.left > 0
}

func (c *counted) Failed() {
	c.left--
	c.failed++
}

// TestCaller: what is cheap is checked before the caller is asked whether a signature may be, and what comes behind the
// signature is not told to one who may not. Bad signatures are counted against the caller, and nothing else is.
func TestCaller(t *testing.T) {
	at := newStores(t)
	check := func(name string, flaws []flaw, raw, sig []byte) {
		before := slices.Index(admissionOrder, "BAD_SIGNATURE")
		cheap := len(flaws) > 0 && slices.Index(admissionOrder, string(flaws[0])) < before
		for _, left := range []int{0, 1} {
			c := &counted{left: left}
			a := admission
			a.Caller = c
			want := counted{left: left}
			if !cheap {
				want.asked = 1
			}
			reason := ""
			switch {
			case !cheap && left == 0:
				reason = "RATE_LIMITED"
			case len(flaws) > 0:
				reason = string(flaws[0])
			}
			if reason == "BAD_SIGNATURE" {
				want.left, want.failed = left-1, 1
			}
			var err error
			read(t, at.of(flaws), func(r kv.Reader) { _, err = a.Admit(r, bob.id, raw, sig) })
			got := ""
			if err != nil {
				got = nameOf(refusalOf(t, err).Reason)
			}
			if got != reason || *c != want {
				t.Errorf("%s with %v, %d left: got %q and %+v, want %q and %+v", name, flaws, left, got, *c, reason, want)
			}
			if err != nil && reason == "RATE_LIMITED" && !refusalOf(t, err).Retry() {
				t.Errorf("%s: %v is final, want that it can be delivered later", name, err)
			}
		}
	}
	for _, f := range append([]flaw{""}, halfFlaws...) {
		flaws := slices.DeleteFunc([]flaw{f}, func(f flaw) bool { return f == "" })
		raw, sig := flawedHalf(flaws)
		check("a half", flaws, raw, sig)
	}
	for _, f := range append([]flaw{""}, stepFlaws...) {
		flaws := slices.DeleteFunc([]flaw{f}, func(f flaw) bool { return f == "" })
		raw, sig := flawedSteps(flaws)
		check("a step report", flaws, raw, sig)
	}
}
