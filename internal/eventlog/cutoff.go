package eventlog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// probeInterval is how often a connection has the cluster asked through it.
	probeInterval = time.Second
	// patience is how long the cluster may be silent through a server before the connection tries another one.
	patience = callTimeout
)

// deserter leaves a server that answers pings, and nothing for which it needs the others: it is cut off from them. Where
// no server could answer, as during an election, it goes around, which costs readers that they begin again.
type deserter struct {
	nc *nats.Conn

	mu         sync.Mutex
	since      time.Time // the cluster has been silent; zero = it has not
	reconnects uint64    // of the connection, then
}

// note says whether a call that began then was answered by the cluster. It reports whether the server is being left.
func (d *deserter) note(began time.Time, answered bool) (left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if answered {
		d.since = time.Time{}
		return false
	}
	switch reconnects := d.nc.Stats().Reconnects; {
	case d.since.IsZero():
		d.since, d.reconnects = began, reconnects
	case d.reconnects != reconnects: // it is another server's turn
		d.since, d.reconnects = time.Now(), reconnects
	}
	if time.Since(d.since) < patience || !d.nc.IsConnected() || len(d.nc.Servers()) < 2 {
		return false
	}
	d.since = time.Now()
	return d.nc.ForceReconnect() == nil
}

// silent reports whether the error of a batch says that nobody answered.
func silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}

// LeaveCutOff asks the cluster something every second, through the server to which the connection is made, and leaves the
// server when no answer comes. A service that only reads would not notice otherwise: a server that is cut off goes on
// saying that there is nothing new. It goes by the leader of JetStream, which may take ten seconds to know that it leads
// nobody. Where the cluster has never answered, perhaps because it may not be asked, nothing is left.
func LeaveCutOff(ctx context.Context, nc *nats.Conn, logger *slog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	d := &deserter{nc: nc}
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for asked := false; ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		began := time.Now()
		asking, cancel := context.WithTimeout(ctx, probeInterval)
		_, err := js.AccountInfo(asking)
		cancel()
		asked = asked || err == nil
		if server := nc.ConnectedServerName(); asked && ctx.Err() == nil && d.note(began, err == nil) {
			logger.Warn("the NATS server is cut off from the others, trying another one", "server", server, "error", err)
		}
	}
}
