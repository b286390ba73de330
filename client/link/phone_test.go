package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"pinfold/internal/fact"
	pinv1 "pinfold/proto/pinfold/pin/v1"
)

// fakePin is the pin's end of a phone link. A test's script speaks for the pin.
type fakePin struct {
	t    *testing.T
	conn net.Conn
	in   *Reader
}

// fail ends the script, which runs in a goroutine of its own.
func (f *fakePin) fail(format string, args ...any) {
	f.t.Helper()
	f.t.Errorf("the pin: "+format, args...)
	runtime.Goexit()
}

// request returns the next request of the phone.
func (f *fakePin) request() *pinv1.ToPin {
	f.t.Helper()
	payload, err := f.in.Next()
	if err != nil {
		f.fail("got the error %v, want a request", err)
	}
	m := &pinv1.ToPin{}
	if err := proto.Unmarshal(payload, m); err != nil {
		f.fail("a request that cannot be decoded: %v", err)
	}
	return m
}

// raw sends bytes.
func (f *fakePin) raw(bytes []byte) {
	f.t.Helper()
	if _, err := f.conn.Write(bytes); err != nil {
		f.fail("got the error %v, want that the phone takes %x", err, bytes)
	}
}

// answer sends one part of the answer to a request; request 0 is what a pin says by itself.
func (f *fakePin) answer(request uint32, part pinv1.FromPin_builder) {
	f.t.Helper()
	f.raw(answerFrame(f.t, request, part))
}

func answerFrame(t *testing.T, request uint32, part pinv1.FromPin_builder) []byte {
	t.Helper()
	part.Request = request
	raw, err := proto.Marshal(part.Build())
	if err != nil {
		t.Error(err)
	}
	return AppendFrame(nil, raw)
}

// linked links a phone to a pin that does what a script says. Waiting takes no time in it, and it fails if a goroutine of
// the phone outlives its link.
func linked(t *testing.T, pin func(*fakePin), phone func(*testing.T, *Phone)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		p := NewPhone(ours)
		done := make(chan struct{})
		go func() {
			defer close(done)
			pin(&fakePin{t, theirs, NewReader(theirs, MaxMessage)})
		}()
		defer func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			<-done
		}()
		phone(t, p)
	})
}

// The parts that answers are made of.

func infoPart(counter uint32) pinv1.FromPin_builder {
	return pinv1.FromPin_builder{Info: pinv1.Info_builder{Counter: counter}.Build()}
}

func statementPart(record uint32, more bool) pinv1.FromPin_builder {
	return pinv1.FromPin_builder{Statement: pinv1.Statement_builder{
		Record: record, Statement: []byte{'P', 'F', 'H', '1', byte(record)}, Signature: []byte{byte(record)}, More: more,
	}.Build()}
}

func faultPart(fault pinv1.Fault) pinv1.FromPin_builder {
	return pinv1.FromPin_builder{Error: pinv1.Error_builder{Fault: fault}.Build()}
}

var (
	emptyPart  = pinv1.FromPin_builder{Empty: &pinv1.Empty{}}
	promptPart = pinv1.FromPin_builder{PressButton: &pinv1.PressButton{}}
	proofPart  = pinv1.FromPin_builder{Proof: pinv1.Proof_builder{Statement: []byte("PFP1"), Signature: []byte{9}}.Build()}
	chosenPart = pinv1.FromPin_builder{BackgroundChosen: pinv1.BackgroundChosen_builder{Background: "judo"}.Build()}
)

// part is one part of an answer: what it should be, and how long the phone waits for it.
type part struct {
	pinv1.FromPin_builder
	kind   string
	within time.Duration
}

// method is one method of Phone with what it sends, a good answer to that, and what it makes of the answer.
type method struct {
	name    string
	call    func(context.Context, *Phone) ([]proto.Message, error)
	request pinv1.ToPin_builder
	answer  []part
	want    []proto.Message
}

// one makes the list of what a method returned.
func one(m proto.Message, err error) ([]proto.Message, error) {
	if err != nil {
		return nil, err
	}
	return []proto.Message{m}, nil
}

// methods returns all methods. No two return the same.
func methods() []method {
	face := pinv1.SetFace_builder{Friends: 5, Background: "judo", StepGoal: 10000}.Build()
	challenge := fact.Challenge{1, 2, 31: 3}
	moment := time.Date(2021, 7, 23, 20, 0, 0, 1e6, time.FixedZone("", 9*60*60))
	return []method{
		{
			"Hello", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.Hello(ctx)) },
			pinv1.ToPin_builder{Hello: &pinv1.Hello{}},
			[]part{{infoPart(1), "Info", answerTimeout}},
			[]proto.Message{infoPart(1).Info},
		},
		{
			"SetTime", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.SetTime(ctx, moment)) },
			pinv1.ToPin_builder{SetTime: pinv1.SetTime_builder{TimeMs: 1627038000001, OffsetQuarters: 36}.Build()},
			[]part{{infoPart(2), "Info", answerTimeout}},
			[]proto.Message{infoPart(2).Info},
		},
		{
			"Fetch", func(ctx context.Context, p *Phone) (list []proto.Message, err error) {
				held, err := p.Fetch(ctx, 3, 7)
				for _, s := range held {
					list = append(list, s)
				}
				return list, err
			},
			pinv1.ToPin_builder{Fetch: pinv1.Fetch_builder{Max: 3, After: 7}.Build()},
			[]part{{statementPart(8, true), "Statement", answerTimeout}, {statementPart(9, false), "Statement", answerTimeout}},
			[]proto.Message{statementPart(8, true).Statement, statementPart(9, false).Statement},
		},
		{
			"Acknowledge", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.Acknowledge(ctx, 8, 9)) },
			pinv1.ToPin_builder{Acknowledge: pinv1.Acknowledge_builder{Records: []uint32{8, 9}}.Build()},
			[]part{{infoPart(3), "Info", answerTimeout}},
			[]proto.Message{infoPart(3).Info},
		},
		{
			"Prove", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.Prove(ctx, challenge, nil)) },
			pinv1.ToPin_builder{Prove: pinv1.Prove_builder{Challenge: challenge[:]}.Build()},
			[]part{{promptPart, "PressButton", answerTimeout}, {proofPart, "Proof", pressTimeout}},
			[]proto.Message{proofPart.Proof},
		},
		{
			"Wipe", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.Wipe(ctx, nil)) },
			pinv1.ToPin_builder{Wipe: &pinv1.Wipe{}},
			[]part{{promptPart, "PressButton", answerTimeout}, {infoPart(4), "Info", pressTimeout}},
			[]proto.Message{infoPart(4).Info},
		},
		{
			"SetFace", func(ctx context.Context, p *Phone) ([]proto.Message, error) { return one(p.SetFace(ctx, face)) },
			pinv1.ToPin_builder{SetFace: face},
			[]part{{infoPart(5), "Info", answerTimeout}},
			[]proto.Message{infoPart(5).Info},
		},
		{
			"ChooseBackground", func(ctx context.Context, p *Phone) ([]proto.Message, error) {
				chosen, err := p.ChooseBackground(ctx, "golf")
				return one(pinv1.BackgroundChosen_builder{Background: chosen}.Build(), err)
			},
			pinv1.ToPin_builder{ChooseBackground: pinv1.ChooseBackground_builder{Background: "golf"}.Build()},
			[]part{{chosenPart, "BackgroundChosen", answerTimeout}},
			[]proto.Message{chosenPart.BackgroundChosen},
		},
	}
}

// checkReturned checks what a method made of the good answer to it.
func checkReturned(t *testing.T, m method, got []proto.Message, err error) {
	t.Helper()
	if err != nil || !slices.EqualFunc(got, m.want, proto.Equal) {
		t.Errorf("%s: got %v, %v, want %v", m.name, got, err, m.want)
	}
}

// checkNoneWaits checks that calls which returned have left nothing behind: a phone may stay for months.
func checkNoneWaits(t *testing.T, p *Phone) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) != 0 {
		t.Errorf("%d requests are still waited for, want 0", len(p.waiting))
	}
}

// records names the statements that a fetch returned.
func records(list []*pinv1.Statement) (r []uint32) {
	for _, s := range list {
		r = append(r, s.GetRecord())
	}
	return r
}

func TestPhoneAnswered(t *testing.T) {
	for _, m := range methods() {
		t.Run(m.name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				got := pin.request()
				want := m.request
				want.Request = 1
				if !proto.Equal(got, want.Build()) {
					pin.fail("got %v, want %v", got, want.Build())
				}
				for _, a := range m.answer {
					pin.answer(1, a.FromPin_builder)
				}
			}, func(t *testing.T, p *Phone) {
				got, err := m.call(t.Context(), p)
				checkReturned(t, m, got, err)
				checkNoneWaits(t, p)
			})
		})
	}
}

func wantClosed(err error, _ part, _ time.Duration) string {
	if !errors.Is(err, ErrClosed) {
		return "want ErrClosed"
	}
	return ""
}

// TestPhoneFails lets the pin fail in place of each part of each answer.
func TestPhoneFails(t *testing.T) {
	const short = 700 * time.Millisecond
	for _, fail := range []struct {
		name string
		// pin does what it does in place of the part.
		pin func(*fakePin, uint32, part)
		// context is that of the call: nil is one without an end.
		context func(context.Context) (context.Context, context.CancelFunc)
		// want returns what is wrong with the error after some time, or "".
		want func(err error, wanted part, after time.Duration) string
	}{
		{
			"by a fault",
			func(pin *fakePin, r uint32, _ part) { pin.answer(r, faultPart(pinv1.Fault_FAULT_FLASH)) },
			nil,
			func(err error, _ part, _ time.Duration) string {
				var fault *FaultError
				if !errors.As(err, &fault) || fault.Fault != pinv1.Fault_FAULT_FLASH {
					return "want the FaultError of FAULT_FLASH"
				}
				return ""
			},
		},
		{
			"by an answer of another kind",
			func(pin *fakePin, r uint32, wanted part) {
				if wanted.kind == "Info" {
					pin.answer(r, emptyPart)
				} else {
					pin.answer(r, infoPart(0))
				}
			},
			nil,
			func(err error, wanted part, _ time.Duration) string {
				was := "info"
				if wanted.kind == "Info" {
					was = "empty"
				}
				if want := fmt.Sprintf("pin: the answer is %s, want %s", was, wanted.kind); err.Error() != want {
					return "want " + want
				}
				return ""
			},
		},
		{
			"by an answer of nothing",
			func(pin *fakePin, r uint32, _ part) { pin.answer(r, pinv1.FromPin_builder{}) },
			nil,
			func(err error, wanted part, _ time.Duration) string {
				if want := "pin: the answer is not set, want " + wanted.kind; err.Error() != want {
					return "want " + want
				}
				return ""
			},
		},
		{
			"by silence that the pin may not keep",
			func(*fakePin, uint32, part) {},
			nil,
			func(err error, wanted part, after time.Duration) string {
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) || after != wanted.within {
					return fmt.Sprintf("want context.DeadlineExceeded after %v", wanted.within)
				}
				return ""
			},
		},
		{
			"by silence longer than the caller waits",
			func(*fakePin, uint32, part) {},
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, short)
			},
			func(err error, _ part, after time.Duration) string {
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) || after != short {
					return fmt.Sprintf("want context.DeadlineExceeded after %v", short)
				}
				return ""
			},
		},
		{
			"by a caller that gives up",
			func(*fakePin, uint32, part) {},
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(short, cancel)
				return ctx, cancel
			},
			func(err error, _ part, after time.Duration) string {
				if !errors.Is(err, context.Canceled) || after != short {
					return fmt.Sprintf("want context.Canceled after %v", short)
				}
				return ""
			},
		},
		{
			"by a link closed before it",
			func(pin *fakePin, _ uint32, _ part) { _ = pin.conn.Close() },
			nil,
			wantClosed,
		},
		{
			"by a link closed in the middle of it",
			func(pin *fakePin, r uint32, wanted part) {
				frame := answerFrame(pin.t, r, wanted.FromPin_builder)
				pin.raw(frame[:len(frame)-1]) // all but the flag at the end
				_ = pin.conn.Close()
			},
			nil,
			wantClosed,
		},
	} {
		for _, m := range methods() {
			for i, wanted := range m.answer {
				t.Run(fmt.Sprintf("%s/%s/%d", fail.name, m.name, i), func(t *testing.T) {
					linked(t, func(pin *fakePin) {
						r := pin.request().GetRequest()
						for _, a := range m.answer[:i] {
							pin.answer(r, a.FromPin_builder)
						}
						fail.pin(pin, r, wanted)
					}, func(t *testing.T, p *Phone) {
						ctx := t.Context()
						if fail.context != nil {
							var cancel context.CancelFunc
							ctx, cancel = fail.context(ctx)
							defer cancel()
						}
						began := time.Now()
						got, err := m.call(ctx, p)
						if err == nil || got != nil {
							t.Fatalf("got %v, %v, want nothing but an error", got, err)
						}
						if want := fail.want(err, wanted, time.Since(began)); want != "" {
							t.Errorf("got the error %v after %v, %s", err, time.Since(began), want)
						}
						checkNoneWaits(t, p)
					})
				})
			}
		}
	}
}

func TestFaultError(t *testing.T) {
	for fault, want := range map[pinv1.Fault]string{
		pinv1.Fault_FAULT_NOT_PRESSED: "pin: the button was not pressed within a minute",
		pinv1.Fault_FAULT_MALFORMED:   "pin: FAULT_MALFORMED",
		pinv1.Fault(99):               "pin: 99",
	} {
		if got := (&FaultError{fault}).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPhoneFetch(t *testing.T) {
	// full are the parts of records 1 to n, each with more to come.
	full := func(n uint32) (list []pinv1.FromPin_builder) {
		for r := range n {
			list = append(list, statementPart(r+1, true))
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		answer []pinv1.FromPin_builder
		want   []uint32 // nil: none
		bad    bool
	}{
		{"none", []pinv1.FromPin_builder{emptyPart}, nil, false},
		{"one", []pinv1.FromPin_builder{statementPart(5, false)}, []uint32{5}, false},
		{"three", append(full(2), statementPart(3, false)), []uint32{1, 2, 3}, false},
		{"ended by Empty, as the pin lost its last", append(full(2), emptyPart), []uint32{1, 2}, false},
		{"what follows the end is left", []pinv1.FromPin_builder{statementPart(1, false), statementPart(2, false)}, []uint32{1}, false},
		{"the most", append(full(MaxFetch-1), statementPart(MaxFetch, false)), recordsTo(MaxFetch), false},
		{"the most, ended by Empty", append(full(MaxFetch), emptyPart), recordsTo(MaxFetch), false},
		{"one more than the most", append(full(MaxFetch), statementPart(MaxFetch+1, false)), nil, true},
		{"no end", full(3 * MaxFetch), nil, true},
		{"a fault after two", append(full(2), faultPart(pinv1.Fault_FAULT_FLASH)), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				r := pin.request().GetRequest()
				for _, a := range tt.answer {
					pin.answer(r, a)
				}
			}, func(t *testing.T, p *Phone) {
				list, err := p.Fetch(t.Context(), MaxFetch, 0)
				if got := records(list); (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
					t.Errorf("got the records %v, %v, want %v, an error: %v", got, err, tt.want, tt.bad)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want what is wrong with the answer", err)
				}
				synctest.Wait() // what follows the end is dropped, not waited for
			})
		})
	}
}

func recordsTo(n uint32) (list []uint32) {
	for r := range n {
		list = append(list, r+1)
	}
	return list
}

func TestPhoneSetTime(t *testing.T) {
	const hour, minute = 60 * 60, 60
	moment := time.Date(2021, 7, 23, 11, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		offset int // in seconds
		want   int32
	}{
		{"UTC", 0, 0},
		{"Tokyo", 9 * hour, 36},
		{"Kathmandu", 5*hour + 45*minute, 23},
		{"Newfoundland", -3*hour - 30*minute, -14},
	} {
		t.Run(tt.name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				m := pin.request()
				if got := m.GetSetTime(); got.GetOffsetQuarters() != tt.want || got.GetTimeMs() != moment.UnixMilli() {
					pin.fail("got %v, want %d and %d quarter hours", got, moment.UnixMilli(), tt.want)
				}
				pin.answer(m.GetRequest(), infoPart(1))
			}, func(t *testing.T, p *Phone) {
				if _, err := p.SetTime(t.Context(), moment.In(time.FixedZone("", tt.offset))); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestPhonePrompt: the caller learns that the pin waits for its button when it does so, once, and not if it does not.
func TestPhonePrompt(t *testing.T) {
	calls := map[string]func(context.Context, *Phone, func()) error{
		"Prove": func(ctx context.Context, p *Phone, waiting func()) error {
			_, err := p.Prove(ctx, fact.Challenge{1}, waiting)
			return err
		},
		"Wipe": func(ctx context.Context, p *Phone, waiting func()) error {
			_, err := p.Wipe(ctx, waiting)
			return err
		},
	}
	after := map[string]pinv1.FromPin_builder{"Prove": proofPart, "Wipe": infoPart(1)}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			const press = 59 * time.Second
			linked(t, func(pin *fakePin) {
				r := pin.request().GetRequest()
				pin.answer(r, promptPart)
				<-time.After(press)
				pin.answer(r, after[name])
			}, func(t *testing.T, p *Phone) {
				began := time.Now()
				var prompts []time.Duration
				err := call(t.Context(), p, func() { prompts = append(prompts, time.Since(began)) })
				if took := time.Since(began); err != nil || took != press || !slices.Equal(prompts, []time.Duration{0}) {
					t.Errorf("got %v after %v, with prompts after %v, want no error after %v, with one at once", err, took, prompts, press)
				}
			})
		})
		t.Run(name+" refused", func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				pin.answer(pin.request().GetRequest(), faultPart(pinv1.Fault_FAULT_MALFORMED))
			}, func(t *testing.T, p *Phone) {
				if err := call(t.Context(), p, func() { t.Error("got a prompt, want none") }); err == nil {
					t.Error("got no error, want FAULT_MALFORMED")
				}
			})
		})
		t.Run(name+" not pressed", func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				r := pin.request().GetRequest()
				pin.answer(r, promptPart)
				<-time.After(time.Minute)
				pin.answer(r, faultPart(pinv1.Fault_FAULT_NOT_PRESSED))
			}, func(t *testing.T, p *Phone) {
				err := call(t.Context(), p, nil)
				var fault *FaultError
				if !errors.As(err, &fault) || fault.Fault != pinv1.Fault_FAULT_NOT_PRESSED {
					t.Errorf("got %v, want the FaultError of FAULT_NOT_PRESSED", err)
				}
			})
		})
	}
}

// TestPhoneOthers: what a pin says to nobody, or to another request, changes no answer.
func TestPhoneOthers(t *testing.T) {
	spoiled := answerFrame(t, 1, statementPart(66, true))
	spoiled[3] ^= 1
	for name, other := range map[string]func(pin *fakePin, r uint32){
		"an answer to a request never made": func(pin *fakePin, r uint32) { pin.answer(r+1, statementPart(66, true)) },
		"a fault of another request":        func(pin *fakePin, r uint32) { pin.answer(r+1, faultPart(pinv1.Fault_FAULT_FLASH)) },
		"a fault of no request":             func(pin *fakePin, _ uint32) { pin.answer(0, faultPart(pinv1.Fault_FAULT_MALFORMED)) },
		"an announcement":                   func(pin *fakePin, _ uint32) { pin.answer(0, infoPart(66)) },
		"garbage":                           func(pin *fakePin, _ uint32) { pin.raw([]byte{0x7D, 0, 0x7E, 1, 2, 3, 0x7E, 0x7E, 0x7D}) },
		"a frame with a wrong CRC":          func(pin *fakePin, _ uint32) { pin.raw(spoiled) },
		"half a frame":                      func(pin *fakePin, _ uint32) { pin.raw(spoiled[:len(spoiled)/2]) },
		"a frame longer than any":           func(pin *fakePin, _ uint32) { pin.raw(AppendFrame(nil, make([]byte, MaxMessage+1))) },
		"a payload that cannot be decoded":  func(pin *fakePin, _ uint32) { pin.raw(AppendFrame(nil, []byte{0xFF})) },
	} {
		t.Run(name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				r := pin.request().GetRequest()
				other(pin, r)
				pin.answer(r, statementPart(1, true))
				other(pin, r)
				pin.answer(r, statementPart(2, false))
			}, func(t *testing.T, p *Phone) {
				list, err := p.Fetch(t.Context(), 2, 0)
				if got, want := records(list), []uint32{1, 2}; err != nil || !slices.Equal(got, want) {
					t.Errorf("got the records %v, %v, want %v", got, err, want)
				}
			})
		})
	}
}

// TestPhoneLate: the answer to a request that was given up is not taken for that of the next.
func TestPhoneLate(t *testing.T) {
	linked(t, func(pin *fakePin) {
		first, second := pin.request().GetRequest(), pin.request().GetRequest()
		pin.answer(first, infoPart(1))
		pin.answer(second, infoPart(2))
	}, func(t *testing.T, p *Phone) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Hello(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want context.DeadlineExceeded", err)
		}
		if info, err := p.Hello(t.Context()); err != nil || info.GetCounter() != 2 {
			t.Errorf("got %v, %v, want counter 2", info, err)
		}
	})
}

// TestPhoneWrap: 0 would make an answer an announcement.
func TestPhoneWrap(t *testing.T) {
	want := []uint32{math.MaxUint32 - 1, math.MaxUint32, 1, 2}
	linked(t, func(pin *fakePin) {
		for _, w := range want {
			r := pin.request().GetRequest()
			if r != w {
				pin.fail("got request %d, want %d", r, w)
			}
			pin.answer(r, infoPart(r))
		}
	}, func(t *testing.T, p *Phone) {
		p.last = want[0] - 1
		for _, w := range want {
			if info, err := p.Hello(t.Context()); err != nil || info.GetCounter() != w {
				t.Errorf("got %v, %v, want counter %d", info, err, w)
			}
		}
	})
}

func TestPhoneAnnounced(t *testing.T) {
	linked(t, func(pin *fakePin) {
		for counter := range uint32(3) {
			pin.answer(0, infoPart(counter+1))
		}
		for _, other := range []pinv1.FromPin_builder{emptyPart, faultPart(pinv1.Fault_FAULT_MALFORMED), {}} {
			pin.answer(0, other)
		}
		<-time.After(time.Second) // the phone has looked by then
		pin.answer(0, infoPart(4))
	}, func(t *testing.T, p *Phone) {
		synctest.Wait()
		select {
		case info := <-p.Announced():
			if info.GetCounter() != 3 {
				t.Errorf("got counter %d, want 3, the last", info.GetCounter())
			}
		default:
			t.Error("got nothing, want the last of what the pin said by itself")
		}
		select {
		case info := <-p.Announced():
			t.Errorf("got %v, want each but once", info)
		default:
		}
		if info := <-p.Announced(); info.GetCounter() != 4 {
			t.Errorf("got counter %d, want 4", info.GetCounter())
		}
	})
}

// TestPhoneConcurrent makes all calls at the same time and mixes the parts of their answers in many ways.
func TestPhoneConcurrent(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			calls := methods()
			linked(t, func(pin *fakePin) {
				numbers := map[int]uint32{} // of the request of each call
				var order []int             // of calls, once for each part
				for range calls {
					m := pin.request()
					i := slices.IndexFunc(calls, func(c method) bool {
						want := c.request
						want.Request = m.GetRequest()
						return proto.Equal(m, want.Build())
					})
					if i < 0 {
						pin.fail("got %v, want one of what the methods send", m)
					}
					numbers[i] = m.GetRequest()
					order = append(order, slices.Repeat([]int{i}, len(calls[i].answer))...)
				}
				random.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
				sent := map[int]int{}
				for _, i := range order {
					pin.answer(numbers[i], calls[i].answer[sent[i]].FromPin_builder)
					sent[i]++
				}
			}, func(t *testing.T, p *Phone) {
				var all sync.WaitGroup
				for _, m := range calls {
					all.Go(func() {
						got, err := m.call(t.Context(), p)
						checkReturned(t, m, got, err)
					})
				}
				all.Wait()
			})
		})
	}
}

// TestPhoneRefuses: what no pin could take is not sent, and the link stays good.
func TestPhoneRefuses(t *testing.T) {
	face := func(size int) *pinv1.SetFace {
		name := strings.Repeat("x", size)
		return pinv1.SetFace_builder{Background: name}.Build()
	}
	// The request numbers of this test need one byte, so each message is so much larger than the name in it.
	more := proto.Size(pinv1.ToPin_builder{Request: 1, SetFace: face(400)}.Build()) - 400
	for _, tt := range []struct {
		name string
		face *pinv1.SetFace
		want string // of the error; "" = it is sent
	}{
		{"512 bytes", face(MaxMessage - more), ""},
		{"513 bytes", face(MaxMessage + 1 - more), "513 bytes: want 512 at most"},
		{"a text that is none", pinv1.SetFace_builder{Background: "\xff"}.Build(), "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				m := pin.request()
				if m.HasSetFace() != (tt.want == "") {
					pin.fail("got %v, want it only if a pin can take it", m)
				}
				pin.answer(m.GetRequest(), infoPart(1))
			}, func(t *testing.T, p *Phone) {
				_, err := p.SetFace(t.Context(), tt.face)
				if tt.want == "" {
					if err != nil {
						t.Errorf("got %v, want no error", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrClosed) {
					t.Errorf("got %v, want %q and not that the link has ended", err, tt.want)
				}
				checkNoneWaits(t, p)
				if _, err := p.Hello(t.Context()); err != nil {
					t.Errorf("after it: %v", err)
				}
			})
		})
	}
}

// TestPhoneNotTaken: a pin that takes no request is silent, its link has not ended, and it can find the next request
// behind the part of one that it took.
func TestPhoneNotTaken(t *testing.T) {
	for _, tt := range []struct {
		name  string
		taken int           // bytes
		limit time.Duration // of the caller; 0 = none
		want  time.Duration
	}{
		{"at all", 0, 0, answerTimeout},
		{"whole", 4, 0, answerTimeout},
		{"while the caller waits", 0, time.Second, time.Second},
		{"by a caller who came too late", 0, -time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				part := make([]byte, tt.taken)
				if _, err := io.ReadFull(pin.conn, part); err != nil {
					pin.fail("%v", err)
				}
				for _, b := range part {
					pin.in.decoder.Decode(b)
				}
				<-time.After(tt.want + time.Second)
				pin.answer(pin.request().GetRequest(), infoPart(1))
			}, func(t *testing.T, p *Phone) {
				ctx := t.Context()
				if tt.limit != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				began := time.Now()
				_, err := p.Hello(ctx)
				if after := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) || after != tt.want {
					t.Errorf("got %v after %v, want context.DeadlineExceeded alone after %v", err, after, tt.want)
				}
				if _, err := p.Hello(t.Context()); err != nil {
					t.Errorf("after it: %v", err)
				}
			})
		})
	}
}

// TestPhoneNotTakenByTurns: a caller who waits for another to be rid of its request waits no longer than it wants to, and
// does not shorten the other's time.
func TestPhoneNotTakenByTurns(t *testing.T) {
	linked(t, func(*fakePin) {}, func(t *testing.T, p *Phone) {
		began := time.Now()
		var all sync.WaitGroup
		for _, limit := range []time.Duration{time.Minute, time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				_, err := p.Hello(ctx)
				want := min(limit, answerTimeout)
				if after := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) || after != want {
					t.Errorf("got %v after %v, want context.DeadlineExceeded alone after %v", err, after, want)
				}
			})
			synctest.Wait() // it writes, or waits to
		}
		all.Wait()
		checkNoneWaits(t, p)
	})
}

// TestPhoneEnds: an answer that came before the link ended is given to its caller, and later calls say that it has ended.
func TestPhoneEnds(t *testing.T) {
	// Where both are there, a select takes either: one time proves nothing.
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			linked(t, func(pin *fakePin) {
				r := pin.request().GetRequest()
				pin.answer(r, promptPart)
				pin.answer(r, proofPart)
				_ = pin.conn.Close()
			}, func(t *testing.T, p *Phone) {
				proof, err := p.Prove(t.Context(), fact.Challenge{1}, func() { <-p.Ended() })
				if err != nil || !proto.Equal(proof, proofPart.Proof) {
					t.Errorf("got %v, %v, want the proof", proof, err)
				}
				for _, m := range methods() {
					if _, err := m.call(t.Context(), p); !errors.Is(err, ErrClosed) {
						t.Errorf("%s after the end: got %v, want ErrClosed", m.name, err)
					}
				}
			})
		})
	}
}

func TestPhoneClose(t *testing.T) {
	linked(t, func(pin *fakePin) {
		pin.request()
		if _, err := pin.in.Next(); !errors.Is(err, io.EOF) {
			pin.fail("got %v, want the end of the link", err)
		}
	}, func(t *testing.T, p *Phone) {
		select {
		case <-p.Ended():
			t.Error("the link has ended, want that it has not")
		default:
		}
		failed := make(chan error)
		go func() {
			_, err := p.Hello(t.Context())
			failed <- err
		}()
		synctest.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-p.Ended():
		default:
			t.Error("the link has not ended, want that it has when Close returns")
		}
		if err := <-failed; !errors.Is(err, ErrClosed) {
			t.Errorf("the call that waited: got %v, want ErrClosed", err)
		}
		if _, err := p.Hello(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a later call: got %v, want ErrClosed", err)
		}
	})
}

// TestPhoneFlood: more answers than a caller takes hold up no other.
func TestPhoneFlood(t *testing.T) {
	linked(t, func(pin *fakePin) {
		r := pin.request().GetRequest()
		pin.answer(r, promptPart)
		for range 10 * MaxFetch {
			pin.answer(r, proofPart)
		}
		pin.answer(pin.request().GetRequest(), infoPart(1))
	}, func(t *testing.T, p *Phone) {
		proof, err := p.Prove(t.Context(), fact.Challenge{1}, func() {
			synctest.Wait() // all of it has come
			if _, err := p.Hello(t.Context()); err != nil {
				t.Errorf("a call after the flood: %v", err)
			}
		})
		if err != nil || proof == nil {
			t.Errorf("got %v, %v, want the first of the proofs", proof, err)
		}
	})
}

// signalled tells of each write before it is made.
type signalled struct {
	net.Conn
	writes chan struct{}
}

func (s signalled) Write(b []byte) (int, error) {
	s.writes <- struct{}{}
	return s.Conn.Write(b)
}

// TestPhoneFull: a pin takes no request before it is rid of its answers, so the phone takes them also while it writes. It is
// not in a bubble of synctest, whose time stands still while a goroutine waits for a mutex.
func TestPhoneFull(t *testing.T) {
	ours, theirs := net.Pipe()
	writes := make(chan struct{}, 2)
	p := NewPhone(signalled{ours, writes})
	defer p.Close()
	var all sync.WaitGroup
	all.Go(func() {
		list, err := p.Fetch(t.Context(), 3, 0)
		if got, want := records(list), []uint32{1, 2, 3}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got the records %v, %v, want %v", got, err, want)
		}
	})
	<-writes
	all.Go(func() {
		pin := &fakePin{t, theirs, NewReader(theirs, MaxMessage)}
		r := pin.request().GetRequest()
		<-writes // the phone writes the next, and goes on only when all of it is read
		for record := range uint32(3) {
			pin.answer(r, statementPart(record+1, record < 2))
		}
		pin.answer(pin.request().GetRequest(), infoPart(4))
	})
	all.Go(func() {
		if info, err := p.Hello(t.Context()); err != nil || info.GetCounter() != 4 {
			t.Errorf("got %v, %v, want counter 4", info, err)
		}
	})
	all.Wait()
}
