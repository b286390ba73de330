package eventlog

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	logv1 "pinfold/proto/pinfold/log/v1"
)

// Encode returns the bytes of a record, a pinfold.log.v1.Fact. They are the same for the same record within one build,
// which is why only decoded facts are ever compared.
func Encode(r fact.Record) ([]byte, error) {
	m, err := toProto(r.Fact)
	if err != nil {
		return nil, err
	}
	d := r.Derivation
	if err := checkDerivation(r.Fact.Family(), d); err != nil {
		return nil, err
	}
	m.SetCause(uint64(d.Cause))
	m.SetIndex(d.Index)
	m.SetCount(d.Count)
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Decode returns the record of the bytes, which stand in a message of the given family. It knows everything that it
// accepts: an unknown field, fact or enum value, a fact of another family and a value of a wrong size are errors.
func Decode(family fact.Family, payload []byte) (fact.Record, error) {
	var m logv1.Fact
	if err := proto.Unmarshal(payload, &m); err != nil {
		return fact.Record{}, fmt.Errorf("not a fact: %w", err)
	}
	if err := checkKnown(m.ProtoReflect()); err != nil {
		return fact.Record{}, err
	}
	var d decoder
	r := fact.Record{
		Fact:       d.fact(&m),
		Derivation: fact.Derivation{Cause: fact.Seq(m.GetCause()), Index: m.GetIndex(), Count: m.GetCount()},
	}
	if d.err != nil {
		return fact.Record{}, d.err
	}
	if got := r.Fact.Family(); got != family {
		return fact.Record{}, fmt.Errorf("%T is of family %s, not %s", r.Fact, got, family)
	}
	return r, checkDerivation(family, r.Derivation)
}

// Surplus returns how many bytes more the payload has than the record takes, which Decode read from it. They mean nothing:
// fields that another one replaces, say. There are none in what Encode wrote, in any build: only the order of the fields may
// change.
func Surplus(payload []byte, r fact.Record) int {
	plain, err := Encode(r)
	if err != nil { // then it cannot have been written either
		return len(payload)
	}
	return len(payload) - len(plain)
}

func checkDerivation(family fact.Family, d fact.Derivation) error {
	if !family.Derived() {
		if d != (fact.Derivation{}) {
			return fmt.Errorf("a reported fact with a derivation: cause %d, index %d, count %d", d.Cause, d.Index, d.Count)
		}
		return nil
	}
	if d.Cause == 0 || d.Index >= d.Count {
		return fmt.Errorf("derivation: cause %d, index %d, count %d: want a cause, and the index below the count", d.Cause, d.Index, d.Count)
	}
	return nil
}

// checkKnown returns an error if the message or one within it holds a field that this build does not know.
func checkKnown(m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("unknown field in %s: written by a newer version", m.Descriptor().FullName())
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				if err = checkKnown(v.List().Get(i).Message()); err != nil {
					return false
				}
			}
		default:
			err = checkKnown(v.Message())
		}
		return err == nil
	})
	return err
}

func toProto(f fact.Fact) (*logv1.Fact, error) {
	var b logv1.Fact_builder
	var err error
	switch f := f.(type) {
	case fact.PinRegistered:
		b.PinRegistered = ordered(&err, f.Order, logv1.PinRegistered_builder{PublicKey: f.Key[:], Kind: kindToProto(&err, f.Kind)}.Build())
	case fact.PinPaired:
		b.PinPaired = ordered(&err, f.Order, logv1.PinPaired_builder{
			Wearer: f.Wearer[:], Statement: statement.AppendProof(nil, f.Proof),
			Signature: f.Signature[:], Random: f.Random[:],
		}.Build())
	case fact.PinRetired:
		b.PinRetired = ordered(&err, f.Order, logv1.PinRetired_builder{Pin: f.Pin[:], Reason: number[logv1.Retirement](&err, f.Reason)}.Build())
	case fact.WearerErased:
		b.WearerErased = ordered(&err, f.Order, logv1.WearerErased_builder{Wearer: f.Wearer[:]}.Build())
	case fact.RulesAdopted:
		if err := rules.Check(f.Rules); err != nil {
			return nil, err
		}
		b.RulesAdopted = ordered(&err, f.Order, rulesToProto(f.Rules))
	case fact.TimePassed:
		b.TimePassed = logv1.TimePassed_builder{TimeMs: int64(f.Time)}.Build()
	case fact.TimeCorrected:
		b.TimeCorrected = ordered(&err, f.Order, logv1.TimeCorrected_builder{TimeMs: int64(f.Time)}.Build())
	case fact.Restored:
		if err := checkRestored(f); err != nil {
			return nil, err
		}
		b.Restored = logv1.Restored_builder{
			Epoch: f.Epoch, Kept: uint64(f.Kept), Root: f.Root[:], Operator: f.Operator,
			WithoutWithdrawals: f.WithoutWithdrawals,
		}.Build()
	case fact.HalfReported:
		b.HalfReported = logv1.HalfReported_builder{
			Statement: statement.AppendHalf(nil, f.Half),
			Signature: f.Signature[:], Carrier: f.Carrier[:],
		}.Build()
	case fact.Unfriended:
		b.Unfriended = ordered(&err, f.Order, logv1.Unfriended_builder{
			Wearer: f.Wearer[:], Pin: f.Pin[:], Counter: uint32(f.Counter),
			Friendship: uint64(f.Friendship),
		}.Build())
	case fact.Blocked:
		b.Blocked = ordered(&err, f.Order, logv1.Blocked_builder{
			Wearer: f.Wearer[:], Pin: f.Pin[:], Counter: uint32(f.Counter),
			Other: f.Other[:], After: uint64(f.After),
		}.Build())
	case fact.Unblocked:
		b.Unblocked = ordered(&err, f.Order, logv1.Unblocked_builder{Wearer: f.Wearer[:], Other: f.Other[:], After: uint64(f.After)}.Build())
	case fact.FriendshipRevoked:
		b.FriendshipRevoked = ordered(&err, f.Order, logv1.FriendshipRevoked_builder{
			Friendship: uint64(f.Friendship),
			Reason:     number[logv1.Revocation](&err, f.Reason),
		}.Build())
	case fact.StepsReported:
		b.StepsReported = logv1.StepsReported_builder{
			Statement: statement.AppendStepReport(nil, f.Report),
			Signature: f.Signature[:], Carrier: f.Carrier[:],
		}.Build()
	case fact.BackgroundChosen:
		b.BackgroundChosen = ordered(&err, f.Order, logv1.BackgroundChosen_builder{Wearer: f.Wearer[:], Background: f.Background}.Build())
	case fact.AwardRevoked:
		b.AwardRevoked = ordered(&err, f.Order, logv1.AwardRevoked_builder{
			AwardCause: uint64(f.Cause), AwardIndex: f.Index,
			Reason: number[logv1.Revocation](&err, f.Reason),
		}.Build())
	case fact.FriendshipFormed:
		b.FriendshipFormed = logv1.FriendshipFormed_builder{Lo: f.Lo[:], Hi: f.Hi[:], Tap: f.Tap[:], Mate: uint64(f.Mate)}.Build()
	case fact.FriendshipEnded:
		b.FriendshipEnded = logv1.FriendshipEnded_builder{
			Lo: f.Lo[:], Hi: f.Hi[:], Friendship: uint64(f.Friendship),
			Ending: number[logv1.Ending](&err, f.Ending),
		}.Build()
	case fact.HalfRefused:
		b.HalfRefused = logv1.HalfRefused_builder{Half: uint64(f.Half), Refusal: number[logv1.Refusal](&err, f.Refusal)}.Build()
	case fact.BackgroundUnlocked:
		b.BackgroundUnlocked = logv1.BackgroundUnlocked_builder{
			Wearer: f.Wearer[:], Background: f.Background,
			Friends: f.Friends,
		}.Build()
	case fact.MedalAwarded:
		b.MedalAwarded = logv1.MedalAwarded_builder{Wearer: f.Wearer[:], Medal: number[logv1.Medal](&err, f.Medal), Friends: f.Friends}.Build()
	case fact.StepGoalReached:
		b.StepGoalReached = logv1.StepGoalReached_builder{Wearer: f.Wearer[:], Day: int32(f.Day), Steps: f.Steps}.Build()
	default:
		return nil, fmt.Errorf("%T is no fact", f)
	}
	return b.Build(), err
}

// number carries an enum value over, or sets err where Decode would not know it: what no reader understands must not
// come into a log from which nothing is ever taken out.
func number[P interface {
	~int32
	Descriptor() protoreflect.EnumDescriptor
}, T ~uint8](err *error, v T) P {
	p := P(v)
	if v == 0 || p.Descriptor().Values().ByNumber(protoreflect.EnumNumber(p)) == nil {
		*err = fmt.Errorf("%s: unknown value %d", p.Descriptor().Name(), v)
	}
	return p
}

// kindToProto carries the kind of a pin over. Not to say it is a value too.
func kindToProto(err *error, k fact.PinKind) logv1.PinKind {
	if k == 0 {
		return logv1.PinKind_PIN_KIND_UNSPECIFIED
	}
	return number[logv1.PinKind](err, k)
}

// ordered adds to the message who ordered it, or sets err where Decode would not take it.
func ordered[M interface {
	SetSession(v []byte)
	SetOperator(v string)
}](err *error, o fact.Order, m M) M {
	if e := checkOperator(o.Operator); e != nil {
		*err = e
	}
	if o.Session != (fact.SessionID{}) {
		m.SetSession(o.Session[:])
	}
	m.SetOperator(o.Operator)
	return m
}

// checkOperator returns an error if the name is none of a desk.
func checkOperator(name string) error {
	if name != "" && !operatorName.MatchString(name) {
		return fmt.Errorf("operator: %.80q: want 1 to 32 of a-z, 0-9 and -, or none", name)
	}
	return nil
}

var operatorName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func checkRestored(f fact.Restored) error {
	if f.Epoch < 2 {
		return fmt.Errorf("epoch: %d: a restored log has 2 or more", f.Epoch)
	}
	if f.Kept == 0 {
		return errors.New("kept: 0: a restored log has facts of the epoch before")
	}
	return checkOperator(f.Operator)
}

func rulesToProto(r fact.Rules) *logv1.RulesAdopted {
	m := logv1.RulesAdopted_builder{
		Name:                 r.Name,
		FriendsPerBackground: r.FriendsPerBackground,
		StarterBackgrounds:   r.StarterBackgrounds,
		BronzeFriends:        r.Medals.Bronze,
		SilverFriends:        r.Medals.Silver,
		GoldFriends:          r.Medals.Gold,
		StepGoal:             r.StepGoal,
		PendingForMs:         r.PendingFor.Milliseconds(),
		OpensMs:              int64(r.Opens),
		ClosesMs:             int64(r.Closes),
		UploadGraceMs:        r.UploadGrace.Milliseconds(),
	}
	for _, s := range r.Sports {
		m.Sports = append(m.Sports, logv1.Sport_builder{Id: s.ID, English: s.English, Japanese: s.Japanese, French: s.French}.Build())
	}
	for _, z := range r.Zone {
		m.Zone = append(m.Zone, logv1.ZoneOffset_builder{FromSlot: uint32(z.From), Quarters: int32(z.Quarters)}.Build())
	}
	return m.Build()
}

// decoder keeps the first thing that was wrong, so that each fact is read in one expression.
type decoder struct{ err error }

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) fact(m *logv1.Fact) fact.Fact {
	switch m.WhichFact() {
	case logv1.Fact_PinRegistered_case:
		p := m.GetPinRegistered()
		return fact.PinRegistered{Key: fixed[fact.PublicKey](d, "public_key", p.GetPublicKey()), Kind: d.kind(p.GetKind()), Order: d.order(p)}
	case logv1.Fact_PinPaired_case:
		p := m.GetPinPaired()
		return fact.PinPaired{
			Wearer: d.wearer("wearer", p.GetWearer()), Proof: parsed(d, statement.ParseProof, p.GetStatement()),
			Signature: d.signature(p.GetSignature()), Random: fixed[[16]byte](d, "random", p.GetRandom()), Order: d.order(p),
		}
	case logv1.Fact_PinRetired_case:
		p := m.GetPinRetired()
		return fact.PinRetired{Pin: d.pin("pin", p.GetPin()), Reason: enum[fact.Retirement](d, "reason", p.GetReason()), Order: d.order(p)}
	case logv1.Fact_WearerErased_case:
		p := m.GetWearerErased()
		return fact.WearerErased{Wearer: d.wearer("wearer", p.GetWearer()), Order: d.order(p)}
	case logv1.Fact_RulesAdopted_case:
		p := m.GetRulesAdopted()
		return fact.RulesAdopted{Rules: d.rules(p), Order: d.order(p)}
	case logv1.Fact_TimePassed_case, logv1.Fact_TimeCorrected_case, logv1.Fact_Restored_case:
		return d.time(m)
	case logv1.Fact_HalfReported_case:
		p := m.GetHalfReported()
		return fact.HalfReported{
			Half: parsed(d, statement.ParseHalf, p.GetStatement()), Signature: d.signature(p.GetSignature()),
			Carrier: d.pin("carrier", p.GetCarrier()),
		}
	case logv1.Fact_StepsReported_case:
		p := m.GetStepsReported()
		return fact.StepsReported{
			Report: parsed(d, statement.ParseStepReport, p.GetStatement()), Signature: d.signature(p.GetSignature()),
			Carrier: d.pin("carrier", p.GetCarrier()),
		}
	case logv1.Fact_BackgroundChosen_case:
		p := m.GetBackgroundChosen()
		return fact.BackgroundChosen{Wearer: d.wearer("wearer", p.GetWearer()), Background: p.GetBackground(), Order: d.order(p)}
	case logv1.Fact_AwardRevoked_case:
		p := m.GetAwardRevoked()
		return fact.AwardRevoked{
			Cause: fact.Seq(p.GetAwardCause()), Index: p.GetAwardIndex(),
			Reason: enum[fact.Revocation](d, "reason", p.GetReason()), Order: d.order(p),
		}
	case logv1.Fact_Unfriended_case, logv1.Fact_Blocked_case, logv1.Fact_Unblocked_case, logv1.Fact_FriendshipRevoked_case:
		return d.command(m)
	case logv1.Fact_Fact_not_set_case:
		d.fail("unknown fact: written by a newer version, or not a fact")
		return fact.TimePassed{}
	}
	return d.derived(m)
}

// time reads the facts of the time family.
func (d *decoder) time(m *logv1.Fact) fact.Fact {
	switch m.WhichFact() {
	case logv1.Fact_TimeCorrected_case:
		p := m.GetTimeCorrected()
		return fact.TimeCorrected{Time: fact.UnixMilli(p.GetTimeMs()), Order: d.order(p)}
	case logv1.Fact_Restored_case:
		p := m.GetRestored()
		f := fact.Restored{
			Epoch: p.GetEpoch(), Kept: fact.Seq(p.GetKept()), Root: fixed[[32]byte](d, "root", p.GetRoot()),
			Operator: p.GetOperator(), WithoutWithdrawals: p.GetWithoutWithdrawals(),
		}
		if err := checkRestored(f); err != nil {
			d.fail("%w", err)
		}
		return f
	default:
		return fact.TimePassed{Time: fact.UnixMilli(m.GetTimePassed().GetTimeMs())}
	}
}

// command reads the facts that change what taps made.
func (d *decoder) command(m *logv1.Fact) fact.Fact {
	switch m.WhichFact() {
	case logv1.Fact_Unfriended_case:
		p := m.GetUnfriended()
		return fact.Unfriended{
			Wearer: d.wearer("wearer", p.GetWearer()), Pin: d.pin("pin", p.GetPin()),
			Counter: fact.Counter(p.GetCounter()), Friendship: fact.Seq(p.GetFriendship()), Order: d.order(p),
		}
	case logv1.Fact_Blocked_case:
		p := m.GetBlocked()
		return fact.Blocked{
			Wearer: d.wearer("wearer", p.GetWearer()), Pin: d.pin("pin", p.GetPin()),
			Counter: fact.Counter(p.GetCounter()), Other: d.wearer("other", p.GetOther()),
			After: fact.Seq(p.GetAfter()), Order: d.order(p),
		}
	case logv1.Fact_Unblocked_case:
		p := m.GetUnblocked()
		return fact.Unblocked{
			Wearer: d.wearer("wearer", p.GetWearer()), Other: d.wearer("other", p.GetOther()),
			After: fact.Seq(p.GetAfter()), Order: d.order(p),
		}
	default:
		p := m.GetFriendshipRevoked()
		return fact.FriendshipRevoked{
			Friendship: fact.Seq(p.GetFriendship()), Reason: enum[fact.Revocation](d, "reason", p.GetReason()),
			Order: d.order(p),
		}
	}
}

// derived reads the facts that services derive.
func (d *decoder) derived(m *logv1.Fact) fact.Fact {
	switch m.WhichFact() {
	case logv1.Fact_FriendshipFormed_case:
		p := m.GetFriendshipFormed()
		return fact.FriendshipFormed{
			Lo: d.wearer("lo", p.GetLo()), Hi: d.wearer("hi", p.GetHi()),
			Tap: fixed[fact.TapID](d, "tap", p.GetTap()), Mate: fact.Seq(p.GetMate()),
		}
	case logv1.Fact_FriendshipEnded_case:
		p := m.GetFriendshipEnded()
		return fact.FriendshipEnded{
			Lo: d.wearer("lo", p.GetLo()), Hi: d.wearer("hi", p.GetHi()),
			Friendship: fact.Seq(p.GetFriendship()), Ending: enum[fact.Ending](d, "ending", p.GetEnding()),
		}
	case logv1.Fact_HalfRefused_case:
		p := m.GetHalfRefused()
		return fact.HalfRefused{Half: fact.Seq(p.GetHalf()), Refusal: enum[fact.Refusal](d, "refusal", p.GetRefusal())}
	case logv1.Fact_BackgroundUnlocked_case:
		p := m.GetBackgroundUnlocked()
		return fact.BackgroundUnlocked{Wearer: d.wearer("wearer", p.GetWearer()), Background: p.GetBackground(), Friends: p.GetFriends()}
	case logv1.Fact_MedalAwarded_case:
		p := m.GetMedalAwarded()
		return fact.MedalAwarded{
			Wearer: d.wearer("wearer", p.GetWearer()), Medal: enum[fact.Medal](d, "medal", p.GetMedal()),
			Friends: p.GetFriends(),
		}
	case logv1.Fact_StepGoalReached_case:
		p := m.GetStepGoalReached()
		return fact.StepGoalReached{Wearer: d.wearer("wearer", p.GetWearer()), Day: fact.Day(p.GetDay()), Steps: p.GetSteps()}
	default:
		d.fail("fact %v is not decoded", m.WhichFact())
		return fact.TimePassed{}
	}
}

// order reads who ordered a fact. There is one way to say that no session did.
func (d *decoder) order(m interface {
	GetSession() []byte
	GetOperator() string
},
) fact.Order {
	o := fact.Order{Operator: m.GetOperator()}
	if b := m.GetSession(); len(b) > 0 {
		if o.Session = fixed[fact.SessionID](d, "session", b); o.Session == (fact.SessionID{}) {
			d.fail("session: all zero: want none, or one that is not")
		}
	}
	if err := checkOperator(o.Operator); err != nil {
		d.fail("%w", err)
	}
	return o
}

func (d *decoder) kind(k logv1.PinKind) fact.PinKind {
	if k == logv1.PinKind_PIN_KIND_UNSPECIFIED {
		return 0
	}
	return enum[fact.PinKind](d, "kind", k)
}

func (d *decoder) rules(m *logv1.RulesAdopted) fact.Rules {
	r := fact.Rules{
		Name:                 m.GetName(),
		FriendsPerBackground: m.GetFriendsPerBackground(),
		StarterBackgrounds:   m.GetStarterBackgrounds(),
		Medals:               fact.Thresholds{Bronze: m.GetBronzeFriends(), Silver: m.GetSilverFriends(), Gold: m.GetGoldFriends()},
		StepGoal:             m.GetStepGoal(),
		PendingFor:           d.milliseconds("pending_for_ms", m.GetPendingForMs()),
		Opens:                fact.UnixMilli(m.GetOpensMs()),
		Closes:               fact.UnixMilli(m.GetClosesMs()),
		UploadGrace:          d.milliseconds("upload_grace_ms", m.GetUploadGraceMs()),
	}
	for _, s := range m.GetSports() {
		r.Sports = append(r.Sports, fact.Sport{ID: s.GetId(), English: s.GetEnglish(), Japanese: s.GetJapanese(), French: s.GetFrench()})
	}
	for _, z := range m.GetZone() {
		if q := z.GetQuarters(); q < math.MinInt8 || q > math.MaxInt8 {
			d.fail("zone: %d quarter hours: want -128 to 127", q)
		}
		r.Zone = append(r.Zone, fact.ZoneOffset{From: fact.Slot(z.GetFromSlot()), Quarters: int8(z.GetQuarters())})
	}
	if err := rules.Check(r); err != nil {
		d.fail("rules: %w", err)
	}
	return r
}

func (d *decoder) milliseconds(field string, ms int64) time.Duration {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		d.fail("%s: %d: out of range", field, ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (d *decoder) wearer(field string, b []byte) fact.WearerID {
	return fixed[fact.WearerID](d, field, b)
}
func (d *decoder) pin(field string, b []byte) fact.PinID { return fixed[fact.PinID](d, field, b) }
func (d *decoder) signature(b []byte) fact.Signature     { return fixed[fact.Signature](d, "signature", b) }

// bytesOf are the types that stand in the log as a field of exactly their size.
type bytesOf interface {
	~[8]byte | ~[16]byte | ~[32]byte | ~[64]byte
}

func fixed[T bytesOf](d *decoder, field string, b []byte) T {
	var v T
	if len(b) != len(v) {
		d.fail("%s: %d bytes: want %d", field, len(b), len(v))
		return v
	}
	return T(b)
}

func parsed[T any](d *decoder, parse func([]byte) (T, error), b []byte) T {
	v, err := parse(b)
	if err != nil {
		d.fail("statement: %w", err)
	}
	return v
}

// enum carries an enum value over if this build knows it. The numbers are the same on both sides, which a test checks.
func enum[T ~uint8, P interface {
	~int32
	Descriptor() protoreflect.EnumDescriptor
}](d *decoder, field string, v P) T {
	if v == 0 || v.Descriptor().Values().ByNumber(protoreflect.EnumNumber(v)) == nil {
		d.fail("%s: unknown value %d", field, v)
		return 0
	}
	return T(v)
}
