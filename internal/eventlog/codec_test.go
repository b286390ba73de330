package eventlog_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/statement"
	logv1 "pinfold/proto/pinfold/log/v1"
)

// TestEnums checks that an enum of package fact and its twin in the log have the same numbers and the same names, since
// the codec only carries the numbers over.
func TestEnums(t *testing.T) {
	names := map[protoreflect.Name]func(n uint8) string{
		"PinKind":    func(n uint8) string { return fact.PinKind(n).String() },
		"Retirement": func(n uint8) string { return fact.Retirement(n).String() },
		"Revocation": func(n uint8) string { return fact.Revocation(n).String() },
		"Ending":     func(n uint8) string { return fact.Ending(n).String() },
		"Refusal":    func(n uint8) string { return fact.Refusal(n).String() },
		// Medals are printed for people too, in lower case.
		"Medal": func(n uint8) string {
			if s := fact.Medal(n).String(); s == strings.ToLower(s) {
				return strings.ToUpper(s)
			}
			return fact.Medal(n).String()
		},
	}
	enums := logv1.File_pinfold_log_v1_log_proto.Enums()
	if enums.Len() != len(names) {
		t.Errorf("got %d enums in log.proto, want the %d of this test", enums.Len(), len(names))
	}
	for i := range enums.Len() {
		enum := enums.Get(i)
		t.Run(string(enum.Name()), func(t *testing.T) {
			name, ok := names[enum.Name()]
			if !ok {
				t.Fatal("the enum has no twin in this test")
			}
			testEnum(t, enum, name)
		})
	}
}

func testEnum(t *testing.T, enum protoreflect.EnumDescriptor, name func(n uint8) string) {
	prefix := strings.ToUpper(strings.Replace(string(enum.Name()), "nK", "n_K", 1)) + "_" // PinKind is two words
	last := uint8(enum.Values().Len() - 1)
	for n := uint8(1); n <= last; n++ {
		v := enum.Values().ByNumber(protoreflect.EnumNumber(n))
		if v == nil {
			t.Errorf("got no value %d in log.proto, want none left out", n)
			continue
		}
		if got, want := string(v.Name()), prefix+name(n); got != want {
			t.Errorf("value %d: got %s in log.proto, want %s", n, got, want)
		}
	}
	for _, n := range []uint8{0, last + 1, 255} {
		if got, want := name(n), fmt.Sprintf("%s(%d)", enum.Name(), n); got != want {
			t.Errorf("value %d: got %q in package fact, want no name but %q", n, got, want)
		}
	}
	if v := enum.Values().ByNumber(0); v == nil || string(v.Name()) != prefix+"UNSPECIFIED" {
		t.Errorf("value 0: got %v, want %sUNSPECIFIED", v, prefix)
	}
}

// mutation is a change to a fact after which no reader may accept it.
type mutation struct {
	name  string
	apply func(m protoreflect.Message)
}

// optional are the fields that were added to facts that had been written without them.
var optional = map[protoreflect.Name]bool{"session": true, "operator": true, "kind": true}

// badOperators returns strings that name no desk.
func badOperators() []string {
	return []string{
		" ", "Desk", "desk 3", "desk_3", "desk-3\n", "\ndesk-3", "b\u00fcro", "\u0661", "desk\x00", strings.Repeat("a", 33),
	}
}

// mutations returns the changes of the message and all within it that break its form: a field that nobody knows, an
// enum value that nobody knows, an id or a signature of a wrong length.
func mutations(m protoreflect.Message) []mutation {
	path := []func(protoreflect.Message) protoreflect.Message{}
	return mutationsAt(string(m.Descriptor().Name()), m, path)
}

// mutationsAt takes the way from the whole message to m, so that each change is made to a fresh copy.
func mutationsAt(name string, m protoreflect.Message, path []func(protoreflect.Message) protoreflect.Message) []mutation {
	find := func(root protoreflect.Message) protoreflect.Message {
		for _, step := range path {
			root = step(root)
		}
		return root
	}
	all := []mutation{{name + ": unknown field", func(root protoreflect.Message) {
		find(root).SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	}}}
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		set := func(what string, v protoreflect.Value) {
			all = append(all, mutation{fmt.Sprintf("%s.%s: %s", name, fd.Name(), what), func(root protoreflect.Message) {
				find(root).Set(fd, v)
			}})
		}
		step := func(next func(protoreflect.Message) protoreflect.Message) []func(protoreflect.Message) protoreflect.Message {
			return append(path[:len(path):len(path)], next)
		}
		switch {
		case fd.IsList():
			last := m.Get(fd).List().Len() - 1
			if last >= 0 {
				all = append(all, mutationsAt(fmt.Sprintf("%s.%s[%d]", name, fd.Name(), last), m.Get(fd).List().Get(last).Message(),
					step(func(m protoreflect.Message) protoreflect.Message { return m.Mutable(fd).List().Get(last).Message() }))...)
			}
		case fd.Kind() == protoreflect.EnumKind:
			if !optional[fd.Name()] {
				set("unspecified", protoreflect.ValueOfEnum(0))
			}
			set("next value", protoreflect.ValueOfEnum(protoreflect.EnumNumber(fd.Enum().Values().Len())))
			set("negative", protoreflect.ValueOfEnum(-1))
			set("1 modulo 256", protoreflect.ValueOfEnum(257))
		case fd.Kind() == protoreflect.BytesKind:
			b := m.Get(fd).Bytes()
			if optional[fd.Name()] {
				b = bytes.Repeat([]byte{1}, 16)
				set("all zero", protoreflect.ValueOfBytes(make([]byte, len(b))))
			} else {
				set("none", protoreflect.ValueOfBytes(nil))
			}
			set("one byte short", protoreflect.ValueOfBytes(b[:len(b)-1]))
			set("one byte long", protoreflect.ValueOfBytes(append(b[:len(b):len(b)], 0)))
		case optional[fd.Name()]: // operator
			for _, name := range badOperators() {
				set(fmt.Sprintf("%q", name), protoreflect.ValueOfString(name))
			}
		case fd.Kind() == protoreflect.StringKind:
			// Tried on the wire by TestDecodeRefuses: the Go API refuses strings that are not UTF-8 too.
		case fd.Kind() == protoreflect.MessageKind:
			if m.Has(fd) {
				all = append(all, mutationsAt(name+"."+string(fd.Name()), m.Get(fd).Message(),
					step(func(m protoreflect.Message) protoreflect.Message { return m.Mutable(fd).Message() }))...)
			}
		}
	}
	return all
}

// TestDecodeRefusesMutations changes every golden fact in every way that breaks its form.
func TestDecodeRefusesMutations(t *testing.T) {
	tried := 0
	for _, row := range readGolden(t).Facts {
		for _, change := range mutations(row.message(t).ProtoReflect()) {
			m := row.message(t)
			change.apply(m.ProtoReflect())
			payload, err := proto.Marshal(m)
			if err != nil {
				t.Fatalf("%s: %s: %v", row.Name, change.name, err)
			}
			if got, err := eventlog.Decode(fact.Family(row.Family), payload); err == nil {
				t.Errorf("%s: %s: got %+v, want an error", row.Name, change.name, got)
			}
			tried++
		}
	}
	if tried < 300 {
		t.Errorf("got only %d changes: does this test still find the fields?", tried)
	}
}

// TestDecodeRefusesOtherFamilies puts every golden fact on the subject of every other family.
func TestDecodeRefusesOtherFamilies(t *testing.T) {
	for _, row := range readGolden(t).Facts {
		for _, f := range append(fact.Families(), "", "bogus") {
			if string(f) == row.Family {
				continue
			}
			if got, err := eventlog.Decode(f, row.payload(t)); err == nil {
				t.Errorf("%s in family %q: got %+v, want an error", row.Name, f, got)
			}
		}
	}
}

// TestDecodeRefusesDerivations gives reported facts a derivation, and derived ones none or an impossible one.
func TestDecodeRefusesDerivations(t *testing.T) {
	for _, row := range readGolden(t).Facts {
		type derivation struct {
			cause        uint64
			index, count uint32
		}
		bad := []derivation{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 2}}
		if fact.Family(row.Family).Derived() {
			bad = []derivation{{0, 0, 0}, {0, 0, 1}, {1, 0, 0}, {1, 1, 1}, {1, 2, 1}, {1, math.MaxUint32, math.MaxUint32}}
		}
		for _, d := range bad {
			m := row.message(t)
			m.SetCause(d.cause)
			m.SetIndex(d.index)
			m.SetCount(d.count)
			payload, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := eventlog.Decode(fact.Family(row.Family), payload); err == nil {
				t.Errorf("%s: got %+v, want an error", row.Name, got)
			}
		}
	}
}

// halfBytes returns a valid statement for tests to break.
func halfBytes(change func(b []byte)) []byte {
	b := statement.AppendHalf(nil, fact.Half{Pin: fact.PinID{1}, Peer: fact.PinID{2}, Link: fact.LinkNFC})
	change(b)
	return b
}

func TestDecodeRefuses(t *testing.T) {
	half := func(change func(b []byte)) *logv1.Fact {
		return logv1.Fact_builder{HalfReported: logv1.HalfReported_builder{
			Statement: halfBytes(change), Signature: make([]byte, 64), Carrier: make([]byte, 8),
		}.Build()}.Build()
	}
	proof := statement.AppendProof(nil, fact.Proof{})
	steps := statement.AppendStepReport(nil, fact.StepReport{Steps: []uint16{1}})
	for _, tt := range []struct {
		name    string
		family  fact.Family
		payload []byte
		want    string // in the error
	}{
		{"no fact", fact.Clock, nil, "unknown fact"},
		{"a derivation alone", fact.Goal, encoded(t, logv1.Fact_builder{Cause: 1, Count: 1}.Build()), "unknown fact"},
		{
			"a fact of the future", fact.Clock, protowire.AppendBytes(protowire.AppendTag(nil, 90, protowire.BytesType), nil),
			"unknown field in pinfold.log.v1.Fact",
		},
		{"no protobuf", fact.Clock, []byte("{}"), "not a fact"},
		{"cut short", fact.Clock, []byte{0xa2, 0x01, 0x02, 0x08}, "not a fact"},
		{"a name that is not UTF-8", fact.Wearer, fromHex(t, "9203"+"15"+"0a10"+strings.Repeat("00", 16)+"1201"+"ff"), "not a fact"},
		{"half: magic", fact.Tap, encoded(t, half(func(b []byte) { b[3] = '2' })), "UNKNOWN_MAGIC"},
		{"half: no link", fact.Tap, encoded(t, half(func(b []byte) { b[65] = 0 })), "MALFORMED"},
		{"half: reserved", fact.Tap, encoded(t, half(func(b []byte) { b[71] = 1 })), "RESERVED_NOT_ZERO"},
		{"half: with oneself", fact.Tap, encoded(t, half(func(b []byte) { b[12] = 1 })), "SELF_TAP"},
		{"half: a step report", fact.Tap, encoded(t, logv1.Fact_builder{HalfReported: logv1.HalfReported_builder{
			Statement: steps, Signature: make([]byte, 64), Carrier: make([]byte, 8),
		}.Build()}.Build()), "UNKNOWN_MAGIC"},
		{"step report: a proof", fact.Step, encoded(t, logv1.Fact_builder{StepsReported: logv1.StepsReported_builder{
			Statement: proof, Signature: make([]byte, 64), Carrier: make([]byte, 8),
		}.Build()}.Build()), "UNKNOWN_MAGIC"},
		{"proof: a half", fact.Roster, encoded(t, logv1.Fact_builder{PinPaired: logv1.PinPaired_builder{
			Wearer: make([]byte, 16), Statement: halfBytes(func([]byte) {}), Signature: make([]byte, 64),
			Random: make([]byte, 16),
		}.Build()}.Build()), "UNKNOWN_MAGIC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := eventlog.Decode(tt.family, tt.payload)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}

// TestDecodeRefusesRules breaks each kind of rule of rules.Check, and what protobuf can hold but package fact cannot.
func TestDecodeRefusesRules(t *testing.T) {
	row, ok := readGolden(t).row("RulesAdopted, with summer time")
	if !ok {
		t.Fatal("no row to start from")
	}
	for _, tt := range []struct {
		name   string
		change func(r *logv1.RulesAdopted)
	}{
		{"no name", func(r *logv1.RulesAdopted) { r.SetName("") }},
		{"no sports", func(r *logv1.RulesAdopted) { r.SetSports(nil) }},
		{"a sport twice", func(r *logv1.RulesAdopted) { r.SetSports(append(r.GetSports(), r.GetSports()[0])) }},
		{"a sport without an id", func(r *logv1.RulesAdopted) { r.GetSports()[0].SetId("") }},
		{"no friends for a background", func(r *logv1.RulesAdopted) { r.SetFriendsPerBackground(0) }},
		{"more starters than sports", func(r *logv1.RulesAdopted) { r.SetStarterBackgrounds(3) }},
		{"silver as dear as gold", func(r *logv1.RulesAdopted) { r.SetSilverFriends(r.GetGoldFriends()) }},
		{"no zone", func(r *logv1.RulesAdopted) { r.SetZone(nil) }},
		{"zone out of order", func(r *logv1.RulesAdopted) { r.GetZone()[1].SetFromSlot(0) }},
		{"zone beyond any", func(r *logv1.RulesAdopted) { r.GetZone()[1].SetQuarters(57) }},
		{"zone beyond 8 bits", func(r *logv1.RulesAdopted) { r.GetZone()[1].SetQuarters(256 - 32) }},
		{"zone below 8 bits", func(r *logv1.RulesAdopted) { r.GetZone()[1].SetQuarters(-256) }},
		{"no step goal", func(r *logv1.RulesAdopted) { r.SetStepGoal(0) }},
		{"pending for less than nothing", func(r *logv1.RulesAdopted) { r.SetPendingForMs(-1) }},
		{"pending for longer than a duration holds", func(r *logv1.RulesAdopted) { r.SetPendingForMs(math.MaxInt64) }},
		// 2^58 ms are 0 ns modulo 2^64, so that the product in 64 bits is a valid hour.
		{"pending for an overflow to a valid time", func(r *logv1.RulesAdopted) { r.SetPendingForMs(1<<58 + 3_600_000) }},
		{"grace below zero", func(r *logv1.RulesAdopted) { r.SetUploadGraceMs(-1) }},
		{"grace overflows", func(r *logv1.RulesAdopted) { r.SetUploadGraceMs(math.MaxInt64 / 1000) }},
		{"closes before it opens", func(r *logv1.RulesAdopted) { r.SetClosesMs(r.GetOpensMs()) }},
		{"opens before 1970", func(r *logv1.RulesAdopted) { r.SetOpensMs(-1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := row.message(t)
			tt.change(m.GetRulesAdopted())
			if got, err := eventlog.Decode(fact.Roster, encoded(t, m)); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

// TestEncodeRefuses keeps out of the log what no reader would take out of it.
func TestEncodeRefuses(t *testing.T) {
	cause := fact.Derivation{Cause: 1, Index: 0, Count: 1}
	badRules := vancouver2030()
	badRules.Zone = nil
	halfMilli := vancouver2030()
	halfMilli.PendingFor += time.Microsecond
	for _, tt := range []struct {
		name   string
		record fact.Record
	}{
		{"nothing", fact.Record{}},
		{"a pointer to a fact", fact.Record{Fact: &fact.TimePassed{}}},
		{"a reported fact with a cause", fact.Record{Fact: fact.TimePassed{}, Derivation: cause}},
		{"a derived fact without one", fact.Record{Fact: fact.HalfRefused{Half: 1, Refusal: fact.RefusedClosed}}},
		{"an index as large as the count", fact.Record{Fact: fact.StepGoalReached{}, Derivation: fact.Derivation{Cause: 1, Index: 1, Count: 1}}},
		{"no retirement", fact.Record{Fact: fact.PinRetired{}}},
		{"an unknown retirement", fact.Record{Fact: fact.PinRetired{Reason: 5}}},
		{"no revocation", fact.Record{Fact: fact.AwardRevoked{Cause: 1}}},
		{"an unknown revocation", fact.Record{Fact: fact.FriendshipRevoked{Friendship: 1, Reason: 3}}},
		{"no ending", fact.Record{Fact: fact.FriendshipEnded{}, Derivation: cause}},
		{"no refusal", fact.Record{Fact: fact.HalfRefused{Half: 1}, Derivation: cause}},
		{"an unknown refusal", fact.Record{Fact: fact.HalfRefused{Half: 1, Refusal: 9}, Derivation: cause}},
		{"no medal", fact.Record{Fact: fact.MedalAwarded{}, Derivation: cause}},
		{"a background that is not UTF-8", fact.Record{Fact: fact.BackgroundChosen{Background: "\xff"}}},
		{"no rules", fact.Record{Fact: fact.RulesAdopted{}}},
		{"rules without a zone", fact.Record{Fact: fact.RulesAdopted{Rules: badRules}}},
		{"an unknown kind of pin", fact.Record{Fact: fact.PinRegistered{Kind: 3}}},
		{"restored to the first epoch", fact.Record{Fact: fact.Restored{Epoch: 1, Kept: 2}}},
		{"restored from nothing", fact.Record{Fact: fact.Restored{Epoch: 2}}},
		{"restored by nobody's desk", fact.Record{Fact: fact.Restored{Epoch: 2, Kept: 2, Operator: "Desk"}}},
		{"rules with half a millisecond", fact.Record{Fact: fact.RulesAdopted{Rules: halfMilli}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := eventlog.Encode(tt.record); err == nil {
				t.Errorf("got %x, want an error", got)
			}
		})
	}
}

// TestEncodeRefusesOperators is the codec's check of who ordered a fact, in each kind of fact that somebody orders.
func TestEncodeRefusesOperators(t *testing.T) {
	tried := 0
	for _, row := range readGolden(t).Facts {
		r, err := eventlog.Decode(fact.Family(row.Family), row.payload(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, operator := range badOperators() {
			v := reflect.New(reflect.TypeOf(r.Fact)).Elem()
			v.Set(reflect.ValueOf(r.Fact))
			field := v.FieldByName("Operator")
			if !field.IsValid() {
				continue
			}
			field.SetString(operator)
			if got, err := eventlog.Encode(fact.Record{Fact: v.Interface().(fact.Fact)}); err == nil || !strings.Contains(err.Error(), "operator") {
				t.Errorf("%s, operator %q: got %x, %v, want an error that names the field", row.Name, operator, got, err)
			}
			tried++
		}
	}
	if tried < 100 {
		t.Errorf("got only %d tries: does this test still find the fields?", tried)
	}
}

// TestDecodeRefusesRestored has the numbers that no restored log has.
func TestDecodeRefusesRestored(t *testing.T) {
	for name, m := range map[string]*logv1.Restored{
		"epoch": logv1.Restored_builder{Epoch: 1, Kept: 2, Root: make([]byte, 32)}.Build(),
		"kept":  logv1.Restored_builder{Epoch: 2, Root: make([]byte, 32)}.Build(),
	} {
		got, err := eventlog.Decode(fact.Clock, encoded(t, logv1.Fact_builder{Restored: m}.Build()))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %+v, %v, want an error that names it", name, got, err)
		}
	}
}

func encoded(t testing.TB, m *logv1.Fact) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzDecode checks that no bytes make Decode panic, and that what it accepts comes back when written and read again.
func FuzzDecode(f *testing.F) {
	families := fact.Families()
	for _, row := range readGolden(f).Facts {
		for i, family := range families {
			if string(family) == row.Family {
				f.Add(uint8(i), row.payload(f))
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, payload []byte) {
		family := families[int(i)%len(families)]
		got, err := eventlog.Decode(family, payload)
		if err != nil {
			return
		}
		again, err := eventlog.Encode(got)
		if err != nil {
			t.Fatalf("%+v: %v", got, err)
		}
		back, err := eventlog.Decode(family, again)
		if err != nil {
			t.Fatalf("%+v: %v", got, err)
		}
		if !reflect.DeepEqual(back, got) {
			t.Errorf("got %+v, want %+v", back, got)
		}
	})
}
