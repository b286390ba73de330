//go:build long

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"pinfold/crowd"
	"pinfold/internal/evidence"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

var flips = flag.Int("flips", 4, "flipped bits for each kind of file, and a quarter as many cuts and zeroed pages")

// The files that flips are made in, in the folder of a stopped `pinfold up`.
var (
	caches     = []string{"views/gateway.db", "views/tap.db", "views/rewards.db", "views/steps.db", "views/tree.db"}
	signedFile = "keys/signed.db"
)

// TestFlips damages each file of a stopped `pinfold up` at random and starts the real thing again: it answers as it did
// before, after rebuilding a cache if need be, or refuses to start. Caches are damaged together, one harm in each; who did
// it is found out where an answer is wrong.
func TestFlips(t *testing.T) {
	rng := seededRand(t, "flips")
	w := newFlipWorld(t, rng.Uint64N(1<<32))
	tally := map[string]*[fates]int{}
	count := func(h harm, f fate) {
		if tally[h.kind()] == nil {
			tally[h.kind()] = new([fates]int)
		}
		tally[h.kind()][f]++
	}
	var rounds [][]harm
	for i := range *flips + (*flips+3)/4 {
		var together []harm
		for _, name := range caches {
			together = append(together, w.drawHarm(rng, name, i < *flips))
		}
		rounds = append(rounds, together, []harm{w.drawHarm(rng, signedFile, i < *flips)})
	}
	fatesOf := make([][]fate, len(rounds))
	var group errgroup.Group
	group.SetLimit(2)
	for i, harms := range rounds {
		group.Go(func() (err error) { fatesOf[i], err = w.suffer(t, harms); return err })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, harms := range rounds {
		for k, h := range harms {
			count(h, fatesOf[i][k])
		}
	}
	w.report(t, tally)
}

// fate is what came of a file that was harmed.
type fate int

const (
	right   fate = iota // it did not matter
	rebuilt             // noticed, and made anew
	refused             // noticed, named, exit code 3
	wrong               // other answers than before, or none
	crashed
	fates
)

func (w *flipWorld) report(t *testing.T, tally map[string]*[fates]int) {
	t.Helper()
	var text strings.Builder
	var all [fates]int
	fmt.Fprintf(&text, "%-26s %7s %7s %7s %7s %7s\n", "", "right", "rebuilt", "refused", "wrong", "crashed")
	for _, kind := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(&text, "%-26s", kind)
		for f, n := range tally[kind] {
			fmt.Fprintf(&text, " %7d", n)
			all[f] += n
		}
		text.WriteString("\n")
	}
	fmt.Fprintf(&text, "wrong answers %d, crashes %d", all[wrong], all[crashed])
	t.Log("\n" + text.String())
	if all[wrong]+all[crashed] > 0 {
		t.Error("a damaged file was not noticed")
	}
	if all[rebuilt] == 0 || all[refused] == 0 {
		t.Error("nothing was noticed at all: the harm is none")
	}
}

// harm is what is done to one file.
type harm struct {
	file string
	what string // "flips" or "cuts"
	text string
	do   func(content []byte) []byte
}

func (h harm) kind() string { return filepath.Base(h.file) + ", " + h.what }

func (h harm) String() string { return h.file + ": " + h.text }

// drawHarm draws a flip, or something larger. Half of the flips are anywhere in the file, half in what pages in use hold,
// equally many for each kind of page.
func (w *flipWorld) drawHarm(rng *rand.Rand, name string, flip bool) harm {
	content := w.files[name].content
	if !flip {
		return drawCut(rng, name, len(content))
	}
	at := rng.IntN(len(content))
	if rng.IntN(2) == 0 {
		pages := w.pages[name]
		kinds := slices.Sorted(maps.Keys(pages))
		of := pages[kinds[rng.IntN(len(kinds))]]
		page := of[rng.IntN(len(of))] * pageSize
		used := bytes.TrimRight(content[page:min(page+pageSize, len(content))], "\x00")
		at = page + rng.IntN(len(used))
	}
	bit := rng.IntN(8)
	return harm{name, "flips", fmt.Sprintf("bit %d of byte %d", bit, at), func(c []byte) []byte {
		c[at] ^= 1 << bit
		return c
	}}
}

func drawCut(rng *rand.Rand, name string, size int) harm {
	at := rng.IntN(size)
	page := at / pageSize * pageSize
	switch rng.IntN(5) {
	case 0:
		return harm{name, "cuts", "empty", func([]byte) []byte { return nil }}
	case 1:
		return harm{name, "cuts", "all zeros", func(c []byte) []byte { clear(c); return c }}
	case 2:
		return harm{name, "cuts", "another kind of file", func([]byte) []byte { return []byte("some text\n") }}
	case 3:
		return harm{name, "cuts", fmt.Sprintf("cut at byte %d", at), func(c []byte) []byte { return c[:at] }}
	default:
		return harm{name, "cuts", fmt.Sprintf("the page at byte %d zeroed", page), func(c []byte) []byte { clear(c[page:min(page+pageSize, len(c))]); return c }}
	}
}

const (
	pageSize = 4096
	flipped  = 48 // as many as give each file a branch page
)

// flipWorld is a good folder in memory, and what is answered from it.
type flipWorld struct {
	binary  string
	files   map[string]heldFile
	pages   map[string]map[string][]int // of each file, the pages in use by their type
	wearers []string
	facts   uint64 // of the log
	answers map[string]string
}

// heldFile is a file without the zeros at its end, which are most of a bbolt file.
type heldFile struct {
	mode    fs.FileMode
	content []byte
	size    int64
}

func newFlipWorld(t *testing.T, seed uint64) *flipWorld {
	t.Helper()
	w := &flipWorld{binary: buildBinary(t), files: map[string]heldFile{}, pages: map[string]map[string][]int{}}
	data := filepath.Join(t.TempDir(), "good")
	up := startUp(t, data, func(c *upCommand) { c.CheckpointEvery = 20 })
	crowded := crowd.New(crowd.Config{Gateway: up.conn, Contacts: crowd.Synthetic(flipped, 1, seed), Seed: 1})
	if _, err := crowded.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range flipped {
		w.wearers = append(w.wearers, crowded.Wearer(i).String())
	}
	checkpoint, err := gatewayv1.NewAuditServiceClient(up.conn).GetCheckpoint(t.Context(), &gatewayv1.GetCheckpointRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(strings.Split(checkpoint.GetCheckpoint(), "\n")[1], "%d", &w.facts); err != nil {
		t.Fatal(err)
	}
	if w.answers, err = w.ask(t.Context(), up.at.Gateway, data); err != nil {
		t.Fatal(err)
	}
	up.stop()
	w.keep(t, data)
	for _, name := range append([]string{signedFile}, caches...) {
		w.pages[name] = pagesInUse(t, filepath.Join(data, name))
	}
	for _, name := range append([]string{signedFile}, caches...) {
		if len(w.pages[name]["branch"]) == 0 {
			t.Errorf("%s: no branch page, whose harm is the worst: %v", name, w.pages[name])
		}
	}
	t.Logf("%d facts, %d answers", w.facts, len(w.answers))
	return w
}

// keep reads a folder into memory.
func (w *flipWorld) keep(t *testing.T, data string) {
	t.Helper()
	if err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		w.files[name] = heldFile{info.Mode(), bytes.TrimRight(content, "\x00"), info.Size()}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// write makes a folder like the good one, with harm done to it.
func (w *flipWorld) write(data string, harms []harm) error {
	for name, f := range w.files {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		content, size := f.content, f.size
		for _, h := range harms {
			if h.file == name {
				content = h.do(bytes.Clone(content))
				if len(content) != len(f.content) {
					size = int64(len(content))
				}
			}
		}
		if err := os.WriteFile(path, content, f.mode); err != nil {
			return err
		}
		if err := os.Truncate(path, size); err != nil {
			return err
		}
	}
	return nil
}

// pagesInUse lists the pages of a bbolt file that are not free, by their type.
func pagesInUse(t *testing.T, path string) map[string][]int {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pages := map[string][]int{}
	if err := db.View(func(tx *bbolt.Tx) error {
		for id := 0; ; id++ {
			p, err := tx.Page(id)
			if err != nil || p == nil {
				return err
			}
			if p.Type != "free" {
				pages[p.Type] = append(pages[p.Type], id)
			}
			id += p.OverflowCount
		}
	}); err != nil {
		t.Fatal(err)
	}
	return pages
}

// suffer runs the real thing on a folder with harm, and says what came of each. Where something is wrong of several, each
// is tried alone.
func (w *flipWorld) suffer(t *testing.T, harms []harm) ([]fate, error) {
	data, err := os.MkdirTemp("", "pinfold-flips-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(data)
	if err := w.write(data, harms); err != nil {
		return nil, err
	}
	all, said := w.start(t.Context(), data)
	if all != right && len(harms) > 1 {
		var each []fate
		for _, h := range harms {
			f, err := w.suffer(t, []harm{h})
			if err != nil {
				return nil, err
			}
			each = append(each, f...)
		}
		if slices.Max(each) < wrong {
			t.Errorf("%v: %v together, and not one by one: %s", harms, all, tail([]byte(said), 4000))
		}
		return each, nil
	}
	of := make([]fate, len(harms))
	for i, h := range harms {
		path := filepath.Join(data, h.file)
		switch {
		case all == refused && h.file != signedFile:
			all = crashed
			fallthrough
		case all == refused && !strings.Contains(said, path+" is damaged"), all == wrong, all == crashed:
			t.Errorf("%v: %s", h, tail([]byte(said), 4000))
			of[i] = max(all, wrong)
		case all == refused:
			of[i] = refused
		case strings.Contains(said, "rebuilt from the log") && strings.Contains(said, "file="+path):
			of[i] = rebuilt
		}
	}
	return of, nil
}

// patience is how long a process may take for anything. It decides nothing but how soon a process that hangs is given up.
const patience = time.Minute

// start runs `pinfold up` on the folder and asks it all that the good folder was asked. It returns right, wrong, refused or
// crashed, and what the process said.
func (w *flipWorld) start(ctx context.Context, data string) (f fate, said string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, w.binary, "up", "--data", data, "--output", "json", "--listen", "127.0.0.1:0", "--tap-listen", "127.0.0.1:0",
		"--rewards-listen", "127.0.0.1:0", "--steps-listen", "127.0.0.1:0", "--admin", "", "--checkpoint-every", "20")
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return crashed, err.Error()
	}
	if err := cmd.Start(); err != nil {
		return crashed, err.Error()
	}
	var differs error
	line, err := bufio.NewReader(out).ReadBytes('\n')
	served := false // it answers with an error where it does not
	if err == nil {
		var at addresses
		if differs = json.Unmarshal(line, &at); differs == nil && at.Gateway != "" {
			served, differs = true, w.compare(ctx, at.Gateway, data)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	}
	_ = cmd.Wait() // its exit code says more
	said = fmt.Sprintf("exit code %d, %v: %s", cmd.ProcessState.ExitCode(), differs, stderr.Bytes())
	text := stderr.String()
	switch code := cmd.ProcessState.ExitCode(); {
	case strings.Contains(text, "panic:"), strings.Contains(text, "fatal error:"), code != exitOK && code != exitDiverged:
		return crashed, said
	case code == exitDiverged && !served && differs == nil:
		return refused, said
	case differs != nil || code != exitOK:
		return wrong, said
	}
	f, problem := w.audit(ctx, data)
	return f, said + problem
}

// audit compares the views that were left with the log.
func (w *flipWorld) audit(ctx context.Context, data string) (f fate, said string) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, w.binary, "audit", "verify", "--output", "json", "--data", data)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var found verified
	said = fmt.Sprintf("audit verify: %v: %s%s", err, stdout.Bytes(), stderr.Bytes())
	switch {
	case cmd.ProcessState.ExitCode() == exitUsage, cmd.ProcessState.ExitCode() < 0:
		return crashed, said
	case err != nil, json.Unmarshal(stdout.Bytes(), &found) != nil, found.Views != uint64(len(serviceNames)):
		return wrong, said
	}
	return right, said
}

// compare asks a gateway, and returns how its answers differ from the right ones.
func (w *flipWorld) compare(ctx context.Context, address, data string) error {
	got, err := w.ask(ctx, address, data)
	if err != nil {
		return err
	}
	for question, want := range w.answers {
		if got[question] != want {
			return fmt.Errorf("%s: got %.300s, want %.300s", question, got[question], want)
		}
	}
	if len(got) != len(w.answers) {
		return fmt.Errorf("%d answers, want %d", len(got), len(w.answers))
	}
	return nil
}

// ask asks a gateway for all that the views, the tree and the file of what was signed hold, as far as the log went when
// the good folder was made.
func (w *flipWorld) ask(ctx context.Context, address, data string) (answers map[string]string, err error) {
	conn, err := dialPlain(address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	q := &questions{ctx: ctx, answers: map[string]string{}}
	g, a := gatewayv1.NewGatewayServiceClient(conn), gatewayv1.NewAuditServiceClient(conn)
	ask(q, "outcomes", g.GetOutcomes, tapv1.GetOutcomesRequest_builder{MinSeq: w.facts}.Build())
	ask(q, "totals", g.GetTotals, rewardsv1.GetTotalsRequest_builder{MinSeq: w.facts}.Build())
	ask(q, "leaderboard", g.ListLeaderboard, rewardsv1.ListLeaderboardRequest_builder{MinSeq: w.facts, PageSize: 500}.Build())
	known, err := keyFlag{filepath.Join(data, "keys", "checkpoint.pub")}.known("tokyo2020")
	if err != nil {
		return nil, err
	}
	for _, wearer := range w.wearers {
		ask(q, "friends of "+wearer, g.ListFriends, tapv1.ListFriendsRequest_builder{Wearer: wearer, MinSeq: w.facts, PageSize: 500}.Build())
		ask(q, "standing of "+wearer, g.GetStanding, rewardsv1.GetStandingRequest_builder{Wearer: wearer, MinSeq: w.facts, Neighbours: 5}.Build())
		ask(q, "days of "+wearer, g.ListDays, stepsv1.ListDaysRequest_builder{Wearer: wearer, MinSeq: w.facts, PageSize: 500}.Build())
		awards := ask(q, "awards of "+wearer, g.GetAwards, rewardsv1.GetAwardsRequest_builder{Wearer: wearer, MinSeq: w.facts}.Build())
		for _, b := range awards.GetBackgrounds() {
			question := "certificate of " + wearer + " for " + b.GetBackground()
			req := gatewayv1.GetCertificateRequest_builder{Wearer: wearer, Background: proto.String(b.GetBackground())}.Build()
			if answer, err := a.GetCertificate(ctx, req); err != nil {
				q.fail(question, err)
			} else if certificate, err := evidence.Parse(answer.GetCertificate()); err != nil {
				q.fail(question, err)
			} else if checked, err := certificate.Check(known); err != nil {
				q.fail(question, err)
			} else {
				q.answers[question] = fmt.Sprint(checked.Seq, checked.Story)
			}
		}
	}
	for seq := uint64(1); seq <= w.facts; seq += 5 { // together they need almost every hash
		ask(q, fmt.Sprint("inclusion of ", seq), a.ProveInclusion, gatewayv1.ProveInclusionRequest_builder{Seq: seq, Size: w.facts}.Build())
		ask(q, fmt.Sprint("consistency from ", seq), a.ProveConsistency, gatewayv1.ProveConsistencyRequest_builder{FromSize: seq, ToSize: w.facts}.Build())
	}
	signed, err := a.ListCheckpoints(ctx, gatewayv1.ListCheckpointsRequest_builder{PageSize: 500}.Build())
	if err != nil {
		return nil, err
	}
	q.answers["signed"] = fmt.Sprint(signed.GetCheckpoints()[:w.facts/20])
	return q.answers, q.err
}

// questions are what a gateway was asked, and what it answered.
type questions struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the questions
	answers map[string]string
	err     error // the first
}

func (q *questions) fail(question string, err error) {
	if q.err == nil {
		q.err = fmt.Errorf("%s: %w", question, err)
	}
}

// ask notes an answer without the sequence that it reflects, which grows.
func ask[Req any, Resp proto.Message, Option any](q *questions, question string, call func(context.Context, Req, ...Option) (Resp, error), req Req) Resp {
	resp, err := call(q.ctx, req)
	if err != nil {
		q.fail(question, err)
		return resp
	}
	m := proto.Clone(resp).ProtoReflect()
	if seq := m.Descriptor().Fields().ByName("seq"); seq != nil {
		m.Clear(seq)
	}
	text, err := prototext.Marshal(m.Interface())
	if err != nil {
		q.fail(question, err)
	}
	q.answers[question] = strings.ReplaceAll(string(text), "  ", " ") // prototext varies its spaces on purpose
	return resp
}
