package eventlog

import "github.com/nats-io/nats.go"

// SyncsAlways reports whether the server syncs its files before it answers.
func SyncsAlways(e *Embedded) bool { return e.server.JetStreamConfig().SyncAlways }

// ConnOf returns the connection of the log.
func ConnOf(l *JetStream) *nats.Conn { return l.js.Conn() }
