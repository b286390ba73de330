package audit_test

import (
	"bytes"
	"slices"
	"testing"

	"pinfold/audit"
	"pinfold/internal/fact"
)

// restoredWorld is a log of epoch 3, which was restored from one of epoch 2, which was restored from the first. It
// returns the places of both Restored.
func restoredWorld(t *testing.T) (w *verifyWorld, at [2]fact.Seq) {
	w, _ = cleanWorld(t)
	for i := range at {
		kept := w.messages()
		at[i] = w.add(fact.Restored{Epoch: uint32(i + 2), Kept: fact.Seq(len(kept)), Root: rootOf(t, kept), Operator: "desk-3"})
		w.add(fact.TimePassed{Time: w.now})
	}
	return w, at
}

// TestRestored verifies a log that was restored twice, told that it is the one, another, or nothing of the kind.
func TestRestored(t *testing.T) {
	w, at := restoredWorld(t)
	messages, kept := w.messages(), at[1]-1
	for name, tt := range map[string]struct {
		options audit.Options
		last    fact.Seq // of the log that is read; 0 = the whole
		want    []fact.Seq
	}{
		"as it is":                       {options: audit.Options{Epoch: 3, Kept: kept}},
		"nothing known":                  {options: audit.Options{}},
		"as the one before":              {options: audit.Options{Epoch: 2, Kept: at[0] - 1}, last: kept},
		"never restored":                 {options: audit.Options{Epoch: 1}, want: at[:]},
		"a later epoch":                  {options: audit.Options{Epoch: 4, Kept: kept}, want: at[1:]},
		"an earlier epoch":               {options: audit.Options{Epoch: 2, Kept: kept}, want: at[:]},
		"kept less":                      {options: audit.Options{Epoch: 3, Kept: at[0]}, want: []fact.Seq{at[0] + 1, at[1]}},
		"kept more":                      {options: audit.Options{Epoch: 3, Kept: kept + 1}, want: at[1:]},
		"kept nothing":                   {options: audit.Options{Epoch: 3}, want: append([]fact.Seq{1}, at[:]...)},
		"the Restored is not there":      {options: audit.Options{Epoch: 3, Kept: kept}, last: kept, want: at[1:]},
		"not even what it kept is there": {options: audit.Options{Epoch: 3, Kept: kept}, last: kept - 1, want: []fact.Seq{kept}},
	} {
		t.Run(name, func(t *testing.T) {
			read := messages
			if tt.last != 0 {
				read = read[:tt.last]
			}
			report := verify(t, read, tt.options)
			var got []fact.Seq
			for _, f := range report.Findings {
				if f.Kind != audit.RestoredDiffers {
					t.Errorf("got %v", f)
				}
				got = append(got, f.Seq)
			}
			if name == "kept more" { // the place where it is to be is another one's
				got = slices.DeleteFunc(got, func(s fact.Seq) bool { return s == kept+2 })
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want them at %v", report.Findings, tt.want)
			}
		})
	}
}

// TestRestoredOfOtherFacts says of a Restored, each time in another way, what is not so.
func TestRestoredOfOtherFacts(t *testing.T) {
	w, _ := cleanWorld(t)
	before := w.messages()
	kept := fact.Seq(len(before))
	good := fact.Restored{Epoch: 2, Kept: kept, Root: rootOf(t, before)}
	for name, tt := range map[string]struct {
		change func(*fact.Restored)
		broken bool
	}{
		"as it is":         {func(*fact.Restored) {}, false},
		"another operator": {func(r *fact.Restored) { r.Operator = "desk-4" }, false},
		"another root":     {func(r *fact.Restored) { r.Root[31] ^= 1 }, true},
		"another epoch":    {func(r *fact.Restored) { r.Epoch++ }, true},
		"kept less":        {func(r *fact.Restored) { r.Kept-- }, true},
		"kept more":        {func(r *fact.Restored) { r.Kept++ }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := cleanWorld(t)
			r := good
			tt.change(&r)
			w.add(r)
			report := verify(t, w.messages(), audit.Options{Epoch: 2, Kept: kept})
			for _, f := range report.Findings {
				if f.Kind != audit.RestoredDiffers || f.Seq != kept+1 {
					t.Errorf("got %v", f)
				}
			}
			if got := len(report.Findings) > 0; got != tt.broken {
				t.Errorf("got findings %v, want some: %v", report.Findings, tt.broken)
			}
		})
	}
}

// TestHeaderKept: an archive carries what a restored log kept, and only of such a log.
func TestHeaderKept(t *testing.T) {
	h := audit.Header{Games: verifyGames, Epoch: 2, First: 1, Kept: 7, CreatedBy: "test"}
	r, err := audit.NewReader(bytes.NewReader(archiveOf(t, h, nil)))
	if err != nil || r.Header() != h {
		t.Errorf("got %+v, %v, want %+v", r.Header(), err, h)
	}
	h.Epoch = 1
	if _, err := audit.NewWriter(new(bytes.Buffer), h); err == nil {
		t.Error("the first epoch kept something: got no error")
	}
}
