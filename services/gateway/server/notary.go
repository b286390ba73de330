package server

import (
	"context"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/notary"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// Notary says where the gateway keeps the Merkle tree of the log and the checkpoints that it signs of it.
type Notary struct {
	Tree  string   // path of the view's file
	Keys  string   // folder of the key, and of the file of what was signed
	Every fact.Seq // facts from one checkpoint that is signed unasked to the next
}

// DefaultEvery is how many facts lie between two checkpoints that are signed unasked. An auditor who keeps them can
// locate a change of the log to within so many facts; each takes some 200 bytes.
const DefaultEvery = 1000

// openNotary opens the notary, and its files until closeNotary is called.
func openNotary(ctx context.Context, c Config, log eventlog.Log) (n *notary.Notary, closeNotary func(), err error) {
	key, err := notary.LoadKey(c.Notary.Keys, c.Games)
	if err != nil {
		return nil, nil, err
	}
	tree, err := view.OpenBolt(c.Notary.Tree)
	if err != nil {
		return nil, nil, err
	}
	signed, err := view.OpenBolt(filepath.Join(c.Notary.Keys, "signed.db"))
	if err != nil {
		tree.Close() //nolint:errcheck // nothing was written
		return nil, nil, err
	}
	closeNotary = func() { signed.Close(); tree.Close() } //nolint:errcheck // every commit is durable
	if err := serve.Reach(ctx, c.Logger, func() (err error) {
		n, err = notary.Open(ctx, notary.Config{
			Games: c.Games, Log: log, Logger: c.Logger, Tree: tree, Signed: signed, Key: key, Every: c.Notary.Every,
		})
		return err
	}); err != nil {
		closeNotary()
		return nil, nil, err
	}
	return n, closeNotary, nil
}

// notaryMetrics are the notary's.
func notaryMetrics(n *notary.Notary) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("pinfold_notary_seq", "The sequence of the log up to which every fact is in the Merkle tree.", func() uint64 { return uint64(n.At()) }),
	}
}

// withNotary adds what /status shows of the notary.
func withNotary(numbers map[string]uint64, n *notary.Notary) map[string]uint64 {
	numbers["notary_seq"] = uint64(n.At())
	return numbers
}
