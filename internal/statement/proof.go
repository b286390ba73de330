package statement

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"pinfold/internal/fact"
)

// ParseProof reads the 52 bytes of a proof of possession, docs/design.md section 4. Whether the challenge is the right one is
// not checked: see [Challenge].
func ParseProof(b []byte) (fact.Proof, error) {
	if err := checkMagic(KindProof, magicProof, b); err != nil {
		return fact.Proof{}, err
	}
	if err := checkLength(KindProof, b, ProofSize); err != nil {
		return fact.Proof{}, err
	}
	p := fact.Proof{
		Pin:       fact.PinID(b[4:12]),
		Challenge: fact.Challenge(b[12:44]),
		Time:      fact.UnixMilli(binary.BigEndian.Uint64(b[44:52])),
	}
	if err := checkTime(KindProof, p.Time); err != nil {
		return fact.Proof{}, err
	}
	return p, nil
}

// AppendProof appends the 52 bytes of the proof to dst, docs/design.md section 4. It panics where the time is negative.
func AppendProof(dst []byte, p fact.Proof) []byte {
	if err := checkTime(KindProof, p.Time); err != nil {
		panic(err)
	}
	dst = slices.Grow(dst, ProofSize)
	dst = append(dst, magicProof...)
	dst = append(dst, p.Pin[:]...)
	dst = append(dst, p.Challenge[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(p.Time))
}

// Challenge returns what a pin has to sign to be paired with the wearer in these Games, docs/design.md section 4. The random
// bytes are fresh for each pairing. It panics where games is not 1 to 32 bytes long, docs/design.md section 9.
func Challenge(games string, w fact.WearerID, random [16]byte) fact.Challenge {
	return challenge("PFC1", games, w[:], random[:])
}

// SessionChallenge returns what a pin has to sign to open a session for an app, docs/design.md section 11: the thumbprint is the
// SHA-256 of RFC 7638 of the app's key. It never equals a Challenge. It panics as Challenge does.
func SessionChallenge(games string, pin fact.PinID, random [16]byte, thumbprint [sha256.Size]byte) fact.Challenge {
	return challenge("PFC2", games, pin[:], random[:], thumbprint[:])
}

func challenge(magic, games string, parts ...[]byte) fact.Challenge {
	const (
		maxGames = 32
		maxSize  = magicSize + 1 + maxGames + 8 + 16 + sha256.Size
	)
	if len(games) < 1 || len(games) > maxGames {
		panic(fmt.Sprintf("statement: games is %q, want 1 to %d bytes", games, maxGames))
	}
	b := make([]byte, 0, maxSize)
	b = append(b, magic...)
	b = append(b, byte(len(games)))
	b = append(b, games...)
	for _, part := range parts {
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// Digits returns the six digits by which a person sees that pin and app speak of the same challenge, docs/design.md section 4:
// the first 8 bytes of SHA-256(PFD1 || challenge) as a number, modulo 1,000,000.
func Digits(c fact.Challenge) string {
	const magic = "PFD1"
	sum := sha256.Sum256(append([]byte(magic), c[:]...))
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(sum[:8])%1_000_000)
}
