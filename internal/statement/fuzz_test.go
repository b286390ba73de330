package statement_test

import (
	"bytes"
	"testing"

	"pinfold/internal/statement"
)

func FuzzParseHalf(f *testing.F)       { fuzzParse(f, statement.KindHalf) }
func FuzzParseStepReport(f *testing.F) { fuzzParse(f, statement.KindStepReport) }
func FuzzParseProof(f *testing.F)      { fuzzParse(f, statement.KindProof) }

// fuzzParse checks that parsing never panics, that an error names a rule, and that what parses gives the same bytes.
func fuzzParse(f *testing.F, kind statement.Kind) {
	for _, b := range readVectors(f).statements(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(kind, b)
		if err != nil {
			if rule := brokenRuleOf(t, err); rule < statement.UnknownMagic || rule > statement.SelfTap {
				t.Errorf("%x: got %v", b, rule)
			}
			return
		}
		if !bytes.Equal(got, b) {
			t.Errorf("got %x, want %x", got, b)
		}
	})
}
