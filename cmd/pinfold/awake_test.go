//go:build long

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

var losses = flag.String("losses", "killed,frozen,cut off", "in which ways nodes are lost")

// TestAwake loses one node of a NATS cluster of three after another under a steady load, in each way and in each part that
// a node can play, and prints for how long writes and reads of them rested. It asserts no duration: elections are
// random, and machines differ. It asserts that the log is exact, and that the audit finds nothing.
func TestAwake(t *testing.T) {
	binary := buildBinary(t)
	c := startCluster(t, 3, 3, "")
	at := map[string]string{}
	var left []replica
	for _, service := range []string{"tap", "rewards", "steps"} {
		r := newReplica(t, binary, c.url(), service)
		left, at[service] = append(left, r), r.address
	}
	gateway := newReplica(t, binary, c.url(), "gateway", "--begin", "--replicas", "3",
		"--tap", at["tap"], "--rewards", at["rewards"], "--steps", at["steps"])
	left = append(left, gateway)
	if err := awaitServing(t.Context(), gateway.address); err != nil {
		t.Fatal(err)
	}
	c.whole(t)
	l := startLoad(t, gateway.address)

	table := [][]string{{"lost", "how", "writes rested", "reads of them", "when it came back", "reads of them"}}
	for _, loss := range []struct {
		how        string
		lose, back func(*node)
	}{
		{"killed", func(n *node) { n.kill() }, func(n *node) { n.start(t) }},
		{"frozen", func(n *node) { n.signal(t, syscall.SIGSTOP) }, func(n *node) { n.signal(t, syscall.SIGCONT) }},
		{"cut off", func(n *node) { c.between.cut(n) }, func(*node) { c.between.mend() }},
	} {
		if !slices.Contains(strings.Split(*losses, ","), loss.how) {
			continue
		}
		for _, part := range []string{"a follower", "a follower, the gateway's", "the leader", "the leader, the gateway's"} {
			victim := c.victim(t, part)
			l.measure(t, func() {})
			lost := l.measure(t, func() { loss.lose(victim) })
			back := l.measure(t, func() { loss.back(victim); c.whole(t) })
			row := append(append([]string{part, loss.how}, lost...), back...)
			t.Log(strings.Join(row, " | "))
			table = append(table, row)
		}
	}
	r := l.end()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range table {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	t.Logf("%d statements accepted\n%s", len(r.at), text.String())

	var views resting
	for _, v := range left {
		v.stop(t)
		views.add(t, v.data, v.service)
	}
	verifyLog(t, openGames(t, c.js.Conn()), r, views)
}

// victim returns a node that plays the part.
func (c *cluster) victim(t *testing.T, part string) *node {
	t.Helper()
	c.whole(t)
	mine := c.connected(t, "pinfold gateway")
	var other *node
	for _, n := range c.nodes {
		if n != mine {
			other = n
		}
	}
	switch part {
	case "a follower":
		c.lead(t, mine)
		return other
	case "a follower, the gateway's":
		c.lead(t, other)
		return mine
	case "the leader":
		c.lead(t, other)
		return other
	default:
		c.lead(t, mine)
		return mine
	}
}

// load is people who tap without end, each with a phone that delivers at once.
type load struct {
	world    *world
	receipts *receipts
	stop     func()

	written, seen rests
	last          atomic.Uint64 // the highest sequence that was accepted
}

// rests notes the longest time between two events.
type rests struct {
	mu      sync.Mutex
	begun   time.Time // when it began to measure
	at      time.Time // of the last event
	rested  time.Time // when the last rest that people notice was over
	longest time.Duration
}

// noticed is how long a rest is that people notice.
const noticed = 500 * time.Millisecond

func (r *rests) event() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	rest := now.Sub(r.at)
	if rest > noticed {
		r.rested = now
	}
	r.longest, r.at = max(r.longest, rest), now
}

func (r *rests) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = time.Now()
	r.longest, r.at, r.rested = 0, r.begun, r.begun
}

// calm reports whether there was no rest for that long that people notice.
func (r *rests) calm(d time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.rested) > d && time.Since(r.at) < noticed
}

func (r *rests) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%.1f s", r.longest.Seconds())
}

const (
	loadPhones = 16
	loadPause  = 50 * time.Millisecond // from one tap of a person to the next, and from one try to the next
	loadCall   = 5 * time.Second       // what a phone gives a call
)

func startLoad(t *testing.T, address string) *load {
	t.Helper()
	conn, err := dialPlain(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{world: &world{conn: conn, gateway: gatewayv1.NewGatewayServiceClient(conn)}, receipts: newReceipts()}
	people := make([]person, 4*loadPhones)
	for i := range people {
		people[i] = newPerson(i)
	}
	l.world.enrol(t, people...)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for phone := range loadPhones {
		group.Go(func() { l.phone(ctx, t, rand.New(rand.NewPCG(1, uint64(phone))), people[4*phone:4*phone+4]) })
	}
	group.Go(func() { l.look(ctx, people[0]) })
	l.stop = sync.OnceFunc(func() { cancel(); group.Wait(); _ = conn.Close() })
	t.Cleanup(l.stop)
	return l
}

// phone lets its people tap and delivers both halves, until they are accepted.
func (l *load) phone(ctx context.Context, t *testing.T, rng *rand.Rand, people []person) {
	for pause(ctx) {
		i := rng.IntN(len(people))
		a, b := people[i], people[(i+1+rng.IntN(len(people)-1))%len(people)]
		halfA, halfB := tapPins(t, a, b)
		for accepted := false; !accepted && ctx.Err() == nil; {
			call, cancel := context.WithTimeout(ctx, loadCall)
			r, err := l.world.deliver(call, a.pin, halfA, halfB)
			cancel()
			accepted = err == nil
			for i, answer := range r.GetAnswers() {
				accepted = accepted && answer.GetStatus() != gatewayv1.Status_STATUS_REFUSED
				l.receipts.answered([][]byte{halfA.Statement, halfB.Statement}[i], answer)
			}
			if !accepted {
				pause(ctx)
				continue
			}
			l.written.event()
			l.last.Store(max(l.last.Load(), r.GetSeq()))
		}
	}
}

// look reads a face that reflects all that was written, over and over.
func (l *load) look(ctx context.Context, p person) {
	for pause(ctx) {
		call, cancel := context.WithTimeout(ctx, loadCall)
		_, err := l.world.gateway.GetFace(call, gatewayv1.GetFaceRequest_builder{Wearer: p.wearer.String(), MinSeq: l.last.Load()}.Build())
		cancel()
		if err == nil {
			l.seen.event()
		}
	}
}

func pause(ctx context.Context) bool {
	select {
	case <-time.After(loadPause):
		return true
	case <-ctx.Done():
		return false
	}
}

// calm is how long writes and reads go on without a rest before something is over.
const calm = 5 * time.Second

// measure does something and returns, once all is calm again, for how long writes and reads of them rested at most.
func (l *load) measure(t *testing.T, do func()) []string {
	t.Helper()
	l.written.begin()
	l.seen.begin()
	do()
	await(t, "writes and reads", func() bool { return l.written.calm(calm) && l.seen.calm(calm) })
	return []string{l.written.String(), l.seen.String()}
}

func (l *load) end() *receipts {
	l.stop()
	return l.receipts
}
