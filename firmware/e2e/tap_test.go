//go:build firmware

package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"pinfold/client"
	"pinfold/client/link"
	"pinfold/firmware/host"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// TestTap: two pins tap, both phones are online. The friendship appears, and both faces change.
func TestTap(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		g := startGames(t)
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		a.bridge(t, g)
		b.bridge(t, g)
		var before *[]byte
		eventually(t, "both pins show that there is no friend", func() (bool, string) {
			pa, pb := a.screenshot(t).Pix, b.screenshot(t).Pix
			before = &pa
			return bytes.Equal(pa, pb), "the pictures differ"
		})
		tap(t, newAir(t, host.AirConfig{}, a, b), a, b)
		g.awaitFriend(t, a.wearer)
		g.awaitFriend(t, b.wearer)
		a.do(t, host.Skip(10*time.Second)) // past "friends!"
		b.do(t, host.Skip(10*time.Second))
		eventually(t, "both pins show the friend", func() (bool, string) {
			pa, pb := a.screenshot(t).Pix, b.screenshot(t).Pix
			return bytes.Equal(pa, pb) && !bytes.Equal(pa, *before), "the pictures differ, or are as before"
		})
	})
}

// TestOnePhone: one of the two phones is never online after it paired its pin. The other delivers both halves.
func TestOnePhone(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		g := startGames(t)
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		b.bridge(t, g)()
		a.bridge(t, g)
		tap(t, newAir(t, host.AirConfig{}, a, b), a, b)
		g.awaitFriend(t, a.wearer)
		g.awaitFriend(t, b.wearer)
		phone := b.phone(t)
		eventually(t, "the pin whose phone is away holds its two halves", func() (bool, string) {
			info, err := phone.Hello(t.Context())
			return err == nil && info.GetRecords() == 2, fmt.Sprint(info.GetRecords(), " records, ", err)
		})
	})
}

// TestLossyAir: with 20% of the datagrams lost, some twice and out of order, every tap becomes a friendship.
func TestLossyAir(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		people, want := 15, 100
		if board == host.QEMU {
			people, want = 5, 10 // each pin is a whole machine
		}
		g := startGames(t)
		var all []*person
		for i := range people {
			p := newPerson(t, board, i)
			p.bridge(t, g)
			all = append(all, p)
		}
		air := newAir(t, host.AirConfig{Loss: 0.2, Duplicate: 0.1, MaxDelay: 30 * time.Millisecond, Seed: 7}, all...)
		left := want
		for _, round := range rounds(people) {
			var pairs [][2]*person
			for _, pair := range round[:min(len(round), left)] {
				pairs = append(pairs, [2]*person{all[pair[0]], all[pair[1]]})
			}
			left -= len(pairs)
			taps(t, air, pairs...)
		}
		eventually(t, "every tap is a friendship", func() (bool, string) {
			n := g.friendships(t)
			t.Logf("%d of %d taps are friendships", n, want)
			return n == uint64(want), ""
		})
	})
}

// rounds returns every couple of an odd number of people, in rounds in which nobody is twice.
func rounds(people int) [][][2]int {
	var all [][][2]int
	for r := range people {
		var round [][2]int
		for i := 1; i <= people/2; i++ {
			round = append(round, [2]int{(r + i) % people, (r - i + people) % people})
		}
		all = append(all, round)
	}
	return all
}

// TestImpostor: a third pin that claims another's id, with its own key, gets no half; one that also shows the other's
// key gets one, but cannot sign the other's, and no friendship comes of it.
func TestImpostor(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		g := startGames(t)
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		a.bridge(t, g)()
		b.bridge(t, g)()
		phone := b.phone(t)
		info, err := a.phone(t).Hello(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		victim, key := fact.PinID(info.GetPin()), fact.PublicKey(info.GetPublicKey())
		impostor := client.RestorePin(sha256.Sum256([]byte("impostor")), 0)
		air := newAir(t, host.AirConfig{}, a, b)

		nonce := fact.Nonce{1}
		ear := listen(air, b)
		b.do(t, host.Near(true))
		first, _ := parseHello(ear.next(t, "hello", ofKind(helloKind), nil))
		send(t, b, helloDatagram(client.Hello{Pin: victim, Nonce: nonce, Key: impostor.Key()}))
		// The pin takes datagrams in their order: when it has answered the second hello, it has judged the first.
		claimed := helloDatagram(client.Hello{Pin: victim, Nonce: nonce, Key: key})
		send(t, b, claimed)
		half, ok := parseHalf(ear.next(t, "half", ofKind(halfKind), nil))
		if !ok || half.PeerNonce != nonce || half.Nonce != first.Nonce {
			t.Fatalf("the half is %+v, want one for nonces %x and %x", half, first.Nonce, nonce)
		}
		forged := statement.AppendHalf(nil, fact.Half{
			Pin: victim, Peer: first.Pin, Nonce: nonce, PeerNonce: half.Nonce, Counter: 1, Link: fact.LinkWire,
		})
		send(t, b, halfDatagram(impostor.SignRaw(forged)))
		send(t, b, claimed)
		for range 3 { // of which the last at least was sent after the forged half was judged
			ear.next(t, "half", ofKind(halfKind), nil)
		}
		if info, err := phone.Hello(t.Context()); err != nil || info.GetRecords() != 1 || info.GetCounter() != 1 {
			t.Errorf("the pin holds %d records up to counter %d, %v: want its own half alone", info.GetRecords(), info.GetCounter(), err)
		}
		b.leave(t)
		_ = phone.Close()

		tap(t, air, a, b)
		b.bridge(t, g)
		g.awaitFriend(t, a.wearer)
		g.awaitFriend(t, b.wearer)
		if n := g.friendships(t); n != 1 {
			t.Errorf("%d friendships, want that of the true tap", n)
		}
	})
}

func send(t *testing.T, to *person, datagram []byte) {
	t.Helper()
	if err := to.station.Send(link.AppendFrame(nil, datagram)); err != nil {
		t.Fatal(err)
	}
}
