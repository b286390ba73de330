package eventlog

import (
	"time"

	"github.com/nats-io/nats.go"
)

// SyncsAlways reports whether the server syncs its files before it answers.
func SyncsAlways(e *Embedded) bool { return e.server.JetStreamConfig().SyncAlways }

// ConfirmShorterAfter sets how far apart a leader must have said twice that the log is shorter.
func ConfirmShorterAfter(l *JetStream, d time.Duration) { l.confirm = d }

// ConnOf returns the connection of the log.
func ConnOf(l *JetStream) *nats.Conn { return l.js.Conn() }

// NewDeserter returns what leaves a server, for the connection.
func NewDeserter(nc *nats.Conn) func(began time.Time, answered bool) (left bool) {
	return (&deserter{nc: nc}).note
}

// Deliver gives the reader a message as if the server had sent it.
func Deliver(r Reader, msg *nats.Msg) {
	own := r.(*jetstreamReader)
	msg.Sub = own.sub
	own.take(msg)
}
