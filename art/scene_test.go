package art

import "pgregory.net/rapid"

// A call is one call of the drawing functions, as the tests draw it in Go and firmware/test/test_draw.c in C.
type call struct {
	kind  byte
	n     []int // all numbers, in the order of the C function
	bytes []byte
	ink   Ink
}

// draw makes the call and reports whether pictures were well formed.
func (c *call) draw(b *Band) bool {
	n := c.n
	switch c.kind {
	case 'a':
		return b.Draw(c.bytes, Place{n[0], n[1], n[2]})
	case 's':
		return b.Draw(Sports()[n[0]].Ops, Place{n[1], n[2], n[3]})
	case 'm':
		return b.Draw(embedded().others[n[0]].Ops, Place{n[1], n[2], n[3]})
	case 'c':
		return b.Draw(Scrim().Ops, Place{n[0], n[1], n[2]})
	case 'd':
		b.Disc(n[0], n[1], n[2], c.ink)
	case 'r':
		b.Arc(n[0], n[1], n[2], n[3], n[4], n[5]+1, c.ink)
	case 'b':
		b.Box(n[0], n[1], n[2], n[3], n[4], c.ink)
	case 't':
		b.Text(string(c.bytes), n[0], n[1], Style{n[2], n[3], c.ink})
	case 'e':
		b.Rim()
	default:
		panic("an unknown call")
	}
	return true
}

// drawScene draws the calls in bands of so many rows and returns the frame.
func drawScene(calls []call, rows int) (frame *Band, good bool) {
	frame, good = NewFrame(), true
	for top := 0; top < Size; top += rows {
		band := Band{Top: top, Rows: min(rows, Size-top)}
		band.Pixels = frame.Pixels[top*Size : (top+band.Rows)*Size]
		band.Clear()
		for i := range calls {
			good = calls[i].draw(&band) && good
		}
	}
	return frame, good
}

var everywhere = []int{Middle, Middle, Whole}

// face is a scene such as the pin shows it.
func face(sport, medal int, friends string, progress int) []call {
	white := RGB(0xffffff)
	return []call{
		{kind: 's', n: append([]int{sport}, everywhere...)},
		{kind: 'c', n: everywhere},
		{kind: 'm', n: []int{medal, 480, 200, 200}},
		{kind: 't', bytes: []byte(friends), n: []int{480, 420, 190, 34}, ink: white},
		{kind: 't', bytes: []byte("friends"), n: []int{480, 590, 64, 11}, ink: white},
		{kind: 't', bytes: []byte("8,214 steps"), n: []int{480, 700, 52, 9}, ink: white},
		{kind: 'r', n: []int{480, 480, 458, 20, 0, turn - 1}, ink: Ink{Alpha: 120}},
		{kind: 'r', n: []int{480, 480, 458, 20, 0, progress}, ink: RGB(0xffd24a)},
		{kind: 'e'},
	}
}

// anyNumber is often a sensible place or length, and sometimes anything.
func anyNumber() *rapid.Generator[int] {
	return rapid.OneOf(rapid.IntRange(0, 960), rapid.IntRange(0, 120), rapid.IntRange(-1100, 2200), rapid.IntRange(-32768, 32767))
}

// anyOps is often a program with the right codes, and sometimes just bytes.
func anyOps() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 9).Draw(t, "hostile") == 0 {
			return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		}
		var ops []byte
		x, y := 0, 0
		number := func(v int) {
			if v >= 0x80 {
				ops = append(ops, byte(v>>8)|0x80)
			}
			ops = append(ops, byte(v))
		}
		point := func() {
			nx, ny := rapid.IntRange(-300, 1260).Draw(t, "x"), rapid.IntRange(-300, 1260).Draw(t, "y")
			for _, d := range []int{nx - x, ny - y} {
				number(d<<1 ^ d>>31)
			}
			x, y = nx, ny
		}
		length := rapid.OneOf(rapid.IntRange(0, 1023), rapid.IntRange(0, 60))
		ink := func() { ops = append(ops, rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "ink")...) }
		for range rapid.IntRange(1, 4).Draw(t, "shapes") {
			paint := rapid.IntRange(paintPlain, paintAround).Draw(t, "paint")
			ops = append(ops, byte(paint))
			ink()
			if paint != paintPlain {
				ink()
				point()
			}
			if paint == paintDown {
				point()
			}
			if paint == paintAround {
				number(length.Draw(t, "reach"))
			}
			for range rapid.IntRange(0, 4).Draw(t, "elements") {
				kind := rapid.ByteRange(kindAll, kindEllipse).Draw(t, "kind")
				mode := rapid.SampledFrom([]byte{modeAdd, modeAdd, modeAdd, modeCut, modeKeep}).Draw(t, "mode")
				ops = append(ops, kind<<2|mode)
				switch kind {
				case kindAll:
				case kindDisc, kindRing, kindArc, kindEllipse:
					point()
					number(length.Draw(t, "radius"))
					if kind != kindDisc {
						number(length.Draw(t, "width"))
					}
					if kind == kindArc || kind == kindEllipse {
						number(rapid.IntRange(0, 32767).Draw(t, "angle"))
					}
					if kind == kindArc {
						number(rapid.IntRange(0, 32767).Draw(t, "sweep"))
					}
				default:
					path := pathOf(kind)
					for range path.lengths {
						number(length.Draw(t, "length"))
					}
					n := rapid.IntRange(path.least, 12).Draw(t, "points")
					ops = append(ops, byte(n))
					for range n {
						point()
					}
				}
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "cut off") == 0 {
			ops = ops[:rapid.IntRange(0, len(ops)).Draw(t, "end")]
		}
		return ops
	})
}

func anyCall() *rapid.Generator[call] {
	return rapid.Custom(func(t *rapid.T) call {
		numbers := func(count int) []int { return rapid.SliceOfN(anyNumber(), count, count).Draw(t, "n") }
		c := call{
			kind: rapid.SampledFrom([]byte("aaasmcdrbte")).Draw(t, "kind"),
			ink:  Ink{rapid.Uint16().Draw(t, "colour"), rapid.Byte().Draw(t, "alpha")},
		}
		switch c.kind {
		case 'a':
			c.bytes, c.n = anyOps().Draw(t, "ops"), numbers(3)
			if rapid.Bool().Draw(t, "everywhere") {
				c.n = everywhere
			}
		case 's':
			c.n = append([]int{rapid.IntRange(0, len(Sports())-1).Draw(t, "sport")}, numbers(3)...)
		case 'm':
			c.n = append([]int{rapid.IntRange(0, 3).Draw(t, "medal")}, numbers(3)...)
		case 'c', 'd':
			c.n = numbers(3)
		case 'r':
			angle := rapid.IntRange(0, turn-1)
			c.n = append(numbers(4), angle.Draw(t, "from"), angle.Draw(t, "sweep"))
		case 'b':
			c.n = numbers(5)
		case 't':
			c.bytes, c.n = []byte(rapid.StringMatching(`[ -~]{0,12}[^\x00]{0,30}`).Draw(t, "text")), numbers(4)
		}
		return c
	})
}
