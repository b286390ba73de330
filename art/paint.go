package art

import "math/bits"

// A paint is a colour, or two that flow into each other downwards or outwards from a point. Lengths are in sixteenths of
// a pixel.
type paint struct {
	kind       byte
	ink, other Ink
	x, y       int // centre, or the line where ink ends
	reach      int // radius, or the line where other begins
}

const (
	paintPlain = 1 + iota
	paintDown
	paintAround
)

// share returns how much of the other ink the middle of a pixel takes, of 256.
func (p *paint) share(column, row int) int {
	x, y := 16*column+8, 16*row+8
	switch p.kind {
	case paintDown:
		switch {
		case y >= p.reach:
			return 256
		case y <= p.y:
			return 0
		}
		return (y - p.y) * 256 / (p.reach - p.y)
	case paintAround:
		dx, dy := x-p.x, y-p.y
		return min((dx*dx+dy*dy)/max(p.reach*p.reach>>8, 1), 256)
	}
	return 0
}

// dither holds the thresholds that hide the steps between RGB565 colours, of 256.
var dither = [16]uint8{8, 136, 40, 168, 200, 72, 232, 104, 56, 184, 24, 152, 248, 120, 216, 88}

// paint draws the shape. Each pixel is judged on four lines of eight parts: as many shades as RGB565 has.
func (b *Band) paint(s *shape, p *paint) {
	if len(s.elements) == 0 {
		return
	}
	top, bottom := 16*Size, 0
	for _, e := range s.elements {
		if e.mode == modeAdd {
			top, bottom = min(top, e.top), max(bottom, e.bottom)
		}
	}
	var m, other mask
	m.hi, other.hi = Size, Size
	for row := max(b.Top, top>>4, 0); row < min(b.Top+b.Rows, bottom>>4+1, Size); row++ {
		var cover [Size]uint8
		lo, hi := Size, 0
		for line := range 4 {
			s.cover(&m, &other, 16*row+4*line+2)
			for i := m.lo; i < m.hi; i++ {
				cover[i] += uint8(bits.OnesCount8(m.parts[i]))
			}
			lo, hi = min(lo, m.lo), max(hi, m.hi)
		}
		left, right := round(row)
		for column := max(lo, left); column < min(hi, right); column++ {
			if cover[column] != 0 {
				pixel := &b.Pixels[(row-b.Top)*Size+column]
				*pixel = p.blend(*pixel, column, row, int(cover[column]))
			}
		}
	}
}

// round returns the columns of a row that touch the round display.
func round(row int) (left, right int) {
	d := row - Size/2
	if d < 0 {
		d = -d - 1
	}
	square := Size*Size/4 - d*d
	half := root(square)
	if half*half < square {
		half++
	}
	return Size/2 - half, Size/2 + half
}

// blend returns what a pixel becomes that is covered to so many 32nds.
func (p *paint) blend(pixel uint16, column, row, cover int) uint16 {
	t := p.share(column, row)
	alpha := (int(p.ink.Alpha)*(256-t) + int(p.other.Alpha)*t) >> 8
	weight := 2 * cover * (alpha + alpha>>7)
	threshold := 128
	if p.kind != paintPlain {
		threshold = int(dither[row&3*4+column&3])
	}
	channel := func(shift, bits uint16) uint16 {
		from := int(p.ink.Colour >> shift & bits)
		to := int(p.other.Colour >> shift & bits)
		old := int(pixel >> shift & bits)
		v := old<<8*(1<<14-weight) + (from*(256-t)+to*t)*weight
		return uint16((v+threshold<<14)>>22) << shift
	}
	return channel(11, 31) | channel(5, 63) | channel(0, 31)
}
