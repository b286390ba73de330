package host

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"pinfold/client/link"
)

// AirConfig says what the air does to each datagram. The zero value is perfect air.
type AirConfig struct {
	Loss      float64       // chance that it is lost, 0 to 1
	Duplicate float64       // chance that it comes twice
	MaxDelay  time.Duration // it comes after 0 to this, so the order can change
	Seed      uint64        // of chance, for each sender in its own order
}

// Air carries datagrams between the peer links of pins that are near each other.
type Air struct {
	config AirConfig

	mu       sync.Mutex
	stations []*Station
	near     map[[2]*Station]bool
	closed   bool
	pending  sync.WaitGroup
}

// Station is one pin's peer link.
type Station struct {
	air  *Air
	conn net.Conn
	rng  *rand.Rand // of what it sends

	writing sync.Mutex
	mu      sync.Mutex
	heard   []func(datagram []byte)
}

// airPatience is how long the air waits for a pin that does not listen before it drops a datagram.
const airPatience = time.Second

// NewAir returns air without pins.
func NewAir(c AirConfig) *Air {
	return &Air{config: c, near: map[[2]*Station]bool{}}
}

// Join takes over the connection to a pin's peer link. The pin is near nobody yet.
func (a *Air) Join(conn net.Conn) *Station {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &Station{air: a, conn: conn, rng: rand.New(rand.NewPCG(a.config.Seed, uint64(len(a.stations))))}
	a.stations = append(a.stations, s)
	a.pending.Add(1)
	go s.read()
	return s
}

// Near lets two pins hear each other from now on, or no more. Whether their antennas feel it is told to each by the
// command of that name.
func (a *Air) Near(s, t *Station, near bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.near[[2]*Station{s, t}], a.near[[2]*Station{t, s}] = near, near
}

// Close ends all links, once each pin has taken what was sent to it, and waits until nothing is on its way.
func (a *Air) Close() {
	a.mu.Lock()
	a.closed = true
	for _, s := range a.stations {
		s.hangUp()
	}
	a.mu.Unlock()
	a.pending.Wait()
}

// hangUp lets the pin read up to the end, and then close its own. A connection closed at both ends at once loses what
// QEMU has not read yet.
func (s *Station) hangUp() {
	_ = s.conn.SetReadDeadline(time.Now().Add(airPatience)) // a closed connection has ended
	if c, ok := s.conn.(interface{ CloseWrite() error }); !ok || c.CloseWrite() != nil {
		_ = s.conn.Close() // it may have ended already
	}
}

// Heard lets f see each datagram that the station is sent through the air, after it was.
func (s *Station) Heard(f func(datagram []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, f)
}

// Send gives the pin bytes that are no datagram of another, to be as hostile as one likes.
func (s *Station) Send(raw []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(airPatience)) // a closed connection says so when it is written to
	_, err := s.conn.Write(raw)
	return err
}

func (s *Station) read() {
	defer s.air.pending.Done()
	defer s.conn.Close()
	in := link.NewReader(s.conn, link.MaxDatagram)
	for {
		datagram, err := in.Next()
		if err != nil {
			return
		}
		s.air.carry(s, append([]byte(nil), datagram...))
	}
}

// carry sends a datagram of a station to those near it. In air without delay, what a station sends arrives in its order.
func (a *Air) carry(from *Station, datagram []byte) {
	for _, at := range a.draw(from) {
		if a.config.MaxDelay == 0 {
			at.to.hear(datagram)
			a.pending.Done()
			continue
		}
		time.AfterFunc(at.delay, func() {
			defer a.pending.Done()
			at.to.hear(datagram)
		})
	}
}

// arrival is one of a datagram. It is counted as pending.
type arrival struct {
	to    *Station
	delay time.Duration
}

// draw draws what becomes of a datagram.
func (a *Air) draw(from *Station) (all []arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, to := range a.stations {
		if a.closed || !a.near[[2]*Station{from, to}] {
			continue
		}
		if from.rng.Float64() < a.config.Loss {
			continue
		}
		times := 1
		if from.rng.Float64() < a.config.Duplicate {
			times = 2
		}
		for range times {
			a.pending.Add(1)
			all = append(all, arrival{to, time.Duration(from.rng.Float64() * float64(a.config.MaxDelay))})
		}
	}
	return all
}

func (s *Station) hear(datagram []byte) {
	if s.Send(link.AppendFrame(nil, datagram)) != nil {
		return // it does not listen: the datagram is lost, as in any air
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.heard {
		f(datagram)
	}
}
