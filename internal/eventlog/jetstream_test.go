package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/rules"
)

// The names on the wire, as docs/design.md section 6 fixes them, written out: what is deployed beside the services, such as
// permissions, rests on them too.
const (
	games      = "tokyo2020"
	streamName = "PINFOLD_tokyo2020_1"
	timeFamily = "pinfold.tokyo2020.time"
)

func raw(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func publish(t *testing.T, nc *nats.Conn, subject string, header nats.Header, data []byte) {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = data
	if header != nil {
		m.Header = header
	}
	if _, err := raw(t, nc).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func encodedRecord(t testing.TB, r fact.Record) []byte {
	t.Helper()
	b, err := eventlog.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenWithoutStream(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	if log, err := eventlog.Open(t.Context(), nc, games); !errors.Is(err, eventlog.ErrNoLog) {
		t.Errorf("got %v, %v, want ErrNoLog", log, err)
	}
	// The log of other Games is not this one's, also where one name begins with the other.
	create(t, nc, "tokyo20200")
	create(t, nc, "tokyo202")
	if log, err := eventlog.Open(t.Context(), nc, games); !errors.Is(err, eventlog.ErrNoLog) {
		t.Errorf("beside other Games: got %v, %v, want ErrNoLog", log, err)
	}
	for _, open := range []func() (*eventlog.JetStream, error){
		func() (*eventlog.JetStream, error) { return eventlog.Open(t.Context(), nc, "Tokyo.2020") },
		func() (*eventlog.JetStream, error) { return eventlog.Create(t.Context(), nc, "*", 1) },
	} {
		if log, err := open(); err == nil || errors.Is(err, eventlog.ErrNoLog) {
			t.Errorf("got %v, %v, want an error about the name", log, err)
		}
	}
}

func TestCreateTwice(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	const gateways = 4
	logs := make([]*eventlog.JetStream, gateways)
	var wg sync.WaitGroup
	for i := range logs {
		wg.Go(func() {
			var err error
			if logs[i], err = eventlog.Create(t.Context(), nc, games, 1); err != nil {
				t.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, log := range logs {
		if got, want := mustAppend(t, log, times(i, 1)...), fact.Seq(i+1); got != want {
			t.Errorf("got sequence %d, want %d", got, want)
		}
	}
	opened, err := eventlog.Open(t.Context(), nc, games)
	if err != nil {
		t.Fatal(err)
	}
	wantHead(t, opened, gateways)
}

// TestReopen stops the server and starts another one on the same files.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	server, err := eventlog.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	nc := connect(t, server)
	log := create(t, nc, games)
	mustAppend(t, log, append(times(1, 3), goals(1, 5)...)...)
	nc.Close()
	server.Stop()

	_, nc = startEmbedded(t, dir)
	log, err = eventlog.Open(t.Context(), nc, games)
	if err != nil {
		t.Fatal(err)
	}
	wantHead(t, log, 8)
	if m, ok, err := log.LastOf(t.Context(), fact.Clock); err != nil || !ok || m.Seq != 3 {
		t.Errorf("last of time: got %+v, %v, %v, want sequence 3", m, ok, err)
	}
	seq, err := log.Append(t.Context(), eventlog.Batch{Records: times(4, 1), Fences: map[fact.Family]fact.Seq{fact.Clock: 3}})
	if err != nil || seq != 9 {
		t.Errorf("append: got %d, %v, want 9", seq, err)
	}
	wantRecords(t, readN(t, reader(t, log, 1), 1, 9), append(append(times(1, 3), goals(1, 5)...), times(4, 1)...))
}

// TestEmbeddedLeavesNothing checks that a server that has stopped has no goroutine left.
func TestEmbeddedLeavesNothing(t *testing.T) {
	had := goleak.IgnoreCurrent()
	server, err := eventlog.StartEmbedded(t.TempDir(), 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 3)...)
	r, err := log.Read(t.Context(), eventlog.Position{})
	if err != nil {
		t.Fatal(err)
	}
	readN(t, r, 1, 3)
	r.Close()
	nc.Close()
	server.Stop()
	goleak.VerifyNone(t, had)
}

// TestEmbeddedSyncs checks that the server writes a batch through to the disk before it answers: acknowledged means
// durable, docs/design.md section 2.
func TestEmbeddedSyncs(t *testing.T) {
	server, _ := startEmbedded(t, t.TempDir())
	if !eventlog.SyncsAlways(server) {
		t.Error("got a server that answers before the disk has it")
	}
}

// TestStreamConfig checks the promises of the stream: what is stored stays, and a batch is atomic.
func TestStreamConfig(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	mustAppend(t, create(t, nc, games), times(1, 3)...)
	js := raw(t, nc)
	stream, err := js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	type promises struct {
		Subjects                                                []string
		Storage                                                 jetstream.StorageType
		Retention                                               jetstream.RetentionPolicy
		Discard                                                 jetstream.DiscardPolicy
		DenyDelete, DenyPurge, Atomic, Sealed, Rollup, NoAck    bool
		MaxMsgs, MaxMsgsPerSubject, MaxBytes                    int64
		MaxAge                                                  time.Duration
		Compression                                             jetstream.StoreCompression
		AllowDirect, MirrorDirect, AllowMsgTTL, AllowMsgCounter bool
		Replicas                                                int
	}
	got := promises{
		c.Subjects, c.Storage, c.Retention, c.Discard, c.DenyDelete, c.DenyPurge, c.AllowAtomicPublish, c.Sealed,
		c.AllowRollup, c.NoAck, c.MaxMsgs, c.MaxMsgsPerSubject, c.MaxBytes, c.MaxAge, c.Compression, c.AllowDirect,
		c.MirrorDirect, c.AllowMsgTTL, c.AllowMsgCounter, c.Replicas,
	}
	want := promises{
		Subjects: []string{"pinfold.tokyo2020.*"}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, Atomic: true, MaxMsgs: -1, MaxMsgsPerSubject: -1,
		MaxBytes: -1, Replicas: 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	if err := stream.DeleteMsg(t.Context(), 2); err == nil {
		t.Error("delete a message: got no error")
	}
	if err := stream.SecureDeleteMsg(t.Context(), 2); err == nil {
		t.Error("delete a message securely: got no error")
	}
	if err := stream.Purge(t.Context()); err == nil {
		t.Error("purge: got no error")
	}
	for _, allow := range []func(c *jetstream.StreamConfig){
		func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		func(c *jetstream.StreamConfig) { c.DenyPurge = false },
	} {
		c := stream.CachedInfo().Config
		allow(&c)
		if _, err := js.UpdateStream(t.Context(), c); err == nil {
			t.Errorf("update to DenyDelete %v, DenyPurge %v: got no error", c.DenyDelete, c.DenyPurge)
		}
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 3 || info.State.FirstSeq != 1 || info.State.NumDeleted != 0 {
		t.Errorf("got %+v, %v, want 3 messages from 1 on, none deleted", info.State, err)
	}
}

// restoreStream makes the stream of epoch 2, as a restore does, and opens it. An empty kept says nothing of it.
func restoreStream(t *testing.T, nc *nats.Conn, games, kept string) (*eventlog.JetStream, error) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := jetstream.StreamConfig{
		Name: "PINFOLD_" + games + "_2", Subjects: []string{"pinfold." + games + ".*"},
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true,
	}
	if kept != "" {
		c.Metadata = map[string]string{"pinfold-kept": kept}
	}
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return eventlog.Open(t.Context(), nc, games)
}

// TestKeptIsChecked opens restored streams that say of themselves what cannot be.
func TestKeptIsChecked(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	for i, kept := range []string{"0", "-1", "two", "18446744073709551616"} {
		if _, err := restoreStream(t, nc, fmt.Sprintf("kept-%d", i), kept); err == nil || !strings.Contains(err.Error(), "pinfold-kept") {
			t.Errorf("kept %q: got %v, want an error that names it", kept, err)
		}
	}
	log, err := restoreStream(t, nc, "none", "")
	if err != nil {
		t.Fatal(err)
	}
	if head, err := log.Head(t.Context()); err != nil || head != (eventlog.Head{Epoch: 2}) {
		t.Errorf("without it: got %+v, %v, want epoch 2, nothing kept", head, err)
	}
}

// TestFirstVersion opens logs without a format, as the first version made them, and of a later version.
func TestFirstVersion(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	opens, closes := rules.Tokyo2020(), rules.Tokyo2020()
	opens.Opens, closes.Closes = 1, 1
	for name, tt := range map[string]struct {
		metadata map[string]string
		rules    *fact.Rules
		want     string
	}{
		"empty":  {nil, nil, ""},
		"always": {nil, new(rules.Tokyo2020()), ""},
		"opens":  {nil, &opens, "the first version of Pinfold made it"},
		"closes": {nil, &closes, "the first version of Pinfold made it"},
		"ours":   {map[string]string{"pinfold-format": "2"}, &opens, ""},
		"later":  {map[string]string{"pinfold-format": "3"}, nil, "this version knows format 2"},
	} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "PINFOLD_" + name + "_1", Subjects: []string{"pinfold." + name + ".*"}, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true, Metadata: tt.metadata,
		}); err != nil {
			t.Fatal(err)
		}
		if tt.rules != nil {
			payload := encodedRecord(t, fact.Record{Fact: fact.RulesAdopted{Rules: *tt.rules}})
			if _, err := js.Publish(t.Context(), "pinfold."+name+".roster", payload); err != nil {
				t.Fatal(err)
			}
		}
		_, err := eventlog.Open(t.Context(), nc, name)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "PINFOLD_"+name+"_1")) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// TestStoredHeader reads messages as a restore writes them, with the time at which each was stored first. The header
// counts up to the last that the restore kept, and nowhere else: not behind it, and not in a log that was never restored.
func TestStoredHeader(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	payload := encodedRecord(t, times(1, 1)[0])
	long := nats.Header{"Pinfold-Stored": {"1626998400123"}}
	restoredLog, err := restoreStream(t, nc, games, "2")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []nats.Header{long, nil, long} {
		publish(t, nc, timeFamily, h, payload)
	}
	if head, err := restoredLog.Head(t.Context()); err != nil || head != (eventlog.Head{Epoch: 2, Last: 3, Kept: 2}) {
		t.Errorf("got %+v, %v, want epoch 2, 2 facts of 3 kept", head, err)
	}
	msgs := readN(t, reader(t, restoredLog, 1), 1, 3)
	wantStoredNow(t, "behind what was kept", msgs[2].Stored)
	if m, ok, err := restoredLog.At(t.Context(), 3); err != nil || !ok || m.Stored != msgs[2].Stored {
		t.Errorf("at 3: got %+v, %v, %v, want it stored at %v", m, ok, err, msgs[2].Stored)
	}
	if m, ok, err := restoredLog.At(t.Context(), 1); err != nil || !ok || m.Stored != msgs[0].Stored {
		t.Errorf("at 1: got %+v, %v, %v, want it stored at %v", m, ok, err, msgs[0].Stored)
	}

	log := create(t, nc, "first")
	publish(t, nc, "pinfold.first.time", long, payload)
	wantStoredNow(t, "in a log of the first epoch", readN(t, reader(t, log, 1), 1, 1)[0].Stored)

	if got, want := msgs[0].Stored, fact.UnixMilli(1_626_998_400_123); got != want {
		t.Errorf("with the header: got stored at %v, want %v", got, want)
	}
	e, err := msgs[0].Decode()
	if err != nil || e.Stored != msgs[0].Stored {
		t.Errorf("got %+v, %v, want it stored at %v", e, err, msgs[0].Stored)
	}
	wantStoredNow(t, "without it", msgs[1].Stored)
	if m, ok, err := restoredLog.LastOf(t.Context(), fact.Clock); err != nil || !ok || m.Stored != msgs[2].Stored {
		t.Errorf("last of time: got %+v, %v, %v, want it stored at %v", m, ok, err, msgs[2].Stored)
	}
}

func wantStoredNow(t *testing.T, where string, got fact.UnixMilli) {
	t.Helper()
	if got < now().Add(-time.Minute) || got > now() {
		t.Errorf("%s: got stored at %v, want the present", where, got)
	}
}

// TestUnreadable puts messages into the stream that no build understands. A reader hands out what stands before, and
// then an error by which a fold stops and says where.
func TestUnreadable(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	payload := encodedRecord(t, times(1, 1)[0])
	for _, tt := range []struct {
		name    string
		subject string
		header  nats.Header
		want    []string // in the error
		last    bool     // LastOf meets it too
	}{
		{"unknown family", "bogus", nil, []string{"sequence 3", `"pinfold.`, `.bogus"`}, false},
		{"upper case", "Time", nil, []string{"sequence 3", `.Time"`}, false},
		{"time that is no number", "time", nats.Header{"Pinfold-Stored": {"yesterday"}}, []string{"sequence 3", "time", "Pinfold-Stored", "yesterday"}, true},
		{"time beyond 64 bits", "time", nats.Header{"Pinfold-Stored": {"9223372036854775808"}}, []string{"sequence 3"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			games := "g" + strings.ToLower(strings.ReplaceAll(tt.name, " ", "-"))
			log, err := restoreStream(t, nc, games, "3")
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, log, times(1, 2)...)
			publish(t, nc, "pinfold."+games+"."+tt.subject, tt.header, payload)
			mustAppend(t, log, goals(1, 2)...)
			r := reader(t, log, 1)
			wantRecords(t, readN(t, r, 1, 2), times(1, 2))
			for range 2 { // the error stays
				msgs, err := r.Next(patience(t), 10)
				wantDecodeError(t, msgs, err, 3, tt.want)
			}
			if m, ok, err := log.LastOf(t.Context(), fact.Clock); tt.last {
				wantDecodeError(t, nil, err, 3, tt.want)
			} else if err != nil || !ok || m.Seq != 2 {
				t.Errorf("last of time: got %+v, %v, %v, want sequence 2", m, ok, err)
			}
		})
	}
}

func wantDecodeError(t *testing.T, msgs []eventlog.Message, err error, seq fact.Seq, parts []string) {
	t.Helper()
	unreadable, ok := errors.AsType[*eventlog.DecodeError](err)
	if !ok || unreadable.Seq != seq || len(msgs) > 0 {
		t.Fatalf("got %+v, %v, want a DecodeError of sequence %d", msgs, err, seq)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to name %s", err, part)
		}
	}
	if strings.Count(err.Error(), "log:") != 1 {
		t.Errorf("got %q, want the log named once", err)
	}
}

// TestHeaderOfServer: a message of the log with a header as the server's own words have is no word of the server, whoever
// managed to append it. It is read, and found to be no fact.
func TestHeaderOfServer(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 1)...)
	for _, status := range []string{"100", "408", "409"} {
		publish(t, nc, timeFamily, nats.Header{"Status": {status}}, nil)
	}
	mustAppend(t, log, times(5, 1)...)
	for _, m := range readN(t, reader(t, log, 1), 1, 5)[1:4] {
		if _, err := m.Decode(); !eventlog.Final(err) {
			t.Errorf("sequence %d: got %v, want that it is no fact", m.Seq, err)
		}
	}
}

// TestUndecodable does the same with a payload: the reader hands it out, since not every reader needs to understand it.
func TestUndecodable(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	log := create(t, nc, games)
	publish(t, nc, timeFamily, nil, []byte{0xff})
	m := readN(t, reader(t, log, 1), 1, 1)[0]
	_, err := m.Decode()
	wantDecodeError(t, nil, err, 1, []string{"sequence 1", "family time"})
}

// TestCutConnection closes the connection while batches are on their way: no Append may then say that it stored one.
func TestCutConnection(t *testing.T) {
	server, healthy := startEmbedded(t, t.TempDir())
	create(t, healthy, games)
	nc := connect(t, server)
	log, err := eventlog.Open(t.Context(), nc, games)
	if err != nil {
		t.Fatal(err)
	}
	const writers, size = 4, 500
	started := make(chan struct{}, 1000)
	answers := make(chan int, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			stored := 0
			defer func() { answers <- stored }()
			for {
				select {
				case started <- struct{}{}:
				default:
				}
				_, err := log.Append(t.Context(), eventlog.Batch{Records: times(w*1_000_000+stored*size, size)})
				if err == nil {
					stored++
					continue
				}
				if !errors.Is(err, eventlog.ErrUnanswered) && !errors.Is(err, eventlog.ErrNotStored) {
					t.Errorf("got %v, want ErrUnanswered or ErrNotStored", err)
				}
				return
			}
		})
	}
	for range 3 * writers { // some batches are stored, others under way
		<-started
	}
	nc.Close()
	wg.Wait()
	close(answers)
	acknowledged := 0
	for n := range answers {
		acknowledged += n
	}

	again, err := eventlog.Open(t.Context(), healthy, games)
	if err != nil {
		t.Fatal(err)
	}
	// The server may still be busy with a batch, whose first facts Head shows already; this append comes behind it.
	stored := int(mustAppend(t, again, goals(1, 1)...)) - 1
	if stored < acknowledged*size || stored > (acknowledged+writers)*size || stored%size != 0 {
		t.Errorf("got %d facts stored, want whole batches of %d: the %d acknowledged ones and at most %d more",
			stored, size, acknowledged, writers)
	}
}

// TestLostDelivery: what got lost on the way to the reader is asked for again, and no gap of the log.
func TestLostDelivery(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	log := create(t, nc, games)
	mustAppend(t, log, times(1, 3)...)
	for name, c := range map[string]struct {
		delivery int // as the server counts: three went before
		final    bool
	}{
		"the delivery of 4 was lost": {delivery: 5, final: false},
		"4 was never delivered":      {delivery: 4, final: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := reader(t, log, 1)
			readN(t, r, 1, 3)
			eventlog.Deliver(r, &nats.Msg{
				Subject: timeFamily, Data: encodedRecord(t, times(5, 1)[0]),
				Reply: fmt.Sprintf("$JS.ACK.%s.reader.1.5.%d.1600000000000000000.0", streamName, c.delivery),
			})
			msgs, err := r.Next(patience(t), 1)
			if err == nil || eventlog.Final(err) != c.final || errors.Is(err, eventlog.ErrUnreachable) == c.final {
				t.Errorf("got %+v, %v, want an error that is final: %t", msgs, err, c.final)
			}
		})
	}
}

// TestUnanswered takes the stream away behind the log's back, and the server, and lets the caller's time run out.
func TestUnanswered(t *testing.T) {
	server, nc := startEmbedded(t, t.TempDir())
	log := create(t, nc, games)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []int{1, 3} {
		if seq, err := log.Append(ended, eventlog.Batch{Records: times(1, n)}); !errors.Is(err, eventlog.ErrUnanswered) {
			t.Errorf("%d facts, without time: got %d, %v, want ErrUnanswered", n, seq, err)
		}
	}
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if seq, err := log.Append(ctx, eventlog.Batch{Records: times(1, 1)}); !errors.Is(err, eventlog.ErrUnanswered) && !errors.Is(err, eventlog.ErrNotStored) {
		t.Errorf("without a server: got %d, %v, want ErrUnanswered or ErrNotStored", seq, err)
	}
	if head, err := log.Head(ctx); err == nil {
		t.Errorf("head without a server: got %+v, want an error", head)
	}
}

// notTheLast are Games whose log keeps another from being the server's only stream. When the only one is deleted, the
// server removes the folder of all streams in the background, and making the next one meanwhile can fail.
const notTheLast = "others"

// TestReplaced restores the log into a second epoch while someone still works with the first.
func TestReplaced(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	create(t, nc, notTheLast)
	old := create(t, nc, games)
	mustAppend(t, old, times(1, 3)...)
	r := reader(t, old, 1)
	readN(t, r, 1, 3)
	next := nextInBackground(patience(t), r)

	js := raw(t, nc)
	if err := js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Head(t.Context()); !errors.Is(err, eventlog.ErrReplaced) {
		t.Errorf("head: got %v, want ErrReplaced", err)
	}
	if seq, err := old.Append(t.Context(), eventlog.Batch{Records: times(4, 1)}); !errors.Is(err, eventlog.ErrNotStored) {
		t.Errorf("append with no stream: got %d, %v, want ErrNotStored", seq, err)
	}
	// A reader that waits is woken, and a new one is refused: docs/design.md section 7 has the service start anew.
	if got := <-next; got.err == nil || errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("next: got %+v, want an error within 10 s", got)
	}
	if _, err := old.Read(t.Context(), eventlog.Position{}); !errors.Is(err, eventlog.ErrReplaced) {
		t.Errorf("read: got %v, want ErrReplaced", err)
	}

	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "PINFOLD_tokyo2020_2", Subjects: []string{"pinfold.tokyo2020.*"}, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true,
	}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		if seq, err := old.Append(t.Context(), eventlog.Batch{Records: times(4, n)}); !errors.Is(err, eventlog.ErrReplaced) {
			t.Errorf("append %d facts to the old epoch: got %d, %v, want ErrReplaced", n, seq, err)
		}
	}
	log, err := eventlog.Create(t.Context(), nc, games, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := log.Head(t.Context()); err != nil || got != (eventlog.Head{Epoch: 2}) {
		t.Errorf("head of the new epoch: got %+v, %v, want an empty epoch 2", got, err)
	}
}

// TestForeignStream has the subjects of the Games in a stream that is not theirs.
func TestForeignStream(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	create(t, nc, notTheLast)
	for _, name := range []string{"OTHER", "PINFOLD_tokyo2020_0", "PINFOLD_tokyo2020_01x", "PINFOLD_tokyo2020_4294967296"} {
		if _, err := raw(t, nc).CreateStream(t.Context(), jetstream.StreamConfig{
			Name:     name,
			Subjects: []string{"pinfold.tokyo2020.*"},
		}); err != nil {
			t.Fatal(err)
		}
		for _, open := range []func() (*eventlog.JetStream, error){
			func() (*eventlog.JetStream, error) { return eventlog.Open(t.Context(), nc, games) },
			func() (*eventlog.JetStream, error) { return eventlog.Create(t.Context(), nc, games, 1) },
		} {
			if _, err := open(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want an error that names %s", err, name)
			}
		}
		if err := raw(t, nc).DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFull gives the stream a bound that it does not have otherwise: a batch that does not fit is refused whole.
func TestFull(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	for _, tt := range []struct {
		name  string
		bound func(c *jetstream.StreamConfig)
	}{
		{"messages", func(c *jetstream.StreamConfig) { c.MaxMsgs = 4 }},
		{"bytes", func(c *jetstream.StreamConfig) { c.MaxBytes = 800 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := create(t, nc, "full-"+tt.name)
			mustAppend(t, log, times(1, 3)...)
			js := raw(t, nc)
			stream, err := js.Stream(t.Context(), "PINFOLD_full-"+tt.name+"_1")
			if err != nil {
				t.Fatal(err)
			}
			c := stream.CachedInfo().Config
			tt.bound(&c)
			if _, err := js.UpdateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			seq, err := log.Append(t.Context(), eventlog.Batch{Records: times(4, 20)})
			if !errors.Is(err, eventlog.ErrFull) {
				t.Errorf("got %d, %v, want ErrFull", seq, err)
			}
			wantHead(t, log, 3)
		})
	}
}

func TestOpenRefusesOtherStreams(t *testing.T) {
	good := jetstream.StreamConfig{
		Name: "PINFOLD_other_1", Subjects: []string{"pinfold.other.*"}, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true,
	}
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"storage file":     func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"discard new":      func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"deny_delete":      func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"deny_purge":       func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"allow_atomic":     func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"no limit":         func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"retention limits": func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
	} {
		t.Run(want, func(t *testing.T) {
			e, err := eventlog.StartEmbedded(t.TempDir(), 0, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer e.Stop()
			nc, err := e.Connect()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			c := good
			change(&c)
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if _, err := eventlog.Open(t.Context(), nc, "other"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
}

// TestEmbeddedLock starts a second server on a folder in use.
func TestEmbeddedLock(t *testing.T) {
	dir := t.TempDir()
	first, err := eventlog.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eventlog.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second server: got %v, want that the folder is in use", err)
	}
	first.Stop()
	again, err := eventlog.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	again.Stop()
}
