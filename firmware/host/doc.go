// Package host runs a pin on this machine: the firmware as a process or under QEMU, its sensors and its display, and the
// air between several pins. The pin's side of each link is in firmware/hal.
package host
