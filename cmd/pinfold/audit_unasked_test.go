package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"

	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// lister is a gateway that lists the checkpoints that it is told to.
type lister struct {
	gatewayv1.AuditServiceClient
	page func(token string) ([]string, string)
}

func (l lister) ListCheckpoints(_ context.Context, r *gatewayv1.ListCheckpointsRequest, _ ...grpc.CallOption) (*gatewayv1.ListCheckpointsResponse, error) {
	texts, next := l.page(r.GetPageToken())
	return gatewayv1.ListCheckpointsResponse_builder{Checkpoints: texts, NextPageToken: next}.Build(), nil
}

// ProveConsistency proves nothing.
func (lister) ProveConsistency(context.Context, *gatewayv1.ProveConsistencyRequest, ...grpc.CallOption) (*gatewayv1.ProveConsistencyResponse, error) {
	return &gatewayv1.ProveConsistencyResponse{}, nil
}

// TestUnasked: what a gateway lists is taken by size up to the newest, and one that lists without end is found out.
func TestUnasked(t *testing.T) {
	const games = "tokyo2020"
	private, public := otherKey(t, games)
	signer, _, err := merkle.NewSigner(private, games)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := merkle.NewVerifier(public, games)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(size fact.Seq) string {
		text, err := merkle.Checkpoint{Games: games, Size: size, Root: merkle.Hash{byte(size)}}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	large := func(size fact.Seq) string { // with an extension line
		text := fmt.Sprintf("%s\n%d\n%v\n%s\n", merkle.Origin(games), size, merkle.Hash{byte(size)}, strings.Repeat("x", 900_000))
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	next := fact.Seq(10)
	for _, tt := range []struct {
		name string
		page func(token string) ([]string, string)
		want []fact.Seq
		err  string
	}{
		{"none", func(string) ([]string, string) { return nil, "" }, []fact.Seq{100}, ""},
		{"two pages", func(token string) ([]string, string) {
			if token == "10" {
				return []string{signed(20), signed(40)}, "40"
			}
			return []string{signed(60)}, ""
		}, []fact.Seq{20, 40, 60, 100}, ""},
		{"signed since", func(string) ([]string, string) { return []string{signed(90), signed(100), signed(110)}, "110" }, []fact.Seq{90, 100}, ""},
		{"the same page for ever", func(string) ([]string, string) { return []string{signed(20)}, "10" }, nil, "20 facts after one of 20"},
		{"what was kept", func(string) ([]string, string) { return []string{signed(10)}, "" }, nil, "10 facts after one of 10"},
		{"backwards", func(string) ([]string, string) { return []string{signed(30), signed(20)}, "" }, nil, "20 facts after one of 30"},
		{"empty pages for ever", func(string) ([]string, string) { return nil, "x" }, nil, "no checkpoints on a page"},
		{"too much", func(string) ([]string, string) { next++; return []string{large(next)}, "x" }, nil, "more than 67108864 bytes"},
		{"unsigned", func(string) ([]string, string) { return []string{"nonsense"}, "" }, nil, "checkpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := witness{ctx: t.Context(), gateway: lister{page: tt.page}, games: games, known: note.VerifierList(verifier)}
			texts, err := w.unasked(10, signed(100))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %q, %v, want an error with %q", texts, err, tt.err)
				}
				return
			}
			var got []fact.Seq
			for _, text := range texts {
				c, err := merkle.OpenCheckpoint(text, games, w.known)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, c.Size)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// TestVerdictNotFromEnvironment: what a verdict rests on is said on the command line and nowhere else.
func TestVerdictNotFromEnvironment(t *testing.T) {
	t.Setenv("PINFOLD_ROSTER", "no-such-file")
	t.Setenv("PINFOLD_UNFINISHED", "true")
	t.Setenv("PINFOLD_RULES", "no-such-file")
	t.Setenv("PINFOLD_ADMIN", "no-such-host:1")
	code, out, stderr := pinfold(t, "audit", "verify", "--print-config")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "environment") {
			t.Errorf("from the environment: %q", line)
		}
	}
	if !strings.Contains(out, "--unfinished") {
		t.Errorf("no flag --unfinished in %s", out)
	}
}

// TestOthers: the newest checkpoints of the other gateways are held against that of the one that was asked, and one that
// does not hold is shown: nobody else may have it.
func TestOthers(t *testing.T) {
	const games = "tokyo2020"
	type key struct {
		signer note.Signer
		public string
	}
	var verifiers []note.Verifier
	newKey := func() (k key) {
		private, _ := otherKey(t, games)
		var err error
		if k.signer, k.public, err = merkle.NewSigner(private, games); err != nil {
			t.Fatal(err)
		}
		return k
	}
	publish := func(k key) key {
		v, err := merkle.NewVerifier(k.public, games)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
		return k
	}
	signed := func(k key, size fact.Seq, root byte) string {
		text, err := merkle.Checkpoint{Games: games, Size: size, Root: merkle.Hash{root}}.Sign(k.signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	own, other, unpublished := publish(newKey()), publish(newKey()), newKey()
	newest := signed(own, 100, 1)
	for _, tt := range []struct {
		name    string
		key     key
		text    string
		removed bool
		parted  bool
	}{
		{"the same tree", other, signed(other, 100, 1), false, false},
		{"another tree", other, signed(other, 100, 2), false, true},
		{"another tree, of fewer facts", other, signed(other, 40, 2), false, true},
		{"another tree, of more facts", other, signed(other, 101, 2), false, false},
		{"another tree of a key that was removed", other, signed(other, 100, 2), true, false},
		{"another tree of a key that was not published", unpublished, signed(unpublished, 100, 2), false, false},
		{"nothing signed", other, "", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := witness{ctx: t.Context(), gateway: lister{}, games: games, known: note.VerifierList(verifiers...), public: own.public}
			w.listed = []*gatewayv1.CheckpointKey{
				gatewayv1.CheckpointKey_builder{Name: "own", PublicKey: own.public, NewestCheckpoint: newest}.Build(),
				gatewayv1.CheckpointKey_builder{Name: "it", PublicKey: tt.key.public, NewestCheckpoint: tt.text, Removed: tt.removed}.Build(),
			}
			texts, err := w.others(0, newest)
			if len(texts) > 0 || tt.parted != (err != nil) {
				t.Fatalf("got %q, %v, want an error: %t", texts, err, tt.parted)
			}
			if tt.parted && (exitCode(err) != exitBroken || !strings.Contains(err.Error(), "checkpoint key it: BROKEN") || !strings.Contains(err.Error()+"\n", tt.text)) {
				t.Errorf("got %v, want a broken log, the key and what it signed", err)
			}
		})
	}
}
