// Package logtest is a NATS server for tests of outages: it can be stopped and started again at the same address, with
// other settings, and with an older copy of what it had stored.
package logtest

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"pinfold/internal/eventlog"
)

// Server is a NATS server with JetStream on a port of loopback. It ends with the test.
type Server struct {
	t      testing.TB
	dir    string
	port   int
	server *server.Server // nil = stopped
}

// startTimeout is how long a server may take to be ready.
const startTimeout = 30 * time.Second

// Start starts a server with settings beside the usual ones.
func Start(t testing.TB, settings ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, dir: filepath.Join(t.TempDir(), "log"), port: -1}
	t.Cleanup(s.Stop)
	s.Start(settings...)
	return s
}

// Start starts the server again, with these settings and no others.
func (s *Server) Start(settings ...func(*server.Options)) {
	s.t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: s.port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: s.dir}
	for _, set := range settings {
		set(options)
	}
	n, err := server.NewServer(options)
	if err != nil {
		s.t.Fatal(err)
	}
	n.Start()
	s.server = n
	if !n.ReadyForConnections(startTimeout) {
		s.t.Fatal("the NATS server does not start")
	}
	s.port = options.Port
}

// Stop stops the server after it has written what it holds.
func (s *Server) Stop() {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.server = nil
	}
}

// Keep returns a copy of what a stopped server has stored.
func (s *Server) Keep() (kept string) {
	s.t.Helper()
	kept = filepath.Join(s.t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	return kept
}

// Restore puts the copy in the place of what a stopped server has stored.
func (s *Server) Restore(kept string) {
	s.t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS(kept)); err != nil {
		s.t.Fatal(err)
	}
}

// URL returns where the server listens.
func (s *Server) URL() string { return s.server.ClientURL() }

// Connect returns a connection as the services have one. It ends with the test.
func (s *Server) Connect() *nats.Conn {
	s.t.Helper()
	nc, err := eventlog.Connect(s.URL(), "test", false, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}
