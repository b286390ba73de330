package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"pinfold/internal/fact"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// twin is a replica without a network. Its reads end as read says.
type twin struct {
	mu     sync.Mutex
	seq    fact.Seq
	state  grpc_health_v1.HealthCheckResponse_ServingStatus
	frozen chan struct{}                   // closed when it thaws; nil = it is not frozen
	mute   bool                            // it answers reads, but does not say how it is
	read   func(ctx context.Context) error // nil = they are answered
	reads  int                             // so far
}

// freeze stops the replica as it is: whatever was asked or is, is answered when it thaws.
func (w *twin) freeze() { w.set(func() { w.frozen = make(chan struct{}) }) }

func (w *twin) thaw() { w.set(func() { close(w.frozen); w.frozen = nil }) }

// Invoke implements grpc.ClientConnInterface.
func (w *twin) Invoke(ctx context.Context, method string, _, reply any, opts ...grpc.CallOption) error {
	asked := method == grpc_health_v1.Health_Check_FullMethodName
	w.mu.Lock()
	if !asked {
		w.reads++
	}
	frozen, read := w.frozen, w.read
	if asked && w.mute {
		frozen = make(chan struct{})
	}
	w.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	switch {
	case !asked && read != nil:
		return read(ctx)
	case asked:
		w.mu.Lock()
		defer w.mu.Unlock()
		reply.(*grpc_health_v1.HealthCheckResponse).Status = w.state
		for _, o := range opts {
			if h, ok := o.(grpc.HeaderCallOption); ok {
				*h.HeaderAddr = metadata.Pairs("pinfold-seq", w.seq.String())
			}
		}
	}
	return nil
}

// NewStream implements grpc.ClientConnInterface.
func (w *twin) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// set changes the replica.
func (w *twin) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// taken returns how many reads the replica was asked since the last call.
func (w *twin) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.reads
	w.reads = 0
	return n
}

// twins returns that many replicas that serve at sequence 100, which are asked how they are while the gateway's fold is
// where folded says. It is to be called in a bubble, and returns once they have answered.
func twins(t *testing.T, n int, folded func() fact.Seq) (*replicas, []*twin) {
	t.Helper()
	s := &services{}
	r := &replicas{service: "tap", line: &s.line}
	s.all = []*replicas{r}
	list := make([]*twin, n)
	for i := range list {
		list[i] = &twin{seq: 100, state: grpc_health_v1.HealthCheckResponse_SERVING}
		r.add(fmt.Sprintf("twin %d", i), list[i])
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, folded, quiet) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return r, list
}

// still is where the fold of a gateway stands for which nothing happens.
func still() fact.Seq { return 100 }

// readOnce makes a read that has so much time, and returns how long it took.
func readOnce(r *replicas, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	begin := time.Now()
	err := r.Invoke(ctx, tapv1.TapService_ListFriends_FullMethodName, nil, nil)
	return time.Since(begin), err
}

func takenBy(list []*twin) []int {
	n := make([]int, len(list))
	for i, w := range list {
		n[i] = w.taken()
	}
	return n
}

// wantReads makes reads and checks that all are answered at once, and by whom.
func wantReads(t *testing.T, r *replicas, list []*twin, reads int, want ...int) {
	t.Helper()
	takenBy(list)
	for range reads {
		if took, err := readOnce(r, 10*time.Second); err != nil || took > 0 {
			t.Errorf("a read: %v after %v, want an answer at once", err, took)
		}
	}
	if got := takenBy(list); !slices.Equal(got, want) {
		t.Errorf("the replicas were asked %v reads, want %v", got, want)
	}
}

// TestReadsGoRound: replicas that are fresh are read in turn.
func TestReadsGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 3, still)
		wantReads(t, r, list, 9, 3, 3, 3)
		if got := r.reasons(); len(got) > 0 {
			t.Errorf("got %q, want nothing against them", got)
		}
	})
}

// TestFrozenReplica freezes one of two, as a stopped process is: its connection stays. Every read is answered, none waits
// there for more than a third of its time, nor for longer than the 3 s after which the replica is left.
func TestFrozenReplica(t *testing.T) {
	for _, within := range []time.Duration{300 * time.Millisecond, 3 * time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r, list := twins(t, 2, still)
			pass(healthEvery / 2) // it freezes between two questions
			list[1].freeze()
			begin := time.Now()
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					if took, err := readOnce(r, within); err != nil || took > within/3 || took > 3*time.Second {
						t.Errorf("a read with %v: %v after %v", within, err, took)
					}
				})
			}
			readers.Wait()
			pass(3*time.Second - time.Since(begin))
			wantReads(t, r, list, 4, 4, 0)
			if got, want := r.reasons(), []string{"tap at twin 1 is silent"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			list[0].set(func() { list[0].read = failOnce() })
			if took, err := readOnce(r, within); err != nil || took > retryPause {
				t.Errorf("where the other failed once: got %v after %v", err, took)
			}
			list[1].thaw()
			pass(2 * healthEvery)
			wantReads(t, r, list, 4, 2, 2)
		})
	}
}

// failOnce fails the first read.
func failOnce() func(context.Context) error {
	var failed atomic.Bool
	return func(context.Context) error {
		if failed.Swap(true) {
			return nil
		}
		return status.Error(codes.Unavailable, "going down")
	}
}

// TestFrozenMisses: one question that was not answered in time does not yet end a replica.
func TestFrozenMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		pass(healthEvery / 2)
		list[1].freeze()
		pass(2 * healthEvery) // of two questions one was not answered in time, and the other waits
		if got := r.reasons(); len(got) > 0 {
			t.Errorf("got %q, want nothing against them yet", got)
		}
		list[1].thaw()
		pass(healthEvery)
		wantReads(t, r, list, 4, 2, 2)
	})
}

// TestAllFrozen: the caller is told before its time is over, and one that waits is answered once they are there again.
func TestAllFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		for _, w := range list {
			w.freeze()
		}
		for range 2 { // before and after they are left
			for within := 5 * time.Second; within > 2*leastShare; within -= 97 * time.Millisecond {
				took, err := readOnce(r, within)
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no replica of tap answers") || took >= within {
					t.Errorf("got %v after %v, want that no replica answers, before %v", err, took, within)
				}
			}
		}
		time.AfterFunc(time.Second, func() {
			for _, w := range list {
				w.thaw()
			}
		})
		if took, err := readOnce(r, 30*time.Second); err != nil || took > time.Second {
			t.Errorf("got %v after %v, want an answer after a second", err, took)
		}
	})
}

// TestAllMute: replicas that are too slow to say how they are, are read nevertheless.
func TestAllMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		for _, w := range list {
			w.set(func() { w.mute = true })
		}
		pass(4 * time.Second)
		if got := r.reasons(); len(got) != 2 {
			t.Errorf("got %q, want both to be silent", got)
		}
		wantReads(t, r, list, 4, 2, 2)
	})
}

// TestBehind: replicas that are below what the gateway had folded 5 s ago are read only while there are no others, the
// furthest first.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		folded := fact.Seq(100)
		r, list := twins(t, 3, func() fact.Seq { mu.Lock(); defer mu.Unlock(); return folded })
		stand := func(seqs ...fact.Seq) {
			for i, seq := range seqs {
				list[i].set(func() { list[i].seq = seq })
			}
			pass(healthEvery)
		}
		mu.Lock()
		folded = 6600
		mu.Unlock()
		stand(100, 6600, 300)
		pass(4 * time.Second)
		wantReads(t, r, list, 6, 2, 2, 2) // the gateway itself was not there 5 s ago
		pass(time.Second)
		wantReads(t, r, list, 6, 0, 6, 0)
		if got, want := r.reasons(), []string{"tap at twin 0 is behind", "tap at twin 2 is behind"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		list[1].set(func() { list[1].read = failOnce() })
		wantReads(t, r, list, 1, 0, 1, 1) // the furthest is better than none
		stand(6599, 6600, 6600)
		wantReads(t, r, list, 6, 0, 3, 3)
		stand(100, 200, 300)
		wantReads(t, r, list, 6, 0, 0, 6) // reads go on when all are behind
		list[2].freeze()
		pass(3 * time.Second)
		wantReads(t, r, list, 6, 0, 6, 0)
	})
}

// TestFallsBehind: of a replica whose fold has stopped it is told that it fell behind, though it says the same as before.
func TestFallsBehind(t *testing.T) {
	var line atomic.Uint64
	r := &replicas{service: "tap", line: &line}
	r.add("stopped", &twin{})
	for _, step := range []struct {
		line          uint64
		err           error
		before, after standing
	}{
		{90, nil, isNotServing, isFresh},
		{100, nil, isFresh, isFresh},
		{101, nil, isFresh, isBehind},
		{102, nil, isBehind, isBehind},
		{103, context.DeadlineExceeded, isBehind, isBehind},
		{104, context.DeadlineExceeded, isBehind, isSilent},
		{105, context.DeadlineExceeded, isSilent, isSilent},
		{106, nil, isSilent, isBehind},
	} {
		line.Store(step.line)
		before, after := r.heard(r.list[0], serve.Health{Serving: true, Seq: 100}, step.err)
		if before != step.before || after != step.after {
			t.Errorf("the line at %d: got from %v to %v, want from %v to %v", step.line, before, after, step.before, step.after)
		}
	}
}

// TestLineMoves: each read goes by one line, though it moves meanwhile: no replica is taken for fresh first and for behind
// then.
func TestLineMoves(t *testing.T) {
	var line atomic.Uint64
	r := &replicas{service: "tap", line: &line}
	for range 2 {
		r.add("one", &twin{})
	}
	for _, one := range r.list {
		r.heard(one, serve.Health{Serving: true, Seq: 100}, nil)
	}
	var moving sync.WaitGroup
	var over atomic.Bool
	moving.Go(func() {
		for i := uint64(0); !over.Load(); i++ {
			line.Store(100 + i%2)
		}
	})
	for range 200_000 {
		if got := r.order(); len(got) != 2 {
			t.Fatalf("a read asks %d of two replicas", len(got))
		}
	}
	over.Store(true)
	moving.Wait()
}

// TestNotServing: a replica that starts is passed over, also before it was asked how it is.
func TestNotServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		list[0].set(func() { list[0].state = grpc_health_v1.HealthCheckResponse_NOT_SERVING })
		pass(healthEvery)
		wantReads(t, r, list, 4, 0, 4)
		list[0].set(func() { list[0].state = grpc_health_v1.HealthCheckResponse_SERVING })
		pass(healthEvery)
		starting := func(context.Context) error { return status.Error(codes.Unavailable, "starting") }
		list[1].set(func() { list[1].read = starting })
		wantReads(t, r, list, 4, 4, 2)
	})
}

// notReached waits for as long as the service has, as serve.WaitFor does.
func notReached(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	<-time.After(time.Until(deadline) - 50*time.Millisecond)
	return serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED, "min_seq 7: this service has folded up to 5")
}

// TestNotReachedElsewhere: a replica that is not at min_seq is left for another after its share of the time. Where none
// gets there, the caller is told so in time.
func TestNotReachedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		list[0].set(func() { list[0].read = notReached })
		const within = 3 * time.Second
		for range 4 {
			if took, err := readOnce(r, within); err != nil || took > within/3 {
				t.Errorf("got %v after %v, want an answer after a third of %v", err, took, within)
			}
		}
		list[1].set(func() { list[1].read = notReached })
		took, err := readOnce(r, within)
		wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
		if took >= within || took < within-2*leastShare {
			t.Errorf("the caller was told after %v of %v", took, within)
		}
		// One that is away does not hide what the other says.
		list[0].set(func() {
			list[0].read = func(context.Context) error { return status.Error(codes.Unavailable, "connection refused") }
		})
		_, err = readOnce(r, within)
		wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
	})
}

// TestOneReplica: the only one there is gets all the time, and is waited for while it starts.
func TestOneReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 1, still)
		list[0].set(func() { list[0].read = notReached })
		_, err := readOnce(r, 3*time.Second)
		wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
		if got := list[0].taken(); got != 1 {
			t.Errorf("asked %d times, want once", got)
		}
		begin := time.Now()
		list[0].set(func() {
			list[0].read = func(context.Context) error {
				if time.Since(begin) < 8*time.Second {
					return status.Error(codes.Unavailable, "starting")
				}
				return nil
			}
		})
		for within := 500 * time.Millisecond; within < time.Second; within += 23 * time.Millisecond {
			if took, err := readOnce(r, within); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "starting") || took >= within {
				t.Errorf("got %v after %v, want that it starts, before %v", err, took, within)
			}
			begin = time.Now()
		}
		if took, err := readOnce(r, 30*time.Second); err != nil || took < 8*time.Second || took > 8*time.Second+maxReadPause {
			t.Errorf("got %v after %v, want an answer once it has started", err, took)
		}
	})
}

// TestReadEnds: what another replica would answer too is told at once, and who goes is not waited for.
func TestReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, list := twins(t, 2, still)
		for _, w := range list {
			w.set(func() { w.read = func(context.Context) error { return status.Error(codes.NotFound, "none") } })
		}
		takenBy(list)
		if took, err := readOnce(r, time.Minute); status.Code(err) != codes.NotFound || took > 0 {
			t.Errorf("got %v after %v", err, took)
		}
		if got := takenBy(list); got[0]+got[1] != 1 {
			t.Errorf("the replicas were asked %v reads, want one", got)
		}
		for _, w := range list {
			w.freeze()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		err := r.Invoke(ctx, tapv1.TapService_ListFriends_FullMethodName, nil, nil)
		if status.Code(err) != codes.Canceled || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want that it was canceled", err, time.Since(begin))
		}
		if _, err := r.NewStream(t.Context(), nil, "/a/B"); status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v for a stream, want none", err)
		}
	})
}
