package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/notary"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
)

// wantBeginning checks that the log holds one beginning, and returns the rules and the time that it holds.
func wantBeginning(t *testing.T, log eventlog.Log) (fact.Rules, fact.UnixMilli) {
	t.Helper()
	list := entries(t, log)
	if len(list) != 2 {
		t.Fatalf("got %d facts, want two", len(list))
	}
	adopted, isRules := list[0].Fact.(fact.RulesAdopted)
	passed, isTime := list[1].Fact.(fact.TimePassed)
	if !isRules || !isTime {
		t.Fatalf("got %+v and %+v, want the rules and the time", list[0].Fact, list[1].Fact)
	}
	return adopted.Rules, passed.Time
}

// TestGenesisFaults makes the first batches go wrong: the log begins once.
func TestGenesisFaults(t *testing.T) {
	for name, faults := range map[string][]eventlog.Fault{
		"none":             nil,
		"lost":             {eventlog.Lost, eventlog.Lost},
		"unanswered":       {eventlog.Unanswered},
		"late":             {eventlog.Late},
		"late, then lost":  {eventlog.Late, eventlog.Lost},
		"late, unanswered": {eventlog.Late, eventlog.Unanswered},
	} {
		t.Run(name, func(t *testing.T) {
			log := eventlog.NewMemory(machineClock, eventlog.Faults{Append: sequence(faults...)})
			c := Config{Config: serve.Config{Logger: quiet}, Now: func() fact.UnixMilli { return 77 }}
			for range 2 { // the second time there is nothing to do
				if err := genesis(t.Context(), c, log); err != nil {
					t.Fatal(err)
				}
			}
			storeLate(log)
			r, at := wantBeginning(t, log)
			if !reflect.DeepEqual(r, rules.Tokyo2020()) || at != 77 {
				t.Errorf("got %q at %d, want the default rules at 77", r.Name, at)
			}
		})
	}
}

// TestGenesisErrors: what going on would not cure ends it.
func TestGenesisErrors(t *testing.T) {
	away := errors.New("no route to host")
	for name, tt := range map[string]struct {
		call string
		err  error
	}{
		"full": {"Append", eventlog.ErrFull}, "replaced": {"Append", eventlog.ErrReplaced}, "away": {"Head", away},
	} {
		t.Run(name, func(t *testing.T) {
			log := eventlog.NewMemory(machineClock, eventlog.Faults{Enter: failFirst(tt.call, tt.err)})
			if err := genesis(t.Context(), Config{Config: serve.Config{Logger: quiet}, Now: machineClock}, log); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
	// Rules that no fold would understand do not come into the log.
	log := eventlog.NewMemory(machineClock, eventlog.Faults{})
	if err := genesis(t.Context(), Config{Config: serve.Config{Logger: quiet}, Now: machineClock, Rules: &fact.Rules{}}, log); err == nil {
		t.Error("got no error for rules that are none")
	}
	if got := entries(t, log); len(got) != 0 {
		t.Errorf("got %+v in the log, want nothing", got)
	}
}

// TestGenesisRace lets gateways with rules of their own begin one log at the same time. One of them is first; who was
// given other rules learns it.
func TestGenesisRace(t *testing.T) {
	rng := &lockedRand{rng: newRand(t)}
	for round := range 10 {
		var log *eventlog.Memory
		log = eventlog.NewMemory(machineClock, eventlog.Faults{Append: func(eventlog.Batch) eventlog.Fault {
			if rng.chance(0.3) {
				log.StoreLate()
			}
			if rng.chance(0.5) {
				return []eventlog.Fault{eventlog.Lost, eventlog.Unanswered, eventlog.Late}[rng.intN(3)]
			}
			return eventlog.NoFault
		}})
		given := []*fact.Rules{nil, otherRules(), nil, otherRules()}
		var wg sync.WaitGroup
		for i, r := range given {
			wg.Go(func() {
				c := Config{Config: serve.Config{Logger: quiet}, Rules: r, Now: func() fact.UnixMilli { return fact.UnixMilli(i + 1) }}
				if err := genesis(t.Context(), c, log); err != nil {
					t.Errorf("gateway %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		storeLate(log)
		inForce, at := wantBeginning(t, log)
		if first := given[at-1]; first != nil != reflect.DeepEqual(inForce, *otherRules()) {
			t.Errorf("round %d: %q in force, want the rules of gateway %d, whose time it is", round, inForce.Name, at-1)
		}
		checkGiven(t, log, given, inForce)
	}
}

// checkGiven checks that a gateway that was given rules goes on only if these are in force.
func checkGiven(t *testing.T, log eventlog.Log, given []*fact.Rules, inForce fact.Rules) {
	t.Helper()
	a := startGateway(t, log)
	if err := a.runner.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for i, r := range given {
		err := checkRules(r, a.runner, machineClock())
		if ok := r == nil || reflect.DeepEqual(*r, inForce); ok != (err == nil) {
			t.Errorf("gateway %d: got %v, it may go on: %t", i, err, ok)
		}
	}
}

// TestCheckRules: the error says which rules differ.
func TestCheckRules(t *testing.T) {
	log := begun(t, eventlog.Faults{})
	a := startGateway(t, log)
	if err := a.runner.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	tokyo := rules.Tokyo2020()
	if err := checkRules(&tokyo, a.runner, machineClock()); err != nil {
		t.Errorf("the rules in force: got %v", err)
	}
	renamed := rules.Tokyo2020()
	renamed.Sports[32].French += " "
	// A newer database knows of a change of the clocks to come: no difference until a fact is behind it.
	newer := rules.Tokyo2020()
	change := fact.Slot(4_000_000)
	newer.Zone = append(newer.Zone, fact.ZoneOffset{From: change, Quarters: 40})
	if err := checkRules(&newer, a.runner, change.Start()-1); err != nil {
		t.Errorf("a zone that will change: got %v", err)
	}
	if err := checkRules(&newer, a.runner, change.Start()); err == nil {
		t.Error("a zone that has changed: got no error")
	}
	for field, given := range map[string]*fact.Rules{"step_goal: 8000, 10000": otherRules(), "sports[32]: ": &renamed, "friends_per_background: 0, 5": {}} {
		err := checkRules(given, a.runner, machineClock())
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--rules %q differ", given.Name)) || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want an error that names the rules and %s", err, field)
		}
	}
	// An operator adopts others: the old ones are no longer in force.
	if _, _, err := a.roster.write(t.Context(), func(kv.Reader) ([]fact.Fact, error) {
		return []fact.Fact{fact.RulesAdopted{Rules: *otherRules()}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := checkRules(otherRules(), a.runner, machineClock()); err != nil {
		t.Errorf("the rules adopted since: got %v", err)
	}
	if err := checkRules(&tokyo, a.runner, machineClock()); err == nil {
		t.Error("the rules of the beginning: got no error")
	}
	// Before the fold has come to any rules, none can be said to be in force.
	empty := startGateway(t, eventlog.NewMemory(machineClock, eventlog.Faults{}))
	if err := checkRules(&tokyo, empty.runner, machineClock()); err == nil {
		t.Error("no rules in force: got no error")
	}
}

// TestNextStep goes through what a gateway may find, and what it may be told.
func TestNextStep(t *testing.T) {
	const key, signed, begin, join = 1, 2, 4, 8
	for _, tt := range []struct {
		log  logState
		is   int
		want step
		says string // "" = it is no error
	}{
		{noLog, 0, 0, "The first gateway of new Games starts with --begin"},
		{noLog, begin, makeKey, ""},
		{noLog, join, await, ""},
		{noLog, begin | join, makeKey, ""},
		{noLog, key, await, ""},
		{noLog, key | begin, makeLog, ""},
		{noLog, key | join, await, ""},
		{noLog, key | signed, 0, "there is no log: it was lost"},
		{noLog, key | signed | begin | join, 0, "there is no log: it was lost"},
		{noLog, signed | begin | join, 0, "and not the key: it was lost"},
		{emptyLog, 0, 0, "The first gateway of new Games starts with --begin"},
		{emptyLog, begin, makeKey, ""},
		{emptyLog, join, await, ""},
		{emptyLog, key, await, ""},
		{emptyLog, key | begin, makeLog, ""},
		{emptyLog, key | signed | begin, 0, "there is no log: it was lost"},
		{begunLog, 0, 0, "makes a key with --join"},
		{begunLog, begin, 0, "makes a key with --join"},
		{begunLog, join, makeKey, ""},
		{begunLog, begin | join, makeKey, ""},
		{begunLog, key, goOn, ""},
		{begunLog, key | begin, goOn, ""},
		{begunLog, key | signed | begin | join, goOn, ""},
		{begunLog, signed | begin | join, 0, "and not the key: it was lost"},
	} {
		s := situation{keys: "DIR", log: tt.log, key: tt.is&key > 0, signed: tt.is&signed > 0, begin: tt.is&begin > 0, join: tt.is&join > 0}
		got, err := s.next()
		if _, refused := errors.AsType[*notary.KeyError](err); refused != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: got %v, want %q", s, err, tt.says)
		}
		if got != tt.want {
			t.Errorf("%+v: got step %d, want %d", s, got, tt.want)
		}
		// Neither a log is made then, nor a key: with one, the folder would not look lost once the log is back.
		if s.others = "checkpoint key 1 has signed"; err == nil && (got == makeLog || got == makeKey && tt.log != begunLog) {
			if _, err := s.next(); err == nil || !strings.Contains(err.Error(), s.others) {
				t.Errorf("%+v: got %v, want that the log was lost", s, err)
			}
		}
	}
}

// TestBegin lets gateways make and begin one log on JetStream at the same time.
func TestBegin(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Stop)
	given := []*fact.Rules{nil, otherRules(), nil, otherRules(), otherRules(), nil}
	logs := make([]eventlog.Log, len(given))
	dir := t.TempDir()
	group, ctx := errgroup.WithContext(t.Context())
	for i, r := range given {
		nc, err := embedded.Connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		group.Go(func() (err error) {
			c := Config{
				Config: serveConfig(nc), Replicas: 1, Rules: r, Now: func() fact.UnixMilli { return fact.UnixMilli(i + 1) },
				Notary: Notary{Keys: filepath.Join(dir, strconv.Itoa(i)), Begin: true, Join: true},
			}
			keys, err := openKeys(c.Notary, c.Games)
			if err != nil {
				return err
			}
			defer keys.close()
			logs[i], err = begin(ctx, c, keys)
			if keys.key == "" {
				t.Errorf("gateway %d has no key", i)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	inForce, at := wantBeginning(t, logs[0])
	if first := given[at-1]; first != nil != reflect.DeepEqual(inForce, *otherRules()) {
		t.Errorf("%q in force, want the rules of gateway %d, whose time it is", inForce.Name, at-1)
	}
	for i, log := range logs {
		if head, err := log.Head(t.Context()); err != nil || head != (eventlog.Head{Epoch: 1, Last: 2}) {
			t.Errorf("gateway %d: the log ends at %+v, %v, want at sequence 2 of epoch 1", i, head, err)
		}
	}
	checkGiven(t, logs[0], given, inForce)
}

// TestBeginCut: a gateway that is stopped before its log is there ends.
func TestBeginCut(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Stop)
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := Config{Config: serveConfig(nc), Replicas: 1, Now: machineClock, Notary: Notary{Keys: t.TempDir(), Begin: true}}
	keys, err := openKeys(c.Notary, c.Games)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.close()
	if log, err := begin(ctx, c, keys); err == nil {
		t.Errorf("got %v, want an error", log)
	}
}

func serveConfig(nc *nats.Conn) serve.Config {
	return serve.Config{NATS: nc, Games: games, Logger: quiet}
}
