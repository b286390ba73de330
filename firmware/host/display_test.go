package host

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pinfold/client/link"
)

const (
	red565   = 0xF800
	green565 = 0x07E0
)

type pixels [DisplaySize][DisplaySize]uint16

// plain is a picture of one colour.
func plain(colour uint16) *pixels {
	p := &pixels{}
	for y := range p {
		for x := range p[y] {
			p[y][x] = colour
		}
	}
	return p
}

// mirrorLine returns the payloads that show a line from x on: runs of equal pixels, and in each payload as many as fit.
func mirrorLine(line []uint16, x, y int) (payloads [][]byte) {
	const runs = 80
	for x < len(line) {
		payload := []byte{byte(y), byte(x)}
		for r := 0; r < runs && x < len(line); r++ {
			n := 1
			for x+n < len(line) && line[x+n] == line[x] {
				n++
			}
			payload = append(payload, byte(n), byte(line[x]>>8), byte(line[x]))
			x += n
		}
		payloads = append(payloads, payload)
	}
	return payloads
}

// redrawn returns the payloads of a whole display, from the top down.
func redrawn(p *pixels) (payloads [][]byte) {
	for y := range p {
		payloads = append(payloads, mirrorLine(p[y][:], 0, y)...)
	}
	return payloads
}

// streamOf returns the frames of payloads.
func streamOf(payloads ...[]byte) (stream []byte) {
	for _, p := range payloads {
		stream = link.AppendFrame(stream, p)
	}
	return stream
}

func TestDraw(t *testing.T) {
	const untouched = 0x1234
	edge, line := DisplaySize-1, byte(7)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string            // of the error; "" = none
		drawn map[[2]int]uint16 // (x, y) of all pixels that change
	}{
		{"nothing", nil, "a frame of 0 bytes", nil},
		{"no place", []byte{1}, "a frame of 1 bytes", nil},
		{"no run", []byte{1, 2}, "a frame of 2 bytes", nil},
		{"two thirds of a run", []byte{1, 2, 3, 4}, "a frame of 4 bytes", nil},
		{"a run and a third", []byte{1, 2, 1, 0, 0, 1}, "a frame of 6 bytes", nil},
		{"the first line below the display", []byte{240, 0, 1, 0, 0}, "line 240", nil},
		{"the last line that a frame can name", []byte{255, 0, 1, 0, 0}, "line 255", nil},
		{"a run of no pixel", []byte{line, 9, 0, 0, 0}, "a run of 0 from (9, 7)", nil},
		{"a run longer than a line", []byte{line, 0, 241, 0, 0}, "a run of 241 from (0, 7)", nil},
		{"a run across the edge", []byte{line, 239, 2, 0, 0}, "a run of 2 from (239, 7)", nil},
		{"a run from behind the edge", []byte{line, 240, 1, 0, 0}, "a run of 1 from (240, 7)", nil},
		{"a run from far behind it", []byte{line, 255, 1, 0, 0}, "a run of 1 from (255, 7)", nil},
		{
			"a second run across the edge",
			[]byte{line, 238, 1, 0xF8, 0, 2, 0, 0},
			"a run of 2 from (239, 7)",
			map[[2]int]uint16{{238, 7}: red565},
		},
		{"one pixel", []byte{line, 9, 1, 0xAB, 0xCD}, "", map[[2]int]uint16{{9, 7}: 0xABCD}},
		{"the last pixel", []byte{239, 239, 1, 0xAB, 0xCD}, "", map[[2]int]uint16{{edge, edge}: 0xABCD}},
		{
			"two runs, the one behind the other",
			[]byte{line, 9, 2, 0xF8, 0, 1, 0x07, 0xE0},
			"",
			map[[2]int]uint16{{9, 7}: red565, {10, 7}: red565, {11, 7}: green565},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &Display{pixels: *plain(untouched)}
			err := d.draw(tt.frame)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got the error %v, want %q in it", err, tt.want)
			}
			for y := range d.pixels {
				for x, got := range d.pixels[y] {
					want, drawn := tt.drawn[[2]int{x, y}]
					if !drawn {
						want = untouched
					}
					if got != want {
						t.Errorf("(%d, %d) is %04x, want %04x", x, y, got, want)
					}
				}
			}
		})
	}
}

// TestReadDisplay reads a picture with lines of 1 to 240 runs, which need one to three frames.
func TestReadDisplay(t *testing.T) {
	want := &pixels{}
	for y := range want {
		for x := range want[y] {
			if x <= y { // the lower the line, the more runs
				want[y][x] = uint16(y*DisplaySize + x)
			}
		}
	}
	stream := streamOf(redrawn(want)...)
	// What is on the link behind the picture is not waited for.
	d, err := ReadDisplay(io.MultiReader(bytes.NewReader(stream), iotest.ErrReader(errors.New("read on"))))
	if err != nil {
		t.Fatal(err)
	}
	if d.pixels != *want {
		t.Error("the pixels are not those that were drawn")
	}
}

// TestReadDisplayWhole: a picture is complete when all of it was drawn again, whatever came before.
func TestReadDisplayWhole(t *testing.T) {
	red, green := redrawn(plain(red565)), redrawn(plain(green565))
	striped := &pixels{}
	for y := range striped {
		for x := range striped[y] {
			striped[y][x] = uint16(x % 2)
		}
	}
	lines := redrawn(striped) // each of three frames
	var right, short [][]byte
	for y := range DisplaySize {
		right = append(right, mirrorLine(plain(red565)[y][:], DisplaySize/2, y)...)
		short = append(short, mirrorLine(plain(red565)[y][:DisplaySize-1], 0, y)...)
	}
	changed := plain(green565)
	copy(changed[50][:DisplaySize-1], plain(red565)[50][:])
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   *pixels // nil: it never is complete
	}{
		{"from the first line", green, plain(green565)},
		{"the end of a picture before it", slices.Concat(red[1:], green), plain(green565)},
		{"some of a picture before it", slices.Concat(red[:200], green), plain(green565)},
		{"changes before it", slices.Concat(right, green), plain(green565)},
		{"changes within it", slices.Concat(green[:9], right[20:30], green[9:20], green[20:]), plain(green565)},
		{"a change of what was drawn", slices.Concat(green[:100], short[50:51], green[100:]), changed},
		{"all but the last pixel of each line", short, nil},
		{"no first line", slices.Concat(red[1:], green[1:]), nil},
		{"no last line", green[:DisplaySize-1], nil},
		{"a line lost", slices.Concat(green[:100], green[101:]), nil},
		{"changes alone", right, nil},
		{"the right half of each line after the first", slices.Concat(green[:1], right), nil},
		{"the begin of a line lost", slices.Concat(lines[:30], lines[31:]), nil},
		{"the middle of a line lost", slices.Concat(lines[:31], lines[32:]), nil},
		{"the end of a line lost", slices.Concat(lines[:32], lines[33:]), nil},
		{"what was lost drawn again", slices.Concat(lines[:31], lines[32:], lines), striped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ReadDisplay(bytes.NewReader(streamOf(tt.frames...)))
			if tt.want == nil {
				if d != nil || !errors.Is(err, io.EOF) {
					t.Errorf("got %v and a picture: %v, want io.EOF and none", err, d != nil)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.pixels != *tt.want {
				t.Error("the pixels are not those that were drawn last")
			}
		})
	}
}

func TestReadDisplayErrors(t *testing.T) {
	broken := errors.New("broken")
	stream := streamOf(redrawn(plain(red565))...)
	for _, size := range []int{0, 1, len(stream) / 2, len(stream) - 1} {
		t.Run(fmt.Sprintf("interrupted after %d of %d bytes", size, len(stream)), func(t *testing.T) {
			d, err := ReadDisplay(io.MultiReader(bytes.NewReader(stream[:size]), iotest.ErrReader(broken)))
			if d != nil || !errors.Is(err, broken) || !strings.Contains(err.Error(), "not complete") {
				t.Errorf("got %v and a picture: %v, want the reader's error and none", err, d != nil)
			}
		})
	}
	for name, frame := range map[string][]byte{
		"a bad line": {240, 0, 1, 0, 0},
		"a bad run":  {0, 239, 2, 0, 0},
		"a bad size": {0, 0, 1, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bad := slices.Concat(stream[:len(stream)/2], streamOf(frame), stream)
			if d, err := ReadDisplay(bytes.NewReader(bad)); d != nil || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("got %v and a picture: %v, want what is wrong with the frame and none", err, d != nil)
			}
		})
	}
}

func TestImageColours(t *testing.T) {
	for p, want := range map[uint16]color.NRGBA{
		0x0000:   {0, 0, 0, 255},
		0xFFFF:   {255, 255, 255, 255},
		red565:   {255, 0, 0, 255},
		green565: {0, 255, 0, 255},
		0x001F:   {0, 0, 255, 255},
		0x8410:   {132, 130, 132, 255}, // the highest bit of each
		0x0821:   {8, 4, 8, 255},       // the lowest
		0x7BEF:   {123, 125, 123, 255}, // all but the highest
	} {
		d := &Display{}
		d.pixels[100][50] = p
		if got := d.Image().NRGBAAt(50, 100); got != want {
			t.Errorf("%04x: got %v, want %v", p, got, want)
		}
	}
}

// TestImageRound: the picture is round, and what a square display would show beside it is not there.
func TestImageRound(t *testing.T) {
	d := &Display{pixels: *plain(red565)}
	picture := d.Image()
	if got, want := picture.Bounds(), image.Rect(0, 0, 240, 240); got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
	const radius = DisplaySize / 2.0
	for y := range DisplaySize {
		for x := range DisplaySize {
			want := color.NRGBA{R: 255, A: 255}
			if math.Hypot(float64(x)+0.5-radius, float64(y)+0.5-radius) > radius {
				want = color.NRGBA{}
			}
			if got := picture.NRGBAAt(x, y); got != want {
				t.Fatalf("(%d, %d): got %v, want %v", x, y, got, want)
			}
		}
	}
}

// FuzzDraw: a frame that is taken changes its runs and nothing else, and one that is not, at most its own line.
func FuzzDraw(f *testing.F) {
	for _, frame := range [][]byte{
		nil,
		{0, 0, 240, 0xFF, 0xFF},
		{239, 239, 1, 0x12, 0x34},
		{7, 100, 20, 0xF8, 0x00, 120, 0x07, 0xE0},
		{7, 100, 20, 0xF8, 0x00, 121, 0x07, 0xE0},
		{240, 0, 1, 0, 0},
		{255, 255, 255, 255, 255},
		{1, 2, 0, 3, 4},
		{1, 2, 3, 4},
		mirrorLine(slices.Repeat([]uint16{1, 2}, DisplaySize/2), 0, 5)[0],
	} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		d := &Display{pixels: *plain(0x1234)}
		err := d.draw(frame)
		var want []uint16 // of the frame's line
		if err == nil {
			want = slices.Repeat([]uint16{0x1234}, int(frame[1]))
			for run := frame[2:]; len(run) > 0; run = run[3:] {
				want = append(want, slices.Repeat([]uint16{uint16(run[1])<<8 + uint16(run[2])}, int(run[0]))...)
			}
			for len(want) < DisplaySize {
				want = append(want, 0x1234)
			}
		}
		other := plain(0x1234)[0]
		for y := range d.pixels {
			switch {
			case len(frame) == 0 || y != int(frame[0]):
				if d.pixels[y] != other {
					t.Fatalf("%x changed line %d", frame, y)
				}
			case err == nil && !slices.Equal(d.pixels[y][:], want):
				t.Fatalf("%x: line %d is %04x, want %04x", frame, y, d.pixels[y], want)
			}
		}
	})
}
