package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/serve"
)

// The numbers of docs/design.md section 7, "Fresh or behind".
const (
	// healthEvery is how often each replica is asked how it is, and how long it may take to answer.
	healthEvery = time.Second
	// maxMisses is how many questions in a row a replica may leave unanswered before it is left.
	maxMisses = 2
	// behindAfter is how old a position of this gateway's fold is by which a replica below it is behind.
	behindAfter = 5 * time.Second
	// readShare is the part of the time it has left for which a read waits at one replica, while there are others.
	readShare = 3
)

const (
	// leastShare is for how long at least a replica is waited for, and what is kept so that the caller hears what it is told.
	leastShare = 100 * time.Millisecond
	// readTimeout bounds a read whose caller set no deadline.
	readTimeout = 30 * time.Second
	// maxReadPause is the longest pause of a read that no replica could answer before they are asked again.
	maxReadPause = 250 * time.Millisecond
)

// replicas are the replicas of one service, as a connection for reads. A read is asked of one that is not behind, else of
// the furthest that answers, and of another where that one fails, goes, is not at min_seq in its share of the time, or
// takes longer than it: all within the deadline of the call, and harmless, since they are reads.
type replicas struct {
	service string
	list    []*replica
	line    *atomic.Uint64 // a replica that has not folded up to it is behind
	turn    atomic.Uint32  // counts the reads, which go round

	mu sync.Mutex // guards what the replicas said last
}

// replica is one of them. All but address and conn are guarded by replicas.mu.
type replica struct {
	address string
	conn    grpc.ClientConnInterface
	asked   bool // it was, and has answered or not
	misses  int  // questions in a row that it did not answer
	said    serve.Health
	stood   standing        // when that was said, or should have been
	alive   context.Context //nolint:containedctx // it ends when the replica is left, for the reads that wait there
	leave   context.CancelFunc
}

// standing says how good a replica is to ask, the best first.
type standing int

const (
	isFresh standing = iota
	isBehind
	isNotServing // or not asked so far
	isSilent
)

func (s standing) String() string { return [...]string{"fresh", "behind", "not serving", "silent"}[s] }

// standingBy returns how the replica stands by the line, which moves at any time: who compares replicas loads it once. The
// caller holds r.mu.
func (one *replica) standingBy(line uint64) standing {
	switch {
	case one.misses >= maxMisses:
		return isSilent
	case !one.said.Serving:
		return isNotServing
	case uint64(one.said.Seq) < line:
		return isBehind
	}
	return isFresh
}

// add adds a replica that nobody has asked yet.
func (r *replicas) add(address string, conn grpc.ClientConnInterface) {
	one := &replica{address: address, conn: conn, stood: isNotServing}
	one.alive, one.leave = context.WithCancel(context.Background())
	r.list = append(r.list, one)
}

// keepAsking asks a replica how it is, again and again until the context ends.
func (r *replicas) keepAsking(ctx context.Context, one *replica, logger *slog.Logger) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, healthEvery)
		said, err := serve.AskHealth(asking, one.conn)
		cancel()
		if ctx.Err() != nil {
			return
		}
		before, after := r.heard(one, said, err)
		if after != before {
			logger.Info("a replica stands otherwise", "replica", r.service+" at "+one.address, "was", before.String(), "is", after.String(),
				"seq", uint64(said.Seq), "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// heard notes what a replica said when it was asked, or that it did not answer. It returns how the replica stood when it
// was asked before, and how it stands now: one that says the same falls behind while the line goes on.
func (r *replicas) heard(one *replica, said serve.Health, err error) (before, after standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = one.stood
	one.asked = true
	if err != nil {
		one.misses++
	} else {
		one.misses, one.said = 0, said
	}
	after = one.standingBy(r.line.Load())
	one.stood = after
	switch {
	case after == isSilent:
		one.leave()
	case before == isSilent:
		one.alive, one.leave = context.WithCancel(context.Background())
	}
	return before, after
}

// order returns the replicas in the order in which a read is to ask them: the best go round, those that are behind stand by
// how far they are. Those that are left are among them only while no other is there.
func (r *replicas) order() []*replica {
	list, line := slices.Clone(r.list), r.line.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(list, func(a, b *replica) int {
		at := a.standingBy(line)
		if by := cmp.Compare(at, b.standingBy(line)); by != 0 || at != isBehind {
			return by
		}
		return cmp.Compare(b.said.Seq, a.said.Seq)
	})
	// upTo returns how many there are before the first one that stands worse.
	upTo := func(s standing) int {
		if i := slices.IndexFunc(list, func(one *replica) bool { return one.standingBy(line) > s }); i >= 0 {
			return i
		}
		return len(list)
	}
	best := list[0].standingBy(line)
	if n := upTo(best); best != isBehind {
		turn := int(r.turn.Add(1)) % n
		copy(list, slices.Concat(list[turn:n], list[:turn]))
	}
	return list[:upTo(max(best, isNotServing))]
}

// Invoke implements grpc.ClientConnInterface.
func (r *replicas) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readTimeout)
		defer cancel()
	}
	var told error // to the caller, if nobody answers in time
	for pause := retryPause; ; pause = min(2*pause, maxReadPause) {
		for _, one := range r.order() {
			err := r.ask(ctx, one, method, args, reply, opts)
			if !elsewhere(ctx, err) {
				return err
			}
			if serve.Reason(told) == "" {
				told = err
			}
			if left(ctx) < 2*leastShare {
				return r.gaveUp(told)
			}
		}
		if left(ctx) < pause+leastShare {
			return r.gaveUp(told)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return r.gaveUp(told)
		}
	}
}

// ask asks one replica, for its share of the time that the read has left.
func (r *replicas) ask(ctx context.Context, one *replica, method string, args, reply any, opts []grpc.CallOption) error {
	if len(r.list) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(left(ctx)/readShare, leastShare))
		defer cancel()
		r.mu.Lock()
		alive := one.alive
		r.mu.Unlock()
		if alive.Err() == nil {
			defer context.AfterFunc(alive, cancel)()
		}
	}
	return one.conn.Invoke(ctx, method, args, reply, opts...)
}

// elsewhere reports whether a read that ended so may do better at another replica, or later. Where its own time is not
// over, it was its share of it, or the replica was left.
func elsewhere(ctx context.Context, err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return ctx.Err() == nil
	}
	return false
}

// gaveUp returns what the caller of a read is told that no replica could answer in time: what one said, if one did.
func (r *replicas) gaveUp(told error) error {
	if status.Code(told) == codes.Unavailable {
		return told
	}
	return status.Errorf(codes.Unavailable, "no replica of %s answers", r.service)
}

func left(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

// NewStream implements grpc.ClientConnInterface.
func (r *replicas) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s: reads of services are no streams", method)
}

// standings returns how the replicas stand that were asked so far.
func (r *replicas) standings() map[*replica]standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	list, line := map[*replica]standing{}, r.line.Load()
	for _, one := range r.list {
		if one.asked {
			list[one] = one.standingBy(line)
		}
	}
	return list
}

// reasons says which replicas are not to be relied on.
func (r *replicas) reasons() []string {
	var list []string
	for one, at := range r.standings() {
		if at != isFresh {
			list = append(list, fmt.Sprintf("%s at %s is %v", r.service, one.address, at))
		}
	}
	slices.Sort(list)
	return list
}
