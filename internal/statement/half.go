package statement

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"pinfold/internal/fact"
)

// ParseHalf reads the 72 bytes of a half, docs/design.md section 4.
func ParseHalf(b []byte) (fact.Half, error) {
	if err := checkMagic(KindHalf, magicHalf, b); err != nil {
		return fact.Half{}, err
	}
	if err := checkLength(KindHalf, b, HalfSize); err != nil {
		return fact.Half{}, err
	}
	h := fact.Half{
		Pin:       fact.PinID(b[4:12]),
		Peer:      fact.PinID(b[12:20]),
		Nonce:     fact.Nonce(b[20:36]),
		PeerNonce: fact.Nonce(b[36:52]),
		Counter:   fact.Counter(binary.BigEndian.Uint32(b[52:56])),
		Time:      fact.UnixMilli(binary.BigEndian.Uint64(b[56:64])),
		RSSI:      int8(b[64]),
		Link:      fact.Link(b[65]),
	}
	if err := checkHalf(&h, b[66:]); err != nil {
		return fact.Half{}, err
	}
	return h, nil
}

// AppendHalf appends the 72 bytes of the half to dst, docs/design.md section 4. It panics where the link is not 1 to 3, the
// time is negative, or the peer is the pin itself.
func AppendHalf(dst []byte, h fact.Half) []byte {
	if err := checkHalf(&h, nil); err != nil {
		panic(err)
	}
	dst = slices.Grow(dst, HalfSize)
	dst = append(dst, magicHalf...)
	dst = append(dst, h.Pin[:]...)
	dst = append(dst, h.Peer[:]...)
	dst = append(dst, h.Nonce[:]...)
	dst = append(dst, h.PeerNonce[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Counter))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.Time))
	return append(dst, byte(h.RSSI), byte(h.Link), 0, 0, 0, 0, 0, 0)
}

func checkHalf(h *fact.Half, reserved []byte) error {
	if err := checkTime(KindHalf, h.Time); err != nil {
		return err
	}
	if h.Link < fact.LinkNFC || h.Link > fact.LinkWire {
		return malformed(KindHalf, "link", strconv.Itoa(int(h.Link)), "1 to 3")
	}
	if err := checkReserved(KindHalf, reserved); err != nil {
		return err
	}
	if h.Pin == h.Peer {
		return &Error{SelfTap, KindHalf, "peer", h.Peer.String(), "another pin than the author"}
	}
	return nil
}

// TapID returns the id of the tap that the half tells of, the same for both halves, docs/design.md section 4. It means nothing
// for a half whose two pins are the same.
func TapID(h fact.Half) fact.TapID {
	lo, loNonce, hi, hiNonce := &h.Pin, &h.Nonce, &h.Peer, &h.PeerNonce
	if bytes.Compare(lo[:], hi[:]) > 0 {
		lo, loNonce, hi, hiNonce = hi, hiNonce, lo, loNonce
	}
	const magic = "PFT1"
	b := make([]byte, 0, len(magic)+2*(len(h.Pin)+len(h.Nonce)))
	b = append(b, magic...)
	b = append(b, lo[:]...)
	b = append(b, loNonce[:]...)
	b = append(b, hi[:]...)
	b = append(b, hiNonce[:]...)
	sum := sha256.Sum256(b)
	return fact.TapID(sum[:16])
}
