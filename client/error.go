package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// Error is why a gateway did not do a call, or did not take a statement. Every method of [Gateway] that fails at the
// gateway or on the way there fails with one.
type Error struct {
	// Reason is REASON_UNSPECIFIED where none was given, as when the gateway cannot be reached.
	Reason gatewayv1.Reason
	// Detail names the field, the value and the rule, for a developer to read.
	Detail string
	// Passes says that the same may succeed later. Everything can be repeated without harm.
	Passes bool
	// For is how long from now that can help, of a statement; 0 = no end is known.
	For time.Duration

	status error // of the call; nil = it is of a statement
}

// Error returns reason and detail.
func (e *Error) Error() string {
	if e.Reason == gatewayv1.Reason_REASON_UNSPECIFIED {
		return e.Detail
	}
	return reasonName(e.Reason) + ": " + e.Detail
}

// Unwrap returns the error of gRPC if a call failed.
func (e *Error) Unwrap() error { return e.status }

// ReasonOf returns the reason of an error of this package or of a gateway's generated client, or REASON_UNSPECIFIED.
func ReasonOf(err error) gatewayv1.Reason { return asError(err).Reason }

// Passes reports whether what failed with an error of this package or of a gateway's generated client may succeed later.
func Passes(err error) bool { return asError(err).Passes }

func asError(err error) *Error {
	e := &Error{}
	_ = errors.As(callError(err), &e)
	return e
}

// Refusal returns why the gateway refused a statement, as an *[Error], or nil if the log holds it.
func Refusal(a *gatewayv1.Answer) error {
	switch a.GetStatus() {
	case gatewayv1.Status_STATUS_ACCEPTED, gatewayv1.Status_STATUS_ALREADY_ACCEPTED:
		return nil
	case gatewayv1.Status_STATUS_REFUSED:
		return &Error{
			Reason: a.GetReason(), Detail: a.GetDetail(), Passes: a.GetRetry(), For: time.Duration(a.GetRetryForMs()) * time.Millisecond,
		}
	default: // of a gateway that is younger than this program
		return &Error{Detail: fmt.Sprintf("an answer with the unknown status %d", a.GetStatus()), Passes: true}
	}
}

// callError is a failed call's error as an *Error, or nil.
func callError(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	s := status.Convert(err)
	e := &Error{Detail: s.Message(), status: err}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "pinfold" {
			e.Reason = gatewayv1.Reason(gatewayv1.Reason_value["REASON_"+info.GetReason()])
		}
	}
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted:
		e.Passes = true
	case codes.ResourceExhausted: // without a reason it is gRPC's own: a message that is too large stays so
		e.Passes = e.Reason != gatewayv1.Reason_REASON_UNSPECIFIED
	}
	if e.Reason != gatewayv1.Reason_REASON_UNSPECIFIED {
		e.Detail = strings.TrimPrefix(e.Detail, reasonName(e.Reason)+": ")
	}
	return e
}

func reasonName(r gatewayv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

const (
	callTimeout = 20 * time.Second
	firstPause  = 10 * time.Millisecond
	lastPause   = time.Second
)

// Persist makes a call again and again, with growing pauses of 10 ms to 1 s, until it succeeds, its error is none that
// passes, or the context ends. Each try is given 20 s. If failed is not nil, it is told of each error after which the call
// is made again.
func Persist(ctx context.Context, call func(context.Context) error, failed func(error)) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		err := call(limited)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !Passes(err):
			return err
		}
		if failed != nil {
			failed(err)
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// sleep waits for d, and returns false if the context ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
