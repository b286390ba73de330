// Package pinlink is what stands around a pin that is emulated, natively or under QEMU: the frames of its links, the
// client of its phone link, its sensors and its display, the air between several pins, and the process itself.
//
// The pin's side of each link is in firmware/hal; the messages of the phone link are pinfold.pin.v1.
package pinlink
