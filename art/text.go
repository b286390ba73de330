package art

import (
	"fmt"
	"strconv"
)

// A font holds one glyph for each printable character of ASCII. A glyph is its advance, the number of its lines, and of
// each line its kind, the radius if it is bent, the number of its points, and the x and y of each. Font units are 160 to the
// height of a capital, which stands from y = 40 to y = 200.
type font struct {
	glyphs []byte
	starts [lastGlyph - firstGlyph + 2]uint16 // where each glyph starts, and the end
}

const (
	firstGlyph = ' '
	lastGlyph  = '~'

	capital    = 160
	capitalMid = 120
	maxLine    = 32 // characters drawn of a text
	maxHeight  = 480
)

// A Style is how text looks: the height of its capitals and the width of its lines, in units, and its ink. Capitals are
// half a line's width higher on each side than their height says.
type Style struct {
	Height, Weight int
	Ink            Ink
}

// TextWidth returns how wide Text will draw the text, in units.
func TextWidth(text string, height int) int {
	return textFont().advance(text) * height / capital
}

// Text draws printable ASCII centred on x, with the middle of the capitals at y. Other characters are drawn as "?"; what
// is beyond 32 characters is left out. Digits are all equally wide.
func (b *Band) Text(text string, x, y int, style Style) {
	if !placed(x, y) || !measured(style.Weight) || style.Height < 1 || style.Height > maxHeight {
		return
	}
	f := textFont()
	text = text[:min(len(text), maxLine)]
	left := 4*x - f.advance(text)*style.Height/(2*capital/4)
	pen := 0
	for i := range len(text) {
		g := f.glyph(text[i])
		from := left + pen*style.Height/(capital/4)
		pen += int(g[0])
		if from < -8*Size || from > 16*Size {
			continue
		}
		var s shape
		s.glyph(g, from, 4*y, style)
		b.fill(&s, style.Ink)
	}
}

// glyph adds the lines of a glyph that starts at x and has the middle of its capitals at y.
func (s *shape) glyph(g []byte, x, y int, style Style) bool {
	rest := g[2:]
	for range g[1] {
		kind, radius := pathOf(rest[0]), 0
		rest = rest[1:]
		if kind.how == pathBent {
			radius = int(rest[0]) * style.Height / (capital / 4)
			rest = rest[1:]
		}
		points := make([]vertex, rest[0])
		for i := range points {
			px, py := int(rest[1+2*i]), int(rest[2+2*i])
			points[i].x = x + px*style.Height/(capital/4)
			points[i].y = y + (py-capitalMid)*style.Height/(capital/4)
		}
		rest = rest[1+2*len(points):]
		if !s.path(modeAdd, kind, points, 2*style.Weight, radius) {
			return false
		}
	}
	return true
}

func (f *font) glyph(c byte) []byte {
	if c < firstGlyph || c > lastGlyph {
		c = '?'
	}
	i := c - firstGlyph
	return f.glyphs[f.starts[i]:f.starts[i+1]]
}

func (f *font) advance(text string) int {
	sum := 0
	for i := range min(len(text), maxLine) {
		sum += int(f.glyph(text[i])[0])
	}
	return sum
}

// compileFont reads the glyph blocks of a font: glyph character advance, then lines of width 0, then end. Each printable
// character must be there once, in the order of ASCII.
func compileFont(source []byte) (*font, error) {
	statements, err := parse(source)
	if err != nil {
		return nil, err
	}
	f := &font{}
	for i := range statements {
		s := &statements[i]
		next := byte(firstGlyph + i)
		name := string(rune(next))
		if next == ' ' {
			name = "space"
		}
		if s.verb != "glyph" || len(s.words) != 2 || s.words[0] != name {
			return nil, s.errorf("the next glyph must be %q, with its advance", name)
		}
		advance, err := strconv.ParseUint(s.words[1], 10, 8)
		if err != nil {
			return nil, s.errorf("advance %q is not 0 to 255", s.words[1])
		}
		f.starts[i] = uint16(len(f.glyphs))
		f.glyphs = append(f.glyphs, byte(advance), byte(len(s.body)))
		if f.glyphs, err = appendLines(f.glyphs, s.body); err != nil {
			return nil, err
		}
		f.starts[i+1] = uint16(len(f.glyphs))
		if !new(shape).glyph(f.glyph(next), 0, 0, Style{Height: maxHeight}) {
			return nil, s.errorf("takes more than %d cells", maxCells)
		}
	}
	if len(statements) != lastGlyph-firstGlyph+1 {
		return nil, fmt.Errorf("%d glyphs, %d are wanted", len(statements), lastGlyph-firstGlyph+1)
	}
	return f, nil
}

func appendLines(glyphs []byte, lines []statement) ([]byte, error) {
	for i := range lines {
		s := &lines[i]
		f, err := s.form()
		if err != nil {
			return nil, err
		}
		if f.kind < kindPolygon || f.kind > kindCurve || !pathOf(f.kind).line || f.lengths[0] != 0 || s.mode != modeAdd {
			return nil, s.errorf("a glyph has lines of width 0 only")
		}
		glyphs = append(glyphs, f.kind)
		for _, radius := range f.lengths[1:] {
			if radius < 0 || radius > 255 {
				return nil, s.errorf("the radius %d is outside 0 to 255", radius)
			}
			glyphs = append(glyphs, byte(radius))
		}
		glyphs = append(glyphs, byte(len(f.points)))
		for _, p := range f.points {
			x, y := p.x>>16, p.y>>16
			if min(x, y) < 0 || max(x, y) > 255 {
				return nil, s.errorf("the point %d %d is outside 0 to 255", x, y)
			}
			glyphs = append(glyphs, byte(x), byte(y))
		}
	}
	return glyphs, nil
}
