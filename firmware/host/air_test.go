package host

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"pinfold/client/link"
)

// patience bounds every wait.
const patience = 10 * time.Second

// radio is a pin's end of the peer link.
type radio struct {
	conn    net.Conn
	station *Station
	heard   chan string
}

// newRadio joins a pin that takes all that it is sent.
func newRadio(t *testing.T, air *Air) *radio {
	t.Helper()
	ours, its := net.Pipe()
	r := &radio{conn: ours, station: air.Join(its), heard: make(chan string, 1000)}
	t.Cleanup(func() { _ = ours.Close() })
	go func() {
		defer close(r.heard)
		for in := link.NewReader(ours, link.MaxDatagram); ; {
			datagram, err := in.Next()
			if err != nil {
				return
			}
			r.heard <- string(datagram)
		}
	}()
	return r
}

func (r *radio) say(t *testing.T, datagrams ...string) {
	t.Helper()
	for _, d := range datagrams {
		if _, err := r.conn.Write(link.AppendFrame(nil, []byte(d))); err != nil {
			t.Fatal(err)
		}
	}
}

// next returns the next n datagrams that the pin hears.
func (r *radio) next(t *testing.T, n int) (list []string) {
	t.Helper()
	deadline := time.After(patience)
	for range n {
		select {
		case d := <-r.heard:
			list = append(list, d)
		case <-deadline:
			t.Fatalf("heard %q, want %d datagrams", list, n)
		}
	}
	return list
}

// rest returns what the pin hears until the air is closed.
func (r *radio) rest() (list []string) {
	for d := range r.heard {
		list = append(list, d)
	}
	return list
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("datagram ", i))
	}
	return list
}

func TestAirIsHeardByThoseNear(t *testing.T) {
	air := NewAir(AirConfig{})
	a, b, c, witness := newRadio(t, air), newRadio(t, air), newRadio(t, air), newRadio(t, air)
	air.Near(a.station, witness.station, true)
	// say returns when the air has carried it.
	say := func(d string) {
		t.Helper()
		a.say(t, d)
		if got := witness.next(t, 1); got[0] != d {
			t.Fatalf("the witness heard %q, want %q", got, d)
		}
	}
	say("to the witness")
	air.Near(a.station, b.station, true)
	air.Near(a.station, c.station, true)
	say("to all")
	air.Near(a.station, c.station, false)
	say("to b")
	b.say(t, "to a")
	for _, tt := range []struct {
		name string
		pin  *radio
		want []string
	}{
		{"a", a, []string{"to a"}},
		{"b", b, []string{"to all", "to b"}},
		{"c", c, []string{"to all"}},
	} {
		if got := tt.pin.next(t, len(tt.want)); !slices.Equal(got, tt.want) {
			t.Errorf("%s heard %q, want %q", tt.name, got, tt.want)
		}
	}
	air.Close()
	if got := slices.Concat(a.rest(), b.rest(), c.rest(), witness.rest()); len(got) > 0 {
		t.Errorf("also heard %q", got)
	}
}

// TestAirKeepsTheOrder: a half never overtakes the hello before it in air without delay.
func TestAirKeepsTheOrder(t *testing.T) {
	air := NewAir(AirConfig{})
	defer air.Close()
	a, b := newRadio(t, air), newRadio(t, air)
	air.Near(a.station, b.station, true)
	want := numbered(500)
	a.say(t, want...)
	if got := b.next(t, len(want)); !slices.Equal(got, want) {
		t.Error("the datagrams came in another order")
	}
}

// TestAirDelay: what is delayed comes, in any order.
func TestAirDelay(t *testing.T) {
	air := NewAir(AirConfig{Duplicate: 1, MaxDelay: 5 * time.Millisecond})
	defer air.Close()
	a, b := newRadio(t, air), newRadio(t, air)
	air.Near(a.station, b.station, true)
	want := numbered(100)
	a.say(t, want...)
	got := b.next(t, 2*len(want))
	slices.Sort(got)
	want = slices.Concat(want, want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want each twice", got)
	}
}

// TestAirChance: what is lost and what comes twice follows from the seed.
func TestAirChance(t *testing.T) {
	const n = 400
	run := func(c AirConfig) (lost, twice int, delays []time.Duration) {
		air := NewAir(c)
		defer air.Close()
		a, b := newRadio(t, air), newRadio(t, air)
		air.Near(a.station, b.station, true)
		for range n {
			all := air.draw(a.station)
			for _, at := range all {
				delays = append(delays, at.delay)
				air.pending.Done() // it does not arrive
			}
			switch len(all) {
			case 0:
				lost++
			case 2:
				twice++
			}
		}
		return lost, twice, delays
	}
	for _, tt := range []struct {
		name        string
		config      AirConfig
		lost, twice [2]int // at least, at most
	}{
		{"perfect", AirConfig{}, [2]int{0, 0}, [2]int{0, 0}},
		{"all is lost", AirConfig{Loss: 1}, [2]int{n, n}, [2]int{0, 0}},
		{"all comes twice", AirConfig{Duplicate: 1}, [2]int{0, 0}, [2]int{n, n}},
		{"some of both", AirConfig{Loss: 0.2, Duplicate: 0.1, MaxDelay: time.Millisecond, Seed: 1}, [2]int{50, 110}, [2]int{15, 55}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lost, twice, delays := run(tt.config)
			if lost < tt.lost[0] || lost > tt.lost[1] || twice < tt.twice[0] || twice > tt.twice[1] {
				t.Errorf("%d lost and %d twice, want %v and %v", lost, twice, tt.lost, tt.twice)
			}
			for _, d := range delays {
				if d < 0 || d > tt.config.MaxDelay {
					t.Fatalf("a delay of %v, want at most %v", d, tt.config.MaxDelay)
				}
			}
			if _, _, again := run(tt.config); !slices.Equal(again, delays) {
				t.Error("the same seed gave another run")
			}
		})
	}
}

// sensed is a pin as its sensors' link shows it: a stand-in that tells what was done to it and says what it is told to.
type sensed struct {
	folder   Folder
	near     chan bool
	look     func() Seen
	listener net.Listener
}

func newSensed(t *testing.T, look func() Seen) *sensed {
	t.Helper()
	s := &sensed{folder: Folder(t.TempDir()), near: make(chan bool, 10), look: look}
	var err error
	if s.listener, err = net.Listen("unix", string(s.folder)+"/"+sensorSocket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.listener.Close() })
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
		}
	}()
	return s
}

func (s *sensed) serve(conn net.Conn) {
	defer conn.Close()
	for in := link.NewReader(conn, link.MaxDatagram); ; {
		c, err := in.Next()
		if err != nil {
			return
		}
		switch c[0] {
		case 'N':
			s.near <- c[1] == 1
		case 'L':
			seen := s.look()
			answer := []byte{'L', byte(seen.Tap), 0}
			if seen.Apart {
				answer[2] = 1
			}
			_, _ = conn.Write(link.AppendFrame(nil, binary.BigEndian.AppendUint32(answer, seen.Taps)))
		}
	}
}

// guest joins it with an air.
func (s *sensed) guest(air *Air) Guest {
	ours, its := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, ours) }() // ends with the air
	return Guest{Pin: s.folder, Station: air.Join(its)}
}
