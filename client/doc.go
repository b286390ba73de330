// Package client is for who writes an app for the wearers of pins: it makes and checks what pins sign, and speaks to a
// gateway, which brings it into the log and serves what came of it. The program in examples/tap uses nearly all of it.
//
// What it returns of the gateway's answers are the messages of pinfold/proto/pinfold/gateway/v1 and of the packages
// beside it, which docs/api.md explains call by call. Package client/link is the link to a pin that is a device.
package client

import (
	"crypto/rand"
	"time"

	"pinfold/internal/fact"
)

// What ids and quantities are to the whole project. Each id has a String method that gives its text form.
type (
	// WearerID names a wearer: 16 random bytes. Its text is 26 lower-case base32 characters.
	WearerID = fact.WearerID
	// PinID names a pin: the first 8 bytes of the SHA-256 of its public key. Its text is 16 lower-case hex digits.
	PinID = fact.PinID
	// PublicKey is a pin's Ed25519 public key (RFC 8032), 32 bytes. Its method PinID returns the id of the pin that holds it.
	PublicKey = fact.PublicKey
	// Signature is an Ed25519 signature over the bytes of a statement, 64 bytes.
	Signature = fact.Signature
	// Nonce is the value that a pin makes anew for each tap, 16 bytes.
	Nonce = fact.Nonce
	// Challenge is what a pin signs to be paired, 32 bytes; it comes from a gateway.
	Challenge = fact.Challenge
	// Counter is a pin's own count of the halves and step reports that it has signed.
	Counter = fact.Counter
	// UnixMilli is an instant in milliseconds since the Unix epoch, UTC. 0 in a statement = the pin's clock was never set.
	UnixMilli = fact.UnixMilli
	// Slot is a quarter hour, counted in whole quarter hours since the Unix epoch, UTC.
	Slot = fact.Slot
)

// NewWearerID returns a random wearer.
func NewWearerID() WearerID {
	var w WearerID
	_, _ = rand.Read(w[:]) // never fails
	return w
}

// ParseWearerID reads the text form of a wearer. Only the one text that its String prints is accepted.
func ParseWearerID(text string) (WearerID, error) { return fact.ParseWearerID(text) }

// ParsePinID reads the text form of a pin. Upper-case digits are refused, so that a pin has one text.
func ParsePinID(text string) (PinID, error) { return fact.ParsePinID(text) }

// Now returns the present instant by the clock of this machine.
func Now() UnixMilli { return UnixMilli(time.Now().UnixMilli()) }

// SlotAt returns the quarter hour in which the instant lies; it must not be before the Unix epoch.
func SlotAt(at UnixMilli) Slot { return Slot(int64(at) / fact.SlotLength.Milliseconds()) }
