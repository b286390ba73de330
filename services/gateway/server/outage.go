package server

import (
	"log/slog"
	"sync"
	"time"
)

// sayAgain is the least time from one warning of an outage to the next.
const sayAgain = 10 * time.Second

// outage tells the process's log of something that fails: when that begins, every sayAgain how often it has failed, and
// when it works again. However fast it fails, and works in between, the log stays readable, and each failure is counted in
// a line.
type outage struct {
	logger *slog.Logger
	what   string // "the log does not take statements"
	over   string // "the log takes statements again"

	mu       sync.Mutex
	failures int // since the log was told that it works
	began    time.Time
	told     bool // that it fails, since then
	said     time.Time
}

// failed notes one failure more.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.failures++; o.failures == 1 {
		o.began = now
	}
	if now.Sub(o.said) >= sayAgain {
		o.told, o.said = true, now
		o.logger.Warn(o.what, "error", err, "failures", o.failures, "for", now.Sub(o.began).Round(time.Second))
	}
}

// works notes that it worked.
func (o *outage) works() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told && (o.failures == 0 || time.Since(o.said) < sayAgain) {
		return // or it is told in the next line
	}
	o.logger.Info(o.over, "failures", o.failures, "after", time.Since(o.began).Round(time.Millisecond))
	o.failures, o.told = 0, false
}
