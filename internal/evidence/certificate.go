package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
)

// A certificate is one JSON object in a text file of at most 8 MiB. White space between its parts is no matter; for the
// rest there is one text of each certificate: the fields in the order below and no others, base64 with padding and
// without line breaks, numbers without fractions and exponents.
//
//	pinfold_certificate  the version of the format: 1
//	games                the id of the Games
//	form                 "full": how the award was earned, or "short": that it was given
//	wearer               who holds it, 26 lower-case base32 characters
//	medal                "bronze", "silver" or "gold"; or else, instead of it,
//	background           the sport's id
//	award                the sequence of the award's fact
//	checkpoint           the text of a checkpoint, a signed note (C2SP tlog-checkpoint): what the tree of the log was
//	                     when it had at least that many facts
//	facts                an array of at most 4,096 objects, by ascending sequence:
//	  seq                  the sequence
//	  stored               when the log stored it, in milliseconds since the Unix epoch
//	  family               roster, tap, friendship or award
//	  payload              the bytes of a pinfold.log.v1.Fact, in base64
//	hashes               hashes of the tree, 32 bytes each, one behind the other, in base64
//
// The short form has one fact, the award's. The full form has those that assemble asks for, and no others.
//
// The hashes are those of which the inclusion proofs of the facts consist (RFC 6962, section 2.1.1), each once: the stored
// hashes that golang.org/x/mod/sumdb/tlog names for them, by ascending tlog.StoredHashIndex. Which these are follows
// from the checkpoint's size and the sequences of the facts. Fact n is leaf n-1; see package merkle for the leaf.
const (
	certificateVersion = 1
	formFull           = "full"
	formShort          = "short"
)

// The limits of the format, which bound what Parse and Check do for any input.
const (
	// MaxCertificate is the size of the largest certificate, in bytes.
	MaxCertificate = 8 << 20

	maxFacts = 4096
)

// ErrTooLarge says that a full certificate of the award would exceed the limits of the format. A short one never does.
var ErrTooLarge = fmt.Errorf("evidence: a certificate of more than %d facts or %d bytes", maxFacts, MaxCertificate)

// Certificate is what Parse read. Only Check says whether it proves anything.
type Certificate struct {
	Games      string
	Short      bool
	Wearer     fact.WearerID
	What       Award
	Award      fact.Seq
	Checkpoint string // a signed note
	Facts      []eventlog.Message
	Hashes     []merkle.Hash
}

// file is a certificate as its JSON has it.
type file struct {
	Version    int       `json:"pinfold_certificate"`
	Games      string    `json:"games"`
	Form       string    `json:"form"`
	Wearer     string    `json:"wearer"`
	Medal      string    `json:"medal,omitempty"`
	Background string    `json:"background,omitempty"`
	Award      fact.Seq  `json:"award"`
	Checkpoint string    `json:"checkpoint"`
	Facts      fileFacts `json:"facts"`
	Hashes     []byte    `json:"hashes"`
}

// fileFacts is a list of at most maxFacts.
type fileFacts []fileFact

// UnmarshalJSON implements json.Unmarshaler. It makes room for no more facts than a certificate may have.
func (l *fileFacts) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return errors.New("facts: want an array")
	}
	for d.More() {
		if len(*l) == maxFacts {
			return fmt.Errorf("facts: want at most %d", maxFacts)
		}
		var f fileFact
		if err := d.Decode(&f); err != nil {
			return fmt.Errorf("facts[%d]: %w", len(*l), err)
		}
		*l = append(*l, f)
	}
	return nil
}

type fileFact struct {
	Seq     fact.Seq       `json:"seq"`
	Stored  fact.UnixMilli `json:"stored"`
	Family  fact.Family    `json:"family"`
	Payload []byte         `json:"payload"`
}

// Issue returns the certificate of the evidence, or with short that of the award alone, as a file. The checkpoint is cp as
// it was signed; it has to cover the award, and tree to have at least its size. ErrTooLarge is its error where the full
// form would be too large.
func Issue(ev *Evidence, short bool, cp merkle.Checkpoint, signed string, tree kv.Reader) ([]byte, error) {
	c := Certificate{
		Games: cp.Games, Short: short, Wearer: ev.Wearer, What: ev.What, Award: ev.Award.Seq, Checkpoint: signed, Facts: ev.messages,
	}
	if short {
		c.Facts = ev.messages[len(ev.messages)-1:] // everything else stands before the award
	}
	if len(c.Facts) > maxFacts {
		return nil, ErrTooLarge
	}
	nodes, err := merkle.Nodes(tree, cp.Size, c.seqs())
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	for _, index := range slices.Sorted(maps.Keys(nodes)) {
		c.Hashes = append(c.Hashes, nodes[index])
	}
	b, err := c.encode()
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if len(b) > MaxCertificate {
		return nil, ErrTooLarge
	}
	return b, nil
}

// seqs returns the sequences of the facts.
func (c *Certificate) seqs() []fact.Seq {
	seqs := make([]fact.Seq, len(c.Facts))
	for i, m := range c.Facts {
		seqs[i] = m.Seq
	}
	return seqs
}

// indexes returns which hashes of the tree of that size the certificate has to have, ascending.
func (c *Certificate) indexes(size fact.Seq) ([]int64, error) {
	needed := map[int64]bool{}
	note := tlog.HashReaderFunc(func(indexes []int64) ([]merkle.Hash, error) {
		for _, index := range indexes {
			needed[index] = true
		}
		return make([]merkle.Hash, len(indexes)), nil
	})
	for _, m := range c.Facts {
		if m.Seq < 1 || m.Seq > size {
			return nil, flaw(NotInLog, m.Seq, "want 1 to %d, what the checkpoint covers", size)
		}
		if _, err := tlog.ProveRecord(int64(size), int64(m.Seq-1), note); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(needed)), nil
}

func (c *Certificate) encode() ([]byte, error) {
	f := file{
		Version: certificateVersion, Games: c.Games, Form: formFull, Wearer: c.Wearer.String(), Background: c.What.Background,
		Award: c.Award, Checkpoint: c.Checkpoint, Facts: make([]fileFact, len(c.Facts)),
	}
	if c.Short {
		f.Form = formShort
	}
	if c.What.Medal != 0 {
		f.Medal = c.What.Medal.String()
	}
	for i, m := range c.Facts {
		f.Facts[i] = fileFact(m)
	}
	f.Hashes = make([]byte, 0, len(c.Hashes)*len(merkle.Hash{}))
	for _, h := range c.Hashes {
		f.Hashes = append(f.Hashes, h[:]...)
	}
	return json.Marshal(f)
}

// Parse reads a certificate. It accepts what Issue writes and no other text, white space aside. It proves nothing: see
// Check.
func Parse(b []byte) (*Certificate, error) {
	c, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return c, nil
}

func parse(b []byte) (*Certificate, error) {
	if len(b) > MaxCertificate {
		return nil, fmt.Errorf("%d bytes: want at most %d", len(b), MaxCertificate)
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	c, err := f.certificate()
	if err != nil {
		return nil, err
	}
	return c, c.checkText(b)
}

// checkText returns an error unless the text is the one of the certificate, white space aside. So nothing can be hidden
// in one: neither a field twice, nor a character in another notation.
func (c *Certificate) checkText(b []byte) error {
	want, err := c.encode()
	if err != nil {
		return err
	}
	var got bytes.Buffer
	if err := json.Compact(&got, b); err != nil {
		return err // more than one object
	}
	if !bytes.Equal(got.Bytes(), want) {
		return errors.New("the text is not as it is written: want the fields once and in order, and the plain notation")
	}
	return nil
}

func (f *file) certificate() (*Certificate, error) {
	if f.Version != certificateVersion {
		return nil, fmt.Errorf("pinfold_certificate %d: this program reads version %d", f.Version, certificateVersion)
	}
	if err := eventlog.CheckGames(f.Games); err != nil {
		return nil, err
	}
	if f.Form != formFull && f.Form != formShort {
		return nil, fmt.Errorf("form %.80q: want %.80q or %.80q", f.Form, formFull, formShort)
	}
	w, err := fact.ParseWearerID(f.Wearer)
	if err != nil {
		return nil, err
	}
	c := &Certificate{
		Games: f.Games, Short: f.Form == formShort, Wearer: w, What: Award{Background: f.Background},
		Award: f.Award, Checkpoint: f.Checkpoint,
	}
	if f.Medal != "" {
		i := slices.IndexFunc(fact.Medals(), func(m fact.Medal) bool { return m.String() == f.Medal })
		if i < 0 {
			return nil, fmt.Errorf("medal %.80q: want bronze, silver or gold", f.Medal)
		}
		c.What.Medal = fact.Medals()[i]
	}
	if err := c.What.check(); err != nil {
		return nil, err
	}
	for _, m := range f.Facts {
		c.Facts = append(c.Facts, eventlog.Message(m))
	}
	size := len(merkle.Hash{})
	if len(f.Hashes)%size != 0 {
		return nil, fmt.Errorf("hashes: %d bytes: want %d for each", len(f.Hashes), size)
	}
	for h := range slices.Chunk(f.Hashes, size) {
		c.Hashes = append(c.Hashes, merkle.Hash(h))
	}
	return c, nil
}
