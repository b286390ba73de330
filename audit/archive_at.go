package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"sync"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// cachedChunks is how many chunks an Archive keeps decoded: who looks for the two halves of a tap looks at both ends of
// what lies between. Each takes at most 2 MiB and some 50 bytes for a fact.
const cachedChunks = 8

// Archive answers for one sequence of an archive at a time. Any number of goroutines may use it; one at a time reads.
type Archive struct {
	in     io.ReaderAt
	header Header
	chunks []chunkPlace
	last   fact.Seq

	mu     sync.Mutex
	frames *frames
	cache  []decodedChunk // the latest used first
}

// chunkPlace is a chunk that was not read but for its head.
type chunkPlace struct {
	chunkHead
	offset int64 // of its frame
}

type decodedChunk struct {
	number   int // from 0
	messages []eventlog.Message
}

// OpenArchive reads the header, the heads of all chunks and the end record of an archive of so many bytes, but not the
// chunks. What is wrong with these is an *ArchiveError, as a Reader's.
func OpenArchive(in io.ReaderAt, size int64) (*Archive, error) {
	section := io.NewSectionReader(in, 0, size)
	r, err := NewReader(section)
	if err != nil {
		return nil, err
	}
	offset, err := section.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, &ArchiveError{Err: err}
	}
	a := &Archive{in: in, header: r.header, frames: r.frames}
	if err := a.readHeads(&r.place, offset-int64(r.in.Buffered()), size); err != nil {
		return nil, &ArchiveError{Chunk: len(a.chunks) + 1, Seq: r.next, Err: err}
	}
	a.last = r.next - 1
	return a, nil
}

// readHeads goes from head to head, beginning at the offset, up to the end record.
func (a *Archive) readHeads(p *place, offset, size int64) error {
	var raw [max(chunkHeadSize, endSize)]byte
	for {
		tag := raw[:1]
		if err := a.readAt(tag, offset); errors.Is(err, ErrTruncated) {
			return fmt.Errorf("%w: no end record", err)
		} else if err != nil {
			return err
		}
		switch tag[0] {
		case endTag:
			return a.readEnd(p, raw[:endSize], offset, size)
		case chunkTag:
		default:
			return fmt.Errorf("%w: unknown record %#02x", ErrFormat, tag[0])
		}
		if err := a.readAt(raw[:chunkHeadSize], offset); err != nil {
			return err
		}
		head := parseChunkHead(raw[:chunkHeadSize])
		if err := head.check(p.next); err != nil {
			return err
		}
		offset += chunkHeadSize
		if int64(head.frame) > size-offset {
			return ErrTruncated
		}
		a.chunks = append(a.chunks, chunkPlace{chunkHead: head, offset: offset})
		offset += int64(head.frame)
		p.digest.Write(raw[:chunkHeadSize])
		p.facts += uint64(head.facts)
		p.next += fact.Seq(head.facts)
	}
}

func (a *Archive) readEnd(p *place, raw []byte, offset, size int64) error {
	if err := a.readAt(raw, offset); err != nil {
		return err
	}
	if !bytes.Equal(raw, p.end()) {
		return fmt.Errorf("%w: the end record is not that of the %d facts up to sequence %d", ErrChecksum, p.facts, p.next-1)
	}
	if size > offset+endSize {
		return fmt.Errorf("%w: bytes behind the end record", ErrFormat)
	}
	return nil
}

// readAt fills b. The end of the input is ErrTruncated.
func (a *Archive) readAt(b []byte, offset int64) error {
	n, err := a.in.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return ErrTruncated
	}
	return err
}

// Header returns of which log the archive is.
func (a *Archive) Header() Header { return a.header }

// Last returns the sequence of the last fact; one less than the header's first if there is none.
func (a *Archive) Last() fact.Seq { return a.last }

// At returns the fact at the sequence, and whether the archive holds it. The chunk that it stands in is read, checked
// and kept for a while. What is wrong with it is an *ArchiveError that names the chunk's first sequence. The payload may
// be kept; it keeps the memory of its chunk.
func (a *Archive) At(ctx context.Context, seq fact.Seq) (eventlog.Message, bool, error) {
	if err := ctx.Err(); err != nil {
		return eventlog.Message{}, false, err
	}
	if seq < a.header.First || seq > a.last {
		return eventlog.Message{}, false, nil
	}
	number := sort.Search(len(a.chunks), func(i int) bool { return a.chunks[i].first > seq }) - 1
	messages, err := a.chunk(number)
	if err != nil {
		return eventlog.Message{}, false, &ArchiveError{Chunk: number + 1, Seq: a.chunks[number].first, Err: err}
	}
	return messages[seq-a.chunks[number].first], true, nil
}

// chunk returns the facts of a chunk.
func (a *Archive) chunk(number int) ([]eventlog.Message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.cache, func(c decodedChunk) bool { return c.number == number })
	if i < 0 {
		messages, err := a.decode(a.chunks[number])
		if err != nil {
			return nil, err
		}
		if len(a.cache) < cachedChunks {
			a.cache = append(a.cache, decodedChunk{})
		}
		i = len(a.cache) - 1 // what was not used for longest goes
		a.cache[i] = decodedChunk{number: number, messages: messages}
	}
	used := a.cache[i]
	copy(a.cache[1:i+1], a.cache[:i])
	a.cache[0] = used
	return used.messages, nil
}

// decode reads a chunk, and checks it as a Reader does.
func (a *Archive) decode(c chunkPlace) ([]eventlog.Message, error) {
	frame := make([]byte, c.frame)
	if err := a.readAt(frame, c.offset); err != nil {
		return nil, err
	}
	return a.frames.open(c.chunkHead, frame)
}

// Messages returns all facts in order, as a Reader does, but each chunk is read when it is needed. The first error is the
// last element.
func (a *Archive) Messages(ctx context.Context) iter.Seq2[eventlog.Message, error] {
	return func(yield func(eventlog.Message, error) bool) {
		for seq := a.header.First; seq <= a.last; seq++ {
			m, _, err := a.At(ctx, seq)
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}
