package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// How a connection is kept (docs/design.md section 12, "Awake"). A server that is frozen is left when two pings went unanswered:
// at most 2.4 s after it froze, and so within the 3 s that a reconnection is to take.
const (
	pingInterval  = 800 * time.Millisecond
	missedPings   = 2
	dialTimeout   = 2 * time.Second
	reconnectWait = 200 * time.Millisecond // once every server of the list has been tried
	// sayAgain is how long a trouble that goes on is not said again.
	sayAgain = 10 * time.Second
)

// Connect connects to the NATS servers at the URLs, which are separated by commas. With wait, it returns before there is
// a connection if none of them can be reached, or refuses the login, and goes on trying; what is wrong is logged. The
// error never holds the URLs, in which a password may be.
//
// A connection that was lost is made again for as long as it takes, also where a login is refused. Nothing is sent behind
// the caller's back: what is published while there is no connection fails. See UntilClosed for the rest.
func Connect(urls, name string, wait bool, logger *slog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect(urls, append(options(name, logger), nats.RetryOnFailedConnect(wait))...)
	if bad, ok := errors.AsType[*url.Error](err); ok {
		err = bad.Err
	}
	return nc, err
}

func options(name string, logger *slog.Logger) []nats.Option {
	t := &trouble{logger: logger}
	return []nats.Option{
		nats.Name(name),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(missedPings), nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait),
		// The library gives up at the second login that a server refuses in the same words.
		nats.IgnoreAuthErrorAbort(),
		// The library keeps what is published during an outage, and sends it later: a try that was given up would be stored.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else it was closed here
				t.say("NATS disconnected", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !errors.Is(err, nats.ErrNoServers) { // the next try, which comes at once, says which and why
				t.say("NATS is not reached, trying again", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.say("NATS refuses", err) }),
		nats.ConnectHandler(func(nc *nats.Conn) { t.over("NATS connected", nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { t.over("NATS connected again", nc) }),
	}
}

// trouble logs what is wrong with a connection, the same once in a while only.
type trouble struct {
	logger *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // when each was said; emptied when the trouble is over
}

func (t *trouble) say(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := what + err.Error()
	if at, ok := t.said[key]; ok && time.Since(at) < sayAgain {
		return
	}
	if t.said == nil {
		t.said = map[string]time.Time{}
	}
	t.said[key] = time.Now()
	t.logger.Warn(what, "error", err)
}

func (t *trouble) over(what string, nc *nats.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = nil
	t.logger.Info(what, "server", nc.ConnectedServerName(), "url", nc.ConnectedUrlRedacted())
}

// UntilClosed returns nil when the context ends, and an error when the connection is closed before: it is never made again.
func UntilClosed(ctx context.Context, nc *nats.Conn) error {
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	if !nc.IsClosed() {
		select {
		case <-closed:
		case <-ctx.Done():
			return nil
		}
	}
	if err := nc.LastError(); err != nil {
		return fmt.Errorf("NATS: the connection was closed for good: %w", err)
	}
	return errors.New("NATS: the connection was closed")
}

// Disconnected says why there is no connection now; "" = there is one.
func Disconnected(nc *nats.Conn) string {
	status := nc.Status()
	if status == nats.CONNECTED {
		return ""
	}
	if err := nc.LastError(); err != nil {
		return fmt.Sprintf("the connection is %v: %v", status, err)
	}
	return fmt.Sprintf("the connection is %v", status)
}
