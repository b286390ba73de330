package art

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden frames and the firmware's gen/art.* anew")

// TestSports: one background for each sport of the default rules, in their order, and all of it small enough.
func TestSports(t *testing.T) {
	data, err := os.ReadFile("../internal/rules/tokyo2020.json")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct{ Sports []struct{ ID string } }
	if err := json.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	g, err := compileAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.sports) != len(rules.Sports) {
		t.Fatalf("%d backgrounds for %d sports", len(g.sports), len(rules.Sports))
	}
	size := 0
	for i, sport := range g.sports {
		if sport.Name != rules.Sports[i].ID {
			t.Errorf("background %d is %s, the sport is %s", i, sport.Name, rules.Sports[i].ID)
		}
		if found, ok := Sport(sport.Name); !ok || !bytes.Equal(found.Ops, sport.Ops) {
			t.Errorf("%s is not found", sport.Name)
		}
		size += len(sport.Ops)
	}
	for i, medal := range []string{"none", "bronze", "silver", "gold"} {
		if found, ok := Medal(medal); !ok || !bytes.Equal(found.Ops, g.others[i].Ops) {
			t.Errorf("medal %s is not picture %d", medal, i)
		}
	}
	for _, p := range g.others {
		size += len(p.Ops)
	}
	if size > 16<<10 {
		t.Errorf("the pictures take %d bytes, more than 16 KiB", size)
	}
	if _, ok := Sport("medal-gold"); ok {
		t.Error("a medal is no sport")
	}
}

// TestBackgroundsCover: a background leaves no pixel of the display black by chance.
func TestBackgroundsCover(t *testing.T) {
	for _, sport := range Sports() {
		frame := NewFrame()
		for i := range frame.Pixels {
			frame.Pixels[i] = 0xf81f // no picture has this colour
		}
		if !frame.Draw(sport.Ops, Everywhere) {
			t.Errorf("%s is malformed", sport.Name)
		}
		for i, pixel := range frame.Pixels {
			left, right := round(i / Size)
			inside := i%Size >= left && i%Size < right
			if inside == (pixel == 0xf81f) {
				t.Errorf("%s: pixel %d of row %d: drawn %t, inside %t", sport.Name, i%Size, i/Size, pixel != 0xf81f, inside)
				break
			}
		}
	}
}

// golden are the scenes whose pixels never change by accident.
func golden() map[string][]call {
	scenes := map[string][]call{
		"medals": {
			{kind: 'm', n: []int{0, 300, 300, 320}},
			{kind: 'm', n: []int{1, 660, 300, 320}},
			{kind: 'm', n: []int{2, 300, 660, 320}},
			{kind: 'm', n: []int{3, 660, 660, 320}},
			{kind: 'e'},
		},
		"letters": letters(),
		"face":    face(5, 2, "127", 40000),
		"forms": {
			{kind: 'd', n: []int{480, 480, 470}, ink: RGB(0x203040)},
			{kind: 'b', n: []int{480, 300, 600, 160, 60}, ink: RGB(0xf0a030)},
			{kind: 'b', n: []int{480, 500, 500, 120, 0}, ink: Ink{0x07e0, 100}},
			{kind: 'r', n: []int{480, 480, 400, 40, 60000, 30000}, ink: RGB(0xffffff)},
			{kind: 'd', n: []int{480, 700, 100}, ink: Ink{0xf800, 128}},
			{kind: 'e'},
		},
	}
	scenes["comb"] = comb()
	for i, sport := range Sports() {
		scenes[sport.Name] = []call{{kind: 's', n: append([]int{i}, everywhere...)}, {kind: 'e'}}
	}
	return scenes
}

// comb is a polygon that some lines cross more often than the renderers draw.
func comb() []call {
	ops := []byte{paintPlain, 0xff, 0xff, 255, kindPolygon << 2, 64}
	point := func(x, y int) {
		for _, d := range []int{x, y} {
			v := d<<1 ^ d>>31
			ops = append(ops, byte(v>>8)|0x80, byte(v))
		}
	}
	point(80, 300)
	for i := range 63 {
		point(12, 300-600*(i%2))
	}
	return []call{{kind: 'a', bytes: ops, n: everywhere}}
}

func letters() []call {
	var calls []call
	y := 150
	for _, line := range []string{"0123456789", "ABCDEFGHIJ", "KLMNOPQRST", "UVWXYZ!?&%", "abcdefghijklm", "nopqrstuvwxyz", "#$@*+-=/.,:;'\"", "()[]{}<>\\^_`|~"} {
		calls = append(calls, call{kind: 't', bytes: []byte(line), n: []int{480, y, 70, 11}, ink: RGB(0xffffff)})
		y += 96
	}
	return calls
}

// TestGolden compares every frame with its hash in testdata/frames.sha256, and the PNGs there with the frames.
func TestGolden(t *testing.T) {
	const hashes = "testdata/frames.sha256"
	want, err := os.ReadFile(hashes)
	if err != nil && !*update {
		t.Fatal(err)
	}
	scenes := golden()
	var lines []string
	for name, scene := range scenes {
		frame, good := drawScene(scene, Size)
		if !good {
			t.Errorf("%s is malformed", name)
		}
		line := fmt.Sprintf("%x  %s\n", sha256.Sum256(pixelBytes(frame)), name)
		lines = append(lines, line)
		if !*update && !bytes.Contains(want, []byte(line)) {
			t.Errorf("%s is drawn differently; if it should be, look at it and run the test with -update", name)
		}
	}
	if *update {
		sortLines(lines)
		if err := os.WriteFile(hashes, []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if n := bytes.Count(want, []byte("\n")); n != len(scenes) {
		t.Errorf("%d hashes for %d frames", n, len(scenes))
	}
	for _, name := range []string{"face", "forms", "letters", "medals", "football", "surfing"} {
		testPNG(t, name, scenes[name])
	}
}

func testPNG(t *testing.T, name string, scene []call) {
	frame, _ := drawScene(scene, Size)
	file := filepath.Join("testdata", name+".png")
	var encoded bytes.Buffer
	if err := frame.WritePNG(&encoded); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, encoded.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	got := frame.Image()
	for y := range Size {
		for x := range Size {
			r, g, b, a := got.At(x, y).RGBA()
			wr, wg, wb, wa := want.At(x, y).RGBA()
			if r != wr || g != wg || b != wb || a != wa {
				t.Fatalf("%s: pixel %d %d is not as in the PNG", name, x, y)
			}
		}
	}
}

func pixelBytes(b *Band) []byte {
	var out []byte
	for _, pixel := range b.Pixels {
		out = binary.LittleEndian.AppendUint16(out, pixel)
	}
	return out
}

func sortLines(lines []string) {
	for i := range lines {
		for j := i; j > 0 && lines[j][66:] < lines[j-1][66:]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
}

// TestBands: how the rows are divided does not show.
func TestBands(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, name string, scene []call) {
		whole, good := drawScene(scene, Size)
		for _, rows := range []int{1, 7, 16} {
			parts, fine := drawScene(scene, rows)
			if fine != good || !bytes.Equal(pixelBytes(parts), pixelBytes(whole)) {
				t.Errorf("%s differs in bands of %d rows", name, rows)
			}
		}
	}
	for name, scene := range golden() {
		check(t, name, scene)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, "the scene", rapid.SliceOfN(anyCall(), 1, 3).Draw(t, "calls"))
	})
}

// TestInside: whatever is drawn, nothing outside the round display is touched.
func TestInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := NewFrame()
		for i := range frame.Pixels {
			frame.Pixels[i] = 0x1234
		}
		c := anyCall().Draw(t, "call")
		c.draw(frame)
		for i, pixel := range frame.Pixels {
			left, right := round(i / Size)
			if pixel != 0x1234 && (i%Size < left || i%Size >= right) {
				t.Fatalf("pixel %d of row %d is outside and was drawn", i%Size, i/Size)
			}
		}
	})
}

// TestDiscs draws shapes of discs and rings that add, cut and keep, beside a model that asks each of the 32 parts of a
// pixel.
func TestDiscs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shape
		type disc struct{ mode, x, y, radius, inner int }
		var discs []disc
		for range rapid.IntRange(1, 4).Draw(t, "discs") {
			d := disc{
				mode: rapid.IntRange(modeAdd, modeKeep).Draw(t, "mode"),
				x:    rapid.IntRange(-100, 700).Draw(t, "x"), y: rapid.IntRange(1700, 2000).Draw(t, "y"),
				radius: rapid.IntRange(0, 400).Draw(t, "radius"), inner: rapid.IntRange(-1, 300).Draw(t, "inner"),
			}
			discs = append(discs, d)
			s.disc(byte(d.mode), d.x, d.y, d.radius, d.inner)
		}
		inside := func(x, y int) bool {
			in := false
			for _, d := range discs {
				far := (x-d.x)*(x-d.x) + (y-d.y)*(y-d.y)
				hit := far <= d.radius*d.radius && (d.inner < 0 || far > d.inner*d.inner)
				switch d.mode {
				case modeAdd:
					in = in || hit
				case modeCut:
					in = in && !hit
				case modeKeep:
					in = in && hit
				}
			}
			return in
		}
		frame := NewFrame()
		frame.fill(&s, Ink{Colour: 63 << 5, Alpha: 255})
		for row := 100; row < 130; row++ {
			for column := 2; column < 40; column++ {
				parts := 0
				for i := range 32 {
					if inside(16*column+2*(i%8)+1, 16*row+4*(i/8)+2) {
						parts++
					}
				}
				want := (parts*63 + 16) / 32
				if got := int(frame.Pixels[row*Size+column] >> 5 & 63); got != want {
					t.Fatalf("pixel %d of row %d: %d, want %d for %d parts of %+v", column, row, got, want, parts, discs)
				}
			}
		}
	})
}

// TestLines draws a line and a polygon beside models in floating point; only parts right at an edge may differ.
func TestLines(t *testing.T) {
	number := rapid.IntRange(800, 2400)
	rapid.Check(t, func(t *rapid.T) {
		points := make([]vertex, rapid.IntRange(3, 6).Draw(t, "points"))
		for i := range points {
			points[i] = vertex{x: number.Draw(t, "x"), y: number.Draw(t, "y")}
		}
		radius := rapid.IntRange(8, 200).Draw(t, "radius")
		var line, polygon shape
		line.line(modeAdd, append([]vertex(nil), points...), radius)
		polygon.polygon(modeAdd, points)
		y := 2*rapid.IntRange(400, 1200).Draw(t, "y") + 1
		var onLine, inPolygon, other mask
		onLine.hi, inPolygon.hi, other.hi = Size, Size, Size
		line.cover(&onLine, &other, y)
		polygon.cover(&inPolygon, &other, y)
		for x := 801; x < 2400; x += 2 {
			set := func(m *mask) bool { return m.parts[x/16]>>(x%16/2)&1 == 1 }
			near, odd := math.Inf(1), false
			for i, p := range points {
				q := points[(i+1)%len(points)]
				if i < len(points)-1 {
					near = min(near, fromPiece(x, y, p, q)-float64(radius))
				}
				if (p.y <= y) != (q.y <= y) {
					odd = odd != (float64(x) > float64(p.x)+float64(y-p.y)*float64(q.x-p.x)/float64(q.y-p.y))
				}
			}
			if math.Abs(near) > 3 && set(&onLine) != (near < 0) {
				t.Fatalf("%d %d is %.1f from the edge of the line, drawn %t", x, y, near, set(&onLine))
			}
			edge := math.Inf(1)
			for i, p := range points {
				edge = min(edge, fromPiece(x, y, p, points[(i+1)%len(points)]))
			}
			if edge > 2 && set(&inPolygon) != odd {
				t.Fatalf("%d %d: drawn %t, within the polygon %t", x, y, set(&inPolygon), odd)
			}
		}
	})
}

// fromPiece returns how far a point is from the piece from p to q.
func fromPiece(x, y int, p, q vertex) float64 {
	dx, dy := float64(q.x-p.x), float64(q.y-p.y)
	share := 0.0
	if square := dx*dx + dy*dy; square > 0 {
		share = max(0, min(1, (float64(x-p.x)*dx+float64(y-p.y)*dy)/square))
	}
	return math.Hypot(float64(x-p.x)-share*dx, float64(y-p.y)-share*dy)
}

// TestCurves: a square with its corners rounded by half a side is a circle, so is an ellipse of equal axes, and a smooth
// curve goes through its points.
func TestCurves(t *testing.T) {
	for _, radius := range []int{40, 400, 1900} {
		square := []vertex{{x: -radius, y: -radius}, {x: radius, y: -radius}, {x: radius, y: radius}, {x: -radius, y: radius}}
		for name, path := range map[string][]vertex{
			"round":   flatten(square, pathBent, radius, true),
			"ellipse": ellipse(vertex{}, radius, radius, 12345),
		} {
			for i, p := range path {
				q := path[(i+1)%len(path)]
				for _, m := range [][2]int{{p.x, p.y}, {(p.x + q.x) / 2, (p.y + q.y) / 2}} {
					if far := math.Hypot(float64(m[0]), float64(m[1])); math.Abs(far-float64(radius)) > 5 { // a third of a pixel
						t.Errorf("%s of radius %d: a point %v is %.1f from the centre", name, radius, m, far)
					}
				}
			}
		}
	}
	through := []vertex{{x: 0, y: 0}, {x: 300, y: 100}, {x: 500, y: -400}, {x: 900, y: 0}}
	for _, closed := range []bool{false, true} {
		path := flatten(through, pathSmooth, 0, closed)
		for _, p := range through {
			found := false
			for _, q := range path {
				found = found || p == q
			}
			if !found {
				t.Errorf("the curve, closed %t, does not go through %v", closed, p)
			}
		}
	}
}

// TestArc: a sweep shows exactly its part of the circle.
func TestArc(t *testing.T) {
	frame := NewFrame()
	frame.Arc(Middle, Middle, 400, 40, turn/8, turn/4, RGB(0xffffff))
	for degrees := range 360 {
		a := float64(degrees) * math.Pi / 180
		x, y := int(120+100*math.Sin(a)), int(120-100*math.Cos(a))
		got := frame.Pixels[y*Size+x] != 0
		if want := degrees >= 45 && degrees <= 135; got != want && (degrees+5)%90-45 > 8 {
			t.Errorf("at %d degrees: drawn %t", degrees, got)
		}
	}
	full := NewFrame()
	full.Arc(Middle, Middle, 400, 40, 0, turn, RGB(0xffffff))
	dot := NewFrame()
	dot.Arc(Middle, Middle, 400, 40, 0, 0, RGB(0xffffff))
	if n := lit(full); n < 6283 || n > 7200 {
		t.Errorf("the whole circle has %d pixels", n)
	}
	if n := lit(dot); n < 70 || n > 110 {
		t.Errorf("the dot has %d pixels", n)
	}
}

func lit(b *Band) int {
	n := 0
	for _, pixel := range b.Pixels {
		if pixel != 0 {
			n++
		}
	}
	return n
}

// TestLimits: what is not placed or measured draws nothing, and what just is, does.
func TestLimits(t *testing.T) {
	white := RGB(0xffffff)
	for _, tt := range []struct {
		name string
		draw func(b *Band)
		want bool
	}{
		{"disc", func(b *Band) { b.Disc(-1024, 480, 1023, white) }, false}, // beside the display
		{"disc", func(b *Band) { b.Disc(-400, 480, 1023, white) }, true},
		{"disc", func(b *Band) { b.Disc(480, 480, 1024, white) }, false},
		{"disc", func(b *Band) { b.Disc(480, 480, -1, white) }, false},
		{"disc", func(b *Band) { b.Disc(480, 2048, 1023, white) }, false},
		{"arc", func(b *Band) { b.Arc(480, 480, 400, 40, turn, 10, white) }, false},
		{"arc", func(b *Band) { b.Arc(480, 480, 400, 40, 0, turn+1, white) }, false},
		{"arc", func(b *Band) { b.Arc(480, 480, 400, 1024, 0, 10, white) }, false},
		{"box", func(b *Band) { b.Box(480, 480, 200, 100, 51, white) }, false},
		{"box", func(b *Band) { b.Box(480, 480, 200, 100, 50, white) }, true},
		{"box", func(b *Band) { b.Box(480, 480, 200, 1024, 0, white) }, false},
		{"text", func(b *Band) { b.Text("x", 480, 480, Style{0, 10, white}) }, false},
		{"text", func(b *Band) { b.Text("x", 480, 480, Style{481, 10, white}) }, false},
		{"text", func(b *Band) { b.Text("x", 480, 480, Style{480, 10, white}) }, true},
		{"art", func(b *Band) { b.Draw(Sports()[0].Ops, Place{480, 480, 0}) }, false},
		{"art", func(b *Band) { b.Draw(Sports()[0].Ops, Place{480, 480, 1921}) }, false},
		{"art", func(b *Band) { b.Draw(Sports()[0].Ops, Place{480, -481, 960}) }, false},
		{"art", func(b *Band) { b.Draw(Sports()[0].Ops, Place{480, -400, 960}) }, true},
	} {
		frame := NewFrame()
		tt.draw(frame)
		if got := lit(frame) > 0; got != tt.want {
			t.Errorf("%s: drawn %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestMalformed: Draw tells ops that no compiler writes, and draws what comes before.
func TestMalformed(t *testing.T) {
	good := []byte{paintPlain, 0xff, 0xff, 0xff, kindAll << 2}
	for name, tail := range map[string][]byte{
		"no paint 0":       {0},
		"paint cut short":  {paintPlain, 1, 2},
		"no kind":          {13 << 2},
		"no mode 3":        {kindAll<<2 | 3},
		"disc cut short":   {kindDisc << 2, 2, 2},
		"point too far":    {paintPlain, 1, 2, 3, kindDisc << 2, 0xff, 0xff, 2, 2},
		"length too big":   {paintPlain, 1, 2, 3, kindDisc << 2, 2, 2, 0x84, 0x00},
		"too few points":   {paintPlain, 1, 2, 3, kindPolygon << 2, 2, 2, 2, 2, 2},
		"too many points":  {paintPlain, 1, 2, 3, kindLine << 2, 2, 65},
		"too many cells":   append([]byte{paintPlain, 1, 2, 3}, bytes.Repeat([]byte{kindAll << 2}, 75)...),
		"number cut short": {paintPlain, 1, 2, 3, kindDisc << 2, 0x80},
	} {
		frame := NewFrame()
		if frame.Draw(append(append([]byte{}, good...), tail...), Everywhere) {
			t.Errorf("%s is drawn", name)
		}
		if tail[0] == paintPlain && len(tail) > 3 && frame.Pixels[120*Size+120] != 0xffff {
			t.Errorf("%s: what comes before is not drawn", name)
		}
	}
	if NewFrame().Draw([]byte{kindAll << 2}, Everywhere) {
		t.Error("a form without a paint is drawn")
	}
	if !NewFrame().Draw(append(good, bytes.Repeat([]byte{kindAll << 2}, 73)...), Everywhere) {
		t.Error("74 elements have room")
	}
}

// FuzzDraw: ops are bytes from anywhere.
func FuzzDraw(f *testing.F) {
	for _, sport := range Sports()[:4] {
		f.Add(sport.Ops, int16(Middle), int16(Middle), int16(Whole))
	}
	f.Add([]byte{3, 0, 0, 9, 0, 0, 9, 0, 0, 0, 4}, int16(1440), int16(-480), int16(1920))
	f.Fuzz(func(t *testing.T, ops []byte, x, y, width int16) {
		band := &Band{Pixels: make([]uint16, 3*Size), Top: 118, Rows: 3}
		band.Draw(ops, Place{int(x), int(y), int(width)})
	})
}

func TestTables(t *testing.T) {
	for angle := -turn; angle < 2*turn; angle += 37 {
		a := float64(angle) * 2 * math.Pi / turn
		if math.Abs(float64(sine(angle))-16384*math.Sin(a)) > 3 || math.Abs(float64(cosine(angle))-16384*math.Cos(a)) > 3 {
			t.Fatalf("sine(%d) = %d, cosine = %d", angle, sine(angle), cosine(angle))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := int(rapid.Uint32().Draw(t, "v"))
		if r := root(v); r*r > v || (r+1)*(r+1) <= v {
			t.Fatalf("root(%d) = %d", v, r)
		}
	})
	for rgb, want := range map[uint32]uint16{0: 0, 0xffffff: 0xffff, 0xff0000: 0xf800, 0x00ff00: 0x07e0, 0x0000ff: 0x001f, 0x808080: 0x8410} {
		if got := RGB(rgb); got.Colour != want || got.Alpha != 255 {
			t.Errorf("RGB(%06x) = %04x %d", rgb, got.Colour, got.Alpha)
		}
	}
}

// TestBlend: alpha 0 changes nothing, half of white on black is grey, and a dithered surface has the average it should.
func TestBlend(t *testing.T) {
	frame := NewFrame()
	frame.Disc(Middle, Middle, 400, RGB(0x336699))
	before := pixelBytes(frame)
	frame.Disc(Middle, Middle, 300, Ink{Colour: 0xffff})
	if !bytes.Equal(pixelBytes(frame), before) {
		t.Error("ink that is not seen changes pixels")
	}
	frame.Disc(Middle, Middle, 400, RGB(0))
	frame.Disc(Middle, Middle, 400, Ink{0xffff, 128})
	if got := frame.Pixels[120*Size+120]; got != 16<<11|32<<5|16 {
		t.Errorf("half of white is %04x", got)
	}
	ops, err := Compile([]byte("color a 000000\ncolor b ffffff\npaint a to b down 0 960\nall\n"))
	if err != nil {
		t.Fatal(err)
	}
	frame.Draw(ops, Everywhere)
	for top := 40; top < 200; top += 8 {
		sum := 0.0
		for i := range 64 {
			sum += float64(frame.Pixels[(top+i/8)*Size+100+i%8] & 31)
		}
		if want := 31 * float64(top+4) / Size; math.Abs(sum/64-want) > 0.2 {
			t.Errorf("rows from %d: %.2f, want %.2f", top, sum/64, want)
		}
	}
}

// TestGenerated: the firmware's copy of the pictures is the compiler's.
func TestGenerated(t *testing.T) {
	header, code := C()
	for name, content := range map[string][]byte{"art.h": header, "art.c": code} {
		file := filepath.Join("../firmware/gen", name)
		if *update {
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, content) {
			t.Errorf("%s is not generated from the descriptions: run go generate ./art", file)
		}
	}
}

func BenchmarkFace(b *testing.B) {
	scene := face(5, 2, "127", 40000)
	for b.Loop() {
		drawScene(scene, Size)
	}
}
