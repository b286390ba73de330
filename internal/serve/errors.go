package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/fact"
	"pinfold/internal/fold"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// Domain is the domain of the reasons in google.rpc.ErrorInfo.
const Domain = "pinfold"

// ReasonName returns the reason as it stands in google.rpc.ErrorInfo: SELF_TAP, not REASON_SELF_TAP.
func ReasonName(r gatewayv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

// Errorf returns a gRPC error with a reason. The message is to name the field, the value and the rule.
func Errorf(code codes.Code, reason gatewayv1.Reason, format string, args ...any) error {
	s := status.New(code, ReasonName(reason)+": "+fmt.Sprintf(format, args...))
	detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: ReasonName(reason), Domain: Domain})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

// maxErrorText bounds the text of an error that leaves a service, in bytes: it travels in a header, and a connection whose
// headers are too large ends. What is echoed of a request is bounded where the text is made, to 80 characters of a value.
const maxErrorText = 1024

// short returns the error with a text that is cut to maxErrorText.
func short(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok || len(s.Message()) <= maxErrorText {
		return err
	}
	p := s.Proto()
	p.Message = strings.ToValidUTF8(p.GetMessage()[:maxErrorText], "") + "..."
	return status.FromProto(p).Err()
}

// Reason returns the name of the reason that a gRPC error carries, or "".
func Reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return ""
}

// Malformed is the error for a field of a request that does not say what it should.
func Malformed(field string, err error) error {
	return Errorf(codes.InvalidArgument, gatewayv1.Reason_REASON_MALFORMED, "%s: %v", field, err)
}

// Wearer reads a wearer out of the request field of that name.
func Wearer(field, text string) (fact.WearerID, error) {
	w, err := fact.ParseWearerID(text)
	if err != nil {
		return w, Malformed(field, err)
	}
	return w, nil
}

// WaitSeq waits, within the deadline of the call, until the runner has folded seq.
func WaitSeq(ctx context.Context, r *fold.Runner, seq uint64) error {
	return WaitFor(ctx, "min_seq", seq, folded(r), func(ctx context.Context) error { return r.Wait(ctx, fact.Seq(seq)) })
}

// Settle waits, within the deadline of the call, until all that followed from the facts up to seq has come by.
func Settle(ctx context.Context, r *fold.Runner, seq uint64) (reached fact.Seq, err error) {
	err = WaitFor(ctx, "min_seq", seq, folded(r), func(ctx context.Context) (err error) {
		reached, err = r.Settle(ctx, fact.Seq(seq))
		return err
	})
	return reached, err
}

// answerMargin is what is kept of a call's deadline, so that the answer reaches the caller before it gives up.
const answerMargin = 50 * time.Millisecond

func folded(r *fold.Runner) func() fact.Seq {
	return func() fact.Seq { return r.Progress().Seq }
}

// WaitFor calls wait, which waits for the sequence that the request field of that name asks for, with what the call's
// deadline leaves. Where that is over first, the error says how far at has come.
func WaitFor(ctx context.Context, field string, seq uint64, at func() fact.Seq, wait func(context.Context) error) error {
	waiting := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	err := wait(waiting)
	if errors.Is(err, context.DeadlineExceeded) {
		return Errorf(codes.Unavailable, gatewayv1.Reason_REASON_SEQ_NOT_REACHED,
			"%s %d: this service has folded up to %d", field, seq, at())
	}
	if err != nil {
		return status.FromContextError(err).Err()
	}
	return nil
}
