// Package art draws what a pin shows: a background for each sport, the medals, and text. Each picture is described in a
// small text file; Compile turns it into ops, and the firmware and this package draw the ops to exactly the same pixels
// of the round display, with whole numbers only. README.md in this folder has the language.
package art

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:generate go run generate.go

//go:embed *.art font.glyphs
var files embed.FS

// A Picture is a compiled description. Its name is that of its file, without the ending.
type Picture struct {
	Name string
	Ops  []byte
}

// others are the pictures that are no sport's background. The medals stand in the order of the medals of the log.
var others = []string{"medal-none", "medal-bronze", "medal-silver", "medal-gold", "scrim"}

// Sports returns the backgrounds, in the order of the default rules.
func Sports() []Picture { return slices.Clone(embedded().sports) }

// Sport returns the background of a sport.
func Sport(id string) (Picture, bool) { return find(embedded().sports, id) }

// Medal returns the picture of none, bronze, silver or gold.
func Medal(name string) (Picture, bool) { return find(embedded().others, "medal-"+name) }

// Scrim returns the shade that goes between a background and the numbers on it.
func Scrim() Picture {
	scrim, _ := find(embedded().others, "scrim")
	return scrim
}

func find(pictures []Picture, name string) (Picture, bool) {
	for _, p := range pictures {
		if p.Name == name {
			return p, true
		}
	}
	return Picture{}, false
}

type gallery struct {
	sports, others []Picture
	font           *font
}

// embedded is the compiled content of this folder, which the tests compile too: an error would be a broken build.
var embedded = sync.OnceValue(func() *gallery {
	g, err := compileAll()
	if err != nil {
		panic(err)
	}
	return g
})

func textFont() *font { return embedded().font }

func compileAll() (*gallery, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	g := &gallery{others: make([]Picture, len(others))}
	for _, entry := range entries {
		source, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, err
		}
		name, picture := strings.CutSuffix(entry.Name(), ".art")
		var ops []byte
		if picture {
			ops, err = Compile(source)
		} else {
			g.font, err = compileFont(source)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		if i := slices.Index(others, name); i >= 0 {
			g.others[i] = Picture{Name: name, Ops: ops}
		} else if picture {
			g.sports = append(g.sports, Picture{Name: name, Ops: ops})
		}
	}
	return g, nil
}
