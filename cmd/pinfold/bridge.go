package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/client"
	"pinfold/client/link"
	"pinfold/firmware/host"
	"pinfold/internal/fact"
	"pinfold/internal/file"
	"pinfold/internal/statement"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

type bridgeCommand struct {
	Pin      string `help:"Socket of the pin's phone link." required:"" placeholder:"unix:PATH"`
	Gateway  string `help:"Address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
	Wearer   string `help:"Whose pin it is: 26 characters." required:"" placeholder:"ID"`
	Register bool   `help:"Also do the operator's part and register the pin: for tests and demonstrations."`
	Zone     string `help:"Time zone of the Games, for what the pin calls today." default:"Asia/Tokyo"`
	Memory   string `help:"Folder where the phone remembers which pins it has paired, so that it does not ask for the button again." default:"pinfold-phone" type:"path" placeholder:"DIR"`
}

// Validate implements kong.Validatable.
func (c *bridgeCommand) Validate() error {
	if !strings.HasPrefix(c.Pin, "unix:") || c.Pin == "unix:" {
		return fmt.Errorf("--pin=%s: want unix:PATH", c.Pin)
	}
	if path := strings.TrimPrefix(c.Pin, "unix:"); len(path) > host.MaxSocketPath {
		return fmt.Errorf("--pin=%s: the path has %d bytes: want at most %d", c.Pin, len(path), host.MaxSocketPath)
	}
	if _, err := fact.ParseWearerID(c.Wearer); err != nil {
		return fmt.Errorf("--wearer: %w", err)
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		return fmt.Errorf("--zone: %w", err)
	}
	return nil
}

func (c *bridgeCommand) Run(s *session) error {
	b, err := c.open(s)
	if err != nil {
		return err
	}
	defer b.gateway.Close()
	return b.run(s.ctx)
}

// open returns the bridge, whose gateway is to be closed.
func (c *bridgeCommand) open(s *session) (*bridge, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, err
	}
	wearer, err := client.ParseWearerID(c.Wearer)
	if err != nil {
		return nil, err
	}
	gateway, err := client.Dial(c.Gateway)
	if err != nil {
		return nil, err
	}
	return &bridge{
		session: s, config: *c, wearer: wearer, zone: zone, poll: bridgePoll, timeEvery: bridgeTimeEvery, gateway: gateway,
	}, nil
}

// bridge is the phone's part as a program. All that it must not lose stays in the pin until the gateway has answered.
type bridge struct {
	session   *session
	config    bridgeCommand
	wearer    fact.WearerID
	zone      *time.Location
	poll      time.Duration // how often the pin is looked into that has said nothing
	timeEvery time.Duration // how often the pin is told the time
	gateway   *client.Gateway
}

const (
	bridgePoll       = 30 * time.Second
	bridgeFirstPause = 50 * time.Millisecond
	bridgeLastPause  = 5 * time.Second
	// A pin's clock may drift by some seconds in a day.
	bridgeTimeEvery = 10 * time.Minute
)

// run connects to the pin, again whenever the link ends, until the context ends or trying again cannot help.
func (b *bridge) run(ctx context.Context) error {
	pause := bridgeFirstPause
	for {
		began := time.Now()
		err := b.connect(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end, which is why the link did
		}
		if errors.Is(err, errNoUse) {
			return err
		}
		if time.Since(began) > bridgeLastPause {
			pause = bridgeFirstPause
		}
		b.session.logger.Warn("not connected to the pin, trying again", "error", err)
		if !wait(ctx, pause) {
			return nil
		}
		pause = min(2*pause, bridgeLastPause)
	}
}

// errNoUse marks an error that trying again does not help.
var errNoUse = errors.New("trying again does not help")

// wait returns false if the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// connect serves one connection to the pin, until it ends.
func (b *bridge) connect(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(b.config.Pin, "unix:"))
	if err != nil {
		return err
	}
	phone := link.NewPhone(conn)
	defer phone.Close()
	info, err := phone.SetTime(ctx, time.Now().In(b.zone))
	if err != nil {
		return err
	}
	select {
	case <-phone.Announced(): // of before its answer: it may have had no clock
	default:
	}
	if len(info.GetPin()) != len(fact.PinID{}) || len(info.GetPublicKey()) != len(fact.PublicKey{}) {
		return fmt.Errorf("the pin says that its id is %x and its key %x: want 8 and 32 bytes", info.GetPin(), info.GetPublicKey())
	}
	p := &pinned{
		bridge: b, phone: phone, id: fact.PinID(info.GetPin()), key: fact.PublicKey(info.GetPublicKey()), more: make(chan struct{}, 1),
	}
	if p.key.PinID() != p.id {
		return fmt.Errorf("the pin says that its id is %v, which is not that of its key %x", p.id, p.key)
	}
	b.session.logger.Info("connected to the pin", "pin", p.id, "firmware", info.GetFirmware(), "statements", info.GetRecords())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.listen(ctx) })
	group.Go(func() error { return p.keepTime(ctx) })
	group.Go(func() error {
		if err := p.makeReady(ctx); err != nil {
			return err
		}
		group.Go(func() error { return p.showFaces(ctx) })
		return p.carry(ctx)
	})
	return group.Wait()
}

// pinned is the bridge while it is connected to a pin.
type pinned struct {
	*bridge
	phone *link.Phone
	id    fact.PinID
	key   fact.PublicKey
	more  chan struct{} // holds one token while the pin has said that it holds more
}

// listen takes what the pin says by itself, also while the gateway is away or the button is waited for.
func (p *pinned) listen(ctx context.Context) error {
	for {
		select {
		case info := <-p.phone.Announced():
			if err := p.same(info, nil); err != nil {
				return err
			}
			if !info.GetClockSet() { // behind a link that stayed: it waits for no button any more, and needs time and face
				return errors.New("the pin was started again")
			}
			select {
			case p.more <- struct{}{}:
			default:
			}
		case <-p.phone.Ended():
			return link.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// same is the error of a request, or that another pin has answered it.
func (p *pinned) same(info *pinv1.Info, err error) error {
	if err == nil && !bytes.Equal(info.GetPin(), p.id[:]) {
		return errors.New("the pin was wiped and is another one now")
	}
	return err
}

// persist makes a call to the gateway until it succeeds, or its error is not one that passes, or the pin goes away.
func (p *pinned) persist(ctx context.Context, what string, call func(context.Context) error) error {
	err := client.Persist(ctx, call, func(err error) {
		p.session.logger.Warn("the gateway is away, trying again", "call", what, "error", err)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// makeReady registers the pin if it is asked to, and pairs it if this phone has not.
func (p *pinned) makeReady(ctx context.Context) error {
	if p.config.Register {
		if err := p.persist(ctx, "register the pin", func(ctx context.Context) error {
			return p.gateway.Register(ctx, p.key)
		}); err != nil {
			return cannotHelp(err)
		}
	}
	known, err := file.ReadPrivate(p.memory(), maxMemory)
	switch {
	case err == nil && strings.TrimSpace(string(known)) == p.config.Wearer:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist): // nor could it be written: not another press each time
		return fmt.Errorf("%w; %w", err, errNoUse)
	}
	return p.pair(ctx)
}

// cannotHelp marks the gateway's errors that stay.
func cannotHelp(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists, codes.Unimplemented:
		return fmt.Errorf("%w; %w", err, errNoUse)
	}
	return err
}

// maxMemory is the size of the largest file of the memory, in bytes: it holds one wearer.
const maxMemory = 256

// memory is the file that remembers with whom the pin is paired.
func (p *pinned) memory() string { return filepath.Join(p.config.Memory, p.id.String()) }

// pair proves to the gateway that the wearer has the pin, which takes a press of its button, and remembers that.
func (p *pinned) pair(ctx context.Context) error {
	for pause := bridgeFirstPause; ; pause = min(2*pause, bridgeLastPause) { // the pin may say at once that nobody pressed
		paired, err := p.tryPair(ctx)
		if err != nil {
			return err
		}
		if paired {
			break
		}
		if !wait(ctx, pause) {
			return ctx.Err()
		}
	}
	p.session.logger.Info("paired", "pin", p.id)
	err := os.MkdirAll(p.config.Memory, 0o700)
	if err == nil {
		err = file.CheckPrivateFolder(p.config.Memory)
	}
	if err == nil {
		err = file.Replace(p.memory(), 0o600, func(w io.Writer) error { _, err := io.WriteString(w, p.config.Wearer+"\n"); return err })
	}
	if err != nil {
		return fmt.Errorf("%w; %w", err, errNoUse)
	}
	return nil
}

// tryPair asks for one press. Without an error it returns false if it is to be asked for again.
func (p *pinned) tryPair(ctx context.Context) (paired bool, err error) {
	var challenge fact.Challenge
	if err := p.persist(ctx, "begin pairing", func(ctx context.Context) (err error) {
		challenge, err = p.gateway.BeginPairing(ctx, p.wearer)
		return err
	}); err != nil {
		return false, cannotHelp(err)
	}
	answer, err := p.phone.Prove(ctx, challenge, func() {
		fmt.Fprintf(p.session.stderr, "Press the button of pin %v to pair it.\n", p.id)
	})
	if fault, ok := errors.AsType[*link.FaultError](err); ok && fault.Fault == pinv1.Fault_FAULT_NOT_PRESSED {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	proof := signedOf(answer)
	if err := p.checkProof(proof, challenge); err != nil {
		return false, err
	}
	err = p.persist(ctx, "pair the pin", func(ctx context.Context) error { return p.gateway.PairPin(ctx, proof) })
	if client.ReasonOf(err) == gatewayv1.Reason_REASON_CHALLENGE_EXPIRED {
		return false, nil // the gateway was started again, or the button took long
	}
	return err == nil, cannotHelp(err)
}

// checkProof returns an error if the pin has not proved what it was asked to. The gateway would say that it is no use to
// try again, or pair another pin.
func (p *pinned) checkProof(signed client.Signed, challenge fact.Challenge) error {
	if err := signed.Verify(p.key); err != nil {
		return err
	}
	if proof, err := statement.ParseProof(signed.Statement); err != nil || proof.Challenge != challenge {
		return fmt.Errorf("the proof of pin %v is not one for the challenge %x", p.id, challenge)
	}
	return nil
}

// signedOf returns what a pin signed. A signature that has not 64 bytes is no valid one, whatever is made of it.
func signedOf(said interface {
	GetStatement() []byte
	GetSignature() []byte
},
) client.Signed {
	signed := client.Signed{Statement: said.GetStatement()}
	if len(said.GetSignature()) == len(signed.Signature) {
		signed.Signature = client.Signature(said.GetSignature())
	}
	return signed
}

// carry delivers what the pin holds, at once, each time that it says it holds more, and now and then: what it says may be
// lost on the link. What the gateway wants later is tried again with growing pauses.
func (p *pinned) carry(ctx context.Context) error {
	pause := bridgeFirstPause
	for {
		later, err := p.deliverAll(ctx)
		if err != nil {
			return err
		}
		again := time.After(p.poll)
		if later {
			again = time.After(pause)
			pause = min(2*pause, bridgeLastPause)
		} else {
			pause = bridgeFirstPause
		}
		select {
		case <-again:
		case <-p.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliverAll goes once through what the pin holds, and reports whether some of it has to be delivered again later.
func (p *pinned) deliverAll(ctx context.Context) (later bool, err error) {
	for after := uint32(0); ; {
		held, err := p.phone.Fetch(ctx, link.MaxFetch, after)
		if err != nil || len(held) == 0 {
			return later, err
		}
		for _, s := range held {
			if s.GetRecord() <= after { // it would go on without end
				return later, fmt.Errorf("the pin gives record %d after %d", s.GetRecord(), after)
			}
			after = s.GetRecord()
		}
		answers, err := p.deliver(ctx, held)
		if err != nil {
			return later, err
		}
		done, unpaired := p.settle(held, answers)
		if len(done) > 0 { // the gateway has answered for these: only now may the pin forget them
			if err := p.same(p.phone.Acknowledge(ctx, done...)); err != nil {
				return later, err
			}
		}
		if unpaired {
			if err := p.pair(ctx); err != nil {
				return later, err
			}
		}
		later = later || len(done) < len(held)
	}
}

func (p *pinned) deliver(ctx context.Context, held []*pinv1.Statement) ([]*gatewayv1.Answer, error) {
	var statements []client.Signed
	for _, s := range held {
		statements = append(statements, signedOf(s))
	}
	var delivered *gatewayv1.DeliverResponse
	err := p.persist(ctx, "deliver", func(ctx context.Context) (err error) {
		delivered, err = p.gateway.Deliver(ctx, p.id, statements...)
		return err
	})
	return delivered.GetAnswers(), err
}

// settle returns the records that the gateway has stored or refused for good, and whether the pin is not paired.
func (p *pinned) settle(held []*pinv1.Statement, answers []*gatewayv1.Answer) (done []uint32, unpaired bool) {
	for i, a := range answers {
		refused := client.Refusal(a)
		switch {
		case refused == nil:
			p.session.logger.Info("delivered", "record", held[i].GetRecord(), "seq", a.GetSeq())
			if ahead := a.GetClockAheadMs(); ahead > 0 {
				p.session.logger.Warn("the pin's clock was ahead of the gateway's: is this machine's?",
					"record", held[i].GetRecord(), "ahead", time.Duration(ahead)*time.Millisecond)
			}
			done = append(done, held[i].GetRecord())
		case !client.Passes(refused):
			p.session.logger.Warn("refused", "record", held[i].GetRecord(), "reason", a.GetReason(), "detail", a.GetDetail())
			done = append(done, held[i].GetRecord())
		default: // the pin keeps it
			p.session.logger.Warn("not now", "record", held[i].GetRecord(), "reason", a.GetReason(), "detail", a.GetDetail())
			author, err := signedOf(held[i]).Author()
			unpaired = unpaired || a.GetReason() == gatewayv1.Reason_REASON_UNPAIRED_PIN && err == nil && author == p.id
		}
	}
	return done, unpaired
}

// showFaces tells the pin what to show, as often as that changes.
func (p *pinned) showFaces(ctx context.Context) error {
	for face, err := range p.gateway.Watch(ctx, p.wearer, 0) {
		if err != nil {
			p.session.logger.Warn("the face's stream ended, watching again", "error", err)
			continue
		}
		err := p.same(p.phone.SetFace(ctx, faceOf(face)))
		if fault, ok := errors.AsType[*link.FaultError](err); ok { // what the pin holds is delivered all the same
			p.session.logger.Warn("the pin does not take the face", "error", fault)
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// faceOf is the gateway's face in the words of the phone link.
func faceOf(f *gatewayv1.Face) *pinv1.SetFace {
	b := pinv1.SetFace_builder{
		Friends: f.GetFriends(), Medal: pinv1.Medal(f.GetMedal()), Background: f.GetBackground(), Backgrounds: f.GetBackgrounds(),
		NextBackground: f.GetNextBackground().GetBackground(), NextBackgroundFriends: f.GetNextBackground().GetFriendsMore(),
		NextMedal: pinv1.Medal(f.GetNextMedal().GetMedal()), NextMedalFriends: f.GetNextMedal().GetFriendsMore(),
		Steps: f.GetToday().GetSteps(), StepGoal: f.GetStepGoal(),
	}
	if day, err := time.Parse(time.DateOnly, f.GetToday().GetDay()); err == nil {
		b.Day = uint32(day.Unix() / (24 * 60 * 60)) // without a day, the pin shows its own steps
	}
	return b.Build()
}

func (p *pinned) keepTime(ctx context.Context) error {
	for wait(ctx, p.timeEvery) {
		if err := p.same(p.phone.SetTime(ctx, time.Now().In(p.zone))); err != nil {
			return err
		}
	}
	return ctx.Err()
}
