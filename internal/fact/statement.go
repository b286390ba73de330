package fact

// Half is one pin's statement of one tap: "I, Pin with Nonce, met Peer with PeerNonce".
// Package statement turns it into the 72 bytes that the pin signs, and back.
type Half struct {
	Pin       PinID // the author
	Peer      PinID
	Nonce     Nonce // the author's
	PeerNonce Nonce
	Counter   Counter   // the author's
	Time      UnixMilli // by the author's clock; 0 = never set
	RSSI      int8      // dBm; 0 = not measured
	Link      Link
}

// StepReport is one pin's statement of the steps it counted in consecutive slots, one value for each slot, 1 to 32 of them.
type StepReport struct {
	Pin       PinID
	Counter   Counter
	FirstSlot Slot
	Steps     []uint16
}

// Proof is a pin's statement that it was there, signed after a press of its button, to be paired with a wearer.
type Proof struct {
	Pin       PinID
	Challenge Challenge
	Time      UnixMilli // by the pin's clock; 0 = never set
}
