package statement_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

var (
	pinA = fact.PinID{0x56, 0x47, 0x5a, 0xa7, 0x54, 0x63, 0x47, 0x4c}
	pinB = fact.PinID{0x55, 0x40, 0xee, 0x3d, 0xe4, 0xe0, 0x95, 0x22}
)

func aHalf() fact.Half {
	return fact.Half{
		Pin: pinA, Peer: pinB, Nonce: fact.Nonce{1}, PeerNonce: fact.Nonce{2}, Counter: 7,
		Time: 1626998400123, RSSI: -41, Link: fact.LinkBluetoothLE,
	}
}

func aReport(n int) fact.StepReport {
	return fact.StepReport{Pin: pinA, Counter: 8, FirstSlot: 1807776, Steps: make([]uint16, n)}
}

func aProof() fact.Proof {
	return fact.Proof{Pin: pinA, Challenge: fact.Challenge{3}, Time: 1626998400456}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		name      string
		got, want int
	}{
		{"half", len(statement.AppendHalf(nil, aHalf())), statement.HalfSize},
		{"half, as in the design", statement.HalfSize, 72},
		{"proof", len(statement.AppendProof(nil, aProof())), statement.ProofSize},
		{"proof, as in the design", statement.ProofSize, 52},
		{"smallest step report", len(statement.AppendStepReport(nil, aReport(1))), statement.StepReportHeader + 2},
		{"largest step report", len(statement.AppendStepReport(nil, aReport(32))), statement.MaxSize},
		{"largest statement", statement.MaxSize, 88},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %d bytes, want %d", tt.name, tt.got, tt.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	tests := []struct {
		in   string
		want statement.Kind
		text string
	}{
		{"PFH1", statement.KindHalf, "half"},
		{"PFS1 and more", statement.KindStepReport, "step report"},
		{"PFP1\x00", statement.KindProof, "proof"},
		{"", 0, "Kind(0)"},
		{"PFH", 0, "Kind(0)"},
		{"PFH2", 0, "Kind(0)"},
		{" PFH1", 0, "Kind(0)"},
	}
	for _, tt := range tests {
		got, err := statement.KindOf([]byte(tt.in))
		if got != tt.want || got.String() != tt.text {
			t.Errorf("KindOf(%q): got %v, want %s", tt.in, got, tt.text)
		}
		if wantErr := tt.want == 0; wantErr != isBroken(err, statement.UnknownMagic) {
			t.Errorf("KindOf(%q): got the error %v, want one: %v", tt.in, err, wantErr)
		}
	}
}

func isBroken(err error, rule statement.Rule) bool {
	broken, ok := errors.AsType[*statement.Error](err)
	return ok && broken.Rule == rule
}

func TestParseRefusesOtherKinds(t *testing.T) {
	half, report, proof := statement.AppendHalf(nil, aHalf()), statement.AppendStepReport(nil, aReport(24)),
		statement.AppendProof(nil, aProof())
	tests := []struct {
		name string
		kind statement.Kind
		in   []byte
	}{
		{"step report as half", statement.KindHalf, report},
		{"proof as half", statement.KindHalf, proof},
		{"half as step report", statement.KindStepReport, half},
		{"half as proof", statement.KindProof, half},
		{"nothing as half", statement.KindHalf, nil},
		{"nothing as step report", statement.KindStepReport, nil},
		{"nothing as proof", statement.KindProof, nil},
	}
	for _, tt := range tests {
		if _, err := parse(tt.kind, tt.in); !isBroken(err, statement.UnknownMagic) {
			t.Errorf("%s: got the error %v, want UNKNOWN_MAGIC", tt.name, err)
		}
	}
}

func TestParseHalfAtTheLastInstant(t *testing.T) {
	want := aHalf()
	want.Time = math.MaxInt64
	got, err := statement.ParseHalf(statement.AppendHalf(nil, want))
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestParsedStepsAreACopy(t *testing.T) {
	b := statement.AppendStepReport(nil, aReport(2))
	got, err := statement.ParseStepReport(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	b[statement.StepReportHeader] = 0xff
	if !reflect.DeepEqual(got, aReport(2)) {
		t.Errorf("got %+v, want %+v", got, aReport(2))
	}
}

func TestErrorText(t *testing.T) {
	half, report := statement.AppendHalf(nil, aHalf()), statement.AppendStepReport(nil, aReport(1))
	tests := []struct {
		kind statement.Kind
		in   []byte
		want string
	}{
		{0, []byte("PF\xff"), `statement: magic is "PF\xff", want PFH1, PFS1 or PFP1 (UNKNOWN_MAGIC)`},
		{statement.KindProof, half, `statement: magic of proof is "PFH1", want PFP1 (UNKNOWN_MAGIC)`},
		{statement.KindHalf, half[:71], `statement: length of half is 71, want 72 bytes (MALFORMED)`},
		{statement.KindHalf, with(half, 65, 4), `statement: link of half is 4, want 1 to 3 (MALFORMED)`},
		{
			statement.KindHalf, with(half, 56, 255, 255, 255, 255, 255, 255, 255, 254),
			`statement: time of half is -2, want 0 or more milliseconds since the Unix epoch (MALFORMED)`,
		},
		{
			statement.KindStepReport, report[:10],
			`statement: length of step report is 10, want at least 24 bytes (MALFORMED)`,
		},
		{statement.KindStepReport, with(report, 20, 33), `statement: n of step report is 33, want 1 to 32 slots (MALFORMED)`},
		{statement.KindStepReport, with(report, 20, 2), `statement: length of step report is 26, want 28 bytes (MALFORMED)`},
		{
			statement.KindStepReport, with(statement.AppendStepReport(nil, aReport(3)), 16, 255, 255, 255, 254),
			`statement: last slot of step report is 4294967296, want at most 4294967295 (MALFORMED)`,
		},
		{
			statement.KindHalf, with(half, 70, 0xab),
			`statement: reserved of half is 00000000ab00, want only zero bytes (RESERVED_NOT_ZERO)`,
		},
		{
			statement.KindHalf, with(half, 12, pinA[:]...),
			`statement: peer of half is 56475aa75463474c, want another pin than the author (SELF_TAP)`,
		},
	}
	for _, tt := range tests {
		_, err := statement.KindOf(tt.in)
		if tt.kind != 0 {
			_, err = parse(tt.kind, tt.in)
		}
		if err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

func with(b []byte, offset int, values ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[offset:], values)
	return b
}

func TestTextOfUnknownRule(t *testing.T) {
	if got, want := statement.Rule(9).String(), "Rule(9)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAppendPanicsOnWhatParseWouldRefuse(t *testing.T) {
	half := func(change func(*fact.Half)) func() {
		h := aHalf()
		change(&h)
		return func() { statement.AppendHalf(nil, h) }
	}
	tests := []struct {
		name string
		call func()
		want statement.Rule
	}{
		{"link 0", half(func(h *fact.Half) { h.Link = 0 }), statement.Malformed},
		{"link 4", half(func(h *fact.Half) { h.Link = 4 }), statement.Malformed},
		{"half before the epoch", half(func(h *fact.Half) { h.Time = -1 }), statement.Malformed},
		{"self tap", half(func(h *fact.Half) { h.Peer = h.Pin }), statement.SelfTap},
		{"no slots", func() { statement.AppendStepReport(nil, aReport(0)) }, statement.Malformed},
		{"33 slots", func() { statement.AppendStepReport(nil, aReport(33)) }, statement.Malformed},
		{"a last slot past 32 bits", func() {
			r := aReport(2)
			r.FirstSlot = math.MaxUint32
			statement.AppendStepReport(nil, r)
		}, statement.Malformed},
		{"256 + 1 slots", func() { statement.AppendStepReport(nil, aReport(257)) }, statement.Malformed},
		{"proof before the epoch", func() { statement.AppendProof(nil, fact.Proof{Time: -1}) }, statement.Malformed},
	}
	for _, tt := range tests {
		err, _ := panicOf(tt.call).(error)
		if !isBroken(err, tt.want) {
			t.Errorf("%s: got the panic %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestChallengePanicsOnGamesThatCannotBe(t *testing.T) {
	for _, games := range []string{"", strings.Repeat("g", 33), strings.Repeat("g", 256)} {
		if panicOf(func() { statement.Challenge(games, fact.WearerID{}, [16]byte{}) }) == nil {
			t.Errorf("games of %d bytes: got no panic", len(games))
		}
	}
}

func panicOf(call func()) (v any) {
	defer func() { v = recover() }()
	call()
	return nil
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want []byte
	}{
		{"half", statement.AppendHalf([]byte("before"), aHalf()), statement.AppendHalf(nil, aHalf())},
		{"step report", statement.AppendStepReport([]byte("before"), aReport(3)), statement.AppendStepReport(nil, aReport(3))},
		{"proof", statement.AppendProof([]byte("before"), aProof()), statement.AppendProof(nil, aProof())},
	}
	for _, tt := range tests {
		if want := append([]byte("before"), tt.want...); !bytes.Equal(tt.got, want) {
			t.Errorf("%s: got %x, want %x", tt.name, tt.got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	half, report, proof := statement.AppendHalf(nil, aHalf()), statement.AppendStepReport(nil, aReport(32)),
		statement.AppendProof(nil, aProof())
	dst := make([]byte, 0, statement.MaxSize)
	tests := []struct {
		name string
		call func()
		want float64
	}{
		{"ParseHalf", func() { _, _ = statement.ParseHalf(half) }, 0},
		{"ParseStepReport, for the steps", func() { _, _ = statement.ParseStepReport(report) }, 1},
		{"ParseProof", func() { _, _ = statement.ParseProof(proof) }, 0},
		{"AppendHalf", func() { statement.AppendHalf(dst, aHalf()) }, 0},
		{"AppendProof", func() { statement.AppendProof(dst, aProof()) }, 0},
		{"TapID", func() { statement.TapID(aHalf()) }, 0},
		{"Challenge", func() { statement.Challenge("tokyo2020", fact.WearerID{}, [16]byte{}) }, 0},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(100, tt.call); got > tt.want {
			t.Errorf("%s: got %v allocations, want at most %v", tt.name, got, tt.want)
		}
	}
}
