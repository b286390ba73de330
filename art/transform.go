package art

// A transform mirrors x if flip is set, then scales, turns and moves. It keeps circles round.
type transform struct {
	flip  bool
	scale int64 // in 65536ths
	angle int
	move  spot
}

const one = 1 << 16

var identity = transform{scale: one}

// A spot is a point in 65536ths of a unit, so that curves are rounded only once.
type spot struct{ x, y int64 }

func at(x, y int) spot { return spot{int64(x) * one, int64(y) * one} }

func (t *transform) apply(p spot) spot {
	x, y := p.x*t.scale>>16, p.y*t.scale>>16
	if t.flip {
		x = -x
	}
	s, c := int64(sine(t.angle)), int64(cosine(t.angle))
	return spot{(x*c-y*s)>>14 + t.move.x, (x*s+y*c)>>14 + t.move.y}
}

// then returns the transform that does t first and u after it.
func (t *transform) then(u *transform) transform {
	return transform{flip: t.flip != u.flip, scale: t.scale * u.scale >> 16, angle: u.turned(t.angle), move: u.apply(t.move)}
}

// turned returns the angle that an angle becomes.
func (t *transform) turned(angle int) int {
	if t.flip {
		angle = -angle
	}
	return (t.angle + angle) & (turn - 1)
}

func (t *transform) length(v int) int { return int((int64(v)*t.scale + one/2) >> 16) }

// about returns the transform with p in the place of the origin.
func (t transform) about(p spot) transform {
	q := t.apply(p)
	t.move.x += p.x - q.x
	t.move.y += p.y - q.y
	return t
}

// angleOf returns an angle in degrees as parts of a turn, rounded.
func angleOf(degrees int) int { return (degrees*turn/180 + 1) >> 1 & (turn - 1) }
