package serve

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"pinfold/internal/fact"
)

// seqHeader is the header of a health answer that holds the sequence up to which the service has folded the log: who has
// several replicas to choose from learns with one question whether one answers, and whether it is behind.
const seqHeader = "pinfold-seq"

// healthServer is the standard health service, which says where the fold stands as well.
type healthServer struct {
	*health.Server
	folded func() fact.Seq // nil = the service has no fold
}

// Check implements grpc_health_v1.HealthServer.
func (h *healthServer) Check(ctx context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if h.folded != nil {
		_ = grpc.SetHeader(ctx, metadata.Pairs(seqHeader, h.folded().String())) // outside of a call there is no header
	}
	return h.Server.Check(ctx, req)
}

// Health is what a service says of itself.
type Health struct {
	Serving bool
	Seq     fact.Seq // every fact up to it is folded; 0 = the service does not say
}

// AskHealth asks the service at the other end of the connection how it is.
func AskHealth(ctx context.Context, conn grpc.ClientConnInterface) (Health, error) {
	var header metadata.MD
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
	if err != nil {
		return Health{}, err
	}
	h := Health{Serving: answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING}
	if said := header.Get(seqHeader); len(said) > 0 {
		seq, err := strconv.ParseUint(said[0], 10, 64)
		if err != nil {
			return Health{}, fmt.Errorf("health: header %s: %.80q: want a sequence", seqHeader, said[0])
		}
		h.Seq = fact.Seq(seq)
	}
	return h, nil
}
