package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"strings"
	"time"

	"pinfold/firmware/host"
	"pinfold/internal/file"
)

// pinCommand runs the pin's firmware on this machine, and does to a running pin what a person does.
type pinCommand struct {
	Run        pinRunCommand        `cmd:"" help:"Run a pin until Ctrl-C. What it holds stays in its folder."`
	Tap        pinTapCommand        `cmd:"" help:"Bring two running pins together until they have tapped."`
	Walk       pinWalkCommand       `cmd:"" help:"Let a running pin feel a walk."`
	Press      pinPressCommand      `cmd:"" help:"Press the button of a running pin."`
	Screenshot pinScreenshotCommand `cmd:"" help:"Write what a running pin shows as a PNG."`
}

// pinFolder names a running pin.
type pinFolder struct {
	Folder string `arg:"" help:"Folder of the pin, as given to pin run." type:"path"`
}

func (f pinFolder) pin() host.Folder { return host.Folder(f.Folder) }

type pinRunCommand struct {
	pinFolder
	Board    string `help:"What the firmware runs on: ${enum}." enum:"native,qemu" default:"native"`
	Firmware string `help:"File of the firmware. Without it, what make built in the repository, in this folder or above, beside this program, or where this program was built." type:"path" placeholder:"FILE"`
	Seed     uint64 `help:"Makes the pin's key and nonces follow from this number, for tests; 0 is truly random." default:"0"`
}

func (c *pinRunCommand) Run(s *session) error {
	// The pin is stopped below, so that its flash is saved: the end of s.ctx must not kill it.
	pin, err := host.Start(context.WithoutCancel(s.ctx), host.Config{
		Board: host.Board(c.Board), Firmware: c.Firmware, Folder: c.Folder, Seed: c.Seed, Log: unheard{s.stderr},
	})
	if err != nil {
		return err
	}
	err = c.introduce(s, pin)
	if err == nil {
		select {
		case <-s.ctx.Done():
		case <-pin.Ended():
		}
	}
	return errors.Join(err, pin.Stop())
}

// unheard takes what a pin says also where nobody reads it any more, as on a terminal that was closed: the pin would be
// killed by its own words before it has saved its flash.
type unheard struct{ w io.Writer }

// Write implements io.Writer.
func (u unheard) Write(p []byte) (int, error) {
	_, _ = u.w.Write(p)
	return len(p), nil
}

// introduce says which pin it is and where its phone link is.
func (c *pinRunCommand) introduce(s *session, pin *host.Pin) error {
	phone, err := pin.Phone(s.ctx)
	if err != nil {
		return err
	}
	defer phone.Close()
	info, err := phone.Hello(s.ctx)
	if err != nil {
		return err
	}
	id, socket := fmt.Sprintf("%x", info.GetPin()), "unix:"+pin.PhoneSocket()
	if s.output == "json" {
		return s.answer(map[string]string{"pin": id, "phone": socket})
	}
	fmt.Fprintf(s.stdout, "pin    %s\nphone  %s\n", id, socket)
	return nil
}

type pinTapCommand struct {
	First  string  `arg:"" help:"Folder of the first pin." type:"path"`
	Second string  `arg:"" help:"Folder of the second pin." type:"path"`
	Loss   float64 `help:"Chance that the air loses a datagram, 0 to 1." default:"0"`
	Seed   uint64  `help:"Of what the air loses." default:"1"`
}

// Validate implements kong.Validatable.
func (c *pinTapCommand) Validate() error {
	if !(c.Loss >= 0 && c.Loss <= 1) {
		return fmt.Errorf("--loss=%v: want 0 to 1", c.Loss)
	}
	return nil
}

// pinTapTimeout is longer than a pin tries (firmware/core/tap.h).
const pinTapTimeout = 12 * time.Second

func (c *pinTapCommand) Run(s *session) error {
	ctx, cancel := context.WithTimeout(s.ctx, pinTapTimeout)
	defer cancel()
	air := host.NewAir(host.AirConfig{Loss: c.Loss, Seed: c.Seed})
	defer air.Close()
	var guests [2]host.Guest
	for i, pin := range []host.Folder{host.Folder(c.First), host.Folder(c.Second)} {
		conn, err := pin.Peer(ctx)
		if err != nil {
			return err
		}
		guests[i] = host.Guest{Pin: pin, Station: air.Join(conn)}
	}
	if err := air.Tap(ctx, guests[0], guests[1]); err != nil {
		return fmt.Errorf("the pins did not tap: %w", err)
	}
	if s.output == "json" {
		return s.answer(map[string]bool{"tapped": true})
	}
	fmt.Fprintln(s.stdout, "friends! each pin holds both halves")
	return nil
}

type pinWalkCommand struct {
	pinFolder
	File string `arg:"" help:"Samples, plain or gzip: lines of t_ms,x_mg,y_mg,z_mg after that heading, or a file of the Oxford step counter set." type:"existingfile"`
}

func (c *pinWalkCommand) Run(s *session) error {
	samples, err := readSamples(c.File)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if len(samples) == 0 {
		return fmt.Errorf("%s: no samples", c.File)
	}
	if err := c.pin().Do(s.ctx, host.Accelerometer(samples)...); err != nil {
		return err
	}
	walked := time.Duration(samples[len(samples)-1].Time) * time.Millisecond
	if s.output == "json" {
		return s.answer(map[string]any{"samples": len(samples), "seconds": walked.Seconds()})
	}
	fmt.Fprintf(s.stdout, "%d samples of %v\n", len(samples), walked)
	return nil
}

func readSamples(path string) ([]host.Sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		in = unzipped
	}
	return host.ReadSamples(in)
}

type pinPressCommand struct{ pinFolder }

func (c *pinPressCommand) Run(s *session) error { return c.pin().Do(s.ctx, host.Press()) }

type pinScreenshotCommand struct {
	pinFolder
	File string `arg:"" help:"PNG to write." type:"path"`
}

func (c *pinScreenshotCommand) Run(s *session) error {
	picture, err := c.pin().Screenshot(s.ctx)
	if err != nil {
		return err
	}
	draw := func(w io.Writer) error { return png.Encode(w, picture) }
	if info, err := os.Stat(c.File); err == nil && !info.Mode().IsRegular() { // /dev/stdout, say
		s.answered = true // the picture may be what is read
		return writeInto(c.File, draw)
	}
	if err := file.Replace(c.File, 0o644, draw); err != nil || s.output != "json" {
		return err
	}
	return s.answer(map[string]any{"file": c.File, "width": picture.Bounds().Dx(), "height": picture.Bounds().Dy()})
}

// writeInto writes into a pipe or a device.
func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
