package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/notary"
	"pinfold/internal/rules"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// keyFolder is the folder of the checkpoint key, and of what it signed.
type keyFolder struct {
	path, games string
	key         string // private; "" = there is none
	hasSigned   bool
	signed      *view.Bolt // nil = there is no key
}

func openKeys(c Notary, games string) (k *keyFolder, err error) {
	k = &keyFolder{path: c.Keys, games: games}
	if k.key, err = notary.ReadKey(k.path, games); err != nil {
		return nil, err
	}
	if k.hasSigned, err = notary.HasSigned(k.path); err != nil {
		return nil, err
	}
	if k.key == "" {
		return k, nil
	}
	return k, k.openSigned()
}

func (k *keyFolder) openSigned() (err error) {
	k.signed, err = notary.OpenSigned(k.path, k.games, k.key)
	return err
}

func (k *keyFolder) close() {
	if k.signed != nil {
		_ = k.signed.Close() // every commit is durable
	}
}

func (k *keyFolder) makeKey() (err error) {
	if k.key, err = notary.MakeKey(k.path, k.games); err != nil {
		return err
	}
	return k.openSigned()
}

// situation is what a gateway finds when it starts.
type situation struct {
	keys        string // the folder of keys
	key, signed bool   // it has a key, has signed something
	log         logState
	others      string // where there is no log: what others signed of it, "" = nothing
	begin, join bool   // what it was told
}

type logState int

const (
	noLog    logState = iota
	emptyLog          // its stream was made, and its first batch is not there
	begunLog
)

// step is what a gateway does next to come to a log and a key.
type step int

const (
	goOn step = iota
	makeKey
	makeLog
	await // another gateway that makes the log
)

// next decides (docs/design.md section 12, "Checkpoint keys"). The error is a *notary.KeyError: a lost folder looks like a new one,
// and a lost log like one that was never made, so nothing is made anew unless a person said so.
func (s situation) next() (step, error) {
	switch {
	case s.signed && !s.key:
		return 0, s.refuse("%s holds what a key signed, and not the key: it was lost. Put it back from a copy; or move the folder away and "+
			"start with --join, and publish the new key", s.keys)
	case s.signed && s.log != begunLog:
		return 0, s.refuse("this gateway signed checkpoints, as %s remembers, and there is no log: it was lost. Put it back from a copy. "+
			"To begin anew all the same, move the whole data folder away", s.keys)
	case s.begin && s.log != begunLog && s.others != "":
		return 0, s.refuse("%s, and there is no log: it was lost. Put it back from a copy. To begin anew all the same, remove each "+
			"key: pinfold checkpoint-keys remove", s.others)
	case !s.key && s.log == begunLog && s.join, !s.key && s.log != begunLog && s.begin:
		return makeKey, nil
	case !s.key && s.log == begunLog:
		return 0, s.refuse("%s holds none, and the log has begun. If the folder was lost, put it back from a copy. A new gateway, or "+
			"one whose folder is lost for good, makes a key with --join", s.keys)
	case s.log == begunLog:
		return goOn, nil
	case s.begin:
		return makeLog, nil
	case s.key || s.join:
		return await, nil
	}
	return 0, s.refuse("%s holds none, and there is no log. The first gateway of new Games starts with --begin, any other with --join", s.keys)
}

func (situation) refuse(format string, args ...any) error {
	return &notary.KeyError{Reason: fmt.Sprintf(format, args...)}
}

// begin opens the log once it has begun, and sees that there is a key; what is missing it makes, as far as it was told to.
func begin(ctx context.Context, c Config, keys *keyFolder) (log *eventlog.JetStream, err error) {
	err = serve.Reach(ctx, c.Logger, func() (err error) {
		for err == nil {
			var s situation
			var next step
			if s, log, err = survey(ctx, c, keys); err != nil {
				return err
			}
			next, refused := s.next()
			if refused != nil {
				return refused
			}
			switch next {
			case goOn:
				return nil
			case makeKey:
				err = keys.makeKey()
			case makeLog:
				err = makeTheLog(ctx, c)
			case await:
				err = fmt.Errorf("%w: another gateway makes it", eventlog.ErrNoLog)
			}
		}
		return err
	})
	return log, err
}

// survey returns what there is.
func survey(ctx context.Context, c Config, keys *keyFolder) (s situation, log *eventlog.JetStream, err error) {
	s = situation{keys: keys.path, key: keys.key != "", signed: keys.hasSigned, begin: c.Notary.Begin, join: c.Notary.Join}
	log, err = eventlog.Open(ctx, c.NATS, c.Games)
	if errors.Is(err, eventlog.ErrNoLog) {
		if s.others, err = signedByOthers(ctx, c); err != nil || s.others == "" {
			return s, nil, err
		}
		log, err = eventlog.Open(ctx, c.NATS, c.Games) // it was made, and signed for, meanwhile
		if errors.Is(err, eventlog.ErrNoLog) {
			return s, nil, nil
		}
	}
	if err != nil {
		return s, nil, err
	}
	if err := enoughReplicas(log, c.Replicas); err != nil {
		return s, nil, err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return s, nil, err
	}
	s.log = emptyLog
	if head.Last > 0 {
		s.log = begunLog
	}
	return s, log, nil
}

// enoughReplicas returns an error if fewer servers keep the log than the operator asked for: one that is lost would take
// with it what was accepted.
func enoughReplicas(log *eventlog.JetStream, want int) error {
	if got := log.Replicas(); got < want {
		return fmt.Errorf("--replicas %d was given, and %d keep the stream %s: have the stream kept by %d "+
			"(nats stream edit %s --replicas %d), or give --replicas %d", want, got, log.Name(), want, log.Name(), want, got)
	}
	return nil
}

// signedByOthers says what the list of keys knows to be signed; "" = nothing.
func signedByOthers(ctx context.Context, c Config) (string, error) {
	list, err := notary.OpenBucket(ctx, c.NATS, c.Games)
	if errors.Is(err, notary.ErrNoList) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	all, err := list.All(ctx)
	if err != nil {
		return "", err
	}
	for _, l := range all {
		if name, err := l.Name(); err == nil && l.Newest != "" && !l.Removed {
			return "checkpoint key " + name + " of the list has signed for these Games", nil
		}
	}
	return "", nil
}

// makeTheLog makes the log and its first batch.
func makeTheLog(ctx context.Context, c Config) error {
	log, err := eventlog.Create(ctx, c.NATS, c.Games, c.Replicas, eventlog.MaxBytes(c.MaxBytes))
	if err != nil {
		return err
	}
	return genesis(ctx, c, log)
}

// genesis returns once the log has begun, with one batch, the rules and the time; of several gateways that write it, the
// log takes the first.
func genesis(ctx context.Context, c Config, log eventlog.Log) error {
	inForce := rules.Tokyo2020()
	if c.Rules != nil {
		inForce = *c.Rules
	}
	for failures := 0; ; failures++ {
		head, err := log.Head(ctx)
		if err != nil || head.Last > 0 {
			return err
		}
		_, err = appendBatch(ctx, log, eventlog.Batch{
			Records: []fact.Record{{Fact: fact.RulesAdopted{Rules: inForce}}, {Fact: fact.TimePassed{Time: c.Now()}}},
			Fences:  map[fact.Family]fact.Seq{fact.Roster: 0, fact.Clock: 0},
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, eventlog.ErrConflict) && !errors.Is(err, eventlog.ErrUnanswered) && !errors.Is(err, eventlog.ErrNotStored) {
			return fmt.Errorf("begin the log: %w", err)
		}
		if eventlog.Noteworthy(failures) {
			c.Logger.Warn("the log cannot be begun, trying again", "failures", failures+1, "error", err)
		}
		select {
		case <-time.After(pauseAfter(failures)): // another gateway was first, or nobody knows yet: look again
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
