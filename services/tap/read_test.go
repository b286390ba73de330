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

// TestEndingFor tells each of a pair, and others, how the friendship ended: of a block, only who blocked is told.
func TestEndingFor(t *testing.T) {
	anna, ben, chloe := wearerOf("anna"), wearerOf("ben"), wearerOf("chloe")
	end := map[fact.Ending]func(cause fact.Seq) fact.Fact{
		fact.EndedUnfriended: func(cause fact.Seq) fact.Fact {
			return fact.Unfriended{Wearer: ben, Pin: pinOf("ben"), Friendship: cause}
		},
		fact.EndedBlocked: func(fact.Seq) fact.Fact { return fact.Blocked{Wearer: ben, Pin: pinOf("ben"), Other: anna} },
		fact.EndedRevoked: func(cause fact.Seq) fact.Fact {
			return fact.FriendshipRevoked{Friendship: cause, Reason: fact.RevokedError}
		},
		0: func(fact.Seq) fact.Fact { return fact.TimePassed{Time: 2} },
	}
	for ending, by := range end {
		w := newWorld(t)
		w.people("anna", "ben", "chloe")
		w.fold(reported("anna", "ben", "t1", 1), reported("ben", "anna", "t1", 1))
		cause := w.seq
		w.fold(by(cause))
		// What comes later does not change who ended it.
		w.fold(fact.Blocked{Wearer: anna, Pin: pinOf("anna"), Other: chloe}, fact.Blocked{Wearer: chloe, Pin: pinOf("chloe"), Other: ben})
		told := ending
		if ending == fact.EndedBlocked {
			told = fact.EndedUnfriended
		}
		w.view(func(r view.Reader) {
			f, _ := FriendshipByCause(r, cause)
			for who, want := range map[fact.WearerID]fact.Ending{ben: ending, anna: told, chloe: told, {}: told} {
				if got := f.EndingFor(who); got != want {
					t.Errorf("%v, as %s is told: got %v, want %v", ending, nameOf(who), got, want)
				}
			}
		})
	}
}
