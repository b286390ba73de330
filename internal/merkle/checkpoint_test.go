package merkle_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
)

// The keys of these tests have the seed 00 01 .. 1f.
const (
	tokyoPrivate = "PRIVATE+KEY+pinfold/tokyo2020+1619a394+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	tokyoPublic  = "pinfold/tokyo2020+1619a394+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
	parisPrivate = "PRIVATE+KEY+pinfold/paris2024+762e3a52+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

	witnessPrivate = "PRIVATE+KEY+example.com/witness+befad323+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	witnessPublic  = "example.com/witness+befad323+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
)

// golden is the checkpoint of the tree of vectorData.
const golden = `pinfold/tokyo2020
8
XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=

— pinfold/tokyo2020 FhmjlCYqyeqUQSdXdgTowOMw1vIQyBJiwk9EXKBoWa4ycuqzmBCkiqKcmaVEG5/RTocd6T+eQw2k5Lr5wyC/6pcTSQQ=
`

func newSigner(t testing.TB, private string) note.Signer {
	t.Helper()
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// known returns the verifiers of these public keys.
func known(t testing.TB, public ...string) note.Verifiers {
	t.Helper()
	var list []note.Verifier
	for _, p := range public {
		v, err := note.NewVerifier(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return note.VerifierList(list...)
}

// sign returns a note of any text, by the keys.
func sign(t testing.TB, text string, private ...string) string {
	t.Helper()
	var signers []note.Signer
	for _, p := range private {
		signers = append(signers, newSigner(t, p))
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// TestCheckpointText holds the text of a checkpoint as it is for ever.
func TestCheckpointText(t *testing.T) {
	c := merkle.Checkpoint{Games: "tokyo2020", Size: 8, Root: vectorLeaves(t).root()}
	s, public, err := merkle.NewSigner(tokyoPrivate, "tokyo2020")
	if err != nil || public != tokyoPublic {
		t.Fatalf("signer: %q, %v, want %q", public, err, tokyoPublic)
	}
	if got, err := c.Sign(s); err != nil || got != golden {
		t.Errorf("got\n%s%v, want\n%s", got, err, golden)
	}
	for _, games := range []string{"tokyo2020", ""} {
		if got, err := merkle.OpenCheckpoint(golden, games, known(t, tokyoPublic)); err != nil || got != c {
			t.Errorf("games %q: opened %v, %v, want %v", games, got, err, c)
		}
	}
}

const (
	emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	someRoot  = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
	head      = "pinfold/tokyo2020\n8\n" + someRoot + "\n"
)

func TestOpenCheckpoint(t *testing.T) {
	both := known(t, tokyoPublic, witnessPublic)
	for _, tt := range []struct {
		name, text string
		known      note.Verifiers
		want       fact.Seq
	}{
		{"with a signature of an unknown witness", sign(t, head, witnessPrivate, tokyoPrivate), known(t, tokyoPublic), 8},
		{"with one of a known witness", sign(t, head, witnessPrivate, tokyoPrivate), both, 8},
		{"with extension lines", sign(t, head+"more\n1\n", tokyoPrivate), both, 8},
		{"of an empty tree", sign(t, "pinfold/tokyo2020\n0\n"+emptyRoot+"\n", tokyoPrivate), both, 0},
		{"of the largest tree", sign(t, "pinfold/tokyo2020\n2305843009213693952\n"+someRoot+"\n", tokyoPrivate), both, 1 << 61},
	} {
		if c, err := merkle.OpenCheckpoint(tt.text, "tokyo2020", tt.known); err != nil || c.Games != "tokyo2020" || c.Size != tt.want {
			t.Errorf("%s: %v, %v, want size %d", tt.name, c, err, tt.want)
		}
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	tokyo := known(t, tokyoPublic)
	ours := func(text string) string { return sign(t, text, tokyoPrivate) }
	for _, tt := range []struct {
		name, text string
		known      note.Verifiers
		want       string
	}{
		{"nothing", "", tokyo, "malformed note"},
		{"no signature", head, tokyo, "malformed note"},
		{"cut off", golden[:len(golden)-1], tokyo, "malformed note"},
		{"carriage returns", strings.ReplaceAll(golden, "\n", "\r\n"), tokyo, "malformed note"},
		{"no key", golden, nil, `signed by no known key, only by "pinfold/tokyo2020"+1619a394`},
		{"unknown keys", sign(t, head, tokyoPrivate, parisPrivate), known(t, witnessPublic), `signed by no known key, only by "pinfold/tokyo2020"+1619a394, "pinfold/paris2024"+762e3a52`},
		{"other size", strings.Replace(golden, "\n8\n", "\n9\n", 1), tokyo, "the signature of key pinfold/tokyo2020+1619a394 does not fit: the text or the signature was changed"},
		{"other signature", strings.Replace(golden, "SQQ=", "SQU=", 1), tokyo, "does not fit"},
		{"a witness only", sign(t, head, witnessPrivate), known(t, witnessPublic), `origin "pinfold/tokyo2020", but signed by the key of "example.com/witness"`},
		{"key of other Games", sign(t, strings.Replace(head, "tokyo2020", "paris2024", 1), tokyoPrivate), tokyo, `origin "pinfold/paris2024": want "pinfold/tokyo2020"`},
		{"foreign origin", ours("example.com/log\n8\n" + someRoot + "\n"), tokyo, `origin "example.com/log": want "pinfold/" and the name of the Games`},
		{"origin without Games", ours("pinfold/\n8\n" + someRoot + "\n"), tokyo, `origin "pinfold/": want`},
		{"origin of no Games", ours("pinfold/Tokyo\n8\n" + someRoot + "\n"), tokyo, `origin "pinfold/Tokyo": want`},
		{"two lines", ours("pinfold/tokyo2020\n8\n"), tokyo, "2 lines: want origin, size and root"},
		{"empty text", ours("\n"), tokyo, "1 lines: want origin, size and root"},
		{"empty line", ours("pinfold/tokyo2020\n\n8\n" + someRoot + "\n"), tokyo, "line 2 is empty"},
		{"empty extension line", ours(head + "more\n\n"), tokyo, "line 5 is empty"},
		{"leading zero", ours("pinfold/tokyo2020\n08\n" + someRoot + "\n"), tokyo, `size "08": want a decimal number without leading zeros`},
		{"two zeros", ours("pinfold/tokyo2020\n00\n" + emptyRoot + "\n"), tokyo, `size "00": want`},
		{"plus", ours("pinfold/tokyo2020\n+8\n" + someRoot + "\n"), tokyo, `size "+8": want`},
		{"minus", ours("pinfold/tokyo2020\n-8\n" + someRoot + "\n"), tokyo, `size "-8": want`},
		{"space", ours("pinfold/tokyo2020\n8 \n" + someRoot + "\n"), tokyo, `size "8 ": want`},
		{"underscore", ours("pinfold/tokyo2020\n1_0\n" + someRoot + "\n"), tokyo, `size "1_0": want`},
		{"more than 64 bits", ours("pinfold/tokyo2020\n18446744073709551616\n" + someRoot + "\n"), tokyo, `size "18446744073709551616": want`},
		{"too large", ours("pinfold/tokyo2020\n2305843009213693953\n" + someRoot + "\n"), tokyo, "size 2305843009213693953: want at most 2305843009213693952"},
		{"short root", ours("pinfold/tokyo2020\n8\nAAAA\n"), tokyo, `root "AAAA": want 32 bytes in base64`},
		{"root with other trailing bits", ours("pinfold/tokyo2020\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n"), tokyo, `root "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=": want`},
		{"root of an empty tree", ours("pinfold/tokyo2020\n0\n" + someRoot + "\n"), tokyo, "root " + someRoot + " of size 0: want the SHA-256 of nothing"},
	} {
		c, err := merkle.OpenCheckpoint(tt.text, "tokyo2020", tt.known)
		if err == nil || !strings.HasPrefix(err.Error(), "checkpoint: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if c != (merkle.Checkpoint{}) {
			t.Errorf("%s: a checkpoint %v with the error", tt.name, c)
		}
	}
	// Of any Games, the key must still be that of the origin.
	paris := sign(t, strings.Replace(head, "tokyo2020", "paris2024", 1), tokyoPrivate)
	_, err := merkle.OpenCheckpoint(paris, "", tokyo)
	if want := `checkpoint: origin "pinfold/paris2024", but signed by the key of "pinfold/tokyo2020"`; err == nil || err.Error() != want {
		t.Errorf("any Games: %v, want %q", err, want)
	}
}

func TestSignRefuses(t *testing.T) {
	s := newSigner(t, tokyoPrivate)
	for _, tt := range []struct {
		c    merkle.Checkpoint
		want string
	}{
		{merkle.Checkpoint{Games: "", Size: 1}, `checkpoint: games "": want 1 to 32 of a-z, 0-9 and -`},
		{merkle.Checkpoint{Games: "tokyo2020\n9", Size: 1}, `checkpoint: games "tokyo2020\n9": want 1 to 32 of a-z, 0-9 and -`},
		{merkle.Checkpoint{Games: "paris2024", Size: 1}, `checkpoint: key "pinfold/tokyo2020": want "pinfold/paris2024"`},
		{merkle.Checkpoint{Games: "tokyo2020", Size: math.MaxUint64}, `checkpoint: size 18446744073709551615: want at most 2305843009213693952`},
		{merkle.Checkpoint{Games: "tokyo2020"}, `checkpoint: root AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= of size 0: want the SHA-256 of nothing`},
	} {
		if text, err := tt.c.Sign(s); err == nil || err.Error() != tt.want || text != "" {
			t.Errorf("%v: %q, %v, want %q", tt.c, text, err, tt.want)
		}
	}
}

// TestKeys makes a key and uses it as from files.
func TestKeys(t *testing.T) {
	private, public, err := merkle.GenerateKey("tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	s, derived, err := merkle.NewSigner("\n "+private+"\r\n", "tokyo2020")
	if err != nil || derived != public {
		t.Fatalf("signer: public %q, %v, want %q", derived, err, public)
	}
	c := merkle.Checkpoint{Games: "tokyo2020", Size: 3, Root: leaves(3).root()}
	text, err := c.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, games := range []string{"tokyo2020", ""} {
		v, err := merkle.NewVerifier(" "+public+"\n", games)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := merkle.OpenCheckpoint(text, games, note.VerifierList(v)); err != nil || got != c {
			t.Errorf("opened %v, %v, want %v", got, err, c)
		}
	}
	if other, _, err := merkle.GenerateKey("tokyo2020"); err != nil || other == private {
		t.Errorf("a second key is the first, or %v", err)
	}
	if _, _, err := merkle.GenerateKey("Tokyo"); err == nil || !strings.Contains(err.Error(), `key: games "Tokyo"`) {
		t.Errorf("key of no Games: %v", err)
	}
}

// TestPublicOfAnySeed covers seeds whose base64 has pluses, which also stand between the fields of a key.
func TestPublicOfAnySeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.SampledFrom([]byte{0x00, 0xfb, 0xef, 0xbe, 0xff, 0x3f, 0x61}), 32, 32).Draw(t, "seed")
		pair := ed25519.NewKeyFromSeed(seed)
		want, err := note.NewEd25519VerifierKey("pinfold/x", ed25519.PublicKey(pair[32:]))
		if err != nil {
			t.Fatal(err)
		}
		hash := strings.Split(want, "+")[1]
		private := "PRIVATE+KEY+pinfold/x+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed...))
		if _, got, err := merkle.NewSigner(private, "x"); err != nil || got != want {
			t.Errorf("public %q, %v, want %q", got, err, want)
		}
	})
}

func TestKeysRefused(t *testing.T) {
	for _, tt := range []struct{ name, private, games, want string }{
		{"nothing", "", "tokyo2020", "private key: want PRIVATE+KEY+name+hash+key, as it was generated"},
		{"a public one", tokyoPublic, "tokyo2020", "private key: want PRIVATE+KEY+name+hash+key, as it was generated"},
		{"changed", strings.Replace(tokyoPrivate, "AQAB", "AQAC", 1), "tokyo2020", "private key: want PRIVATE+KEY+name+hash+key, as it was generated"},
		{"of other Games", parisPrivate, "tokyo2020", `private key: name "pinfold/paris2024": want "pinfold/tokyo2020"`},
		{"of no Games", tokyoPrivate, "", `private key: name "pinfold/tokyo2020": want "pinfold/"`},
		{"of a witness", witnessPrivate, "tokyo2020", `private key: name "example.com/witness": want "pinfold/tokyo2020"`},
	} {
		if s, public, err := merkle.NewSigner(tt.private, tt.games); err == nil || err.Error() != tt.want || s != nil || public != "" {
			t.Errorf("private, %s: %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct{ name, public, games, want string }{
		{"nothing", "", "tokyo2020", "public key: malformed verifier id: want name+hash+key, as it was generated"},
		{"a private one", tokyoPrivate, "tokyo2020", "public key: malformed verifier id: want name+hash+key, as it was generated"},
		{"changed", strings.Replace(tokyoPublic, "AQOh", "AQOi", 1), "tokyo2020", "public key: invalid verifier hash: want name+hash+key, as it was generated"},
		{"of other Games", tokyoPublic, "paris2024", `public key: name "pinfold/tokyo2020": want "pinfold/paris2024"`},
		{"of a witness", witnessPublic, "", `public key: name "example.com/witness": want "pinfold/" and the name of the Games`},
	} {
		if v, err := merkle.NewVerifier(tt.public, tt.games); err == nil || err.Error() != tt.want || v != nil {
			t.Errorf("public, %s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestSplitCheckpoints joins checkpoints with any number of blank lines, and wants them back.
func TestSplitCheckpoints(t *testing.T) {
	one := sign(t, head, tokyoPrivate)
	two := sign(t, head, tokyoPrivate, witnessPrivate)
	more := sign(t, head+"an extension\n— which looks like a signature\n", witnessPrivate)
	rapid.Check(t, func(t *rapid.T) {
		blank := rapid.StringOfN(rapid.Just('\n'), 0, 3, -1)
		want := rapid.SliceOfN(rapid.SampledFrom([]string{one, two, more}), 0, 5).Draw(t, "texts")
		file := blank.Draw(t, "before")
		for _, text := range want {
			file += text + blank.Draw(t, "behind")
		}
		if got, err := merkle.SplitCheckpoints(file); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestSplitCheckpointsRefuses(t *testing.T) {
	unsigned := fmt.Sprintf("no signature: want a blank line and lines that begin with %q", "— ")
	for _, tt := range []struct{ name, file, want string }{
		{"second without", golden + head + "\n" + golden, "the one at line 6: " + unsigned},
		{"something else", "a file of mine\n", "the one at line 1: " + unsigned},
		{"a public key", tokyoPublic, "the one at line 1: " + unsigned},
		{"a public key and a line", tokyoPublic + "\n", "the one at line 1: " + unsigned},
		{"the last with a size that is none", golden + "pinfold/tokyo2020\nmany\n", "the one at line 6: " + unsigned},
		{"the last with a root that is none", golden + "pinfold/tokyo2020\n7\nroot\n", "the one at line 6: " + unsigned},
		{"the last without the mark of its signature", golden + strings.Replace(golden, "— ", "", 1), "the one at line 6: " + unsigned},
		{"two blank lines before the signature", strings.Replace(golden, "\n\n", "\n\n\n", 1), "the one at line 1: " + unsigned},
		{"carriage returns", strings.ReplaceAll(golden, "\n", "\r\n"), "the one at line 1: " + unsigned},
	} {
		texts, err := merkle.SplitCheckpoints(tt.file)
		if want := "checkpoints: " + tt.want; err == nil || err.Error() != want || texts != nil {
			t.Errorf("%s: %q, %v, want %q", tt.name, texts, err, want)
		}
	}
}

// TestSplitCheckpointsTorn cuts a file of checkpoints everywhere, with and without zero bytes behind: those before the cut
// are there, and what is behind the last one is told, and no reason to give up the others.
func TestSplitCheckpointsTorn(t *testing.T) {
	extended := sign(t, head+"an extension\n", tokyoPrivate)
	for _, last := range []string{golden, extended} {
		whole := golden + "\n" + golden + "\n"
		for n := range len(last) {
			for _, zeros := range []string{"", "\x00", "\x00\x00\x00"} {
				torn := last[:n] + zeros
				texts, err := merkle.SplitCheckpoints(whole + torn)
				if n == 0 && zeros == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				var e *merkle.TornError
				if !errors.As(err, &e) || e.Whole != len(whole) || e.Torn != len(torn) || e.Line != 13 {
					t.Errorf("%q behind whole ones: %v, want a TornError with it", torn, err)
				}
				if !slices.Equal(texts, []string{golden, golden}) {
					t.Errorf("%q behind whole ones: %q, want those", torn, texts)
				}
			}
		}
	}
}

// FuzzOpenCheckpoint opens the text as it is, which only our key can have signed, and signed by us: what is then taken
// has one text.
func FuzzOpenCheckpoint(f *testing.F) {
	f.Add(golden)
	f.Add(head)
	f.Add(head + "more")
	f.Add("pinfold/tokyo2020\n0\n" + emptyRoot)
	f.Add("pinfold/tokyo2020\n18446744073709551615\n" + someRoot)
	f.Add(strings.ReplaceAll(golden, "\n", "\r\n"))
	f.Add("\n\n— pinfold/tokyo2020 FhmjlA==\n")
	f.Add("")
	s, verifiers := newSigner(f, tokyoPrivate), known(f, tokyoPublic)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := merkle.OpenCheckpoint(text, "", verifiers); err == nil && !strings.HasPrefix(text, head+"\n") {
			t.Errorf("%q is taken as %v", text, c)
		}
		signed, err := note.Sign(&note.Note{Text: text + "\n"}, s)
		if err != nil {
			t.Fatal(err)
		}
		c, err := merkle.OpenCheckpoint(string(signed), "tokyo2020", verifiers)
		if err != nil {
			return
		}
		again, err := c.Sign(s)
		if err != nil {
			t.Fatal(err)
		}
		body, _, _ := strings.Cut(again, "\n\n")
		if text != body && !strings.HasPrefix(text, body+"\n") {
			t.Errorf("%q is taken as %v, which is %q", text, c, body)
		}
	})
}

// FuzzSplitCheckpoints wants every byte but blank lines in one of the texts, and each text whole.
func FuzzSplitCheckpoints(f *testing.F) {
	f.Add(golden + golden)
	f.Add("\n" + golden + "\n\n" + golden + "\n")
	f.Add(head + "\n" + golden)
	f.Add(golden[:len(golden)-1])
	f.Add("a\n\n— b\n— c\nd\n\n— e\n")
	f.Add("— a\n\n— b\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, file string) {
		texts, err := merkle.SplitCheckpoints(file)
		if err != nil {
			return
		}
		rest := file
		for _, text := range texts {
			rest = strings.TrimLeft(rest, "\n")
			var ok bool
			if rest, ok = strings.CutPrefix(rest, text); !ok {
				t.Fatalf("%q is not what comes next in %q", text, file)
			}
			if alone, err := merkle.SplitCheckpoints(text); err != nil || !slices.Equal(alone, []string{text}) {
				t.Errorf("%q alone is %q, %v", text, alone, err)
			}
		}
		if strings.Trim(rest, "\n") != "" {
			t.Errorf("%q of %q is in no text", rest, file)
		}
	})
}
