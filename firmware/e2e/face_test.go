//go:build firmware

package e2e

import (
	"flag"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pinfold/firmware/host"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the golden pictures anew; then look at them")

// TestFace: what a phone says comes out as the pictures in testdata, pixel for pixel on both boards. The faces of the
// default rules, as they are on the way of a wearer with more and more friends.
func TestFace(t *testing.T) {
	const goal = 10_000
	faces := []struct {
		name string
		face pinv1.SetFace_builder
	}{
		{"first-friends", pinv1.SetFace_builder{Friends: 3, NextBackground: "aquatics", NextBackgroundFriends: 2, NextMedal: pinv1.Medal_MEDAL_BRONZE, NextMedalFriends: 47, Steps: 42}},
		{"bronze", pinv1.SetFace_builder{Friends: 62, Medal: pinv1.Medal_MEDAL_BRONZE, Background: "karate", Backgrounds: 12, NextBackground: "gymnastics", NextBackgroundFriends: 3, NextMedal: pinv1.Medal_MEDAL_SILVER, NextMedalFriends: 38, Steps: 7432}},
		{"gold-next", pinv1.SetFace_builder{Friends: 150, Medal: pinv1.Medal_MEDAL_SILVER, Background: "sailing", Backgrounds: 30, NextBackground: "volleyball", NextBackgroundFriends: 5, NextMedal: pinv1.Medal_MEDAL_GOLD, NextMedalFriends: 1, Steps: 10_412}},
		{"everything", pinv1.SetFace_builder{Friends: 1203, Medal: pinv1.Medal_MEDAL_GOLD, Background: "surfing", Backgrounds: 33, Steps: 31_870}},
	}
	eachBoard(t, func(t *testing.T, board host.Board) {
		p := newPerson(t, board, 0)
		phone := p.phone(t)
		noon := time.Date(2026, time.July, 24, 12, 0, 0, 0, time.UTC)
		if _, err := phone.SetTime(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		for _, f := range faces {
			f.face.StepGoal, f.face.Day = goal, uint32(noon.Unix()/(24*60*60))
			if _, err := phone.SetFace(t.Context(), f.face.Build()); err != nil {
				t.Fatal(err)
			}
			checkPicture(t, f.name, p.screenshot(t))
		}
	})
}

// checkPicture holds a picture to the golden one of that name, or writes it.
func checkPicture(t *testing.T, name string, got *image.NRGBA) {
	t.Helper()
	path := filepath.Join("testdata", name+".png")
	if *rewrite {
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := png.Encode(file, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	golden, ok := want.(*image.NRGBA)
	if !ok || golden.Rect != got.Rect || !slices.Equal(golden.Pix, got.Pix) {
		t.Errorf("%s: the pin shows another picture: look at what -rewrite makes of it", path)
	}
}
