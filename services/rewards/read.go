package rewards

import (
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/roster"
	"pinfold/internal/rules"
)

// Awards is what a wearer has, and what comes next.
type Awards struct {
	Friends     uint32
	Medals      []Medal      // held, in the order given
	Backgrounds []Background // all ever given, in that order
	Chosen      string       // the sport whose background the wearer chose; "" = none

	NextBackground string     // the sport of the background that comes next; "" = none is left
	ToBackground   uint32     // friends more that it takes; 0 = it is due, and comes with the next change of the count
	NextMedal      fact.Medal // 0 = none is left
	ToMedal        uint32     // as ToBackground
}

// AwardID names an award by the derivation of its fact.
type AwardID struct {
	Cause fact.Seq
	Index uint32
}

// Medal is a medal held.
type Medal struct {
	Award AwardID
	Medal fact.Medal
}

// Background is a background given.
type Background struct {
	Award   AwardID
	Sport   string
	Revoked bool // no longer held
}

// AwardedTo returns the wearer whom the award was given to, revoked or not; false if there is no such award.
func AwardedTo(r kv.Reader, id AwardID) (fact.WearerID, bool) {
	return awardedTo(r, id.Cause, id.Index)
}

// AwardsOf returns the awards of a wearer, and those of an erased one as they were, with nothing to come. A wearer who
// was never heard of has none so far.
func AwardsOf(r kv.Reader, w fact.WearerID) Awards {
	rec := recordOf(r, w)
	a := Awards{Friends: rec.friends}
	for _, given := range rec.all() {
		id := AwardID{given.cause, uint32(given.index)}
		if given.medal == 0 {
			a.Backgrounds = append(a.Backgrounds, Background{id, sportID(r, given.sport), given.revoked})
		} else if !given.revoked {
			a.Medals = append(a.Medals, Medal{id, given.medal})
		}
	}
	if rec.chosen != 0 {
		a.Chosen = sportID(r, rec.chosen)
	}
	if in := inForce(r); in.adopted() && !roster.Erased(r, w) {
		a.addNext(r, rec, in)
	}
	return a
}

func (a *Awards) addNext(r kv.Reader, rec record, in ruling) {
	if more, ok := rules.ToNextBackground(in.Rules, rec.friends, int(rec.given)); ok {
		for sp := range in.notIn(rec.sportsGiven()) {
			a.NextBackground, a.ToBackground = sportID(r, sp), more
			break
		}
	}
	if next, more, ok := rules.ToNextMedal(in.Rules, rec.friends, rec.medal); ok {
		a.NextMedal, a.ToMedal = next, more
	}
}
