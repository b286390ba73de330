package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"

	"github.com/klauspost/compress/zstd"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// The layout of an archive; docs/archive.md has it byte by byte. Integers are big-endian.
const (
	archiveMagic   = "PINFOLD"
	archiveVersion = 1

	chunkTag = 'C'
	endTag   = 'E'

	// chunkHeadSize: tag, number of facts, first sequence, uncompressed length, compressed length, SHA-256.
	chunkHeadSize = 1 + 4 + 8 + 4 + 4 + sha256.Size
	// endSize: tag, total number of facts, last sequence, SHA-256.
	endSize = 1 + 8 + 8 + sha256.Size
	// factHeadSize: sequence, stored time, family; what stands between a fact's length and its payload.
	factHeadSize = 8 + 8 + 1
)

// The limits of the format, which bound what a reader allocates for any input. All but the first are in bytes.
const (
	maxChunkFacts = 10_000
	maxHeader     = 4 << 10
	maxPayload    = 1 << 20 // NATS takes no larger message either
	maxChunk      = 2 << 20 // uncompressed
	maxFrame      = maxChunk + 64<<10
	maxWindow     = 8 << 20 // of zstd
)

// chunkSize is the uncompressed length, in bytes, that a Writer does not let a chunk of several facts exceed.
const chunkSize = 1 << 20

// What can be wrong with an archive; each comes within an *ArchiveError.
var (
	// ErrTruncated: the archive ends before its end record does.
	ErrTruncated = errors.New("truncated")
	// ErrChecksum: the bytes are not those that were written.
	ErrChecksum = errors.New("checksum does not match")
	// ErrFormat: this is no archive, or not one that a Writer of this version writes.
	ErrFormat = errors.New("not the format of an archive")
	// ErrNoArchive: it does not begin as an archive of this version does. It wraps ErrFormat.
	ErrNoArchive = fmt.Errorf("%w", ErrFormat)
)

// ArchiveError says where an archive is wrong, and in what.
type ArchiveError struct {
	Chunk int      // the chunk, or end record, that could not be read; the first is 1, and 0 is the header
	Seq   fact.Seq // of the fact that was to come next
	Err   error    // wraps ErrTruncated, ErrChecksum or ErrFormat, or is that of the underlying reader
}

func (e *ArchiveError) Error() string {
	if e.Chunk == 0 {
		return "archive: header: " + e.Err.Error()
	}
	return fmt.Sprintf("archive: chunk %d, sequence %d: %v", e.Chunk, e.Seq, e.Err)
}

func (e *ArchiveError) Unwrap() error { return e.Err }

// Header says of which log an archive is.
type Header struct {
	Games     string   `json:"games"`
	Epoch     uint32   `json:"epoch"`
	First     fact.Seq `json:"first"`          // sequence of the first fact
	Kept      fact.Seq `json:"kept,omitempty"` // of a restored log, the last one that stood in the epoch before; 0 = it is none
	CreatedBy string   `json:"created_by"`     // program and version, for people only
}

func (h Header) check() error {
	switch {
	case eventlog.CheckGames(h.Games) != nil:
		return eventlog.CheckGames(h.Games)
	case h.Epoch == 0:
		return errors.New("epoch 0: want 1 or more")
	case h.First == 0:
		return errors.New("first sequence 0: want 1 or more")
	case h.Kept != 0 && h.Epoch == 1:
		return fmt.Errorf("kept %d of epoch 1: want a later epoch", h.Kept)
	}
	return nil
}

// place is what a Writer and a Reader both keep of the records so far.
type place struct {
	next   fact.Seq  // sequence of the next fact
	facts  uint64    // so far
	digest hash.Hash // of the header and the heads of all chunks: what the end record commits to
}

// Writer writes an archive as a stream. It is used by one goroutine.
type Writer struct {
	out     io.Writer
	encoder *zstd.Encoder
	err     error // the first one, after which nothing more is written

	place
	chunk []byte // the facts that are not written yet, uncompressed
	count int    // their number
	frame []byte // reused

	maxFacts, maxBytes int // of a chunk
}

// NewWriter writes the header and returns what writes the facts. Each chunk is one Write on w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	head, err := encodeHeader(h)
	if err != nil {
		return nil, fmt.Errorf("archive: header: %w", err)
	}
	encoder, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Writer{
		out: w, encoder: encoder, place: place{next: h.First, digest: sha256.New()},
		maxFacts: maxChunkFacts, maxBytes: chunkSize,
	}
	a.digest.Write(head)
	return a, nil
}

// newEncoder returns what makes the one frame that a chunk of version 1 has. It uses one goroutine, and its output depends on
// the input only: the same log gives the same bytes. Another release of its module may compress otherwise; that would be
// another version of the format.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(chunkSize))
}

func encodeHeader(h Header) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("%d bytes: want at most %d", len(text), maxHeader)
	}
	b := append([]byte(archiveMagic), archiveVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// Write adds the next fact. Its sequence must follow the one before; a message that has no place in an archive is an
// error. After an error, every Write and Close returns it, so that a torn archive never gets its end record.
func (w *Writer) Write(m eventlog.Message) error {
	if w.err == nil {
		w.err = w.write(m)
	}
	return w.err
}

func (w *Writer) write(m eventlog.Message) error {
	code, known := eventlog.FamilyCode(m.Family)
	switch {
	case m.Seq != w.next:
		return fmt.Errorf("archive: sequence %d: want %d, the next", m.Seq, w.next)
	case !known:
		return fmt.Errorf("archive: sequence %d: unknown family %.80q", m.Seq, m.Family)
	case len(m.Payload) > maxPayload:
		return fmt.Errorf("archive: sequence %d: payload of %d bytes: want at most %d", m.Seq, len(m.Payload), maxPayload)
	}
	size := 4 + factHeadSize + len(m.Payload)
	if w.count == w.maxFacts || w.count > 0 && len(w.chunk)+size > w.maxBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.chunk = binary.BigEndian.AppendUint32(w.chunk, uint32(size-4))
	w.chunk = binary.BigEndian.AppendUint64(w.chunk, uint64(m.Seq))
	w.chunk = binary.BigEndian.AppendUint64(w.chunk, uint64(m.Stored))
	w.chunk = append(w.chunk, code)
	w.chunk = append(w.chunk, m.Payload...)
	w.count++
	w.next++
	return nil
}

// flush writes the facts that wait as one chunk.
func (w *Writer) flush() error {
	head := make([]byte, chunkHeadSize)
	w.frame = w.encoder.EncodeAll(w.chunk, append(w.frame[:0], head...))
	chunkHead{
		facts: uint32(w.count), first: w.next - fact.Seq(w.count), size: uint32(len(w.chunk)),
		frame: uint32(len(w.frame) - chunkHeadSize), sum: sha256.Sum256(w.chunk),
	}.put(w.frame)
	if _, err := w.out.Write(w.frame); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	w.digest.Write(w.frame[:chunkHeadSize])
	w.facts += uint64(w.count)
	w.chunk, w.count = w.chunk[:0], 0
	return nil
}

// Close writes the facts that wait and the end record. An archive that is not closed is a truncated one. The
// underlying writer stays open.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.err = errors.New("archive: it is closed")
	if w.count > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if _, err := w.out.Write(w.end()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// end returns the end record that fits the place.
func (p place) end() []byte {
	b := make([]byte, 0, endSize)
	b = append(b, endTag)
	b = binary.BigEndian.AppendUint64(b, p.facts)
	b = binary.BigEndian.AppendUint64(b, uint64(p.next-1))
	p.digest.Write(b)
	return p.digest.Sum(b)
}

// chunkHead is what stands before the zstd frame of a chunk. Lengths are in bytes.
type chunkHead struct {
	facts uint32
	first fact.Seq
	size  uint32            // of the chunk, uncompressed
	frame uint32            // of the zstd frame
	sum   [sha256.Size]byte // of the chunk, uncompressed
}

func (h chunkHead) put(b []byte) {
	b[0] = chunkTag
	binary.BigEndian.PutUint32(b[1:], h.facts)
	binary.BigEndian.PutUint64(b[5:], uint64(h.first))
	binary.BigEndian.PutUint32(b[13:], h.size)
	binary.BigEndian.PutUint32(b[17:], h.frame)
	copy(b[21:], h.sum[:])
}

func parseChunkHead(b []byte) chunkHead {
	return chunkHead{
		facts: binary.BigEndian.Uint32(b[1:]), first: fact.Seq(binary.BigEndian.Uint64(b[5:])),
		size: binary.BigEndian.Uint32(b[13:]), frame: binary.BigEndian.Uint32(b[17:]), sum: [sha256.Size]byte(b[21:chunkHeadSize]),
	}
}

// check returns an error unless the chunk can be of the format, and comes next.
func (h chunkHead) check(next fact.Seq) error {
	switch {
	case h.facts == 0 || h.facts > maxChunkFacts:
		return fmt.Errorf("%w: chunk of %d facts: want 1 to %d", ErrFormat, h.facts, maxChunkFacts)
	case h.first != next:
		return fmt.Errorf("%w: the chunk begins at sequence %d", ErrFormat, h.first)
	case h.first+fact.Seq(h.facts) < h.first:
		return fmt.Errorf("%w: sequences above 64 bits", ErrFormat)
	case uint64(h.size) < uint64(h.facts)*(4+factHeadSize) || h.size > maxChunk:
		return fmt.Errorf("%w: chunk of %d bytes", ErrFormat, h.size)
	case h.frame > maxFrame:
		return fmt.Errorf("%w: zstd frame of %d bytes: want at most %d", ErrFormat, h.frame, maxFrame)
	}
	return nil
}

// Reader reads an archive as a stream, in constant memory whatever the input holds. It is used by one goroutine.
type Reader struct {
	in     *bufio.Reader
	frames *frames
	header Header

	place
	chunks   int  // so far
	ended    bool // the end record was read
	err      error
	frame    []byte             // reused
	messages []eventlog.Message // reused
}

// NewReader reads the header. The errors are *ArchiveError.
func NewReader(r io.Reader) (*Reader, error) {
	frames, err := newFrames()
	if err != nil {
		return nil, &ArchiveError{Err: err}
	}
	a := &Reader{in: bufio.NewReaderSize(r, 64<<10), frames: frames, place: place{digest: sha256.New()}}
	if err := a.readHeader(); err != nil {
		return nil, &ArchiveError{Err: err}
	}
	a.next = a.header.First
	return a, nil
}

// Header returns of which log the archive is.
func (r *Reader) Header() Header { return r.header }

func (r *Reader) readHeader() error {
	head := make([]byte, len(archiveMagic)+1+4)
	n, err := io.ReadFull(r.in, head)
	if n = min(n, len(archiveMagic)); string(head[:n]) != archiveMagic[:n] {
		return fmt.Errorf("%w: it does not begin with %s", ErrNoArchive, archiveMagic)
	}
	if err != nil {
		return truncated(err)
	}
	if v := head[len(archiveMagic)]; v != archiveVersion {
		return fmt.Errorf("%w: version %d: this program reads version %d", ErrNoArchive, v, archiveVersion)
	}
	size := binary.BigEndian.Uint32(head[len(archiveMagic)+1:])
	if size > maxHeader {
		return fmt.Errorf("%w: %d bytes: want at most %d", ErrFormat, size, maxHeader)
	}
	rest := make([]byte, size+sha256.Size)
	if err := r.read(rest); err != nil {
		return err
	}
	text, sum := rest[:size], rest[size:]
	r.digest.Write(head)
	r.digest.Write(text)
	if !bytes.Equal(r.digest.Sum(nil), sum) {
		return ErrChecksum
	}
	r.digest.Write(sum)
	return r.header.parse(text)
}

func (h *Header) parse(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if d.InputOffset() != int64(len(text)) {
		return fmt.Errorf("%w: more than one JSON object", ErrFormat)
	}
	if err := h.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if plain, err := json.Marshal(h); err != nil || !bytes.Equal(plain, text) {
		return fmt.Errorf("%w: other JSON than a writer's: want %.200s", ErrFormat, plain)
	}
	return nil
}

// read fills b. The end of the input is ErrTruncated.
func (r *Reader) read(b []byte) error {
	_, err := io.ReadFull(r.in, b)
	return truncated(err)
}

// truncated makes the end of the input ErrTruncated.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// Messages goes through the facts in log order, once: a second call goes on where the first one stopped. A chunk is
// checked before its first fact is yielded, the whole behind the last one. What is wrong is yielded as the last thing,
// an *ArchiveError with a zero message. The payloads may be kept; each keeps the memory of its chunk.
func (r *Reader) Messages() iter.Seq2[eventlog.Message, error] {
	return func(yield func(eventlog.Message, error) bool) {
		for {
			for len(r.messages) > 0 {
				m := r.messages[0]
				r.messages = r.messages[1:]
				if !yield(m, nil) {
					return
				}
			}
			if r.err == nil && !r.ended {
				if err := r.readRecord(); err != nil {
					r.err = &ArchiveError{Chunk: r.chunks + 1, Seq: r.next, Err: err}
				}
			}
			if r.err != nil {
				yield(eventlog.Message{}, r.err)
				return
			}
			if r.ended {
				return
			}
		}
	}
}

// readRecord reads the next chunk, or the end record.
func (r *Reader) readRecord() error {
	tag, err := r.in.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: no end record", ErrTruncated)
	case err != nil:
		return err
	case tag[0] == chunkTag:
		return r.readChunk()
	case tag[0] == endTag:
		return r.readEnd()
	}
	return fmt.Errorf("%w: unknown record %#02x", ErrFormat, tag[0])
}

func (r *Reader) readChunk() error {
	var raw [chunkHeadSize]byte
	if err := r.read(raw[:]); err != nil {
		return err
	}
	head := parseChunkHead(raw[:])
	if err := head.check(r.next); err != nil {
		return err
	}
	r.frame = slices.Grow(r.frame[:0], int(head.frame))[:head.frame]
	if err := r.read(r.frame); err != nil {
		return err
	}
	messages, err := r.frames.open(head, r.frame)
	if err != nil {
		return err
	}
	r.digest.Write(raw[:])
	r.messages = messages
	r.chunks++
	r.facts += uint64(head.facts)
	r.next += fact.Seq(head.facts)
	return nil
}

// frames opens the frames of chunks. It is used by one goroutine.
type frames struct {
	decoder *zstd.Decoder
	encoder *zstd.Encoder
	again   []byte // a frame, reused
}

func newFrames() (*frames, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	encoder, err := newEncoder()
	return &frames{decoder: decoder, encoder: encoder}, err
}

// open decompresses and checks a chunk, and reads its facts. A chunk has one frame, the one that a Writer makes: in any other,
// in how it is compressed or in frames that hold nothing, there would be room for what no fact says. The frame can be used
// again: the chunk is a new one each time, since its payloads may be kept.
func (f *frames) open(h chunkHead, frame []byte) ([]eventlog.Message, error) {
	chunk, err := f.decoder.DecodeAll(frame, make([]byte, 0, h.size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChecksum, err)
	}
	if len(chunk) != int(h.size) || sha256.Sum256(chunk) != h.sum {
		return nil, ErrChecksum
	}
	messages, err := parseFacts(chunk, h)
	if err != nil {
		return nil, err
	}
	if f.again = f.encoder.EncodeAll(chunk, f.again[:0]); !bytes.Equal(f.again, frame) {
		return nil, fmt.Errorf("%w: the chunk's zstd frame is not the one that a writer makes: they differ from byte %d on", ErrFormat, parting(f.again, frame))
	}
	return messages, nil
}

// parting returns how many bytes two texts begin with in common.
func parting(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// parseFacts reads the facts of an uncompressed chunk.
func parseFacts(chunk []byte, head chunkHead) ([]eventlog.Message, error) {
	messages := make([]eventlog.Message, 0, head.facts)
	for seq := head.first; seq < head.first+fact.Seq(head.facts); seq++ {
		if len(chunk) < 4 {
			return nil, fmt.Errorf("%w: sequence %d: the chunk ends", ErrFormat, seq)
		}
		size := binary.BigEndian.Uint32(chunk)
		chunk = chunk[4:]
		if size < factHeadSize || size > factHeadSize+maxPayload || int(size) > len(chunk) {
			return nil, fmt.Errorf("%w: sequence %d: %d bytes", ErrFormat, seq, size)
		}
		m, err := parseFact(chunk[:size:size], seq)
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
		chunk = chunk[size:]
	}
	if len(chunk) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the chunk's last fact", ErrFormat, len(chunk))
	}
	return messages, nil
}

func parseFact(b []byte, want fact.Seq) (eventlog.Message, error) {
	m := eventlog.Message{
		Seq: fact.Seq(binary.BigEndian.Uint64(b)), Stored: fact.UnixMilli(binary.BigEndian.Uint64(b[8:])), Payload: b[factHeadSize:],
	}
	if m.Seq != want {
		return m, fmt.Errorf("%w: sequence %d stands where %d must", ErrFormat, m.Seq, want)
	}
	family, known := eventlog.FamilyOfCode(b[16])
	if !known {
		return m, fmt.Errorf("%w: sequence %d: unknown family %d", ErrFormat, m.Seq, b[16])
	}
	m.Family = family
	return m, nil
}

func (r *Reader) readEnd() error {
	var got [endSize]byte
	if err := r.read(got[:]); err != nil {
		return err
	}
	if want := r.end(); !bytes.Equal(got[:], want) {
		return fmt.Errorf("%w: the end record is not that of the %d facts up to sequence %d", ErrChecksum, r.facts, r.next-1)
	}
	switch _, err := r.in.Peek(1); {
	case err == nil:
		return fmt.Errorf("%w: bytes behind the end record", ErrFormat)
	case !errors.Is(err, io.EOF):
		return err
	}
	r.ended = true
	return nil
}

// readBatch is how many facts are asked of a log at once.
const readBatch = 1000

// FromLog returns where the log ends now, and all of its facts up to there. What goes wrong while reading is yielded as
// the last thing, with a zero message: the error of the log, that of the context, or a gap in the sequences.
func FromLog(ctx context.Context, log eventlog.Log) (eventlog.Head, iter.Seq2[eventlog.Message, error], error) {
	head, err := log.Head(ctx)
	if err != nil {
		return eventlog.Head{}, nil, err
	}
	return head, func(yield func(eventlog.Message, error) bool) {
		if head.Last == 0 {
			return
		}
		for at := (eventlog.Position{Epoch: head.Epoch}); ; {
			before := at.Seq
			err := readTo(ctx, log, &at, head.Last, yield)
			switch {
			case err == nil:
				return
			case !errors.Is(err, eventlog.ErrUnreachable) || at.Seq == before:
				yield(eventlog.Message{}, err)
				return
			}
			// The reader lost its place on the way, and came further than the last one: go on from there.
		}
	}, nil
}

// readTo yields the facts behind the position up to the last sequence, and moves the position. It returns nil when it
// has yielded the last one, or nobody wants more.
func readTo(ctx context.Context, log eventlog.Log, at *eventlog.Position, last fact.Seq, yield func(eventlog.Message, error) bool) error {
	reader, err := log.Read(ctx, *at)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		messages, err := reader.Next(ctx, readBatch)
		if err != nil {
			return err
		}
		for i, m := range messages {
			if next := at.Seq + fact.Seq(i) + 1; m.Seq != next {
				return fmt.Errorf("log: sequence %d stands where %d must", m.Seq, next)
			}
			if !yield(m, nil) || m.Seq == last {
				return nil
			}
		}
		*at = messages[len(messages)-1].Position(at.Epoch)
	}
}
