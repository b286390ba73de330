//go:build firmware

package e2e

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pinfold/internal/pinlink"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

var (
	hostileFor  = flag.Duration("hostile", 5*time.Second, "how long hostile bytes come on both links")
	hostileSeed = flag.Uint64("seed", 1, "of the hostile bytes")
)

// listen puts a station that only hears near the person's pin. The function that it returns waits for the next datagram
// of a kind from when it is called, which pins repeat.
func listen(t *testing.T, air *pinlink.Air, to *person) func(kind byte) []byte {
	t.Helper()
	ours, its := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, ours) }() // ends with the air
	station := air.Join(its)
	heard := make(chan []byte, 1000)
	station.Heard(func(datagram []byte) {
		select {
		case heard <- datagram:
		default: // nobody waits for these
		}
	})
	air.Near(to.station, station, true)
	return func(kind byte) []byte {
		t.Helper()
		for len(heard) > 0 {
			<-heard
		}
		deadline := time.After(patience)
		for {
			select {
			case d := <-heard:
				if d[0] == kind {
					return d
				}
			case <-deadline:
				t.Fatalf("the pin sent no datagram %#x", kind)
			}
		}
	}
}

// TestHostileBytes: random bytes, and frames with anything in them, on both links. Afterwards the pin answers and taps.
// None of what comes presses the button, so the pin is the same.
func TestHostileBytes(t *testing.T) {
	eachBoard(t, func(t *testing.T, board pinlink.Board) {
		g := startGames(t)
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		a.bridge(t, g)()
		b.bridge(t, g)
		air := newAir(t, pinlink.AirConfig{}, a, b)
		a.do(t, pinlink.Near(true))

		t.Logf("-seed %d, -hostile %v", *hostileSeed, *hostileFor)
		rng := rand.New(rand.NewPCG(*hostileSeed, 0))
		conn, err := net.Dial("unix", a.PhoneSocket())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
		sent := 0
		for end := time.Now().Add(*hostileFor); time.Now().Before(end); {
			toPhone, toPeer := hostile(rng, true), hostile(rng, false)
			_ = conn.SetWriteDeadline(time.Now().Add(patience)) // a closed connection says so when it is written to
			if _, err := conn.Write(toPhone); err != nil {
				t.Fatalf("the phone link is stuck: %v", err)
			}
			for len(toPeer) > 0 {
				n := min(len(toPeer), 512)
				// A machine that is emulated may be slow to take them, and a datagram half sent is hostile too.
				eventually(t, "the peer link takes bytes", func() (bool, string) {
					err := a.station.Send(toPeer[:n])
					return err == nil, fmt.Sprint(err)
				})
				sent += n
				toPeer = toPeer[n:]
			}
			sent += len(toPhone)
		}
		_ = conn.Close()
		t.Logf("%d hostile bytes", sent)
		a.do(t, pinlink.Near(false))
		pass(1500 * time.Millisecond)

		phone := a.phone(t)
		eventually(t, "the pin answers", func() (bool, string) {
			_, err := phone.Hello(t.Context())
			return err == nil, "no answer"
		})
		_ = phone.Close()
		a.bridge(t, g)
		tap(t, air, a, b)
		g.awaitFriend(t, a.wearer)
		g.awaitFriend(t, b.wearer)
	})
}

// hostile makes bytes: plain noise, flags and escapes, and good frames of noise, of bent messages and of bent datagrams.
func hostile(rng *rand.Rand, phone bool) []byte {
	noise := make([]byte, rng.IntN(600))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	switch rng.IntN(5) {
	case 0:
		return noise
	case 1:
		for i := range noise {
			noise[i] = []byte{0x7E, 0x7D, 0x5E, 0x00}[rng.IntN(4)]
		}
		return noise
	case 2:
		return pinlink.AppendFrame(nil, noise)
	}
	var payload []byte
	if phone {
		payload = message(rng)
	} else {
		size := []int{57, 137, 1 + rng.IntN(244)}[rng.IntN(3)] // hello, half, anything
		payload = make([]byte, size)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		payload[0] = byte(1 + rng.IntN(2))
	}
	if rng.IntN(2) == 0 {
		payload[rng.IntN(len(payload))] ^= 1 << rng.IntN(8)
	}
	return pinlink.AppendFrame(nil, payload)
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
