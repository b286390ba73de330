package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// audited is an auditor, the log behind it, and who checks what it says.
type audited struct {
	*auditor
	log   *eventlog.Memory
	known note.Verifiers
	stop  func() error // waits until the notary has ended, and returns how
}

// notaryOf returns what a notary of the log keeps: nothing yet.
func notaryOf(t *testing.T, log eventlog.Log, every fact.Seq) notary.Config {
	t.Helper()
	private, _, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	return notary.Config{
		Games: games, Log: log, Logger: quiet, Tree: keptTree(), Signed: view.NewMemory(),
		Keys: &notary.MemoryList{}, Key: private, Every: every,
	}
}

// keptTree opens a tree in memory, which is the same each time.
func keptTree() func() (view.Store, error) {
	tree := view.NewMemory()
	return func() (view.Store, error) { return tree, nil }
}

// startAuditor serves an audit of the log until the end of the test.
func startAuditor(t *testing.T, log *eventlog.Memory, c notary.Config) *audited {
	t.Helper()
	n, err := notary.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := merkle.NewVerifier(n.PublicKey(), games)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	a := &audited{log: log, known: note.VerifierList(verifier)}
	a.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = a.stop() })
	a.auditor = &auditor{
		api: &api{config: Config{Config: serve.Config{Games: games}}, services: &services{}}, log: c.Log, notary: n,
	}
	return a
}

// newAudited serves an audit of a log that has begun, with 2 facts, in which a checkpoint is signed unasked every 10.
func newAudited(t *testing.T) *audited {
	t.Helper()
	log := begun(t, eventlog.Faults{})
	return startAuditor(t, log, notaryOf(t, log, 10))
}

// tick appends n facts to the log, no two alike.
func tick(t *testing.T, log eventlog.Log, n int) {
	t.Helper()
	for range n {
		head, err := log.Head(t.Context())
		if err == nil {
			_, err = log.Append(t.Context(), batch([]fact.Fact{fact.TimePassed{Time: fact.UnixMilli(head.Last) * 1000}}, nil))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// head returns how many facts the log holds.
func (a *audited) head(t *testing.T) uint64 {
	t.Helper()
	head, err := a.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uint64(head.Last)
}

// tickTo lets the log grow to so many facts, and the tree with it.
func (a *audited) tickTo(t *testing.T, size uint64) {
	t.Helper()
	tick(t, a.log, int(size-a.head(t)))
	if err := a.notary.Wait(t.Context(), fact.Seq(size)); err != nil {
		t.Fatal(err)
	}
}

// root returns the root of the first size facts of the log, which it asks itself.
func (a *audited) root(t *testing.T, size fact.Seq) merkle.Hash {
	t.Helper()
	var e merkle.Edge
	for seq := fact.Seq(1); seq <= size; seq++ {
		e.Add(a.leaf(t, seq))
	}
	return e.Root()
}

func (a *audited) leaf(t *testing.T, seq fact.Seq) merkle.Hash {
	t.Helper()
	m, ok, err := a.log.At(t.Context(), seq)
	if err != nil || !ok {
		t.Fatalf("sequence %d: %t, %v", seq, ok, err)
	}
	leaf, err := merkle.Leaf(m)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// wantSigned returns the checkpoint of the note, which is to be signed and to say what the log has.
func (a *audited) wantSigned(t *testing.T, text string) merkle.Checkpoint {
	t.Helper()
	c, err := merkle.OpenCheckpoint(text, games, a.known)
	if err != nil {
		t.Fatal(err)
	}
	if want := a.root(t, c.Size); c.Root != want {
		t.Errorf("the root of %d facts is %v, want %v", c.Size, c.Root, want)
	}
	return c
}

// checkpoint asks for a checkpoint of that size, or with 0 for the newest, of at least so many facts.
func (a *audited) checkpoint(ctx context.Context, size, least uint64) (*gatewayv1.GetCheckpointResponse, error) {
	return a.GetCheckpoint(ctx, gatewayv1.GetCheckpointRequest_builder{Size: size, MinSeq: least}.Build())
}

func (a *audited) inclusion(ctx context.Context, seq, size uint64) (*gatewayv1.ProveInclusionResponse, error) {
	return a.ProveInclusion(ctx, gatewayv1.ProveInclusionRequest_builder{Seq: seq, Size: size}.Build())
}

func (a *audited) consistency(ctx context.Context, from, to uint64) (*gatewayv1.ProveConsistencyResponse, error) {
	return a.ProveConsistency(ctx, gatewayv1.ProveConsistencyRequest_builder{FromSize: from, ToSize: to}.Build())
}

func (a *audited) list(t *testing.T, size int32, token string) *gatewayv1.ListCheckpointsResponse {
	t.Helper()
	r, err := a.ListCheckpoints(t.Context(), gatewayv1.ListCheckpointsRequest_builder{PageSize: size, PageToken: token}.Build())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asHashes reads hashes of 32 bytes each.
func asHashes(list [][]byte) []merkle.Hash {
	out := make([]merkle.Hash, len(list))
	for i, h := range list {
		out[i] = merkle.Hash(h)
	}
	return out
}

// TestCheckpointNewest: the newest checkpoint covers all that the log holds when it is asked for, however far the tree is.
func TestCheckpointNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		for _, n := range []int{0, 0, 1, 7, 0, 30} {
			tick(t, a.log, n)
			head := a.head(t)
			for _, least := range []uint64{0, 1, head} {
				r, err := a.checkpoint(t.Context(), 0, least)
				if err != nil {
					t.Fatal(err)
				}
				if c := a.wantSigned(t, r.GetCheckpoint()); uint64(c.Size) != head {
					t.Errorf("got a checkpoint of %d facts, want all %d", c.Size, head)
				}
				if r.GetPublicKey() != a.notary.PublicKey() {
					t.Errorf("the key is %q, want %q", r.GetPublicKey(), a.notary.PublicKey())
				}
			}
		}
	})
}

// TestProofs checks every proof of every tree up to a size against the signed checkpoints of those sizes.
func TestProofs(t *testing.T) {
	const most = 37
	a := newAudited(t)
	a.tickTo(t, most+3) // the tree is larger than what is asked for
	var signed [most + 1]merkle.Checkpoint
	for size := uint64(1); size <= most; size++ {
		r, err := a.checkpoint(t.Context(), size, 1_000_000) // min_seq is for size 0 only
		if err != nil {
			t.Fatal(err)
		}
		if signed[size] = a.wantSigned(t, r.GetCheckpoint()); uint64(signed[size].Size) != size {
			t.Errorf("got a checkpoint of %d facts, want %d", signed[size].Size, size)
		}
	}
	for size := uint64(1); size <= most; size++ {
		to := signed[size]
		for before := uint64(1); before <= size; before++ {
			in, err := a.inclusion(t.Context(), before, size)
			if err != nil {
				t.Fatal(err)
			}
			leaf := a.leaf(t, fact.Seq(before))
			if string(in.GetLeafHash()) != string(leaf[:]) {
				t.Errorf("sequence %d: leaf %x, want %v", before, in.GetLeafHash(), leaf)
			}
			if err := merkle.CheckInclusion(asHashes(in.GetHashes()), to.Size, to.Root, fact.Seq(before), leaf); err != nil {
				t.Error(err)
			}
			between, err := a.consistency(t.Context(), before, size)
			if err != nil {
				t.Fatal(err)
			}
			from := signed[before]
			if err := merkle.CheckConsistency(asHashes(between.GetHashes()), from.Size, from.Root, to.Size, to.Root); err != nil {
				t.Error(err)
			}
		}
	}
}

// sizeCalls are the calls that wait for a tree of a size, by the field that says the size.
var sizeCalls = map[string]func(ctx context.Context, a *audited, size uint64) error{
	"GetCheckpoint size": func(ctx context.Context, a *audited, size uint64) error {
		_, err := a.checkpoint(ctx, size, 0)
		return err
	},
	"GetCheckpoint min_seq": func(ctx context.Context, a *audited, size uint64) error {
		_, err := a.checkpoint(ctx, 0, size)
		return err
	},
	"ProveInclusion size": func(ctx context.Context, a *audited, size uint64) error {
		_, err := a.inclusion(ctx, 1, size)
		return err
	},
	"ProveConsistency to_size": func(ctx context.Context, a *audited, size uint64) error {
		_, err := a.consistency(ctx, 1, size)
		return err
	},
}

// TestAuditWaits: a call that asks for more than there is waits for the log to grow, and no longer.
func TestAuditWaits(t *testing.T) {
	for name, call := range sizeCalls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAudited(t)
				a.tickTo(t, 12)
				done := make(chan error, 1)
				go func() { done <- call(t.Context(), a, 15) }()
				a.tickTo(t, 14)
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("got an answer (error %v) from a tree of 14 facts, want it to wait for 15", err)
				default:
				}
				a.tickTo(t, 15)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestAuditNotReached: at its deadline a call says how far the tree has come, in time for the caller to hear it.
func TestAuditNotReached(t *testing.T) {
	for name, call := range sizeCalls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAudited(t)
				a.tickTo(t, 12)
				for _, size := range []uint64{13, 1 << 63, 1<<64 - 1} {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					err := call(ctx, a, size)
					if ctx.Err() != nil {
						t.Errorf("%d: the answer came after the deadline", size)
					}
					cancel()
					wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED)
					_, field, _ := strings.Cut(name, " ")
					for _, want := range []string{fmt.Sprintf("%s %d:", field, size), "up to 12"} {
						if !strings.Contains(fmt.Sprint(err), want) {
							t.Errorf("got %q, want it to say %q", err, want)
						}
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				wantError(t, call(ctx, a, 13), codes.Canceled, noReason)
			})
		})
	}
}

// TestListCheckpoints pages through what was signed unasked, with every size of a page.
func TestListCheckpoints(t *testing.T) {
	const every = 10
	a := newAudited(t)
	for _, facts := range []uint64{9, 10, 57} {
		a.tickTo(t, facts)
		if _, err := a.checkpoint(t.Context(), facts, 0); err != nil { // asked for: it is not listed
			t.Fatal(err)
		}
		signed := int(facts / every)
		for size := 1; size <= signed+2; size++ {
			var got []fact.Seq
			pages, token := 0, ""
			for more := true; more; more = token != "" {
				page := a.list(t, int32(size), token)
				for _, text := range page.GetCheckpoints() {
					got = append(got, a.wantSigned(t, text).Size)
				}
				token = page.GetNextPageToken()
				if n := len(page.GetCheckpoints()); n > size || token != "" && n != size {
					t.Errorf("a page of %d checkpoints, want %d", n, size)
				}
				pages++
			}
			want := make([]fact.Seq, signed)
			for i := range want {
				want[i] = fact.Seq(i+1) * every
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d facts, pages of %d: got %v, want %v", facts, size, got, want)
			}
			if most := max(1, (signed+size-1)/size); pages != most {
				t.Errorf("%d facts, pages of %d: got %d pages, want %d", facts, size, pages, most)
			}
		}
	}
	t.Run("it grows meanwhile", func(t *testing.T) {
		token := a.list(t, 4, "").GetNextPageToken()
		a.tickTo(t, 60)
		rest := a.list(t, 4, token)
		if n := len(rest.GetCheckpoints()); n != 2 || rest.GetNextPageToken() != "" {
			t.Errorf("got %d checkpoints and the token %q, want the 2 of 50 and 60 facts", n, rest.GetNextPageToken())
		}
		if n := len(a.list(t, 4, "60").GetCheckpoints()); n != 0 {
			t.Errorf("got %d checkpoints behind the last one", n)
		}
		if n := len(a.list(t, 4, "9223372036854775807").GetCheckpoints()); n != 0 {
			t.Errorf("got %d checkpoints behind the largest token", n)
		}
	})
}

// TestListCheckpointsDefault: a page is of 50 where no size is given, and at most of 500.
func TestListCheckpointsDefault(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	a := startAuditor(t, log, notaryOf(t, log, 1))
	a.tickTo(t, 501)
	for asked, want := range map[int32]int{0: 50, 500: 500} {
		page := a.list(t, asked, "")
		if n := len(page.GetCheckpoints()); n != want || page.GetNextPageToken() != fmt.Sprint(want) {
			t.Errorf("page_size %d: got %d checkpoints and the token %q, want %d", asked, n, page.GetNextPageToken(), want)
		}
	}
}

// TestAuditMalformed: what no log could answer is refused at once, with the field and the rule.
func TestAuditMalformed(t *testing.T) {
	a := newAudited(t)
	a.tickTo(t, 12)
	listing := func(size int32, token string) func() error {
		return func() error {
			_, err := a.ListCheckpoints(t.Context(), gatewayv1.ListCheckpointsRequest_builder{PageSize: size, PageToken: token}.Build())
			return err
		}
	}
	including := func(seq, size uint64) func() error {
		return func() error { _, err := a.inclusion(t.Context(), seq, size); return err }
	}
	between := func(from, to uint64) func() error {
		return func() error { _, err := a.consistency(t.Context(), from, to); return err }
	}
	certifying := func(b gatewayv1.GetCertificateRequest_builder) func() error {
		return func() error { _, err := a.GetCertificate(t.Context(), b.Build()); return err }
	}
	alice := newPerson("alice").wearer.String()
	for name, tt := range map[string]struct {
		call func() error
		want string // that the message says
	}{
		"a page of -1":            {listing(-1, ""), "page_size: -1"},
		"a page of 501":           {listing(501, ""), "page_size: 501"},
		"a token of words":        {listing(1, "next"), "page_token"},
		"a negative token":        {listing(1, "-1"), "page_token"},
		"a token with a sign":     {listing(1, "+1"), "page_token"},
		"half a token":            {listing(1, "10.5"), "page_token"},
		"a token of 64 bits":      {listing(1, "9223372036854775808"), "page_token"},
		"inclusion of nothing":    {including(0, 12), "seq: 0"},
		"inclusion in nothing":    {including(0, 0), "seq: 0"},
		"inclusion behind":        {including(13, 12), "seq: 13"},
		"inclusion far behind":    {including(1<<64-1, 1<<40), "want 1 to size, which is 1099511627776"},
		"consistency of nothing":  {between(0, 12), "from_size: 0"},
		"consistency backwards":   {between(12, 11), "from_size: 12"},
		"consistency far back":    {between(1<<64-1, 1), "want 1 to to_size, which is 1"},
		"a certificate of nobody": {certifying(gatewayv1.GetCertificateRequest_builder{Wearer: "alice", Medal: logv1.Medal_MEDAL_GOLD.Enum()}), "wearer"},
		"a certificate of what":   {certifying(gatewayv1.GetCertificateRequest_builder{Wearer: alice}), "award"},
		"no such medal":           {certifying(gatewayv1.GetCertificateRequest_builder{Wearer: alice, Medal: logv1.Medal(4).Enum()}), "award"},
		"less than a medal":       {certifying(gatewayv1.GetCertificateRequest_builder{Wearer: alice, Medal: logv1.Medal(-1).Enum()}), "award"},
		"no id of a sport":        {certifying(gatewayv1.GetCertificateRequest_builder{Wearer: alice, Background: new("Golf!")}), "Golf!"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.call()
			wantError(t, err, codes.InvalidArgument, gatewayv1.Reason_REASON_MALFORMED)
			if err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to say %q", err, tt.want)
			}
		})
	}
}

// TestAuditOutage: while the log cannot be asked nobody knows what is newest, but all that is in the tree is still served.
func TestAuditOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		log := begun(t, eventlog.Faults{Enter: func(call string) error {
			if away.Load() && call != "At" { // which the test itself asks
				return fmt.Errorf("%w: %s", eventlog.ErrUnreachable, call)
			}
			return nil
		}})
		a := startAuditor(t, log, notaryOf(t, log, 10))
		a.tickTo(t, 25)
		away.Store(true)
		for _, least := range []uint64{0, 1, 26} {
			_, err := a.checkpoint(t.Context(), 0, least)
			wantError(t, err, codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE)
		}
		for _, name := range []string{"GetCheckpoint size", "ProveInclusion size", "ProveConsistency to_size"} {
			if err := sizeCalls[name](t.Context(), a, 25); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(a.list(t, 0, "").GetCheckpoints()); n != 2 {
			t.Errorf("%d checkpoints are listed, want 2", n)
		}
		done := make(chan error, 1)
		go func() { done <- sizeCalls["GetCheckpoint size"](t.Context(), a, 26) }()
		<-time.After(time.Minute) // the notary tries in vain
		away.Store(false)
		tick(t, log, 1)
		if err := <-done; err != nil {
			t.Errorf("when the log is back: %v", err)
		}
		r, err := a.checkpoint(t.Context(), 0, 0)
		if err != nil || a.wantSigned(t, r.GetCheckpoint()).Size != 26 {
			t.Errorf("when the log is back: got %v, %v, want a checkpoint of 26 facts", r, err)
		}
	})
}

// TestAuditConcurrent: many callers see one history while the log grows: each holds what it is told against what it was
// told before.
func TestAuditConcurrent(t *testing.T) {
	rng := newRand(t)
	seeds := [4]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()}
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t)
		var group sync.WaitGroup
		group.Go(func() {
			for range 60 {
				tick(t, a.log, 2)
				<-time.After(37 * time.Millisecond)
			}
		})
		for _, seed := range seeds {
			group.Go(func() {
				if err := a.watch(t.Context(), rand.New(rand.NewPCG(seed, 0)), 40); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		r, err := a.checkpoint(t.Context(), 0, 0)
		if err != nil || a.wantSigned(t, r.GetCheckpoint()).Size != 122 {
			t.Errorf("got %v, %v, want the checkpoint of all facts", r, err)
		}
		page := a.list(t, 500, "")
		if n := len(page.GetCheckpoints()); n != 12 {
			t.Errorf("%d checkpoints were signed unasked, want 12 of 122 facts", n)
		}
		for _, text := range page.GetCheckpoints() {
			a.wantSigned(t, text)
		}
	})
}

// watch follows the newest checkpoint for so many turns, and returns an error once what it is told does not fit.
func (a *audited) watch(ctx context.Context, rng *rand.Rand, turns int) error {
	var last merkle.Checkpoint
	for range turns {
		r, err := a.checkpoint(ctx, 0, uint64(last.Size)+rng.Uint64N(2))
		if err != nil {
			return err
		}
		next, err := merkle.OpenCheckpoint(r.GetCheckpoint(), games, a.known)
		if err != nil {
			return err
		}
		if next.Size < last.Size {
			return fmt.Errorf("the newest checkpoint went back from %d facts to %d", last.Size, next.Size)
		}
		if err := a.checkNext(ctx, rng, last, next); err != nil {
			return err
		}
		last = next
		if int(last.Size) == 122 { // there will be no more
			return nil
		}
	}
	return nil
}

// checkNext asks for proofs that the later tree begins with the earlier one, and holds one of its facts.
func (a *audited) checkNext(ctx context.Context, rng *rand.Rand, last, next merkle.Checkpoint) error {
	seq := 1 + rng.Uint64N(uint64(next.Size))
	in, err := a.inclusion(ctx, seq, uint64(next.Size))
	if err != nil {
		return err
	}
	if err := merkle.CheckInclusion(asHashes(in.GetHashes()), next.Size, next.Root, fact.Seq(seq), merkle.Hash(in.GetLeafHash())); err != nil {
		return err
	}
	if last.Size == 0 {
		return nil
	}
	between, err := a.consistency(ctx, uint64(last.Size), uint64(next.Size))
	if err != nil {
		return err
	}
	return merkle.CheckConsistency(asHashes(between.GetHashes()), last.Size, last.Root, next.Size, next.Root)
}

// pagedLog is a log that is read a few facts at a time.
type pagedLog struct{ eventlog.Log }

func (l pagedLog) Read(ctx context.Context, after eventlog.Position) (eventlog.Reader, error) {
	r, err := l.Log.Read(ctx, after)
	return pagedReader{r}, err
}

type pagedReader struct{ eventlog.Reader }

func (r pagedReader) Next(ctx context.Context, most int) ([]eventlog.Message, error) {
	return r.Reader.Next(ctx, min(most, 5))
}

// TestAuditRebuild deletes the tree of a log for which a checkpoint of 40 facts was signed. Nothing of a tree is shown,
// or signed, before it has come to those facts again and they are the same.
func TestAuditRebuild(t *testing.T) {
	for name, tt := range map[string]struct {
		rewritten bool
		code      codes.Code
		reason    gatewayv1.Reason
	}{
		"the same log": {false, codes.OK, noReason},
		"another log":  {true, codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := begun(t, eventlog.Faults{})
				c := notaryOf(t, log, 10)
				a := startAuditor(t, log, c)
				a.tickTo(t, 40)
				if err := a.stop(); err != nil {
					t.Fatal(err)
				}
				if tt.rewritten {
					<-time.After(time.Second) // the same facts, stored later
					log = begun(t, eventlog.Faults{})
					tick(t, log, 38)
				}
				tick(t, log, 5)
				c.Tree, c.Log = keptTree(), pagedLog{log}
				a = startAuditor(t, log, c)
				var group sync.WaitGroup
				for call, ask := range sizeCalls {
					for _, size := range []uint64{1, 5, 39, 40, 43} {
						group.Go(func() {
							ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
							defer cancel()
							if err := ask(ctx, a, size); err != nil || tt.code != codes.OK {
								t.Logf("%s, %d", call, size)
								wantError(t, err, tt.code, tt.reason)
							}
						})
					}
				}
				group.Wait()
				err := a.stop()
				if _, misfit := errors.AsType[*fold.MisfitError](err); misfit != tt.rewritten {
					t.Errorf("the notary ended with %v", err)
				}
				if n := len(a.list(t, 0, "").GetCheckpoints()); n != 4 {
					t.Errorf("%d checkpoints are listed, want the 4 of before", n)
				}
			})
		})
	}
}

// fakeAwards is a rewards service that says of everybody the same.
type fakeAwards struct {
	rewardsv1.RewardsServiceClient
	answer *rewardsv1.GetAwardsResponse
	err    error
}

func (f fakeAwards) GetAwards(context.Context, *rewardsv1.GetAwardsRequest, ...grpc.CallOption) (*rewardsv1.GetAwardsResponse, error) {
	return f.answer, f.err
}

// TestCertificateRefused: without an award there is no certificate, whoever says that there is one, and an outage is not
// taken for an answer.
func TestCertificateRefused(t *testing.T) {
	alice := newPerson("alice").wearer
	medal := rewardsv1.Medal_builder{Medal: logv1.Medal_MEDAL_BRONZE}.Build()
	golf := func(revoked bool) *rewardsv1.Background {
		return rewardsv1.Background_builder{Background: "golf", Revoked: revoked}.Build()
	}
	forGolf := gatewayv1.GetCertificateRequest_builder{Wearer: alice.String(), Background: new("golf")}.Build()
	forBronze := gatewayv1.GetCertificateRequest_builder{Wearer: alice.String(), Medal: logv1.Medal_MEDAL_BRONZE.Enum()}.Build()
	forSilver := gatewayv1.GetCertificateRequest_builder{Wearer: alice.String(), Medal: logv1.Medal_MEDAL_SILVER.Enum()}.Build()
	has := func(medals []*rewardsv1.Medal, backgrounds ...*rewardsv1.Background) fakeAwards {
		return fakeAwards{answer: rewardsv1.GetAwardsResponse_builder{Medals: medals, Backgrounds: backgrounds}.Build()}
	}
	for name, tt := range map[string]struct {
		rewards fakeAwards
		req     *gatewayv1.GetCertificateRequest
		away    string // the call on the log that fails
		code    codes.Code
		reason  gatewayv1.Reason
	}{
		"no awards":         {has(nil), forGolf, "Head", codes.NotFound, gatewayv1.Reason_REASON_NOT_AWARDED},
		"another medal":     {has([]*rewardsv1.Medal{medal}, golf(false)), forSilver, "Head", codes.NotFound, gatewayv1.Reason_REASON_NOT_AWARDED},
		"revoked":           {has([]*rewardsv1.Medal{medal}, golf(true)), forGolf, "Head", codes.NotFound, gatewayv1.Reason_REASON_NOT_AWARDED},
		"not in the log":    {has([]*rewardsv1.Medal{medal}), forBronze, "", codes.NotFound, gatewayv1.Reason_REASON_NOT_AWARDED},
		"no rewards":        {fakeAwards{err: unavailable(eventlog.ErrUnreachable)}, forGolf, "", codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE},
		"the log is away":   {has(nil, golf(false)), forGolf, "Head", codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE},
		"its facts are not": {has(nil, golf(false)), forGolf, "At", codes.Unavailable, gatewayv1.Reason_REASON_LOG_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			var away atomic.Bool
			log := begun(t, eventlog.Faults{Enter: func(call string) error {
				if away.Load() && call == tt.away {
					return fmt.Errorf("%w: %s", eventlog.ErrUnreachable, call)
				}
				return nil
			}})
			if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{
				Fact:       fact.BackgroundUnlocked{Wearer: alice, Background: "golf"},
				Derivation: fact.Derivation{Cause: 2, Count: 1},
			}}}); err != nil {
				t.Fatal(err)
			}
			a := startAuditor(t, log, notaryOf(t, log, 10))
			a.tickTo(t, 4)
			a.api.services.rewards = tt.rewards
			away.Store(true)
			_, err := a.GetCertificate(t.Context(), tt.req)
			wantError(t, err, tt.code, tt.reason)
		})
	}
}
