package fact

import (
	"fmt"
	"strconv"
	"time"
)

// Seq is a position in the log: the first fact has 1, and the numbers have no gaps. 0 stands before the first fact.
type Seq uint64

func (s Seq) String() string { return strconv.FormatUint(uint64(s), 10) }

// UnixMilli is an instant in milliseconds since the Unix epoch, UTC.
type UnixMilli int64

// Add returns the instant d later, in whole milliseconds.
func (t UnixMilli) Add(d time.Duration) UnixMilli { return t + UnixMilli(d.Milliseconds()) }

func (t UnixMilli) String() string {
	return time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// Counter is a pin's own count of the halves and step reports it has signed.
type Counter uint32

// Slot is a quarter hour, counted in whole quarter hours since the Unix epoch, UTC.
type Slot uint32

// SlotLength is the length of one slot.
const SlotLength = 15 * time.Minute

// Start returns the instant at which the slot begins.
func (s Slot) Start() UnixMilli { return UnixMilli(int64(s) * SlotLength.Milliseconds()) }

// Day is a local calendar day, counted in days since 1970-01-01.
type Day int32

func (d Day) String() string {
	return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly)
}

// Link tells how the two pins of a tap spoke with each other.
type Link uint8

// The links of docs/design.md section 4. There is no zero link: a half always names one.
const (
	LinkNFC         Link = 1
	LinkBluetoothLE Link = 2
	LinkWire        Link = 3 // tests
)

func (l Link) String() string {
	switch l {
	case LinkNFC:
		return "NFC"
	case LinkBluetoothLE:
		return "Bluetooth LE"
	case LinkWire:
		return "wire"
	}
	return fmt.Sprintf("Link(%d)", uint8(l))
}
