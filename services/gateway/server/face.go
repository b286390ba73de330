package server

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	stepsv1 "pinfold/proto/pinfold/steps/v1"
)

const (
	// faceTimeout bounds one reading of a watched face; it is read again until it succeeds.
	faceTimeout = 10 * time.Second
	// slowReader is how long a watcher may leave a face untaken.
	slowReader = 10 * time.Second
)

// GetFace implements GatewayService.
func (a *api) GetFace(ctx context.Context, req *gatewayv1.GetFaceRequest) (*gatewayv1.Face, error) {
	settled := rewardsv1.GetAwardsRequest_builder{MinSeq: req.GetMinSeq()}.Build()
	if err := a.services.settle(ctx, settled); err != nil {
		return nil, err
	}
	return a.face(ctx, req.GetWearer(), notBefore(settled.GetMinSeq(), req.GetSeen()))
}

// notBefore is what a face reflects at least that is not to be older than the sequence, nor than what was seen.
func notBefore(seq uint64, seen *gatewayv1.Reflected) *gatewayv1.Reflected {
	return gatewayv1.Reflected_builder{Awards: max(seq, seen.GetAwards()), Steps: max(seq, seen.GetSteps())}.Build()
}

// face reads the parts of a face from the services that keep them, none before the sequence that it is to reflect.
func (a *api) face(ctx context.Context, wearer string, least *gatewayv1.Reflected) (*gatewayv1.Face, error) {
	var awards *rewardsv1.GetAwardsResponse
	var day *stepsv1.GetDayResponse
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		awards, err = a.services.rewards.GetAwards(ctx, rewardsv1.GetAwardsRequest_builder{Wearer: wearer, MinSeq: least.GetAwards()}.Build())
		return err
	})
	group.Go(func() (err error) {
		day, err = a.services.steps.GetDay(ctx, stepsv1.GetDayRequest_builder{Wearer: wearer, MinSeq: least.GetSteps()}.Build())
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	b := gatewayv1.Face_builder{
		Seq: min(awards.GetSeq(), day.GetSeq()), Wearer: wearer, Friends: awards.GetFriends(), Background: awards.GetChosen(),
		NextBackground: awards.GetNextBackground(), NextMedal: awards.GetNextMedal(),
		Today: day.GetDay(), StepGoal: day.GetGoal(),
		Reflected: gatewayv1.Reflected_builder{Awards: awards.GetSeq(), Steps: day.GetSeq()}.Build(),
	}
	for _, m := range awards.GetMedals() {
		b.Medal = logv1.Medal(max(int32(b.Medal), int32(m.GetMedal())))
	}
	for _, g := range awards.GetBackgrounds() {
		if !g.GetRevoked() {
			b.Backgrounds++
		}
	}
	return b.Build(), nil
}

// WatchFace implements GatewayService.
func (a *api) WatchFace(req *gatewayv1.GetFaceRequest, stream grpc.ServerStreamingServer[gatewayv1.Face]) error {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return err
	}
	ctx := stream.Context()
	w, seq := a.hub.watch(wearer)
	defer a.hub.leave(w)
	least := notBefore(max(uint64(seq), req.GetMinSeq()), req.GetSeen())
	asked := req.GetMinSeq() > 0 || req.HasSeen()
	var shown *gatewayv1.Face
	for {
		face, err := a.readFace(ctx, req.GetWearer(), least, shown == nil && asked)
		if err != nil {
			return err
		}
		if !sameFace(shown, face) {
			if err := sendFace(stream, face, slowReader); err != nil {
				return err
			}
			shown = face
		}
		select {
		case <-w.wake:
			// Another replica may be behind the one that was read last: what is shown does not go back.
			least = notBefore(uint64(a.hub.changed(w)), face.GetReflected())
		case <-a.hub.runs.Done():
			return errStopping
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

var errStopping = status.Error(codes.Unavailable, "the gateway stops: watch again")

// readFace reads the face until it succeeds: a service that is being started again is waited for. Where the watcher has
// asked for a sequence that the services do not reach, as after a restore, it is told so.
func (a *api) readFace(ctx context.Context, wearer string, least *gatewayv1.Reflected, asked bool) (*gatewayv1.Face, error) {
	for {
		reading, cancel := context.WithTimeout(ctx, faceTimeout)
		stop := context.AfterFunc(a.hub.runs, cancel) // the services may stop too: none is waited for
		face, err := a.face(reading, wearer, least)
		stop()
		cancel()
		if asked && serve.Reason(err) == serve.ReasonName(gatewayv1.Reason_REASON_SEQ_NOT_REACHED) {
			return nil, err
		}
		switch status.Code(err) {
		case codes.OK:
			return face, nil
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		default:
			return nil, err
		}
		select {
		case <-time.After(retryPause):
		case <-a.hub.runs.Done():
			return nil, errStopping
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// sameFace reports whether two faces show the same, whatever the log has come to.
func sameFace(a, b *gatewayv1.Face) bool {
	if a == nil {
		return false
	}
	seq, reflected := b.GetSeq(), b.GetReflected()
	b.SetSeq(a.GetSeq())
	b.SetReflected(a.GetReflected())
	same := proto.Equal(a, b)
	b.SetSeq(seq)
	b.SetReflected(reflected)
	return same
}

// sendFace sends one face. The transport holds what a watcher has not taken up to a bound; past it, a watcher that
// takes nothing for as long as patience lasts is dropped, which also ends the send.
func sendFace(stream grpc.ServerStreamingServer[gatewayv1.Face], face *gatewayv1.Face, patience time.Duration) error {
	sent := make(chan error, 1)
	go func() { sent <- stream.Send(face) }()
	slow := time.NewTimer(patience)
	defer slow.Stop()
	select {
	case err := <-sent:
		return err
	case <-slow.C:
		return serve.Errorf(codes.ResourceExhausted, gatewayv1.Reason_REASON_SLOW_READER,
			"the watcher has taken nothing for %v: watch again, and read", patience)
	}
}
