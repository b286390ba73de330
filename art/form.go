package art

// A form is an element of a picture before it is placed: its kind, its points, its lengths and its angles.
type form struct {
	kind    byte
	points  []spot
	lengths []int
	angle   int // where an arc begins, or the tilt of an ellipse
	sweep   int
}

// forms says which kind each form is, and names its numbers. All lengths are in units; a width is that of the whole line.
var forms = map[string]struct {
	kind  byte
	wants string
}{
	"all":     {kindAll, ""},
	"disc":    {kindDisc, "x y radius"},
	"ring":    {kindRing, "x y radius width"},
	"arc":     {kindArc, "x y radius width from to"},
	"ellipse": {kindEllipse, "x y across down tilt"},
	"poly":    {kindPolygon, "x y x y x y ..."},
	"line":    {kindLine, "width x y ..."},
	"box":     {kindRound, "x y width height radius"},
	"round":   {kindRound, "radius x y x y x y ..."},
	"bend":    {kindBend, "width radius x y x y ..."},
	"loop":    {kindLoop, "width radius x y x y x y ..."},
	"blob":    {kindBlob, "x y x y x y ..."},
	"curve":   {kindCurve, "width x y x y ..."},
}

// form reads a statement as a form.
func (s *statement) form() (form, error) {
	known, ok := forms[s.verb]
	if !ok {
		return form{}, s.errorf("is not known")
	}
	n, err := s.numbers(s.words, known.wants)
	if err != nil {
		return form{}, err
	}
	f := form{kind: known.kind}
	switch f.kind {
	case kindAll:
		return f, nil
	case kindDisc, kindRing:
		f.points, f.lengths = spots(n[:2]), n[2:]
	case kindArc:
		f.points, f.lengths, f.angle = spots(n[:2]), n[2:4], angleOf(n[4])
		sweep := n[5] - n[4]
		if sweep < 0 || sweep > 360 {
			return f, s.errorf("from %d to %d degrees is not 0 to 360 clockwise", n[4], n[5])
		}
		f.sweep = min(sweep*turn/360, turn-1)
	case kindEllipse:
		f.points, f.lengths, f.angle = spots(n[:2]), n[2:4], angleOf(n[4])
	default:
		given := pathOf(f.kind).lengths
		f.points, f.lengths = spots(n[given:]), n[:given]
	}
	if s.verb == "box" {
		x, y, w, h := n[0], n[1], n[2], n[3]
		f.points, f.lengths = spots([]int{x, y, x + w, y, x + w, y + h, x, y + h}), n[4:]
	}
	if len(f.points) > maxPoints {
		return f, s.errorf("%d points, %d are allowed", len(f.points), maxPoints)
	}
	return f, nil
}

func spots(n []int) []spot {
	list := make([]spot, len(n)/2)
	for i := range list {
		list[i] = at(n[2*i], n[2*i+1])
	}
	return list
}
