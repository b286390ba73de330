package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"pinfold/crowd"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// adminGet asks the admin listener of a process.
func adminGet(t testing.TB, address, path string) (code int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestStatus lets a crowd meet, and compares what status says with the crowd's own count.
func TestStatus(t *testing.T) {
	w := startUp(t, t.TempDir())
	if code, body := adminGet(t, w.at.Admin, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz: got %d %q, want 200", code, body)
	}
	summary := w.play(t, crowd.Synthetic(20, 1, 1))
	nobody := freeAddress(t)

	code, stdout, stderr := pinfold(t, "status", "--admin", w.at.Admin+","+nobody, "--output", "json")
	var report statusReport
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if len(report.Processes) != 1 || !slices.Equal(report.Silent, []string{nobody}) {
		t.Fatalf("got %+v, want one process, and no answer at %s", report, nobody)
	}
	var names []string
	for _, at := range report.Processes[0].Services {
		names = append(names, at.Name)
		if !at.Serving || at.Epoch != 1 || at.Seq == 0 || at.Settled > at.Seq || at.Seq+at.Lag != at.Head {
			t.Errorf("got %+v, want a service that serves, with a lag that is what is missing to the head", at)
		}
		if at.Name != "tap" {
			continue
		}
		n := at.Numbers
		sum := n["matched"] + n["already_friends"] + n["duplicate"] + n["expired"] + n["pending"] + n["refused"]
		if n["halves"] != summary.Halves || sum != summary.Halves || n["friendships"] != summary.Friendships {
			t.Errorf("got %v, want the outcomes of %d halves and %d friendships", n, summary.Halves, summary.Friendships)
		}
	}
	if !slices.Equal(names, serviceNames) {
		t.Errorf("got %q, want %q", names, serviceNames)
	}

	code, stdout, stderr = pinfold(t, "status", "--admin", w.at.Admin+","+nobody)
	for _, want := range []string{"service", "rewards", "gateway: notary seq ", " statements waiting 0 watchers 0", "No answer at " + nobody} {
		if code != exitOK || !strings.Contains(stdout+stderr, want) {
			t.Errorf("exit code %d and %q, want %q", code, stdout+stderr, want)
		}
	}
	for _, name := range serviceNames {
		if code, stdout, stderr := pinfold(t, "status", "--admin", w.at.Admin, "--ready", name); code != exitOK || stdout+stderr != "" {
			t.Errorf("ready %s: exit code %d and %q, want 0 and no word", name, code, stdout+stderr)
		}
	}
	code, _, stderr = pinfold(t, "status", "--admin", nobody)
	if want := "no admin listener answers at " + nobody; code != exitFailed || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d and %q, want %d and %q", code, stderr, exitFailed, want)
	}
}

// TestStatusNotServing asks services that wait for a log that nobody makes.
func TestStatusNotServing(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()
	admin := freeAddress(t)
	c := startCommand(t, "rewards", "--nats", embedded.URL(), "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", admin)
	for args, want := range map[string]string{
		"": "no service serves", "--ready=rewards": "rewards does not serve", "--ready=tap": "tap does not serve",
	} {
		line := []string{"status", "--admin", admin, "--timeout", "30s"}
		if args != "" {
			line = append(line, args)
		}
		c.untilAnswers(t, admin)
		if code, _, stderr := pinfold(t, line...); code != exitFailed || !strings.Contains(stderr, want) {
			t.Errorf("status %s: exit code %d and %q, want 1 and %q", args, code, stderr, want)
		}
	}
	if code := c.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, c.stderr.String())
	}
}

// TestStatusOfOneService runs a gateway by itself.
func TestStatusOfOneService(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()
	listen, admin := freeAddress(t), freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{
			"gateway", "--nats", embedded.URL(), "--data", t.TempDir(), "--listen", listen, "--admin", admin, "--begin",
		}, io.Discard, &stderr)
	}()
	if err := awaitServing(t.Context(), listen); err != nil {
		t.Fatal(err)
	}
	if code, body := adminGet(t, admin, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz: got %d %q, want 200", code, body)
	}
	code, stdout, _ := pinfold(t, "status", "--admin", admin)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != exitOK || len(lines) < 3 || !strings.HasPrefix(lines[1], "gateway ") || !strings.Contains(lines[2], "watchers 0") {
		t.Errorf("exit code %d and %q, want a head, the gateway and its numbers", code, stdout)
	}
	for _, line := range lines[3:] { // the other services are not there
		if !strings.HasPrefix(line, "gateway: ") || !strings.Contains(line, " at 127.0.0.1:740") {
			t.Errorf("got %q, want nothing but that the replicas are not there", line)
		}
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}

// TestMetricsAreDocumented compares the metrics of a process that has done something with those that the pages name.
func TestMetricsAreDocumented(t *testing.T) {
	w := startUp(t, t.TempDir())
	w.play(t, crowd.Synthetic(10, 1, 1))
	_, text := adminGet(t, w.at.Admin, "/metrics")
	var scraped, named []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (pinfold_\w+) `).FindAllStringSubmatch(text, -1) {
		scraped = append(scraped, m[1])
	}
	for _, page := range []string{"../../README.md", "../../docs/operations.md"} {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, regexp.MustCompile(`pinfold_\w+`).FindAllString(string(body), -1)...)
	}
	// What a process of a cluster has beside these: serve.TestShowConnection.
	scraped = append(scraped, "pinfold_nats_connected", "pinfold_nats_reconnections_total")
	slices.Sort(scraped)
	slices.Sort(named)
	if named = slices.Compact(named); !slices.Equal(scraped, named) {
		t.Errorf("the scrape has %q, the pages name %q", scraped, named)
	}
	if want := fmt.Sprintf(`pinfold_admission_total{outcome="accepted"} %d`, acceptedBy(t, w)); !strings.Contains(text, want) {
		t.Errorf("no %s in the scrape", want)
	}
}

// acceptedBy returns how many statements the log of a crowd of perfect phones holds.
func acceptedBy(t *testing.T, w *world) (n int) {
	t.Helper()
	w.stop()
	log, closeLog := openLog(t, w.data)
	defer closeLog()
	for e := range entries(t, log) {
		switch e.Fact.(type) {
		case fact.HalfReported, fact.StepsReported:
			n++
		}
	}
	return n
}

// TestLogsWithoutIDs lets a crowd with real phones and some that break every rule meet, with everything logged: no id of
// a wearer or a pin is in it, nor in the metrics.
func TestLogsWithoutIDs(t *testing.T) {
	var logged bytes.Buffer
	w := startUpLogging(t, t.TempDir(), slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if _, err := crowd.New(crowd.Config{Gateway: w.conn, Contacts: crowd.Synthetic(20, 1, 1), Phones: crowd.RealPhones, Seed: 1}).Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	misbehave(t, w)
	_, metrics := adminGet(t, w.at.Admin, "/metrics")
	_, status := adminGet(t, w.at.Admin, "/status")
	w.stop()
	if logged.Len() == 0 {
		t.Error("nothing was logged")
	}
	ids := idsOf(t, w.data)
	for name, text := range map[string]string{"logs": logged.String(), "metrics": metrics, "status": status} {
		if id := leak(text, ids); id != "" {
			t.Errorf("the %s hold the id %s", name, id)
		}
	}
	for i, text := range []string{fmt.Sprintf("%d", ids[0]), hex.EncodeToString(ids[1]), fact.PinID(ids[0]).String()} {
		if leak("x"+text+"x", ids) == "" {
			t.Errorf("text %d: %q holds an id, and was not found", i, text)
		}
	}
}

// misbehave makes calls that are refused, with ids in what they are told.
func misbehave(t *testing.T, w *world) {
	t.Helper()
	alice, stranger := newPerson(1), newPerson(2)
	w.enrol(t, alice)
	half, _ := tapPins(t, alice, stranger)
	half.Signature[0] ^= 1
	if _, err := w.deliver(t.Context(), alice.pin, half); err != nil {
		t.Error(err)
	}
	if _, err := w.deliver(t.Context(), stranger.pin, half); err == nil {
		t.Error("a stranger carried a statement")
	}
	if err := w.pair(t.Context(), stranger.wearer, alice.pin); err == nil {
		t.Error("a pin was paired twice")
	}
	if _, err := w.gateway.ChooseBackground(t.Context(), gatewayv1.ChooseBackgroundRequest_builder{
		Wearer: alice.wearer.String(), Background: "judo",
	}.Build(), grpc.WaitForReady(true)); err == nil {
		t.Error("a background was chosen that is not held")
	}
}

// idsOf returns the ids of all pins and wearers in the log of a stopped process, the first of a pin, the second of a wearer.
func idsOf(t *testing.T, data string) [][]byte {
	t.Helper()
	log, closeLog := openLog(t, data)
	defer closeLog()
	var pins, wearers [][]byte
	for e := range entries(t, log) {
		if f, ok := e.Fact.(fact.PinPaired); ok {
			pins, wearers = append(pins, f.Proof.Pin[:]), append(wearers, f.Wearer[:])
		}
	}
	if len(pins) < 2 {
		t.Fatalf("%d pins in the log", len(pins))
	}
	return slices.Concat(pins[:1], wearers, pins[1:])
}

// leak returns an id that stands in the text in one of the ways in which it may get there, or "".
func leak(text string, ids [][]byte) string {
	for _, id := range ids {
		ways := []string{
			hex.EncodeToString(id), fmt.Sprintf("%d", id), fmt.Sprintf("%q", id), fmt.Sprintf("%#v", id),
			base64.StdEncoding.EncodeToString(id), base64.RawURLEncoding.EncodeToString(id), string(id),
		}
		if len(id) == len(fact.WearerID{}) {
			ways = append(ways, fact.WearerID(id).String())
		}
		for _, way := range ways {
			if strings.Contains(text, way) {
				return way
			}
		}
	}
	return ""
}

// TestPasswordIsNotPrinted gives a URL that cannot be parsed.
func TestPasswordIsNotPrinted(t *testing.T) {
	code, stdout, stderr := pinfold(t, "rewards", "--nats", "nats://me:secret@h:port", "--listen", "127.0.0.1:0", "--admin", "")
	if code != exitFailed || !strings.Contains(stderr, "nats://xxxxx@h:port") || strings.Contains(stdout+stderr, "secret") {
		t.Errorf("exit code %d and %q, want the URL without its password", code, stdout+stderr)
	}
}

func TestPrintConfig(t *testing.T) {
	t.Setenv("PINFOLD_GAMES", "paris2024")
	t.Setenv("PINFOLD_NATS", "nats://me:secret@127.0.0.1:4222,nats://127.0.0.1:4223")
	code, stdout, stderr := pinfold(t, "rewards", "--print-config", "--admin", "", "--output", "json")
	var report configReport
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if report.Command != "rewards" {
		t.Errorf("got the command %q, want rewards", report.Command)
	}
	for _, want := range []configValue{
		{"--games", "paris2024", "environment PINFOLD_GAMES"},
		{"--nats", "nats://xxxxx@127.0.0.1:4222,nats://127.0.0.1:4223", "environment PINFOLD_NATS"},
		{"--admin", "", "flag"},
		{"--output", "json", "flag"},
		{"--listen", "127.0.0.1:7402", "default"},
		{"--log-level", "info", "default"},
	} {
		if !slices.Contains(report.Flags, want) {
			t.Errorf("got %+v, want %+v among them", report.Flags, want)
		}
	}
	code, stdout, _ = pinfold(t, "up", "--print-config")
	if code != exitOK || !regexp.MustCompile(`(?m)^--games +paris2024 +environment PINFOLD_GAMES$`).MatchString(stdout) {
		t.Errorf("exit code %d and %q, want the games in a table", code, stdout)
	}
}
