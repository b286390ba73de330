package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

type auditCheckpointCommand struct {
	Gateway string  `help:"Address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
	Games   string  `help:"The Games: 1 to 32 of a-z, 0-9 and -." default:"tokyo2020"`
	Key     keyFlag `name:"checkpoint-key" sep:"none" help:"Public key of a gateway, with which it signs checkpoints, or a file of such keys, as the organisers published them. May be given again. Without it the gateway's word is taken." env:"-" placeholder:"KEY"`
	Keep    string  `help:"File of checkpoints that were kept. The new one is added once it is proven that the log still begins with the facts of the newest one there." env:"-" type:"path" placeholder:"FILE"`
	All     bool    `help:"With --keep: also keep those that the gateway signed unasked since, and the newest of the other gateways." env:"-"`
}

// Validate implements kong.Validatable.
func (c auditCheckpointCommand) Validate() error {
	if c.All && c.Keep == "" {
		return errors.New("--all says what is kept: give --keep too")
	}
	return errors.Join(c.Key.check(), checkAddress("--gateway", c.Gateway), eventlog.CheckGames(c.Games))
}

// checkpointTimeout bounds each question to the gateway.
const checkpointTimeout = 15 * time.Second

// Run fetches a checkpoint, prints it, and holds it against those that were kept.
func (c *auditCheckpointCommand) Run(s *session) error {
	given, err := c.Key.text()
	if err != nil {
		return err
	}
	conn, err := dialPlain(c.Gateway)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := witness{ctx: s.ctx, gateway: gatewayv1.NewAuditServiceClient(conn), games: c.Games}
	text, newest, err := w.meet(given)
	if err != nil {
		return fmt.Errorf("gateway at %s: %w", c.Gateway, err)
	}
	if len(c.Key) == 0 {
		fmt.Fprintf(s.stderr, "The key is the gateway's word: %s\nCompare it with the one that the organisers published.\n", w.public)
	}
	kept := &keptFile{path: c.Keep, stderr: s.stderr}
	var last merkle.Checkpoint
	if c.Keep != "" {
		if last, err = kept.last(c.Games, w.known); err != nil {
			return err
		}
	}
	if newest.Size < last.Size { // it is signed for all that the log held when it was asked for
		return fmt.Errorf("gateway at %s: its log holds %d facts, and the newest checkpoint that was kept is of %d: it is behind, "+
			"or some of its log is lost. That proves nothing yet: ask again later", c.Gateway, newest.Size, last.Size)
	}
	if c.Keep != "" {
		err = c.keep(w, kept, last, text)
	}
	return errors.Join(err, s.printCheckpoint(text, w.public, err))
}

// fetched is a checkpoint in JSON, and, where it does not go with what was kept, that and why.
type fetched struct {
	Checkpoint string `json:"checkpoint"`
	PublicKey  string `json:"public_key"`
	Verdict    string `json:"verdict,omitempty"`
	Why        string `json:"why,omitempty"`
}

// printCheckpoint prints the checkpoint, whatever became of it: two that are signed for two logs are of use together.
func (s *session) printCheckpoint(text, public string, keepErr error) error {
	if s.output == "json" {
		f := fetched{Checkpoint: text, PublicKey: public}
		if isBroken(keepErr) {
			f.Verdict, f.Why = audit.Broken, keepErr.Error()
		}
		return s.answer(f)
	}
	_, err := fmt.Fprint(s.stdout, text)
	return err
}

// keep adds the checkpoint to the file, if it is consistent with the last one there.
func (c *auditCheckpointCommand) keep(w witness, kept *keptFile, last merkle.Checkpoint, text string) (err error) {
	others, err := w.others(last.Size, text)
	if err != nil {
		return err
	}
	texts := []string{text}
	if c.All {
		if texts, err = w.unasked(last.Size, text); err != nil {
			return err
		}
		if texts, err = w.bySize(append(others, texts...)); err != nil {
			return err
		}
	}
	for _, text := range texts {
		next, err := merkle.OpenCheckpoint(text, c.Games, w.known)
		if err != nil {
			return err
		}
		if next == last {
			continue
		}
		if err := w.consistent(last, next); err != nil {
			return showing(text, err)
		}
		if err := kept.add(text); err != nil {
			return err
		}
		last = next
	}
	return nil
}

// witness asks a gateway for its checkpoints, and believes only what is signed and proven.
type witness struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the command
	gateway gatewayv1.AuditServiceClient
	games   string
	known   note.Verifiers
	public  string
	listed  []*gatewayv1.CheckpointKey // the keys of all gateways, as this one says
}

// meet learns the key of the checkpoints: the given one, or with "" the one that the gateway states. It returns the newest
// checkpoint.
func (w *witness) meet(key string) (text string, newest merkle.Checkpoint, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, checkpointTimeout)
	defer cancel()
	answer, err := w.gateway.GetCheckpoint(ctx, &gatewayv1.GetCheckpointRequest{})
	if err != nil {
		return "", newest, err
	}
	if w.public = answer.GetPublicKey(); key != "" && !slices.Contains(strings.Fields(key), w.public) {
		w.public = key // of several given keys, it is the one that the gateway states
	}
	if w.listed, err = w.list(ctx); err != nil {
		return "", newest, err
	}
	if key == "" {
		key = w.public
		for _, l := range w.listed {
			key += "\n" + l.GetPublicKey()
		}
	}
	if w.known, err = parseKeys(key, w.games); err != nil {
		return "", newest, err
	}
	text = answer.GetCheckpoint()
	newest, err = merkle.OpenCheckpoint(text, w.games, w.known)
	return text, newest, err
}

// list returns the keys of all gateways, as this one says.
func (w *witness) list(ctx context.Context) ([]*gatewayv1.CheckpointKey, error) {
	answer, err := w.gateway.ListCheckpointKeys(ctx, &gatewayv1.ListCheckpointKeysRequest{})
	if status.Code(err) == codes.Unimplemented { // an older gateway
		return nil, nil
	}
	return answer.GetKeys(), err
}

// others returns the newest checkpoints of the other known keys in the list that are of more than so many facts, and of
// fewer than the newest one. It is a *partedError if one of any size is not of the log of the newest one.
func (w *witness) others(after fact.Seq, newest string) (texts []string, err error) {
	end, err := merkle.OpenCheckpoint(newest, w.games, w.known)
	if err != nil {
		return nil, err
	}
	for _, l := range w.listed {
		text := l.GetNewestCheckpoint()
		if text == "" || l.GetRemoved() || l.GetPublicKey() == w.public {
			continue
		}
		c, err := merkle.OpenCheckpoint(text, w.games, w.known)
		if err != nil || c.Size > end.Size {
			continue // its key was not published, or it is newer
		}
		if err := w.consistent(c, end); err != nil {
			return nil, fmt.Errorf("checkpoint key %s: %w", l.GetName(), showing(text, err))
		}
		if c.Size > after && c.Size < end.Size {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// bySize sorts checkpoints by size, and leaves out those that say what another says.
func (w *witness) bySize(texts []string) ([]string, error) {
	bySize := map[fact.Seq]string{}
	for _, text := range texts {
		c, err := merkle.OpenCheckpoint(text, w.games, w.known)
		if err != nil {
			return nil, err
		}
		bySize[c.Size] = text
	}
	var sorted []string
	for _, size := range slices.Sorted(maps.Keys(bySize)) {
		sorted = append(sorted, bySize[size])
	}
	return sorted, nil
}

// unasked returns the checkpoints of more than so many facts that the gateway signed unasked, and the newest one, by size.
func (w *witness) unasked(after fact.Seq, newest string) (texts []string, err error) {
	end, err := merkle.OpenCheckpoint(newest, w.games, w.known)
	if err != nil {
		return nil, err
	}
	for token, size := after.String(), 0; token != ""; {
		page, err := w.page(token)
		if err != nil {
			return nil, err
		}
		for _, text := range page.GetCheckpoints() {
			c, err := merkle.OpenCheckpoint(text, w.games, w.known)
			size += len(text)
			switch {
			case err != nil:
				return nil, err
			case size > merkle.MaxKept:
				return nil, fmt.Errorf("the gateway lists more than %d bytes of checkpoints", merkle.MaxKept)
			case c.Size <= after: // it would never end
				return nil, fmt.Errorf("the gateway lists a checkpoint of %d facts after one of %d: want more each time", c.Size, after)
			case c.Size >= end.Size:
				return append(texts, newest), nil // signed since the newest one was asked for
			}
			texts, after = append(texts, text), c.Size
		}
		if token = page.GetNextPageToken(); token != "" && len(page.GetCheckpoints()) == 0 {
			return nil, errors.New("the gateway lists no checkpoints on a page, and says that more follow")
		}
	}
	return append(texts, newest), nil
}

// page asks for one page of what was signed unasked.
func (w *witness) page(token string) (*gatewayv1.ListCheckpointsResponse, error) {
	ctx, cancel := context.WithTimeout(w.ctx, checkpointTimeout)
	defer cancel()
	return w.gateway.ListCheckpoints(ctx, gatewayv1.ListCheckpointsRequest_builder{PageSize: 500, PageToken: token}.Build())
}

// consistent returns a *partedError unless the log of the later checkpoint begins with the facts of the earlier one.
func (w *witness) consistent(before, after merkle.Checkpoint) error {
	parted := &partedError{kept: before, found: after}
	switch {
	case before.Size == 0:
		return nil
	case after.Size == before.Size && after.Root == before.Root:
		return nil
	case after.Size <= before.Size:
		return parted
	}
	ctx, cancel := context.WithTimeout(w.ctx, checkpointTimeout)
	defer cancel()
	answer, err := w.gateway.ProveConsistency(ctx, gatewayv1.ProveConsistencyRequest_builder{
		FromSize: uint64(before.Size), ToSize: uint64(after.Size),
	}.Build())
	if err != nil {
		return err
	}
	proof := make([]merkle.Hash, len(answer.GetHashes()))
	for i, h := range answer.GetHashes() {
		if len(h) != len(proof[i]) {
			return fmt.Errorf("a proof of consistency: a hash of %d bytes: want %d", len(h), len(proof[i]))
		}
		proof[i] = merkle.Hash(h)
	}
	if err := merkle.CheckConsistency(proof, before.Size, before.Root, after.Size, after.Root); err != nil {
		return parted
	}
	return nil
}

// partedError says that a log no longer begins with what was signed for.
type partedError struct {
	kept, found merkle.Checkpoint
	text        string // of one of them that a gateway listed, where nobody else may have it; "" = both were printed or kept
}

func (e *partedError) Error() string {
	said := fmt.Sprintf("BROKEN: the checkpoint of %d facts that was kept does not hold: the log whose checkpoint of %d facts "+
		"is signed now is another one. Keep both: each is signed", e.kept.Size, e.found.Size)
	if e.text != "" {
		said += "\n" + strings.TrimSuffix(e.text, "\n")
	}
	return said
}

// showing lets a *partedError show the text of a checkpoint that a gateway listed.
func showing(text string, err error) error {
	if parted, ok := errors.AsType[*partedError](err); ok {
		parted.text = text
	}
	return err
}
