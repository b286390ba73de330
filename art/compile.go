package art

import (
	"strconv"
	"strings"
)

// maxOps is how long a compiled picture may be, in bytes.
const maxOps = 4096

// Compile turns a description into the ops that both renderers draw. Errors name the line, the statement and the rule.
func Compile(source []byte) ([]byte, error) {
	statements, err := parse(source)
	if err != nil {
		return nil, err
	}
	w := writer{colours: map[string]uint16{}}
	if err := w.run(statements, identity); err != nil {
		return nil, err
	}
	return w.ops, nil
}

// A writer runs the statements of a picture and writes their ops.
type writer struct {
	colours map[string]uint16
	ops     []byte
	last    [2]int // the last point
	shape   *shape // what the current paint covers so far
}

func (w *writer) run(statements []statement, t transform) error {
	for i := range statements {
		s := &statements[i]
		var err error
		switch s.verb {
		case "color":
			err = w.colour(s)
		case "paint":
			err = w.paint(s, t)
		case "repeat", "mirror", "group":
			err = w.block(s, t)
		case "glyph":
			err = s.errorf("stands in fonts only")
		default:
			err = w.form(s, t)
		}
		if err == nil && len(w.ops) > maxOps {
			err = s.errorf("the picture grew over %d bytes", maxOps)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) colour(s *statement) error {
	if len(s.words) != 2 || len(s.words[1]) != 6 {
		return s.errorf("wants %q, got %q", "name rrggbb", strings.Join(s.words, " "))
	}
	name, digits := s.words[0], s.words[1]
	rgb, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return s.errorf("%q is not six hexadecimal digits", digits)
	}
	if _, ok := w.colours[name]; ok {
		return s.errorf("%q is there already", name)
	}
	w.colours[name] = RGB(uint32(rgb)).Colour
	return nil
}

// paint begins a shape: name [alpha%] [to name [alpha%] down y y | around x y r].
func (w *writer) paint(s *statement, t transform) error {
	words := s.words
	ink, words, err := w.ink(s, words)
	if err != nil {
		return err
	}
	w.shape = &shape{}
	if len(words) == 0 {
		w.ops = appendInk(append(w.ops, paintPlain), ink)
		return nil
	}
	if words[0] != "to" {
		return s.errorf("%q is not a share like 50%%, nor \"to\"", words[0])
	}
	other, words, err := w.ink(s, words[1:])
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return s.errorf("wants \"down\" or \"around\" at its end")
	}
	switch words[0] {
	case "down":
		n, err := s.numbers(words[1:], "top bottom")
		if err != nil {
			return err
		}
		w.ops = appendInk(appendInk(append(w.ops, paintDown), ink), other)
		return w.points(s, t.apply(at(Middle, n[0])), t.apply(at(Middle, n[1])))
	case "around":
		n, err := s.numbers(words[1:], "x y radius")
		if err != nil {
			return err
		}
		w.ops = appendInk(appendInk(append(w.ops, paintAround), ink), other)
		if err := w.points(s, t.apply(at(n[0], n[1]))); err != nil {
			return err
		}
		return w.length(s, t.length(n[2]))
	}
	return s.errorf("%q is neither \"down\" nor \"around\"", words[0])
}

func (w *writer) ink(s *statement, words []string) (Ink, []string, error) {
	if len(words) == 0 {
		return Ink{}, nil, s.errorf("wants the name of a color")
	}
	colour, ok := w.colours[words[0]]
	if !ok {
		return Ink{}, nil, s.errorf("there is no color %q above", words[0])
	}
	ink := Ink{Colour: colour, Alpha: 255}
	words = words[1:]
	if len(words) > 0 && strings.HasSuffix(words[0], "%") {
		share, err := strconv.ParseUint(strings.TrimSuffix(words[0], "%"), 10, 8)
		if err != nil || share > 100 {
			return Ink{}, nil, s.errorf("%q is not a share from 0%% to 100%%", words[0])
		}
		ink.Alpha = uint8((share*255 + 50) / 100)
		words = words[1:]
	}
	return ink, words, nil
}

// block runs the statements within repeat, mirror and group.
func (w *writer) block(s *statement, t transform) error {
	if s.mode != modeAdd {
		return s.errorf("cut and keep stand before forms only")
	}
	words, times := s.words, 1
	switch s.verb {
	case "mirror":
		n, err := s.numbers(words, "x")
		if err != nil {
			return err
		}
		if err := w.run(s.body, t); err != nil {
			return err
		}
		flipped := transform{flip: true, scale: one, move: at(2*n[0], 0)}
		return w.run(s.body, flipped.then(&t))
	case "repeat":
		if len(words) == 0 {
			return s.errorf("wants a number of times")
		}
		n, err := s.numbers(words[:1], "times")
		if err != nil {
			return err
		}
		if times, words = n[0], words[1:]; times < 1 || times > maxRepeat {
			return s.errorf("%d times, 1 to %d are allowed", times, maxRepeat)
		}
	}
	step, err := s.transform(words)
	if err != nil {
		return err
	}
	inner := identity
	if s.verb == "group" {
		inner = step
	}
	for range times {
		if err := w.run(s.body, inner.then(&t)); err != nil {
			return err
		}
		inner = inner.then(&step)
	}
	return nil
}

// transform reads steps: turn degrees x y, move x y, scale percent x y.
func (s *statement) transform(words []string) (transform, error) {
	t := identity
	for len(words) > 0 {
		what, length := "x y", 3
		if words[0] == "turn" || words[0] == "scale" {
			what, length = "amount x y", 4
		}
		n, err := s.numbers(words[1:min(length, len(words))], what)
		if err != nil {
			return t, err
		}
		step := identity
		switch words[0] {
		case "turn":
			step.angle = angleOf(n[0])
			step = step.about(at(n[1], n[2]))
		case "scale":
			if n[0] < 1 || n[0] > 1000 {
				return t, s.errorf("scale by %d, 1 to 1000 percent are allowed", n[0])
			}
			step.scale = int64(n[0]) * one / 100
			step = step.about(at(n[1], n[2]))
		case "move":
			step.move = at(n[0], n[1])
		default:
			return t, s.errorf("%q is none of turn, move, scale", words[0])
		}
		if t = t.then(&step); t.scale < 1 || t.scale > 1<<24 {
			return t, s.errorf("scales by too much in all")
		}
		words = words[length:]
	}
	return t, nil
}

// form writes one element, and reads it back to see that the renderers have room for it.
func (w *writer) form(s *statement, t transform) error {
	if w.shape == nil {
		return s.errorf("wants a paint above it")
	}
	f, err := s.form()
	if err != nil {
		return err
	}
	back := reader{at: Everywhere, x: w.last[0], y: w.last[1]}
	start := len(w.ops)
	code := f.kind<<2 | s.mode
	w.ops = append(w.ops, code)
	if err := w.numbers(s, &f, &t); err != nil {
		return err
	}
	back.ops = w.ops[start+1:]
	if !back.element(w.shape, code) {
		return s.errorf("the shape takes more than %d cells: paint again", maxCells)
	}
	return nil
}

// numbers writes what follows the code of an element: paths have their lengths first, other forms their point.
func (w *writer) numbers(s *statement, f *form, t *transform) error {
	placed := make([]spot, len(f.points))
	for i, p := range f.points {
		placed[i] = t.apply(p)
	}
	path := f.kind >= kindPolygon && f.kind <= kindCurve
	if !path {
		if err := w.points(s, placed...); err != nil {
			return err
		}
	}
	for _, length := range f.lengths {
		if err := w.length(s, t.length(length)); err != nil {
			return err
		}
	}
	switch {
	case path:
		w.ops = append(w.ops, byte(len(placed)))
		return w.points(s, placed...)
	case f.kind == kindEllipse:
		w.number(t.turned(f.angle) >> 1)
	case f.kind == kindArc:
		from := t.turned(f.angle)
		if t.flip {
			from = t.turned(f.angle + f.sweep)
		}
		w.number(from >> 1)
		w.number(f.sweep >> 1)
	}
	return nil
}

func (w *writer) points(s *statement, spots ...spot) error {
	for _, p := range spots {
		x, y := int((p.x+one/2)>>16), int((p.y+one/2)>>16)
		if !placed(x, y) {
			return s.errorf("the point %d %d is outside %d to %d", x, y, minPlace, maxPlace)
		}
		w.signed(x - w.last[0])
		w.signed(y - w.last[1])
		w.last = [2]int{x, y}
	}
	return nil
}

func (w *writer) length(s *statement, v int) error {
	if !measured(v) {
		return s.errorf("the length %d is outside 0 to %d", v, maxLength)
	}
	w.number(v)
	return nil
}

func (w *writer) signed(v int) { w.number(v<<1 ^ v>>31) }

func (w *writer) number(v int) {
	if v >= 0x80 {
		w.ops = append(w.ops, byte(v>>8)|0x80)
	}
	w.ops = append(w.ops, byte(v))
}

func appendInk(ops []byte, ink Ink) []byte {
	return append(ops, byte(ink.Colour), byte(ink.Colour>>8), ink.Alpha)
}
