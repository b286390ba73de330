package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"pinfold/client"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/statement"
)

var update = flag.Bool("update", false, "write the story's text and what is checked anew, and the golden certificates where they are missing")

// The golden certificates check for ever. They are of the silver medal of goldenWorld.
const (
	goldenFull  = "testdata/golden-1-full.json"
	goldenShort = "testdata/golden-1-short.json"
	goldenKey   = "testdata/golden-1.pub"
	// What is found in them may be told better one day.
	goldenChecked = "testdata/checked.json"
	goldenStory   = "testdata/story.txt"
)

// goldenWorld has a wearer of two pins with three friends, after one was lost: by every link, with and without a clock,
// carried by either phone and by a third one.
func goldenWorld(t testing.TB) (*world, fact.WearerID) {
	w := newWorld(t, easyRules())
	var all []*client.Pin
	for range 4 {
		all = append(all, w.wearer())
	}
	who := wearerOf(all[0])
	w.meet(all[0], all[1])
	w.add(fact.Unfriended{Wearer: who, Pin: all[0].ID(), Counter: 1, Friendship: w.friendship(who, wearerOf(all[1]))})
	w.add(fact.PinRetired{Pin: all[0].ID(), Reason: fact.RetiredLost})
	second := w.newPin()
	w.add(fact.PinRegistered{Key: second.Key()})
	w.add(w.pairing(second, who, games))
	couriers := []*client.Pin{second, all[2], all[0]}
	for i, p := range all[1:] {
		w.meetBy(second, p, fact.Link(i+1), int8(-40*i), couriers[i].ID())
	}
	return w, who
}

// meetBy makes friends of two, who have no clock if the strength is not measured.
func (w *world) meetBy(a, b *client.Pin, link fact.Link, rssi int8, carrier fact.PinID) {
	first, second := w.halves(a, b)
	for i, h := range []*fact.HalfReported{&second, &first} {
		h.Half.Link, h.Half.RSSI = link, rssi
		if rssi == 0 {
			h.Half.Time = 0
		}
		h.Signature = []*client.Pin{b, a}[i].SignRaw(statement.AppendHalf(nil, h.Half)).Signature
		h.Carrier = carrier
		w.add(*h)
	}
}

func TestGolden(t *testing.T) {
	if *update {
		makeGolden(t)
	}
	known := trust(t, string(read(t, goldenKey)))
	var full evidence.Checked
	for _, name := range []string{goldenShort, goldenFull} {
		c, err := evidence.Parse(read(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if full, err = c.Check(known); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if full.Award != "silver" || full.Friends != 3 || full.Short != (name == goldenShort) || (full.Story == nil) != full.Short {
			t.Errorf("%s: got %+v, want the silver medal of 3 friends", name, full)
		}
	}
	found, err := json.MarshalIndent(full, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	if err := full.Story.Write(&told); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{goldenChecked: append(found, '\n'), goldenStory: told.Bytes()} {
		if *update {
			write(t, name, got)
		}
		if !bytes.Equal(got, read(t, name)) {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// makeGolden makes the golden certificates with a new key, unless they are there.
func makeGolden(t *testing.T) {
	if _, err := os.Stat(goldenKey); err == nil {
		return
	}
	w, who := goldenWorld(t)
	_, public := notary()
	write(t, goldenKey, []byte(public+"\n"))
	write(t, goldenFull, append(w.issue(w.collect(who, medal(fact.Silver)), false), '\n'))
	write(t, goldenShort, append(w.issue(w.collect(who, medal(fact.Silver)), true), '\n'))
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil { //nolint:gosec // test data is for all to read
		t.Fatal(err)
	}
}

// TestGoldenIsWritten shows that the bytes of the golden certificates are still those that would be written today.
func TestGoldenIsWritten(t *testing.T) {
	w, who := goldenWorld(t)
	for _, tt := range []struct {
		name  string
		short bool
	}{{goldenShort, true}, {goldenFull, false}} {
		c, err := evidence.Parse(read(t, tt.name))
		if err != nil {
			t.Fatal(err)
		}
		cp, err := merkle.OpenCheckpoint(c.Checkpoint, games, trust(t, string(read(t, goldenKey))))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(w.issueFor(w.collect(who, medal(fact.Silver)), tt.short, cp, c.Checkpoint)), strings.TrimSpace(string(read(t, tt.name))); got != want {
			t.Errorf("%s: got\n%s", tt.name, got)
		}
	}
}

// FuzzCheck takes anything for a certificate. What checks is a golden one, but for white space, since nobody else has
// the key.
func FuzzCheck(f *testing.F) {
	known := trust(f, string(read(f, goldenKey)))
	golden := map[string]bool{}
	for _, name := range []string{goldenFull, goldenShort} {
		b := read(f, name)
		f.Add(b)
		golden[compact(b)] = true
		f.Add(bytes.Replace(b, []byte(`"medal":"silver"`), []byte(`"background":"judo"`), 1))
		f.Add(bytes.Replace(b, []byte("tokyo2020"), []byte("x"), 1))
	}
	f.Add([]byte(`{"pinfold_certificate":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := evidence.Parse(b)
		if err != nil {
			return
		}
		if _, err := c.Check(known); (err == nil) != golden[compact(b)] {
			t.Errorf("got error %v", err)
		}
		// Nor may anything in it be the end of a program that trusts the checkpoint.
		_, _ = c.Check(note.VerifierList())
	})
}

func compact(b []byte) string {
	var c bytes.Buffer
	if err := json.Compact(&c, b); err != nil {
		return ""
	}
	return c.String()
}

// TestStoryWriteFails hands the writer's error on.
func TestStoryWriteFails(t *testing.T) {
	w, who := goldenWorld(t)
	if err := evidence.Explain(w.collect(who, medal(fact.Silver))).Write(noRoom{}); !errors.Is(err, errNoRoom) {
		t.Errorf("got error %v, want %v", err, errNoRoom)
	}
}

var errNoRoom = errors.New("no room")

type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, errNoRoom }
