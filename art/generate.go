//go:build ignore

// Generate writes the compiled pictures as C for the firmware, and with -sheet all pictures side by side as a PNG.
package main

import (
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"pinfold/art"
)

func main() {
	to := flag.String("to", "../firmware/gen", "folder of art.h and art.c")
	sheet := flag.String("sheet", "", "PNG to write all pictures to")
	flag.Parse()
	header, code := art.C()
	for name, content := range map[string][]byte{"art.h": header, "art.c": code} {
		if err := os.WriteFile(filepath.Join(*to, name), content, 0o644); err != nil {
			log.Fatal(err)
		}
	}
	if *sheet != "" {
		if err := write(*sheet); err != nil {
			log.Fatal(err)
		}
	}
}

// write draws each background plain, and the medals.
func write(name string) error {
	const columns, step = 7, art.Size + 10
	var frames []*art.Band
	for _, sport := range art.Sports() {
		frame := art.NewFrame()
		frame.Draw(sport.Ops, art.Everywhere)
		frames = append(frames, frame)
	}
	medals := art.NewFrame()
	for i, medal := range []string{"none", "bronze", "silver", "gold"} {
		picture, _ := art.Medal(medal)
		medals.Draw(picture.Ops, art.Place{X: 300 + 360*(i%2), Y: 300 + 360*(i/2), Width: 320})
	}
	frames = append(frames, medals)
	rows := (len(frames) + columns - 1) / columns
	page := image.NewNRGBA(image.Rect(0, 0, columns*step, rows*step))
	draw.Draw(page, page.Bounds(), image.NewUniform(color.Gray{Y: 40}), image.Point{}, draw.Src)
	for i, frame := range frames {
		frame.Rim()
		at := image.Pt(i%columns*step+5, i/columns*step+5)
		draw.Draw(page, image.Rectangle{Min: at, Max: at.Add(image.Pt(art.Size, art.Size))}, frame.Image(), image.Point{}, draw.Over)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := png.Encode(file, page); err != nil {
		return err
	}
	return file.Close()
}
