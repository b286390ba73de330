// Package eventlog is the log of one Games: one JetStream stream, in which all facts have one total order, and its
// twin in memory, which fails on demand. The names on the wire are in subjects.go, the bytes of a fact in codec.go.
package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"pinfold/internal/fact"
)

// MaxBatch is the largest number of facts in one batch: JetStream's limit for an atomic batch (error 10199).
const MaxBatch = 1000

// Log is one epoch of the log of one Games. All methods may be called by any number of goroutines.
type Log interface {
	// Head returns the epoch and the last sequence of the log.
	Head(ctx context.Context) (Head, error)

	// Append stores the batch whole or not at all, and returns the sequence of its last fact; the facts of a batch
	// have consecutive sequences. Once it returns without error, the batch is stored durably. The errors:
	//
	//   - ErrConflict: a fence does not hold, nothing is stored.
	//   - ErrFull: the log has no room, nothing is stored.
	//   - ErrNotStored: something else kept the batch from being stored; the same batch can be tried again.
	//   - ErrRefused: the server will never take it; nothing is stored. The error names the limit. ErrBatchTooLarge is
	//     one of these.
	//   - ErrUnanswered: nobody knows, after 2 s in a cluster and 10 s within the process. It may have been stored, or be stored later. Look before trying again.
	//   - ErrReplaced: the stream is no longer this epoch's; nothing is stored.
	Append(ctx context.Context, b Batch) (fact.Seq, error)

	// LastOf returns the last fact of the family, and whether there is one. The answer may be stale, but it never
	// names a fact that is not in the log. A message that cannot be understood is a *DecodeError.
	LastOf(ctx context.Context, f fact.Family) (Message, bool, error)

	// At returns the fact at the given sequence, and whether the log holds it. A message that cannot be understood is a
	// *DecodeError.
	At(ctx context.Context, seq fact.Seq) (Message, bool, error)

	// Read returns a reader of all facts behind the position, in log order. It first compares the fact at the position
	// with the one that the log holds there: a *RewrittenError says that the log is not the one that was read up to
	// the position, and is final. Of Position{}, the beginning, there is nothing to compare. ErrReplaced says that the
	// stream is no longer this epoch's; ErrUnreachable passes.
	Read(ctx context.Context, after Position) (Reader, error)
}

// Reader reads the log in order, without a gap. It is used by one goroutine.
type Reader interface {
	// Next waits for the next fact and returns it with those that have arrived behind it, at most max in all. A
	// message that cannot be understood is a *DecodeError, a log that lacks the next fact ErrGap. A reader that has
	// lost its place at the server ends with ErrUnreachable: whoever reads begins again from its position, and so
	// compares again. After any error but the context's, Next has no more facts.
	Next(ctx context.Context, max int) ([]Message, error)
	// Err returns at once why the reader has lost its place, or nil while it has not; facts that arrived before may
	// still be waiting for Next.
	Err() error
	// Close ends the reading, once. A Next that waits in another goroutine returns an error.
	Close()
}

// Head is where the log ends.
type Head struct {
	Epoch uint32
	Last  fact.Seq
	Kept  fact.Seq // the last one that a restore took over from the epoch before; 0 = the log is no restored one
}

// Position is a place in the log, and what stands there. The zero Position is the beginning of any log.
type Position struct {
	Epoch uint32 // 0 = not known
	Seq   fact.Seq
	Hash  [sha256.Size]byte // of the payload at Seq
}

// Batch is what is appended at once, at most MaxBatch records. Fences holds, for each family that is to be fenced, the
// last sequence of that family as the writer knows it (0 = none yet): if the log has another, the batch is refused.
type Batch struct {
	Records []fact.Record
	Fences  map[fact.Family]fact.Seq
}

// Message is a fact in its place in the log, its bytes not yet decoded.
type Message struct {
	Seq     fact.Seq
	Stored  fact.UnixMilli // when the log stored it; of a restored message, when it was stored first
	Family  fact.Family
	Payload []byte
}

// Decode returns the fact that the message holds. An unknown fact, field or enum value is an error: a reader that does
// not know everything must not go on as if it did.
func (m Message) Decode() (fact.Entry, error) {
	r, err := Decode(m.Family, m.Payload)
	if err != nil {
		return fact.Entry{}, &DecodeError{Seq: m.Seq, Family: m.Family, Err: err}
	}
	return fact.Entry{Seq: m.Seq, Stored: m.Stored, Record: r}, nil
}

// Hash returns the SHA-256 of the stored payload, by which a view recognises the log it was folded from.
func (m Message) Hash() [sha256.Size]byte { return sha256.Sum256(m.Payload) }

// Position returns the place of the message in a log of that epoch.
func (m Message) Position(epoch uint32) Position {
	return Position{Epoch: epoch, Seq: m.Seq, Hash: m.Hash()}
}

// End returns the position of the last fact of the log.
func End(ctx context.Context, log Log) (Position, error) {
	head, err := log.Head(ctx)
	if err != nil || head.Last == 0 {
		return Position{Epoch: head.Epoch}, err
	}
	m, found, err := log.At(ctx, head.Last)
	if err != nil {
		return Position{}, err
	}
	if !found {
		return Position{}, fmt.Errorf("%w: sequence %d was the last one and is not there now", ErrUnreachable, head.Last)
	}
	return m.Position(head.Epoch), nil
}

// RewrittenError says that the log is not the one that was read: it lost its end, as one that came back from an older
// copy has, and may have grown anew since.
type RewrittenError struct {
	After  Position // up to which it was read
	Reason string
}

func (e *RewrittenError) Error() string { return "log: rewritten: " + e.Reason }

// rewritten compares the fact at the position with what the log holds there; nil = they are the same.
func (p Position) rewritten(m Message) error {
	if m.Hash() == p.Hash {
		return nil
	}
	return &RewrittenError{p, fmt.Sprintf("sequence %d holds the fact %.4x, and %.4x was read there", p.Seq, m.Hash(), p.Hash)}
}

// shorter says that the log ends before the position.
func (p Position) shorter(last fact.Seq) error {
	return &RewrittenError{p, fmt.Sprintf("it was read up to sequence %d, and ends at %d", p.Seq, last)}
}

// otherEpoch compares the epochs; nil = they are the same, or that of the position is not known.
func (p Position) otherEpoch(epoch uint32) error {
	if p.Epoch == 0 || p.Epoch == epoch {
		return nil
	}
	return &RewrittenError{p, fmt.Sprintf("epoch %d was read, and this is epoch %d", p.Epoch, epoch)}
}

// Final reports whether who reads gets this error again, however often the reading begins again.
func Final(err error) bool {
	_, unreadable := errors.AsType[*DecodeError](err)
	_, rewritten := errors.AsType[*RewrittenError](err)
	return unreadable || rewritten || errors.Is(err, ErrReplaced) || errors.Is(err, ErrGap)
}

// Noteworthy reports whether a failure that comes behind so many others in a row is worth a line in a log: the first is,
// the second, the fourth, and each one by which their number has doubled again.
func Noteworthy(failures int) bool { return failures&(failures+1) == 0 }

// DecodeError says which message of the log could not be understood, and why.
type DecodeError struct {
	Seq    fact.Seq
	Family fact.Family // "" = of none that is known
	Err    error
}

func (e *DecodeError) Error() string {
	if e.Family == "" {
		return "log: sequence " + e.Seq.String() + ": " + e.Err.Error()
	}
	return "log: sequence " + e.Seq.String() + ", family " + string(e.Family) + ": " + e.Err.Error()
}

func (e *DecodeError) Unwrap() error { return e.Err }

// The errors of Append, and the last one of Head and Read too; see Log.
var (
	ErrConflict   = errors.New("log: another writer of the family was first")
	ErrFull       = errors.New("log: full")
	ErrNotStored  = errors.New("log: not stored")
	ErrRefused    = errors.New("log: the server refuses it for good")
	ErrUnanswered = errors.New("log: no answer, the batch may be stored or not")
	ErrReplaced   = errors.New("log: the stream was replaced by another epoch")
)

// ErrBatchTooLarge is an ErrRefused: fewer facts at once may be taken.
var ErrBatchTooLarge = fmt.Errorf("%w: too many facts in one batch", ErrRefused)

// ErrNoLog says that there is no stream for the Games yet.
var ErrNoLog = errors.New("log: no stream for these Games")

// ErrGap says that the log does not hold a fact that it must hold.
var ErrGap = errors.New("log: a gap")

// ErrUnreachable says that the log could not be asked: the server is away, starts, or has no leader. It passes.
var ErrUnreachable = errors.New("log: not reached")

// errClosed is what Next returns behind Close.
var errClosed = errors.New("log: the reader is closed")
