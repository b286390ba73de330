package merkle_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// TestLeafBytes holds the bytes of a leaf, and its hash, as they are for ever: whoever changes them makes every
// checkpoint ever signed wrong.
func TestLeafBytes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		m     eventlog.Message
		bytes string // that are hashed: RFC 6962's 00, time, family, payload
		hash  string
	}{
		{
			"half",
			eventlog.Message{Seq: 7, Stored: 1627000000123, Family: fact.Tap, Payload: []byte{0x0a, 0x02, 0xff, 0x00}},
			"00" + "0000017ad0c1ce7b" + "03" + "0a02ff00", "f2d1fad92c304cb6998a6c64950f729e23436aaf6e7c0ba2d04237c751ef19d8",
		},
		{"nothing", eventlog.Message{Seq: 1, Stored: 0, Family: fact.Roster}, "00" + "0000000000000000" + "01", "52807a4607ea5debf0b7d4ccb452f4af03e16b06a8e0aa0dfe177db1ff02123d"},
		{"before 1970", eventlog.Message{Seq: 2, Stored: -1, Family: fact.Clock, Payload: []byte{1}}, "00" + "ffffffffffffffff" + "02" + "01", "6cab91dbb9e3d56edaaff35b4985082295bdc28d8a3a2d4eb6cd4ce65a4faeb8"},
		{"step", eventlog.Message{Family: fact.Step}, "00" + "0000000000000000" + "04", ""},
		{"wearer", eventlog.Message{Family: fact.Wearer}, "00" + "0000000000000000" + "05", ""},
		{"friendship", eventlog.Message{Family: fact.Friendship}, "00" + "0000000000000000" + "06", ""},
		{"award", eventlog.Message{Family: fact.Award}, "00" + "0000000000000000" + "07", ""},
		{"goal", eventlog.Message{Family: fact.Goal}, "00" + "0000000000000000" + "08", ""},
	} {
		data, err := hex.DecodeString(tt.bytes)
		if err != nil {
			t.Fatal(err)
		}
		got, err := merkle.Leaf(tt.m)
		if err != nil || got != sha256.Sum256(data) {
			t.Errorf("%s: leaf is %v, %v, want the SHA-256 of %x", tt.name, got, err, data)
		}
		if text := hex.EncodeToString(got[:]); tt.hash != "" && text != tt.hash {
			t.Errorf("%s: leaf is %s, want %s", tt.name, text, tt.hash)
		}
	}
}

// TestLeafLeavesSequenceOut: the place in the tree gives it.
func TestLeafLeavesSequenceOut(t *testing.T) {
	m := eventlog.Message{Seq: 1, Stored: 5, Family: fact.Goal, Payload: []byte("x")}
	one, err1 := merkle.Leaf(m)
	m.Seq = 2
	two, err2 := merkle.Leaf(m)
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("leaves %v, %v and %v, %v: want the same", one, err1, two, err2)
	}
}

func TestLeafOfNoFamily(t *testing.T) {
	for _, family := range []fact.Family{"", "weather"} {
		_, err := merkle.Leaf(eventlog.Message{Seq: 3, Family: family})
		if want := `leaf of sequence 3: family "` + string(family) + `" has no code`; err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", family, err, want)
		}
	}
}
