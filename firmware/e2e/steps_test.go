//go:build firmware

package e2e

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinfold/firmware/host"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
)

// walk is an even walk of two steps a second, felt at 25 Hz by a pin that hangs askew.
func walk(steps int) []host.Sample {
	const rate, perSecond = 25, 2
	var list []host.Sample
	for i := range steps * rate / perSecond {
		mg := 1000 + 250*math.Sin(2*math.Pi*float64(i)*perSecond/rate)
		list = append(list, host.Sample{Time: uint32(i * 1000 / rate), X: int16(mg * 0.48), Y: int16(mg * -0.6), Z: int16(mg * 0.64)})
	}
	return list
}

// TestSteps: what the accelerometer feels becomes steps of the day at the gateway. How well they are counted is for the
// unit tests of firmware/core/steps.c.
func TestSteps(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		const steps = 240
		g := startGames(t)
		p := newPerson(t, board, 0)
		p.bridge(t, g)()
		phone := p.phone(t)
		zone := time.FixedZone("JST", 9*60*60)
		now := time.Now().In(zone)
		yesterday := time.Date(now.Year(), now.Month(), now.Day()-1, 12, 1, 0, 0, zone)
		if _, err := phone.SetTime(t.Context(), yesterday); err != nil {
			t.Fatal(err)
		}
		p.do(t, host.Accelerometer(walk(steps))...)
		var counted uint32
		eventually(t, "the pin has counted the walk", func() (bool, string) {
			info, err := phone.Hello(t.Context())
			counted = info.GetSteps()
			return err == nil && counted >= steps*96/100, "too few steps"
		})
		_ = phone.Close()
		p.bridge(t, g) // it sets the time to now, which closes the slot
		day := yesterday.Format(time.DateOnly)
		eventually(t, "the gateway knows the steps", func() (bool, string) {
			got, err := g.gateway.GetDay(t.Context(), stepsv1.GetDayRequest_builder{Wearer: p.wearer, Day: day}.Build())
			if err != nil {
				return false, err.Error()
			}
			n := got.GetDay().GetSteps()
			if n > 0 {
				t.Logf("%d steps walked, %d counted by the pin so far, %d at the gateway", steps, counted, n)
			}
			return n >= counted && n <= steps*104/100, got.String()
		})
	})
}

// TestFlashOfOthers: the process itself refuses a flash whose key others can read or choose, whoever starts it.
func TestFlashOfOthers(t *testing.T) {
	folder := t.TempDir()
	flash, link := filepath.Join(folder, "flash"), filepath.Join(folder, "link")
	if err := errors.Join(os.WriteFile(flash, nil, 0o600), os.Chmod(flash, 0o640), os.Symlink("elsewhere", link)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{flash: "mode 0640", link: "a symbolic link", "/dev/null": "must be a regular file"} {
		out, err := exec.CommandContext(t.Context(), firmware[host.Native], "--flash", path).CombinedOutput()
		if err == nil || !strings.Contains(string(out), path+": ") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %q, want that it says %q", path, err, out, want)
		}
	}
}

// TestRestart: a pin that was stopped and started again is the same pin and holds what it held.
func TestRestart(t *testing.T) {
	eachBoard(t, func(t *testing.T, board host.Board) {
		a, b := newPerson(t, board, 0), newPerson(t, board, 1)
		air := newAir(t, host.AirConfig{}, a, b)
		tap(t, air, a, b)
		air.Close()
		phone := a.phone(t)
		before, err := phone.Hello(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = phone.Close()
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
		flash := filepath.Join(string(a.Folder), "flash")
		if info, err := os.Stat(flash); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("the flash with the pin's key: %v, %v, want that nobody else reads it", info.Mode(), err)
		}
		a.Pin = startPin(t, board, string(a.Folder), a.log)
		after, err := a.phone(t).Hello(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(before.GetPin()) != string(after.GetPin()) || after.GetRecords() != 2 || after.GetCounter() != before.GetCounter() {
			t.Errorf("got pin %x with %d records and counter %d, want %x with 2 and %d",
				after.GetPin(), after.GetRecords(), after.GetCounter(), before.GetPin(), before.GetCounter())
		}
	})
}
