package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/roster"
	"pinfold/internal/view"
)

// hub knows who watches which wearer's face, and wakes them when a fact may have changed it. It reads the log beside the
// fold, from where that ended at the start; it holds no faces: who is woken reads the face anew.
type hub struct {
	log    eventlog.Log
	runner *fold.Runner
	today  func(ctx context.Context, minSeq fact.Seq) (string, error) // the day that faces show, as of the sequence or later
	logger *slog.Logger
	came   func([]eventlog.Message) // is told of all that the hub reads, in order; nil = nobody is
	runs   context.Context          //nolint:containedctx // it ends with run, for those who wait for something else meanwhile
	end    context.CancelFunc

	mu       sync.Mutex
	pos      eventlog.Position // every fact up to it has woken its watchers
	watchers map[fact.WearerID]map[*watcher]struct{}
	timed    fact.Seq      // of the last fact of time that came by
	ticked   chan struct{} // holds one token while it is to be seen whether that brought another day
}

// watcher waits for changes of one wearer's face. However many come, it holds one wake and one sequence.
type watcher struct {
	wearer fact.WearerID
	wake   chan struct{} // holds one token while there is a change to read
	seq    fact.Seq      // of the last change; guarded by hub.mu
}

// newHub returns a hub that wakes watchers by the facts behind the end.
func newHub(
	log eventlog.Log, end eventlog.Position, runner *fold.Runner, today func(context.Context, fact.Seq) (string, error), logger *slog.Logger,
) *hub {
	runs, stop := context.WithCancel(context.Background())
	return &hub{
		log: log, runner: runner, today: today, logger: logger, runs: runs, end: stop, pos: end,
		watchers: map[fact.WearerID]map[*watcher]struct{}{}, ticked: make(chan struct{}, 1),
	}
}

// watch begins to watch a wearer. All changes behind the returned sequence wake the watcher.
func (h *hub) watch(wearer fact.WearerID) (*watcher, fact.Seq) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &watcher{wearer: wearer, wake: make(chan struct{}, 1)}
	if h.watchers[wearer] == nil {
		h.watchers[wearer] = map[*watcher]struct{}{}
	}
	h.watchers[wearer][w] = struct{}{}
	return w, h.pos.Seq
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[w.wearer], w)
	if len(h.watchers[w.wearer]) == 0 {
		delete(h.watchers, w.wearer)
	}
}

// changed returns the sequence of the last change that woke the watcher.
func (h *hub) changed(w *watcher) fact.Seq {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.seq
}

// run reads the log and wakes watchers until the context ends.
func (h *hub) run(ctx context.Context) error {
	defer h.end()
	for failures := 0; ; failures++ {
		before := h.pos.Seq
		err := h.read(ctx)
		if ctx.Err() != nil {
			return err
		}
		if eventlog.Final(err) {
			return fmt.Errorf("watchers: %w", err)
		}
		if h.pos.Seq > before {
			failures = 0
		}
		if eventlog.Noteworthy(failures) {
			h.logger.Warn("reading the log for watchers failed, trying again", "failures", failures+1, "error", err)
		}
		select {
		case <-time.After(pauseAfter(failures)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxRead is how many facts the hub takes at once.
const maxRead = 1024

func (h *hub) read(ctx context.Context) error {
	reader, err := h.log.Read(ctx, h.pos)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		msgs, err := reader.Next(ctx, maxRead)
		if err != nil {
			return err
		}
		if h.came != nil {
			h.came(msgs)
		}
		for _, m := range msgs {
			if err := h.pass(ctx, m); err != nil {
				return err
			}
		}
	}
}

// pass wakes those whose face the fact may change.
func (h *hub) pass(ctx context.Context, m eventlog.Message) error {
	var wearers []fact.WearerID
	everyone := false
	if m.Family != fact.Tap { // what follows from taps comes by as friendships
		e, err := m.Decode()
		if err != nil {
			return err
		}
		if wearers, everyone, err = h.touched(ctx, e); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pos = m.Position(h.pos.Epoch)
	if m.Family == fact.Clock {
		h.timed = m.Seq
		h.tick()
	}
	if everyone {
		h.wakeEveryone(m.Seq)
	}
	for _, w := range wearers {
		wakeAll(h.watchers[w], m.Seq)
	}
	return nil
}

// wakeEveryone wakes all watchers. The caller holds h.mu.
func (h *hub) wakeEveryone(seq fact.Seq) {
	for _, watchers := range h.watchers {
		wakeAll(watchers, seq)
	}
}

func wakeAll(watchers map[*watcher]struct{}, seq fact.Seq) {
	for w := range watchers {
		w.seq = max(w.seq, seq)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// touched returns the wearers whose face the fact may change, or that it may be everyone's.
func (h *hub) touched(ctx context.Context, e fact.Entry) (wearers []fact.WearerID, everyone bool, err error) {
	switch f := e.Fact.(type) {
	case fact.FriendshipFormed:
		return []fact.WearerID{f.Lo, f.Hi}, false, nil
	case fact.FriendshipEnded:
		return []fact.WearerID{f.Lo, f.Hi}, false, nil
	case fact.BackgroundUnlocked:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.MedalAwarded:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.StepGoalReached:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.BackgroundChosen:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.PinPaired:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.WearerErased:
		return []fact.WearerID{f.Wearer}, false, nil
	case fact.StepsReported:
		w, err := h.wearerOf(ctx, e.Seq, f.Report.Pin)
		return []fact.WearerID{w}, false, err
	case fact.AwardRevoked, fact.RulesAdopted: // whose award it is, only rewards knows; both are rare
		return nil, true, nil
	}
	return nil, false, nil
}

// wearerOf returns whose the pin is by the roster as the fact at seq found it.
func (h *hub) wearerOf(ctx context.Context, seq fact.Seq, id fact.PinID) (wearer fact.WearerID, err error) {
	if err := h.runner.Wait(ctx, seq); err != nil {
		return wearer, err
	}
	err = h.runner.Query(func(_ fact.Seq, r view.Reader) error {
		pin, _ := roster.PinByID(r, id)
		wearer = pin.Wearer
		return nil
	})
	return wearer, err
}

// tick lets keepDay look.
func (h *hub) tick() {
	select {
	case h.ticked <- struct{}{}:
	default:
	}
}

// keepDay wakes every watcher when a fact of time brings another day, a later or an earlier one, until the context ends.
// What day it is, only the steps service knows: its zone is that of the rules under which the first steps counted, and the
// gateway folds no steps. Who began to watch behind the fact reads the new day anyway.
func (h *hub) keepDay(ctx context.Context) error {
	known := "" // the first day that it hears is another one
	for {
		select {
		case <-h.ticked:
		case <-ctx.Done():
			return nil
		}
		h.mu.Lock()
		seq, alone := h.timed, len(h.watchers) == 0
		h.mu.Unlock()
		if alone {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, faceTimeout)
		day, err := h.today(asking, seq)
		cancel()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end, which is why no answer came
		}
		if err != nil {
			h.logger.Warn("the steps service does not say what day it is, trying again", "error", err)
			select {
			case <-time.After(maxPause):
			case <-ctx.Done():
			}
			h.tick()
			continue
		}
		if day != known {
			h.mu.Lock()
			h.wakeEveryone(seq)
			h.mu.Unlock()
		}
		known = day
	}
}
