package notary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pinfold/internal/eventlog"
	"pinfold/internal/merkle"
)

// Listed is a checkpoint key in the list.
type Listed struct {
	Public  string `json:"public_key"`        // as merkle.GenerateKey returns it
	Newest  string `json:"newest,omitempty"`  // the newest checkpoint that it signed, a signed note; "" = none yet
	Removed bool   `json:"removed,omitempty"` // by an operator: it signs nothing more, and nobody is held against it

	// Revision is that of the entry in the list; 0 = it is not there.
	Revision uint64 `json:"-"`
}

// Name returns the name of the key in the list: its hash, 8 hex digits, as it stands in the public key.
func (l Listed) Name() (string, error) { return merkle.KeyName(l.Public) }

// List is the list of the checkpoint keys of one Games, which all gateways share. All methods may be called by any number
// of goroutines.
type List interface {
	// All returns all entries, ordered by name. They may be a little old.
	All(ctx context.Context) ([]Listed, error)
	// Put writes the entry, and returns its revision. ErrListChanged says that the one in the list has another revision
	// than it states; after any other error it may be stored or not.
	Put(ctx context.Context, entry Listed) (revision uint64, err error)
}

// ErrListChanged says that somebody else changed the entry of a key first.
var ErrListChanged = errors.New("the list of checkpoint keys: another was first")

// ErrNoList says that there is no list for the Games yet.
var ErrNoList = errors.New("no list of checkpoint keys for these Games")

// bucketPrefix begins the name of the key-value bucket, behind which the name of the Games stands. Its keys are the names of
// checkpoint keys, its values are Listed as JSON.
const bucketPrefix = "PINFOLD_CHECKPOINTS_"

// Bucket is a List in a key-value bucket beside the log.
type Bucket struct {
	nc       *nats.Conn
	games    string
	replicas int // with which the bucket is made where there is none; 0 = it is not

	mu sync.Mutex
	kv jetstream.KeyValue // nil = not open
}

// OpenBucket opens the list of the Games. ErrNoList says that there is none.
func OpenBucket(ctx context.Context, nc *nats.Conn, games string) (*Bucket, error) {
	b := &Bucket{nc: nc, games: games}
	_, err := b.open(ctx)
	return b, err
}

// NewBucket returns the list of the Games, which is made where it is needed and there is none, to be kept by that many
// servers.
func NewBucket(nc *nats.Conn, games string, replicas int) *Bucket {
	return &Bucket{nc: nc, games: games, replicas: replicas}
}

func (b *Bucket) open(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv != nil {
		return b.kv, nil
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, listError(err)
	}
	kv, err := js.KeyValue(ctx, bucketPrefix+b.games)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if b.replicas == 0 {
			return nil, ErrNoList
		}
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucketPrefix + b.games, Description: "Pinfold: the checkpoint keys of " + b.games,
			History: 1, Storage: jetstream.FileStorage, Replicas: b.replicas,
		})
	}
	if err != nil {
		return nil, listError(err)
	}
	b.kv = kv
	return kv, nil
}

// close lets the next call look whether the bucket is still there.
func (b *Bucket) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kv = nil
}

func listError(err error) error {
	return fmt.Errorf("the list of checkpoint keys: %w: %w", eventlog.ErrUnreachable, err)
}

// All implements List.
func (b *Bucket) All(ctx context.Context) ([]Listed, error) {
	kv, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		b.close()
		return nil, listError(err)
	}
	defer watch.Stop() //nolint:errcheck // it is gone by itself soon
	found := map[string]Listed{}
	for {
		select {
		case entry, open := <-watch.Updates():
			if !open {
				return nil, listError(nats.ErrConnectionClosed)
			}
			if entry == nil {
				return sorted(found), nil
			}
			if found[entry.Key()], err = parseListed(entry); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, listError(ctx.Err())
		}
	}
}

func sorted(entries map[string]Listed) []Listed {
	list := make([]Listed, 0, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		list = append(list, entries[name])
	}
	return list
}

func parseListed(entry jetstream.KeyValueEntry) (l Listed, err error) {
	if err := json.Unmarshal(entry.Value(), &l); err != nil {
		return l, fmt.Errorf("the list of checkpoint keys: entry %s: %w", entry.Key(), err)
	}
	if name, err := l.Name(); err != nil || name != entry.Key() {
		return l, fmt.Errorf("the list of checkpoint keys: entry %s holds the key %.80q: want the one of that name", entry.Key(), l.Public)
	}
	l.Revision = entry.Revision()
	return l, nil
}

// Put implements List.
func (b *Bucket) Put(ctx context.Context, entry Listed) (revision uint64, err error) {
	name, err := entry.Name()
	if err != nil {
		return 0, err
	}
	value, err := json.Marshal(entry)
	if err != nil {
		return 0, err
	}
	kv, err := b.open(ctx)
	if err != nil {
		return 0, err
	}
	revision, err = kv.Update(ctx, name, value, entry.Revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return 0, ErrListChanged
	}
	if err != nil {
		b.close()
		return 0, listError(err)
	}
	return revision, nil
}

// Remove marks the key of that name as removed.
func Remove(ctx context.Context, list List, name string) error {
	all, err := list.All(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range all {
		own, err := entry.Name()
		if err != nil {
			return err
		}
		if own == name {
			entry.Removed = true
			_, err := list.Put(ctx, entry)
			return err
		}
		names = append(names, own)
	}
	return fmt.Errorf("checkpoint key %.80q: want one of the list: %.80q", name, names)
}

// MemoryList is a List in memory.
type MemoryList struct {
	// Fail, if not nil, is called before each call with its name. Of its error, stored says whether a Put is done all the same.
	Fail func(call string) (stored bool, err error)

	mu       sync.Mutex
	entries  map[string]Listed
	revision uint64
}

func (m *MemoryList) fail(call string) (stored bool, err error) {
	if m.Fail == nil {
		return true, nil
	}
	return m.Fail(call)
}

// All implements List.
func (m *MemoryList) All(context.Context) ([]Listed, error) {
	if _, err := m.fail("All"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.entries), nil
}

// Put implements List.
func (m *MemoryList) Put(_ context.Context, entry Listed) (uint64, error) {
	stored, failure := m.fail("Put")
	if failure != nil && !stored {
		return 0, failure
	}
	name, err := entry.Name()
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[name].Revision != entry.Revision {
		return 0, ErrListChanged
	}
	if m.entries == nil {
		m.entries = map[string]Listed{}
	}
	m.revision++
	entry.Revision = m.revision
	m.entries[name] = entry
	return entry.Revision, failure
}
