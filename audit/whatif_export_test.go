package audit

import "pinfold/internal/view"

// Digests returns the digests of all views: tap, rewards, steps of before, and those of after.
func (r *WhatIfResult) Digests() (all []view.Digest) {
	_ = viewAll(r.stores, nil, func(views []view.Reader) {
		for _, v := range views {
			all = append(all, view.DigestOf(v))
		}
	})
	return all
}
