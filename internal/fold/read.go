package fold

import (
	"context"
	"encoding/binary"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// Progress returns how far the replica has come. It may be called at any time.
func (r *Runner) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

// publish makes the position known to Progress and wakes who waits for it.
func (r *Runner) publish() {
	p := Progress{Seq: r.pos.Seq, Settled: r.pos.Seq}
	if len(r.queue) > 0 {
		p.Settled = r.queue[0].Derivation.Cause - 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = p
	close(r.moved)
	r.moved = make(chan struct{})
}

// Wait returns when every fact up to seq is folded, or with the context's error.
func (r *Runner) Wait(ctx context.Context, seq fact.Seq) error {
	_, err := r.waitFor(ctx, func(p Progress) bool { return p.Seq >= seq })
	return err
}

// Settle returns when every fact up to seq is folded and all that was derived from them has come by in the log, with a
// sequence that is behind all of it. Who waits for that sequence at the next service sees what followed from seq.
func (r *Runner) Settle(ctx context.Context, seq fact.Seq) (fact.Seq, error) {
	p, err := r.waitFor(ctx, func(p Progress) bool { return p.Settled >= seq })
	return p.Seq, err
}

func (r *Runner) waitFor(ctx context.Context, reached func(Progress) bool) (Progress, error) {
	for {
		r.mu.Lock()
		p, moved := r.progress, r.moved
		r.mu.Unlock()
		if reached(p) {
			return p, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// Query runs f on one state of the view, with the log sequence that this state reflects: it is the fold of exactly the
// facts up to there.
func (r *Runner) Query(f func(seq fact.Seq, tx view.Reader) error) error {
	// The facts between the committed position and this one, if any, were stepped over and changed nothing. A commit
	// that comes between this line and the next makes the state newer, and then the committed position is the higher.
	seq := r.Progress().Seq
	return r.View.View(func(tx view.Reader) error {
		return f(max(seq, positionOf(tx)), tx)
	})
}

// Snapshot is what a view was at one sequence of one log, in short.
type Snapshot struct {
	Epoch  uint32   // of the log; 0 = nothing was folded
	Seq    fact.Seq // every fact up to it was folded, and no other
	Digest view.Digest
}

// Snapshot reads one committed state of the whole view, which takes a second for some hundred megabytes. The fold goes on
// meanwhile.
func (r *Runner) Snapshot() (s Snapshot, err error) {
	err = r.Query(func(seq fact.Seq, tx view.Reader) error {
		s, err = SnapshotOf(tx, r.Core.Name())
		s.Seq = seq
		return err
	})
	return s, err
}

// SnapshotOf reads the whole view of the core of that name, at rest. It is a *MisfitError if the view is another core's.
func SnapshotOf(r view.Reader, core string) (Snapshot, error) {
	pos, err := loadPosition(r, core)
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Epoch: pos.Epoch, Seq: pos.Seq, Digest: Digest(r)}, nil
}

// positionOf returns the sequence up to which a view at rest was folded; 0 = it is new. The facts behind it that the core
// steps over may have been read without being noted.
func positionOf(r kv.Reader) fact.Seq {
	v := r.Get(bucket, positionKey)
	if v == nil {
		return 0
	}
	return fact.Seq(binary.BigEndian.Uint64(v[4:]))
}

// Digest returns the digest of a core's state: of all buckets of the view but the runner's.
func Digest(r view.Reader) view.Digest { return view.DigestOf(r, bucket) }
