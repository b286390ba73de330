package server

import (
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	logv1 "pinfold/proto/pinfold/log/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// TestEndings asks for friendships that ended. As long as nobody says who asks, nobody is told of a block.
func TestEndings(t *testing.T) {
	anna, ben := fact.WearerID{1}, fact.WearerID{2}
	keyA, keyB := fact.PublicKey{1}, fact.PublicKey{2}
	half := func(own, peer fact.PublicKey) fact.Fact {
		return fact.HalfReported{Half: fact.Half{
			Pin: own.PinID(), Peer: peer.PinID(), Nonce: fact.Nonce{own[0]}, PeerNonce: fact.Nonce{peer[0]}, Link: fact.LinkWire,
		}}
	}
	const cause = 8 // the second half
	for _, tt := range []struct {
		command fact.Fact
		want    logv1.Ending
	}{
		{fact.TimePassed{Time: 1}, logv1.Ending_ENDING_UNSPECIFIED},
		{fact.Blocked{Wearer: anna, Pin: keyA.PinID(), Other: ben}, logv1.Ending_ENDING_UNFRIENDED},
		{fact.Unfriended{Wearer: anna, Pin: keyA.PinID(), Friendship: cause}, logv1.Ending_ENDING_UNFRIENDED},
		{fact.FriendshipRevoked{Friendship: cause, Reason: fact.RevokedError}, logv1.Ending_ENDING_REVOKED},
	} {
		w := newWorld(t)
		w.append(t, fact.RulesAdopted{Rules: rules.Tokyo2020()}, fact.TimePassed{Time: w.clock},
			fact.PinRegistered{Key: keyA}, fact.PinRegistered{Key: keyB},
			fact.PinPaired{Wearer: anna, Proof: fact.Proof{Pin: keyA.PinID()}}, fact.PinPaired{Wearer: ben, Proof: fact.Proof{Pin: keyB.PinID()}},
			half(keyA, keyB), half(keyB, keyA))
		seq := w.append(t, tt.command).GetSeq()
		got, err := w.api.GetFriendship(t.Context(), tapv1.GetFriendshipRequest_builder{Friendship: cause, MinSeq: seq}.Build())
		if err != nil || got.GetEnding() != tt.want {
			t.Errorf("after %T: got %v, %v, want %v", tt.command, got.GetEnding(), err, tt.want)
		}
	}
}
