package serve

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pinfold/internal/fact"
)

// rebuild is how far a service has come that folds what was in the log when it started.
type rebuild struct {
	mu         sync.Mutex
	began      time.Time
	from, last fact.Seq
}

// sayProgress is how often the log of the process says how far a rebuild has come.
const sayProgress = 5 * time.Second

// begin says what there is to fold: the facts behind from, up to last.
func (r *rebuild) begin(from, last fact.Seq) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began, r.from, r.last = time.Now(), from, last
}

// progress returns how many of how many facts are folded where the service stands at that sequence, and at what pace,
// facts a second. It is false before the rebuild has begun.
func (r *rebuild) progress(at fact.Seq) (p progress, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() || r.last <= r.from {
		return progress{}, false
	}
	at = min(max(at, r.from), r.last)
	p = progress{at: at, last: r.last, pace: float64(at-r.from) / max(time.Since(r.began), time.Millisecond).Seconds()}
	if p.pace > 0 {
		p.left = time.Duration(float64(r.last-at) / p.pace * float64(time.Second)).Round(time.Second)
	}
	return p, true
}

// progress is where a rebuild stands.
type progress struct {
	at, last fact.Seq
	pace     float64       // facts a second
	left     time.Duration // at that pace; 0 = not known
}

// String implements fmt.Stringer.
func (p progress) String() string {
	text := fmt.Sprintf("%d of %d facts are folded", p.at, p.last)
	if p.left > 0 {
		text += fmt.Sprintf(", %.0f a second, some %v more", p.pace, p.left)
	}
	return text
}

// follow says how far it has come, until the context ends.
func (r *rebuild) follow(ctx context.Context, logger *slog.Logger, at func() fact.Seq) {
	ticker := time.NewTicker(sayProgress)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if p, ok := r.progress(at()); ok && p.at < p.last {
				logger.Info("folding the log", "seq", uint64(p.at), "of", uint64(p.last), "facts_per_second", int(p.pace), "left", p.left)
			}
		case <-ctx.Done():
			return
		}
	}
}
