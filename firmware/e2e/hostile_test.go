//go:build firmware

package e2e

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pinfold/client"
	"pinfold/client/link"
	"pinfold/firmware/host"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

var (
	hostileFor  = flag.Duration("hostile", 5*time.Second, "how long hostile bytes come on both links")
	hostileSeed = flag.Uint64("seed", 0, "seed of the hostile bytes; 0 = a random one, printed")
)

// ear hears what one pin sends.
type ear struct {
	heard chan []byte

	mu    sync.Mutex
	hello client.Hello // the last one
}

// listen puts a station that only hears near the person's pin.
func listen(air *host.Air, to *person) *ear {
	ours, its := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, ours) }() // ends with the air
	station := air.Join(its)
	e := &ear{heard: make(chan []byte, 1000)}
	station.Heard(e.hear)
	air.Near(to.station, station, true)
	return e
}

func (e *ear) hear(datagram []byte) {
	if hello, ok := parseHello(datagram); ok {
		e.mu.Lock()
		e.hello = hello
		e.mu.Unlock()
	}
	select {
	case e.heard <- datagram:
	default: // nobody waits for these
	}
}

// lastHello returns the last hello that was heard.
func (e *ear) lastHello() client.Hello {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hello
}

// next waits for a datagram from now on, which pins repeat. It calls again, if it is not nil, as long as none comes.
func (e *ear) next(t *testing.T, what string, is func([]byte) bool, again func()) []byte {
	t.Helper()
	for len(e.heard) > 0 {
		<-e.heard
	}
	tick, deadline := time.NewTicker(100*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		select {
		case d := <-e.heard:
			if is(d) {
				return d
			}
		case <-tick.C:
			if again != nil {
				again()
			}
		case <-deadline:
			t.Fatalf("the pin sent no %s", what)
		}
	}
}

// Kinds of datagrams (docs/design.md section 5).
const (
	helloKind = 0x01
	halfKind  = 0x02
)

func ofKind(kind byte) func([]byte) bool {
	return func(d []byte) bool { return d[0] == kind }
}

func helloDatagram(h client.Hello) []byte {
	return slices.Concat([]byte{helloKind}, h.Pin[:], h.Nonce[:], h.Key[:])
}

func parseHello(d []byte) (h client.Hello, ok bool) {
	if len(d) != 1+len(h.Pin)+len(h.Nonce)+len(h.Key) || d[0] != helloKind {
		return h, false
	}
	copy(h.Pin[:], d[1:9])
	copy(h.Nonce[:], d[9:25])
	copy(h.Key[:], d[25:])
	return h, true
}

func halfDatagram(s client.Signed) []byte {
	return slices.Concat([]byte{halfKind}, s.Statement, s.Signature[:])
}

func parseHalf(d []byte) (fact.Half, bool) {
	if len(d) < 1+statement.HalfSize || d[0] != halfKind {
		return fact.Half{}, false
	}
	h, err := statement.ParseHalf(d[1 : 1+statement.HalfSize])
	return h, err == nil
}

// TestHostileBytes: random bytes, and frames with anything in them, on both links; also the taps of pins that nobody
// made. After each burst the pin answers its phone and taps, and at the end that tap is a friendship. None of what comes
// presses the button, so the pin is the same.
func TestHostileBytes(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		g := startGames(t)
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		a.bridge(t, g)()
		b.bridge(t, g)()
		air := newAir(t, host.AirConfig{}, a, b)
		seed := *hostileSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Logf("-seed %d, -hostile %v", seed, *hostileFor)
		at := &attacker{rng: rand.New(rand.NewPCG(seed, 0)), ear: listen(air, a)}
		for i := range 4 {
			at.pins = append(at.pins, client.RestorePin(sha256.Sum256([]byte{byte(i)}), 0))
		}
		rounds, sent, end := 0, 0, time.Now().Add(*hostileFor)
		for time.Now().Before(end) {
			a.forget(t) // what the attack left, as if the gateway had refused it for good
			b.forget(t)
			a.do(t, host.Near(true))
			sent += at.burst(t, a, min(burst, time.Until(end)))
			a.leave(t)
			a.do(t, host.Skip(strangersRest))
			a.forget(t)
			tap(t, air, a, b)
			rounds++
		}
		t.Logf("%d hostile bytes in %d bursts, a tap after each", sent, rounds)
		if board == host.QEMU {
			checkStack(t, a.log.String())
		}
		a.bridge(t, g)
		g.awaitFriend(t, a.wearer)
		g.awaitFriend(t, b.wearer)
	})
}

const (
	stack     = 12 * 1024 // bytes that are reserved for it, firmware/hal/mps2/mps2.ld
	stackFree = 2 * 1024  // of which so many must never have been used
)

var stackUsed = regexp.MustCompile(`stack +(\d+) bytes`)

// checkStack looks for how much of its stack a pin says that it ever used: the board paints it at the start.
func checkStack(t *testing.T, log string) {
	t.Helper()
	most := 0
	for _, line := range stackUsed.FindAllStringSubmatch(log, -1) {
		used, _ := strconv.Atoi(line[1]) // they are digits
		most = max(most, used)
	}
	t.Logf("%d of %d bytes of the stack were used", most, stack)
	if most == 0 || most > stack-stackFree {
		t.Errorf("%d bytes of the stack were used: want some, and %d of %d never", most, stackFree, stack)
	}
}

const (
	// burst is how long the hostile bytes go on between two taps.
	burst = 5 * time.Second
	// strangersRest is how long a pin makes no half after it made too many (STOCK_MS in firmware/core/tap.c).
	strangersRest = 10 * time.Second
)

// forget lets the person's pin drop all that it holds, and tells it the time.
func (p *person) forget(t *testing.T) {
	t.Helper()
	phone := p.phone(t)
	defer phone.Close()
	eventually(t, "the pin answers", func() (bool, string) {
		_, err := phone.SetTime(t.Context(), time.Now())
		return err == nil, fmt.Sprint(err)
	})
	for {
		held, err := phone.Fetch(t.Context(), link.MaxFetch, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(held) == 0 {
			return
		}
		var records []uint32
		for _, s := range held {
			records = append(records, s.GetRecord())
		}
		if _, err := phone.Acknowledge(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
}

// attacker stands near a pin with a radio, and has its phone link.
type attacker struct {
	rng  *rand.Rand
	ear  *ear
	pins []*client.Pin // that it made
}

// burst attacks both links for a while, returns how many bytes were sent, and when the pin has taken them.
func (at *attacker) burst(t *testing.T, to *person, d time.Duration) (sent int) {
	t.Helper()
	conn, err := net.Dial("unix", to.PhoneSocket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	for end := time.Now().Add(d); time.Now().Before(end); {
		toPhone, toPeer := at.phoneBytes(), at.peerBytes()
		_ = conn.SetWriteDeadline(time.Now().Add(patience)) // a closed connection says so when it is written to
		if _, err := conn.Write(toPhone); err != nil {
			t.Fatalf("the phone link is stuck: %v", err)
		}
		at.send(t, to, toPeer)
		sent += len(toPhone) + len(toPeer)
	}
	// A pin takes datagrams in their order: when it answers this one, it has taken all before.
	to.do(t, host.Skip(strangersRest))
	last := at.pins[at.rng.IntN(len(at.pins))].Approach().Hello()
	at.ear.next(t, "half for the last hello", func(d []byte) bool {
		h, ok := parseHalf(d)
		return ok && h.PeerNonce == last.Nonce
	}, func() { at.send(t, to, link.AppendFrame(nil, helloDatagram(last))) })
	return sent
}

// send gives the pin's peer link bytes. Linux wakes a writer to a full unix socket only when a quarter is left in it, which
// an emulated machine may need more than a second for; some of the bytes then come twice.
func (at *attacker) send(t *testing.T, to *person, raw []byte) {
	t.Helper()
	eventually(t, "the peer link takes bytes", func() (bool, string) {
		err := to.station.Send(raw)
		return err == nil, fmt.Sprint(err)
	})
}

// noise makes up to 600 random bytes, or flags and escapes.
func (at *attacker) noise(of ...byte) []byte {
	noise := make([]byte, at.rng.IntN(600))
	for i := range noise {
		noise[i] = byte(at.rng.Uint32())
		if len(of) > 0 {
			noise[i] = of[at.rng.IntN(len(of))]
		}
	}
	return noise
}

// anyBytes makes bytes that are good on no link.
func (at *attacker) anyBytes() []byte {
	switch at.rng.IntN(3) {
	case 0:
		return at.noise()
	case 1:
		return at.noise(0x7E, 0x7D, 0x5E, 0x00)
	default:
		return link.AppendFrame(nil, at.noise())
	}
}

func (at *attacker) phoneBytes() []byte {
	if at.rng.IntN(5) < 3 {
		return at.anyBytes()
	}
	return link.AppendFrame(nil, at.bend(message(at.rng)))
}

func (at *attacker) peerBytes() []byte {
	pin, victim := at.pins[at.rng.IntN(len(at.pins))], at.ear.lastHello()
	side := pin.Approach()
	half, err := side.Sign(victim, fact.UnixMilli(at.rng.Int64()))
	switch at.rng.IntN(8) {
	case 0, 1, 2:
		return at.anyBytes()
	case 3: // a datagram of noise
		d := make([]byte, []int{57, 137, 1 + at.rng.IntN(link.MaxDatagram)}[at.rng.IntN(3)])
		for i := range d {
			d[i] = byte(at.rng.Uint32())
		}
		d[0] = byte(1 + at.rng.IntN(2))
		return link.AppendFrame(nil, d)
	case 4: // the hello of a pin that nobody made
		return link.AppendFrame(nil, at.bend(helloDatagram(side.Hello())))
	case 5: // a whole tap with it, in any order
		if err != nil { // no hello was heard yet
			return at.anyBytes()
		}
		frames := [][]byte{link.AppendFrame(nil, helloDatagram(side.Hello())), link.AppendFrame(nil, at.bend(halfDatagram(half)))}
		at.rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		return slices.Concat(frames...)
	case 6: // the pin's own hello, come back
		return link.AppendFrame(nil, at.bend(helloDatagram(victim)))
	default: // a half that the pin itself might have sent
		return link.AppendFrame(nil, at.bend(halfDatagram(pin.SignRaw(statement.AppendHalf(nil, fact.Half{
			Pin: victim.Pin, Peer: pin.ID(), Nonce: victim.Nonce, PeerNonce: side.Hello().Nonce, Counter: 1, Link: fact.LinkWire,
		})))))
	}
}

// bend changes a bit of every other payload.
func (at *attacker) bend(payload []byte) []byte {
	if at.rng.IntN(2) == 0 {
		payload[at.rng.IntN(len(payload))] ^= 1 << at.rng.IntN(8)
	}
	return payload
}

// message is a request with values that no phone sends. It sets no time that would stay wrong: the bridge sets it again.
func message(rng *rand.Rand) []byte {
	b := pinv1.ToPin_builder{Request: rng.Uint32()}
	text := string(make([]byte, rng.IntN(40)))
	switch rng.IntN(8) {
	case 0:
		b.Hello = &pinv1.Hello{}
	case 1:
		b.SetTime = pinv1.SetTime_builder{TimeMs: int64(rng.Uint64()), OffsetQuarters: int32(rng.Uint32())}.Build()
	case 2:
		b.Fetch = pinv1.Fetch_builder{Max: rng.Uint32(), After: rng.Uint32()}.Build()
	case 3:
		records := make([]uint32, rng.IntN(40))
		for i := range records {
			records[i] = rng.Uint32()
		}
		b.Acknowledge = pinv1.Acknowledge_builder{Records: records}.Build()
	case 4:
		b.Prove = pinv1.Prove_builder{Challenge: make([]byte, rng.IntN(40))}.Build()
	case 5:
		b.SetFace = pinv1.SetFace_builder{
			Friends: rng.Uint32(), Medal: pinv1.Medal(int32(rng.Uint32())), Background: text, Backgrounds: rng.Uint32(),
			NextBackground: "judo", Steps: rng.Uint32(), Day: rng.Uint32(), StepGoal: rng.Uint32(),
		}.Build()
	case 6:
		b.ChooseBackground = pinv1.ChooseBackground_builder{Background: text}.Build()
	case 7:
		b.Wipe = &pinv1.Wipe{}
	}
	raw, err := proto.Marshal(b.Build())
	if err != nil || len(raw) == 0 {
		return []byte{0}
	}
	return raw
}
