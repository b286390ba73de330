// Package link is the link between a pin and its phone: the frames on the wire, which the pin's other links use too, and
// the phone's side of the protocol. The messages are pinfold.pin.v1; the pin's side is firmware/core/phone.c.
package link
