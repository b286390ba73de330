package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/serve"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	"pinfold/services/gateway"
)

// MaxUpload is the largest number of statements in one Deliver.
const MaxUpload = 500

const (
	// challengeLife is how long a pin may take to sign: long enough to find the button.
	challengeLife = 5 * time.Minute
	// maxChallenges bounds what is remembered of pairings that were begun.
	maxChallenges = 100_000
)

// api serves GatewayService.
type api struct {
	gatewayv1.UnimplementedGatewayServiceServer
	config     Config
	runner     *fold.Runner
	roster     *clerk
	clock      *clerk
	time       *timekeeper
	end        fact.Seq // of the log when this gateway started
	epoch      uint32   // of the log
	looker     *looker  // at the roster
	committer  *committer
	limiter    *limiter
	nobody     *caller // who calls from within the process
	challenges *recent[fact.Challenge, pairing]
	services   *services
	hub        *hub
	writes     *writes
	admissions *prometheus.CounterVec // answers to statements, by outcome
}

// pairing is what a challenge was made for.
type pairing struct {
	wearer  fact.WearerID
	random  [16]byte
	expires fact.UnixMilli
}

func newAPI(c Config, log eventlog.Log, end eventlog.Position, runner *fold.Runner, s *services) *api {
	w := newWrites(log, func() fact.Seq { return runner.Progress().Seq })
	a := &api{
		config:     c,
		runner:     runner,
		writes:     w,
		roster:     newClerk(w, runner, fact.Roster, c.Logger),
		clock:      newClerk(w, runner, fact.Clock, c.Logger),
		time:       newTimekeeper(c),
		end:        end.Seq,
		epoch:      end.Epoch,
		looker:     newLooker(log, runner, fact.Roster),
		committer:  newCommitter(w, c.Logger),
		limiter:    newLimiter(c.Limits),
		nobody:     newCaller(c.Limits),
		challenges: newRecent[fact.Challenge, pairing](maxChallenges),
		services:   s,
		hub:        newHub(log, end, runner, s.today, c.Logger),
		admissions: newAdmissions(),
	}
	a.hub.came = a.committer.pass
	a.committer.lost = a.giveBack
	return a
}

// BeginPairing implements GatewayService.
func (a *api) BeginPairing(_ context.Context, req *gatewayv1.BeginPairingRequest) (*gatewayv1.BeginPairingResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	p := pairing{wearer: wearer, expires: a.config.Now().Add(challengeLife)}
	_, _ = rand.Read(p.random[:]) // never fails
	challenge := statement.Challenge(a.config.Games, wearer, p.random)
	a.challenges.put(challenge, p)
	return gatewayv1.BeginPairingResponse_builder{Challenge: challenge[:], ExpiresMs: int64(p.expires)}.Build(), nil
}

// PairPin implements GatewayService.
func (a *api) PairPin(ctx context.Context, req *gatewayv1.PairPinRequest) (*gatewayv1.PairPinResponse, error) {
	proof, err := statement.ParseProof(req.GetStatement())
	if err != nil {
		return nil, serve.Malformed("statement", err)
	}
	sig, err := gateway.ParseSignature(req.GetSignature())
	if err != nil {
		return nil, refusalError(err)
	}
	p, known := a.challenges.get(proof.Challenge)
	if !known || a.config.Now() > p.expires {
		return nil, serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_CHALLENGE_EXPIRED,
			"challenge: not one of the last %v: begin the pairing again", challengeLife)
	}
	pairing := gateway.Pairing{Games: a.config.Games, Wearer: p.wearer, Random: p.random, Proof: proof, Signature: sig}
	caller := a.caller(ctx)
	if err := a.check(ctx, func(r kv.Reader) error { return pairing.Check(r, caller) }); err != nil {
		return nil, refusalError(err)
	}
	seq, _, err := a.roster.write(ctx, pairing.Facts)
	if err != nil {
		return nil, refusalError(err)
	}
	return gatewayv1.PairPinResponse_builder{Seq: uint64(seq), Pin: proof.Pin.String(), Wearer: p.wearer.String()}.Build(), nil
}

// check lets something be checked on what this gateway has folded. That something is not in the roster is said only once
// it has folded what the log held when it was asked.
func (a *api) check(ctx context.Context, on func(kv.Reader) error) error {
	query := func() error { return a.runner.Query(func(_ fact.Seq, r view.Reader) error { return on(r) }) }
	if err := query(); !notInRoster(err) {
		return err
	}
	if err := a.looker.catchUp(ctx); err != nil {
		return unavailable(err)
	}
	return query()
}

// Deliver implements GatewayService.
func (a *api) Deliver(ctx context.Context, req *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	statements := req.GetStatements()
	if len(statements) > MaxUpload {
		return nil, serve.Errorf(codes.InvalidArgument, gatewayv1.Reason_REASON_UPLOAD_TOO_LARGE,
			"statements: %d: at most %d in one upload", len(statements), MaxUpload)
	}
	carrier, err := fact.ParsePinID(req.GetCarrier())
	if err != nil {
		return nil, serve.Malformed("carrier", err)
	}
	d := &delivery{
		admission: gateway.Admission{Now: a.config.Now(), Tolerance: a.config.Limits.Tolerance, Caller: a.caller(ctx)},
		carrier:   carrier, statements: statements,
		tickets: make([]*ticket, len(statements)), refusals: make([]*gatewayv1.Answer, len(statements)),
	}
	if err := a.admit(ctx, d); err != nil {
		return nil, err
	}
	b := gatewayv1.DeliverResponse_builder{Epoch: a.epoch}
	for i := range statements {
		answer, err := d.answer(ctx, i)
		if err != nil {
			return nil, status.FromContextError(err).Err()
		}
		a.admissions.WithLabelValues(outcome(answer)).Inc()
		b.Answers = append(b.Answers, answer)
		b.Seq = max(b.Seq, answer.GetSeq())
	}
	return b.Build(), nil
}

// delivery is what a phone delivers, each statement with its ticket or its refusal once it has one.
type delivery struct {
	admission  gateway.Admission
	carrier    fact.PinID
	statements []*gatewayv1.SignedStatement
	tickets    []*ticket
	refusals   []*gatewayv1.Answer
}

// answer waits until it is known what became of the i-th statement. It returns an error only when the context ends first.
func (d *delivery) answer(ctx context.Context, i int) (*gatewayv1.Answer, error) {
	if d.tickets[i] == nil {
		return d.refusals[i], nil
	}
	answer, err := d.tickets[i].answer(ctx)
	if err == nil && answer.GetStatus() != gatewayv1.Status_STATUS_REFUSED {
		answer.SetClockAheadMs(d.admission.ClockAhead(d.statements[i].GetStatement()).Milliseconds())
	}
	return answer, err
}

// admit checks the statements and hands those that it lets in to the committer. Where one names what is not in the
// roster, it is checked again by a roster that has folded what the log held meanwhile.
func (a *api) admit(ctx context.Context, d *delivery) error {
	absent, err := a.admitKnown(d, false)
	if !absent {
		return err
	}
	// If the log cannot be asked, what may be known is not called unknown.
	if lookErr := a.looker.catchUp(ctx); lookErr != nil {
		if err != nil { // of the carrier
			return unavailable(lookErr)
		}
		for i := range d.statements {
			if d.tickets[i] == nil && d.refusals[i] == nil {
				d.refusals[i] = refused(gatewayv1.Reason_REASON_LOG_UNAVAILABLE, true, lookErr.Error())
			}
		}
		return nil
	}
	_, err = a.admitKnown(d, true)
	return err
}

// admitKnown checks those that have neither yet. It leaves out, and reports, what names something that is not in the
// roster, unless that is final. A repeat of what is stored or on its way was let in before and is not judged again: by now
// it may be closed.
func (a *api) admitKnown(d *delivery, final bool) (absent bool, err error) {
	err = a.runner.Query(func(_ fact.Seq, r view.Reader) error {
		if _, known := roster.PinByID(r, d.carrier); !known {
			absent = true
			return serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_UNKNOWN_PIN, "carrier %v: not registered", d.carrier)
		}
		for i, s := range d.statements {
			if d.tickets[i] != nil || d.refusals[i] != nil {
				continue
			}
			key := sha256.Sum256(s.GetStatement())
			if d.tickets[i] = a.committer.repeat(key); d.tickets[i] != nil {
				continue
			}
			f, err := d.admission.Admit(r, d.carrier, s.GetStatement(), s.GetSignature())
			switch {
			case err == nil:
				d.tickets[i], d.refusals[i] = a.submit(key, f)
			case !final && notInRoster(err):
				absent = true
			default:
				d.refusals[i] = refusalAnswer(err)
			}
		}
		return nil
	})
	return absent, err
}

// submit hands an admitted statement to the committer, unless its pin sends too many. One that came in beside it by another
// phone is a repeat, which takes nothing of the pin's rate.
func (a *api) submit(key [32]byte, f fact.Fact) (*ticket, *gatewayv1.Answer) {
	if pin, _ := authorOf(f); !a.limiter.allow(pin) {
		return nil, refused(gatewayv1.Reason_REASON_RATE_LIMITED, true,
			"pin "+pin.String()+": more statements than one pin makes: deliver the rest later")
	}
	t := a.committer.submit(key, f)
	if t.repeat {
		a.giveBack(f)
	}
	return t, nil
}

// giveBack gives a pin back what a statement of it took of its rate: the log did not take the statement.
func (a *api) giveBack(f fact.Fact) {
	if pin, ok := authorOf(f); ok {
		a.limiter.giveBack(pin)
	}
}

// authorOf returns the pin that signed the statement, and whether the fact is one.
func authorOf(f fact.Fact) (fact.PinID, bool) {
	switch f := f.(type) {
	case fact.HalfReported:
		return f.Half.Pin, true
	case fact.StepsReported:
		return f.Report.Pin, true
	}
	return fact.PinID{}, false
}

// ChooseBackground implements GatewayService.
func (a *api) ChooseBackground(ctx context.Context, req *gatewayv1.ChooseBackgroundRequest) (*gatewayv1.ChooseBackgroundResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	awards, err := a.GetAwards(ctx, rewardsv1.GetAwardsRequest_builder{Wearer: req.GetWearer(), MinSeq: req.GetMinSeq()}.Build())
	if err != nil {
		return nil, err
	}
	if !holds(awards, req.GetBackground()) {
		return nil, serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_NOT_UNLOCKED,
			"background %.80q: the wearer does not hold it", req.GetBackground())
	}
	// A choice is no statement and has no bytes of its own: each one is committed.
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	answer, err := a.committer.submit(key, fact.BackgroundChosen{Wearer: wearer, Background: req.GetBackground()}).answer(ctx)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if answer.GetStatus() == gatewayv1.Status_STATUS_REFUSED {
		code := codes.Unavailable
		if answer.GetReason() == gatewayv1.Reason_REASON_LOG_FULL {
			code = codes.ResourceExhausted
		}
		return nil, serve.Errorf(code, answer.GetReason(), "%s", answer.GetDetail())
	}
	return gatewayv1.ChooseBackgroundResponse_builder{Seq: answer.GetSeq()}.Build(), nil
}

func holds(awards *rewardsv1.GetAwardsResponse, background string) bool {
	for _, b := range awards.GetBackgrounds() {
		if b.GetBackground() == background && !b.GetRevoked() {
			return true
		}
	}
	return false
}

func refused(reason gatewayv1.Reason, retry bool, detail string) *gatewayv1.Answer {
	return gatewayv1.Answer_builder{
		Status: gatewayv1.Status_STATUS_REFUSED, Reason: reason, Retry: retry, Detail: detail,
	}.Build()
}

func refusalAnswer(err error) *gatewayv1.Answer {
	var r *gateway.Refusal
	if !errors.As(err, &r) {
		return refused(gatewayv1.Reason_REASON_MALFORMED, false, err.Error())
	}
	answer := refused(gatewayv1.Reason(r.Reason), r.Retry(), r.Detail)
	answer.SetRetryForMs(r.RetryFor.Milliseconds())
	return answer
}

// refusalError is a refusal of a whole call as a gRPC error.
func refusalError(err error) error {
	var r *gateway.Refusal
	if !errors.As(err, &r) {
		return err
	}
	code := codes.FailedPrecondition
	switch r.Reason {
	case gateway.Malformed, gateway.KeyMismatch, gateway.BadSignature:
		code = codes.InvalidArgument
	case gateway.RateLimited:
		code = codes.ResourceExhausted
	case gateway.PairedElsewhere:
		code = codes.AlreadyExists
	}
	return serve.Errorf(code, gatewayv1.Reason(r.Reason), "%s", r.Detail)
}
