//go:build long

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"pinfold/crowd"
	"pinfold/internal/eventlog"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// The crowd lives in the test; what it talks to is killed.

var (
	crashSeed = flag.Uint64("seed", 0, "seed of what is drawn; 0 = a random one, printed")
	kills     = flag.Int("kills", 36, "how often the process is killed")
)

// seededRand returns what a target of the Makefile draws from.
func seededRand(t *testing.T, target string) *rand.Rand {
	t.Helper()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	t.Logf("seed %d; again: make %s SEED=%d", seed, target, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// buildBinary builds pinfold as a user would.
func buildBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "pinfold")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return binary
}

// process is one pinfold process that can be killed and started again with the same arguments.
type process struct {
	binary string
	args   []string
	env    []string // nil = that of the test
	log    *os.File // its standard error

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *process) start(t *testing.T) *bufio.Reader {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Env = p.env
	p.cmd.Stderr = p.log
	// If the test is killed, so are its processes.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out)
}

// kill ends the process at once, as a power cut of the process would.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// stop asks the process to stop and checks that it does so in order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%v: %v", p.args, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v: %v", p.args, err)
	}
}

func newProcess(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%v printed: %s", args, tail(text, 4000))
		}
		_ = log.Close()
	})
	return &process{binary: binary, args: args, log: log}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// playUnder lets the crowd meet while kill is called so many times, spread over the halves it delivers at moments
// that the seed decides.
func playUnder(t *testing.T, rng *rand.Rand, gateway string, contacts crowd.Contacts, r *receipts, times int, kill func(i int)) crowd.Summary {
	t.Helper()
	moments := make([]int, times)
	for i := range moments {
		moments[i] = rng.IntN(2 * len(contacts.Encounters) * 95 / 100)
	}
	slices.Sort(moments)
	delays := make([]time.Duration, times)
	for i := range delays {
		delays[i] = time.Duration(rng.IntN(20_000)) * time.Microsecond
	}

	var answered atomic.Int64
	moved := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	killer := make(chan int)
	go func() {
		done := 0
		defer func() { killer <- done }()
		for i, moment := range moments {
			for answered.Load() < int64(moment) {
				select {
				case <-moved:
				case <-ctx.Done():
					return
				}
			}
			<-time.After(delays[i]) // so that it is hit in the middle of something, not right after an answer
			kill(i)
			done++
		}
	}()
	conn, err := dialPlain(gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	summary, err := crowd.New(crowd.Config{
		Gateway: conn, Contacts: contacts, Seed: 1, Answered: r.answered,
		Progress: func(n, _ int) {
			answered.Store(int64(n))
			select {
			case moved <- struct{}{}:
			default:
			}
		},
	}).Play(t.Context())
	cancel()
	if done := <-killer; done < times {
		t.Errorf("killed %d times, want %d", done, times)
	}
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// sameAs compares what came of a crowd with what must: halves that were delivered again because the answer was lost
// are in the log twice, and have their outcome.
func sameAs(t *testing.T, got, want crowd.Summary) {
	t.Helper()
	t.Logf("%d halves in the log, %d of them duplicates; %.1f s", got.Halves, got.Duplicates, got.Seconds)
	got = timeless(got)
	want.Duplicates = got.Duplicates
	want.Halves += got.Duplicates
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRealConference replays the conference with phones as they are.
func TestRealConference(t *testing.T) {
	contacts, want := conference(t)
	for _, seed := range realSeeds(t) {
		checkPhones(t, contacts, want, crowd.Config{Phones: crowd.RealPhones, Seed: seed})
	}
}

// TestCrash kills `pinfold up` again and again under the conference.
func TestCrash(t *testing.T) {
	rng := seededRand(t, "crash")
	binary := buildBinary(t)
	contacts, want := conference(t)
	contacts.Walks = crowd.Synthetic(contacts.People, 2, 1).Walks
	data := t.TempDir()
	at := addresses{Gateway: freeAddress(t), Admin: freeAddress(t), Tap: freeAddress(t), Rewards: freeAddress(t), Steps: freeAddress(t)}
	up := newProcess(t, binary, "up", "--data", data, "--output", "json", "--listen", at.Gateway,
		"--tap-listen", at.Tap, "--rewards-listen", at.Rewards, "--steps-listen", at.Steps, "--admin", at.Admin)
	awaitUp := func() {
		var got addresses
		if err := json.NewDecoder(up.start(t)).Decode(&got); err != nil || got != at {
			t.Fatalf("up printed %+v (%v), want %+v", got, err, at)
		}
	}
	awaitUp()
	r := newReceipts()
	// The next life begins at once: half of the time it is killed while it still starts.
	got := playUnder(t, rng, at.Gateway, contacts, r, *kills, func(int) { up.kill(); up.start(t) })
	sameAs(t, got, want)
	up.stop(t)
	verifyAtRest(t, data, r)

	removeViews(t, data)
	awaitUp()
	up.stop(t)
	verifyAtRest(t, data, r)
}

// replica is one process of a service of a cluster.
type replica struct {
	*process
	service, address, data string
}

func newReplica(t *testing.T, binary, nats, service string, args ...string) replica {
	t.Helper()
	r := replica{service: service, address: freeAddress(t), data: t.TempDir()}
	r.process = newProcess(t, binary, append([]string{service, "--nats", nats, "--data", r.data, "--listen", r.address, "--admin", ""}, args...)...)
	r.start(t)
	return r
}

// TestCrashReplicas runs two processes of each service and a gateway against one NATS server, and kills them in turn
// under 200 watchers.
func TestCrashReplicas(t *testing.T) {
	rng := seededRand(t, "crash")
	binary := buildBinary(t)
	contacts, want := conference(t)
	contacts.Walks = crowd.Synthetic(contacts.People, 2, 1).Walks
	embedded, err := eventlog.StartEmbedded(t.TempDir(), -1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Stop()

	var replicas []replica
	at := map[string]string{}
	for _, service := range []string{"tap", "rewards", "steps", "tap", "rewards", "steps"} {
		r := newReplica(t, binary, embedded.URL(), service)
		replicas = append(replicas, r)
		at[service] += "," + r.address
	}
	gateway := newReplica(t, binary, embedded.URL(), "gateway", "--begin", "--tap", at["tap"][1:], "--rewards", at["rewards"][1:], "--steps", at["steps"][1:])
	replicas = append(replicas, gateway)
	if err := awaitServing(t.Context(), gateway.address); err != nil {
		t.Fatal(err)
	}

	conn, err := dialPlain(gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := gatewayv1.NewGatewayServiceClient(conn)
	people := crowd.New(crowd.Config{Gateway: conn, Contacts: contacts, Seed: 1})
	var watched []string
	for i := range min(200, contacts.People) {
		watched = append(watched, people.Wearer(i).String())
	}
	watching, cancel := context.WithCancel(t.Context())
	faces := watch(watching, client, watched)
	defer faces.wait()
	defer cancel()

	r := newReceipts()
	got := playUnder(t, rng, gateway.address, contacts, r, *kills, func(i int) {
		victim := replicas[i%len(replicas)]
		victim.kill()
		victim.start(t)
	})
	sameAs(t, got, want)

	nc, err := nats.Connect(embedded.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log := openGames(t, nc)
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	faces.awaitFinal(t, client, uint64(head.Last))
	cancel()
	var left resting
	for _, v := range replicas {
		v.stop(t)
		left.add(t, v.data, v.service)
	}
	verifyLog(t, log, r, left)
}
