package serve_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

func TestErrorf(t *testing.T) {
	err := serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_SELF_TAP, "pin %d: met %s", 7, "itself")
	s := status.Convert(err)
	if s.Code() != codes.FailedPrecondition || s.Message() != "SELF_TAP: pin 7: met itself" {
		t.Errorf("got %v %q", s.Code(), s.Message())
	}
	if len(s.Details()) != 1 {
		t.Fatalf("got the details %v, want one", s.Details())
	}
	if info, ok := s.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "SELF_TAP" || info.GetDomain() != "pinfold" {
		t.Errorf("got the detail %v, want the reason and the domain pinfold", s.Details()[0])
	}
}

// TestReasonNames: every reason of the API has its name without the prefix that protobuf makes it have.
func TestReasonNames(t *testing.T) {
	for number, long := range gatewayv1.Reason_name {
		name := serve.ReasonName(gatewayv1.Reason(number))
		if "REASON_"+name != long || strings.HasPrefix(name, "REASON") {
			t.Errorf("%s: got %q", long, name)
		}
		if got := serve.Reason(serve.Errorf(codes.Internal, gatewayv1.Reason(number), "")); got != name {
			t.Errorf("%s: an error of it has %q", long, got)
		}
	}
}

func TestReason(t *testing.T) {
	foreign, err := status.New(codes.Internal, "").WithDetails(&errdetails.ErrorInfo{Reason: "SELF_TAP", Domain: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	several, err := status.New(codes.Internal, "").WithDetails(&errdetails.ErrorInfo{Reason: "OTHER", Domain: "example.org"},
		&errdetails.LocalizedMessage{}, &errdetails.ErrorInfo{Reason: "MALFORMED", Domain: "pinfold"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"none":                    {nil, ""},
		"no status":               {errors.New("SELF_TAP"), ""},
		"a status without detail": {status.Error(codes.Internal, "SELF_TAP: x"), ""},
		"of another domain":       {foreign.Err(), ""},
		"behind others":           {several.Err(), "MALFORMED"},
		"malformed":               {serve.Malformed("field", errors.New("x")), "MALFORMED"},
	} {
		if got := serve.Reason(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestWearer(t *testing.T) {
	id := fact.WearerID{1, 2, 3}
	if got, err := serve.Wearer("wearer", id.String()); err != nil || got != id {
		t.Errorf("got %v, %v, want %v", got, err, id)
	}
	for _, text := range []string{"", "x", strings.ToUpper(id.String()), id.String() + "a"} {
		_, err := serve.Wearer("friend", text)
		if status.Code(err) != codes.InvalidArgument || serve.Reason(err) != "MALFORMED" || !strings.Contains(err.Error(), "friend: ") {
			t.Errorf("%q: got %v, want MALFORMED and the field's name", text, err)
		}
	}
}

// goals is a core that derives one fact from each TimePassed but that of time 0.
type goals struct{}

func (goals) Name() string          { return "goals" }
func (goals) ActsOn() []fact.Family { return []fact.Family{fact.Clock} }
func (goals) Derives() fact.Family  { return fact.Goal }

func (goals) Step(tx kv.Tx, e fact.Entry) []fact.Fact {
	tx.Put("seen", []byte("last"), []byte(e.Seq.String()))
	if e.Fact.(fact.TimePassed).Time == 0 {
		return nil
	}
	return []fact.Fact{fact.StepGoalReached{Day: 1, Steps: uint32(e.Seq)}}
}

// startFold folds the log by the core until the test ends.
func startFold(t *testing.T, log eventlog.Log) *fold.Runner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := fold.Open(ctx, fold.Config{
		Core: goals{}, Log: log, View: view.NewMemory(), Logger: quietly,
		Backoff: func(int) time.Duration { return time.Millisecond },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the fold ended: %v", err)
		}
	})
	return r
}

func appendTime(t *testing.T, log eventlog.Log, at fact.UnixMilli) fact.Seq {
	t.Helper()
	seq, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimePassed{Time: at}}}})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func noon() fact.UnixMilli { return 1 }

// waits are the two ways in which a call waits for its min_seq.
var waits = map[string]func(ctx context.Context, r *fold.Runner, seq uint64) error{
	"WaitSeq": serve.WaitSeq,
	"Settle": func(ctx context.Context, r *fold.Runner, seq uint64) error {
		_, err := serve.Settle(ctx, r, seq)
		return err
	},
}

// TestWaitReached: what is folded already is not waited for, even by who has no time left; what comes is waited for.
func TestWaitReached(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := eventlog.NewMemory(noon, eventlog.Faults{})
				r := startFold(t, log)
				seq := appendTime(t, log, 0)
				if err := wait(t.Context(), r, uint64(seq)); err != nil {
					t.Fatal(err)
				}
				short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				for _, min := range []uint64{0, uint64(seq)} {
					if err := wait(short, r, min); err != nil {
						t.Errorf("min_seq %d: got %v", min, err)
					}
				}
				long, cancelLong := context.WithTimeout(t.Context(), time.Minute)
				defer cancelLong()
				go func() {
					<-time.After(time.Second)
					appendTime(t, log, 0)
				}()
				began := time.Now()
				if err := wait(long, r, uint64(seq)+1); err != nil || time.Since(began) != time.Second {
					t.Errorf("got %v after %v, want none as soon as it is folded", err, time.Since(began))
				}
			})
		})
	}
}

// TestSettle: what Settle returns is behind all that followed, though the fold had passed the fact itself before.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventlog.NewMemory(noon, eventlog.Faults{})
		r := startFold(t, log)
		first := appendTime(t, log, 0) // nothing follows from it
		cause := appendTime(t, log, 1)
		reached, err := serve.Settle(t.Context(), r, uint64(cause))
		if err != nil || reached < cause+1 {
			t.Errorf("got %d, %v, want a sequence behind the fact that %d led to", reached, err, cause)
		}
		if reached, err = serve.Settle(t.Context(), r, uint64(first)); err != nil || reached < first {
			t.Errorf("got %d, %v, want %d or more", reached, err, first)
		}
	})
}

// TestWaitNotReached: a caller hears SEQ_NOT_REACHED shortly before its deadline, through gRPC too.
func TestWaitNotReached(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lost := func(b eventlog.Batch) eventlog.Fault {
					if b.Records[0].Fact.Family() == fact.Goal {
						return eventlog.Lost
					}
					return eventlog.NoFault
				}
				log := eventlog.NewMemory(noon, eventlog.Faults{Append: lost})
				r := startFold(t, log)
				seq := uint64(appendTime(t, log, 1)) // what follows from it never comes to the log
				const margin = 50 * time.Millisecond
				server := startOn(t, &echo{unary: func(ctx context.Context, _ string) (string, error) {
					return "", wait(ctx, r, seq)
				}}, quietly, bufconn.Listen(1<<16))
				server.Serving(true)
				for way, call := range map[string]func(context.Context) error{
					"here": func(ctx context.Context) error { return wait(ctx, r, seq) },
					"by gRPC": func(ctx context.Context) error {
						_, err := server.call(ctx, "")
						return err
					},
				} {
					for _, deadline := range []time.Duration{time.Second, 10 * time.Second, margin, time.Millisecond} {
						ctx, cancel := context.WithTimeout(t.Context(), deadline)
						began := time.Now()
						err := call(ctx)
						took := time.Since(began)
						cancel()
						if status.Code(err) != codes.Unavailable || serve.Reason(err) != "SEQ_NOT_REACHED" {
							t.Errorf("%s, deadline %v: got %v, want UNAVAILABLE and SEQ_NOT_REACHED", way, deadline, err)
						}
						if want := max(0, deadline-margin); took != want {
							t.Errorf("%s, deadline %v: answered after %v, want %v", way, deadline, took, want)
						}
					}
				}
			})
		})
	}
}

// TestWaitCanceled: a caller that goes away is no SEQ_NOT_REACHED.
func TestWaitCanceled(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			r := startFold(t, eventlog.NewMemory(noon, eventlog.Faults{}))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := wait(ctx, r, 1); status.Code(err) != codes.Canceled || serve.Reason(err) != "" {
				t.Errorf("got %v, want CANCELED", err)
			}
		})
	}
}
