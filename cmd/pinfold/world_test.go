package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"

	"pinfold/audit"
	"pinfold/client"
	"pinfold/crowd"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	gateway "pinfold/services/gateway/server"
)

// sfhh is where a real conference is looked for, unless PINFOLD_TEST_CONTACTS names another file of it.
const sfhh = "../../../shared/data/contacts/SFHH_tij.dat.gz"

// noConference says what is missing, and where it is had.
const noConference = "no real contacts: %v. Get SFHH_tij.dat.gz, the conference SFHH of 2009, from http://www.sociopatterns.org/datasets/ " +
	"(CC0), and name it in PINFOLD_TEST_CONTACTS. MADE UP contacts are played instead"

// sfhhSummary is what that conference must give, of people, taps and awards.
var sfhhSummary = crowd.Summary{
	People: 403, Taps: 26040, Friendships: 9565, Medals: crowd.Medals{Bronze: 158, Silver: 26, Gold: 5},
	Backgrounds: 3670, CompleteCollections: 2, Halves: 52080,
}

// conference returns the contacts of the real conference and its exact results, or where its data is not on this
// machine, which is said, those of a made up crowd and the results of a dumb model.
func conference(t testing.TB) (crowd.Contacts, crowd.Summary) {
	t.Helper()
	path := cmp.Or(os.Getenv("PINFOLD_TEST_CONTACTS"), sfhh)
	if _, err := os.Stat(path); err != nil {
		t.Logf(noConference, err)
		c := crowd.Synthetic(200, 2, 1)
		return c, expect(c)
	}
	c, err := crowd.ReadContacts(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := expect(c); got != sfhhSummary {
		t.Fatalf("the dumb model says %+v, the data %+v", got, sfhhSummary)
	}
	return c, sfhhSummary
}

// expect is a dumb model of the Games: it counts.
func expect(c crowd.Contacts) crowd.Summary {
	friends := make([]map[int]bool, c.People)
	for i := range friends {
		friends[i] = map[int]bool{}
	}
	for _, e := range c.Encounters {
		friends[e.A][e.B], friends[e.B][e.A] = true, true
	}
	s := crowd.Summary{People: c.People, Taps: len(c.Encounters), Halves: uint64(2 * len(c.Encounters))}
	for _, of := range friends {
		n := len(of)
		s.Friendships += uint64(n)
		s.Backgrounds += uint64(min(n/5, 33))
		s.CompleteCollections += one(n >= 165)
		s.Medals.Bronze += one(n >= 50)
		s.Medals.Silver += one(n >= 100)
		s.Medals.Gold += one(n >= 151)
	}
	s.Friendships /= 2
	return s
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

// timeless is a summary without what differs from run to run.
func timeless(s crowd.Summary) crowd.Summary {
	s.Seconds, s.HalvesPerSecond = 0, 0
	return s
}

// world is a running `pinfold up` with a client.
type world struct {
	at      addresses
	data    string
	conn    *grpc.ClientConn
	gateway gatewayv1.GatewayServiceClient
	seq     uint64 // of the last fact of the roster that the test wrote
	stop    func() // waits until it has ended
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startUp runs `pinfold up` in this process on the folder, with changes to its flags, and returns when it serves.
func startUp(t testing.TB, data string, change ...func(*upCommand)) *world {
	t.Helper()
	return startUpLogging(t, data, slog.New(slog.DiscardHandler), change...)
}

// startUpLogging does so with a logger.
func startUpLogging(t testing.TB, data string, logger *slog.Logger, change ...func(*upCommand)) *world {
	t.Helper()
	limits := gateway.DefaultLimits()
	up := upCommand{
		storeFlags: storeFlags{Data: data, Games: "tokyo2020"},
		gatewayFlags: gatewayFlags{
			Listen: "127.0.0.1:0", Tolerance: tolerance(limits.Tolerance), PinRate: rate(limits.Rate), PinBurst: burst(limits.Burst),
			CallerRate: rate(limits.CallerRate), CallerBurst: burst(limits.CallerBurst),
			CheckpointEvery: 1000,
		},
		TapListen: "127.0.0.1:0", RewardsListen: "127.0.0.1:0", StepsListen: "127.0.0.1:0", Admin: "127.0.0.1:0",
	}
	for _, f := range change {
		f(&up)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan addresses, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- up.up(ctx, logger, func(_ context.Context, at addresses) error {
			ready <- at
			return nil
		})
	}()
	w := &world{data: data}
	select {
	case w.at = <-ready:
	case err := <-ended:
		t.Fatalf("up ended: %v", err)
	}
	var err error
	if w.conn, err = dialPlain(w.at.Gateway); err != nil {
		t.Fatal(err)
	}
	w.gateway = gatewayv1.NewGatewayServiceClient(w.conn)
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = w.conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("up ended: %v", err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

// play lets a crowd meet through the world's gateway.
func (w *world) play(t testing.TB, c crowd.Contacts) crowd.Summary {
	t.Helper()
	s, err := crowd.New(crowd.Config{Gateway: w.conn, Contacts: c, Seed: 1}).Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// resting is what stopped processes left beside the log: their views, and the checkpoints that gateways signed.
type resting struct {
	views       []audit.ViewDigest
	checkpoints []merkle.Checkpoint
}

// add reads the views of these services, and the checkpoints if one of them is a gateway.
func (r *resting) add(t testing.TB, data string, services ...string) {
	t.Helper()
	for _, service := range services {
		at, err := restingSnapshot(filepath.Join(data, "views", service+".db"), service)
		if err != nil {
			t.Fatal(err)
		}
		r.views = append(r.views, audit.ViewDigest{Service: service, Seq: at.Seq, Digest: at.Digest})
		if service == "gateway" {
			r.checkpoints = append(r.checkpoints, restingCheckpoints(t, filepath.Join(data, "keys"))...)
		}
	}
}

func restingCheckpoints(t testing.TB, keys string) (list []merkle.Checkpoint) {
	t.Helper()
	store, err := view.OpenReadOnly(filepath.Join(keys, "signed.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	signed, err := notary.Unasked(store, 0, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	known, err := keyFlag{filepath.Join(keys, "checkpoint.pub")}.known("tokyo2020")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signed {
		c, err := merkle.OpenCheckpoint(s.Note, "tokyo2020", known)
		if err != nil || c.Size != s.Size {
			t.Fatalf("the checkpoint of %d facts: %+v, %v", s.Size, c, err)
		}
		list = append(list, c)
	}
	return list
}

// restingRewards returns the digest of the view of a stopped rewards service.
func restingRewards(t testing.TB, data string) view.Digest {
	t.Helper()
	var at resting
	at.add(t, data, "rewards")
	return at.views[0].Digest
}

// removeViews deletes the views of a stopped `pinfold up`.
func removeViews(t testing.TB, data string) {
	t.Helper()
	for _, service := range serviceNames {
		if err := os.Remove(filepath.Join(data, "views", service+".db")); err != nil {
			t.Fatal(err)
		}
	}
}

var serviceNames = []string{"gateway", "tap", "rewards", "steps"}

// person is a wearer with a registered and paired pin.
type person struct {
	wearer fact.WearerID
	pin    *client.Pin
}

func newPerson(i int) person {
	secret := sha256.Sum256(fmt.Appendf(nil, "person %d", i))
	return person{wearer: fact.WearerID(secret[:16]), pin: client.RestorePin(secret, 0)}
}

// enrol registers the pins of people and pairs them.
func (w *world) enrol(t testing.TB, people ...person) {
	t.Helper()
	var b gatewayv1.RegisterPinsRequest_builder
	for _, p := range people {
		b.Pins = append(b.Pins, registration(p.pin))
	}
	if _, err := gatewayv1.NewOperatorServiceClient(w.conn).RegisterPins(t.Context(), b.Build()); err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		if err := w.pair(t.Context(), p.wearer, p.pin); err != nil {
			t.Fatal(err)
		}
	}
}

func registration(p *client.Pin) *gatewayv1.Registration {
	key := p.Key()
	return gatewayv1.Registration_builder{Pin: p.ID().String(), PublicKey: key[:]}.Build()
}

func (w *world) pair(ctx context.Context, wearer fact.WearerID, pin *client.Pin) error {
	c, err := w.gateway.BeginPairing(ctx, gatewayv1.BeginPairingRequest_builder{Wearer: wearer.String()}.Build())
	if err != nil {
		return err
	}
	proof := pin.Prove(fact.Challenge(c.GetChallenge()), client.Now())
	paired, err := w.gateway.PairPin(ctx, gatewayv1.PairPinRequest_builder{Statement: proof.Statement, Signature: proof.Signature[:]}.Build())
	w.seq = max(w.seq, paired.GetSeq())
	return err
}

// tap lets two people tap their pins together, and returns both halves.
func tapPins(t testing.TB, a, b person) (halfA, halfB client.Signed) {
	t.Helper()
	sideA, sideB := a.pin.Approach(), b.pin.Approach()
	var err error
	if halfA, err = sideA.Sign(sideB.Hello(), crowd.Midnight); err != nil {
		t.Fatal(err)
	}
	if halfB, err = sideB.Sign(sideA.Hello(), crowd.Midnight); err != nil {
		t.Fatal(err)
	}
	return halfA, halfB
}

// deliver uploads statements by the phone of a pin.
func (w *world) deliver(ctx context.Context, carrier *client.Pin, statements ...client.Signed) (*gatewayv1.DeliverResponse, error) {
	b := gatewayv1.DeliverRequest_builder{Carrier: carrier.ID().String()}
	for _, s := range statements {
		b.Statements = append(b.Statements, gatewayv1.SignedStatement_builder{Statement: s.Statement, Signature: s.Signature[:]}.Build())
	}
	return w.gateway.Deliver(ctx, b.Build())
}

// pinfold runs a command line and returns its exit code and what it printed.
func pinfold(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs record // several goroutines write, as they may into a file
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func parseSummary(t testing.TB, text string) crowd.Summary {
	t.Helper()
	var s crowd.Summary
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if d.More() {
		t.Fatalf("more than one object in %q", text)
	}
	return s
}
