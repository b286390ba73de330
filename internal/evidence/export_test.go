package evidence

import "pinfold/internal/eventlog"

// WithMessages returns the evidence with other facts.
func WithMessages(ev *Evidence, messages []eventlog.Message) *Evidence {
	other := *ev
	other.messages = messages
	return &other
}
