package eventlog_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
	"pinfold/internal/statement"
	logv1 "pinfold/proto/pinfold/log/v1"
)

var (
	update  = flag.Bool("update", false, "add rows for new facts to "+goldenPath)
	replace = flag.Bool("replace", false, "with -update: replace rows of "+goldenPath+" that changed; never for a fact that was released")
)

const goldenPath = "../../proto/testdata/facts.json"

const goldenNote = "The bytes of facts in the log, pinfold.log.v1.Fact, as hex, with what they decode to. " +
	"Rows are only ever added: a log that holds such bytes is to be read for ever."

// golden is the shape of the file. Fields stand in alphabetical order, rows in that of goldenFacts.
type golden struct {
	Facts []goldenRow `json:"facts"`
	Note  string      `json:"note"`
}

type goldenRow struct {
	Bytes  string `json:"bytes"`
	Family string `json:"family"`
	Name   string `json:"name"`
	Record string `json:"record"` // for people: %+v of the decoded record
}

// goldenFact is what a row of the file must decode to.
type goldenFact struct {
	name   string
	record fact.Record
}

// pattern returns a value of n, n+1, n+2, ..., so that a swapped or shifted field shows.
func pattern[T ~[8]byte | ~[16]byte | ~[32]byte | ~[64]byte](n byte) T {
	var v T
	for i := range len(v) {
		v[i] = n + byte(i)
	}
	return v
}

// pin is a pin with a real key, so that what the rows hold could be verified by an audit.
type pin struct{ key ed25519.PrivateKey }

func newPin(seed byte) pin {
	s := pattern[[32]byte](seed)
	return pin{ed25519.NewKeyFromSeed(s[:])}
}

func (p pin) public() fact.PublicKey { return fact.PublicKey(p.key.Public().(ed25519.PublicKey)) }
func (p pin) id() fact.PinID         { return p.public().PinID() }

func (p pin) half(h fact.Half, carrier fact.PinID) fact.HalfReported {
	h.Pin = p.id()
	return fact.HalfReported{Half: h, Signature: statement.Sign(p.key, statement.AppendHalf(nil, h)), Carrier: carrier}
}

func (p pin) steps(r fact.StepReport, carrier fact.PinID) fact.StepsReported {
	r.Pin = p.id()
	return fact.StepsReported{Report: r, Signature: statement.Sign(p.key, statement.AppendStepReport(nil, r)), Carrier: carrier}
}

func (p pin) paired(w fact.WearerID, at fact.UnixMilli) fact.PinPaired {
	random := pattern[[16]byte](0x70)
	proof := fact.Proof{Pin: p.id(), Challenge: statement.Challenge("tokyo2020", w, random), Time: at}
	return fact.PinPaired{Wearer: w, Proof: proof, Signature: statement.Sign(p.key, statement.AppendProof(nil, proof)), Random: random}
}

// vancouver2030 are rules that have a value of their own everywhere. Their zone is written out, since the tables made
// of a time zone's name follow the host's database.
func vancouver2030() fact.Rules {
	return fact.Rules{
		Name: "Vancouver 2030",
		Sports: []fact.Sport{
			{ID: "curling", English: "Curling", Japanese: "カーリング", French: "Curling"},
			{ID: "ski-jumping", English: "Ski Jumping", Japanese: "スキージャンプ", French: "Saut à ski"},
		},
		FriendsPerBackground: 4,
		StarterBackgrounds:   1,
		Medals:               fact.Thresholds{Bronze: 10, Silver: 20, Gold: 30},
		// Winter time, then summer time from 14 March 2027 and 12 March 2028 on.
		Zone: []fact.ZoneOffset{
			{From: 0, Quarters: -32},
			{From: 2005576, Quarters: -28},
			{From: 2028420, Quarters: -32},
			{From: 2040520, Quarters: -28},
			{From: 2063364, Quarters: -32},
		},
		StepGoal:    8000,
		PendingFor:  72*time.Hour + 30*time.Minute + time.Millisecond,
		Opens:       1_896_000_000_000,
		Closes:      1_897_500_000_999,
		UploadGrace: 24 * time.Hour,
	}
}

// goldenFacts returns the facts of the golden file. Add to it; a row that is there is for ever.
func goldenFacts() []goldenFact {
	return slices.Concat(rosterFacts(), tapFacts(), otherReportedFacts(), derivedFacts(), orderedFacts())
}

func reported(name string, f fact.Fact) goldenFact {
	return goldenFact{name, fact.Record{Fact: f}}
}

func derived(name string, f fact.Fact, cause fact.Seq, index, count uint32) goldenFact {
	return goldenFact{name, fact.Record{Fact: f, Derivation: fact.Derivation{Cause: cause, Index: index, Count: count}}}
}

func rosterFacts() []goldenFact {
	a, b := newPin(0), newPin(100)
	return []goldenFact{
		reported("PinRegistered", fact.PinRegistered{Key: a.public()}),
		reported("PinPaired", a.paired(pattern[fact.WearerID](0x10), 1_626_998_400_123)),
		reported("PinPaired, clock never set", b.paired(pattern[fact.WearerID](0x20), 0)),
		reported("PinRetired, lost", fact.PinRetired{Pin: a.id(), Reason: fact.RetiredLost}),
		reported("PinRetired, returned", fact.PinRetired{Pin: b.id(), Reason: fact.RetiredReturned}),
		reported("PinRetired, faulty", fact.PinRetired{Pin: a.id(), Reason: fact.RetiredFaulty}),
		reported("PinRetired, compromised", fact.PinRetired{Pin: b.id(), Reason: fact.RetiredCompromised}),
		reported("WearerErased", fact.WearerErased{Wearer: pattern[fact.WearerID](0x20)}),
		// When the defaults change, this row keeps its bytes and its value is written out; the new ones get a new row.
		reported("RulesAdopted, Tokyo 2020", fact.RulesAdopted{Rules: rules.Tokyo2020()}),
		reported("RulesAdopted, with summer time", fact.RulesAdopted{Rules: vancouver2030()}),
		reported("TimePassed", fact.TimePassed{Time: 1_626_998_400_123}),
		reported("TimePassed, at the epoch", fact.TimePassed{Time: 0}),
		reported("TimePassed, before the epoch", fact.TimePassed{Time: -1}),
	}
}

func tapFacts() []goldenFact {
	a, b := newPin(0), newPin(100)
	lo, hi := pattern[fact.WearerID](0x10), pattern[fact.WearerID](0x20)
	met := fact.Half{
		Peer: b.id(), Nonce: pattern[fact.Nonce](0xa0), PeerNonce: pattern[fact.Nonce](0xb0),
		Counter: 7, Time: 1_626_998_400_123, RSSI: -41, Link: fact.LinkBluetoothLE,
	}
	return []goldenFact{
		reported("HalfReported", a.half(met, a.id())),
		reported("HalfReported, carried by the peer, clock never set", b.half(fact.Half{
			Peer: a.id(), Nonce: met.PeerNonce,
			PeerNonce: met.Nonce, Counter: math.MaxUint32, Link: fact.LinkNFC,
		}, a.id())),
		reported("HalfReported, by wire", a.half(fact.Half{
			Peer: b.id(), Time: math.MaxInt64, RSSI: math.MaxInt8,
			Link: fact.LinkWire,
		}, b.id())),
		reported("Unfriended", fact.Unfriended{Wearer: lo, Pin: a.id(), Counter: 8, Friendship: 1_000_000}),
		reported("Blocked", fact.Blocked{Wearer: hi, Pin: b.id(), Counter: math.MaxUint32, Other: lo}),
		reported("Unblocked", fact.Unblocked{Wearer: hi, Other: lo}),
		reported("FriendshipRevoked, fraud", fact.FriendshipRevoked{Friendship: 1_000_000, Reason: fact.RevokedFraud}),
		reported("FriendshipRevoked, error", fact.FriendshipRevoked{Friendship: math.MaxUint64, Reason: fact.RevokedError}),
	}
}

func otherReportedFacts() []goldenFact {
	a, b := newPin(0), newPin(100)
	wearer := pattern[fact.WearerID](0x10)
	full := make([]uint16, statement.MaxSlots)
	for i := range full {
		full[i] = uint16(i * 2114) // to 65534
	}
	return []goldenFact{
		reported("StepsReported", a.steps(fact.StepReport{Counter: 9, FirstSlot: 1_807_776, Steps: []uint16{0, 1, 65535}}, a.id())),
		reported("StepsReported, one slot", b.steps(fact.StepReport{Steps: []uint16{0}}, a.id())),
		reported("StepsReported, 32 slots", b.steps(fact.StepReport{
			Counter: math.MaxUint32, FirstSlot: math.MaxUint32 - (statement.MaxSlots - 1),
			Steps: full,
		}, b.id())),
		reported("BackgroundChosen", fact.BackgroundChosen{Wearer: wearer, Background: "judo"}),
		reported("AwardRevoked, fraud", fact.AwardRevoked{Cause: 1_000_001, Index: 0, Reason: fact.RevokedFraud}),
		reported("AwardRevoked, error", fact.AwardRevoked{Cause: 1_000_001, Index: 255, Reason: fact.RevokedError}),
	}
}

func derivedFacts() []goldenFact {
	lo, hi := pattern[fact.WearerID](0x10), pattern[fact.WearerID](0x20)
	facts := []goldenFact{
		derived("FriendshipFormed", fact.FriendshipFormed{Lo: lo, Hi: hi, Tap: pattern[fact.TapID](0x30), Mate: 1_000_000},
			1_000_001, 0, 1),
		derived("FriendshipEnded, unfriended", fact.FriendshipEnded{
			Lo: lo, Hi: hi, Friendship: 1_000_001,
			Ending: fact.EndedUnfriended,
		}, 1_000_002, 0, 1),
		derived("FriendshipEnded, blocked", fact.FriendshipEnded{
			Lo: lo, Hi: hi, Friendship: 1_000_001,
			Ending: fact.EndedBlocked,
		}, 1_000_002, 1, 2),
		derived("FriendshipEnded, revoked", fact.FriendshipEnded{
			Lo: lo, Hi: hi, Friendship: math.MaxUint64,
			Ending: fact.EndedRevoked,
		}, math.MaxUint64, 255, 256),
	}
	for i, r := range fact.Refusals() {
		facts = append(facts, derived("HalfRefused, "+r.String(), fact.HalfRefused{Half: fact.Seq(1_000 + i), Refusal: r},
			1_000_003, uint32(i), uint32(len(fact.Refusals()))))
	}
	facts = append(facts, derived("BackgroundUnlocked", fact.BackgroundUnlocked{Wearer: lo, Background: "aquatics", Friends: 5},
		1_000_004, 0, 2))
	facts = append(facts, derived("BackgroundUnlocked, a starter", fact.BackgroundUnlocked{Wearer: hi, Background: "modern-pentathlon"},
		3, 119, 120))
	for i, m := range fact.Medals() {
		facts = append(facts, derived("MedalAwarded, "+m.String(), fact.MedalAwarded{Wearer: hi, Medal: m, Friends: uint32(50 * (i + 1))},
			1_000_005, uint32(i), 3))
	}
	return append(facts,
		derived("StepGoalReached", fact.StepGoalReached{Wearer: lo, Day: 18831, Steps: 10_000}, 1_000_006, 0, 1),
		derived("StepGoalReached, before the epoch", fact.StepGoalReached{Wearer: lo, Day: -1, Steps: math.MaxUint32}, 1_000_006, 1, 2),
	)
}

// orderedFacts are those that say who ordered them, and what else was added to facts that had rows before.
func orderedFacts() []goldenFact {
	a, b := newPin(0), newPin(100)
	lo, hi := pattern[fact.WearerID](0x10), pattern[fact.WearerID](0x20)
	by := fact.Order{Session: pattern[fact.SessionID](0xc0), Operator: "desk-3"}
	paired := a.paired(lo, 1_626_998_400_123)
	paired.Order = by
	return []goldenFact{
		reported("PinRegistered, hardware, ordered", fact.PinRegistered{Key: a.public(), Kind: fact.HardwarePin, Order: by}),
		reported("PinRegistered, software", fact.PinRegistered{Key: b.public(), Kind: fact.SoftwarePin}),
		reported("PinPaired, ordered", paired),
		reported("PinRetired, ordered", fact.PinRetired{Pin: a.id(), Reason: fact.RetiredLost, Order: by}),
		reported("WearerErased, by a session alone", fact.WearerErased{Wearer: hi, Order: fact.Order{Session: by.Session}}),
		reported("RulesAdopted, by an operator alone", fact.RulesAdopted{
			Rules: vancouver2030(), Order: fact.Order{Operator: "0123456789-abcdefghijklmnopqrstu"},
		}),
		reported("TimeCorrected", fact.TimeCorrected{Time: 1_626_998_400_123, Order: by}),
		reported("TimeCorrected, to the epoch", fact.TimeCorrected{}),
		reported("TimeCorrected, to before the epoch", fact.TimeCorrected{Time: -1}),
		reported("Restored", fact.Restored{Epoch: 2, Kept: 1_000_000, Root: pattern[[32]byte](0x40), Operator: "desk-3"}),
		reported("Restored, for the last time", fact.Restored{Epoch: math.MaxUint32, Kept: math.MaxUint64 - 1}),
		reported("Unfriended, ordered", fact.Unfriended{Wearer: lo, Pin: a.id(), Counter: 8, Friendship: 1_000_000, Order: by}),
		reported("Blocked, ordered", fact.Blocked{
			Wearer: hi, Pin: b.id(), Counter: 9, Other: lo, After: 1_000_002, Order: by,
		}),
		reported("Unblocked, ordered", fact.Unblocked{Wearer: hi, Other: lo, After: 1_000_003, Order: by}),
		reported("FriendshipRevoked, ordered", fact.FriendshipRevoked{
			Friendship: 1_000_000, Reason: fact.RevokedFraud, Order: by,
		}),
		reported("BackgroundChosen, ordered", fact.BackgroundChosen{Wearer: lo, Background: "judo", Order: by}),
		reported("AwardRevoked, ordered", fact.AwardRevoked{Cause: 1_000_001, Reason: fact.RevokedError, Order: by}),
		reported("Restored, without withdrawals", fact.Restored{Epoch: 3, Kept: 7, Root: pattern[[32]byte](0x40), WithoutWithdrawals: true}),
	}
}

func readGolden(t testing.TB) golden {
	t.Helper()
	raw, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		t.Fatalf("%s: %v", goldenPath, err)
	}
	return g
}

func (g golden) write(t *testing.T) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenPath, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (g golden) row(name string) (goldenRow, bool) {
	i := slices.IndexFunc(g.Facts, func(r goldenRow) bool { return r.Name == name })
	if i < 0 {
		return goldenRow{}, false
	}
	return g.Facts[i], true
}

func (r goldenRow) payload(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(r.Bytes)
	if err != nil {
		t.Fatalf("%s: bytes: %v", r.Name, err)
	}
	return b
}

// message returns the row's bytes as protobuf sees them.
func (r goldenRow) message(t testing.TB) *logv1.Fact {
	t.Helper()
	m := new(logv1.Fact)
	if err := proto.Unmarshal(r.payload(t), m); err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	return m
}

func rowOf(t *testing.T, f goldenFact) goldenRow {
	t.Helper()
	payload, err := eventlog.Encode(f.record)
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return goldenRow{
		Bytes: hex.EncodeToString(payload), Family: string(f.record.Fact.Family()), Name: f.name,
		Record: fmt.Sprintf("%+v", f.record),
	}
}

// TestGoldenUpdate rewrites the golden file when asked to. It comes before the tests that read the file.
func TestGoldenUpdate(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	var old, next golden
	if _, err := os.Stat(goldenPath); err == nil {
		old = readGolden(t)
	}
	next.Note = goldenNote
	listed := map[string]bool{}
	for _, f := range goldenFacts() {
		listed[f.name] = true
		row := rowOf(t, f)
		// What is for people follows the names of this build: a field that a fact is given later says nothing in old bytes.
		if had, ok := old.row(f.name); ok && (had.Bytes != row.Bytes || had.Family != row.Family) && !*replace {
			t.Errorf("%s: the row differs and is kept:\n got %+v\nhave %+v", f.name, row, had)
			row = had
		}
		next.Facts = append(next.Facts, row)
	}
	for _, row := range old.Facts {
		if !listed[row.Name] { // TestGolden complains of it
			next.Facts = append(next.Facts, row)
		}
	}
	next.write(t)
}

// TestGolden reads the bytes of every fact ever written, and writes them again.
func TestGolden(t *testing.T) {
	g := readGolden(t)
	facts := goldenFacts()
	for i, f := range facts {
		if slices.ContainsFunc(facts[:i], func(o goldenFact) bool { return o.name == f.name }) {
			t.Errorf("two facts are named %q", f.name)
		}
		if _, ok := g.row(f.name); !ok {
			t.Errorf("%s has no row for %q: go test ./internal/eventlog -run Golden -update", goldenPath, f.name)
		}
	}
	for i, row := range g.Facts {
		t.Run(row.Name, func(t *testing.T) {
			at := slices.IndexFunc(facts, func(f goldenFact) bool { return f.name == row.Name })
			if at < 0 {
				t.Fatal("the row has no value in goldenFacts")
			}
			if slices.IndexFunc(g.Facts, func(r goldenRow) bool { return r.Name == row.Name }) != i {
				t.Fatal("the row stands there twice")
			}
			testGoldenRow(t, row, facts[at].record)
		})
	}
}

func testGoldenRow(t *testing.T, row goldenRow, want fact.Record) {
	got, err := eventlog.Decode(fact.Family(row.Family), row.payload(t))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the bytes decode to\n got %+v\nwant %+v", got, want)
	}
	payload, err := eventlog.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(payload) != row.Bytes {
		t.Errorf("the value encodes to\n got %x\nwant %s", payload, row.Bytes)
	}
	if rendered := fmt.Sprintf("%+v", got); rendered != row.Record {
		t.Errorf("the value prints as\n got %s\nwant %s", rendered, row.Record)
	}
}

// oneof returns the oneof of Fact, whose fields are the kinds of fact.
func oneof() protoreflect.OneofDescriptor {
	return (&logv1.Fact{}).ProtoReflect().Descriptor().Oneofs().ByName("fact")
}

// TestGoldenIsComplete fails for a kind of fact or a value of an enum that was added without golden bytes.
func TestGoldenIsComplete(t *testing.T) {
	kinds := map[protoreflect.Name]bool{}
	values := map[protoreflect.FullName]map[protoreflect.EnumNumber]bool{}
	for _, row := range readGolden(t).Facts {
		m := row.message(t).ProtoReflect()
		kind := m.WhichOneof(oneof())
		if kind == nil {
			t.Errorf("%s: holds no fact", row.Name)
			continue
		}
		kinds[kind.Name()] = true
		m.Get(kind).Message().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if e := fd.Enum(); e != nil {
				if values[e.FullName()] == nil {
					values[e.FullName()] = map[protoreflect.EnumNumber]bool{}
				}
				values[e.FullName()][v.Enum()] = true
			}
			return true
		})
	}
	for i := range oneof().Fields().Len() {
		kind := oneof().Fields().Get(i)
		if !kinds[kind.Name()] {
			t.Errorf("%s has no row for the fact %s", goldenPath, kind.Name())
		}
		for j := range kind.Message().Fields().Len() {
			enum := kind.Message().Fields().Get(j).Enum()
			if enum == nil {
				continue
			}
			for k := range enum.Values().Len() {
				if v := enum.Values().Get(k); v.Number() != 0 && !values[enum.FullName()][v.Number()] {
					t.Errorf("%s has no row with %s", goldenPath, v.Name())
				}
			}
		}
	}
}

// TestGoldenFamilies checks that every family has a fact, so that the tests that go through the rows see them all.
func TestGoldenFamilies(t *testing.T) {
	g := readGolden(t)
	for _, f := range fact.Families() {
		if !slices.ContainsFunc(g.Facts, func(r goldenRow) bool { return r.Family == string(f) }) {
			t.Errorf("no row of family %s", f)
		}
	}
}
