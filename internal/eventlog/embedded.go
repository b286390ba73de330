package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Embedded is a NATS server with JetStream inside this process. It fsyncs every batch before it answers.
type Embedded struct {
	server *server.Server
	lock   *flock.Flock
	logger *slog.Logger
}

// startTimeout is how long an embedded server may take to recover its files and be ready.
const startTimeout = 30 * time.Second

// StartEmbedded starts a server that keeps its streams in dir. With listen empty it has no listener, and is reached
// through Connect only; otherwise it listens on that loopback port, for tests of several processes (-1 = any free one).
func StartEmbedded(dir string, listen int, logger *slog.Logger) (*Embedded, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "pinfold",
		Host:       "127.0.0.1",
		Port:       listen,
		DontListen: listen == 0,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: true,
	})
	if err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	e := &Embedded{server: s, lock: lock, logger: logger.With("component", "nats")}
	s.SetLoggerV2(serverLog{e.logger}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		e.Stop()
		return nil, fmt.Errorf("embedded NATS: not ready within %v", startTimeout)
	}
	if !s.JetStreamEnabled() {
		e.Stop()
		return nil, errors.New("embedded NATS: JetStream did not start")
	}
	return e, nil
}

// lockDir keeps a second server from the folder: the server itself does not, and two would damage the log. The lock ends
// with the process, however it ends.
func lockDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: lock %s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("embedded NATS: %s is in use by another process, mostly a pinfold up or demo: stop it first. "+
			"Only the log of a cluster is read while it runs, with --nats", dir)
	}
	return lock, nil
}

// Connect returns a new connection within the process. It is not pinged: there is no other server to go to, and this one
// answers behind what it writes to the disk, which on a busy machine is later than a frozen one is left.
func (e *Embedded) Connect() (*nats.Conn, error) {
	return nats.Connect("", append(options("pinfold", e.logger), nats.InProcessServer(e.server), nats.PingInterval(0))...)
}

// URL returns where the server listens.
func (e *Embedded) URL() string { return e.server.ClientURL() }

// Stop ends the server after it has written what it holds.
func (e *Embedded) Stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	_ = e.lock.Unlock()
}

// serverLog passes on what an operator should know; the server's notices are about itself only.
type serverLog struct{ logger *slog.Logger }

func (l serverLog) Warnf(format string, v ...any)  { l.logger.Warn(fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any) { l.logger.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any) { l.logger.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Noticef(string, ...any)         {}
func (l serverLog) Debugf(string, ...any)          {}
func (l serverLog) Tracef(string, ...any)          {}
