package server

import (
	"context"
	"log/slog"
	"time"

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
	Begin bool     // make the log, and before it a key, where nothing was signed
	Join  bool     // make a key for a log that has begun
}

// DefaultEvery is how many facts lie between two checkpoints that are signed unasked. An auditor who keeps them can
// locate a change of the log to within so many facts; each takes some 200 bytes.
const DefaultEvery = 1000

// confirmShorter is how far apart a log of several servers must have said twice that it ends before what was signed: a
// leader that was just elected may not have caught up (docs/design.md section 7).
const confirmShorter = 10 * time.Second

// openNotary opens the notary of a gateway that has a key.
func openNotary(ctx context.Context, c Config, log *eventlog.JetStream, keys *keyFolder) (n *notary.Notary, err error) {
	config := notary.Config{
		Games: c.Games, Log: log, Logger: c.Logger, Every: c.Notary.Every,
		Tree:   func() (view.Store, error) { return openTree(c.Notary.Tree, c.Logger) },
		Signed: keys.signed, Key: keys.key, Keys: notary.NewBucket(c.NATS, c.Games, log.Replicas()),
	}
	if log.Replicas() > 1 {
		config.Confirm = confirmShorter
	}
	err = serve.Reach(ctx, c.Logger, func() (err error) {
		n, err = notary.Open(ctx, config)
		return err
	})
	return n, err
}

// watchedTree is a file that is checked while it is open: once it is known to be damaged, whoever uses it hears so.
type watchedTree struct {
	*view.Bolt
	end func()
}

func openTree(path string, logger *slog.Logger) (view.Store, error) {
	store, err := serve.OpenView(path, logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = store.Watch(ctx) }() // whoever uses it hears it
	return watchedTree{store, func() { cancel(); <-ended }}, nil
}

// Close implements view.Store.
func (w watchedTree) Close() error { w.end(); return w.Bolt.Close() }

// notaryMetrics are the notary's.
func notaryMetrics(n *notary.Notary) []prometheus.Collector {
	one := func(name, help string, of func(notary.Numbers) uint64) prometheus.Collector {
		return gauge(name, help, func() uint64 { return of(n.Numbers()) })
	}
	flag := func(yes bool) uint64 {
		if yes {
			return 1
		}
		return 0
	}
	return []prometheus.Collector{
		one("pinfold_notary_seq", "The sequence of the log up to which every fact is in the Merkle tree.",
			func(n notary.Numbers) uint64 { return uint64(n.At) }),
		one("pinfold_notary_signed_seq", "Facts that the newest checkpoint of this gateway covers.",
			func(n notary.Numbers) uint64 { return uint64(n.Signed) }),
		one("pinfold_notary_paused", "1 while the Merkle tree cannot grow.", func(n notary.Numbers) uint64 { return flag(n.Paused) }),
		one("pinfold_notary_signs", "1 while this gateway signs checkpoints.", func(n notary.Numbers) uint64 { return flag(n.Signs) }),
		one("pinfold_checkpoint_keys_differ", "Keys in the list that signed another tree than this gateway's.",
			func(n notary.Numbers) uint64 { return uint64(n.Differ) }),
	}
}

// withNotary adds what /status shows of the notary.
func withNotary(numbers map[string]uint64, n *notary.Notary) map[string]uint64 {
	of := n.Numbers()
	numbers["notary_seq"], numbers["notary_signed_seq"] = uint64(of.At), uint64(of.Signed)
	return numbers
}
