package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinfold/internal/eventlog"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// soleGateway is a `pinfold gateway` that runs in this process, without the services behind it.
type soleGateway struct {
	*world
	stop func() (code int, stderr string) // waits until it has ended
}

// gatewayArgs are the arguments of a gateway that listens where it likes.
func gatewayArgs(nats, data, listen string, flags ...string) []string {
	return append([]string{
		"gateway", "--nats", nats, "--data", data, "--listen", listen, "--admin", "", "--log-level", "error", "--checkpoint-every", "5",
	}, flags...)
}

// startSole runs a gateway on the folder until the end of the test, and returns when it serves.
func startSole(t *testing.T, nats, data string, flags ...string) *soleGateway {
	t.Helper()
	listen := freeAddress(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { ended <- run(ctx, gatewayArgs(nats, data, listen, flags...), io.Discard, &stderr) }()
	g := &soleGateway{world: &world{at: addresses{Gateway: listen}, data: data}}
	stopped, code := false, 0
	g.stop = func() (int, string) {
		if !stopped {
			cancel()
			stopped, code = true, <-ended
		}
		return code, stderr.String()
	}
	t.Cleanup(func() { g.stop() })
	if err := awaitServing(t.Context(), listen); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.conn, err = dialPlain(listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.conn.Close() })
	g.gateway = gatewayv1.NewGatewayServiceClient(g.conn)
	return g
}

// refusedGateway runs a gateway that is to end by itself because of its key or its log, and checks what it says.
func refusedGateway(t *testing.T, nats, data, want string, flags ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // if it does not
	defer cancel()
	var stderr bytes.Buffer
	code := run(ctx, gatewayArgs(nats, data, "127.0.0.1:0", flags...), io.Discard, &stderr)
	if code != exitDiverged || !strings.Contains(stderr.String(), want) {
		t.Errorf("%v: exit code %d, %s, want %d and %q", flags, code, stderr.String(), exitDiverged, want)
	}
}

// startNATS starts a server on the folder, for several processes.
func startNATS(t *testing.T, dir string) *eventlog.Embedded {
	t.Helper()
	embedded, err := eventlog.StartEmbedded(dir, -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return embedded
}

// listedKeys returns what `pinfold checkpoint-keys list` shows, by public key.
func listedKeys(t *testing.T, from ...string) map[string]checkpointKey {
	t.Helper()
	var list struct {
		Keys []checkpointKey `json:"keys"`
	}
	if err := json.Unmarshal([]byte(mustRun(t, append([]string{"checkpoint-keys", "list", "--output", "json"}, from...)...)), &list); err != nil {
		t.Fatal(err)
	}
	byKey := map[string]checkpointKey{}
	for _, k := range list.Keys {
		byKey[k.PublicKey] = k
	}
	return byKey
}

// awaitListed waits until the list has a checkpoint that the gateway of the folder signed.
func awaitListed(t *testing.T, w *world) {
	t.Helper()
	public, _ := publicKey(t, w.data)
	for {
		list, err := gatewayv1.NewAuditServiceClient(w.conn).ListCheckpointKeys(t.Context(), &gatewayv1.ListCheckpointKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list.GetKeys() {
			if k.GetPublicKey() == public && k.GetNewestCheckpoint() != "" {
				return
			}
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestUpLost starts `pinfold up` on a folder that has lost its log, or its keys: it makes neither anew by itself.
func TestUpLost(t *testing.T) {
	data := t.TempDir()
	log, keys := filepath.Join(data, "log"), filepath.Join(data, "keys")
	keptLog, keptKeys := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "keys")
	w := startUp(t, data)
	w.enrol(t, people(1, 3)...)
	awaitListed(t, w)
	w.stop()
	first, _ := publicKey(t, data)
	replaceFolder(t, keptLog, log)
	replaceFolder(t, keptKeys, keys)

	if err := os.RemoveAll(log); err != nil {
		t.Fatal(err)
	}
	if said := refusedUp(t, data); !strings.Contains(said, "there is no log: it was lost") {
		t.Errorf("without its log: %s", said)
	}
	replaceFolder(t, log, keptLog)
	if err := os.RemoveAll(keys); err != nil {
		t.Fatal(err)
	}
	if said := refusedUp(t, data); !strings.Contains(said, "makes a key with --join") {
		t.Errorf("without its keys: %s", said)
	}
	if _, err := os.Stat(filepath.Join(keys, "checkpoint.key")); err == nil {
		t.Error("a key was made")
	}

	// What was signed remains, and the key is lost.
	replaceFolder(t, keys, keptKeys)
	if err := os.Remove(filepath.Join(keys, "checkpoint.key")); err != nil {
		t.Fatal(err)
	}
	if said := refusedUp(t, data); !strings.Contains(said, "and not the key: it was lost") {
		t.Errorf("without its key: %s", said)
	}

	// The folder of keys is lost for good.
	if err := os.RemoveAll(keys); err != nil {
		t.Fatal(err)
	}
	w = startUp(t, data, func(c *upCommand) { c.Join = true })
	w.enrol(t, people(4, 5)...)
	k := keeper{data: data, path: filepath.Join(t.TempDir(), "kept")}
	k.keep(t, w)
	awaitListed(t, w)
	w.stop()
	second, _ := publicKey(t, data)
	list := listedKeys(t, "--data", data)
	if len(list) != 2 || list[first].Facts == 0 || list[second].Facts == 0 || first == second {
		t.Errorf("got the keys %+v, want the old and the new one, and what each signed", list)
	}
	mustRun(t, "checkpoint-keys", "remove", list[first].Name, "--data", data)
	if list := listedKeys(t, "--data", data); !list[first].Removed || list[second].Removed {
		t.Errorf("got the keys %+v, want the old one removed", list)
	}
	startUp(t, data).stop()
	if code, _, stderr := pinfold(t, "checkpoint-keys", "remove", "01234567", "--data", data); code != exitFailed || !strings.Contains(stderr, list[second].Name) {
		t.Errorf("exit code %d and %s", code, stderr)
	}
}

// TestGatewaysBegin: of the gateways of a cluster one makes the log, the others join it, each with a key of its own, and
// none makes a key or a log that may have been lost.
func TestGatewaysBegin(t *testing.T) {
	store := t.TempDir()
	nats := startNATS(t, store)
	a, b := t.TempDir(), t.TempDir()
	refusedGateway(t, nats.URL(), a, "starts with --begin")
	one := startSole(t, nats.URL(), a, "--begin")
	refusedGateway(t, nats.URL(), b, "makes a key with --join")
	refusedGateway(t, nats.URL(), b, "makes a key with --join", "--begin")
	two := startSole(t, nats.URL(), b, "--begin", "--join")
	one.register(t, people(1, 12)...)
	keyA, _ := publicKey(t, a)
	keyB, _ := publicKey(t, b)
	if keyA == keyB {
		t.Fatal("two gateways have one key")
	}
	both := write(t, filepath.Join(t.TempDir(), "both.pub"), keyA+"\n"+keyB+"\n")
	kept := filepath.Join(t.TempDir(), "kept")
	for i, keys := range [][]string{{"--checkpoint-key", both}, {"--checkpoint-key", keyA, "--checkpoint-key", keyB}, {"--checkpoint-key", both}} {
		g := []*soleGateway{one, two}[i%2]
		mustRun(t, append([]string{"audit", "checkpoint", "--gateway", g.at.Gateway, "--keep", kept, "--all"}, keys...)...)
		g.register(t, people(20+2*i, 21+2*i)...)
	}
	if code, _, stderr := pinfold(t, "audit", "checkpoint", "--gateway", two.at.Gateway, "--checkpoint-key", keyA, "--keep", kept); code != exitFailed ||
		!strings.Contains(stderr, "signed by no known key") {
		t.Errorf("with one of two keys: exit code %d, %s", code, stderr)
	}
	awaitListed(t, one.world)
	awaitListed(t, two.world)
	if list := listedKeys(t, "--nats", nats.URL()); len(list) != 2 || list[keyA].Facts == 0 || list[keyB].Facts == 0 {
		t.Errorf("got the keys %+v, want both, and what each signed", list)
	}
	for _, g := range []*soleGateway{one, two} {
		if code, stderr := g.stop(); code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	archive := filepath.Join(t.TempDir(), "archive")
	mustRun(t, "audit", "export", "--nats", nats.URL(), "--out", archive)
	mustRun(t, "audit", "verify", archive, "--unfinished", "--checkpoint", kept, "--checkpoint-key", keyB, "--checkpoint-key", keyA)
	nats.Stop()

	// All that NATS kept is lost.
	nats = startNATS(t, t.TempDir())
	defer nats.Stop()
	for _, flags := range [][]string{nil, {"--begin"}, {"--begin", "--join"}} {
		refusedGateway(t, nats.URL(), a, "there is no log: it was lost", flags...)
	}
	nc, err := nats.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := eventlog.Open(t.Context(), nc, "tokyo2020"); !errors.Is(err, eventlog.ErrNoLog) {
		t.Errorf("got %v, want that no log was made", err)
	}
}

// TestGatewayRestored lets an older copy of all that NATS keeps come back: the gateway that signed for what is lost does not
// go on, nor does another with its key; a new one joins, under a key of its own.
func TestGatewayRestored(t *testing.T) {
	store, older := t.TempDir(), filepath.Join(t.TempDir(), "older")
	a := t.TempDir()
	nats := startNATS(t, store)
	one := startSole(t, nats.URL(), a, "--begin")
	one.register(t, people(1, 10)...)
	awaitListed(t, one.world)
	one.stop()
	nats.Stop()
	replaceFolder(t, older, store)
	nats = startNATS(t, store)
	one = startSole(t, nats.URL(), a)
	one.register(t, people(11, 20)...)
	mustRun(t, "audit", "checkpoint", "--gateway", one.at.Gateway)
	one.stop()
	nats.Stop()

	replaceFolder(t, store, older)
	nats = startNATS(t, store)
	defer nats.Stop()
	if err := os.RemoveAll(filepath.Join(a, "views")); err != nil {
		t.Fatal(err)
	}
	refusedGateway(t, nats.URL(), a, "facts was signed, and the log ends at sequence ", "--begin", "--join")
	twin := t.TempDir()
	copyKey(t, a, twin)
	refusedGateway(t, nats.URL(), twin, "another gateway uses the same key", "--begin", "--join")
	two := startSole(t, nats.URL(), t.TempDir(), "--join")
	two.register(t, people(30, 35)...)
	mustRun(t, "audit", "checkpoint", "--gateway", two.at.Gateway)
	if code, stderr := two.stop(); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
