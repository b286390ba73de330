package art

// The display is round, Size pixels wide and high. Lengths in this package are in units of a quarter of a pixel: the
// display is Whole units wide, its centre is at (Middle, Middle), and y grows downwards.
const (
	Size   = 240
	Whole  = 4 * Size
	Middle = Whole / 2
)

// What descriptions and callers may say, in units. Anything else is malformed and not drawn.
const (
	minPlace  = -1024
	maxPlace  = 2047
	maxLength = 1023
)

// An Ink is an RGB565 colour and how much of it is seen, 0 to 255.
type Ink struct {
	Colour uint16
	Alpha  uint8
}

// RGB returns the opaque ink that is nearest to 0xrrggbb.
func RGB(rgb uint32) Ink {
	r, g, b := rgb>>16&255, rgb>>8&255, rgb&255
	return Ink{Colour: uint16((r*31+127)/255<<11 | (g*63+127)/255<<5 | (b*31+127)/255), Alpha: 255}
}

// A Band is some rows of the display, from Top on, Size pixels each. The firmware draws one band after the other; what
// is drawn does not depend on how the rows are divided.
type Band struct {
	Pixels    []uint16
	Top, Rows int
}

// NewFrame returns a band of all rows, black.
func NewFrame() *Band { return &Band{Pixels: make([]uint16, Size*Size), Rows: Size} }

// Clear makes everything black, outside the round display too. Everything else leaves what is outside alone.
func (b *Band) Clear() { clear(b.Pixels) }

// Rim smooths the edge of the round display. It comes last.
func (b *Band) Rim() {
	var s shape
	s.disc(modeAdd, 4*Middle, 4*Middle, 5*Middle, 4*Middle)
	b.fill(&s, Ink{Alpha: 255})
}

// Disc draws a filled circle.
func (b *Band) Disc(x, y, radius int, ink Ink) {
	if placed(x, y) && measured(radius) {
		var s shape
		s.disc(modeAdd, 4*x, 4*y, 4*radius, -1)
		b.fill(&s, ink)
	}
}

// Arc draws a line along a circle, with round ends. Angles are parts of 65536 of a turn, from the top clockwise; a sweep
// of 65536 is the whole circle, one of 0 a dot.
func (b *Band) Arc(x, y, radius, width, from, sweep int, ink Ink) {
	if placed(x, y) && measured(radius) && measured(width) && from >= 0 && from < turn && sweep >= 0 && sweep <= turn {
		var s shape
		if sweep == turn {
			s.disc(modeAdd, 4*x, 4*y, 4*radius+2*width, 4*radius-2*width)
		} else {
			s.arc(modeAdd, 4*x, 4*y, 4*radius, 2*width, from, sweep)
		}
		b.fill(&s, ink)
	}
}

// Box draws a rectangle with round corners around its centre; the radius is at most half of each side.
func (b *Band) Box(x, y, width, height, radius int, ink Ink) {
	if !placed(x, y) || !measured(width) || !measured(height) || radius < 0 || 2*radius > min(width, height) {
		return
	}
	x, y, width, height = 4*x, 4*y, 2*width, 2*height
	var s shape
	s.path(modeAdd, pathOf(kindRound), []vertex{
		{x: x - width, y: y - height}, {x: x + width, y: y - height}, {x: x + width, y: y + height}, {x: x - width, y: y + height},
	}, 0, 4*radius)
	b.fill(&s, ink)
}

func (b *Band) fill(s *shape, ink Ink) { b.paint(s, &paint{kind: paintPlain, ink: ink}) }

func placed(x, y int) bool { return minPlace <= min(x, y) && max(x, y) <= maxPlace }

func measured(length int) bool { return 0 <= length && length <= maxLength }
