package audit_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"testing"
	"time"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/rewards"
	"pinfold/services/steps"
	"pinfold/services/tap"
)

const verifyGames = "tokyo2020"

// verifyWorld makes a log as the services do: by the real cores, of statements that real keys signed.
type verifyWorld struct {
	t     testing.TB
	log   *eventlog.Memory
	now   fact.UnixMilli
	cores []fold.Core
	views []*view.Memory
	next  fact.Seq // the first that was not folded
	pins  []*client.Pin
}

// verifyRules let few friends earn much.
func verifyRules() fact.Rules {
	r := rules.Tokyo2020()
	r.FriendsPerBackground = 2
	r.Medals = fact.Thresholds{Bronze: 2, Silver: 3, Gold: 4}
	r.StepGoal = 1000
	return r
}

func newVerifyWorld(t testing.TB) *verifyWorld {
	w := emptyVerifyWorld(t)
	w.add(fact.RulesAdopted{Rules: verifyRules()}, fact.TimePassed{Time: w.now})
	return w
}

func emptyVerifyWorld(t testing.TB) *verifyWorld {
	w := &verifyWorld{t: t, now: 1_600_000_000_000, next: 1, cores: []fold.Core{tap.Core{}, rewards.Core{}, steps.Core{}}}
	w.log = eventlog.NewMemory(func() fact.UnixMilli { return w.now }, eventlog.Faults{})
	for range w.cores {
		w.views = append(w.views, view.NewMemory())
	}
	return w
}

// add appends facts, and all that follows from them. It returns the sequence of the last of the facts.
func (w *verifyWorld) add(facts ...fact.Fact) fact.Seq {
	w.t.Helper()
	var records []fact.Record
	for _, f := range facts {
		records = append(records, fact.Record{Fact: f})
	}
	return w.addRecords(records...)
}

func (w *verifyWorld) addRecords(records ...fact.Record) fact.Seq {
	w.t.Helper()
	w.now += 1000
	last, err := w.log.Append(context.Background(), eventlog.Batch{Records: records})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range w.messages()[w.next-1:] {
		w.next++
		for _, derived := range w.fold(m) {
			w.addRecords(derived...)
		}
	}
	return last
}

// fold steps the cores and returns what each derives.
func (w *verifyWorld) fold(m eventlog.Message) (derived [][]fact.Record) {
	e, err := m.Decode()
	if err != nil {
		w.t.Fatal(err)
	}
	for i, core := range w.cores {
		if !slices.Contains(core.ActsOn(), m.Family) {
			continue
		}
		var facts []fact.Fact
		_ = w.views[i].Update(func(tx kv.Tx) error { facts = core.Step(tx, e); return nil })
		var records []fact.Record
		for j, f := range facts {
			records = append(records, fact.Record{Fact: f, Derivation: fact.Derivation{Cause: e.Seq, Index: uint32(j), Count: uint32(len(facts))}})
		}
		if len(records) > 0 {
			derived = append(derived, records)
		}
	}
	return derived
}

// messages returns the log so far.
func (w *verifyWorld) messages() []eventlog.Message {
	head, _ := w.log.Head(context.Background())
	if head.Last == 0 {
		return nil
	}
	r, _ := w.log.Read(context.Background(), eventlog.Position{})
	defer r.Close()
	msgs, err := r.Next(context.Background(), int(head.Last))
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.Clone(msgs)
}

// newPin makes a pin that is not registered.
func (w *verifyWorld) newPin() *client.Pin {
	var secret [32]byte
	binary.BigEndian.PutUint32(secret[:], uint32(len(w.pins)+1))
	p := client.RestorePin(secret, 0)
	w.pins = append(w.pins, p)
	return p
}

// wearer registers a pin and pairs it with a new wearer.
func (w *verifyWorld) wearer() *client.Pin {
	p := w.newPin()
	w.add(fact.PinRegistered{Key: p.Key()})
	w.add(w.pairing(p, verifyGames))
	return p
}

func wearerOf(p *client.Pin) fact.WearerID {
	var id fact.WearerID
	pin := p.ID()
	copy(id[:], pin[:])
	return id
}

func (w *verifyWorld) pairing(p *client.Pin, games string) fact.PinPaired {
	return w.pairingWith(p, wearerOf(p), games)
}

func (w *verifyWorld) pairingWith(p *client.Pin, wearer fact.WearerID, games string) fact.PinPaired {
	random := [16]byte{7}
	signed := p.Prove(statement.Challenge(games, wearer, random), w.now)
	proof, err := statement.ParseProof(signed.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return fact.PinPaired{Wearer: wearer, Proof: proof, Signature: signed.Signature, Random: random}
}

// halves lets two pins tap.
func (w *verifyWorld) halves(a, b *client.Pin) (fact.HalfReported, fact.HalfReported) {
	w.t.Helper()
	sideA, sideB := a.Approach(), b.Approach()
	signedA, errA := sideA.Sign(sideB.Hello(), w.now)
	signedB, errB := sideB.Sign(sideA.Hello(), w.now)
	if errA != nil || errB != nil {
		w.t.Fatal(errA, errB)
	}
	return w.half(a, signedA), w.half(b, signedB)
}

func (w *verifyWorld) half(p *client.Pin, s client.Signed) fact.HalfReported {
	h, err := statement.ParseHalf(s.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return fact.HalfReported{Half: h, Signature: s.Signature, Carrier: p.ID()}
}

// meet makes friends of two.
func (w *verifyWorld) meet(a, b *client.Pin) {
	w.tell(a, b)
}

func (w *verifyWorld) walk(p *client.Pin, n uint16) {
	w.add(w.report(p, p.Count(fact.Slot(w.now/fact.UnixMilli(fact.SlotLength.Milliseconds())), []uint16{n})))
}

func (w *verifyWorld) report(p *client.Pin, s client.Signed) fact.StepsReported {
	report, err := statement.ParseStepReport(s.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	return fact.StepsReported{Report: report, Signature: s.Signature, Carrier: p.ID()}
}

// crowdOf lets n wearers all meet each other.
func (w *verifyWorld) crowdOf(n int) []*client.Pin {
	var all []*client.Pin
	for range n {
		p := w.wearer()
		for _, other := range all {
			w.meet(p, other)
		}
		all = append(all, p)
	}
	return all
}

// cleanWorld has everything in it that a log can: 6 wearers who all meet, a repeated half, one of a pin that is not
// paired and one of a pin that is not registered, steps, the end of a friendship and a block.
func cleanWorld(t testing.TB) (*verifyWorld, []*client.Pin) {
	w := newVerifyWorld(t)
	all := w.crowdOf(6)
	for i, p := range all {
		w.walk(p, uint16(500*i))
	}
	first, second := w.halves(all[0], all[1])
	cause := w.add(first, second)
	w.add(second)
	w.add(fact.TimePassed{Time: w.now})
	stranger, nobody := w.newPin(), w.newPin()
	w.add(fact.PinRegistered{Key: stranger.Key()})
	first, _ = w.halves(stranger, all[0])
	w.add(first)
	first, _ = w.halves(nobody, all[0])
	w.add(first)
	for _, m := range w.messages() {
		if e, _ := m.Decode(); m.Family == fact.Friendship && e.Derivation.Cause < cause {
			f := e.Fact.(fact.FriendshipFormed)
			w.add(fact.Unfriended{Wearer: f.Lo, Pin: w.pinOf(f.Lo).ID(), Counter: 1000, Friendship: e.Derivation.Cause})
			break
		}
	}
	w.add(fact.Blocked{Wearer: wearerOf(all[5]), Pin: all[5].ID(), Counter: 1000, Other: wearerOf(all[4])})
	return w, all
}

// wrongClock lets the log's clock run 15 years ahead, and be set right. Two pins meet before, and are heard on both sides of
// the correction; they meet after it, and what waits then expires in its time. More halves fall due by the jump than one
// fact may note.
func (w *verifyWorld) wrongClock(a, b *client.Pin) {
	w.add(fact.TimePassed{Time: w.now})
	for range 500 {
		lonely, _ := w.halves(a, b)
		w.add(lonely)
	}
	w.now = w.now.Add(15 * 365 * 24 * time.Hour)
	w.add(fact.TimePassed{Time: w.now})
	first, second := w.halves(a, b)
	w.add(first)
	w.walk(a, 700)
	w.now = w.now.Add(-15 * 365 * 24 * time.Hour)
	w.add(fact.TimeCorrected{Time: w.now, Order: fact.Order{Operator: "desk-3"}})
	w.add(second)
	w.walk(b, 900)
	w.meet(a, b)
	lonely, _ := w.halves(a, b)
	w.add(lonely)
	w.now = w.now.Add(15 * 24 * time.Hour)
	w.add(fact.TimePassed{Time: w.now})
}

// doors adopts the rules with an opening and a closing. Halves and steps are told on both sides of each, halves are refused
// in every way, come again after an ending, and wait while the time is corrected twice.
func (w *verifyWorld) doors(r fact.Rules) {
	r.Opens, r.Closes = w.now.Add(day), w.now.Add(61*day)
	r.UploadGrace = 7 * day
	a, b, c, second := w.wearer(), w.wearer(), w.wearer(), w.newPin()
	w.add(fact.PinRegistered{Key: second.Key(), Kind: fact.SoftwarePin})
	w.add(w.pairingWith(second, wearerOf(a), verifyGames))
	w.add(fact.RulesAdopted{Rules: r})

	early := w.tell(a, b) // CLOSED
	w.walk(a, 100)
	w.pass(r.Opens)
	w.add(w.around(a, r.Opens))
	w.endings(a, second, b, early)
	w.corrections(a, b, c)

	w.pass(r.Closes)
	across := w.around(b, r.Closes)
	w.add(across)
	w.meet(a, c)
	w.pass(r.Closes.Add(r.UploadGrace + time.Minute))
	w.tell(b, c) // CLOSED
	w.walk(c, 1500)
	r.Closes = 0
	w.add(fact.RulesAdopted{Rules: r})
	w.add(across) // counts more
}

const day = 24 * time.Hour

// pass lets the time pass.
func (w *verifyWorld) pass(to fact.UnixMilli) {
	w.now = to
	w.add(fact.TimePassed{Time: to})
}

// around reports steps on both sides of an instant, in different quarter hours.
func (w *verifyWorld) around(p *client.Pin, instant fact.UnixMilli) fact.StepsReported {
	slot := fact.Slot(instant / fact.UnixMilli(fact.SlotLength.Milliseconds()))
	return w.report(p, p.Count(slot-1, []uint16{100, 200, 400, 800}))
}

// endings lets two pins meet, and one's wearer, who has a second pin, end it. What was told before comes again.
func (w *verifyWorld) endings(a, second, b *client.Pin, early []fact.Fact) {
	w.meet(a, b)
	block := w.add(fact.Blocked{Wearer: wearerOf(a), Pin: second.ID(), Other: wearerOf(b)})
	blocked := w.tell(a, b)
	block = w.add(fact.Blocked{Wearer: wearerOf(a), Pin: second.ID(), Other: wearerOf(b), After: block})
	w.add(fact.Unblocked{Wearer: wearerOf(a), Other: wearerOf(b), After: block})
	w.tell(a, second) // SAME_WEARER
	w.pass(w.now.Add(15 * day))
	w.add(early...)
	w.add(blocked...)
	met := w.tell(a, b)
	w.add(met...) // duplicates
	formed := w.derived(fact.Friendship, func(e fact.Entry) bool { _, ok := e.Fact.(fact.FriendshipFormed); return ok })
	w.add(fact.FriendshipRevoked{Friendship: formed[len(formed)-1].Derivation.Cause, Reason: fact.RevokedFraud})
	w.tell(a, b) // REVOKED
}

// corrections sets the time back twice. Each time a half waits by the right time, and one by the wrong.
func (w *verifyWorld) corrections(a, b, c *client.Pin) {
	for range 2 {
		right, _ := w.halves(a, c)
		wrong, late := w.halves(c, b)
		w.add(right)
		w.pass(w.now.Add(10 * day))
		w.add(wrong)
		w.now = w.now.Add(-9 * day)
		w.add(fact.TimeCorrected{Time: w.now})
		w.pass(w.now.Add(14*day + time.Minute))
		w.add(late)
	}
}

// tell adds both halves of a tap, and returns them.
func (w *verifyWorld) tell(a, b *client.Pin) []fact.Fact {
	first, second := w.halves(a, b)
	w.add(first)
	w.add(second)
	return []fact.Fact{first, second}
}

func (w *verifyWorld) pinOf(id fact.WearerID) *client.Pin {
	i := slices.IndexFunc(w.pins, func(p *client.Pin) bool { return wearerOf(p) == id })
	return w.pins[i]
}

// each yields the messages as an archive would, with one buffer for all payloads.
func each(messages []eventlog.Message, err error) iter.Seq2[eventlog.Message, error] {
	return func(yield func(eventlog.Message, error) bool) {
		var buffer []byte
		for _, m := range messages {
			buffer = append(buffer[:0], m.Payload...)
			m.Payload = buffer
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(eventlog.Message{}, err)
		}
	}
}

func verify(t testing.TB, messages []eventlog.Message, o audit.Options) audit.Report {
	t.Helper()
	report, err := audit.Verify(context.Background(), verifyGames, each(messages, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// find returns the index of the n-th message, from 0, whose fact is a T.
func find[T fact.Fact](t testing.TB, messages []eventlog.Message, n int) (int, T) {
	t.Helper()
	for i, m := range messages {
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := e.Fact.(T); ok {
			if n == 0 {
				return i, f
			}
			n--
		}
	}
	t.Fatalf("no such %T", *new(T))
	panic("unreachable")
}

// rewrite replaces the fact of a message. Its derivation stays.
func rewrite(t testing.TB, messages []eventlog.Message, i int, f fact.Fact) {
	t.Helper()
	e, err := messages[i].Decode()
	if err != nil {
		t.Fatal(err)
	}
	e.Fact = f
	payload, err := eventlog.Encode(e.Record)
	if err != nil {
		t.Fatal(err)
	}
	messages[i].Payload = payload
}

// renumber gives the messages the sequences that a log would have given them.
func renumber(messages []eventlog.Message) []eventlog.Message {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].Seq = fact.Seq(i + 1)
	}
	return messages
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}
