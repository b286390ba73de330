package art

import (
	"bytes"
	"strings"
	"testing"
)

// TestGlyphs: each character is drawn, differently from all others, within its advance.
func TestGlyphs(t *testing.T) {
	seen := map[string]rune{}
	for c := rune(firstGlyph); c <= lastGlyph; c++ {
		frame := NewFrame()
		frame.Text(string(c), Middle, Middle, Style{160, 20, RGB(0xffffff)})
		if (lit(frame) == 0) != (c == ' ') {
			t.Errorf("%q has %d pixels", c, lit(frame))
		}
		pixels := string(pixelBytes(frame))
		if other, ok := seen[pixels]; ok {
			t.Errorf("%q looks like %q", c, other)
		}
		seen[pixels] = c
		left, right := columns(frame)
		if width := TextWidth(string(c), 160) / 4; c != ' ' && (left < Size/2-width/2-2 || right > Size/2+width/2+2) {
			t.Errorf("%q is drawn from %d to %d, wider than its advance of %d", c, left, right, width)
		}
	}
}

// columns returns the first column that is drawn and the one after the last.
func columns(b *Band) (left, right int) {
	left = Size
	for i, pixel := range b.Pixels {
		if pixel != 0 {
			left, right = min(left, i%Size), max(right, i%Size+1)
		}
	}
	return left, right
}

func TestTextIsCentred(t *testing.T) {
	for _, text := range []string{"8", "88", "0880", "HH", "o"} {
		frame := NewFrame()
		frame.Text(text, Middle, Middle, Style{120, 16, RGB(0xffffff)})
		left, right := columns(frame)
		if d := left - (Size - right); d < -1 || d > 1 {
			t.Errorf("%q is drawn from %d to %d", text, left, right)
		}
		top, bottom := Size, 0
		for i, pixel := range frame.Pixels {
			if pixel != 0 {
				top, bottom = min(top, i/Size), max(bottom, i/Size+1)
			}
		}
		if text != "o" && (top != 103 || bottom != 137) { // 30 pixels and half a line's width on each side
			t.Errorf("%q is drawn from row %d to row %d", text, top, bottom)
		}
	}
}

func TestTextWidth(t *testing.T) {
	for _, digits := range []string{"0000", "1111", "7495"} {
		if got := TextWidth(digits, 160); got != 4*128 {
			t.Errorf("%s is %d wide, digits are all 128", digits, got)
		}
	}
	if got := TextWidth("00", 80); got != 128 {
		t.Errorf("half as high is %d wide", got)
	}
	if got := TextWidth("", 80); got != 0 {
		t.Errorf("nothing is %d wide", got)
	}
	if TextWidth(strings.Repeat("a", 33), 40) != TextWidth(strings.Repeat("a", 32), 40) {
		t.Error("what is not drawn has a width")
	}
}

// TestOddText: other characters are question marks, byte by byte, and long text ends.
func TestOddText(t *testing.T) {
	draw := func(text string) []byte {
		frame := NewFrame()
		frame.Text(text, Middle, Middle, Style{20, 4, RGB(0xffffff)})
		return pixelBytes(frame)
	}
	if !bytes.Equal(draw("\x01é\x7f"), draw("????")) {
		t.Error("other characters are not question marks")
	}
	if !bytes.Equal(draw(strings.Repeat("i", 33)), draw(strings.Repeat("i", 32))) {
		t.Error("the 33rd character is drawn")
	}
}
