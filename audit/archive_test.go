package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

var updateArchive = flag.Bool("update-archive", false, "make "+goldenArchive+" and what it holds, where they are missing")

const (
	goldenArchive  = "testdata/golden-1.pinfold"
	goldenMessages = "testdata/golden-1.json"
	goldenFacts    = "../proto/testdata/facts.json"
	goldenPerChunk = 4 // facts in a chunk of the golden archive
)

var tokyo = Header{Games: "tokyo2020", Epoch: 1, First: 1, CreatedBy: "pinfold test"}

// archiveOf returns the archive of the messages, in chunks of at most that many facts.
func archiveOf(t testing.TB, h Header, perChunk int, messages []eventlog.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	w.maxFacts = perChunk
	for _, m := range messages {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readArchive returns all that can be read, and the error that ends it.
func readArchive(r io.Reader) (h Header, messages []eventlog.Message, err error) {
	a, err := NewReader(r)
	if err != nil {
		return Header{}, nil, err
	}
	messages, err = collect(a.Messages())
	return a.Header(), messages, err
}

func collect(from iter.Seq2[eventlog.Message, error]) (messages []eventlog.Message, err error) {
	for m, err := range from {
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// fewMessages are small ones of every family.
func fewMessages() []eventlog.Message {
	var messages []eventlog.Message
	for i, f := range fact.Families() {
		messages = append(messages, eventlog.Message{
			Seq: fact.Seq(i + 1), Stored: fact.UnixMilli(1_626_998_400_000 + i), Family: f, Payload: []byte(strings.Repeat(string(f), i)),
		})
	}
	return messages
}

// sameMessages compares; no payload and an empty one are the same.
func sameMessages(a, b []eventlog.Message) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Seq != b[i].Seq || a[i].Stored != b[i].Stored || a[i].Family != b[i].Family || !bytes.Equal(a[i].Payload, b[i].Payload) {
			return false
		}
	}
	return true
}

// TestHeaderIsExact: a header holds what is known, once, and nothing else.
func TestHeaderIsExact(t *testing.T) {
	good, err := json.Marshal(tokyo)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Header).parse(good); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		strings.TrimSuffix(string(good), "}") + `,"more":1}`, string(good) + "{}", string(good) + " ", " " + string(good),
		strings.Replace(string(good), `"epoch":`, `"epoch": `, 1), strings.Replace(string(good), `"epoch":`, `"EPOCH":`, 1),
		strings.Replace(string(good), `"epoch":`, `"epoch":7,"epoch":`, 1), strings.Replace(string(good), `"created_by"`, `"kept":0,"created_by"`, 1),
		strings.Replace(string(good), `"games":"t`, `"games":"\u0074`, 1), strings.TrimSuffix(string(good), "}"), "7", "",
	} {
		if err := new(Header).parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want %v", text, err, ErrFormat)
		}
	}
}

func TestArchiveRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := Header{
			Games: rapid.StringMatching(`[a-z0-9-]{1,32}`).Draw(rt, "games"), Epoch: rapid.Uint32Min(1).Draw(rt, "epoch"),
			First: fact.Seq(rapid.Uint64Range(1, 1<<63).Draw(rt, "first")), CreatedBy: rapid.StringN(0, 40, 200).Draw(rt, "by"),
		}
		var messages []eventlog.Message
		for i := range rapid.IntRange(0, 60).Draw(rt, "facts") {
			messages = append(messages, eventlog.Message{
				Seq: h.First + fact.Seq(i), Stored: fact.UnixMilli(rapid.Int64().Draw(rt, "stored")),
				Family: rapid.SampledFrom(fact.Families()).Draw(rt, "family"), Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "payload"),
			})
		}
		archive := archiveOf(t, h, rapid.IntRange(1, 20).Draw(rt, "per chunk"), messages)
		gotHeader, got, err := readArchive(iotest.OneByteReader(bytes.NewReader(archive)))
		if err != nil || gotHeader != h || !sameMessages(got, messages) {
			rt.Fatalf("got %+v, %+v and error %v, want %+v, %+v", gotHeader, got, err, h, messages)
		}
	})
}

// TestArchiveLargest goes to the limits of a chunk: by number, by bytes, and with payloads that fill one each.
func TestArchiveLargest(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	var messages []eventlog.Message
	add := func(n, size int) {
		for range n {
			payload := make([]byte, size)
			_, _ = random.Read(payload) // never an error
			messages = append(messages, eventlog.Message{Seq: fact.Seq(len(messages) + 1), Family: fact.Tap, Payload: payload})
		}
	}
	add(2*maxChunkFacts+1, 1)
	add(2, maxPayload)
	add(30, 100_000)
	_, got, err := readArchive(bytes.NewReader(archiveOf(t, tokyo, maxChunkFacts, messages)))
	if err != nil || !sameMessages(got, messages) {
		t.Fatalf("got %d messages and error %v, want %d", len(got), err, len(messages))
	}
}

func TestArchiveWriterRefuses(t *testing.T) {
	first := eventlog.Message{Seq: 1, Family: fact.Tap}
	for name, m := range map[string]eventlog.Message{
		"a gap":             {Seq: 3, Family: fact.Tap},
		"a repetition":      {Seq: 1, Family: fact.Tap},
		"no family":         {Seq: 2},
		"an unknown family": {Seq: 2, Family: "medal"},
		"a giant payload":   {Seq: 2, Family: fact.Tap, Payload: make([]byte, maxPayload+1)},
	} {
		var b bytes.Buffer
		w, err := NewWriter(&b, tokyo)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(first); err != nil {
			t.Fatal(err)
		}
		if w.Write(m) == nil || w.Close() == nil {
			t.Errorf("%s: no error", name)
		}
		if _, _, err := readArchive(&b); !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: what was written reads with error %v, want a truncated archive", name, err)
		}
	}
	for _, h := range []Header{
		{Games: "Tokyo", Epoch: 1, First: 1},
		{Games: "tokyo2020", First: 1},
		{Games: "tokyo2020", Epoch: 1},
		{Games: "tokyo2020", Epoch: 1, First: 1, CreatedBy: strings.Repeat("x", maxHeader)},
	} {
		if _, err := NewWriter(io.Discard, h); err == nil {
			t.Errorf("header of %q, epoch %d, first sequence %d: no error", h.Games, h.Epoch, h.First)
		}
	}
}

// limitedWriter fails after so many bytes.
type limitedWriter struct{ left int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errNoRoom
	}
	return len(p), nil
}

var errNoRoom = errors.New("no room")

// TestArchiveWriterFails lets the underlying writer fail at each byte.
func TestArchiveWriterFails(t *testing.T) {
	whole := len(archiveOf(t, tokyo, 3, fewMessages()))
	for room := range whole {
		err := func() error {
			w, err := NewWriter(&limitedWriter{left: room}, tokyo)
			if err != nil {
				return err
			}
			w.maxFacts = 3
			for _, m := range fewMessages() {
				_ = w.Write(m) // Close repeats it
			}
			return w.Close()
		}()
		if !errors.Is(err, errNoRoom) {
			t.Fatalf("room for %d of %d bytes: error %v, want that of the writer", room, whole, err)
		}
	}
}

func TestArchiveTruncated(t *testing.T) {
	messages := fewMessages()
	archive := archiveOf(t, tokyo, 3, messages)
	for n := range archive {
		_, got, err := readArchive(bytes.NewReader(archive[:n]))
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("the first %d of %d bytes: error %v, want %v", n, len(archive), err, ErrTruncated)
		}
		if !sameMessages(got, messages[:len(got)]) {
			t.Fatalf("the first %d of %d bytes: other messages", n, len(archive))
		}
	}
}

// refusedArchive reads an archive of which a byte was changed, as a stream and by sequence, which must be refused where that
// is, with no message but those that were written.
func refusedArchive(t *testing.T, what string, archive []byte, messages []eventlog.Message) {
	t.Helper()
	var where *ArchiveError
	_, got, err := readArchive(bytes.NewReader(archive))
	if !errors.As(err, &where) || !sameMessages(got, messages[:min(len(got), len(messages))]) {
		t.Fatalf("%s: error %v and %d messages, want an *ArchiveError behind those that were written", what, err, len(got))
	}
	at, err := OpenArchive(bytes.NewReader(archive), int64(len(archive)))
	if err == nil {
		_, err = collect(at.Messages(t.Context()))
	}
	if !errors.As(err, &where) {
		t.Fatalf("%s: by sequence: error %v, want an *ArchiveError", what, err)
	}
}

// TestArchiveFlipped flips each bit, takes out each byte, and puts one in before each and behind the last.
func TestArchiveFlipped(t *testing.T) {
	messages := fewMessages()
	archive := archiveOf(t, tokyo, 5, messages)
	for i := range archive {
		for bit := range 8 {
			refusedArchive(t, fmt.Sprintf("byte %d, bit %d", i, bit), edited(archive, func(b []byte) { b[i] ^= 1 << bit }), messages)
		}
		refusedArchive(t, fmt.Sprintf("without byte %d", i), slices.Delete(bytes.Clone(archive), i, i+1), messages)
	}
	for i := range len(archive) + 1 {
		refusedArchive(t, fmt.Sprintf("with one before byte %d", i), slices.Insert(bytes.Clone(archive), i, byte(i)), messages)
	}
}

// TestArchiveHidden: who makes an archive anew, with true checksums, can hide nothing in it beside its facts.
func TestArchiveHidden(t *testing.T) {
	header, err := encodeHeader(tokyo)
	if err != nil {
		t.Fatal(err)
	}
	chunk := rawFact(factHeadSize+2, 1, 3, "ab")
	good := rawChunk(t, 1, 1, chunk)
	frame := good[chunkHeadSize:]
	skippable := []byte("\x50\x2a\x4d\x18\x06\x00\x00\x00hidden")
	other := func(options ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		return e.EncodeAll(chunk, nil)
	}
	bare := other(zstd.WithEncoderCRC(false), zstd.WithWindowSize(chunkSize))
	if !bytes.Equal(bare, frame) {
		t.Fatal("the writer makes another frame")
	}
	empty := append(slices.Clone(frame[:4]), 0x20, 0, 1, 0, 0) // a single segment of no bytes, in one last raw block
	for name, tt := range map[string]struct {
		frame []byte
		want  string
	}{
		"as it is":                {frame, ""},
		"a skippable one before":  {slices.Concat(skippable, frame), "from byte 0 on"},
		"a skippable one behind":  {slices.Concat(frame, skippable), fmt.Sprintf("from byte %d on", len(frame))},
		"an empty one behind":     {slices.Concat(frame, empty), fmt.Sprintf("from byte %d on", len(frame))},
		"an empty one before":     {slices.Concat(empty, frame), "from byte 4 on"},
		"a skippable one between": {slices.Concat(empty, skippable, frame), "from byte 4 on"},
		"with a checksum":         {other(zstd.WithEncoderCRC(true)), "from byte 4 on"},
		"as a stream of it":       {streamed(t, chunk), "from byte 5 on"},
	} {
		t.Run(name, func(t *testing.T) {
			head := parseChunkHead(good[:chunkHeadSize])
			head.frame = uint32(len(tt.frame))
			raw := make([]byte, chunkHeadSize)
			head.put(raw)
			at := place{next: 2, facts: 1, digest: sha256.New()}
			at.digest.Write(header)
			at.digest.Write(raw)
			archive := slices.Concat(header, raw, tt.frame, at.end())
			_, _, err := readArchive(bytes.NewReader(archive))
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "chunk 1, sequence 1: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v %s", err, ErrFormat, tt.want)
			}
			refusedArchive(t, name, archive, nil)
		})
	}
}

// streamed returns the frame of a writer that does not know how long the text is.
func streamed(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(chunkSize))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Write(text)
	if err := errors.Join(err, e.Flush(), e.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFrameIsOne: the frame of a chunk depends on nothing but the chunk, not on what was compressed before, and is the one
// of all that write version 1. Where a release of the zstd module fails here, archives that were written before it would
// be refused: it needs a version of the format that is its own, and this one its old release.
func TestFrameIsOne(t *testing.T) {
	used, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	sum := sha256.New()
	for _, size := range []int{21, 255, 256, 1000, 65_791, 65_792, 200_000, chunkSize - 1, chunkSize, chunkSize + 1, maxChunk} {
		for range 3 {
			chunk := make([]byte, 0, size)
			for len(chunk) < size { // words of a few letters, some of them again, and keys and signatures that are none
				n := min(size-len(chunk), 1+random.IntN(64))
				if back := random.IntN(len(chunk) + 1); random.IntN(2) == 0 && back >= n {
					chunk = append(chunk, chunk[len(chunk)-back:len(chunk)-back+n]...)
					continue
				}
				for range n {
					chunk = append(chunk, byte(random.Uint32N(1<<(1+random.IntN(8)))))
				}
			}
			fresh, err := newEncoder()
			if err != nil {
				t.Fatal(err)
			}
			frame := used.EncodeAll(chunk, nil)
			if !bytes.Equal(frame, fresh.EncodeAll(chunk, nil)) {
				t.Fatalf("%d bytes: a fresh encoder makes another frame", size)
			}
			sum.Write(frame)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != "c8ff124b6a9f1b53333fc6d4a5aa2f8dfc56089d90af1aa9b317d286de5a86be" {
		t.Errorf("the frames have the SHA-256 %s: other ones than version 1 has", got)
	}
}

// rawChunk returns a chunk record with a true checksum.
func rawChunk(t testing.TB, facts uint32, first fact.Seq, chunk []byte) []byte {
	t.Helper()
	encoder, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	frame := encoder.EncodeAll(chunk, nil)
	b := make([]byte, chunkHeadSize)
	chunkHead{facts: facts, first: first, size: uint32(len(chunk)), frame: uint32(len(frame)), sum: sha256.Sum256(chunk)}.put(b)
	return append(b, frame...)
}

func rawFact(size uint32, seq uint64, family byte, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, size)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, 0)
	return append(append(b, family), payload...)
}

func edited(b []byte, edit func([]byte)) []byte {
	b = bytes.Clone(b)
	edit(b)
	return b
}

// TestArchiveBroken reads archives that no Writer writes.
func TestArchiveBroken(t *testing.T) {
	header, err := encodeHeader(tokyo)
	if err != nil {
		t.Fatal(err)
	}
	one := rawFact(factHeadSize+2, 1, 3, "ab")
	chunk := rawChunk(t, 1, 1, one)
	whole := archiveOf(t, tokyo, 1, fewMessages()[:2])
	bomb := rawChunk(t, 1, 1, make([]byte, maxChunk))
	for name, tt := range map[string]struct {
		archive []byte
		is      error
		want    string // in the error
	}{
		"another file":      {[]byte("20 1 2\n40 1 2\n60 1 2\n"), ErrFormat, "header: not the format"},
		"a newer version":   {edited(whole, func(b []byte) { b[7] = 2 }), ErrFormat, "version 2"},
		"a giant header":    {edited(whole, func(b []byte) { b[8] = 1 }), ErrFormat, "want at most 4096"},
		"another header":    {edited(whole, func(b []byte) { b[30] ^= 1 }), ErrChecksum, "header: checksum"},
		"no end record":     {append(bytes.Clone(header), chunk...), ErrTruncated, "chunk 2, sequence 2: truncated: no end record"},
		"half a head":       {append(bytes.Clone(header), chunk[:9]...), ErrTruncated, "chunk 1, sequence 1: truncated"},
		"bytes behind":      {append(bytes.Clone(whole), 0), ErrFormat, "chunk 3, sequence 3: not the format of an archive: bytes behind"},
		"unknown record":    {append(bytes.Clone(header), 'X'), ErrFormat, "unknown record 0x58"},
		"another end":       {append(append(bytes.Clone(header), chunk...), whole[len(whole)-endSize:]...), ErrChecksum, "the 1 facts up to sequence 1"},
		"a chunk missing":   {append(bytes.Clone(header), rawChunk(t, 1, 2, one)...), ErrFormat, "the chunk begins at sequence 2"},
		"no facts":          {append(bytes.Clone(header), rawChunk(t, 0, 1, nil)...), ErrFormat, "chunk of 0 facts"},
		"too many facts":    {append(bytes.Clone(header), rawChunk(t, maxChunkFacts+1, 1, one)...), ErrFormat, "chunk of 10001 facts"},
		"fewer facts":       {append(bytes.Clone(header), rawChunk(t, 1, 1, append(bytes.Clone(one), one...))...), ErrFormat, "23 bytes behind"},
		"more facts":        {append(bytes.Clone(header), rawChunk(t, 2, 1, append(bytes.Clone(one), make([]byte, 20)...))...), ErrFormat, "sequence 2"},
		"a long fact":       {append(bytes.Clone(header), rawChunk(t, 1, 1, rawFact(1<<31, 1, 3, "ab"))...), ErrFormat, "sequence 1: 2147483648 bytes"},
		"a short fact":      {append(bytes.Clone(header), rawChunk(t, 1, 1, rawFact(3, 1, 3, "ab"))...), ErrFormat, "sequence 1: 3 bytes"},
		"another sequence":  {append(bytes.Clone(header), rawChunk(t, 1, 1, rawFact(factHeadSize, 7, 3, ""))...), ErrFormat, "sequence 7 stands where 1 must"},
		"no family":         {append(bytes.Clone(header), rawChunk(t, 1, 1, rawFact(factHeadSize, 1, 0, ""))...), ErrFormat, "unknown family 0"},
		"an unknown family": {append(bytes.Clone(header), rawChunk(t, 1, 1, rawFact(factHeadSize, 1, 9, ""))...), ErrFormat, "unknown family 9"},
		"a flipped chunk":   {append(bytes.Clone(header), edited(chunk, func(b []byte) { b[30] ^= 1 })...), ErrChecksum, "chunk 1, sequence 1: checksum"},
		"a giant frame":     {append(bytes.Clone(header), edited(chunk, func(b []byte) { b[17] = 1 })...), ErrFormat, "zstd frame of"},
		"a giant chunk":     {append(bytes.Clone(header), edited(chunk, func(b []byte) { b[13] = 1 })...), ErrFormat, "chunk of 16777239 bytes"},
		"a zip bomb":        {append(bytes.Clone(header), edited(bomb, func(b []byte) { binary.BigEndian.PutUint32(b[13:], 100) })...), ErrChecksum, "checksum"},
	} {
		_, _, err := readArchive(bytes.NewReader(tt.archive))
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %v with %q", name, err, tt.is, tt.want)
		}
	}
}

// TestArchiveReaderFails passes on the error of the underlying reader, which says nothing about the archive.
func TestArchiveReaderFails(t *testing.T) {
	archive := archiveOf(t, tokyo, 3, fewMessages())
	for n := range archive {
		_, _, err := readArchive(io.MultiReader(bytes.NewReader(archive[:n]), iotest.ErrReader(errNoRoom)))
		if !errors.Is(err, errNoRoom) {
			t.Fatalf("the reader fails behind byte %d: error %v", n, err)
		}
	}
}

// TestArchiveInParts reads a few messages, stops, and goes on.
func TestArchiveInParts(t *testing.T) {
	r, err := NewReader(bytes.NewReader(archiveOf(t, tokyo, 3, fewMessages())))
	if err != nil {
		t.Fatal(err)
	}
	var got []eventlog.Message
	for range len(fewMessages()) {
		for m, err := range r.Messages() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
			break
		}
	}
	rest, err := collect(r.Messages())
	if err != nil || len(rest) > 0 || !sameMessages(got, fewMessages()) {
		t.Errorf("got %+v, then %+v and error %v", got, rest, err)
	}
}

// goldenContent is what the golden archive holds, in a form that is independent of the code.
type goldenContent struct {
	Header   Header          `json:"header"`
	Messages []goldenMessage `json:"messages"`
}

type goldenMessage struct {
	Seq     fact.Seq       `json:"seq"`
	Stored  fact.UnixMilli `json:"stored"`
	Family  fact.Family    `json:"family"`
	Payload string         `json:"payload"` // hex
}

func (c goldenContent) messages(t *testing.T) []eventlog.Message {
	t.Helper()
	var messages []eventlog.Message
	for _, m := range c.Messages {
		payload, err := hex.DecodeString(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, eventlog.Message{Seq: m.Seq, Stored: m.Stored, Family: m.Family, Payload: payload})
	}
	return messages
}

// TestArchiveGolden reads an archive of version 1, as it must be read for ever.
func TestArchiveGolden(t *testing.T) {
	if *updateArchive {
		makeGolden(t)
	}
	var want goldenContent
	readJSON(t, goldenMessages, &want)
	archive, err := os.ReadFile(goldenArchive)
	if err != nil {
		t.Fatal(err)
	}
	h, got, err := readArchive(bytes.NewReader(archive))
	if err != nil || h != want.Header || !sameMessages(got, want.messages(t)) {
		t.Errorf("got %+v, %+v and error %v, want %+v", h, got, err, want)
	}
	for _, m := range got {
		if _, err := m.Decode(); err != nil {
			t.Error(err)
		}
	}
	// The zstd frames may change with the library, what the end record commits to must not.
	again := archiveOf(t, want.Header, goldenPerChunk, got)
	if got, want := again[len(again)-endSize:], archive[len(archive)-endSize:]; !bytes.Equal(got, want) {
		t.Errorf("the same messages have the end record %x now, want %x", got, want)
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// makeGolden makes the golden files of the golden facts. A golden archive is never made again.
func makeGolden(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(goldenArchive); err == nil {
		return
	}
	var facts struct {
		Facts []struct {
			Bytes  string      `json:"bytes"`
			Family fact.Family `json:"family"`
		} `json:"facts"`
	}
	readJSON(t, goldenFacts, &facts)
	content := goldenContent{Header: Header{Games: "tokyo2020", Epoch: 2, First: 1, Kept: 20, CreatedBy: "pinfold golden"}}
	for i, f := range facts.Facts {
		content.Messages = append(content.Messages, goldenMessage{
			Seq: fact.Seq(i + 1), Stored: fact.UnixMilli(1_626_998_400_000 + 1000*i), Family: f.Family, Payload: f.Bytes,
		})
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(goldenArchive), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{
		goldenMessages: append(text, '\n'),
		goldenArchive:  archiveOf(t, content.Header, goldenPerChunk, content.messages(t)),
	} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFromLog reads a log that grows meanwhile, and an empty one.
func TestFromLog(t *testing.T) {
	log := eventlog.NewMemory(func() fact.UnixMilli { return 5 }, eventlog.Faults{})
	appendTimes := func(n int) {
		for i := range n {
			if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimePassed{Time: fact.UnixMilli(i)}}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []int{0, 3, 1500} {
		before, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		appendTimes(want - int(before.Last))
		head, messages, err := FromLog(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		appendTimes(1)
		got, err := collect(messages)
		if err != nil || len(got) != want || head != (eventlog.Head{Epoch: 1, Last: fact.Seq(want)}) {
			t.Fatalf("got %d messages, head %+v and error %v, want %d", len(got), head, err, want)
		}
		for i, m := range got {
			if m.Seq != fact.Seq(i+1) {
				t.Fatalf("sequence %d at place %d", m.Seq, i+1)
			}
		}
	}
}

// TestFromLogCut: a reading that loses its place goes on where it was, and ends with an error where it comes no further.
func TestFromLogCut(t *testing.T) {
	away := false
	log := eventlog.NewMemory(func() fact.UnixMilli { return 5 }, eventlog.Faults{Enter: func(call string) error {
		if away && call == "Read" {
			return eventlog.ErrUnreachable
		}
		return nil
	}})
	const facts = 3*readBatch + 7
	for i := range facts {
		if _, err := log.Append(t.Context(), eventlog.Batch{Records: []fact.Record{{Fact: fact.TimePassed{Time: fact.UnixMilli(i)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for lost, want := range map[int]int{readBatch / 2: readBatch, 3*readBatch + 1: facts, facts + 1: facts} {
		_, messages, err := FromLog(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		for _, forGood := range []bool{false, true} {
			n := 0
			var last error
			for m, err := range messages {
				if last = err; err != nil {
					break
				}
				if n++; m.Seq != fact.Seq(n) {
					t.Fatalf("got sequence %d at place %d", m.Seq, n)
				}
				if n == lost || n == lost+readBatch && !forGood {
					log.Cut()
					away = forGood
				}
			}
			away = false
			switch {
			case !forGood && (last != nil || n != facts):
				t.Errorf("its place lost at %d: got %d facts, %v, want all %d", lost, n, last, facts)
			case forGood && (n != want || (last != nil) != (want < facts) || last != nil && !errors.Is(last, eventlog.ErrUnreachable)):
				t.Errorf("the log lost at %d: got %d facts, %v, want %d", lost, n, last, want)
			}
		}
	}
}

// FuzzReader reads hostile input: as it is, and as the inside of a chunk whose checksum is true. What is read without
// an error is written and read again.
func FuzzReader(f *testing.F) {
	archive := archiveOf(f, tokyo, 3, fewMessages())
	f.Add(archive, false)
	f.Add(archive[:len(archive)/2], false)
	f.Add(archiveOf(f, tokyo, 1, nil), false)
	if golden, err := os.ReadFile(goldenArchive); err == nil {
		f.Add(golden, false)
	}
	f.Add(rawFact(factHeadSize+2, 1, 3, "ab"), true)
	f.Add(append(rawFact(factHeadSize, 1, 1, ""), rawFact(factHeadSize, 2, 8, "")...), true)
	header, err := encodeHeader(tokyo)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, inside bool) {
		if inside && len(data) <= maxChunk {
			data = append(bytes.Clone(header), rawChunk(t, uint32(1+len(data)/40), 1, data)...)
		}
		h, got, err := readArchive(bytes.NewReader(data))
		var where *ArchiveError
		if err != nil {
			if !errors.As(err, &where) {
				t.Fatalf("error %v, want an *ArchiveError", err)
			}
			return
		}
		h2, again, err := readArchive(bytes.NewReader(archiveOf(t, h, maxChunkFacts, got)))
		if err != nil || !reflect.DeepEqual(h, h2) || !sameMessages(got, again) {
			t.Fatalf("written and read again: %+v with %d messages and error %v, want %+v with %d", h2, len(again), err, h, len(got))
		}
	})
}

// manyMessages are like a log of halves: most of a payload is random.
func manyMessages(n int) []eventlog.Message {
	random := rand.NewChaCha8([32]byte{})
	messages := make([]eventlog.Message, n)
	for i := range messages {
		payload := make([]byte, 170)
		_, _ = random.Read(payload[40:]) // never an error
		messages[i] = eventlog.Message{Seq: fact.Seq(i + 1), Stored: fact.UnixMilli(1_626_998_400_000 + i), Family: fact.Tap, Payload: payload}
	}
	return messages
}

const benchFacts = 50_000

func reportFacts(b *testing.B) {
	b.ReportMetric(float64(benchFacts)*float64(b.N)/b.Elapsed().Seconds(), "facts/s")
}

func BenchmarkArchiveWrite(b *testing.B) {
	messages := manyMessages(benchFacts)
	for b.Loop() {
		w, err := NewWriter(io.Discard, tokyo)
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range messages {
			if err := w.Write(m); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	reportFacts(b)
}

func BenchmarkArchiveRead(b *testing.B) {
	archive := archiveOf(b, tokyo, maxChunkFacts, manyMessages(benchFacts))
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(archive))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range r.Messages() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	reportFacts(b)
}
