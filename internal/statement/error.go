package statement

import (
	"fmt"
	"strconv"
)

// Rule is what a refused statement breaks. Its text is the gateway's reason of the same name, docs/design.md section 7.
type Rule uint8

// The rules, in the order in which they are checked.
const (
	UnknownMagic Rule = iota + 1
	Malformed
	ReservedNotZero
	SelfTap
)

func (r Rule) String() string {
	switch r {
	case UnknownMagic:
		return "UNKNOWN_MAGIC"
	case Malformed:
		return "MALFORMED"
	case ReservedNotZero:
		return "RESERVED_NOT_ZERO"
	case SelfTap:
		return "SELF_TAP"
	}
	return fmt.Sprintf("Rule(%d)", uint8(r))
}

// Error says why bytes are not a statement, or why a struct cannot be written as one.
type Error struct {
	Rule  Rule
	Kind  Kind   // that was asked for; 0 where KindOf found none
	Field string // of the layout, or "length"
	Value string // that was found
	Want  string
}

func (e *Error) Error() string {
	of := ""
	if e.Kind != 0 {
		of = " of " + e.Kind.String()
	}
	return fmt.Sprintf("statement: %s%s is %s, want %s (%s)", e.Field, of, e.Value, e.Want, e.Rule)
}

func unknownMagic(k Kind, b []byte, want string) *Error {
	found := strconv.QuoteToASCII(string(b[:min(len(b), magicSize)]))
	return &Error{UnknownMagic, k, "magic", found, want}
}

func malformed(k Kind, field, value, want string) *Error {
	return &Error{Malformed, k, field, value, want}
}
