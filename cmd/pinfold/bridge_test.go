package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"pinfold/client"
	"pinfold/client/link"
	"pinfold/crowd"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

// bridgePatience bounds every wait. Nothing here should take a tenth of it.
const bridgePatience = 20 * time.Second

// seen is what a test looks at while others change it.
type seen struct {
	mu    sync.Mutex
	moved chan struct{} // closed and replaced with each change
}

func newSeen() seen { return seen{moved: make(chan struct{})} }

func (s *seen) look(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *seen) change(f func()) {
	s.look(func() {
		f()
		close(s.moved)
		s.moved = make(chan struct{})
	})
}

// await waits until it is so.
func (s *seen) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(bridgePatience)
	for {
		s.mu.Lock()
		ok, moved := so(), s.moved
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-moved:
		case <-late:
			t.Fatalf("after %v still not: %s", bridgePatience, what)
		}
	}
}

// softPin is a pin in software at its end of the phone link. It serves one connection at a time, as a real one does.
type softPin struct {
	seen
	path string // of its socket

	conn    net.Conn // nil = no phone is there
	key     *client.Pin
	held    []*pinv1.Statement
	last    uint32 // record
	clock   bool   // it was set since the pin was started
	presses bool   // the button is pressed whenever the pin asks for it
	prompt  *pinv1.ToPin
	bend    bend

	links   int // connections that there were
	asked   int // presses that were asked for
	fetches []*pinv1.Fetch
	acked   []uint32
	times   []*pinv1.SetTime
	faces   []*pinv1.SetFace
}

// bend answers in place of the pin, unless it returns false.
type bend func(*softPin, *pinv1.ToPin) bool

// newSoftPin returns a running pin of a person.
func newSoftPin(t *testing.T, p person, prepare ...func(*softPin)) *softPin {
	t.Helper()
	dir, err := os.MkdirTemp("", "pin") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	pin := &softPin{seen: newSeen(), path: filepath.Join(dir, "phone"), key: p.pin, presses: true}
	for _, f := range prepare {
		f(pin)
	}
	listener, err := net.Listen("unix", pin.path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			pin.change(func() { pin.conn = conn; pin.links++ })
			pin.serve(conn)
			pin.change(func() { pin.conn = nil })
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		pin.hangUp()
		<-done
		_ = os.RemoveAll(dir)
	})
	return pin
}

func neverPressed(p *softPin) { p.presses = false }

// holding prepares a pin that holds statements.
func holding(statements ...client.Signed) func(*softPin) {
	return func(p *softPin) { p.hold(statements...) }
}

// bent prepares a pin that does not answer as a pin does.
func bent(b bend) func(*softPin) {
	return func(p *softPin) { p.bend = b }
}

// hangUp ends the link.
func (p *softPin) hangUp() {
	p.change(func() {
		if p.conn != nil {
			_ = p.conn.Close()
		}
	})
}

func (p *softPin) serve(conn net.Conn) {
	defer conn.Close()
	in := link.NewDecoder(link.MaxMessage)
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		for _, b := range buffer[:n] {
			if payload := in.Decode(b); payload != nil {
				m := &pinv1.ToPin{}
				if err := proto.Unmarshal(payload, m); err != nil {
					return
				}
				p.change(func() { p.receive(m) })
			}
		}
	}
}

// say sends a message. It is called with the lock held, as is all that follows down to hold.
func (p *softPin) say(b pinv1.FromPin_builder) {
	raw, err := proto.Marshal(b.Build())
	if err != nil {
		panic(err)
	}
	p.sayBytes(link.AppendFrame(nil, raw))
}

func (p *softPin) sayBytes(raw []byte) {
	if p.conn != nil {
		_, _ = p.conn.Write(raw) // a phone that is gone says so when it is read from
	}
}

func (p *softPin) info() *pinv1.Info {
	id, key := p.key.ID(), p.key.Key()
	return pinv1.Info_builder{
		Pin: id[:], PublicKey: key[:], ClockSet: p.clock, Records: uint32(len(p.held)), Firmware: "soft",
	}.Build()
}

func (p *softPin) announce() { p.say(pinv1.FromPin_builder{Info: p.info()}) }

func (p *softPin) fault(request uint32, f pinv1.Fault) {
	p.say(pinv1.FromPin_builder{Request: request, Error: pinv1.Error_builder{Fault: f}.Build()})
}

func (p *softPin) receive(m *pinv1.ToPin) {
	switch {
	case m.HasFetch():
		p.fetches = append(p.fetches, m.GetFetch())
	case m.HasAcknowledge():
		p.acked = append(p.acked, m.GetAcknowledge().GetRecords()...)
	case m.HasSetTime():
		p.times = append(p.times, m.GetSetTime())
	case m.HasSetFace():
		p.faces = append(p.faces, m.GetSetFace())
	}
	if p.bend == nil || !p.bend(p, m) {
		p.answer(m)
	}
}

func (p *softPin) answer(m *pinv1.ToPin) {
	switch {
	case m.HasFetch():
		p.give(m.GetRequest(), m.GetFetch())
		return
	case m.HasProve():
		p.asked++
		p.prompt = m
		p.say(pinv1.FromPin_builder{Request: m.GetRequest(), PressButton: &pinv1.PressButton{}})
		if p.presses {
			p.press()
		}
		return
	case m.HasAcknowledge():
		p.held = slices.DeleteFunc(p.held, func(s *pinv1.Statement) bool {
			return slices.Contains(m.GetAcknowledge().GetRecords(), s.GetRecord())
		})
	case m.HasSetTime():
		p.clock = true
	}
	p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Info: p.info()})
}

// give answers a Fetch.
func (p *softPin) give(request uint32, f *pinv1.Fetch) {
	var list []*pinv1.Statement
	for _, s := range p.held {
		if s.GetRecord() > f.GetAfter() && len(list) < int(f.GetMax()) {
			list = append(list, proto.CloneOf(s))
		}
	}
	for i, s := range list {
		s.SetMore(i < len(list)-1)
		p.say(pinv1.FromPin_builder{Request: request, Statement: s})
	}
	if len(list) == 0 {
		p.say(pinv1.FromPin_builder{Request: request, Empty: &pinv1.Empty{}})
	}
}

// press presses the button, and gives the proof that the pin waits with.
func (p *softPin) press() {
	if p.prompt != nil {
		proof := p.key.Prove(challengeOf(p.prompt), crowd.Midnight)
		p.say(pinv1.FromPin_builder{Request: p.prompt.GetRequest(), Proof: pinv1.Proof_builder{Statement: proof.Statement, Signature: proof.Signature[:]}.Build()})
		p.prompt = nil
	}
}

// prove answers a Prove at once, with any bytes.
func (p *softPin) prove(m *pinv1.ToPin, raw, sig []byte) {
	p.say(pinv1.FromPin_builder{Request: m.GetRequest(), PressButton: &pinv1.PressButton{}})
	p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Proof: pinv1.Proof_builder{Statement: raw, Signature: sig}.Build()})
}

func challengeOf(m *pinv1.ToPin) fact.Challenge { return fact.Challenge(m.GetProve().GetChallenge()) }

// hold keeps statements until they are acknowledged, and says nothing of them.
func (p *softPin) hold(statements ...client.Signed) {
	for _, s := range statements {
		p.last++
		p.held = append(p.held, pinv1.Statement_builder{Record: p.last, Statement: s.Statement, Signature: s.Signature[:]}.Build())
	}
}

// take does so and says it.
func (p *softPin) take(statements ...client.Signed) {
	p.change(func() {
		p.hold(statements...)
		p.announce()
	})
}

// check checks how often a press was asked for, and the number of links.
func (p *softPin) check(t *testing.T, asked, links int) {
	t.Helper()
	p.look(func() {
		if p.asked != asked || p.links != links {
			t.Errorf("%d presses were asked for over %d links, want %d and %d", p.asked, p.links, asked, links)
		}
	})
}

// awaitEmpty waits until every record was acknowledged.
func (p *softPin) awaitEmpty(t *testing.T) {
	t.Helper()
	p.await(t, "every record is acknowledged", func() bool { return len(p.held) == 0 })
}

// said is what a program says.
type said struct {
	seen
	text strings.Builder
}

func (s *said) Write(b []byte) (n int, err error) {
	s.change(func() { n, err = s.text.Write(b) })
	return n, err
}

// awaitLines waits until so many lines with this in them were said.
func (s *said) awaitLines(t *testing.T, n int, what string) {
	t.Helper()
	s.await(t, fmt.Sprintf("%q is said %d times", what, n), func() bool { return strings.Count(s.text.String(), what) >= n })
}

// runningBridge is a `pinfold bridge` in this process.
type runningBridge struct {
	said   *said
	cancel context.CancelFunc
	ended  chan int
}

// startBridge runs `pinfold bridge` for the person's pin. It ends with the test, at the latest.
func startBridge(t *testing.T, pin *softPin, gateway string, p person, memory string, more ...string) *runningBridge {
	t.Helper()
	args := []string{
		"bridge", "--pin", "unix:" + pin.path, "--gateway", gateway, "--wearer", p.wearer.String(), "--memory", memory,
	}
	return startRunning(t, func(ctx context.Context, s *said) int { return run(ctx, append(args, more...), io.Discard, s) })
}

func startRunning(t *testing.T, run func(context.Context, *said) int) *runningBridge {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &runningBridge{said: &said{seen: newSeen()}, cancel: cancel, ended: make(chan int, 1)}
	go func() { b.ended <- run(ctx, b.said) }()
	t.Cleanup(func() {
		cancel()
		b.exit(t)
		if t.Failed() {
			t.Logf("the bridge said: %s", b.said.text.String())
		}
	})
	return b
}

// exit waits until the bridge has ended, and returns its exit code.
func (b *runningBridge) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-b.ended:
		b.ended <- code // for who asks again
		return code
	case <-time.After(bridgePatience):
		t.Fatalf("the bridge has not ended after %v", bridgePatience)
		return -1
	}
}

// stop presses ctrl-C.
func (b *runningBridge) stop(t *testing.T) {
	t.Helper()
	b.cancel()
	if code := b.exit(t); code != exitOK {
		t.Errorf("exit code %d after ctrl-C, want %d", code, exitOK)
	}
}

// privateFolder makes a folder that others cannot write, whatever the umask.
func privateFolder(t testing.TB) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "phone")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// remembered makes the memory of a phone that has paired the person's pin.
func remembered(t *testing.T, p person) string {
	t.Helper()
	memory := privateFolder(t)
	if err := os.WriteFile(filepath.Join(memory, p.pin.ID().String()), []byte(p.wearer.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return memory
}

// checkStored checks that the gateway knows these statements as stored.
func (w *world) checkStored(t *testing.T, carrier *client.Pin, statements ...client.Signed) {
	t.Helper()
	r, err := w.deliver(t.Context(), carrier, statements...)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range r.GetAnswers() {
		if a.GetStatus() != gatewayv1.Status_STATUS_ALREADY_ACCEPTED {
			t.Errorf("statement %d: %v, want that it is stored already", i, a)
		}
	}
}

// noGateway is an address that nothing listens on.
const noGateway = "127.0.0.1:1"

// lastingWorld returns what starts a world, and again after it was stopped, with the same folder and address.
func lastingWorld(t *testing.T) (address string, start func() *world) {
	t.Helper()
	data := t.TempDir()
	for range 1000 { // not a port that is given to whoever asks for one while the world is stopped
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(10_000)))
		if err == nil {
			_ = listener.Close()
			address = listener.Addr().String()
			return address, func() *world { return startUp(t, data, func(c *upCommand) { c.Listen = address }) }
		}
	}
	t.Fatal("no port is free")
	return "", nil
}

// TestBridgePairs: a press pairs the pin. The phone remembers it, so that the next bridge asks for none.
func TestBridgePairs(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, bob)
	pin, memory := newSoftPin(t, alice, neverPressed), filepath.Join(t.TempDir(), "a", "phone")
	b := startBridge(t, pin, w.at.Gateway, alice, memory, "--register")
	b.said.awaitLines(t, 1, "Press the button of pin "+alice.pin.ID().String())
	pin.await(t, "the pin waits for its button", func() bool { return pin.prompt != nil && len(pin.fetches) == 0 })
	pin.change(func() { pin.press() })
	pin.await(t, "the pin is paired", func() bool { return len(pin.fetches) > 0 })
	b.stop(t)

	half, _ := tapPins(t, alice, bob)
	startBridge(t, pin, w.at.Gateway, alice, memory)
	pin.take(half)
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, half)
	pin.check(t, 1, 2)
}

// TestBridgeDelivers: what the gateway takes or refuses for good is acknowledged, and what it wants later is kept until
// it takes that too. None holds up another, and more are held than one Fetch gives.
func TestBridgeDelivers(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob, late := newPerson(1), newPerson(2), newPerson(3)
	w.enrol(t, alice, bob)
	early, _ := tapPins(t, alice, late)
	own, peers := tapPins(t, alice, bob)
	forged := own
	forged.Signature[0] ^= 1
	steps := alice.pin.Count(1, []uint16{100})
	good := []client.Signed{own, peers, steps}
	for range 40 {
		a, b := tapPins(t, alice, bob)
		good = append(good, a, b)
	}
	bad := []client.Signed{forged, {}, alice.pin.SignRaw(own.Statement[:71])}
	pin := newSoftPin(t, alice, holding(early), holding(bad...), holding(good...))
	startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice))

	pin.await(t, "all but the half with a stranger is acknowledged", func() bool { return len(pin.held) == 1 })
	pin.await(t, "that half is tried again", func() bool { return len(pin.fetches) > 5 })
	w.checkStored(t, alice.pin, good...)
	w.register(t, late)
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, early)
	pin.look(func() {
		var want []uint32 // each once, the stranger's half last
		for r := range uint32(len(bad) + len(good)) {
			want = append(want, r+2)
		}
		if want = append(want, 1); !slices.Equal(pin.acked, want) {
			t.Errorf("acknowledged %d, want %d", pin.acked, want)
		}
	})
}

// TestBridgeClockAhead: a half of a pin whose clock was ahead is delivered like any other, and the bridge says so.
func TestBridgeClockAhead(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	own, peers := tapPins(t, alice, bob)
	own = alice.pin.SignRaw(withTime(own.Statement, fact.UnixMilli(time.Now().Add(60*24*time.Hour).UnixMilli())))
	pin := newSoftPin(t, alice, holding(own, peers))
	b := startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice))
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, own, peers)
	b.said.awaitLines(t, 1, "the pin's clock was ahead of the gateway's")
	b.stop(t)
}

// TestBridgeLooks: what the pin has not announced, or what was lost of that, is found all the same.
func TestBridgeLooks(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	pin := newSoftPin(t, alice)
	command := bridgeCommand{
		Pin: "unix:" + pin.path, Gateway: w.at.Gateway, Wearer: alice.wearer.String(), Zone: "Asia/Tokyo", Memory: remembered(t, alice),
	}
	b := startRunning(t, func(ctx context.Context, s *said) int {
		bridge, err := command.open(&session{ctx: ctx, stderr: s, logger: slog.New(slog.NewTextHandler(s, nil))})
		if err != nil {
			t.Error(err)
			return exitFailed
		}
		defer bridge.gateway.Close()
		bridge.poll, bridge.timeEvery = 10*time.Millisecond, 10*time.Millisecond
		return exitCodeOf(bridge.run(ctx))
	})
	pin.await(t, "the pin was looked into, and there was nothing", func() bool { return len(pin.fetches) > 1 })
	half, _ := tapPins(t, alice, bob)
	pin.change(func() { pin.hold(half) })
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, half)
	pin.await(t, "the pin is told the time now and then", func() bool { return len(pin.times) > 3 && pin.links == 1 })
	b.stop(t)
}

func exitCodeOf(err error) int {
	if err != nil {
		return exitCode(err)
	}
	return exitOK
}

// TestBridgeGatewayAway: while the gateway is away nothing is acknowledged; when it is back all is, and the face changes.
func TestBridgeGatewayAway(t *testing.T) {
	t.Parallel()
	address, start := lastingWorld(t)
	w := start()
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	pin := newSoftPin(t, alice)
	b := startBridge(t, pin, address, alice, remembered(t, alice))
	pin.await(t, "the pin shows that there is no friend", func() bool { return len(pin.faces) > 0 })
	w.stop()
	own, peers := tapPins(t, alice, bob)
	pin.take(own)
	b.said.awaitLines(t, 2, "the gateway is away")
	pin.take(peers)
	b.said.awaitLines(t, 3, "the gateway is away")
	pin.look(func() {
		if len(pin.acked) != 0 {
			t.Errorf("records %d were acknowledged while the gateway was away", pin.acked)
		}
	})
	w = start()
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, own, peers)
	pin.await(t, "the pin shows the friend", func() bool { return pin.faces[len(pin.faces)-1].GetFriends() == 1 })
	pin.check(t, 0, 1)
	b.stop(t)
}

// TestBridgeGatewayLookedFor: a gateway that is away is looked for with pauses that grow slowly, so that it is found soon.
func TestBridgeGatewayLookedFor(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tries []time.Time
	tried := newSeen()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // as if nobody were there
			tried.change(func() { tries = append(tries, time.Now()) })
		}
	}()
	alice := newPerson(1)
	b := startBridge(t, newSoftPin(t, alice), listener.Addr().String(), alice, t.TempDir())
	tried.await(t, "the gateway was looked for four times", func() bool { return len(tries) >= 4 })
	tried.look(func() {
		if took := tries[3].Sub(tries[0]); took > 3*time.Second { // half a second, but on a slow machine
			t.Errorf("four tries took %v", took)
		}
	})
	b.stop(t)
	_ = listener.Close()
	<-done
}

// TestBridgeAsksAgain: the button was not pressed, and then the gateway that knew the challenge is not there any more.
func TestBridgeAsksAgain(t *testing.T) {
	t.Parallel()
	address, start := lastingWorld(t)
	w := start()
	alice := newPerson(1)
	w.register(t, alice)
	pin := newSoftPin(t, alice, neverPressed)
	b := startBridge(t, pin, address, alice, t.TempDir())
	pin.await(t, "the first press is asked for", func() bool { return pin.asked == 1 && pin.prompt != nil })
	pin.change(func() {
		request := pin.prompt.GetRequest()
		pin.prompt = nil
		pin.fault(request, pinv1.Fault_FAULT_NOT_PRESSED)
	})
	pin.await(t, "the second press is asked for", func() bool { return pin.asked == 2 && pin.prompt != nil })
	w.stop()
	start()
	pin.change(func() { pin.press() })
	pin.await(t, "the third press is asked for", func() bool { return pin.asked == 3 && pin.prompt != nil })
	pin.change(func() { pin.press() })
	pin.await(t, "the pin is paired", func() bool { return len(pin.fetches) > 0 })
	b.said.awaitLines(t, 3, "Press the button")
	pin.check(t, 3, 1)
	b.stop(t)
}

// TestBridgeNotPressed: a pin that says at once, without end, that nobody pressed is not asked without pause.
func TestBridgeNotPressed(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice := newPerson(1)
	w.register(t, alice)
	var asked []time.Time
	pin := newSoftPin(t, alice, bent(func(p *softPin, m *pinv1.ToPin) bool {
		if m.HasProve() {
			asked = append(asked, time.Now())
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), PressButton: &pinv1.PressButton{}})
			p.fault(m.GetRequest(), pinv1.Fault_FAULT_NOT_PRESSED)
		}
		return m.HasProve()
	}))
	startBridge(t, pin, w.at.Gateway, alice, t.TempDir())
	pin.await(t, "it is asked three times", func() bool { return len(asked) >= 3 })
	pin.look(func() {
		if d := asked[2].Sub(asked[0]); d < 3*bridgeFirstPause {
			t.Errorf("it was asked three times in %v, want growing pauses from %v", d, bridgeFirstPause)
		}
	})
}

// TestBridgeUnpaired: a gateway that does not know the pairing, though the phone does, asks for a press once. A peer that
// nobody has paired is no reason to.
func TestBridgeUnpaired(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.register(t, alice, bob)
	own, peers := tapPins(t, alice, bob)
	pin := newSoftPin(t, alice, holding(own, peers))
	startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice))
	pin.await(t, "the own half is acknowledged, and the peer's tried again", func() bool {
		return len(pin.held) == 1 && len(pin.fetches) > 4
	})
	w.checkStored(t, alice.pin, own)
	pin.check(t, 1, 1)
	if err := w.pair(t.Context(), bob.wearer, bob.pin); err != nil {
		t.Fatal(err)
	}
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, peers)
}

// TestBridgeExchanged: while what a pin held waits for the gateway, another comes in its place, whose records have the
// same numbers. None of them is acknowledged before it was delivered.
func TestBridgeExchanged(t *testing.T) {
	t.Parallel()
	address, start := lastingWorld(t)
	w := start()
	alice, again, bob := newPerson(1), newPerson(2), newPerson(3)
	again.wearer = alice.wearer // her second pin
	w.enrol(t, alice, bob)
	pin, memory := newSoftPin(t, alice), remembered(t, alice)
	b := startBridge(t, pin, address, alice, memory, "--register")
	pin.await(t, "the bridge is ready", func() bool { return len(pin.faces) > 0 })
	w.stop()
	old, _ := tapPins(t, alice, bob)
	pin.take(old)
	b.said.awaitLines(t, 1, "the gateway is away")
	other, _ := tapPins(t, again, bob)
	pin.change(func() {
		pin.key, pin.held, pin.last = again.pin, nil, 0
		pin.hold(other)
		pin.announce()
	})
	b.said.awaitLines(t, 1, "is another one now")
	w = start()
	pin.awaitEmpty(t)
	w.checkStored(t, again.pin, other)
	pin.check(t, 1, 2)
	names, err := os.ReadDir(memory)
	if err != nil || len(names) != 2 {
		t.Errorf("the phone remembers %v, %v; want two pins", names, err)
	}
	b.stop(t)
}

// TestBridgeWipedUnsaid: a pin that was wiped and says nothing is found out by its next answer.
func TestBridgeWipedUnsaid(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, again, bob := newPerson(1), newPerson(2), newPerson(3)
	w.enrol(t, alice, bob)
	own, peers := tapPins(t, alice, bob)
	for name, provoke := range map[string]func(*softPin){
		"acknowledge": func(p *softPin) { p.take(own) },
		"face": func(*softPin) {
			if _, err := w.deliver(t.Context(), bob.pin, own, peers); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pin := newSoftPin(t, alice)
			startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice), "--register")
			pin.await(t, "the bridge is ready", func() bool { return len(pin.faces) > 0 && len(pin.fetches) > 0 })
			pin.change(func() {
				pin.bend = func(_ *softPin, m *pinv1.ToPin) bool {
					if m.HasAcknowledge() || m.HasSetFace() {
						pin.key, pin.presses, pin.bend = again.pin, false, nil
					}
					return false
				}
			})
			provoke(pin)
			pin.await(t, "the new pin is to be paired", func() bool { return pin.links == 2 && pin.asked == 1 })
		})
	}
}

// TestBridgeFace: a friendship changes what the pin shows. A pin that does not take it still gets its records delivered.
func TestBridgeFace(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	pin := newSoftPin(t, alice)
	b := startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice))
	pin.await(t, "the pin shows no friend, and the goal of the day", func() bool {
		return len(pin.faces) > 0 && pin.faces[0].GetFriends() == 0 && pin.faces[0].GetStepGoal() == 10_000
	})
	own, peers := tapPins(t, alice, bob)
	if _, err := w.deliver(t.Context(), bob.pin, own, peers); err != nil { // by the other phone
		t.Fatal(err)
	}
	pin.await(t, "the pin shows a friend", func() bool {
		f := pin.faces[len(pin.faces)-1]
		return f.GetFriends() == 1 && f.GetNextBackgroundFriends() == 4 && f.GetNextMedal() == pinv1.Medal_MEDAL_BRONZE
	})

	pin.change(func() {
		pin.bend = func(p *softPin, m *pinv1.ToPin) bool {
			if m.HasSetFace() {
				p.fault(m.GetRequest(), pinv1.Fault_FAULT_MALFORMED)
			}
			return m.HasSetFace()
		}
	})
	now := fact.Slot(time.Now().UnixMilli() / fact.SlotLength.Milliseconds())
	pin.take(alice.pin.Count(now, []uint16{4000}))
	b.said.awaitLines(t, 1, "does not take the face")
	pin.take(alice.pin.Count(now, []uint16{4001}))
	b.said.awaitLines(t, 2, "does not take the face")
	pin.awaitEmpty(t)
	pin.look(func() {
		last := pin.faces[len(pin.faces)-1]
		if ago := time.Since(time.Unix(int64(last.GetDay())*24*60*60, 0)); last.GetSteps() != 4001 || ago.Abs() > 48*time.Hour {
			t.Errorf("the last face is %v, want 4001 steps of today", last)
		}
	})
	pin.check(t, 0, 1)
}

// TestBridgeTime: the pin is told the time when the link begins, and when it was started again behind a link that stayed,
// also while the gateway is away. What it said of its start before it was told the time is old.
func TestBridgeTime(t *testing.T) {
	t.Parallel()
	alice := newPerson(1)
	pin := newSoftPin(t, alice, bent(func(p *softPin, m *pinv1.ToPin) bool {
		if len(p.times) == 1 && m.HasSetTime() {
			p.announce() // as it does when it has just started
		}
		return false
	}))
	b := startBridge(t, pin, noGateway, alice, t.TempDir())
	b.said.awaitLines(t, 2, "the gateway is away")
	pin.change(func() {
		told := pin.times[0]
		if time.Since(time.UnixMilli(told.GetTimeMs())).Abs() > bridgePatience || told.GetOffsetQuarters() != 9*4 || len(pin.times) != 1 {
			t.Errorf("told %v, want now in Tokyo, once", pin.times)
		}
		pin.clock = false
		pin.announce()
	})
	pin.await(t, "the time is told again", func() bool { return len(pin.times) == 2 && pin.clock })
	b.said.awaitLines(t, 1, "started again")
}

// TestBridgePinAway: the pin goes while the bridge waits for the gateway, and comes back.
func TestBridgePinAway(t *testing.T) {
	t.Parallel()
	address, start := lastingWorld(t)
	alice := newPerson(1)
	pin := newSoftPin(t, alice)
	b := startBridge(t, pin, address, alice, t.TempDir(), "--register")
	b.said.awaitLines(t, 1, "the gateway is away")
	pin.hangUp()
	pin.await(t, "the pin is connected to again", func() bool { return pin.links == 2 })
	start()
	pin.await(t, "the pin is paired", func() bool { return pin.asked == 1 && len(pin.fetches) > 0 })
	b.stop(t)
}

// TestBridgeNonsense: a pin that speaks nonsense ends no bridge and loses nothing. Once it has come to its senses all is
// delivered.
func TestBridgeNonsense(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	bob := newPerson(0)
	w.enrol(t, bob)
	n := 0
	for name, tt := range map[string]struct {
		when func(*pinv1.ToPin) bool
		say  func(*softPin, *pinv1.ToPin)
	}{
		"records that do not go up": {(*pinv1.ToPin).HasFetch, func(p *softPin, m *pinv1.ToPin) {
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Statement: pinv1.Statement_builder{Record: 9}.Build()})
		}},
		"record 0": {(*pinv1.ToPin).HasFetch, func(p *softPin, m *pinv1.ToPin) {
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Statement: &pinv1.Statement{}})
		}},
		"another answer": {(*pinv1.ToPin).HasFetch, func(p *softPin, m *pinv1.ToPin) {
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Info: p.info()})
		}},
		"a fault": {(*pinv1.ToPin).HasAcknowledge, func(p *softPin, m *pinv1.ToPin) {
			p.fault(m.GetRequest(), pinv1.Fault_FAULT_FLASH)
		}},
		"no id": {(*pinv1.ToPin).HasSetTime, func(p *softPin, m *pinv1.ToPin) {
			info := p.info()
			info.SetPin(nil)
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Info: info})
		}},
		"a key that is too short": {(*pinv1.ToPin).HasSetTime, func(p *softPin, m *pinv1.ToPin) {
			info := p.info()
			info.SetPublicKey(info.GetPublicKey()[:31])
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Info: info})
		}},
		"an id that is not of its key": {(*pinv1.ToPin).HasSetTime, func(p *softPin, m *pinv1.ToPin) {
			info := p.info()
			info.SetPin(make([]byte, 8))
			p.say(pinv1.FromPin_builder{Request: m.GetRequest(), Info: info})
		}},
		"an id unasked": {(*pinv1.ToPin).HasFetch, func(p *softPin, _ *pinv1.ToPin) {
			p.say(pinv1.FromPin_builder{Info: pinv1.Info_builder{Pin: []byte{1}, ClockSet: true}.Build()})
		}},
		"a proof of nothing": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) { p.prove(m, nil, nil) }},
		"a proof for another challenge": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) {
			proof := p.key.Prove(fact.Challenge{1}, crowd.Midnight)
			p.prove(m, proof.Statement, proof.Signature[:])
		}},
		"a proof without a signature": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) {
			p.prove(m, p.key.Prove(challengeOf(m), crowd.Midnight).Statement, nil)
		}},
		"a proof with a wrong signature": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) {
			proof := p.key.Prove(challengeOf(m), crowd.Midnight)
			proof.Signature[0] ^= 1
			p.prove(m, proof.Statement, proof.Signature[:])
		}},
		"another pin's proof": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) {
			proof := bob.pin.Prove(challengeOf(m), crowd.Midnight)
			p.prove(m, proof.Statement, proof.Signature[:])
		}},
		"a proof in another pin's name": {(*pinv1.ToPin).HasProve, func(p *softPin, m *pinv1.ToPin) {
			proof := p.key.SignRaw(bob.pin.Prove(challengeOf(m), crowd.Midnight).Statement)
			p.prove(m, proof.Statement, proof.Signature[:])
		}},
		"half a frame and the end": {(*pinv1.ToPin).HasFetch, func(p *softPin, _ *pinv1.ToPin) {
			p.sayBytes([]byte{0x7E, 0x08, 0x01})
			_ = p.conn.Close()
		}},
	} {
		n++
		alice := newPerson(n)
		own, peers := tapPins(t, alice, bob)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkNonsense(t, w, alice, []client.Signed{own, peers}, func(p *softPin, m *pinv1.ToPin) bool {
				if tt.when(m) {
					tt.say(p, m)
				}
				return tt.when(m)
			})
		})
	}
}

func checkNonsense(t *testing.T, w *world, alice person, held []client.Signed, nonsense bend) {
	t.Helper()
	pin := newSoftPin(t, alice, holding(held...), bent(nonsense))
	b := startBridge(t, pin, w.at.Gateway, alice, t.TempDir(), "--register")
	b.said.awaitLines(t, 1, "not connected to the pin")
	pin.change(func() {
		if len(pin.held) != len(held) {
			t.Errorf("%d records are left, want %d", len(pin.held), len(held))
		}
		pin.bend = nil
	})
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, held...)
}

// TestBridgeNoise: what is no frame of a message is passed over.
func TestBridgeNoise(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob := newPerson(1), newPerson(2)
	w.enrol(t, alice, bob)
	half, _ := tapPins(t, alice, bob)
	pin := newSoftPin(t, alice, holding(half), bent(func(p *softPin, m *pinv1.ToPin) bool {
		p.sayBytes([]byte{0x7E, 0x7D, 0x7E, 0x01, 0x02, 0x03, 0x7D, 0x7E})
		p.sayBytes(link.AppendFrame(nil, make([]byte, link.MaxMessage+1)))
		p.sayBytes(link.AppendFrame(nil, []byte{0xFF}))
		p.say(pinv1.FromPin_builder{Request: m.GetRequest() + 1000, Empty: &pinv1.Empty{}})
		p.say(pinv1.FromPin_builder{Empty: &pinv1.Empty{}})
		return false
	}))
	startBridge(t, pin, w.at.Gateway, alice, remembered(t, alice))
	pin.awaitEmpty(t)
	w.checkStored(t, alice.pin, half)
	pin.check(t, 0, 1)
}

// oddGateway answers to deliveries as the test says, and pairs and shows nothing.
type oddGateway struct {
	gatewayv1.UnimplementedGatewayServiceServer
	deliver func(*gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error)
	pair    func() error
}

func (g *oddGateway) Deliver(_ context.Context, r *gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
	return g.deliver(r)
}

func (g *oddGateway) BeginPairing(context.Context, *gatewayv1.BeginPairingRequest) (*gatewayv1.BeginPairingResponse, error) {
	return gatewayv1.BeginPairingResponse_builder{Challenge: make([]byte, 32)}.Build(), nil
}

func (g *oddGateway) PairPin(context.Context, *gatewayv1.PairPinRequest) (*gatewayv1.PairPinResponse, error) {
	return &gatewayv1.PairPinResponse{}, g.pair()
}

func (g *oddGateway) WatchFace(_ *gatewayv1.GetFaceRequest, s grpc.ServerStreamingServer[gatewayv1.Face]) error {
	<-s.Context().Done()
	return nil
}

func startOddGateway(t *testing.T, g *oddGateway) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	gatewayv1.RegisterGatewayServiceServer(server, g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is stopped
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// TestBridgeOddGateway: whatever a gateway answers, only what it has clearly taken or refused is acknowledged.
func TestBridgeOddGateway(t *testing.T) {
	t.Parallel()
	alice, bob := newPerson(1), newPerson(2)
	accepted := gatewayv1.Answer_builder{Status: gatewayv1.Status_STATUS_ACCEPTED, Seq: 7}.Build()
	for name, tt := range map[string]struct {
		answers []*gatewayv1.Answer
		err     error
		acked   []uint32
	}{
		"none":         {nil, nil, nil},
		"one for two":  {[]*gatewayv1.Answer{accepted}, nil, nil},
		"three":        {[]*gatewayv1.Answer{accepted, accepted, accepted}, nil, nil},
		"empty ones":   {[]*gatewayv1.Answer{{}, {}}, nil, nil},
		"a new status": {[]*gatewayv1.Answer{gatewayv1.Answer_builder{Status: 99}.Build(), accepted}, nil, []uint32{2}},
		"to be retried": {[]*gatewayv1.Answer{accepted, gatewayv1.Answer_builder{
			Status: gatewayv1.Status_STATUS_REFUSED, Reason: 99, Retry: true,
		}.Build()}, nil, []uint32{1}},
		"overloaded":     {nil, status.Error(codes.ResourceExhausted, "later"), nil},
		"an inner error": {nil, status.Error(codes.Internal, "a panic"), nil},
		"unknown pin":    {nil, status.Error(codes.FailedPrecondition, "not registered"), nil},
	} {
		own, peers := tapPins(t, alice, bob)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pin := newSoftPin(t, alice, holding(own, peers))
			odd, times := true, 0
			address := startOddGateway(t, &oddGateway{deliver: func(r *gatewayv1.DeliverRequest) (response *gatewayv1.DeliverResponse, err error) {
				all := slices.Repeat([]*gatewayv1.Answer{accepted}, len(r.GetStatements()))
				pin.change(func() {
					times++
					switch {
					case odd && len(all) == 2:
						all, err = tt.answers, tt.err
					case odd:
						err = status.Error(codes.Unavailable, "of those that are left")
					}
				})
				return gatewayv1.DeliverResponse_builder{Answers: all}.Build(), err
			}})
			startBridge(t, pin, address, alice, remembered(t, alice))
			pin.await(t, "it is delivered again", func() bool { return times >= 2 })
			pin.change(func() {
				if !slices.Equal(pin.acked, tt.acked) {
					t.Errorf("acknowledged %d, want %d", pin.acked, tt.acked)
				}
				odd = false
			})
			pin.awaitEmpty(t)
		})
	}
}

// TestBridgeRefused: what no trying again helps ends the bridge with a reason, and is no endless asking for the button.
func TestBridgeRefused(t *testing.T) {
	t.Parallel()
	w := startUp(t, t.TempDir())
	alice, bob, stranger := newPerson(1), newPerson(2), newPerson(3)
	w.enrol(t, bob)
	w.register(t, alice)
	stolen := person{wearer: alice.wearer, pin: bob.pin}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unreadable := privateFolder(t)
	if err := os.Mkdir(filepath.Join(unreadable, alice.pin.ID().String()), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		person person
		memory string
		asked  int
		want   string
	}{
		"the pin of another":               {stolen, privateFolder(t), 1, "PAIRED_ELSEWHERE"},
		"remembered as the pin of another": {stolen, remembered(t, bob), 1, "PAIRED_ELSEWHERE"},
		"not registered":                   {stranger, privateFolder(t), 1, "UNKNOWN_PIN"},
		"a memory that is a file":          {alice, file, 0, "not a directory"},
		"a memory that cannot be read":     {alice, unreadable, 0, "a folder: a file with a secret must be a regular one"},
		"a memory that cannot be written":  {alice, "/proc", 1, "/proc"},
		"a memory that cannot be made":     {alice, "/proc/pinfold", 1, "/proc/pinfold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pin := newSoftPin(t, tt.person)
			b := startBridge(t, pin, w.at.Gateway, tt.person, tt.memory)
			if code := b.exit(t); code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			if text := b.said.text.String(); !strings.Contains(text, "pinfold: ") || !strings.Contains(text, tt.want) {
				t.Errorf("said %q, want %q", text, tt.want)
			}
			pin.check(t, tt.asked, 1)
		})
	}
}

// TestBridgePairError: an error of the gateway that may pass does not end the bridge.
func TestBridgePairError(t *testing.T) {
	t.Parallel()
	alice := newPerson(1)
	pin := newSoftPin(t, alice)
	times := 0
	address := startOddGateway(t, &oddGateway{pair: func() (err error) {
		pin.change(func() {
			if times++; times == 1 {
				err = status.Error(codes.Internal, "a panic")
			}
		})
		return err
	}})
	startBridge(t, pin, address, alice, t.TempDir())
	pin.await(t, "the pin is paired", func() bool { return times == 2 && len(pin.fetches) > 0 })
}

func TestBridgeUsage(t *testing.T) {
	wearer := newPerson(1).wearer.String()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no pin":       {[]string{"--wearer", wearer}, "--pin"},
		"no socket":    {[]string{"--wearer", wearer, "--pin", "tcp:1"}, "--pin=tcp:1: want unix:PATH"},
		"no path":      {[]string{"--wearer", wearer, "--pin", "unix:"}, "--pin=unix:: want unix:PATH"},
		"long path":    {[]string{"--wearer", wearer, "--pin", "unix:" + strings.Repeat("p", 108)}, "the path has 108 bytes: want at most 107"},
		"no wearer":    {[]string{"--pin", "unix:a"}, "--wearer"},
		"no wearer id": {[]string{"--pin", "unix:a", "--wearer", "alice"}, "--wearer: "},
		"no zone":      {[]string{"--pin", "unix:a", "--wearer", wearer, "--zone", "Tokyo"}, "--zone: "},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := pinfold(t, append([]string{"bridge"}, tt.args...)...)
			if code != exitUsage || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d and %q, want code %d and %q", code, stderr, exitUsage, tt.want)
			}
		})
	}
}

// TestBridgeEnds: ctrl-C ends the bridge wherever it is, at once, and leaves nothing running.
func TestBridgeEnds(t *testing.T) {
	had := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, had) }) // after the gateway was stopped
	gateway := startOddGateway(t, &oddGateway{deliver: func(*gatewayv1.DeliverRequest) (*gatewayv1.DeliverResponse, error) {
		return nil, status.Error(codes.Unavailable, "not yet")
	}})
	alice, bob := newPerson(1), newPerson(2)
	half, _ := tapPins(t, alice, bob)
	silent := func(*softPin, *pinv1.ToPin) bool { return true }
	fetched := func(p *softPin) bool { return len(p.fetches) > 0 }
	for name, tt := range map[string]struct {
		pin     *softPin
		gateway string
		memory  string
		ready   func(*softPin) bool // nil = once it tries again and again
	}{
		"no pin":           {&softPin{path: "nowhere"}, gateway, t.TempDir(), nil},
		"a silent pin":     {newSoftPin(t, alice, bent(silent)), gateway, t.TempDir(), func(p *softPin) bool { return len(p.times) == 1 }},
		"the button":       {newSoftPin(t, alice, neverPressed), gateway, t.TempDir(), func(p *softPin) bool { return p.asked == 1 }},
		"no gateway":       {newSoftPin(t, alice), noGateway, t.TempDir(), nil},
		"records to carry": {newSoftPin(t, alice, holding(half)), gateway, remembered(t, alice), nil},
		"at rest":          {newSoftPin(t, alice), gateway, remembered(t, alice), fetched},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBridge(t, tt.pin, tt.gateway, alice, tt.memory)
			if tt.ready == nil {
				b.said.awaitLines(t, 2, "trying again")
			} else {
				tt.pin.await(t, "the bridge is there", func() bool { return tt.ready(tt.pin) })
			}
			began := time.Now()
			b.stop(t)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v to end", took)
			}
		})
	}
}
