package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"pinfold/client/link"
)

// Seen is what a person sees of a pin that taps, firmware/hal/inject.h.
type Seen struct {
	Tap   TapState
	Apart bool   // whoever comes near now begins a new approach
	Taps  uint32 // that ended in "friends!" since the pin was started or wiped: it holds both halves of each, durably
}

// TapState is what a pin's face says of a tap, firmware/core/tap.h.
type TapState uint8

// String returns what the face says.
func (s TapState) String() string {
	names := [...]string{"nothing", "searching", "waiting for your friend's pin", "friends!", "failed", "full"}
	if int(s) >= len(names) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return names[s]
}

// lookSize is that of the answer to a look, in bytes.
const lookSize = 7

// Look returns what is seen of the pin, once it has read every command that was sent to its sensors before.
func (f Folder) Look(ctx context.Context) (Seen, error) {
	conn, err := f.dial(ctx, sensorSocket)
	if err != nil {
		return Seen{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(link.AppendFrame(nil, Command{'L'})); err != nil {
		return Seen{}, fmt.Errorf("sensors: %w", errors.Join(err, ctx.Err()))
	}
	b, err := link.NewReader(conn, link.MaxDatagram).Next()
	if err != nil {
		return Seen{}, fmt.Errorf("sensors: %w", errors.Join(err, ctx.Err()))
	}
	return parseSeen(b)
}

func parseSeen(b []byte) (Seen, error) {
	if len(b) != lookSize || b[0] != 'L' || b[2] > 1 {
		return Seen{}, fmt.Errorf("sensors: the answer to a look is %x: want 'L', a state, 0 or 1, and 4 bytes", b)
	}
	return Seen{Tap: TapState(b[1]), Apart: b[2] == 1, Taps: binary.BigEndian.Uint32(b[3:])}, nil
}

// lookPause is that between two looks.
const lookPause = 20 * time.Millisecond

// Await looks at the pin until what it sees is so. Its error says what was seen last.
func (f Folder) Await(ctx context.Context, so func(Seen) bool) (Seen, error) {
	for {
		seen, err := f.Look(ctx)
		if err != nil || so(seen) {
			return seen, err
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return seen, fmt.Errorf("the pin in %s says %v after %d taps: %w", f, seen.Tap, seen.Taps, ctx.Err())
		}
	}
}

// Guest is a pin in an air.
type Guest struct {
	Pin     Folder
	Station *Station
}

// Tap brings two pins near each other until both say "friends!", so that each holds both halves, and apart again, also
// where they did not. When it returns, whoever comes near one of them begins a new approach. The context bounds the tap
// itself.
func (a *Air) Tap(ctx context.Context, first, second Guest) error {
	guests := [...]Guest{first, second}
	var before [len(guests)]Seen
	for i, g := range guests {
		var err error
		if before[i], err = g.Pin.Await(ctx, func(s Seen) bool { return s.Apart }); err != nil {
			return err
		}
	}
	err := a.bring(ctx, guests[:], true)
	for i, g := range guests {
		if err == nil {
			_, err = g.Pin.Await(ctx, func(s Seen) bool { return s.Taps != before[i].Taps })
		}
	}
	return errors.Join(err, a.part(context.WithoutCancel(ctx), guests[:]))
}

// bring tells the air and the pins whether these are near each other.
func (a *Air) bring(ctx context.Context, guests []Guest, yes bool) error {
	a.Near(guests[0].Station, guests[1].Station, yes)
	var errs []error
	for _, g := range guests {
		errs = append(errs, g.Pin.Do(ctx, Near(yes)))
	}
	return errors.Join(errs...)
}

// partTimeout is longer than a pin takes another for near that has gone (TAP_AWAY_MS in firmware/core/tap.h).
const partTimeout = 10 * time.Second

func (a *Air) part(ctx context.Context, guests []Guest) error {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	errs := []error{a.bring(ctx, guests, false)}
	for _, g := range guests {
		_, err := g.Pin.Await(ctx, func(s Seen) bool { return s.Apart })
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
