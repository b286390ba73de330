package audit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// Comparison says how two archives of the same Games, A and B, relate.
type Comparison struct {
	Verdict    string      `json:"verdict"` // Same, ALonger, BLonger or Different
	Games      string      `json:"games"`
	EpochA     uint32      `json:"epoch_a"`
	EpochB     uint32      `json:"epoch_b"`
	Agree      uint64      `json:"agree"`                // facts from the first on that are the same in both
	MoreA      uint64      `json:"more_a,omitempty"`     // facts behind them, where B ends there
	MoreB      uint64      `json:"more_b,omitempty"`     // facts behind them, where A ends there
	Difference *Difference `json:"difference,omitempty"` // nil = one is the other, as far as it goes
}

// The verdicts of a comparison.
const (
	Same      = "same"
	ALonger   = "a_longer" // A begins with all of B
	BLonger   = "b_longer" // B begins with all of A
	Different = "different"
)

// Difference is the first place where two archives disagree, and what that looks like. What else differs behind it is
// not told.
type Difference struct {
	Seq   fact.Seq `json:"seq"`
	A     string   `json:"a"` // the fact there, in words for people
	B     string   `json:"b"`
	Kind  Parting  `json:"kind"`
	Among string   `json:"among"`  // the facts that were compared: "reported", those of a derived family, or "all"
	OnlyA int      `json:"only_a"` // how many of them stand there in A, and not in B; of StoredTime, Reordered and Parted, 0
	OnlyB int      `json:"only_b"`
}

// Parting is what a difference looks like. Who holds the two archives cannot tell which of them is the honest one.
type Parting string

// The kinds of partings. Facts are the same here when they differ in nothing but their own sequences and those that they
// name, which move with every fact that is put in or taken out before them.
const (
	// StoredTime: the same fact, stored at another time.
	StoredTime Parting = "STORED_TIME"
	// Rewritten: as many facts say something else; right behind them the two are the same again.
	Rewritten Parting = "REWRITTEN"
	// OnlyInA: facts were put into A or taken out of B; B goes on where A is so many facts ahead.
	OnlyInA Parting = "ONLY_IN_A"
	// OnlyInB: the other way round.
	OnlyInB Parting = "ONLY_IN_B"
	// Replaced: more facts stand in one than in the other, before they go on the same.
	Replaced Parting = "REPLACED"
	// Reordered: the same facts, in another order.
	Reordered Parting = "REORDERED"
	// Parted: the two do not come together again in the next facts, as many as a window holds.
	Parted Parting = "PARTED"
)

// compareWindow is how many facts of each archive are looked at from the first difference on.
const compareWindow = 4096

// sameAgain is how many facts in a row must be the same, if there are as many, to say that two archives are together again.
const sameAgain = 16

// Compare reads two archives in lockstep, up to the first place where they disagree, or to the ends of both. Its memory
// does not depend on their lengths. The errors are the context's, those of reading, which say whether it was A or B, and
// that of two archives that cannot be compared: of other Games, or that begin at different sequences.
func Compare(ctx context.Context, a, b *Reader) (Comparison, error) {
	ha, hb := a.Header(), b.Header()
	switch {
	case ha.Games != hb.Games:
		return Comparison{}, fmt.Errorf("games %s of A and %s of B: must be the same", ha.Games, hb.Games)
	case ha.First != hb.First:
		return Comparison{}, fmt.Errorf("first sequence %d of A and %d of B: must be the same", ha.First, hb.First)
	}
	left, right := newTape("A", a.Messages()), newTape("B", b.Messages())
	defer left.stop()
	defer right.stop()
	c := Comparison{Games: ha.Games, EpochA: ha.Epoch, EpochB: hb.Epoch}
	if err := c.run(ctx, left, right); err != nil {
		return Comparison{}, err
	}
	switch {
	case c.Difference != nil:
		c.Verdict = Different
	case c.MoreA > 0:
		c.Verdict = ALonger
	case c.MoreB > 0:
		c.Verdict = BLonger
	default:
		c.Verdict = Same
	}
	return c, nil
}

func (c *Comparison) run(ctx context.Context, a, b *tape) error {
	for n := uint64(0); ; n++ {
		if n%readBatch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		inA, err := a.next()
		if err != nil {
			return err
		}
		inB, err := b.next()
		switch {
		case err != nil:
			return err
		case inA && inB && !identical(a.message, b.message):
			c.Difference, err = difference(a, b)
			return err
		case inA && inB:
			c.Agree++
		case inA:
			c.MoreA++
		case inB:
			c.MoreB++
		default:
			return nil
		}
	}
}

// identical reports whether two messages of one sequence are the same, byte by byte.
func identical(a, b eventlog.Message) bool {
	return a.Stored == b.Stored && sameFact(a, b)
}

func sameFact(a, b eventlog.Message) bool {
	return a.Family == b.Family && string(a.Payload) == string(b.Payload)
}

// tape is an archive that is read message by message.
type tape struct {
	name    string
	pull    func() (eventlog.Message, error, bool)
	stop    func()
	message eventlog.Message // the last that was read
}

func newTape(name string, messages iter.Seq2[eventlog.Message, error]) *tape {
	t := &tape{name: name}
	t.pull, t.stop = iter.Pull2(messages)
	return t
}

// next reads the next message and reports whether there is one.
func (t *tape) next() (bool, error) {
	m, err, ok := t.pull()
	if err != nil {
		return false, fmt.Errorf("%s: %w", t.name, err)
	}
	if ok {
		t.message = m
	}
	return ok, nil
}

// window is what an archive holds from the difference on.
type window []glimpse

// glimpse is as much of a fact as is compared.
type glimpse struct {
	family fact.Family
	key    [16]byte // the same for facts that are the same but for sequences
}

// window reads on from the message that was read last.
func (t *tape) window() (window, error) {
	w := window{glimpseOf(t.message)}
	for len(w) < compareWindow {
		more, err := t.next()
		if err != nil || !more {
			return w, err
		}
		w = append(w, glimpseOf(t.message))
	}
	return w, nil
}

func glimpseOf(m eventlog.Message) glimpse {
	bytes := m.Payload
	if r, err := eventlog.Decode(m.Family, m.Payload); err == nil {
		r.Fact = withoutSequences(r.Fact)
		if m.Family.Derived() {
			r.Derivation.Cause = 1 // one that there may be
		}
		if plain, err := eventlog.Encode(r); err == nil {
			bytes = plain
		}
	}
	sum := sha256.Sum256(append([]byte(m.Family+" "), bytes...))
	return glimpse{family: m.Family, key: [16]byte(sum[:])}
}

// withoutSequences returns the fact without the sequences that it names.
func withoutSequences(f fact.Fact) fact.Fact {
	switch f := f.(type) {
	case fact.Unfriended:
		f.Friendship = 0
		return f
	case fact.Blocked:
		f.After = 0
		return f
	case fact.Unblocked:
		f.After = 0
		return f
	case fact.FriendshipRevoked:
		f.Friendship = 0
		return f
	case fact.AwardRevoked:
		f.Cause = 0
		return f
	case fact.FriendshipFormed:
		f.Mate = 0
		return f
	case fact.FriendshipEnded:
		f.Friendship = 0
		return f
	case fact.HalfRefused:
		f.Half = 0
		return f
	}
	return f
}

// difference says how the archives differ from the messages on that were read last.
func difference(a, b *tape) (*Difference, error) {
	ma, mb := a.message, b.message
	d := &Difference{Seq: ma.Seq, A: describeMessage(ma), B: describeMessage(mb)}
	if d.A == d.B && !sameFact(ma, mb) {
		d.A, d.B = d.A+inBytes(ma), d.B+inBytes(mb)
	}
	if sameFact(ma, mb) {
		d.Kind, d.Among = StoredTime, amongOf(ma.Family)
		d.A, d.B = d.A+", stored "+ma.Stored.String(), d.B+", stored "+mb.Stored.String()
		return d, nil
	}
	wa, err := a.window()
	if err != nil {
		return nil, err
	}
	wb, err := b.window()
	if err != nil {
		return nil, err
	}
	d.look(wa, wb)
	return d, nil
}

// maxFactText is the length, in bytes, of the longest text of a fact that is shown: the most that rules take.
const maxFactText = 64 << 10

func describeMessage(m eventlog.Message) string {
	e, err := m.Decode()
	text := describe(e.Fact)
	switch {
	case err != nil:
		text = err.Error()
	case m.Family.Derived():
		text = describeRecord(e.Record)
	}
	return printable(text, maxFactText)
}

// inBytes tells messages apart that say the same.
func inBytes(m eventlog.Message) string {
	return fmt.Sprintf(", in %d bytes of SHA-256 %x", len(m.Payload), sha256.Sum256(m.Payload))
}

// What facts are compared with each other, beside the names of the derived families.
const (
	reported = "reported"
	all      = "all"
)

func amongOf(f fact.Family) string {
	if f.Derived() {
		return string(f)
	}
	return reported
}

// look finds out what the difference is. Derived facts follow from reported ones, and stand wherever their service was
// quick or slow enough to put them. So the reported facts are compared among themselves; if they go on the same, those
// of each derived family are.
func (d *Difference) look(a, b window) {
	first, other := a[0], b[0]
	if first == other { // but for sequences that it names
		d.Kind, d.Among, d.OnlyA, d.OnlyB = Rewritten, amongOf(first.family), 1, 1
		return
	}
	for _, among := range []string{reported, amongOf(first.family), amongOf(other.family)} {
		d.Among = among
		x, y := a.among(among), b.among(among)
		if len(x) > 0 && len(y) > 0 && x[0] == y[0] || len(x)+len(y) == 0 {
			continue
		}
		d.Kind, d.OnlyA, d.OnlyB = apart(x, y)
		return
	}
	d.Kind, d.Among = Reordered, all // those of each sort are the same: they stand elsewhere among each other
}

func (w window) among(among string) (keys [][16]byte) {
	for _, f := range w {
		if amongOf(f.family) == among {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// apart says how two rows differ whose first elements do, and how many of each stand before they are together again: where
// the next ones are the same, or where both end and only one of them had more.
func apart(x, y [][16]byte) (kind Parting, onlyX, onlyY int) {
	for n := 1; n <= len(x)+len(y); n++ {
		for i := max(0, n-len(y)); i <= min(n, len(x)); i++ {
			if !together(x[i:], y[n-i:]) && (n < len(x)+len(y) || i > 0 && i < n) {
				continue
			}
			if kind := partingOf(x, y, i, n-i); kind != Reordered {
				return kind, i, n - i
			}
			return Reordered, 0, 0
		}
	}
	return Parted, 0, 0
}

// together reports whether two rows begin the same.
func together(x, y [][16]byte) bool {
	n := min(len(x), len(y), sameAgain)
	return n > 0 && slices.Equal(x[:n], y[:n])
}

// partingOf says what it is that i elements of x stand where n of y do.
func partingOf(x, y [][16]byte, i, n int) Parting {
	count := map[[16]byte]int{}
	for _, k := range x {
		count[k]++
	}
	for _, k := range y {
		count[k]--
	}
	oneSided := func(k [16]byte) bool { return count[k] != 0 }
	switch {
	case !slices.ContainsFunc(x[:i], oneSided) && !slices.ContainsFunc(y[:n], oneSided):
		return Reordered
	case n == 0:
		return OnlyInA
	case i == 0:
		return OnlyInB
	case i == n:
		return Rewritten
	}
	return Replaced
}
