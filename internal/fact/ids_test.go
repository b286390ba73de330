package fact_test

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"pinfold/internal/fact"
)

func TestWearerID(t *testing.T) {
	for _, tt := range []struct {
		id   fact.WearerID
		text string
	}{
		{fact.WearerID{}, strings.Repeat("a", 26)},
		{
			fact.WearerID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			strings.Repeat("7", 25) + "4",
		},
		{fact.WearerID{15: 1}, strings.Repeat("a", 25) + "e"},
		{fact.WearerID{0: 0x80}, "q" + strings.Repeat("a", 25)},
		{
			fact.WearerID{0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6},
			"abcdefghijklmnopqrstuvwxyy",
		},
	} {
		if got := tt.id.String(); got != tt.text {
			t.Errorf("%x: got %q, want %q", tt.id[:], got, tt.text)
		}
		if got, err := fact.ParseWearerID(tt.text); err != nil || got != tt.id {
			t.Errorf("%q: got %x, %v, want %x", tt.text, got[:], err, tt.id[:])
		}
	}
}

func TestParseWearerIDRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   "",
		"one short":               strings.Repeat("a", 25),
		"one long":                strings.Repeat("a", 27),
		"padded":                  strings.Repeat("a", 26) + "======",
		"padded within":           strings.Repeat("a", 20) + "======",
		"upper case":              strings.Repeat("A", 26),
		"one of upper case":       strings.Repeat("a", 25) + "E",
		"digits that are none":    strings.Repeat("a", 24) + "01",
		"8 and 9":                 strings.Repeat("a", 24) + "89",
		"hex alphabet of base32":  strings.Repeat("0", 26),
		"newline behind":          strings.Repeat("a", 26) + "\n",
		"newline within":          strings.Repeat("a", 13) + "\n" + strings.Repeat("a", 13),
		"newline instead":         strings.Repeat("a", 25) + "\n",
		"carriage return behind":  strings.Repeat("a", 26) + "\r",
		"space before":            " " + strings.Repeat("a", 26),
		"hyphen":                  strings.Repeat("a", 25) + "-",
		"not ASCII":               strings.Repeat("a", 24) + "é",
		"unused bit":              strings.Repeat("a", 25) + "b",
		"other unused bit":        strings.Repeat("a", 25) + "c",
		"unused bits behind ones": strings.Repeat("7", 26),
	} {
		if got, err := fact.ParseWearerID(text); err == nil || got != (fact.WearerID{}) {
			t.Errorf("%s: %q: got %x, %v, want an error", name, text, got[:], err)
		}
	}
}

// TestWearerIDHasOneText parses every text that differs from an id's in one character: it is another id's or none's.
func TestWearerIDHasOneText(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 20 {
		var id fact.WearerID
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		text := id.String()
		for i := range text {
			for c := range 256 {
				other := text[:i] + string([]byte{byte(c)}) + text[i+1:]
				got, err := fact.ParseWearerID(other)
				if err == nil && (got == id) != (other == text) || err == nil && got.String() != other {
					t.Fatalf("%q: got %v, want an error or an id of its own", other, got)
				}
			}
		}
	}
}

func TestPinID(t *testing.T) {
	for _, tt := range []struct {
		id   fact.PinID
		text string
	}{
		{fact.PinID{}, "0000000000000000"},
		{fact.PinID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "ffffffffffffffff"},
		{fact.PinID{0x56, 0x47, 0x5a, 0xa7, 0x54, 0x63, 0x47, 0x4c}, "56475aa75463474c"},
	} {
		if got := tt.id.String(); got != tt.text {
			t.Errorf("%x: got %q, want %q", tt.id[:], got, tt.text)
		}
		if got, err := fact.ParsePinID(tt.text); err != nil || got != tt.id {
			t.Errorf("%q: got %v, %v, want %v", tt.text, got, err, tt.id)
		}
	}
	for name, text := range map[string]string{
		"empty":          "",
		"one short":      "000000000000000",
		"two short":      "00000000000000",
		"two long":       "000000000000000000",
		"upper case":     "56475AA75463474C",
		"one upper case": "56475aa75463474C",
		"prefix":         "0x56475aa7546347",
		"no digit":       "56475aa75463474g",
		"newline":        "56475aa75463474c\n",
		"space":          " 56475aa75463474",
		"full width":     "56475aa7546347４",
	} {
		if got, err := fact.ParsePinID(text); err == nil || got != (fact.PinID{}) {
			t.Errorf("%s: %q: got %v, %v, want an error", name, text, got, err)
		}
	}
}

// TestPinIDOfKey has the first pin of proto/testdata/statements.json.
func TestPinIDOfKey(t *testing.T) {
	raw, err := hex.DecodeString("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fact.PublicKey(raw).PinID().String(), "56475aa75463474c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSessionIDString(t *testing.T) {
	if got, want := (fact.SessionID{0x0a, 15: 0xff}).String(), "0a0000000000000000000000000000ff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTapIDString(t *testing.T) {
	if got, want := (fact.TapID{0x0a, 15: 0xff}).String(), "0a0000000000000000000000000000ff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
