//go:build firmware && cgo

// Package cpin is the firmware's C code for statements, signatures, frames and checksums, callable from Go, so that tests can
// hold it to the Go code that does the same. It takes the place of nothing: no program imports it.
//
// Go's build cache does not see a change of the C files in firmware/core, which are included from here: `make -C firmware
// cpin-test` tells it.
package cpin

/*
#cgo CFLAGS: -std=c11 -O1 -g -Wall -Wextra -Werror -I${SRCDIR}/../../core
#cgo LDFLAGS: -lsodium
#include "crc.h"
#include "crypto.h"
#include "statement.h"
*/
import "C"

import (
	"crypto/ed25519"
	"unsafe"

	"pinfold/internal/fact"
	"pinfold/internal/statement"
)

// Rule is an enum statement_rule: 0 for none broken, and otherwise as in package statement.
type Rule = statement.Rule

// KindOf is statement_kind_of: 0 for an unknown magic.
func KindOf(b []byte) statement.Kind {
	return statement.Kind(C.statement_kind_of(pointer(b), C.size_t(len(b))))
}

// ParseHalf is statement_parse_half.
func ParseHalf(b []byte) (fact.Half, Rule) {
	var c C.struct_half
	if rule := Rule(C.statement_parse_half(&c, pointer(b), C.size_t(len(b)))); rule != 0 {
		return fact.Half{}, rule
	}
	h := fact.Half{
		Counter: fact.Counter(c.counter),
		Time:    fact.UnixMilli(c.time_ms),
		RSSI:    int8(c.rssi),
		Link:    fact.Link(c.link),
	}
	out(h.Pin[:], &c.pin[0])
	out(h.Peer[:], &c.peer[0])
	out(h.Nonce[:], &c.nonce[0])
	out(h.PeerNonce[:], &c.peer_nonce[0])
	return h, 0
}

// BuildHalf is statement_build_half.
func BuildHalf(h fact.Half) ([]byte, Rule) {
	c := half(h)
	b := make([]byte, statement.HalfSize)
	rule := Rule(C.statement_build_half(pointer(b), &c))
	return b, rule
}

// TapID is statement_tap_id.
func TapID(h fact.Half) (id fact.TapID) {
	c := half(h)
	C.statement_tap_id(pointer(id[:]), &c)
	return id
}

func half(h fact.Half) C.struct_half {
	c := C.struct_half{
		counter: C.uint32_t(h.Counter),
		time_ms: C.int64_t(h.Time),
		rssi:    C.int8_t(h.RSSI),
		link:    C.uint8_t(h.Link),
	}
	in(&c.pin[0], h.Pin[:])
	in(&c.peer[0], h.Peer[:])
	in(&c.nonce[0], h.Nonce[:])
	in(&c.peer_nonce[0], h.PeerNonce[:])
	return c
}

// ParseStepReport is statement_parse_steps.
func ParseStepReport(b []byte) (fact.StepReport, Rule) {
	var c C.struct_step_report
	if rule := Rule(C.statement_parse_steps(&c, pointer(b), C.size_t(len(b)))); rule != 0 {
		return fact.StepReport{}, rule
	}
	r := fact.StepReport{Counter: fact.Counter(c.counter), FirstSlot: fact.Slot(c.first_slot)}
	out(r.Pin[:], &c.pin[0])
	for i := range int(c.n) {
		r.Steps = append(r.Steps, uint16(c.steps[i]))
	}
	return r, 0
}

// BuildStepReport is statement_build_steps. Of more than 255 steps only 255 reach C, which are too many as well.
func BuildStepReport(r fact.StepReport) ([]byte, Rule) {
	c := C.struct_step_report{
		counter:    C.uint32_t(r.Counter),
		first_slot: C.uint32_t(r.FirstSlot),
		n:          C.uint8_t(min(len(r.Steps), 255)),
	}
	in(&c.pin[0], r.Pin[:])
	for i := range min(len(r.Steps), statement.MaxSlots) {
		c.steps[i] = C.uint16_t(r.Steps[i])
	}
	var size C.size_t
	b := make([]byte, statement.MaxSize)
	rule := Rule(C.statement_build_steps(pointer(b), &size, &c))
	return b[:size], rule
}

// ParseProof is statement_parse_proof.
func ParseProof(b []byte) (fact.Proof, Rule) {
	var c C.struct_proof
	if rule := Rule(C.statement_parse_proof(&c, pointer(b), C.size_t(len(b)))); rule != 0 {
		return fact.Proof{}, rule
	}
	p := fact.Proof{Time: fact.UnixMilli(c.time_ms)}
	out(p.Pin[:], &c.pin[0])
	out(p.Challenge[:], &c.challenge[0])
	return p, 0
}

// BuildProof is statement_build_proof.
func BuildProof(p fact.Proof) ([]byte, Rule) {
	c := C.struct_proof{time_ms: C.int64_t(p.Time)}
	in(&c.pin[0], p.Pin[:])
	in(&c.challenge[0], p.Challenge[:])
	b := make([]byte, statement.ProofSize)
	rule := Rule(C.statement_build_proof(pointer(b), &c))
	return b, rule
}

// Digits is statement_digits.
func Digits(challenge fact.Challenge) string {
	var digits [C.STATEMENT_DIGITS + 1]C.char
	C.statement_digits(&digits[0], pointer(challenge[:]))
	return C.GoString(&digits[0])
}

// PinID is statement_pin_id.
func PinID(key fact.PublicKey) (id fact.PinID) {
	C.statement_pin_id(pointer(id[:]), pointer(key[:]))
	return id
}

// KeyPair is pin_keypair.
func KeyPair(seed [ed25519.SeedSize]byte) (fact.PublicKey, ed25519.PrivateKey) {
	var public fact.PublicKey
	private := make(ed25519.PrivateKey, ed25519.PrivateKeySize)
	C.pin_keypair(pointer(public[:]), pointer(private), pointer(seed[:]))
	return public, private
}

// Sign is pin_sign. The key must be [ed25519.PrivateKeySize] bytes long.
func Sign(key ed25519.PrivateKey, b []byte) (sig fact.Signature) {
	C.pin_sign(pointer(sig[:]), pointer(b), C.size_t(len(b)), pointer(key))
	return sig
}

// Verify is pin_verify.
func Verify(key fact.PublicKey, b []byte, sig fact.Signature) bool {
	return bool(C.pin_verify(pointer(sig[:]), pointer(b), C.size_t(len(b)), pointer(key[:])))
}

// CRC32 is crc32.
func CRC32(b []byte) uint32 {
	return uint32(C.crc32(unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))))
}

func pointer(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

func in(to *C.uint8_t, from []byte) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(to)), len(from)), from)
}

func out(to []byte, from *C.uint8_t) {
	copy(to, unsafe.Slice((*byte)(unsafe.Pointer(from)), len(to)))
}
