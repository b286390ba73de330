package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/kv"
	"pinfold/internal/view"
)

// replay gives each message to take, in log order, with a write transaction of each store, until take wants no more or
// fails. A log whose sequences do not go up by one from 1 is an error: what is folded of a part is the state of no log. A transaction spans many messages. An error may come when some of them were kept; the stores are then of no use.
func replay(ctx context.Context, messages iter.Seq2[eventlog.Message, error], stores []view.Store,
	take func(txs []kv.Tx, m eventlog.Message) (more bool, err error),
) error {
	next, stop := iter.Pull2(messages)
	defer stop()
	want := fact.Seq(1)
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := updateAll(stores, nil, func(txs []kv.Tx) error {
			for i := 0; more && i < runSize; i++ {
				m, err, ok := next()
				if !ok {
					more = false
					return nil
				}
				if err == nil && m.Seq != want {
					err = fmt.Errorf("log: sequence %d stands where %d must", m.Seq, want)
				}
				if err != nil {
					return err
				}
				want++
				if more, err = take(txs, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// updateAll runs f in one write transaction of each store. Behind txs come those of the stores, in their order.
func updateAll(stores []view.Store, txs []kv.Tx, f func([]kv.Tx) error) error {
	if len(stores) == 0 {
		return f(txs)
	}
	return stores[0].Update(func(tx kv.Tx) error { return updateAll(stores[1:], append(txs, tx), f) })
}

// viewAll runs f on the states of all stores, in their order.
func viewAll(stores []view.Store, views []view.Reader, f func([]view.Reader)) error {
	if len(stores) == 0 {
		f(views)
		return nil
	}
	return stores[0].View(func(r view.Reader) error { return viewAll(stores[1:], append(views, r), f) })
}

// feed steps the core if it acts on the fact, and returns what it derives.
func feed(core fold.Core, tx kv.Tx, e fact.Entry) []fact.Fact {
	if !slices.Contains(core.ActsOn(), e.Fact.Family()) {
		return nil
	}
	return core.Step(tx, e)
}
