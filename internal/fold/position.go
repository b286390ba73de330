package fold

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
)

// bucket holds what the runner keeps in a view, beside the core's buckets and outside the digest:
//
//	p            core's name, position
//	q cause index    a derived fact that has not come by yet, as it was appended
const bucket = "runner"

var positionKey = []byte("p")

const queuePrefix = 'q'

// load reads the position and what is still expected; both are empty in a new view.
func load(r kv.Reader, core Core) (eventlog.Position, []fact.Record, error) {
	pos, err := loadPosition(r, core.Name())
	if err != nil || pos == (eventlog.Position{}) {
		return pos, nil, err
	}
	var queue []fact.Record
	for _, payload := range r.Scan(bucket, []byte{queuePrefix}, nil) {
		record, err := eventlog.Decode(core.Derives(), payload)
		if err != nil {
			return pos, nil, fmt.Errorf("view of %s: an expected fact: %w", core.Name(), err)
		}
		queue = append(queue, record)
	}
	return pos, queue, nil
}

// loadPosition reads the position, which is empty in a new view. The error says that it is not a view of that core.
func loadPosition(r kv.Reader, core string) (pos eventlog.Position, err error) {
	v := r.Get(bucket, positionKey)
	if v == nil {
		return pos, nil
	}
	const fixed = 4 + 8 + sha256.Size
	if len(v) < fixed || string(v[fixed:]) != core {
		return pos, &MisfitError{Core: core, Reason: "it is the view of another service"}
	}
	pos.Epoch = binary.BigEndian.Uint32(v)
	pos.Seq = fact.Seq(binary.BigEndian.Uint64(v[4:]))
	copy(pos.Hash[:], v[12:])
	return pos, nil
}

// save writes the turn's position and what it changed of the expected facts. Those that came by within the same turn
// were never written.
func (t *turn) save(tx kv.Tx) error {
	v := binary.BigEndian.AppendUint32(nil, t.last.Epoch)
	v = binary.BigEndian.AppendUint64(v, uint64(t.last.Seq))
	v = append(v, t.last.Hash[:]...)
	tx.Put(bucket, positionKey, append(v, t.runner.Core.Name()...))
	for _, r := range t.runner.queue[:t.popped] {
		tx.Delete(bucket, queueKey(r.Derivation))
	}
	for _, r := range t.added {
		payload, err := eventlog.Encode(r)
		if err != nil {
			return err
		}
		tx.Put(bucket, queueKey(r.Derivation), payload)
	}
	return nil
}

func queueKey(d fact.Derivation) []byte {
	k := binary.BigEndian.AppendUint64([]byte{queuePrefix}, uint64(d.Cause))
	return binary.BigEndian.AppendUint32(k, d.Index)
}
