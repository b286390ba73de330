package tap

import (
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/view"
)

// TestFriendshipOf asks for the friendship of a pair through all that can become of it.
func TestFriendshipOf(t *testing.T) {
	w := newWorld(t)
	w.people("anna", "ben", "cleo")
	is := func(when string, want fact.Seq) {
		t.Helper()
		for _, pair := range [][2]string{{"anna", "ben"}, {"ben", "anna"}} {
			w.view(func(r view.Reader) {
				f, ok := FriendshipOf(r, wearerOf(pair[0]), wearerOf(pair[1]))
				if ok != (want != 0) || f.Cause != want || ok && !f.Current() {
					t.Errorf("%s: %v has %+v, %v, want cause %d", when, pair, f, ok, want)
				}
			})
		}
	}
	is("never met", 0)
	w.fold(reported("anna", "cleo", "one", 1), reported("cleo", "anna", "one", 1))
	is("met another", 0)
	w.fold(reported("anna", "ben", "two", 2), reported("ben", "anna", "two", 1))
	first := w.seq
	is("met", first)
	w.fold(fact.Unfriended{Wearer: wearerOf("anna"), Pin: pinOf("anna"), Counter: 2, Friendship: first})
	is("unfriended", 0)
	w.fold(reported("anna", "ben", "three", 3), reported("ben", "anna", "three", 2))
	is("met again", w.seq)
	w.fold(fact.FriendshipRevoked{Friendship: w.seq, Reason: fact.RevokedFraud})
	is("revoked", 0)
}
