package art

import (
	"os"
	"strings"
	"testing"
)

const someColour = "color red ff0000\n"

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{"disc 1 2 3", "line 1: disc: wants a paint above it"},
		{"paint red", `line 1: paint: there is no color "red" above`},
		{"color red ff00", `line 1: color: wants "name rrggbb", got "red ff00"`},
		{"color red ff00zz", `line 1: color: "ff00zz" is not six hexadecimal digits`},
		{someColour + someColour, `line 2: color: "red" is there already`},
		{someColour + "paint", "line 2: paint: wants the name of a color"},
		{someColour + "paint red 101%", `line 2: paint: "101%" is not a share from 0% to 100%`},
		{someColour + "paint red half", `line 2: paint: "half" is not a share like 50%, nor "to"`},
		{someColour + "paint red to", "line 2: paint: wants the name of a color"},
		{someColour + "paint red to red", `line 2: paint: wants "down" or "around" at its end`},
		{someColour + "paint red to red up 1 2", `line 2: paint: "up" is neither "down" nor "around"`},
		{someColour + "paint red to red down 1", `line 2: paint: wants "top bottom", got "1"`},
		{someColour + "paint red to red around 1 2 1024", "line 2: paint: the length 1024 is outside 0 to 1023"},
		{someColour + "paint red\n\n# nothing\ndisc 1 2", `line 5: disc: wants "x y radius", got "1 2"`},
		{someColour + "paint red\ndisc 1 2 3 4", `line 3: disc: wants "x y radius", got "1 2 3 4"`},
		{someColour + "paint red\ndisc 1 2 three", `line 3: disc: "three" is not a whole number from -32768 to 32767`},
		{someColour + "paint red\ndisc 1 2 40000", `line 3: disc: "40000" is not a whole number from -32768 to 32767`},
		{someColour + "paint red\ndisc 1 2048 3", "line 3: disc: the point 1 2048 is outside -1024 to 2047"},
		{someColour + "paint red\ndisc 1 2 -3", "line 3: disc: the length -3 is outside 0 to 1023"},
		{someColour + "paint red\npoly 1 2 3 4", `line 3: poly: wants "x y x y x y ...", got "1 2 3 4"`},
		{someColour + "paint red\nline 1 2 3 4", `line 3: line: wants "width x y ...", got "1 2 3 4"`},
		{someColour + "paint red\narc 1 2 3 4 90 80", "line 3: arc: from 90 to 80 degrees is not 0 to 360 clockwise"},
		{someColour + "paint red\narc 1 2 3 4 0 361", "line 3: arc: from 0 to 361 degrees is not 0 to 360 clockwise"},
		{someColour + "paint red\nline 1" + strings.Repeat(" 1 2", 65), "line 3: line: 65 points, 64 are allowed"},
		{someColour + "paint red\nsquare 1 2 3", "line 3: square: is not known"},
		{someColour + "paint red\ncut", "line 3: cut: wants a form behind it"},
		{someColour + "paint red\ncut repeat 2\ndisc 1 2 3\nend", "line 3: repeat: cut and keep stand before forms only"},
		{someColour + "paint red\nrepeat 64\nrepeat 2\nall\nend\nend", "line 5: all: the shape takes more than 448 cells: paint again"},
		{"end", "line 1: end: stands alone on its line and ends a block"},
		{"group\nend 3", "line 2: end: stands alone on its line and ends a block"},
		{"group\nall", "line 1: group: has no end"},
		{"group\ngroup\ngroup\ngroup", "line 4: group: blocks are at most 3 deep"},
		{"repeat\nend", "line 1: repeat: wants a number of times"},
		{"repeat 65\nend", "line 1: repeat: 65 times, 1 to 64 are allowed"},
		{"repeat 0\nend", "line 1: repeat: 0 times, 1 to 64 are allowed"},
		{"repeat 3 turn 3\nend", `line 1: repeat: wants "amount x y", got "3"`},
		{"repeat 3 spin 3 4\nend", `line 1: repeat: "spin" is none of turn, move, scale`},
		{"group scale 0 1 2\nend", "line 1: group: scale by 0, 1 to 1000 percent are allowed"},
		{"group" + strings.Repeat(" scale 1000 0 0", 3) + "\nend", "line 1: group: scales by too much in all"},
		{"mirror\nend", `line 1: mirror: wants "x", got ""`},
		{"glyph A 3\nend", "line 1: glyph: stands in fonts only"},
		{someColour + "repeat 64\nrepeat 64\npaint red\nend\nend", "line 4: paint: the picture grew over 4096 bytes"},
		{strings.Repeat("#", 1<<16+1), "the description has 65537 bytes, at most 65536 are allowed"},
	} {
		ops, err := Compile([]byte(tt.source))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.60q: %v\nwant %s", tt.source, err, tt.want)
		}
		if ops != nil {
			t.Errorf("%.60q: ops in spite of the error", tt.source)
		}
	}
}

// TestBlocks: transforms give the ops that the moved numbers give.
func TestBlocks(t *testing.T) {
	for _, tt := range []struct{ block, plain string }{
		{"group move 10 20\ndisc 1 2 3\nend", "disc 11 22 3"},
		{"group turn 90 480 480\ndisc 480 380 7\nend", "disc 580 480 7"},
		{"group scale 200 100 100\nring 110 120 5 2\nend", "ring 120 140 10 4"},
		{"mirror 480\nline 3 400 100 300 200\nend", "line 3 400 100 300 200\nline 3 560 100 660 200"},
		{"repeat 3 move 5 0\ndisc 1 2 3\nend", "disc 1 2 3\ndisc 6 2 3\ndisc 11 2 3"},
		{"repeat 2 turn 180 100 100\ndisc 100 90 3\nend", "disc 100 90 3\ndisc 100 110 3"},
		{"mirror 0\narc 100 0 50 4 0 90\nend", "arc 100 0 50 4 0 90\narc -100 0 50 4 270 360"},
		{"group turn 90 0 0\narc 100 0 50 4 0 90\nend", "arc 0 100 50 4 90 180"},
		{"group turn 30 0 0\nellipse 0 0 50 40 15\nend", "ellipse 0 0 50 40 45"},
		{"group move 10 0 turn 90 0 0\ndisc 0 0 3\nend", "disc 0 10 3"},
		{"group move 5 0\ngroup turn 90 0 0\ndisc 10 0 3\nend\nend", "disc 5 10 3"},
		{"repeat 1\ncut disc 1 2 3\nkeep all\nend", "cut disc 1 2 3\nkeep all"},
		{"box 10 20 30 40 0", "round 0 10 20 40 20 40 60 10 60"},
	} {
		block, err := Compile([]byte(someColour + "paint red\n" + tt.block))
		if err != nil {
			t.Errorf("%q: %v", tt.block, err)
		}
		plain, err := Compile([]byte(someColour + "paint red\n" + tt.plain))
		if err != nil {
			t.Errorf("%q: %v", tt.plain, err)
		}
		if string(block) != string(plain) {
			t.Errorf("%q gives %v, %q gives %v", tt.block, block, tt.plain, plain)
		}
	}
}

func TestFontErrors(t *testing.T) {
	space := "glyph space 60\nend\n"
	for _, tt := range []struct{ source, want string }{
		{"", "0 glyphs, 95 are wanted"},
		{space, "1 glyphs, 95 are wanted"},
		{"glyph ! 60\nend", `line 1: glyph: the next glyph must be "space", with its advance`},
		{space + "line 0 1 2", `line 3: line: the next glyph must be "!", with its advance`},
		{"glyph space 256\nend", `line 1: glyph: advance "256" is not 0 to 255`},
		{"glyph space 6\ndisc 1 2 3\nend", "line 2: disc: a glyph has lines of width 0 only"},
		{"glyph space 6\nline 4 1 2\nend", "line 2: line: a glyph has lines of width 0 only"},
		{"glyph space 6\ncut line 0 1 2\nend", "line 2: line: a glyph has lines of width 0 only"},
		{"glyph space 6\npoly 0 1 2 3 4 5\nend", "line 2: poly: a glyph has lines of width 0 only"},
		{"glyph space 6\nline 0 1 256\nend", "line 2: line: the point 1 256 is outside 0 to 255"},
		{"glyph space 6\nbend 0 256 1 2 3 4\nend", "line 2: bend: the radius 256 is outside 0 to 255"},
		{"glyph space 6\n" + strings.Repeat("loop 0 90 0 0 200 0 200 200 0 200\n", 5) + "end", "line 1: glyph: takes more than 448 cells"},
	} {
		if _, err := compileFont([]byte(tt.source)); err == nil || err.Error() != tt.want {
			t.Errorf("%.60q: %v\nwant %s", tt.source, err, tt.want)
		}
	}
}

// FuzzCompile: no text breaks the compiler, and what it compiles is well formed.
func FuzzCompile(f *testing.F) {
	names, err := files.ReadDir(".")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		source, err := os.ReadFile(name.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		if ops, err := Compile(source); err == nil {
			band := &Band{Pixels: make([]uint16, Size), Top: 120, Rows: 1}
			if !band.Draw(ops, Everywhere) {
				t.Errorf("%q compiles to malformed ops", source)
			}
		}
		_, _ = compileFont(source) // must not panic
	})
}
