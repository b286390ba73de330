package audit

import (
	"cmp"
	"fmt"
	"slices"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/view"
	"pinfold/services/gateway"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

// ViewDigest is what a service's view was at one sequence of the log.
type ViewDigest struct {
	Service string   // tap, rewards, steps or gateway
	Seq     fact.Seq // every fact up to it was folded, and no other
	Digest  view.Digest
}

// checkServices returns the error of a digest of a service that is none.
func checkServices(views []ViewDigest) error {
	known := []string{tap.Core{}.Name(), rewards.Core{}.Name(), steps.Core{}.Name(), gateway.Core{}.Name()}
	for _, d := range views {
		if !slices.Contains(known, d.Service) {
			return fmt.Errorf("digest of a view at sequence %d: service %.80q: want one of %.80q", d.Seq, d.Service, known)
		}
	}
	return nil
}

// viewsOf returns the digests of one service, by sequence.
func viewsOf(service string, all []ViewDigest) []ViewDigest {
	var own []ViewDigest
	for _, d := range all {
		if d.Service == service {
			own = append(own, d)
		}
	}
	slices.SortFunc(own, func(a, b ViewDigest) int { return cmp.Compare(a.Seq, b.Seq) })
	return own
}

// compareViews compares the state of the refold, which has every fact before next, with the views of sequences before it.
// Of a fold that was stopped there is no state to compare with.
func (r *refold) compareViews(next fact.Seq) error {
	for len(r.views) > 0 && r.views[0].Seq < next {
		d := r.views[0]
		r.views = r.views[1:]
		if r.done {
			continue
		}
		var own view.Digest
		if err := r.view.View(func(at view.Reader) error { own = fold.Digest(at); return nil }); err != nil {
			return err
		}
		if d.Digest == own {
			r.equal++
			continue
		}
		r.out.add(d.Seq, ViewDiffers, fmt.Sprintf("a view of %s with digest %v, to which the log folds", d.Service, own), "digest "+d.Digest.String())
	}
	return nil
}

// endViews compares the views at the end of the log. Those of a later sequence are of another one, or of more of it.
func (r *refold) endViews(last fact.Seq, cut bool) error {
	if err := r.compareViews(last + 1); err != nil || cut {
		return err
	}
	for _, d := range r.views {
		r.out.add(last+1, ViewDiffers, fmt.Sprintf("facts up to sequence %d, which the view of %s has folded", d.Seq, d.Service),
			fmt.Sprintf("a log that ends at sequence %d", last))
	}
	return nil
}
