package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"pinfold/internal/fact"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

const (
	// answerTimeout is how long a pin may take for the next part of an answer. It does so within a few rounds of 10 ms.
	answerTimeout = 5 * time.Second
	// pressTimeout is longer than a pin waits for its button (firmware/core/phone.h).
	pressTimeout = 70 * time.Second
	// MaxFetch is the most records that one Fetch returns, and one Acknowledge takes.
	MaxFetch = 32
)

// ErrClosed says that the link to the pin has ended.
var ErrClosed = errors.New("the link to the pin has ended")

// FaultError is what a pin answered in place of what was asked for.
type FaultError struct{ Fault pinv1.Fault }

// Error names the fault.
func (e *FaultError) Error() string {
	if e.Fault == pinv1.Fault_FAULT_NOT_PRESSED {
		return "pin: the button was not pressed within a minute"
	}
	return "pin: " + e.Fault.String()
}

// Phone is a phone at its end of the link. Its methods may be called at the same time, but for two fetches. Each fails with
// a *FaultError if the pin says so, with ErrClosed once the link has ended, and with context.DeadlineExceeded if the pin
// is silent.
type Phone struct {
	conn      net.Conn
	announced chan *pinv1.Info
	ended     chan struct{}
	writing   chan struct{} // holds one while a request is written; not mu, for a pin may take none before its answers are taken

	mu      sync.Mutex
	last    uint32 // request
	waiting map[uint32]chan *pinv1.FromPin
}

// NewPhone takes over the connection.
func NewPhone(conn net.Conn) *Phone {
	p := &Phone{
		conn: conn, announced: make(chan *pinv1.Info, 1), ended: make(chan struct{}),
		writing: make(chan struct{}, 1), waiting: map[uint32]chan *pinv1.FromPin{},
	}
	go p.read()
	return p
}

// Close ends the link.
func (p *Phone) Close() error {
	err := p.conn.Close()
	<-p.ended
	return err
}

// Ended is closed when the link has ended.
func (p *Phone) Ended() <-chan struct{} { return p.ended }

// Announced gives what the pin says by itself: when it has started, and when it holds something new. Of several that
// nobody took, the last stays.
func (p *Phone) Announced() <-chan *pinv1.Info { return p.announced }

func (p *Phone) read() {
	defer close(p.ended)
	in := NewReader(p.conn, MaxMessage)
	for {
		payload, err := in.Next()
		if err != nil {
			return
		}
		m := &pinv1.FromPin{}
		if proto.Unmarshal(payload, m) != nil {
			continue // the request that it was for times out
		}
		p.dispatch(m)
	}
}

func (p *Phone) dispatch(m *pinv1.FromPin) {
	if m.GetRequest() == 0 {
		if !m.HasInfo() {
			return
		}
		select {
		case <-p.announced:
		default:
		}
		p.announced <- m.GetInfo() // only this goroutine sends
		return
	}
	p.mu.Lock()
	answers := p.waiting[m.GetRequest()]
	p.mu.Unlock()
	if answers == nil {
		return // nobody waits any more
	}
	select {
	case answers <- m:
	default: // more than any answer has
	}
}

// call is one request and its answers.
type call struct {
	phone   *Phone
	request uint32
	answers chan *pinv1.FromPin
}

// ask sends a request.
func (p *Phone) ask(ctx context.Context, b pinv1.ToPin_builder) (*call, error) {
	c := p.begin()
	b.Request = c.request
	raw, err := proto.Marshal(b.Build())
	if err == nil && len(raw) > MaxMessage {
		err = fmt.Errorf("pin: a message of %d bytes: want %d at most", len(raw), MaxMessage)
	}
	if err == nil {
		err = p.write(ctx, AppendFrame(nil, raw))
	}
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// begin makes a call with a request number of its own.
func (p *Phone) begin() *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	if p.last == 0 {
		p.last = 1 // 0 is what the pin says unasked
	}
	c := &call{phone: p, request: p.last, answers: make(chan *pinv1.FromPin, MaxFetch+2)}
	p.waiting[c.request] = c.answers
	return c
}

// write sends a frame. Where the pin takes only a part of it, it drops that when the next begins.
func (p *Phone) write(ctx context.Context, frame []byte) error {
	select {
	case p.writing <- struct{}{}:
		defer func() { <-p.writing }()
	case <-ctx.Done():
		return fmt.Errorf("pin: it takes no request: %w", ctx.Err())
	}
	deadline := time.Now().Add(answerTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = p.conn.SetWriteDeadline(deadline) // a closed connection says so when it is written to
	_, err := p.conn.Write(frame)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("pin: it takes no request: %w", context.DeadlineExceeded)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

func (c *call) end() {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	delete(c.phone.waiting, c.request)
}

// next returns the next part of the answer.
func (c *call) next(ctx context.Context, within time.Duration) (*pinv1.FromPin, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case m := <-c.answers:
		return answered(m)
	case <-c.phone.ended:
		select {
		case m := <-c.answers: // it came before the end
			return answered(m)
		default:
			return nil, ErrClosed
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("pin: no answer to request %d: %w", c.request, ctx.Err())
	}
}

func answered(m *pinv1.FromPin) (*pinv1.FromPin, error) {
	if m.HasError() {
		return nil, &FaultError{m.GetError().GetFault()}
	}
	return m, nil
}

// info asks what is answered with Info.
func (p *Phone) info(ctx context.Context, b pinv1.ToPin_builder) (*pinv1.Info, error) {
	c, err := p.ask(ctx, b)
	if err != nil {
		return nil, err
	}
	defer c.end()
	m, err := c.next(ctx, answerTimeout)
	if err != nil {
		return nil, err
	}
	if !m.HasInfo() {
		return nil, unexpected(m, "Info")
	}
	return m.GetInfo(), nil
}

func unexpected(m *pinv1.FromPin, want string) error {
	return fmt.Errorf("pin: the answer is %v, want %s", m.WhichMessage(), want)
}

// Hello returns the state of the pin.
func (p *Phone) Hello(ctx context.Context) (*pinv1.Info, error) {
	return p.info(ctx, pinv1.ToPin_builder{Hello: &pinv1.Hello{}})
}

// SetTime sets the pin's clock to a moment, and its day to that of the moment's time zone.
func (p *Phone) SetTime(ctx context.Context, t time.Time) (*pinv1.Info, error) {
	_, seconds := t.Zone()
	return p.info(ctx, pinv1.ToPin_builder{SetTime: pinv1.SetTime_builder{
		TimeMs: t.UnixMilli(), OffsetQuarters: int32(seconds / (15 * 60)),
	}.Build()})
}

// Fetch returns up to max statements, at most MaxFetch, with record numbers above after, oldest first. None is no error.
func (p *Phone) Fetch(ctx context.Context, max, after uint32) ([]*pinv1.Statement, error) {
	c, err := p.ask(ctx, pinv1.ToPin_builder{Fetch: pinv1.Fetch_builder{Max: max, After: after}.Build()})
	if err != nil {
		return nil, err
	}
	defer c.end()
	var list []*pinv1.Statement
	for {
		m, err := c.next(ctx, answerTimeout)
		switch {
		case err != nil:
			return nil, err
		case m.HasEmpty():
			return list, nil
		case !m.HasStatement():
			return nil, unexpected(m, "Statement")
		case len(list) == MaxFetch:
			return nil, fmt.Errorf("pin: more than %d statements in an answer", MaxFetch)
		}
		list = append(list, m.GetStatement())
		if !m.GetStatement().GetMore() {
			return list, nil
		}
	}
}

// Acknowledge lets the pin drop records, at most MaxFetch, that the gateway stored or refused for good.
func (p *Phone) Acknowledge(ctx context.Context, records ...uint32) (*pinv1.Info, error) {
	return p.info(ctx, pinv1.ToPin_builder{Acknowledge: pinv1.Acknowledge_builder{Records: records}.Build()})
}

// pressed sends what needs a press of the button, calls waiting when the pin waits for it, and returns what follows.
func (p *Phone) pressed(ctx context.Context, b pinv1.ToPin_builder, waiting func()) (*pinv1.FromPin, error) {
	c, err := p.ask(ctx, b)
	if err != nil {
		return nil, err
	}
	defer c.end()
	m, err := c.next(ctx, answerTimeout)
	if err != nil {
		return nil, err
	}
	if !m.HasPressButton() {
		return nil, unexpected(m, "PressButton")
	}
	if waiting != nil {
		waiting()
	}
	return c.next(ctx, pressTimeout)
}

// Prove returns the proof of possession of a challenge, after a press of the button. The pin waits for it when waiting,
// which may be nil, is called.
func (p *Phone) Prove(ctx context.Context, challenge fact.Challenge, waiting func()) (*pinv1.Proof, error) {
	m, err := p.pressed(ctx, pinv1.ToPin_builder{Prove: pinv1.Prove_builder{Challenge: challenge[:]}.Build()}, waiting)
	if err != nil {
		return nil, err
	}
	if !m.HasProof() {
		return nil, unexpected(m, "Proof")
	}
	return m.GetProof(), nil
}

// Wipe makes the pin a new one, after a press of the button as in Prove, and returns the state of the new one.
func (p *Phone) Wipe(ctx context.Context, waiting func()) (*pinv1.Info, error) {
	m, err := p.pressed(ctx, pinv1.ToPin_builder{Wipe: &pinv1.Wipe{}}, waiting)
	if err != nil {
		return nil, err
	}
	if !m.HasInfo() {
		return nil, unexpected(m, "Info")
	}
	return m.GetInfo(), nil
}

// SetFace tells the pin what to show.
func (p *Phone) SetFace(ctx context.Context, face *pinv1.SetFace) (*pinv1.Info, error) {
	return p.info(ctx, pinv1.ToPin_builder{SetFace: face})
}

// ChooseBackground sets what the pin displays and returns what it then does: a sport's id, "" = none.
func (p *Phone) ChooseBackground(ctx context.Context, sport string) (string, error) {
	c, err := p.ask(ctx, pinv1.ToPin_builder{ChooseBackground: pinv1.ChooseBackground_builder{Background: sport}.Build()})
	if err != nil {
		return "", err
	}
	defer c.end()
	m, err := c.next(ctx, answerTimeout)
	if err != nil {
		return "", err
	}
	if !m.HasBackgroundChosen() {
		return "", unexpected(m, "BackgroundChosen")
	}
	return m.GetBackgroundChosen().GetBackground(), nil
}
