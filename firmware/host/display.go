package host

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"

	"pinfold/client/link"
)

// DisplaySize is the diameter of the round display, in pixels.
const DisplaySize = 240

// Display is what a pin's mirror (firmware/hal/mirror.h) has shown so far: RGB565 pixels of a square, of which the
// round part can be seen.
type Display struct {
	pixels [DisplaySize][DisplaySize]uint16
	drawn  [DisplaySize]int // of each line, how many pixels from the left came without a gap since the last begin of line 0
}

// draw takes one frame of the mirror.
func (d *Display) draw(frame []byte) error {
	if len(frame) < 5 || (len(frame)-2)%3 != 0 {
		return fmt.Errorf("mirror: a frame of %d bytes: want 2 and some of 3", len(frame))
	}
	y, x := int(frame[0]), int(frame[1])
	if y >= DisplaySize {
		return fmt.Errorf("mirror: line %d: want less than %d", y, DisplaySize)
	}
	if y == 0 && x == 0 {
		d.drawn = [DisplaySize]int{}
	}
	begin := x
	for run := frame[2:]; len(run) > 0; run = run[3:] {
		n := int(run[0])
		if n == 0 || x+n > DisplaySize {
			return fmt.Errorf("mirror: a run of %d from (%d, %d): want 1 to the edge", n, x, y)
		}
		for ; n > 0; n-- {
			d.pixels[y][x] = uint16(run[1])<<8 | uint16(run[2])
			x++
		}
	}
	if begin <= d.drawn[y] { // a board gives up frames that nobody takes in time
		d.drawn[y] = max(d.drawn[y], x)
	}
	return nil
}

// whole reports whether all lines have come since the last begin of line 0, which is so at the end of a redrawing.
func (d *Display) whole() bool { return slices.Min(d.drawn[:]) == DisplaySize }

// ReadDisplay reads a mirror until a picture is complete, which needs a Redraw.
func ReadDisplay(r io.Reader) (*Display, error) {
	d, in := &Display{}, link.NewReader(r, link.MaxDatagram)
	for !d.whole() {
		frame, err := in.Next()
		if err != nil {
			return nil, fmt.Errorf("mirror: the picture is not complete: %w", err)
		}
		if err := d.draw(frame); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Image returns the picture; what is outside the round part is transparent.
func (d *Display) Image() *image.NRGBA {
	picture := image.NewNRGBA(image.Rect(0, 0, DisplaySize, DisplaySize))
	for y := range DisplaySize {
		for x := range DisplaySize {
			if seen(x, y) {
				picture.SetNRGBA(x, y, rgb(d.pixels[y][x]))
			}
		}
	}
	return picture
}

// seen reports whether the middle of the pixel lies in the circle. Twice the coordinates are whole numbers.
func seen(x, y int) bool {
	dx, dy := 2*x+1-DisplaySize, 2*y+1-DisplaySize
	return dx*dx+dy*dy <= DisplaySize*DisplaySize
}

// rgb spreads 5, 6 and 5 bits over 8, so that all ones are 255.
func rgb(p uint16) color.NRGBA {
	r, g, b := uint8(p>>11), uint8(p>>5&0x3F), uint8(p&0x1F)
	return color.NRGBA{R: r<<3 | r>>2, G: g<<2 | g>>4, B: b<<3 | b>>2, A: 255}
}
