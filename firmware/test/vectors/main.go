// Command vectors writes the vectors of proto/testdata/statements.json, read from its standard input, as C tables.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// vectors is what the firmware's tests use of the file; byte strings stay hex.
type vectors struct {
	Pins   []struct{ ID, Seed, PublicKey string }
	Halves []struct {
		Pin, Peer, Nonce, PeerNonce, Bytes, Signature string
		Counter                                       uint32
		TimeMS                                        int64
		RSSI, Link                                    int
	}
	Steps []struct {
		Pin, Bytes, Signature string
		Counter, FirstSlot    uint32
		Steps                 []uint16
	}
	Proofs []struct {
		Pin, Challenge, Bytes, Signature string
		TimeMS                           int64
	}
	Taps []struct {
		Halves [2]int
		TapID  string
	}
	Digits        []struct{ Challenge, Digits string }
	MustBeRefused []struct{ Bytes, PublicKeyOf, Rule, Signature, Why string }
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	if err := write(out, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

func write(out *bufio.Writer, in io.Reader) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var v vectors
	// The keys of the file differ from the fields' names by underscores only, and match without regard to case.
	if err := json.Unmarshal([]byte(withoutUnderscores(string(text))), &v); err != nil {
		return err
	}
	for _, p := range v.Pins {
		row(out, "VECTOR_PIN", p.ID, p.PublicKey, p.Seed)
	}
	for _, h := range v.Halves {
		row(out, "VECTOR_HALF", h.Pin, h.Peer, h.Nonce, h.PeerNonce, h.Counter, h.TimeMS, h.RSSI, h.Link, h.Bytes, h.Signature)
	}
	for _, s := range v.Steps {
		steps := strings.Trim(fmt.Sprint(s.Steps), "[]")
		row(out, "VECTOR_STEPS", s.Pin, s.Counter, s.FirstSlot, len(s.Steps), steps, s.Bytes, s.Signature)
	}
	for _, p := range v.Proofs {
		row(out, "VECTOR_PROOF", p.Pin, p.Challenge, p.TimeMS, p.Bytes, p.Signature)
	}
	for _, t := range v.Taps {
		row(out, "VECTOR_TAP", t.Halves[0], t.Halves[1], t.TapID)
	}
	for _, d := range v.Digits {
		row(out, "VECTOR_DIGITS", d.Challenge, d.Digits)
	}
	for _, r := range v.MustBeRefused {
		row(out, "VECTOR_REFUSED", r.Why, r.Rule, r.PublicKeyOf, r.Bytes, r.Signature)
	}
	return out.Flush()
}

func withoutUnderscores(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if key, value, ok := strings.Cut(line, `": `); ok {
			lines[i] = strings.ReplaceAll(key, "_", "") + `": ` + value
		}
	}
	return strings.Join(lines, "\n")
}

// row writes one use of a macro: strings as C strings, numbers as they are.
func row(out *bufio.Writer, macro string, values ...any) {
	var cells []string
	for _, v := range values {
		cell := fmt.Sprint(v)
		if s, ok := v.(string); ok {
			cell = fmt.Sprintf("%q", s)
		}
		cells = append(cells, cell)
	}
	fmt.Fprintf(out, "%s(%s)\n", macro, strings.Join(cells, ", "))
}
