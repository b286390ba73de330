package art

// A path is what the kinds of elements that have points differ in.
type path struct {
	how          int
	line, closed bool
	least        int // points
	lengths      int // before the points: a line's width, a bent path's radius
}

const (
	pathStraight = iota
	pathBent     // corners are rounded
	pathSmooth   // through all points, without corners
)

// pathOf returns what a kind of element from kindPolygon to kindCurve is.
func pathOf(kind byte) path {
	return [...]path{
		{how: pathStraight, closed: true, least: 3},
		{how: pathStraight, line: true, least: 1, lengths: 1},
		{how: pathBent, closed: true, least: 3, lengths: 1},
		{how: pathBent, line: true, least: 2, lengths: 2},
		{how: pathBent, line: true, closed: true, least: 3, lengths: 2},
		{how: pathSmooth, closed: true, least: 3},
		{how: pathSmooth, line: true, least: 2, lengths: 1},
	}[kind-kindPolygon]
}

// flatten returns the path as straight pieces. Lengths are in sixteenths of a pixel.
func flatten(points []vertex, how, radius int, closed bool) []vertex {
	switch {
	case how == pathSmooth:
		return smooth(points, closed)
	case how == pathBent && radius > 0:
		return bent(points, radius, closed)
	}
	return points
}

// bent rounds each corner with a Bézier curve that for a right angle is a quarter of a circle, of the radius or of what the
// sides have room for.
func bent(corners []vertex, radius int, closed bool) []vertex {
	var path []vertex
	n := len(corners)
	for i, p := range corners {
		if !closed && (i == 0 || i == n-1) {
			path = append(path, p)
			continue
		}
		a := toward(p, corners[(i+n-1)%n], radius, !closed && i == 1)
		b := toward(p, corners[(i+1)%n], radius, !closed && i == n-2)
		// A quarter of a circle has its control points 0.55 of the way to the corner.
		ca := vertex{x: a.x + (p.x-a.x)*141/256, y: a.y + (p.y-a.y)*141/256}
		cb := vertex{x: b.x + (p.x-b.x)*141/256, y: b.y + (p.y-b.y)*141/256}
		path = bezier(append(path, a), a, ca, cb, b)
	}
	return path
}

// toward returns the point on the way from p to q at the distance, but not past q, nor past the middle unless all of the
// way may be taken.
func toward(p, q vertex, distance int, whole bool) vertex {
	dx, dy := q.x-p.x, q.y-p.y
	length := root(dx*dx + dy*dy)
	room := length
	if !whole {
		room /= 2
	}
	distance = min(distance, room)
	if length == 0 {
		return p
	}
	return vertex{x: p.x + dx*distance/length, y: p.y + dy*distance/length}
}

// smooth is a Catmull-Rom curve. An open one goes on at its ends as straight as it can.
func smooth(through []vertex, closed bool) []vertex {
	var path []vertex
	n := len(through)
	spans := n
	if !closed {
		path = append(path, through[0])
		spans = n - 1
	}
	for i := range spans {
		p, q := through[i], through[(i+1)%n]
		o, r := through[(i+n-1)%n], through[(i+2)%n]
		if !closed && i == 0 {
			o = vertex{x: 2*p.x - q.x, y: 2*p.y - q.y}
		}
		if !closed && i == n-2 {
			r = vertex{x: 2*q.x - p.x, y: 2*q.y - p.y}
		}
		cp := vertex{x: p.x + (q.x-o.x)/6, y: p.y + (q.y-o.y)/6}
		cq := vertex{x: q.x - (r.x-p.x)/6, y: q.y - (r.y-p.y)/6}
		path = bezier(path, p, cp, cq, q)
	}
	return path
}

// bezier appends the curve from p, which is there already, to q. The further it bends, the more pieces it has.
func bezier(path []vertex, p, cp, cq, q vertex) []vertex {
	bend := max(
		distance(p.x-2*cp.x+cq.x), distance(p.y-2*cp.y+cq.y),
		distance(cp.x-2*cq.x+q.x), distance(cp.y-2*cq.y+q.y))
	n := min(1+root(bend*3/8), maxPieces)
	for k := 1; k <= n; k++ {
		j := n - k
		a, b, c, d := j*j*j, 3*j*j*k, 3*j*k*k, k*k*k
		path = append(path, vertex{
			x: (p.x*a + cp.x*b + cq.x*c + q.x*d) / (n * n * n),
			y: (p.y*a + cp.y*b + cq.y*c + q.y*d) / (n * n * n),
		})
	}
	return path
}

const maxPieces = 24 // of one curve

func distance(v int) int { return max(v, -v) }

// ellipse returns the outline of an ellipse, turned.
func ellipse(centre vertex, across, down, tilt int) []vertex {
	n := min(16+max(across, down)/32, 72)
	s, c := sine(tilt), cosine(tilt)
	path := make([]vertex, n)
	for i := range path {
		x, y := across*sine(i*turn/n)>>14, -down*cosine(i*turn/n)>>14
		path[i] = vertex{x: centre.x + (x*c-y*s)>>14, y: centre.y + (x*s+y*c)>>14}
	}
	return path
}
