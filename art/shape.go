package art

// A shape is what one paint covers: elements that add to it, cut from it or keep only what they share with it, in order.
// All its lengths are in sixteenths of a pixel. Everything is drawn as shapes; firmware/core/draw.c holds the same
// machine, with the same limits, so that both give the same pixels.
type shape struct {
	elements []element
	cells    int // what the elements take of the firmware's memory, in 16-bit cells
}

type element struct {
	kind, mode  byte
	top, bottom int // the lines that it may touch
	radius      int // of a disc, or half the width of a line
	inner       int // radius of the hole of a ring, or -1
	points      []vertex
}

// A vertex of a line has the offset from its centre to its edge, for the piece that begins there.
type vertex struct{ x, y, ox, oy int }

// Kinds of elements, and how they join the shape. An element's code is kind*4 + mode.
const (
	kindAll = 1 + iota
	kindDisc
	kindRing
	kindArc
	kindPolygon
	kindLine
	kindRound
	kindBend
	kindLoop
	kindBlob
	kindCurve
	kindEllipse
)

const (
	modeAdd = iota
	modeCut
	modeKeep
)

const (
	maxCells     = 448 // of all elements of a shape
	headCells    = 6
	maxCrossings = 32 // of a polygon's edges with one line; what exceeds it is not drawn
)

// push adds an element, or reports that the shape is full.
func (s *shape) push(e element) bool {
	cells := headCells + 2*len(e.points)
	if e.kind == kindLine {
		cells += 2 * len(e.points)
	}
	if s.cells+cells > maxCells {
		return false
	}
	s.cells += cells
	s.elements = append(s.elements, e)
	return true
}

func (s *shape) all(mode byte) bool {
	return s.push(element{kind: kindAll, mode: mode, top: 0, bottom: 16 * Size})
}

func (s *shape) disc(mode byte, x, y, radius, inner int) bool {
	return s.push(element{
		kind: kindDisc, mode: mode, top: y - radius, bottom: y + radius, radius: radius, inner: inner,
		points: []vertex{{x: x, y: y}},
	})
}

// path adds a filled path, or a line along it.
func (s *shape) path(mode byte, kind path, points []vertex, width, radius int) bool {
	points = flatten(points, kind.how, radius, kind.closed)
	if !kind.line {
		return s.polygon(mode, points)
	}
	if kind.closed {
		points = append(points, points[0])
	}
	return s.line(mode, points, width)
}

func (s *shape) polygon(mode byte, points []vertex) bool {
	e := element{kind: kindPolygon, mode: mode, points: points}
	e.top, e.bottom = extent(points)
	return s.push(e)
}

func (s *shape) line(mode byte, points []vertex, radius int) bool {
	e := element{kind: kindLine, mode: mode, radius: radius, points: points}
	e.top, e.bottom = extent(points)
	e.top, e.bottom = e.top-radius, e.bottom+radius
	for i := range len(points) - 1 {
		points[i].ox, points[i].oy = offset(points[i+1].x-points[i].x, points[i+1].y-points[i].y, radius)
	}
	return s.push(e)
}

// arc adds a line along a circle, in so many pieces that the corners do not show.
func (s *shape) arc(mode byte, x, y, radius, width, from, sweep int) bool {
	pieces := 1 + sweep*min(16+radius/16, 96)/turn
	points := make([]vertex, pieces+1)
	for i := range points {
		angle := from + sweep*i/pieces
		points[i].x = x + (radius*sine(angle)+8192)>>14
		points[i].y = y - (radius*cosine(angle)+8192)>>14
	}
	return s.line(mode, points, width)
}

func extent(points []vertex) (top, bottom int) {
	top, bottom = points[0].y, points[0].y
	for _, p := range points {
		top, bottom = min(top, p.y), max(bottom, p.y)
	}
	return top, bottom
}

// offset returns the vector of the given length across (dx, dy).
func offset(dx, dy, length int) (ox, oy int) {
	square := dx*dx + dy*dy
	if square < 1<<22 {
		square, length = square<<8, length<<4
	}
	if square == 0 {
		return 0, 0
	}
	r := root(square)
	return -dy * length / r, dx * length / r
}

// A mask holds which of the eight parts of each pixel are covered, on one line; lo and hi bound what is set.
type mask struct {
	parts  [Size]uint8
	lo, hi int
}

func (m *mask) clear() {
	if m.lo < m.hi {
		clear(m.parts[m.lo:m.hi])
	}
	m.lo, m.hi = Size, 0
}

// add covers from..to. A part is covered if its centre is.
func (m *mask) add(from, to int) {
	a, b := max(from, 0)>>1, min(to, 16*Size)>>1
	if a >= b {
		return
	}
	first, last := a>>3, (b-1)>>3
	head, tail := uint8(0xff)<<(a&7), uint8(0xff)>>(7-(b-1)&7)
	if first == last {
		m.parts[first] |= head & tail
	} else {
		m.parts[first] |= head
		for i := first + 1; i < last; i++ {
			m.parts[i] = 0xff
		}
		m.parts[last] |= tail
	}
	m.lo, m.hi = min(m.lo, first), max(m.hi, last+1)
}

func (m *mask) cut(other *mask) {
	for i := other.lo; i < other.hi; i++ {
		m.parts[i] &^= other.parts[i]
	}
}

func (m *mask) keep(other *mask) {
	for i := m.lo; i < m.hi; i++ {
		m.parts[i] &= other.parts[i]
	}
}

// cover sets m to what the shape covers on the line at y.
func (s *shape) cover(m, other *mask, y int) {
	m.clear()
	for i := range s.elements {
		e := &s.elements[i]
		out := y < e.top || y > e.bottom
		switch {
		case out && e.mode == modeKeep:
			m.clear()
		case out:
		case e.mode == modeAdd:
			e.cover(m, y)
		default:
			other.clear()
			e.cover(other, y)
			if e.mode == modeCut {
				m.cut(other)
			} else {
				m.keep(other)
			}
		}
	}
}

func (e *element) cover(m *mask, y int) {
	switch e.kind {
	case kindAll:
		m.add(0, 16*Size)
	case kindDisc:
		e.coverDisc(m, y)
	case kindPolygon:
		e.coverPolygon(m, y)
	case kindLine:
		e.coverLine(m, y)
	}
}

func (e *element) coverDisc(m *mask, y int) {
	x, dy := e.points[0].x, y-e.points[0].y
	half := root(e.radius*e.radius - dy*dy)
	if e.inner < max(dy, -dy) {
		m.add(x-half, x+half+1)
		return
	}
	hole := root(e.inner*e.inner - dy*dy)
	m.add(x-half, x-hole)
	m.add(x+hole+1, x+half+1)
}

func (e *element) coverPolygon(m *mask, y int) {
	var xs [maxCrossings]int
	n := 0
	q := e.points[len(e.points)-1]
	for _, p := range e.points {
		if x, ok := crossing(q.x, q.y, p.x, p.y, y); ok && n < maxCrossings {
			i := n
			for ; i > 0 && xs[i-1] > x; i-- {
				xs[i] = xs[i-1]
			}
			xs[i] = x
			n++
		}
		q = p
	}
	for i := 0; i+1 < n; i += 2 {
		m.add(xs[i], xs[i+1])
	}
}

// coverLine covers each piece, the hull of the discs at its two ends.
func (e *element) coverLine(m *mask, y int) {
	for i := range max(len(e.points)-1, 1) {
		p := e.points[i]
		q := e.points[min(i+1, len(e.points)-1)]
		if y < min(p.y, q.y)-e.radius || y > max(p.y, q.y)+e.radius {
			continue
		}
		from, to := 1<<15, -1<<15
		for _, end := range [2]vertex{p, q} {
			if dy := y - end.y; max(dy, -dy) <= e.radius {
				half := root(e.radius*e.radius - dy*dy)
				from, to = min(from, end.x-half), max(to, end.x+half+1)
			}
		}
		for _, side := range [2]int{1, -1} {
			ox, oy := side*p.ox, side*p.oy
			if x, ok := crossing(p.x+ox, p.y+oy, q.x+ox, q.y+oy, y); ok {
				from, to = min(from, x), max(to, x)
			}
		}
		m.add(from, to)
	}
}

// crossing returns where the edge crosses the line at y. An edge holds its upper end and not its lower one.
func crossing(x0, y0, x1, y1, y int) (x int, ok bool) {
	if y0 > y1 {
		x0, y0, x1, y1 = x1, y1, x0, y0
	}
	if y < y0 || y >= y1 {
		return 0, false
	}
	return x0 + (y-y0)*(x1-x0)/(y1-y0), true
}
