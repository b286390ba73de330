package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	"pinfold/services/gateway"
)

// operator serves OperatorService.
type operator struct {
	gatewayv1.UnimplementedOperatorServiceServer
	api *api
}

// RegisterPins implements OperatorService.
func (o *operator) RegisterPins(ctx context.Context, req *gatewayv1.RegisterPinsRequest) (*gatewayv1.RegisterPinsResponse, error) {
	pins := req.GetPins()
	if len(pins) > eventlog.MaxBatch {
		return nil, serve.Errorf(codes.InvalidArgument, gatewayv1.Reason_REASON_UPLOAD_TOO_LARGE,
			"pins: %d: at most %d in one request", len(pins), eventlog.MaxBatch)
	}
	ids := make([]fact.PinID, len(pins))
	keys := make([]fact.PublicKey, len(pins))
	for i, p := range pins {
		var err error
		if ids[i], err = fact.ParsePinID(p.GetPin()); err != nil {
			return nil, serve.Malformed(fmt.Sprintf("pins[%d]", i), err)
		}
		if n := len(p.GetPublicKey()); n != len(keys[i]) {
			return nil, serve.Malformed(fmt.Sprintf("pins[%d].public_key", i), fmt.Errorf("%d bytes: want %d", n, len(keys[i])))
		}
		keys[i] = fact.PublicKey(p.GetPublicKey())
	}
	seq, written, err := o.api.roster.write(ctx, func(r kv.Reader) ([]fact.Fact, error) {
		return gateway.Register(r, ids, keys)
	})
	if err != nil {
		return nil, refusalError(err)
	}
	return gatewayv1.RegisterPinsResponse_builder{Seq: uint64(seq), Registered: uint32(written)}.Build(), nil
}
