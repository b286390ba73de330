//go:build long

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func init() {
	roles["nats-server"] = func(args []string) int {
		if err := runNATS(args[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailed
		}
		return exitOK
	}
}

// runNATS is a NATS server until the process ends.
func runNATS(path string) error {
	options, err := server.ProcessConfigFile(path)
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
	return nil
}

// node is one server of a NATS cluster, in a process of its own.
type node struct {
	*process
	name, address, monitor string
}

// cluster is a NATS cluster with a connection to it.
type cluster struct {
	nodes   []*node
	between network
	js      jetstream.JetStream
	stream  string
}

// startCluster makes a cluster of that many NATS servers, each with these lines in the jetstream block of its configuration,
// and starts the first of them.
func startCluster(t *testing.T, size, first int, settings string) *cluster {
	t.Helper()
	binary := asProgram(t, t.TempDir(), "nats-server")
	c := &cluster{stream: "PINFOLD_tokyo2020_1"}
	names, listens, routes := make([]string, size), make([]string, size), make([]string, size)
	for i := range size {
		names[i], listens[i] = fmt.Sprintf("n%d", i+1), freeAddress(t)
		routes[i] = c.between.proxy(t, names[i], listens[i])
	}
	for i := range size {
		n := &node{name: names[i], address: freeAddress(t), monitor: freeAddress(t)}
		dir := t.TempDir()
		config := filepath.Join(dir, "nats.conf")
		text := fmt.Sprintf(`
server_name: %s
listen: %q
http: %q
jetstream { store_dir: %q, sync_interval: always
%s
}
cluster { name: trial, listen: %q, advertise: %q, routes: [%s] }
`, n.name, n.address, n.monitor, dir, settings, listens[i], routes[i], "nats-route://"+strings.Join(routes, ", nats-route://"))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n.process = newProcess(t, binary, config)
		if i < first {
			n.start(t)
		}
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			if n.cmd != nil {
				n.kill()
			}
		}
	})
	nc, err := nats.Connect(c.url(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.PingInterval(time.Second),
		nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second)); err != nil {
		t.Fatal(err)
	}
	if first == size {
		await(t, "JetStream", func() bool {
			_, err := c.js.AccountInfo(t.Context())
			return err == nil
		})
	}
	return c
}

func (c *cluster) url() string {
	var list []string
	for _, n := range c.nodes {
		list = append(list, "nats://"+n.address)
	}
	return strings.Join(list, ",")
}

// await returns once the condition holds. A minute is for ever here.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.After(time.Minute)
	for !holds() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-end:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// group is the stream's group, nil while it cannot be asked or has no leader.
func (c *cluster) group(t *testing.T) *jetstream.ClusterInfo {
	t.Helper()
	stream, err := c.js.Stream(t.Context(), c.stream)
	if err != nil || stream.CachedInfo().Cluster == nil || stream.CachedInfo().Cluster.Leader == "" {
		return nil
	}
	return stream.CachedInfo().Cluster
}

// whole waits until all nodes hold all of the stream.
func (c *cluster) whole(t *testing.T) {
	t.Helper()
	await(t, "all nodes to hold the stream", func() bool {
		g := c.group(t)
		if g == nil || len(g.Replicas) != len(c.nodes)-1 {
			return false
		}
		return !slices.ContainsFunc(g.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline || p.Lag > 0 })
	})
}

// lead makes the node the leader of the stream.
func (c *cluster) lead(t *testing.T, n *node) {
	t.Helper()
	await(t, n.name+" to lead", func() bool {
		g := c.group(t)
		if g == nil || g.Leader == n.name {
			return g != nil
		}
		request, _ := json.Marshal(map[string]any{"placement": map[string]string{"preferred": n.name}})
		_, _ = c.js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+c.stream, request, time.Second)
		return false
	})
}

// connected returns the node to which the client of that name is connected.
func (c *cluster) connected(t *testing.T, client string) (at *node) {
	t.Helper()
	await(t, client+" to be connected", func() bool {
		for _, n := range c.nodes {
			if slices.Contains(n.clients(), client) {
				at = n
				return true
			}
		}
		return false
	})
	return at
}

// clients are the names of those who are connected to the node.
func (n *node) clients() (names []string) {
	var connz server.Connz
	n.monitored("/connz", &connz)
	for _, c := range connz.Conns {
		names = append(names, c.Name)
	}
	return names
}

// monitored reads what the node says of itself; nothing where it does not answer.
func (n *node) monitored(path string, into any) {
	answer, err := http.Get("http://" + n.monitor + path)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	_ = json.NewDecoder(answer.Body).Decode(into)
}

// network carries the routes between the nodes: each is reached through a proxy of its own, and one can be cut off.
type network struct {
	mu   sync.Mutex
	off  string        // node that is cut off; "" = none
	over chan struct{} // closed when it is cut off no more
}

// proxy returns the address at which the others reach the node that listens at the address.
func (n *network) proxy(t *testing.T, node, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go n.join(in, node, address)
		}
	}()
	return listener.Addr().String()
}

// named finds the name of the node in what it says first.
var named = regexp.MustCompile(`"server_name":"(n[0-9]+)"`)

func (n *network) join(in net.Conn, to, address string) {
	defer in.Close()
	n.await(to, to)
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	var from atomic.Value // who is at the other end
	from.Store("")
	carry := func(target, source net.Conn, heard func([]byte)) {
		defer target.Close()
		buffer := make([]byte, 1<<16)
		for {
			k, err := source.Read(buffer)
			heard(buffer[:k])
			n.await(from.Load().(string), to)
			if err != nil {
				return
			}
			if _, err := target.Write(buffer[:k]); err != nil {
				return
			}
		}
	}
	go carry(in, out, func([]byte) {})
	carry(out, in, func(b []byte) {
		if m := named.FindSubmatch(b); m != nil && from.Load() == "" {
			from.Store(string(m[1]))
		}
	})
}

// await returns when neither of the two is cut off.
func (n *network) await(a, b string) {
	for {
		n.mu.Lock()
		off, over := n.off, n.over
		n.mu.Unlock()
		if off == "" || off != a && off != b {
			return
		}
		<-over
	}
}

// cut has no byte pass between the node and the others, and no connection end.
func (n *network) cut(node *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.off, n.over = node.name, make(chan struct{})
}

// mend lets all pass that was held up.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.off = ""
	close(n.over)
}
