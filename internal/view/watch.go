package view

import (
	"context"
	"errors"
	"time"
)

// How a file in use is checked: a pass reads so many pages at a time, and then rests so much longer than that took; behind
// a pass is a longer rest. A pass holds one state of the file, so what is written meanwhile makes the file grow.
const (
	passPages = 256
	passRest  = 9 // a tenth of one core
	nextPass  = 10 * time.Minute
)

// Watch checks the file again and again, slowly, and returns once it is known to be damaged, by that or because a
// transaction met the damage. It returns nil when the context ends.
func (b *Bolt) Watch(ctx context.Context) error {
	for b.rest(ctx, nextPass) {
		if err := b.pass(ctx); err != nil {
			return err
		}
	}
	return b.sound()
}

// rest waits, and reports whether there is anything to go on for.
func (b *Bolt) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-b.condemned:
		return false
	case <-timer.C:
		return true
	}
}

// pass walks the last commit, unless it is interrupted.
func (b *Bolt) pass(ctx context.Context) error {
	return b.transact(false, func(r *boltReader) error {
		w := newWalk(b.file, b.pageSize, uint64(r.tx.Size())/b.pageSize)
		pages, begun := 0, time.Now()
		w.rest = func(n int) error {
			if pages += n; pages < passPages {
				return nil
			}
			if !b.rest(ctx, passRest*time.Since(begun)) {
				return errInterrupted
			}
			pages, begun = 0, time.Now()
			return nil
		}
		err := w.root(uint64(r.tx.Cursor().Bucket().Root()))
		if err == nil {
			_, err = w.verdict()
		}
		if err != nil && !errors.Is(err, errInterrupted) {
			return b.condemn(err.Error())
		}
		return nil
	})
}

// errInterrupted ends a pass of which nobody needs the rest.
var errInterrupted = errors.New("interrupted")
