package server

import (
	"context"

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

// notaryFiles are what a notary keeps.
type notaryFiles struct{ tree, signed *view.Bolt }

func (f notaryFiles) close() { f.signed.Close(); f.tree.Close() } //nolint:errcheck // every commit is durable

// openNotary opens the notary, and its files, which the caller closes.
func openNotary(ctx context.Context, c Config, log eventlog.Log) (n *notary.Notary, files notaryFiles, err error) {
	key, err := notary.LoadKey(c.Notary.Keys, c.Games)
	if err != nil {
		return nil, files, err
	}
	if files.signed, err = notary.OpenSigned(c.Notary.Keys, c.Games, key); err != nil {
		return nil, files, err
	}
	if files.tree, err = serve.OpenView(c.Notary.Tree, c.Logger); err != nil {
		files.signed.Close() //nolint:errcheck // nothing was written
		return nil, files, err
	}
	if err := serve.Reach(ctx, c.Logger, func() (err error) {
		n, err = notary.Open(ctx, notary.Config{
			Games: c.Games, Log: log, Logger: c.Logger, Tree: files.tree, Signed: files.signed, Key: key, Every: c.Notary.Every,
		})
		return err
	}); err != nil {
		files.close()
		return nil, files, err
	}
	return n, files, nil
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
