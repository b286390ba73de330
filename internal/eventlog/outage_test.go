package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
	"pinfold/internal/fact"
)

// until calls f until it returns true, and fails the test when that takes too long.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx := patience(t)
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// back returns once the log answers again.
func back(t *testing.T, log *eventlog.JetStream) {
	t.Helper()
	until(t, "the log answers again", func() bool { _, err := log.Head(t.Context()); return err == nil })
}

// said collects what is logged. It is searched in lower case.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.ToLower(s.text.String()), text)
}

// TestOlderCopy stops the server, puts an older copy of its files back, and starts it again: facts 61 to 120 were read
// and are gone.
func TestOlderCopy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, behind int // facts that are written anew before the reading begins again, and while it does
		want           string
	}{
		"it is shorter":                         {0, 0, "was read up to sequence 120, and ends at 60"},
		"it is still shorter":                   {59, 0, "was read up to sequence 120, and ends at 119"},
		"it has grown anew":                     {60, 0, "sequence 120 holds the fact"},
		"it has grown beyond":                   {100, 0, "sequence 120 holds the fact"},
		"it grows anew while a leader is asked": {10, 60, "sequence 120 holds the fact"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := logtest.Start(t)
			nc := s.Connect()
			log := create(t, nc, games)
			mustAppend(t, log, times(1, 60)...)
			s.Stop()
			kept := s.Keep()
			s.Start()
			back(t, log)
			mustAppend(t, log, times(61, 60)...)
			r := reader(t, log, 1)
			last := readN(t, r, 1, 120)[119].Position(1)
			inside := positionBefore(t, log, 41)

			s.Stop()
			s.Restore(kept)
			s.Start()
			back(t, log)
			if tt.before > 0 {
				mustAppend(t, log, times(1000, tt.before)...)
			}
			if msgs, err := r.Next(patience(t), 10); !errors.Is(err, eventlog.ErrUnreachable) {
				t.Errorf("the reader of before: got %d facts, %v, want ErrUnreachable", len(msgs), err)
			}
			if err := r.Err(); !errors.Is(err, eventlog.ErrUnreachable) {
				t.Errorf("the reader of before: got %v, want ErrUnreachable", err)
			}
			eventlog.ConfirmShorterAfter(log, 10*time.Millisecond)
			if tt.behind > 0 {
				eventlog.ConfirmShorterAfter(log, time.Hour)
			}
			answer := make(chan error, 1)
			go func() {
				for {
					_, err := log.Read(patience(t), last)
					if !errors.Is(err, eventlog.ErrUnreachable) { // what passes is tried again, as by all who read
						answer <- err
						return
					}
				}
			}()
			if tt.behind > 0 {
				mustAppend(t, log, times(2000, tt.behind)...)
			}
			err := <-answer
			if _, ok := errors.AsType[*eventlog.RewrittenError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a RewrittenError with %q", err, tt.want)
			}
			// What had been read no further than the copy goes on.
			again, err := log.Read(patience(t), inside)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			wantRecords(t, readN(t, again, 41, 20), times(41, 20))
		})
	}
}

// TestOutage appends while the server is away: each try fails at once, and none of them is stored later.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := logtest.Start(t)
	nc := s.Connect()
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 3)...)
	r := reader(t, log, 1)
	readN(t, r, 1, 3)
	s.Stop()
	until(t, "the connection is lost", func() bool { return !nc.IsConnected() })
	for range 5 {
		for _, n := range []int{1, 4} {
			if _, err := log.Append(t.Context(), eventlog.Batch{Records: times(100, n)}); !errors.Is(err, eventlog.ErrNotStored) {
				t.Errorf("append %d facts: got %v, want ErrNotStored", n, err)
			}
		}
	}
	if msgs, err := r.Next(patience(t), 1); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("next: got %v, %v, want ErrUnreachable", msgs, err)
	}
	for what, ask := range map[string]func() error{
		"where does it end":          func() error { _, err := log.Head(t.Context()); return err },
		"the last fact of time":      func() error { _, _, err := log.LastOf(t.Context(), fact.Clock); return err },
		"the fact at sequence 2":     func() error { _, _, err := log.At(t.Context(), 2); return err },
		"read from 1":                func() error { _, err := log.Read(t.Context(), eventlog.Position{}); return err },
		"look for the stream":        func() error { _, err := eventlog.Open(t.Context(), nc, games); return err },
		"look for the stream of new": func() error { _, err := eventlog.Create(t.Context(), nc, "new", 1); return err },
	} {
		if err := ask(); !errors.Is(err, eventlog.ErrUnreachable) || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want ErrUnreachable and what was asked: %s", err, what)
		}
	}
	s.Start()
	back(t, log)
	if seq := mustAppend(t, log, times(4, 1)...); seq != 4 {
		t.Errorf("got sequence %d, want 4: a try of the outage was stored", seq)
	}
	wantRecords(t, readN(t, reader(t, log, 1), 1, 4), times(1, 4))
}

// TestSilentServer gives each call a server that takes the connection and answers nothing more.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	s := logtest.Start(t)
	frozen := newProxy(t, s.URL())
	nc, err := eventlog.Connect(frozen.url(), "test", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 3)...)
	r := reader(t, log, 1)
	readN(t, r, 1, 3)
	frozen.freeze()
	var wg sync.WaitGroup
	for what, ask := range map[string]func() error{
		"append": func() error {
			_, err := log.Append(t.Context(), eventlog.Batch{Records: times(4, 2)})
			if errors.Is(err, eventlog.ErrUnanswered) || errors.Is(err, eventlog.ErrNotStored) {
				return nil
			}
			return fmt.Errorf("got %w, want ErrUnanswered or ErrNotStored", err)
		},
		"next":    func() error { _, err := r.Next(patience(t), 1); return unreachable(err) },
		"head":    func() error { _, err := log.Head(t.Context()); return unreachable(err) },
		"last of": func() error { _, _, err := log.LastOf(t.Context(), fact.Clock); return unreachable(err) },
		"at":      func() error { _, _, err := log.At(t.Context(), 1); return unreachable(err) },
		"read":    func() error { _, err := log.Read(t.Context(), eventlog.Position{}); return unreachable(err) },
		"open":    func() error { _, err := eventlog.Open(t.Context(), nc, games); return unreachable(err) },
	} {
		wg.Go(func() {
			if err := ask(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	wg.Wait()
}

func unreachable(err error) error {
	if errors.Is(err, eventlog.ErrUnreachable) {
		return nil
	}
	return fmt.Errorf("got %w, want ErrUnreachable", err)
}

// TestFrozenServer freezes one of two servers: the connection leaves it for the other. The library's own pings would
// notice after minutes.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	first, second := newProxy(t, logtest.Start(t).URL()), newProxy(t, logtest.Start(t).URL())
	nc, err := eventlog.Connect(first.url()+","+second.url(), "test", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, p := range []*proxy{first, second} {
		if nc.ConnectedUrl() == p.url() {
			p.freeze()
		}
	}
	before := nc.ConnectedUrl()
	until(t, "the frozen server is left", func() bool { return nc.IsConnected() && nc.ConnectedUrl() != before })
}

// proxy stands before a server, and can freeze: it keeps all connections, takes new ones, and passes nothing on.
type proxy struct {
	listener net.Listener
	server   string
	frozen   chan struct{}
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: strings.TrimPrefix(url, "nats://"), frozen: make(chan struct{})}
	go p.run()
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) freeze() { close(p.frozen) }

func (p *proxy) run() {
	for {
		here, err := p.listener.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = here.Close()
			continue
		}
		for _, c := range [][2]net.Conn{{here, there}, {there, here}} {
			go func() {
				_, _ = io.Copy(thawed{c[1], p}, c[0])
				_ = c[1].Close()
			}()
		}
	}
}

// thawed is a connection that is written to until the proxy freezes.
type thawed struct {
	net.Conn
	proxy *proxy
}

func (c thawed) Write(b []byte) (int, error) {
	select {
	case <-c.proxy.frozen:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

func login(password string) func(*server.Options) {
	return func(o *server.Options) { o.Username, o.Password = "pinfold", password }
}

// TestRefusedLogin changes the password on the server for a while. The library gives up at the second refusal.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	s := logtest.Start(t, login("right"))
	var log said
	url := strings.Replace(s.URL(), "nats://", "nats://pinfold:right@", 1)
	nc, err := eventlog.Connect(url, "test", true, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l := create(t, nc, games)
	s.Stop()
	s.Start(login("another"))
	// Each refusal counts as a connection that was made: three are more than the library's two.
	until(t, "the login was refused three times", func() bool { return nc.Stats().Reconnects >= 3 })
	until(t, "it is logged", func() bool { return log.holds("authorization violation") })
	if why := eventlog.Disconnected(nc); why == "" {
		t.Error("got no reason, want why there is no connection")
	}
	s.Stop()
	s.Start(login("right"))
	back(t, l)
	mustAppend(t, l, times(1, 1)...)
}

// TestWrongPassword logs in with a wrong one at the start: it is named, and never shown.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := logtest.Start(t, login("right"))
	url := strings.Replace(s.URL(), "nats://", "nats://pinfold:secret@", 1)
	var log said
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if nc, err := eventlog.Connect(url, "test", false, logger); err == nil || !strings.Contains(err.Error(), "Authorization Violation") {
		t.Errorf("without waiting: got %v, %v, want that the login is refused", nc, err)
	}
	nc, err := eventlog.Connect(url, "test", true, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	until(t, "it is logged", func() bool { return log.holds("authorization violation") })
	if _, err := eventlog.Open(t.Context(), nc, games); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	if log.holds("secret") {
		t.Error("the log holds the password")
	}
	// Once the password is right, the same connection is made.
	s.Stop()
	s.Start(login("secret"))
	until(t, "it is connected", nc.IsConnected)
}

func TestUntilClosed(t *testing.T) {
	s := logtest.Start(t)
	nc := s.Connect()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := eventlog.UntilClosed(ctx, nc); err != nil {
		t.Errorf("the context ended first: got %v, want none", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- eventlog.UntilClosed(t.Context(), nc) }()
	nc.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v, want that the connection is closed", err)
	}
	if err := eventlog.UntilClosed(t.Context(), nc); err == nil {
		t.Error("closed before: got no error")
	}
}

// TestRefused has servers that will never take a batch. The error names the limit.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit func(*server.Options)
		batch []fact.Record
		want  []string
		large bool // fewer facts would be taken
	}{
		"max_batch_size": {
			func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 100 },
			times(1, 101),
			[]string{"max_batch_size", "100"},
			true,
		},
		"max_payload, one fact": {
			func(o *server.Options) { o.MaxPayload = 200 },
			[]fact.Record{{Fact: fact.RulesAdopted{Rules: vancouver2030()}}},
			[]string{"max_payload", "200"},
			false,
		},
		"max_payload, the last of many": {
			func(o *server.Options) { o.MaxPayload = 300 },
			append(times(1, 5), fact.Record{Fact: fact.RulesAdopted{Rules: vancouver2030()}}),
			[]string{"max_payload", "300"},
			false,
		},
		"no permission": {
			denied("pinfold.tokyo2020.time"), times(1, 1), []string{"Permissions Violation", "pinfold.tokyo2020.time"}, false,
		},
		"no permission for one of many": {
			denied("pinfold.tokyo2020.goal"), append(times(1, 5), append(goals(1, 2), times(6, 2)...)...),
			[]string{"Permissions Violation", "pinfold.tokyo2020.goal"},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := logtest.Start(t)
			nc := s.Connect()
			log := create(t, nc, games)
			s.Stop()
			s.Start(tt.limit)
			back(t, log)
			seq, err := log.Append(t.Context(), eventlog.Batch{Records: tt.batch})
			if !errors.Is(err, eventlog.ErrRefused) || errors.Is(err, eventlog.ErrBatchTooLarge) != tt.large {
				t.Fatalf("got %d, %v, want ErrRefused, too large: %v", seq, err, tt.large)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to name %s", err, want)
				}
			}
			wantHead(t, log, 0)
			// What the server has said of one batch is not said of another.
			if seq, err := log.Append(t.Context(), eventlog.Batch{Records: medals(1, 1)}); err != nil || seq != 1 {
				t.Errorf("a batch within the limits: got %d, %v, want 1", seq, err)
			}
		})
	}
}

// denied forbids all clients to publish to the subject.
func denied(subject string) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{{Username: "pinfold", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{subject}},
		}}}
		o.NoAuthUser = "pinfold"
	}
}

// TestDeletedConsumer takes the consumer away from a reader that waits.
func TestDeletedConsumer(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 3)...)
	r := reader(t, log, 1)
	readN(t, r, 1, 3)
	next := nextInBackground(patience(t), r)
	js := raw(t, nc)
	stream, err := js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-next; !errors.Is(got.err, eventlog.ErrUnreachable) {
		t.Errorf("got %+v, want ErrUnreachable", got)
	}
}

// TestLeastPermissions: what docs/operations.md says that a service's user needs is enough.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	s := logtest.Start(t)
	create(t, s.Connect(), games)
	s.Stop()
	s.Start(func(o *server.Options) {
		o.Users = []*server.User{{Username: "pinfold", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{
				"$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO." + streamName, "$JS.API.STREAM.MSG.GET." + streamName,
				"$JS.API.CONSUMER.CREATE." + streamName + ".*", "$JS.API.CONSUMER.MSG.NEXT." + streamName + ".*", timeFamily,
			}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}
		o.NoAuthUser = "pinfold"
	})
	nc := s.Connect()
	var log *eventlog.JetStream
	until(t, "the log is opened", func() (opened bool) {
		var err error
		log, err = eventlog.Open(t.Context(), nc, games)
		return err == nil
	})
	mustAppend(t, log, times(1, 5)...)
	wantHead(t, log, 5)
	wantRecords(t, readN(t, reader(t, log, 3), 3, 3), times(3, 3))
	if m, ok, err := log.LastOf(t.Context(), fact.Clock); err != nil || !ok || m.Seq != 5 {
		t.Errorf("last of time: got %+v, %v, %v, want sequence 5", m, ok, err)
	}
	if err := nc.LastError(); err != nil {
		t.Errorf("got %v, want nothing that was forbidden", err)
	}
}
