//go:build firmware

// Package e2e runs the pin's firmware, natively and under QEMU, with the real program around it: `pinfold up` behind, and a
// `pinfold bridge` for each phone. Without the firmware built, its tests fail and name what builds it.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"pinfold/client/link"
	"pinfold/firmware/host"
	"pinfold/internal/fact"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

// program is the binary of cmd/pinfold.
var program string

// firmware is what each board runs.
var firmware = map[host.Board]string{host.Native: "../build/native/pin", host.QEMU: "../build/m4/pin.elf"}

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pinfold-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "pinfold")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/pinfold").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build pinfold: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds every wait. Nothing here should take a tenth of it.
const patience = 60 * time.Second

// eachBoard runs a test natively and under QEMU.
func eachBoard(t *testing.T, test func(t *testing.T, board host.Board)) {
	for _, board := range []host.Board{host.Native, host.QEMU} {
		t.Run(string(board), func(t *testing.T) { test(t, board) })
	}
}

// eventually asks again and again until it is so.
func eventually(t *testing.T, what string, so func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	for {
		ok, seen := so()
		if ok {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("after %v still not: %s; %s", patience, what, seen)
		}
	}
}

// output gathers what a process says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// games is a running `pinfold up`.
type games struct {
	address string
	gateway gatewayv1.GatewayServiceClient
}

func startGames(t *testing.T) *games {
	t.Helper()
	cmd := exec.Command(program, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--tap-listen", "127.0.0.1:0",
		"--rewards-listen", "127.0.0.1:0", "--steps-listen", "127.0.0.1:0", "--admin", "", "--output", "json", "--log-level", "warn")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &output{}
	cmd.Stderr = said
	start(t, cmd, said)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("up: %v: %s", err, said)
	}
	var at struct{ Gateway string }
	if err := json.Unmarshal(line, &at); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+at.Gateway, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &games{address: at.Gateway, gateway: gatewayv1.NewGatewayServiceClient(conn)}
}

// start starts a process that ends with the test, or earlier with the function that it returns.
func start(t *testing.T, cmd *exec.Cmd, said *output) (stop func()) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already, which Wait says
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", strings.Join(cmd.Args[1:], " "), err, said)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitFriend waits until a wearer has one friend.
func (g *games) awaitFriend(t *testing.T, wearer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := g.gateway.WatchFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: wearer}.Build())
	if err != nil {
		t.Fatal(err)
	}
	for {
		face, err := stream.Recv()
		if err != nil {
			t.Fatalf("wearer %s has not one friend: %v", wearer, err)
		}
		if face.GetFriends() == 1 {
			return
		}
	}
}

func (g *games) friendships(t *testing.T) uint64 {
	t.Helper()
	o, err := g.gateway.GetOutcomes(t.Context(), &tapv1.GetOutcomesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return o.GetFriendships()
}

// person is a wearer with a pin that runs, and a phone.
type person struct {
	*host.Pin
	wearer  string
	memory  string  // of the phone
	log     *output // of the firmware
	station *host.Station
}

// wearer is the id of the person of that number.
func wearer(number int) string { return fact.WearerID{15: byte(number + 1)}.String() }

func newPerson(t *testing.T, board host.Board, number int) *person {
	t.Helper()
	p := &person{wearer: wearer(number), memory: filepath.Join(t.TempDir(), "phone"), log: &output{}}
	p.Pin = startPin(t, board, shortFolder(t), p.log)
	return p
}

// shortFolder returns a temporary folder whose path leaves room for the name of a socket.
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startPin(t *testing.T, board host.Board, folder string, log io.Writer) *host.Pin {
	t.Helper()
	pin, err := host.Start(context.WithoutCancel(t.Context()), host.Config{Board: board, Firmware: firmware[board], Folder: folder, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pin.Stop(); err != nil { // a sanitizer's finding comes out here
			t.Error(err)
		}
	})
	return pin
}

// phone connects to the pin in place of a bridge.
func (p *person) phone(t *testing.T) *link.Phone {
	t.Helper()
	phone, err := p.Phone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = phone.Close() })
	return phone
}

// bridge starts the phone of a person, which pairs the pin if it has not, and returns what switches it off.
func (p *person) bridge(t *testing.T, g *games) (off func()) {
	t.Helper()
	cmd := exec.Command(program, "bridge", "--pin", "unix:"+p.PhoneSocket(), "--gateway", g.address, "--wearer", p.wearer,
		"--register", "--memory", p.memory)
	said := &output{}
	cmd.Stderr = said
	off = start(t, cmd, said)
	pressed := false
	eventually(t, "the pin is paired", func() (bool, string) {
		if !pressed && strings.Contains(said.String(), "Press the button") {
			pressed = true
			p.do(t, host.Press())
		}
		names, _ := filepath.Glob(filepath.Join(p.memory, "*")) // the pattern is good
		return len(names) == 1, said.String()
	})
	return off
}

func (p *person) do(t *testing.T, commands ...host.Command) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Do(ctx, commands...); err != nil {
		t.Fatal(err)
	}
}

func (p *person) screenshot(t *testing.T) *image.NRGBA {
	t.Helper()
	picture, err := p.Screenshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// newAir returns air in which these people's pins are, near nobody.
func newAir(t *testing.T, c host.AirConfig, people ...*person) *host.Air {
	t.Helper()
	air := host.NewAir(c)
	t.Cleanup(air.Close)
	for _, p := range people {
		conn, err := p.Peer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.station = air.Join(conn)
	}
	return air
}

// tap brings two pins together until each holds both halves, and apart again.
func tap(t *testing.T, air *host.Air, a, b *person) {
	t.Helper()
	taps(t, air, [2]*person{a, b})
}

// taps does so with several pairs at once.
func taps(t *testing.T, air *host.Air, pairs ...[2]*person) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range pairs {
		group.Go(func() error { return air.Tap(ctx, p[0].guest(), p[1].guest()) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (p *person) guest() host.Guest { return host.Guest{Pin: p.Folder, Station: p.station} }

// leave takes the other pin away and waits until the person's pin has seen that it is gone.
func (p *person) leave(t *testing.T) {
	t.Helper()
	p.do(t, host.Near(false))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := p.Await(ctx, func(s host.Seen) bool { return s.Apart }); err != nil {
		t.Fatal(err)
	}
}
