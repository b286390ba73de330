//go:build long

package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"

	"pinfold/client"
	"pinfold/crowd"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

var (
	capacityPeople  = flag.Int("people", 1000, "wearers of TestCapacity")
	capacityWatches = flag.Int("watches", 2000, "faces that TestCapacity watches at the same time")
)

// TestCapacity measures what docs/operations.md says of one gateway and one process of each service, with NATS in a process
// of its own and a crowd in this one. It fails only where what came of the crowd is not what must.
func TestCapacity(t *testing.T) {
	c := startCapacity(t)
	contacts := crowd.Synthetic(*capacityPeople, 2, 1)
	people := crowd.New(crowd.Config{Gateway: c.conn, Contacts: contacts, Seed: 1})
	before := c.size(t, c.logs)
	summary, err := people.Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := timeless(summary), expect(contacts); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	facts := c.head(t)
	c.add("log: halves through the gateway, until the last award is known", "%.0f halves/s", float64(summary.Halves)/summary.Seconds)
	c.add("log: on disk, for each half and all that followed", "%.0f bytes", float64(c.size(t, c.logs)-before)/float64(summary.Halves))
	c.add("log: on disk, for each fact", "%.0f bytes", float64(c.size(t, c.logs))/float64(facts))
	for _, per := range []struct {
		service, of string
		n           uint64
	}{
		{"gateway", "fact of the log", facts},
		{"tap", "half", summary.Halves},
		{"tap", "friendship", summary.Friendships},
		{"rewards", "wearer", uint64(contacts.People)},
		{"steps", "wearer and day", 2 * uint64(contacts.People)},
	} {
		c.add(per.service+": views on disk, for each "+per.of, "%.0f bytes", float64(c.size(t, filepath.Join(c.of[per.service].data, "views")))/float64(per.n))
	}
	c.read(t, people)
	for _, service := range []string{"gateway", "tap", "rewards", "steps"} {
		c.add(service+": memory, the most so far", "%.0f MB", resident(t, c.of[service].process, "VmHWM")/1e6)
		c.add(service+": memory now, without mapped files", "%.0f MB", resident(t, c.of[service].process, "RssAnon")/1e6)
	}
	c.add("nats-server: memory, the most so far", "%.0f MB", resident(t, c.nats, "VmHWM")/1e6)
	c.watch(t, people)
	c.rebuild(t, facts)
	c.audit(t, facts)
	c.print(t, summary)
}

// capacity is what is measured, and what was.
type capacity struct {
	binary string
	url    string // of NATS
	logs   string // where NATS keeps them
	nats   *process
	of     map[string]replica
	conn   *grpc.ClientConn
	lines  []string
}

func startCapacity(t *testing.T) *capacity {
	t.Helper()
	c := &capacity{binary: buildBinary(t), logs: t.TempDir(), of: map[string]replica{}}
	address, config := freeAddress(t), filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("server_name: n1\nlisten: %q\njetstream { store_dir: %q, sync_interval: always }\n", address, c.logs)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.url = "nats://" + address
	c.nats = newProcess(t, asProgram(t, t.TempDir(), "nats-server"), config)
	c.nats.start(t)
	t.Cleanup(c.nats.kill)
	var replicas []string
	for _, service := range []string{"tap", "rewards", "steps"} {
		c.of[service] = newReplica(t, c.binary, c.url, service)
		replicas = append(replicas, "--"+service, c.of[service].address)
	}
	c.of["gateway"] = newReplica(t, c.binary, c.url, "gateway", append(replicas, "--begin")...)
	for _, r := range c.of {
		t.Cleanup(r.kill)
	}
	if err := awaitServing(t.Context(), c.of["gateway"].address); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.conn, err = dialPlain(c.of["gateway"].address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

func (c *capacity) add(what, format string, value float64) {
	c.lines = append(c.lines, what+"\t"+fmt.Sprintf(format, value))
}

func (c *capacity) print(t *testing.T, s crowd.Summary) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, line := range c.lines {
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d wearers, %d halves, %d friendships, on %d cores; load of the last minute: %s\n%s",
		s.People, s.Halves, s.Friendships, runtime.NumCPU(), load1(t), text.String())
}

// load1 is how many programs wanted a core, on average over the last minute.
func load1(t *testing.T) string {
	t.Helper()
	load, _, _ := strings.Cut(readText(t, "/proc/loadavg"), " ")
	return load
}

// head returns how many facts the log holds.
func (c *capacity) head(t *testing.T) uint64 {
	t.Helper()
	nc, err := nats.Connect(c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	head, err := openGames(t, nc).Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uint64(head.Last)
}

// size is what a folder takes on disk, in bytes.
func (c *capacity) size(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() {
			bytes += stat.Blocks * 512
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// resident is a memory of the process, in bytes: VmRSS is what it has, RssAnon what of it is no page of a mapped file, which
// the kernel takes back when it needs room, and VmHWM the most that it had.
func resident(t *testing.T, p *process, name string) float64 {
	t.Helper()
	for line := range strings.Lines(readText(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))) {
		var kilobytes float64
		if _, err := fmt.Sscanf(line, name+": %f kB", &kilobytes); err == nil {
			return kilobytes * 1024
		}
	}
	t.Fatalf("the kernel does not say %s", name)
	return 0
}

// read counts what 16 readers get in three seconds.
func (c *capacity) read(t *testing.T, people *crowd.Crowd) {
	t.Helper()
	gateway := gatewayv1.NewGatewayServiceClient(c.conn)
	for _, read := range []struct {
		what string
		call func(context.Context, string) error
	}{
		{"faces", func(ctx context.Context, wearer string) error {
			_, err := gateway.GetFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: wearer}.Build())
			return err
		}},
		{"first pages of friends", func(ctx context.Context, wearer string) error {
			_, err := gateway.ListFriends(ctx, tapv1.ListFriendsRequest_builder{Wearer: wearer}.Build())
			return err
		}},
	} {
		var done atomic.Int64
		var readers sync.WaitGroup
		began := time.Now()
		for range 16 {
			readers.Go(func() {
				for time.Since(began) < 3*time.Second {
					i := int(done.Add(1))
					if err := read.call(t.Context(), people.Wearer(i%*capacityPeople).String()); err != nil {
						t.Errorf("%s: %v", read.what, err)
						return
					}
				}
			})
		}
		readers.Wait()
		c.add("gateway: "+read.what+" by 16 readers at once", "%.0f reads/s", float64(done.Load())/time.Since(began).Seconds())
	}
}

// watch opens watches, each over a connection of its own as phones have them, and looks at the gateway's memory.
func (c *capacity) watch(t *testing.T, people *crowd.Crowd) {
	t.Helper()
	before := resident(t, c.of["gateway"].process, "VmRSS")
	ctx, cancel := context.WithCancel(t.Context())
	var shown, watches sync.WaitGroup
	began := time.Now()
	for i := range *capacityWatches {
		g, err := client.Dial(c.of["gateway"].address)
		if err != nil {
			t.Fatal(err)
		}
		shown.Add(1)
		watches.Go(func() {
			defer g.Close()
			first := true
			for _, err := range g.Watch(ctx, people.Wearer(i%*capacityPeople), 0) {
				if err != nil {
					t.Errorf("watch %d: %v", i, err)
				}
				if first {
					first = false
					shown.Done()
				}
			}
		})
	}
	shown.Wait()
	c.add(fmt.Sprintf("gateway: %d watches over as many connections, until each shows its first face", *capacityWatches), "%.1f s", time.Since(began).Seconds())
	c.add("gateway: memory for each of these", "%.0f kB", (resident(t, c.of["gateway"].process, "VmRSS")-before)/1e3/float64(*capacityWatches))
	cancel()
	watches.Wait()
}

// rebuild starts each service with its views, and without.
func (c *capacity) rebuild(t *testing.T, facts uint64) {
	t.Helper()
	for _, service := range []string{"gateway", "tap", "rewards", "steps"} {
		kept := c.restart(t, c.of[service], func() {})
		rebuilt := c.restart(t, c.of[service], func() {
			if err := os.RemoveAll(filepath.Join(c.of[service].data, "views")); err != nil {
				t.Fatal(err)
			}
		})
		c.add(service+": from the start until it serves", "%.1f s", kept.Seconds())
		c.add(service+": longer where its views are rebuilt, for each million facts", "%.0f s", (rebuilt-kept).Seconds()/float64(facts)*1e6)
	}
}

// restart stops a service, starts it again, and returns after which time it serves.
func (c *capacity) restart(t *testing.T, r replica, meanwhile func()) time.Duration {
	t.Helper()
	r.stop(t)
	meanwhile()
	began := time.Now()
	r.start(t)
	impatient, err := client.Dial(r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer impatient.Close()
	if err := awaitServingAt(t.Context(), impatient.Conn()); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// audit writes an archive and verifies it.
func (c *capacity) audit(t *testing.T, facts uint64) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "games.pinfold")
	for _, args := range [][]string{
		{"audit", "export", "--nats", c.url, "--out", archive},
		{"audit", "verify", "--unfinished", archive},
	} {
		command := exec.CommandContext(t.Context(), c.binary, args...)
		began := time.Now()
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		what := strings.Join(args[:2], " ")
		c.add(what, "%.0f facts/s", float64(facts)/time.Since(began).Seconds())
		if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
			c.add(what+": memory, the most", "%.0f MB", float64(usage.Maxrss)*1024/1e6)
		}
	}
	info, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}
	c.add("archive, for each fact", "%.0f bytes", float64(info.Size())/float64(facts))
}
