package audit

import (
	"testing"

	"pinfold/internal/fact"
)

// TestFindingsNotHidden: more findings than are reported, of what any owner of a pin can do, leave room for one that breaks
// the log, wherever it is.
func TestFindingsNotHidden(t *testing.T) {
	var fs findings
	for i := range 5 * MaxFindings {
		fs.add(fact.Seq(i+1), ClonedKey, "one", "two")
	}
	fs.add(1_000_000, Missing, "a medal", "nothing")
	for i := range 5 * MaxFindings {
		fs.add(fact.Seq(i+1), ClonedKey, "one", "two")
	}
	list, leftOut := fs.sorted()
	if len(list) != MaxFindings || leftOut != 9*MaxFindings+1 || list[0].Kind != Missing || list[0].Verdict != Broken || list[1].Seq != 1 {
		t.Errorf("%d findings and %d left out, the first %v", len(list), leftOut, list[:2])
	}
}
