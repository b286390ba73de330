package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// Pin is a pin in software: it taps, counts steps and proves that it is there as a real one does. Its methods may not be
// called at the same time; those of its sides may.
type Pin struct {
	private ed25519.PrivateKey
	public  PublicKey
	id      PinID
	secret  [32]byte // of which its key and its nonces are made
	counter Counter
}

// NewPin makes a new pin.
func NewPin() *Pin {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return RestorePin(secret, 0)
}

// RestorePin makes a pin whose key and nonces follow from the secret and which has counted so far: the pin that had this
// [Pin.Secret] and this [Pin.Counter]. Who restores one with a lower counter than it had clones it, and an audit says so.
func RestorePin(secret [32]byte, counter Counter) *Pin {
	private := ed25519.NewKeyFromSeed(derive(secret, "key", 0))
	public := PublicKey(private.Public().(ed25519.PublicKey))
	return &Pin{private: private, public: public, id: public.PinID(), secret: secret, counter: counter}
}

// ID returns the pin's id.
func (p *Pin) ID() PinID { return p.id }

// Key returns the pin's public key.
func (p *Pin) Key() PublicKey { return p.public }

// Secret returns all that makes the pin this pin: keep it where nobody else reads it.
func (p *Pin) Secret() [32]byte { return p.secret }

// Counter returns how many halves and step reports the pin has begun. Keep it before what it signed leaves the pin.
func (p *Pin) Counter() Counter { return p.counter }

// Prove signs a challenge, as after a press of the button. The time must not be negative.
func (p *Pin) Prove(c Challenge, at UnixMilli) Signed {
	return p.SignRaw(statement.AppendProof(nil, fact.Proof{Pin: p.id, Challenge: c, Time: at}))
}

// Count signs a report of the steps in consecutive quarter hours, the first of which is given; there must be 1 to 32 of
// them. It takes the next counter.
func (p *Pin) Count(first Slot, steps []uint16) Signed {
	p.counter++
	return p.SignRaw(statement.AppendStepReport(nil, fact.StepReport{Pin: p.id, Counter: p.counter, FirstSlot: first, Steps: steps}))
}

// SignRaw signs any bytes, as a pin with a bug or in wrong hands would.
func (p *Pin) SignRaw(raw []byte) Signed {
	return Signed{Statement: raw, Signature: statement.Sign(p.private, raw)}
}

// Signed is what a pin signed: a half of a tap (72 bytes), a step report (26 to 88) or a proof of possession (52), and its
// signature.
type Signed struct {
	Statement []byte
	Signature Signature
}

// Verify returns an error if the statement is none, names another pin than that of the key, or is not signed with it.
func (s Signed) Verify(key PublicKey) error {
	author, err := s.Author()
	switch {
	case err != nil:
		return err
	case author != key.PinID():
		return fmt.Errorf("statement: the author is pin %v, want that of the key, %v", author, key.PinID())
	case !statement.Verify(key, s.Statement, s.Signature):
		return fmt.Errorf("statement: it is not signed by pin %v", author)
	}
	return nil
}

// Author returns the pin that the statement says it is of, or an error if it is no statement.
func (s Signed) Author() (PinID, error) {
	kind, err := statement.KindOf(s.Statement)
	if err != nil {
		return PinID{}, err
	}
	switch kind {
	case statement.KindHalf:
		h, err := statement.ParseHalf(s.Statement)
		return h.Pin, err
	case statement.KindStepReport:
		r, err := statement.ParseStepReport(s.Statement)
		return r.Pin, err
	default:
		p, err := statement.ParseProof(s.Statement)
		return p.Pin, err
	}
}

// Hello is what a pin says first in a tap.
type Hello struct {
	Pin   PinID
	Nonce Nonce
	Key   PublicKey
}

// Side is one pin's side of one tap.
type Side struct {
	pin     *Pin
	counter Counter
	hello   Hello
}

// Approach begins a tap on this pin's side. It takes the next counter; all that follows changes nothing in the pin.
func (p *Pin) Approach() *Side {
	p.counter++
	nonce := Nonce(derive(p.secret, "nonce", uint64(p.counter))[:len(Nonce{})])
	return &Side{pin: p, counter: p.counter, hello: Hello{Pin: p.id, Nonce: nonce, Key: p.public}}
}

// Hello returns what the pin sends first.
func (s *Side) Hello() Hello { return s.hello }

// Sign returns the pin's half, once the other's hello is there. The time must not be negative.
func (s *Side) Sign(peer Hello, at UnixMilli) (Signed, error) {
	if peer.Pin == s.hello.Pin {
		return Signed{}, errors.New("tap: the hello bears this pin's own id")
	}
	if peer.Key.PinID() != peer.Pin {
		return Signed{}, fmt.Errorf("tap: the id %v is not the hash of its key", peer.Pin)
	}
	return s.pin.SignRaw(statement.AppendHalf(nil, fact.Half{
		Pin: s.hello.Pin, Peer: peer.Pin, Nonce: s.hello.Nonce, PeerNonce: peer.Nonce,
		Counter: s.counter, Time: at, Link: fact.LinkWire,
	})), nil
}

// Check verifies the other pin's half of this tap.
func (s *Side) Check(peer Hello, half Signed) error {
	h, err := statement.ParseHalf(half.Statement)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	if h.Pin != peer.Pin || h.Nonce != peer.Nonce || h.Peer != s.hello.Pin || h.PeerNonce != s.hello.Nonce {
		return fmt.Errorf("tap: the half of pin %v is of another tap", h.Pin)
	}
	if !statement.Verify(peer.Key, half.Statement, half.Signature) {
		return fmt.Errorf("tap: the half is not signed by pin %v", h.Pin)
	}
	return nil
}

// Tap lets two pins that have approached each other say hello and sign their halves, each by its own clock, and check
// each other's. Both phones may deliver both halves.
func Tap(a, b *Side, atA, atB UnixMilli) (halfA, halfB Signed, err error) {
	if halfA, err = a.Sign(b.Hello(), atA); err != nil {
		return Signed{}, Signed{}, err
	}
	if halfB, err = b.Sign(a.Hello(), atB); err != nil {
		return Signed{}, Signed{}, err
	}
	return halfA, halfB, errors.Join(a.Check(b.Hello(), halfB), b.Check(a.Hello(), halfA))
}

// derive makes 32 bytes of a secret for one use.
func derive(secret [32]byte, use string, n uint64) []byte {
	h := sha256.New()
	h.Write(secret[:])
	h.Write([]byte(use))
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	return h.Sum(nil)
}
