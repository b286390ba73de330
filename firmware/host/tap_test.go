package host

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tapper is a pin that says "friends!" so many looks after the other came near.
type tapper struct {
	*sensed
	looks   atomic.Int32 // with the other near
	friends int32        // looks until then; 0 = never
	isNear  atomic.Bool
	away    atomic.Int32 // looks since the other has gone
}

func newTapper(t *testing.T, friends int32) *tapper {
	t.Helper()
	p := &tapper{friends: friends}
	p.away.Store(100)
	p.sensed = newSensed(t, p.seen)
	return p
}

func (p *tapper) seen() Seen {
	for len(p.near) > 0 {
		p.isNear.Store(<-p.near)
		p.away.Store(0)
	}
	if !p.isNear.Load() {
		return Seen{Apart: p.away.Add(1) > 3, Taps: p.taps()}
	}
	p.looks.Add(1)
	return Seen{Tap: 2, Taps: p.taps()}
}

func (p *tapper) taps() uint32 {
	if p.friends > 0 && p.looks.Load() >= p.friends {
		return 8
	}
	return 7
}

func TestTapEndsWhenBothSayFriends(t *testing.T) {
	air := NewAir(AirConfig{})
	defer air.Close()
	quick, slow := newTapper(t, 1), newTapper(t, 5)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := air.Tap(ctx, quick.guest(air), slow.guest(air)); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*tapper{"quick": quick, "slow": slow} {
		seen, err := p.folder.Look(ctx)
		if want := (Seen{Apart: true, Taps: 8}); err != nil || seen != want {
			t.Errorf("the %s pin: got %+v, %v, want %+v", name, seen, err, want)
		}
	}
}

// TestTapFails: the error says which pin was not done and what it said, and the pins were taken apart all the same.
func TestTapFails(t *testing.T) {
	air := NewAir(AirConfig{})
	defer air.Close()
	done, waits := newTapper(t, 1), newTapper(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := air.Tap(ctx, done.guest(air), waits.guest(air))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), string(waits.folder)+" says waiting for your friend's pin after 7 taps") {
		t.Errorf("got %v", err)
	}
	for _, p := range []*tapper{done, waits} {
		if seen, err := p.folder.Look(t.Context()); err != nil || !seen.Apart {
			t.Errorf("after it failed: got %+v, %v, want the pins apart", seen, err)
		}
	}
}

func TestTapWithoutPin(t *testing.T) {
	air := NewAir(AirConfig{})
	defer air.Close()
	there := newTapper(t, 1)
	nobody := Guest{Pin: Folder(t.TempDir()), Station: there.guest(air).Station}
	err := air.Tap(t.Context(), there.guest(air), nobody)
	if err == nil || !strings.Contains(err.Error(), "pinfold pin run") {
		t.Errorf("got %v, want what starts a pin", err)
	}
	if there.looks.Load() > 0 {
		t.Error("the other pin was told that somebody is near")
	}
}

func TestLookAtNonsense(t *testing.T) {
	for name, answer := range map[string][]byte{
		"another command": {'M', 0, 0, 0, 0, 0, 0},
		"short":           {'L', 0, 0, 0, 0, 0},
		"long":            {'L', 0, 0, 0, 0, 0, 0, 0},
		"no yes or no":    {'L', 0, 2, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseSeen(answer); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
	want := Seen{Tap: 3, Apart: true, Taps: 0x01020304}
	if got, err := parseSeen([]byte{'L', 3, 1, 1, 2, 3, 4}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestTapState(t *testing.T) {
	for state, want := range map[TapState]string{0: "nothing", 3: "friends!", 5: "full", 6: "state 6", 255: "state 255"} {
		if got := state.String(); got != want {
			t.Errorf("state %d: got %q, want %q", uint8(state), got, want)
		}
	}
}
