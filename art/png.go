package art

import (
	"image"
	"image/color"
	"image/png"
	"io"
)

// Image returns the pixels of a frame as a picture that is transparent outside the round display.
func (b *Band) Image() image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, Size, b.Rows))
	for row := range b.Rows {
		left, right := round(b.Top + row)
		for column := left; column < right; column++ {
			img.SetNRGBA(column, row, colour(b.Pixels[row*Size+column]))
		}
	}
	return img
}

func colour(pixel uint16) color.NRGBA {
	r, g, b := uint(pixel>>11), uint(pixel>>5&63), uint(pixel&31)
	return color.NRGBA{R: uint8(r<<3 | r>>2), G: uint8(g<<2 | g>>4), B: uint8(b<<3 | b>>2), A: 255}
}

// WritePNG writes the pixels of a frame as a PNG.
func (b *Band) WritePNG(w io.Writer) error { return png.Encode(w, b.Image()) }
