package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"pinfold/internal/fact"
)

// JetStream is a Log in a JetStream stream.
type JetStream struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	games  string
	epoch  uint32
	kept   fact.Seq

	confirm time.Duration // confirmShorter
	deserts *deserter     // by what became of batches
}

// Open finds the log of the Games by its subjects. ErrNoLog says that there is none yet.
func Open(ctx context.Context, nc *nats.Conn, games string) (*JetStream, error) {
	if err := CheckGames(games); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(nc))
	defer cancel()
	name, err := js.StreamNameBySubject(ctx, subjects(games))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %s%s", ErrNoLog, games, whatElse(ctx, js))
	}
	if err != nil {
		return nil, unreachable(nc, err, "look for the stream of %s", games)
	}
	epoch, err := epochOf(games, name)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, unreachable(nc, err, "stream %s", name)
	}
	if err := checkStream(stream.CachedInfo().Config); err != nil {
		return nil, err
	}
	kept, err := keptOf(epoch, stream.CachedInfo().Config.Metadata)
	if err != nil {
		return nil, fmt.Errorf("log: stream %s: %w", name, err)
	}
	l := &JetStream{js: js, stream: stream, games: games, epoch: epoch, kept: kept, confirm: confirmShorter, deserts: &deserter{nc: nc}}
	if err := l.checkFormat(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Games returns the Games that have a log, in the order of the alphabet.
func Games(ctx context.Context, nc *nats.Conn) ([]string, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return gamesOn(ctx, js)
}

func gamesOn(ctx context.Context, js jetstream.JetStream) (games []string, err error) {
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if g, ok := gamesOf(name); ok {
			games = append(games, g)
		}
	}
	slices.Sort(games)
	return slices.Compact(games), names.Err()
}

// whatElse says which Games have a log, where some do: the id that was asked for may be mistyped.
func whatElse(ctx context.Context, js jetstream.JetStream) string {
	games, err := gamesOn(ctx, js)
	if err != nil || len(games) == 0 { // not everybody may list streams
		return ""
	}
	more := ""
	if n := len(games) - maxNamed; n > 0 {
		games, more = games[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return "; there are " + strings.Join(games, ", ") + more
}

// maxNamed is how many Games an error names.
const maxNamed = 10

// checkFormat refuses a log of another version of which the folds would make something else. The folds of the first
// version counted steps before the opening and behind the closing; its logs had one RulesAdopted, with which they begin.
func (l *JetStream) checkFormat(ctx context.Context) error {
	name := l.stream.CachedInfo().Config.Name
	switch of := l.stream.CachedInfo().Config.Metadata[metadataFormat]; of {
	case format:
		return nil
	case "":
	default:
		return fmt.Errorf("log: stream %s: %s %.20q: this version knows format %s, and that of the first version", name, metadataFormat, of, format)
	}
	m, found, err := l.At(ctx, 1)
	if err != nil || !found {
		return err
	}
	first, err := m.Decode()
	if err != nil {
		return err
	}
	if r, ok := first.Fact.(fact.RulesAdopted); ok && (r.Rules.Opens != 0 || r.Rules.Closes != 0) {
		return fmt.Errorf("log: stream %s: the first version of Pinfold made it, with rules %.80q that open or close: "+
			"this version takes over logs whose rules are always open", name, r.Rules.Name)
	}
	return nil
}

// checkStream returns an error unless the stream keeps what the log promises: nothing is deleted or dropped, and a batch
// is stored whole or not at all.
func checkStream(c jetstream.StreamConfig) error {
	for _, rule := range []struct {
		setting string
		holds   bool
	}{
		{"storage file", c.Storage == jetstream.FileStorage},
		{"retention limits", c.Retention == jetstream.LimitsPolicy},
		{"discard new", c.Discard == jetstream.DiscardNew},
		{"no limit of messages, their size or age", c.MaxMsgs <= 0 && c.MaxMsgsPerSubject <= 0 && c.MaxMsgSize <= 0 && c.MaxAge == 0},
		{"deny_delete", c.DenyDelete},
		{"deny_purge", c.DenyPurge},
		{"allow_atomic", c.AllowAtomicPublish},
	} {
		if !rule.holds {
			return fmt.Errorf("log: stream %s: it cannot hold a log: want %s", c.Name, rule.setting)
		}
	}
	return nil
}

// createTimeout bounds the making of the stream, for which a cluster agrees on its places.
const createTimeout = 5 * time.Second

// MaxBytes bounds a stream that Create makes, 0 = not at all: so many bytes at each server, which each sets aside. A log that comes to it
// is ErrFull, can be read, and goes on once the bound is raised. Servers that come to the end of their room instead give
// up a stream that several of them keep, and say so to nobody but their own logs.
type MaxBytes int64

// Create makes the stream of the first epoch, kept by that many servers, unless the Games have a log, and opens it.
// The settings are those of docs/design.md section 6: nothing is ever deleted or dropped. While there are not so many servers,
// or they have no room for the bound, the error is ErrUnreachable.
func Create(ctx context.Context, nc *nats.Conn, games string, replicas int, bound ...MaxBytes) (*JetStream, error) {
	log, err := Open(ctx, nc, games)
	if !errors.Is(err, ErrNoLog) {
		return log, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	most := int64(-1)
	for _, b := range bound {
		if b > 0 {
			most = int64(b)
		}
	}
	making, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err = js.CreateStream(making, jetstream.StreamConfig{
		Name:               streamName(games, 1),
		Description:        "Pinfold: the log of " + games,
		Subjects:           []string{subjects(games)},
		Storage:            jetstream.FileStorage,
		Replicas:           replicas,
		MaxBytes:           most,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		DenyDelete:         true,
		DenyPurge:          true,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{metadataFormat: format},
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, createError(nc, games, err)
	}
	return Open(ctx, nc, games)
}

// createError tells an answer of the server, which will be the same again, from none, and from that of a server that is
// not ready.
func createError(nc *nats.Conn, games string, err error) error {
	api, answered := errors.AsType[*jetstream.APIError](err)
	if answered && api.Code != http.StatusServiceUnavailable && api.ErrorCode != codeNoPeers {
		return fmt.Errorf("log: make the stream of %s: %w", games, err)
	}
	return unreachable(nc, err, "make the stream of %s", games)
}

// Name returns the name of the stream.
func (l *JetStream) Name() string { return streamName(l.games, l.epoch) }

// Replicas returns how many servers were to keep the log when it was opened.
func (l *JetStream) Replicas() int { return max(1, l.stream.CachedInfo().Config.Replicas) }

// Head implements Log.
func (l *JetStream) Head(ctx context.Context) (Head, error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(l.js.Conn()))
	defer cancel()
	info, err := l.stream.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Head{}, fmt.Errorf("%w: %s is gone", ErrReplaced, streamName(l.games, l.epoch))
	}
	if err != nil {
		return Head{}, unreachable(l.js.Conn(), err, "where does it end")
	}
	// A member of a group without a leader answers too, with what it has itself.
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return Head{}, fmt.Errorf("%w: where does it end: the stream has no leader", ErrUnreachable)
	}
	return Head{Epoch: l.epoch, Last: fact.Seq(info.State.LastSeq), Kept: l.kept}, nil
}

// Append implements Log.
func (l *JetStream) Append(ctx context.Context, b Batch) (fact.Seq, error) {
	msgs, err := l.messages(b)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(l.js.Conn()))
	defer cancel()
	before, began := l.js.Conn().LastError(), time.Now()
	// Without an answer to the first message, for which the library would wait whatever the context says.
	ack, err := jetstreamext.PublishMsgBatch(ctx, l.js, msgs, jetstreamext.BatchFlowControl{AckFirst: false})
	if err != nil {
		if forbidden := l.forbidden(b, before); forbidden != nil {
			return 0, forbidden
		}
		if silent(err) {
			l.deserts.note(began, false)
		}
		return 0, appendError(l.js.Conn(), err)
	}
	l.deserts.note(began, true)
	return fact.Seq(ack.Sequence), nil
}

func (l *JetStream) messages(b Batch) ([]*nats.Msg, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	fenced := make(map[fact.Family]bool, len(b.Fences))
	msgs := make([]*nats.Msg, len(b.Records))
	for i, r := range b.Records {
		payload, err := Encode(r)
		if err != nil {
			return nil, fmt.Errorf("log: record %d of the batch: %w", i, err)
		}
		family := r.Fact.Family()
		m := nats.NewMsg(subject(l.games, family))
		m.Data = payload
		m.Header.Set(jetstream.ExpectedStreamHeader, streamName(l.games, l.epoch))
		// The server takes an expectation only before the batch's own first message on that subject.
		if want, ok := b.Fences[family]; ok && !fenced[family] {
			m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, want.String())
			fenced[family] = true
		}
		msgs[i] = m
	}
	return msgs, nil
}

// LastOf implements Log. It asks the stream's leader, not any replica.
func (l *JetStream) LastOf(ctx context.Context, f fact.Family) (Message, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(l.js.Conn()))
	defer cancel()
	raw, err := l.stream.GetLastMsgForSubject(ctx, subject(l.games, f))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, false, nil
	}
	if err != nil {
		return Message{}, false, unreachable(l.js.Conn(), err, "the last fact of %s", f)
	}
	m, err := message(l.games, l.kept, raw.Subject, fact.Seq(raw.Sequence), raw.Time, raw.Header, raw.Data)
	return m, err == nil, err
}

// At implements Log. It asks the stream's leader, not any replica.
func (l *JetStream) At(ctx context.Context, seq fact.Seq) (Message, bool, error) {
	if seq == 0 {
		return Message{}, false, nil // the server would take it for a question about the last one
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(l.js.Conn()))
	defer cancel()
	raw, err := l.stream.GetMsg(ctx, uint64(seq))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, false, nil
	}
	if err != nil {
		return Message{}, false, unreachable(l.js.Conn(), err, "the fact at sequence %d", seq)
	}
	m, err := message(l.games, l.kept, raw.Subject, fact.Seq(raw.Sequence), raw.Time, raw.Header, raw.Data)
	return m, err == nil, err
}

// message reads one message of the stream. Only up to kept was it a restore that wrote the header: behind it anybody who
// may append could make up a stored time.
func message(games string, kept fact.Seq, subj string, seq fact.Seq, stored time.Time, h nats.Header, data []byte) (Message, error) {
	family, err := familyOf(games, subj)
	if err != nil {
		return Message{}, &DecodeError{Seq: seq, Err: err}
	}
	at := fact.UnixMilli(stored.UnixMilli())
	if first := h.Get(headerStored); first != "" && seq <= kept {
		ms, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return Message{}, &DecodeError{Seq: seq, Family: family, Err: fmt.Errorf("header %s: %w", headerStored, err)}
		}
		at = fact.UnixMilli(ms)
	}
	return Message{Seq: seq, Stored: at, Family: family, Payload: data}, nil
}
