package tap

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"pinfold/internal/fact"
)

// op is something that happens in the random life of a small world. It becomes facts only when its turn comes, since
// commands name what they change by what was derived before.
type op struct {
	Kind    string
	A, B, N int // what they select depends on the kind
}

func (o op) String() string { return fmt.Sprintf("%s(%d,%d,%d)", o.Kind, o.A, o.B, o.N) }

// Kinds of op, each as often as it shall come.
var (
	halfOps    = []string{"half", "half", "half", "half", "half", "half", "meet", "meet", "meet", "part"}
	againOps   = []string{"again", "again", "again"} // an old tap, told again
	commandOps = []string{"unfriend", "unfriend", "block", "unblock", "unblock", "revoke", "pair", "retire", "erase"}
	timeOps    = []string{"time", "time"}
	correctOps = []string{"correct", "jump"}
	tickOps    = []string{"tick", "tick"} // time that lets nothing fall due
	oddOps     = []string{"clone", "rules", "register", "mistake", "flood", "other"}
)

func opsOf(kinds ...[]string) *rapid.Generator[[]op] {
	one := rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind: rapid.SampledFrom(slices.Concat(kinds...)).Draw(t, "kind"),
			A:    rapid.IntRange(0, 60).Draw(t, "a"),
			B:    rapid.IntRange(0, 60).Draw(t, "b"),
			N:    rapid.IntRange(0, 20).Draw(t, "n"),
		}
	})
	// Left to itself rapid draws short lists, in which too little happens.
	return rapid.Custom(func(t *rapid.T) []op {
		length := rapid.SampledFrom([]int{4, 16, 64, 128, 256}).Draw(t, "length")
		return rapid.SliceOfN(one, length/2, length).Draw(t, "ops")
	})
}

// The small world: few enough taps that halves meet their mates, come twice and come late.
var (
	lifeWearers = []string{"anna", "ben", "chloe", "dan"}
	lifePins    = []string{"anna", "anna2", "ben", "ben2", "chloe", "chloe2", "dan", "ghost"} // two for each wearer
	lifeTaps    = [][2]string{
		{"anna", "ben"},
		{"anna", "ben"},
		{"anna", "ben"},
		{"anna2", "ben"},
		{"anna", "ben2"},
		{"ben", "chloe"},
		{"ben", "chloe2"},
		{"chloe", "anna"},
		{"dan", "anna"},
		{"dan", "chloe2"},
		{"anna", "anna2"},
		{"ghost", "dan"},
		{"anna", "anna"},
	}
)

// life is what ops have to know of the world to become facts.
type life struct {
	now     fact.UnixMilli
	lonely  int                  // halves so far that have no mate anywhere
	told    []fact.HalfReported  // those that have
	current map[wearers]fact.Seq // the cause of each current friendship
	last    map[wearers]fact.Seq // the cause of each pair's last friendship

	lastBlock func(by, other fact.WearerID) fact.Seq // as LastBlock has it now
}

type wearers [2]fact.WearerID

func newLife(w *world) *life {
	return &life{current: map[wearers]fact.Seq{}, last: map[wearers]fact.Seq{}, lastBlock: w.lastBlock}
}

// begin gets most of the small world going.
func (l *life) begin(pendingFor time.Duration) []fact.Fact {
	facts := []fact.Fact{adopted(pendingFor), l.pass(1000)}
	for i, pin := range lifePins[:7] {
		facts = append(facts, registered(pin))
		if i%2 == 0 { // the second pins are for later
			facts = append(facts, paired(pin, lifeWearers[i/2]))
		}
	}
	return facts
}

// learn takes note of what was derived from a fact.
func (l *life) learn(cause fact.Seq, derived []fact.Fact) {
	for _, d := range derived {
		switch d := d.(type) {
		case fact.FriendshipFormed:
			l.current[wearers{d.Lo, d.Hi}] = cause
			l.last[wearers{d.Lo, d.Hi}] = cause
		case fact.FriendshipEnded:
			delete(l.current, wearers{d.Lo, d.Hi})
		}
	}
}

// pairs returns who are friends.
func (l *life) pairs() string {
	var list []string
	for p := range maps.Keys(l.current) {
		list = append(list, fmt.Sprintf("%.5s+%.5s", p[0][:], p[1][:]))
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

func (l *life) pass(ms int) fact.Fact {
	t := l.now + fact.UnixMilli(ms)
	l.now = max(l.now, t)
	return fact.TimePassed{Time: t}
}

// facts returns the facts that the op comes to at this point of the life.
func (l *life) facts(o op) []fact.Fact {
	a := o.A % len(lifeWearers)
	b := (a + 1 + o.B%3) % len(lifeWearers) // not a
	one, other := wearerOf(lifeWearers[a]), wearerOf(lifeWearers[b])
	own := pinOf(lifePins[2*a+o.A/4%2])
	switch o.Kind {
	case "half":
		tap := o.A % len(lifeTaps)
		return []fact.Fact{l.half(tap, o.B, fact.Counter(2*tap))}
	case "again":
		return l.again(o)
	case "meet":
		return []fact.Fact{l.meeting(o, 0), l.meeting(o, 1)}
	case "part":
		return []fact.Fact{l.meeting(o, o.A/8)}
	case "clone":
		return []fact.Fact{l.half(o.A%len(lifeTaps), o.B, fact.Counter(o.N))}
	case "time":
		return []fact.Fact{l.pass([]int{0, -7, 1, 20, 20, 50, 50, 100}[o.A%8])}
	case "jump": // a clock that is wrong, and the log's own with it
		return []fact.Fact{l.pass(1000 + 100*o.A)}
	case "correct":
		return []fact.Fact{l.correct(o)}
	case "tick":
		return []fact.Fact{l.pass(1)}
	case "rules":
		return []fact.Fact{l.rules(o)}
	case "register":
		return []fact.Fact{registered(lifePins[o.A%len(lifePins)])}
	case "pair":
		return []fact.Fact{paired(lifePins[o.A%len(lifePins)], lifeWearers[o.B%4])}
	case "retire":
		return []fact.Fact{fact.PinRetired{Pin: pinOf(lifePins[o.A%len(lifePins)]), Reason: fact.RetiredLost}}
	case "erase":
		if o.N > 4 { // not too many of so few
			return nil
		}
		return []fact.Fact{fact.WearerErased{Wearer: one}}
	case "unfriend":
		return []fact.Fact{fact.Unfriended{Wearer: one, Pin: own, Counter: l.counter(o.N), Friendship: l.between(one, other)}}
	case "block":
		return []fact.Fact{fact.Blocked{Wearer: one, Pin: own, Counter: l.counter(o.N), Other: other, After: l.after(o, one, other)}}
	case "unblock":
		return []fact.Fact{fact.Unblocked{Wearer: one, Other: other, After: l.after(o, one, other)}}
	case "revoke":
		if o.N > 6 { // it is for ever
			return nil
		}
		return []fact.Fact{fact.FriendshipRevoked{Friendship: l.between(one, other), Reason: fact.RevokedFraud}}
	case "mistake":
		return []fact.Fact{l.mistake(o)}
	case "flood":
		return l.flood(o)
	case "other":
		return []fact.Fact{fact.FriendshipFormed{Lo: one, Hi: other}}
	}
	panic("no such op: " + o.Kind)
}

// correct sets the time anywhere, mostly back, by a log whose clock shows anything, mostly more.
func (l *life) correct(o op) fact.Fact {
	to := l.now + []fact.UnixMilli{-2000, -1000, -150, -50, -1, 0, 50, 500, -l.now, -l.now - 7}[o.A%10]
	stored := to + []fact.UnixMilli{0, 0, 5, 100, 1000, -30}[o.B%6]
	l.now = max(0, min(to, stored))
	return storedFact{fact.TimeCorrected{Time: to}, stored}
}

// after names what a block command follows: mostly what it has to, else something that once was, or never.
func (l *life) after(o op, by, other fact.WearerID) fact.Seq {
	switch o.B / 3 % 8 {
	case 0:
		return 0
	case 1:
		return l.lastBlock(other, by)
	case 2:
		return l.lastBlock(by, other) - 1
	}
	return l.lastBlock(by, other)
}

// between names the pair's friendship, or one that is no longer current.
func (l *life) between(a, b fact.WearerID) fact.Seq {
	return max(l.last[wearers{a, b}], l.last[wearers{b, a}])
}

func (l *life) half(tap, side int, counter fact.Counter) fact.Fact {
	author, peer := lifeTaps[tap][side%2], lifeTaps[tap][1-side%2]
	return l.tell(author, peer, fmt.Sprint(tap), counter)
}

// tell returns the half and takes note of it.
func (l *life) tell(author, peer, tap string, counter fact.Counter) fact.Fact {
	h := reported(author, peer, tap, counter)
	l.told = append(l.told, h)
	return h
}

// again returns an old half, with the last that was told of its mate's side.
func (l *life) again(o op) []fact.Fact {
	if len(l.told) == 0 {
		return nil
	}
	h := l.told[(61*o.A+o.B)%len(l.told)]
	for _, mate := range slices.Backward(l.told) {
		if mate.Half.Pin == h.Half.Peer && mate.Half.Nonce == h.Half.PeerNonce {
			return []fact.Fact{h, mate}
		}
	}
	return []fact.Fact{h}
}

// counter returns what a command gives: about what pins come to by now, or 0, which is not to know it. Halves give the same
// in whatever order they are told.
func (l *life) counter(more int) fact.Counter {
	if more == 0 {
		return 0
	}
	return fact.Counter(len(l.told)/4 + more)
}

// meeting returns one half of a tap of any two pins, with any counter.
func (l *life) meeting(o op, side int) fact.Fact {
	a := o.A % len(lifePins)
	b := (a + 1 + o.B) % len(lifePins)
	pins := [2]string{lifePins[a], lifePins[b]}
	return l.tell(pins[side%2], pins[1-side%2], fmt.Sprint(a, b, o.N), fact.Counter(o.N))
}

func (l *life) rules(o op) fact.Fact {
	return fact.RulesAdopted{Rules: fact.Rules{
		PendingFor:  []time.Duration{100, 100, 40, 250, 0, -1}[o.A%6] * time.Millisecond,
		Opens:       []fact.UnixMilli{0, 0, 0, l.now, l.now - 20, l.now + 20}[o.B%6],
		Closes:      []fact.UnixMilli{0, 0, 0, l.now, l.now - 20, l.now + 20}[o.N%6],
		UploadGrace: time.Duration(o.A%3*10) * time.Millisecond,
	}}
}

// mistake is a command whose parts need not belong together.
func (l *life) mistake(o op) fact.Fact {
	one, other := wearerOf(lifeWearers[o.A%4]), wearerOf(lifeWearers[o.B%4])
	pin := pinOf(lifePins[2*(o.A%4)])
	friendship := l.between(wearerOf(lifeWearers[o.N%4]), wearerOf(lifeWearers[o.N/4%4]))
	switch o.B % 5 {
	case 0:
		return fact.Unfriended{Wearer: one, Pin: pin, Counter: 9, Friendship: friendship}
	case 1:
		return fact.Unfriended{Wearer: one, Pin: pinOf("dan"), Counter: 9, Friendship: friendship}
	case 2:
		return fact.Blocked{Wearer: one, Pin: pinOf("ben"), Counter: 9, Other: other}
	case 3:
		return fact.Blocked{Wearer: one, Pin: pin, Counter: 9, Other: one}
	}
	return fact.FriendshipRevoked{Friendship: fact.Seq(o.N)}
}

// flood is halves without mates, now and then more than one fact may expire.
func (l *life) flood(o op) []fact.Fact {
	n := o.A % 4
	if o.N == 20 {
		n = 250
	}
	var facts []fact.Fact
	for range n {
		l.lonely++
		facts = append(facts, reported("dan", "chloe", fmt.Sprint("lonely ", l.lonely), 1))
	}
	return facts
}
