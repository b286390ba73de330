package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

func openArchive(b []byte) (*Archive, error) { return OpenArchive(bytes.NewReader(b), int64(len(b))) }

// readEach returns all that an Archive can answer, and the first error.
func readEach(b []byte) (messages []eventlog.Message, err error) {
	a, err := openArchive(b)
	if err != nil {
		return nil, err
	}
	for seq := a.Header().First; seq <= a.Last(); seq++ {
		m, ok, err := a.At(context.Background(), seq)
		if err != nil {
			return messages, err
		}
		if !ok {
			return messages, errors.New("a fact up to the last is not there")
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// TestArchiveAt asks for sequences in any order, and compares with what was written.
func TestArchiveAt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := tokyo
		h.First = fact.Seq(rapid.Uint64Range(1, 1<<63).Draw(rt, "first"))
		var messages []eventlog.Message
		for i := range rapid.IntRange(0, 60).Draw(rt, "facts") {
			messages = append(messages, eventlog.Message{
				Seq: h.First + fact.Seq(i), Stored: fact.UnixMilli(rapid.Int64().Draw(rt, "stored")),
				Family: rapid.SampledFrom(fact.Families()).Draw(rt, "family"), Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "payload"),
			})
		}
		a, err := openArchive(archiveOf(t, h, rapid.IntRange(1, 20).Draw(rt, "per chunk"), messages))
		if err != nil {
			rt.Fatal(err)
		}
		end := h.First + fact.Seq(len(messages))
		if a.Header() != h || a.Last() != end-1 {
			rt.Fatalf("got header %+v and last sequence %d, want %+v and %d", a.Header(), a.Last(), h, end-1)
		}
		for range rapid.IntRange(1, 100).Draw(rt, "questions") {
			seq := fact.Seq(rapid.Uint64Range(uint64(h.First)-1, uint64(end)).Draw(rt, "seq"))
			got, ok, err := a.At(context.Background(), seq)
			if err != nil {
				rt.Fatal(err)
			}
			if want := seq >= h.First && seq < end; ok != want {
				rt.Fatalf("sequence %d of %d to %d: got there %t", seq, h.First, end-1, ok)
			}
			if ok && !sameMessages([]eventlog.Message{got}, messages[seq-h.First:seq-h.First+1]) {
				rt.Fatalf("sequence %d: got %+v, want %+v", seq, got, messages[seq-h.First])
			}
			if len(a.cache) > cachedChunks {
				rt.Fatalf("%d chunks are kept, want at most %d", len(a.cache), cachedChunks)
			}
		}
	})
}

// TestArchiveAtDamage cuts an archive at each byte, and flips each. The error is the one that a Reader has, though of two
// that there are it may be the other one.
func TestArchiveAtDamage(t *testing.T) {
	messages := fewMessages()
	whole := archiveOf(t, tokyo, 3, messages)
	for cut := range whole {
		if _, err := readEach(whole[:cut]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at byte %d: got error %v, want a truncated archive", cut, err)
		}
	}
	for i := range whole {
		torn := bytes.Clone(whole)
		torn[i] ^= 0x40
		_, _, want := readArchive(bytes.NewReader(torn))
		got, err := readEach(torn)
		if (err == nil) != (want == nil) {
			t.Fatalf("byte %d flipped: got error %v, a Reader has %v", i, err, want)
		}
		if err == nil && !sameMessages(got, messages) {
			t.Fatalf("byte %d flipped: got other facts and no error", i)
		}
		if ae := (*ArchiveError)(nil); err != nil && !errors.As(err, &ae) {
			t.Fatalf("byte %d flipped: got %T, want an *ArchiveError", i, err)
		}
	}
	if _, err := readEach(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte behind the end: got error %v, want one of the format", err)
	}
}

// TestArchiveAtOneBadChunk shows that a damaged chunk does not keep from the others, and says which one it is.
func TestArchiveAtOneBadChunk(t *testing.T) {
	whole := archiveOf(t, tokyo, 3, fewMessages())
	a, err := openArchive(whole)
	if err != nil {
		t.Fatal(err)
	}
	whole[a.chunks[1].offset+int64(a.chunks[1].frame)-1] ^= 1
	if _, ok, err := a.At(context.Background(), 2); !ok || err != nil {
		t.Errorf("sequence 2: got %t and error %v", ok, err)
	}
	_, _, err = a.At(context.Background(), 5)
	ae := (*ArchiveError)(nil)
	if !errors.As(err, &ae) || !errors.Is(err, ErrChecksum) || ae.Chunk != 2 || ae.Seq != 4 {
		t.Errorf("sequence 5: got error %v, want a checksum that does not match in chunk 2, sequence 4", err)
	}
}

// readCounter counts the bytes that are read.
type readCounter struct {
	io.ReaderAt
	bytes int
}

func (c *readCounter) ReadAt(p []byte, off int64) (int, error) {
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// TestArchiveAtReadsLittle shows that opening passes the chunks over, and that a chunk in use is read once.
func TestArchiveAtReadsLittle(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	var messages []eventlog.Message
	for i := range 4 * (cachedChunks + 1) {
		payload := make([]byte, 100_000)
		_, _ = random.Read(payload) // never an error
		messages = append(messages, eventlog.Message{Seq: fact.Seq(i + 1), Family: fact.Tap, Payload: payload})
	}
	whole := archiveOf(t, tokyo, 4, messages)
	in := &readCounter{ReaderAt: bytes.NewReader(whole)}
	a, err := OpenArchive(in, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if in.bytes > len(whole)/10 {
		t.Errorf("opening read %d of %d bytes", in.bytes, len(whole))
	}
	ask := func(seq fact.Seq) (read int) {
		before := in.bytes
		if _, ok, err := a.At(context.Background(), seq); !ok || err != nil {
			t.Fatalf("sequence %d: got %t and error %v", seq, ok, err)
		}
		return in.bytes - before
	}
	for chunk := range cachedChunks {
		ask(fact.Seq(4*chunk + 1))
	}
	if got := ask(2); got != 0 { // and so chunk 0 is the latest used
		t.Errorf("a chunk that was read: %d bytes were read again", got)
	}
	ask(4*cachedChunks + 1)
	if got := ask(3); got != 0 {
		t.Errorf("the chunk used but one ago: %d bytes were read again", got)
	}
	if got := ask(5); got == 0 {
		t.Errorf("the chunk that was not used for longest: it was kept beyond the limit")
	}
}

func TestArchiveAtTogether(t *testing.T) {
	messages := fewMessages()
	a, err := openArchive(archiveOf(t, tokyo, 1, messages))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for start := range 4 {
		all.Go(func() {
			for i := range 100 {
				want := messages[(start+i)%len(messages)]
				got, ok, err := a.At(context.Background(), want.Seq)
				if err != nil || !ok || !sameMessages([]eventlog.Message{got}, []eventlog.Message{want}) {
					t.Errorf("sequence %d: got %+v, %t and error %v", want.Seq, got, ok, err)
				}
			}
		})
	}
	all.Wait()
}

// TestArchiveAtStops: the end of the context, and an archive that was cut behind its opening.
func TestArchiveAtStops(t *testing.T) {
	whole := archiveOf(t, tokyo, 3, fewMessages())
	cut := &cutReader{ReaderAt: bytes.NewReader(whole), end: int64(len(whole))}
	a, err := OpenArchive(cut, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := a.At(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	cut.end = a.chunks[0].offset
	if _, _, err := a.At(context.Background(), 1); !errors.Is(err, ErrTruncated) {
		t.Errorf("got error %v, want a truncated archive", err)
	}
}

// cutReader ends before the bytes do.
type cutReader struct {
	io.ReaderAt
	end int64
}

func (c *cutReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > c.end {
		return 0, io.EOF
	}
	return c.ReaderAt.ReadAt(p, off)
}

// FuzzArchiveAt opens anything. What it answers is what a Reader reads, and where it finds nothing wrong, nor does that.
func FuzzArchiveAt(f *testing.F) {
	whole := archiveOf(f, tokyo, 3, fewMessages())
	f.Add(whole)
	f.Add(whole[:len(whole)-endSize])
	f.Add(archiveOf(f, tokyo, 3, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readEach(b)
		_, want, wantErr := readArchive(bytes.NewReader(b))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, a Reader has %v", err, wantErr)
		}
		if n := min(len(got), len(want)); !sameMessages(got[:n], want[:n]) {
			t.Fatalf("got %+v, a Reader has %+v", got, want)
		}
	})
}
