package eventlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The server's error codes that Append tells apart (nats-server 2.15, server/errors.json).
const (
	codeAccountResources      = 10002
	codeNoPeers               = 10005
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeMessageTooLarge       = 10054
	codeStreamNotMatch        = 10060
	codeStoreFailed           = 10077
	codeHeaderTooLarge        = 10097
	codeSealed                = 10109
	codeNoAtomicPublish       = 10174
	codeHeaderUnsupported     = 10177
	codeBatchTooLarge         = 10199
)

// appendError says in the words of Log what became of a batch. Only an answer of the server can say that it was not
// stored: whatever else went wrong, the batch may be on its way.
//
// Only a code that is known to come again with the same batch is ErrRefused. Any other is taken to pass: a try too many
// costs a line in the log of whoever appends, and one too few would end a service for what was an outage.
func appendError(nc *nats.Conn, err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		switch {
		case errors.Is(err, nats.ErrMaxPayload):
			return fmt.Errorf("%w: max_payload: the server takes no message above %d bytes", ErrRefused, nc.MaxPayload())
		case errors.Is(err, nats.ErrReconnectBufExceeded): // the library's words for "not sent"
			return fmt.Errorf("%w: %s", ErrNotStored, Disconnected(nc))
		case errors.Is(err, nats.ErrNoResponders):
			return fmt.Errorf("%w: %w", ErrNotStored, err)
		}
		return fmt.Errorf("%w: %w%s", ErrUnanswered, err, beside(nc))
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case codeStreamNotMatch:
		return fmt.Errorf("%w: %w", ErrReplaced, err)
	case codeBatchTooLarge:
		return fmt.Errorf("%w: max_batch_size: %w", ErrBatchTooLarge, err)
	case codeMessageTooLarge, codeHeaderTooLarge, codeSealed, codeNoAtomicPublish, codeHeaderUnsupported:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case codeAccountResources, codeInsufficientResources, codeStorageExceeded:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case codeStoreFailed:
		if strings.Contains(api.Description, "maximum") {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	return fmt.Errorf("%w: %w", ErrNotStored, err)
}

// forbidden returns an ErrRefused if the server has said, since it said before, that a family of the batch may not be
// written. It says so to the connection, not in answer to a message.
func (l *JetStream) forbidden(b Batch, before error) error {
	err := l.js.Conn().LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) { //nolint:errorlint // is it the same one?
		return nil
	}
	for _, r := range b.Records {
		if strings.Contains(err.Error(), strconv.Quote(subject(l.games, r.Fact.Family()))) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return nil
}

// unreachable says what was asked of the server, and why there is no answer.
func unreachable(nc *nats.Conn, err error, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w%s", ErrUnreachable, fmt.Sprintf(format, args...), err, beside(nc))
}

// beside says what else is known of a connection on which an answer did not come.
func beside(nc *nats.Conn) string {
	if why := Disconnected(nc); why != "" {
		return "; " + why
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return "; last, the server said: " + err.Error()
	}
	return ""
}
