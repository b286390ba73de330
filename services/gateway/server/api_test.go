package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// halves returns that many halves of one pin, which met another.
func halves(t testing.TB, by, peer person, n int) []client.Signed {
	t.Helper()
	list := make([]client.Signed, n)
	for i := range list {
		half, err := by.pin.Approach().Sign(peer.pin.Approach().Hello(), 0)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = half
	}
	return list
}

func deliver(ctx context.Context, a *api, carrier person, statements ...client.Signed) (*gatewayv1.DeliverResponse, error) {
	b := gatewayv1.DeliverRequest_builder{Carrier: carrier.pin.ID().String()}
	for _, s := range statements {
		b.Statements = append(b.Statements, gatewayv1.SignedStatement_builder{Statement: s.Statement, Signature: s.Signature[:]}.Build())
	}
	return a.Deliver(ctx, b.Build())
}

// brief writes the answers down: what was accepted by its sequence, with a star if it was known; the rest by its
// reason, with a question mark if trying again can help.
func brief(t testing.TB, r *gatewayv1.DeliverResponse, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	highest := uint64(0)
	for _, a := range r.GetAnswers() {
		var s string
		switch a.GetStatus() {
		case accepted:
			s = fmt.Sprint(a.GetSeq())
		case already:
			s = fmt.Sprint(a.GetSeq(), "*")
		default:
			s = strings.TrimPrefix(a.GetReason().String(), "REASON_")
			if a.GetRetry() {
				s += "?"
			}
		}
		list = append(list, s)
		highest = max(highest, a.GetSeq())
	}
	if r.GetSeq() != highest {
		t.Errorf("got the sequence %d, want %d, the highest of the answers", r.GetSeq(), highest)
	}
	return strings.Join(list, " ")
}

// TestDeliverRate: a pin that comes with more than its burst is told to deliver the rest later; a repeat costs it
// nothing, and other pins are not held up.
func TestDeliverRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Limits.Rate, c.Limits.Burst = 1, 3 })
		alice, bob := newPerson("alice"), newPerson("bob")
		enrol(t, a, alice, bob) // up to sequence 6
		mine, his := halves(t, alice, bob, 5), halves(t, bob, alice, 1)
		for _, step := range []struct {
			after   time.Duration
			carrier person
			upload  []client.Signed
			want    string
		}{
			{0, alice, mine, "7 8 9 RATE_LIMITED? RATE_LIMITED?"},
			{0, alice, mine, "7* 8* 9* RATE_LIMITED? RATE_LIMITED?"},
			{0, bob, mine, "7* 8* 9* RATE_LIMITED? RATE_LIMITED?"}, // it is the pin's rate, not the phone's
			{0, alice, append(mine[:3:3], his...), "7* 8* 9* 10"},
			{time.Second, bob, mine, "7* 8* 9* 11 RATE_LIMITED?"},
			{time.Second, bob, mine, "7* 8* 9* 11* 12"},
			{0, bob, append(mine, his...), "7* 8* 9* 11* 12* 10*"},
		} {
			<-time.After(step.after)
			r, err := deliver(t.Context(), a, step.carrier, step.upload...)
			if got := brief(t, r, err); got != step.want {
				t.Errorf("got %s, want %s", got, step.want)
			}
		}
	})
}

// TestDeliverRefusedIsFree: what is not admitted is not counted against the pin, which may not even have sent it.
func TestDeliverRefusedIsFree(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Limits.Rate, c.Limits.Burst = 0, 1 })
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	good := halves(t, alice, bob, 1)[0]
	forged := good
	forged.Signature[5]++
	r, err := deliver(t.Context(), a, bob, append(slices.Repeat([]client.Signed{forged}, 10), good)...)
	if got, want := brief(t, r, err), strings.Repeat("BAD_SIGNATURE ", 10)+"7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestDeliverOutageIsFree: what the log did not take is not counted against the pin, whatever kept it out, so that it is
// taken once the log takes statements again; and nobody gains by it.
func TestDeliverOutageIsFree(t *testing.T) {
	var outage atomic.Bool
	a := startGateway(t, begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
		if outage.Load() {
			return eventlog.NotStored
		}
		return eventlog.NoFault
	}}), func(c *Config) { c.Limits.Rate, c.Limits.Burst = 0, 2 })
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	h := halves(t, alice, bob, 3)
	for i, step := range []struct {
		outage bool
		upload int
		want   string
	}{
		{true, 2, "LOG_UNAVAILABLE? LOG_UNAVAILABLE?"},
		{true, 2, "LOG_UNAVAILABLE? LOG_UNAVAILABLE?"},
		{true, 2, "LOG_UNAVAILABLE? LOG_UNAVAILABLE?"},
		{false, 3, "7 8 RATE_LIMITED?"},
		{true, 3, "7* 8* RATE_LIMITED?"},
	} {
		outage.Store(step.outage)
		r, err := deliver(t.Context(), a, alice, h[:step.upload]...)
		if got := brief(t, r, err); got != step.want {
			t.Errorf("time %d: got %s, want %s", i, got, step.want)
		}
	}
}

// TestDeliverAgain delivers one statement by two phones to a log that fails.
func TestDeliverAgain(t *testing.T) {
	faults := make(chan eventlog.Fault, 2)
	log := begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
		select {
		case f := <-faults:
			return f
		default:
			return eventlog.NoFault
		}
	}})
	a := startGateway(t, log)
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	faults <- eventlog.Unanswered
	faults <- eventlog.Lost
	half := halves(t, alice, bob, 1)[0]
	for i, step := range []struct {
		carrier person
		want    string
	}{
		{alice, "LOG_UNAVAILABLE?"}, // stored at 7, and nobody knows
		{alice, "LOG_UNAVAILABLE?"}, // not stored
		{bob, "8"},
		{alice, "8*"},
		{bob, "8*"},
	} {
		r, err := deliver(t.Context(), a, step.carrier, half)
		if got := brief(t, r, err); got != step.want {
			t.Errorf("time %d: got %s, want %s", i, got, step.want)
		}
	}
	list := entries(t, log)
	if len(list) != 8 {
		t.Fatalf("the log ends at %d, want 8", len(list))
	}
	for seq, want := range map[int]person{7: alice, 8: bob} { // it knows who carried what
		if got := list[seq-1].Fact.(fact.HalfReported).Carrier; got != want.pin.ID() {
			t.Errorf("sequence %d: carried by %v, want %v", seq, got, want.pin.ID())
		}
	}
}

// TestDeliverFull: a log without room is told as such for each statement.
func TestDeliverFull(t *testing.T) {
	var fail atomic.Bool
	log := begun(t, eventlog.Faults{Enter: func(call string) error {
		if fail.Load() && call == "Append" {
			return eventlog.ErrFull
		}
		return nil
	}})
	a := startGateway(t, log)
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	fail.Store(true)
	h := halves(t, alice, bob, 2)
	r, err := deliver(t.Context(), a, alice, h...)
	if got, want := brief(t, r, err), "LOG_FULL? LOG_FULL?"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestDeliverSize: 500 statements are one upload, 501 are too many, and none is fine.
func TestDeliverSize(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}))
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	h := halves(t, alice, bob, 1)
	r, err := deliver(t.Context(), a, alice, slices.Repeat(h, MaxUpload)...)
	if got, want := brief(t, r, err), "7"+strings.Repeat(" 7*", MaxUpload-1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	_, err = deliver(t.Context(), a, alice, slices.Repeat(h, MaxUpload+1)...)
	wantError(t, err, codes.InvalidArgument, gatewayv1.Reason_REASON_UPLOAD_TOO_LARGE)
	r, err = deliver(t.Context(), a, alice)
	if got := brief(t, r, err); got != "" || r.GetSeq() != 0 {
		t.Errorf("nothing: got %q and sequence %d", got, r.GetSeq())
	}
}

// TestDeliverCut: a phone that gives up gets no answer, but what it delivered is on its way.
func TestDeliverCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var blocked atomic.Bool
		log := begun(t, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
			if blocked.Load() {
				<-hold
			}
			return eventlog.NoFault
		}})
		a := startGateway(t, log)
		alice, bob := newPerson("alice"), newPerson("bob")
		enrol(t, a, alice, bob)
		blocked.Store(true)
		h := halves(t, alice, bob, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := deliver(ctx, a, alice, h...); err == nil {
			t.Error("got an answer, want none before the log's")
		} else {
			wantError(t, err, codes.DeadlineExceeded, gatewayv1.Reason_REASON_UNSPECIFIED)
		}
		close(hold)
		r, err := deliver(t.Context(), a, alice, h...)
		if got := brief(t, r, err); got != "7*" {
			t.Errorf("got %s, want 7*", got)
		}
	})
}

// TestDeliverTolerance: how far ahead a pin's clock may be is a setting, and the clock is the gateway's own. The steps of a
// pin that is ahead are refused; its halves are taken, and the answers tell by how much it is ahead, again too.
func TestDeliverTolerance(t *testing.T) {
	now := fact.UnixMilli(1_626_998_400_000)
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) {
		c.Limits.Tolerance, c.Now = time.Minute, func() fact.UnixMilli { return now }
	})
	alice, bob := newPerson("alice"), newPerson("bob")
	enrol(t, a, alice, bob)
	at := func(at fact.UnixMilli) client.Signed {
		return alice.pin.SignRaw(statement.AppendHalf(nil, fact.Half{Pin: alice.pin.ID(), Peer: bob.pin.ID(), Time: at, Link: fact.LinkWire}))
	}
	steps := alice.pin.Count(1_807_776+1, []uint16{1})
	statements := []client.Signed{at(now), at(now.Add(time.Minute)), at(now.Add(time.Minute) + 1), steps}
	for _, step := range []struct {
		passes time.Duration
		want   string
		ahead  []int64
		retry  int64
	}{
		{0, "7 8 9 FROM_FUTURE?", []int64{0, 0, 60_001, 0}, 2 * 15 * 60_000},
		{0, "7* 8* 9* FROM_FUTURE?", []int64{0, 0, 60_001, 0}, 2 * 15 * 60_000},
		{time.Millisecond, "7* 8* 9* FROM_FUTURE?", []int64{0, 0, 0, 0}, 2*15*60_000 - 1},
		{14*time.Minute - time.Millisecond, "7* 8* 9* 10", []int64{0, 0, 0, 0}, 0},
	} {
		now = now.Add(step.passes)
		r, err := deliver(t.Context(), a, alice, statements...)
		if got := brief(t, r, err); got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
		for i, answer := range r.GetAnswers() {
			if got := answer.GetClockAheadMs(); got != step.ahead[i] {
				t.Errorf("answer %d: the clock is ahead by %d ms, want %d", i, got, step.ahead[i])
			}
		}
		if got := r.GetAnswers()[3].GetRetryForMs(); got != step.retry {
			t.Errorf("the steps are to be tried for %d ms, want %d", got, step.retry)
		}
	}
}

// TestDeliverClosed goes through an opening and a closing: what is told to phones is what the folds will do. What was taken
// while it was open is known still.
func TestDeliverClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rules.Tokyo2020()
		r.Opens = machineClock().Add(2 * time.Hour)
		r.Closes, r.UploadGrace = r.Opens.Add(time.Hour), time.Hour
		log := eventlog.NewMemory(machineClock, eventlog.Faults{})
		if err := genesis(t.Context(), Config{Config: serve.Config{Logger: quiet}, Now: machineClock, Rules: &r}, log); err != nil {
			t.Fatal(err)
		}
		a := startGateway(t, log)
		alice, bob := newPerson("alice"), newPerson("bob")
		enrol(t, a, alice, bob)
		keep(t, a)
		statements := append(halves(t, alice, bob, 1), alice.pin.Count(1_000_000, []uint16{1}))
		closed := func(passes, retry time.Duration, statements ...client.Signed) {
			pass(passes)
			answers, err := deliver(t.Context(), a, alice, statements...)
			if got, want := brief(t, answers, err), strings.TrimSpace(strings.Repeat("CLOSED? ", len(statements))); got != want {
				t.Errorf("at %v: got %s, want %s", machineClock(), got, want)
			}
			for _, answer := range answers.GetAnswers() {
				if got := time.Duration(answer.GetRetryForMs()) * time.Millisecond; got != retry {
					t.Errorf("at %v: to be tried for %v, want %v", machineClock(), got, retry)
				}
			}
		}
		closed(0, 2*time.Hour, statements...)
		pass(2*time.Hour - 2*time.Minute)
		closed(0, time.Duration(r.Opens-foldTime(t, a.runner))*time.Millisecond, statements...)
		pass(4 * time.Minute)
		answers, err := deliver(t.Context(), a, alice, statements...)
		stored := brief(t, answers, err)
		if first := answers.GetSeq() - 1; stored != fmt.Sprintf("%d %d", first, first+1) {
			t.Errorf("while open: got %s, want both taken", stored)
		}
		closed(2*time.Hour, 24*time.Hour, halves(t, bob, alice, 1)...)
		answers, err = deliver(t.Context(), a, alice, statements...)
		if got, want := brief(t, answers, err), strings.ReplaceAll(stored, " ", "* ")+"*"; got != want {
			t.Errorf("behind the closing: got %s, want %s", got, want)
		}
	})
}

// TestChallengeLife: a challenge can be signed for five minutes, as often as need be, at the gateway that made it.
func TestChallengeLife(t *testing.T) {
	start := fact.UnixMilli(1_626_998_400_000)
	now := start
	log := begun(t, eventlog.Faults{})
	clock := func(c *Config) { c.Now = func() fact.UnixMilli { return now } }
	a, other := startGateway(t, log, clock), startGateway(t, log, clock)
	alice := newPerson("alice")
	r, err := register(t.Context(), a, alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.runner.Wait(t.Context(), fact.Seq(r.GetSeq())); err != nil {
		t.Fatal(err)
	}
	c, err := a.BeginPairing(t.Context(), gatewayv1.BeginPairingRequest_builder{Wearer: alice.wearer.String()}.Build())
	if err != nil || c.GetExpiresMs() != int64(start.Add(5*time.Minute)) || len(c.GetChallenge()) != sha256.Size {
		t.Fatalf("got %v, %v, want a challenge for five minutes", c, err)
	}
	proof := alice.pin.Prove(fact.Challenge(c.GetChallenge()), 0)
	prove := func(a *api) error {
		_, err := a.PairPin(t.Context(), gatewayv1.PairPinRequest_builder{Statement: proof.Statement, Signature: proof.Signature[:]}.Build())
		return err
	}
	wantError(t, prove(other), codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED)
	for range 2 {
		now = start.Add(5 * time.Minute)
		if err := prove(a); err != nil {
			t.Errorf("after five minutes: %v", err)
		}
		now++
		wantError(t, prove(a), codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED)
	}
	if got := countOf[fact.PinPaired](t, log); got != 1 {
		t.Errorf("paired %d times, want once", got)
	}
}

// TestChallengesDiffer: two pairings of one wearer at one moment have challenges of their own.
func TestChallengesDiffer(t *testing.T) {
	a := startGateway(t, begun(t, eventlog.Faults{}), func(c *Config) { c.Now = func() fact.UnixMilli { return 1 } })
	seen := map[string]bool{}
	for range 100 {
		c, err := a.BeginPairing(t.Context(), gatewayv1.BeginPairingRequest_builder{Wearer: newPerson("alice").wearer.String()}.Build())
		if err != nil {
			t.Fatal(err)
		}
		seen[string(c.GetChallenge())] = true
	}
	if len(seen) != 100 {
		t.Errorf("got %d challenges of 100 pairings", len(seen))
	}
}

// TestRefusalCodes: what a whole call is refused with. Only what can pass is no fault of the caller.
func TestRefusalCodes(t *testing.T) {
	for reason, want := range map[gateway.Reason]codes.Code{
		gateway.Malformed:        codes.InvalidArgument,
		gateway.BadSignature:     codes.InvalidArgument,
		gateway.KeyMismatch:      codes.InvalidArgument,
		gateway.UnknownPin:       codes.FailedPrecondition,
		gateway.RetiredPin:       codes.FailedPrecondition,
		gateway.ChallengeExpired: codes.FailedPrecondition,
		gateway.PairedElsewhere:  codes.AlreadyExists,
	} {
		wantError(t, refusalError(&gateway.Refusal{Reason: reason, Detail: "x"}), want, gatewayv1.Reason(reason))
	}
}
