package audit

import (
	"crypto/sha256"
	"fmt"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/merkle"
	"pinfold/internal/statement"
)

// What goes through the stages together, the work of one worker at a time, is at most so many messages, and not many more
// bytes of payload: a forged fact may be large, and hardly take any room in an archive.
const (
	runSize  = 2048
	runBytes = 1 << 20
)

// run is a row of messages on its way through the stages. Each slice but the first has an element for each message;
// it is written by one stage and read by those after it.
type run struct {
	messages []eventlog.Message

	decoded chan struct{} // closed once these are there:
	entries []fact.Entry  // zero where the message cannot be decoded
	errs    []error
	surplus []int // how many bytes of the message its fact does not take
	leaves  []merkle.Hash

	// Of the ordered stage.
	skip []bool            // out of place: left out of all that follows
	keys []*fact.PublicKey // of the pin whose signature is to be verified; nil = there is none

	signed chan struct{} // closed once this is there:
	marks  []mark
}

// mark says of a statement whose signature was verified what tells it from others. The zero one stands for all else.
type mark struct {
	pin     fact.PinID
	counter fact.Counter
	peer    fact.PinID // of a half
	hash    [16]byte   // the first bytes of the SHA-256 of the statement
	ok      bool
}

func newRun(messages []eventlog.Message) *run {
	n := len(messages)
	return &run{
		messages: messages, decoded: make(chan struct{}), entries: make([]fact.Entry, n), errs: make([]error, n),
		surplus: make([]int, n), leaves: make([]merkle.Hash, n), skip: make([]bool, n), keys: make([]*fact.PublicKey, n), signed: make(chan struct{}), marks: make([]mark, n),
	}
}

// decode decodes and hashes all messages.
func (c *run) decode() {
	defer close(c.decoded)
	for i, m := range c.messages {
		c.entries[i], c.errs[i] = m.Decode()
		if c.errs[i] == nil {
			c.surplus[i] = eventlog.Surplus(m.Payload, c.entries[i].Record)
		}
		c.leaves[i], _ = merkle.Leaf(m) // where there is none, the message cannot be decoded either
	}
}

// verify verifies the signatures of all statements whose key is known.
func (c *run) verify(games string, out *findings) {
	defer close(c.signed)
	raw := make([]byte, 0, statement.MaxSize)
	for i, key := range c.keys {
		if key == nil {
			continue
		}
		e := c.entries[i]
		switch f := e.Fact.(type) {
		case fact.HalfReported:
			raw = statement.AppendHalf(raw[:0], f.Half)
			c.marks[i] = verified(*key, raw, f.Signature, mark{pin: f.Half.Pin, counter: f.Half.Counter, peer: f.Half.Peer})
		case fact.StepsReported:
			raw = statement.AppendStepReport(raw[:0], f.Report)
			c.marks[i] = verified(*key, raw, f.Signature, mark{pin: f.Report.Pin, counter: f.Report.Counter})
		case fact.PinPaired:
			checkProof(games, *key, e.Seq, f, out)
			continue
		}
		if !c.marks[i].ok {
			out.add(e.Seq, BadSignature, "the signature of the pin over its statement", "another signature: "+describeStatement(e.Fact))
		}
	}
}

// verified returns the mark of the statement, or the zero one if the signature is not the key's.
func verified(key fact.PublicKey, raw []byte, sig fact.Signature, m mark) mark {
	if !statement.Verify(key, raw, sig) {
		return mark{}
	}
	sum := sha256.Sum256(raw)
	m.hash, m.ok = [16]byte(sum[:16]), true
	return m
}

func checkProof(games string, key fact.PublicKey, seq fact.Seq, f fact.PinPaired, out *findings) {
	who := fmt.Sprintf("pin %v, wearer %v", f.Proof.Pin, f.Wearer)
	if f.Proof.Challenge != statement.Challenge(games, f.Wearer, f.Random) {
		out.add(seq, BadProof, "a proof for the challenge of that wearer of the Games "+games, "a proof for another challenge: "+who)
	}
	if !statement.Verify(key, statement.AppendProof(nil, f.Proof), f.Signature) {
		out.add(seq, BadProof, "the signature of the pin over its proof", "another signature: "+who)
	}
}
