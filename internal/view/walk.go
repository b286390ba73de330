package view

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// The layout of a bbolt file, in the byte order of the machine. bbolt trusts what it maps: a page that points to one above
// it makes it recurse until the process is ended, a wrong offset makes it read anywhere. So the file is walked here first,
// by reads that check each number before it is used.
//
//	page    0 id  8 flags  10 count  12 overflow: pages that follow and belong to it  16 elements
//	meta    16 magic  20 version  24 page size  32 root  48 freelist  56 end of the pages in use  64 transaction  72 FNV-1a of 16 to 71
//	branch  each element: 0 offset of the key from here  4 its length  8 page
//	leaf    each element: 0 flags  4 offset of the key from here  8 its length  12 length of the value, which follows it
//	bucket  a value of the root: 0 page, or 0 = it follows here, inline  8 a sequence that nobody uses  16 inline page
//	freelist  ids of 8 bytes; a count of 0xffff means that the first of them is the count
const (
	pageHead    = 16
	metaEnd     = 80
	element     = 16
	bucketHead  = 16
	magic       = 0xED0CDAED
	version     = 2
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
	maxDepth    = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	bucketElement = 0x01
)

var native = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	pageSize    uint64
	root        uint64
	freelist    uint64
	end         uint64 // no page in use has this id or a larger one
	transaction uint64
}

// checkFile walks a whole file of so many bytes. It returns the format, or what is wrong. A file of another format is only
// known to be a sound bbolt file.
func checkFile(file io.ReaderAt, size int64) (format uint32, err error) {
	m, err := readMeta(file, size)
	if err != nil {
		return 0, err
	}
	w := newWalk(file, m.pageSize, m.end)
	if err := w.root(m.root); err != nil {
		return 0, err
	}
	if err := w.freelist(m.freelist); err != nil {
		return 0, err
	}
	return w.verdict()
}

// readMeta returns the newer of the two meta pages. Both must hold: with one of them bbolt would go back to the
// transaction before, and forget what was written.
func readMeta(file io.ReaderAt, size int64) (newest meta, err error) {
	first, err := metaPage(file, size, 0, 0)
	if err != nil {
		return newest, err
	}
	second, err := metaPage(file, size, 1, first.pageSize)
	if err != nil {
		return newest, err
	}
	if second.pageSize != first.pageSize {
		return newest, errors.New("its two meta pages have different page sizes")
	}
	newest = first
	if second.transaction > first.transaction {
		newest = second
	}
	if newest.end < 4 || newest.end > uint64(size)/newest.pageSize {
		return newest, fmt.Errorf("it has %d bytes: want %d pages of %d bytes (was it cut?)", size, newest.end, newest.pageSize)
	}
	return newest, nil
}

func metaPage(file io.ReaderAt, size int64, id, pageSize uint64) (m meta, err error) {
	page := make([]byte, metaEnd)
	if size < int64(id*pageSize)+metaEnd {
		return m, fmt.Errorf("it has %d bytes, which is too short for meta page %d", size, id)
	}
	if _, err := file.ReadAt(page, int64(id*pageSize)); err != nil {
		return m, fmt.Errorf("meta page %d: %w", id, err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(page[pageHead:72]) // never an error
	m = meta{
		pageSize: uint64(native.Uint32(page[24:])), root: native.Uint64(page[32:]), freelist: native.Uint64(page[48:]),
		end: native.Uint64(page[56:]), transaction: native.Uint64(page[64:]),
	}
	switch {
	case native.Uint32(page[16:]) != magic || native.Uint32(page[20:]) != version:
		return m, fmt.Errorf("meta page %d is not one of a bbolt file", id)
	case native.Uint64(page[72:]) != sum.Sum64():
		return m, fmt.Errorf("meta page %d does not have the checksum that it names", id)
	case native.Uint64(page) != id || native.Uint16(page[8:]) != flagMeta:
		return m, fmt.Errorf("meta page %d has the head of another page", id)
	case m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return m, fmt.Errorf("meta page %d: page size %d: want a power of two, %d to %d", id, m.pageSize, minPageSize, maxPageSize)
	}
	return m, nil
}

// walk visits each page of a state of a file once, and adds up its pairs.
type walk struct {
	file     io.ReaderAt
	pageSize uint64
	end      uint64
	seen     []uint64              // a bit for each page
	buffers  [][]byte              // one for each level below the root
	rest     func(pages int) error // called behind each page, if not nil

	checksummer
	bucket string // the one that is walked, "" = the root
	seed   uint64
	last   []byte // the last key of that bucket so far
	nested []nested
	format uint32
	sum    summary
	want   summary // as the file says
}

// nested is a bucket as the root names it.
type nested struct {
	name   string
	page   uint64 // 0 = inline
	inline []byte
}

func newWalk(file io.ReaderAt, pageSize, end uint64) *walk {
	return &walk{file: file, pageSize: pageSize, end: end, seen: make([]uint64, end/64+1), format: 1}
}

// root walks the whole tree.
func (w *walk) root(page uint64) error {
	if _, err := w.tree(page, 0); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for _, n := range w.nested {
		w.bucket, w.seed, w.last = n.name, seedOf(n.name), nil
		var err error
		if n.page == 0 {
			_, err = w.leaf(n.inline)
		} else {
			_, err = w.tree(n.page, 0)
		}
		if err != nil {
			return fmt.Errorf("bucket %.32q: %w", n.name, err)
		}
	}
	return nil
}

// verdict compares what was walked with the summary.
func (w *walk) verdict() (format uint32, err error) {
	if w.sum != w.want {
		return 0, fmt.Errorf("it holds %d pairs with the sum %016x: want %d with %016x", w.sum.pairs, w.sum.total, w.want.pairs, w.want.total)
	}
	return w.format, nil
}

// tree walks a page and what is below it, and returns its first key, nil of an empty one.
func (w *walk) tree(id uint64, depth int) (first []byte, err error) {
	if depth == maxDepth {
		return nil, fmt.Errorf("page %d: more than %d levels", id, maxDepth)
	}
	page, err := w.page(id, depth)
	if err != nil {
		return nil, err
	}
	switch native.Uint16(page[8:]) {
	case flagLeaf:
		first, err = w.leaf(page)
	case flagBranch:
		first, err = w.branch(page, depth)
	default:
		err = fmt.Errorf("flags %#x: want a branch or a leaf", native.Uint16(page[8:]))
	}
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return first, nil
}

// page reads a page that was not read before, and those that belong to it. The buffer is that of the level.
func (w *walk) page(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= w.end {
		return nil, fmt.Errorf("page %d: want 2 to %d", id, w.end-1)
	}
	if depth == len(w.buffers) {
		w.buffers = append(w.buffers, make([]byte, w.pageSize))
	}
	page := w.buffers[depth][:w.pageSize]
	if _, err := w.file.ReadAt(page, int64(id*w.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if native.Uint64(page) != id {
		return nil, fmt.Errorf("page %d: it says that it is page %d", id, native.Uint64(page))
	}
	more := uint64(native.Uint32(page[12:]))
	if more >= w.end-id {
		return nil, fmt.Errorf("page %d: %d pages follow it: want fewer than %d", id, more, w.end-id)
	}
	for i := id; i <= id+more; i++ {
		if w.seen[i/64]>>(i%64)&1 == 1 {
			return nil, fmt.Errorf("page %d: it is in two places", i)
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	if more > 0 {
		page = append(page, make([]byte, more*w.pageSize)...)
		w.buffers[depth] = page
		if _, err := w.file.ReadAt(page[w.pageSize:], int64((id+1)*w.pageSize)); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	if w.rest != nil {
		return page, w.rest(1 + int(more))
	}
	return page, nil
}

// elements returns the number of elements of a page, for all of which there is room.
func elements(page []byte) (int, error) {
	n := int(native.Uint16(page[10:]))
	if pageHead+n*element > len(page) {
		return 0, fmt.Errorf("%d elements: want at most %d", n, (len(page)-pageHead)/element)
	}
	return n, nil
}

// piece returns bytes of a page, given by their offset from an element.
func piece(page []byte, from int, offset uint32, size uint64) ([]byte, error) {
	begin := uint64(from) + uint64(offset)
	if begin > uint64(len(page)) || size > uint64(len(page))-begin {
		return nil, fmt.Errorf("an element of %d bytes at %d: the page has %d", size, begin, len(page))
	}
	return page[begin : begin+size], nil
}

// branch walks what is below a branch page. bbolt finds a child by the key that the branch has for it, and finds that key
// again, when it writes, by the child's first: the two are always equal.
func (w *walk) branch(page []byte, depth int) (first []byte, err error) {
	n, err := elements(page)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("a branch without elements")
	}
	for i := range n {
		at := pageHead + i*element
		key, err := piece(page, at, native.Uint32(page[at:]), uint64(native.Uint32(page[at+4:])))
		if err != nil {
			return nil, err
		}
		below, err := w.tree(native.Uint64(page[at+8:]), depth+1)
		if err != nil {
			return nil, err
		}
		if len(key) == 0 || !bytes.Equal(key, below) {
			return nil, errors.New("a key that is not the first one of the page that it stands for")
		}
		if i == 0 {
			first = key
		}
	}
	return first, nil
}

// leaf visits the elements of a leaf page, or of an inline one.
func (w *walk) leaf(page []byte) (first []byte, err error) {
	n, err := elements(page)
	if err != nil {
		return nil, err
	}
	for i := range n {
		at := pageHead + i*element
		keySize, valueSize := uint64(native.Uint32(page[at+8:])), uint64(native.Uint32(page[at+12:]))
		both, err := piece(page, at, native.Uint32(page[at+4:]), keySize+valueSize)
		if err != nil {
			return nil, err
		}
		key, value := both[:keySize], both[keySize:]
		if len(key) == 0 || w.last != nil && bytes.Compare(w.last, key) >= 0 {
			return nil, errors.New("its keys do not ascend")
		}
		w.last = append(w.last[:0], key...)
		if i == 0 {
			first = key
		}
		if err := w.pair(native.Uint32(page[at:]), key, value); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// pair visits one element: a bucket in the root, a key and its value elsewhere.
func (w *walk) pair(flags uint32, key, value []byte) error {
	if w.bucket == "" {
		return w.nest(flags, key, value)
	}
	if flags != 0 {
		return fmt.Errorf("a pair with flags %#x: want none", flags)
	}
	if w.format != Format && w.bucket != sumBucket {
		return nil
	}
	plain, checksum, ok := split(value)
	if !ok || w.of(w.seed, key, plain) != checksum {
		return errors.New("a value does not have its checksum")
	}
	if w.bucket == sumBucket {
		w.format, w.want = decodeSummary(plain)
		return nil
	}
	w.sum.add(checksum)
	return nil
}

// nest notes a bucket that the root names.
func (w *walk) nest(flags uint32, key, value []byte) error {
	if flags != bucketElement || len(value) < bucketHead {
		return fmt.Errorf("a bucket with flags %#x and %d bytes", flags, len(value))
	}
	n := nested{name: string(key), page: native.Uint64(value)}
	if n.page == 0 {
		n.inline = bytes.Clone(value[bucketHead:])
		if len(n.inline) < pageHead || native.Uint64(n.inline) != 0 || native.Uint16(n.inline[8:]) != flagLeaf {
			return errors.New("an inline bucket that is no leaf")
		}
	}
	if n.name == sumBucket {
		w.nested = slices.Insert(w.nested, 0, n) // the summary says what to expect of the others
		return nil
	}
	w.nested = append(w.nested, n)
	return nil
}

// freelist checks that no page in use is listed as free: bbolt would write over it.
func (w *walk) freelist(id uint64) error {
	page, err := w.page(id, 0)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if native.Uint16(page[8:]) != flagFreelist {
		return fmt.Errorf("freelist: page %d: flags %#x", id, native.Uint16(page[8:]))
	}
	ids, count := page[pageHead:], uint64(native.Uint16(page[10:]))
	if count == 0xffff && len(ids) >= 8 {
		ids, count = ids[8:], native.Uint64(ids)
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("freelist: %d pages: want at most %d", count, len(ids)/8)
	}
	last := uint64(1)
	for i := range count {
		free := native.Uint64(ids[8*i:])
		if free <= last || free >= w.end {
			return fmt.Errorf("freelist: page %d behind %d: want ascending, less than %d", free, last, w.end)
		}
		if w.seen[free/64]>>(free%64)&1 == 1 {
			return fmt.Errorf("freelist: page %d is in use", free)
		}
		last = free
	}
	return nil
}
