package art

// A Place is where a picture goes: the square that its description fills, by its centre and its width in units.
type Place struct{ X, Y, Width int }

// Everywhere is the place of a background.
var Everywhere = Place{X: Middle, Y: Middle, Width: Whole}

const (
	minCentre = -480
	maxCentre = 1440
	maxWidth  = 1920
	maxPoints = 64 // of an element
)

// Draw draws a compiled picture. It reports false if the place is not near the display or the ops are malformed; the
// shapes before the malformed one are drawn.
func (b *Band) Draw(ops []byte, at Place) bool {
	if min(at.X, at.Y) < minCentre || max(at.X, at.Y) > maxCentre || at.Width < 1 || at.Width > maxWidth {
		return false
	}
	r := reader{ops: ops, at: at}
	var s shape
	var p paint
	for len(r.ops) > 0 {
		code := r.byte()
		if code < 4 {
			b.paint(&s, &p)
			s = shape{}
			p = r.paint(code)
		} else if p.kind == 0 || !r.element(&s, code) {
			return false
		}
		if r.bad {
			return false
		}
	}
	b.paint(&s, &p)
	return true
}

// A reader takes ops apart. What is read past the end is zero, and bad is set.
type reader struct {
	ops  []byte
	at   Place
	x, y int // the last point, in units
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.ops) == 0 {
		r.bad = true
		return 0
	}
	v := r.ops[0]
	r.ops = r.ops[1:]
	return v
}

// number reads 7 bits, or 15 bits if the first is set.
func (r *reader) number() int {
	v := int(r.byte())
	if v >= 0x80 {
		v = v&0x7f<<8 | int(r.byte())
	}
	return v
}

// signed reads a number whose lowest bit says that it is negative.
func (r *reader) signed() int {
	v := r.number()
	return v>>1 ^ -(v & 1)
}

// length reads a length and returns it in sixteenths of a pixel.
func (r *reader) length() int {
	v := r.number()
	if !measured(v) {
		r.bad = true
		return 0
	}
	return r.scale(v)
}

func (r *reader) scale(units int) int { return units * r.at.Width / (Whole / 4) }

// point reads a point, as the step from the last one.
func (r *reader) point() vertex {
	r.x += r.signed()
	r.y += r.signed()
	if !placed(r.x, r.y) {
		r.bad = true
		r.x, r.y = 0, 0
	}
	return vertex{x: r.place(r.x, r.at.X), y: r.place(r.y, r.at.Y)}
}

func (r *reader) place(v, centre int) int { return r.scale(v-Middle) + 4*centre }

func (r *reader) points(least int) []vertex {
	n := int(r.byte())
	if n < least || n > maxPoints {
		r.bad = true
		return nil
	}
	points := make([]vertex, n)
	for i := range points {
		points[i] = r.point()
	}
	return points
}

func (r *reader) ink() Ink {
	low := uint16(r.byte())
	high := uint16(r.byte())
	return Ink{Colour: high<<8 | low, Alpha: r.byte()}
}

func (r *reader) paint(kind byte) paint {
	p := paint{kind: kind, ink: r.ink()}
	switch kind {
	case paintPlain:
	case paintDown:
		p.other = r.ink()
		from, to := r.point(), r.point()
		p.y, p.reach = from.y, to.y
	case paintAround:
		p.other = r.ink()
		centre := r.point()
		p.x, p.y, p.reach = centre.x, centre.y, r.length()
	default:
		r.bad = true
	}
	return p
}

func (r *reader) element(s *shape, code byte) bool {
	kind, mode := code>>2, code&3
	if mode > modeKeep {
		return false
	}
	switch kind {
	case kindAll:
		return s.all(mode)
	case kindDisc:
		p, radius := r.point(), r.length()
		return !r.bad && s.disc(mode, p.x, p.y, radius, -1)
	case kindRing:
		p, radius, width := r.point(), r.length(), r.length()/2
		return !r.bad && s.disc(mode, p.x, p.y, radius+width, radius-width)
	case kindArc:
		p, radius, width := r.point(), r.length(), r.length()/2
		from, sweep := r.number(), r.number()
		return !r.bad && s.arc(mode, p.x, p.y, radius, width, 2*from, 2*sweep)
	case kindEllipse:
		p, across, down := r.point(), r.length(), r.length()
		tilt := r.number()
		return !r.bad && s.polygon(mode, ellipse(p, across, down, 2*tilt))
	}
	if kind < kindPolygon || kind > kindCurve {
		return false
	}
	what := pathOf(kind)
	width, radius := 0, 0
	if what.line {
		width = r.length() / 2
	}
	if what.how == pathBent {
		radius = r.length()
	}
	points := r.points(what.least)
	return !r.bad && s.path(mode, what, points, width, radius)
}
