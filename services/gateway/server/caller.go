package server

import (
	"context"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// caller is who is at the other end of a connection, and how many bad signatures it may yet bring. It lives as long as the
// context of the connection, and nothing else refers to it.
type caller struct{ bad *rate.Limiter }

func newCaller(l Limits) *caller {
	return &caller{bad: rate.NewLimiter(rate.Limit(l.CallerRate), l.CallerBurst)}
}

// Allowed implements gateway.Caller. Good signatures take nothing, however many phones share the connection and however
// many are checked at once.
func (c *caller) Allowed() bool { return c.bad.Tokens() >= 1 }

// Failed implements gateway.Caller. Of what is checked at once, more may fail than was allowed: then it is in debt.
func (c *caller) Failed() { c.bad.ReserveN(time.Now(), 1) }

// connections gives each connection of a gRPC server its caller.
type connections struct{ limits Limits }

type callerKey struct{}

// TagConn implements stats.Handler. The contexts of all calls over the connection come of the one that it returns.
func (c connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, callerKey{}, newCaller(c.limits))
}

// HandleConn implements stats.Handler.
func (connections) HandleConn(context.Context, stats.ConnStats) {}

// TagRPC implements stats.Handler.
func (connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (connections) HandleRPC(context.Context, stats.RPCStats) {}

// options are those of a gRPC server that serves the API.
func (a *api) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StatsHandler(connections{a.config.Limits})}
}

// caller returns who makes the call with the context.
func (a *api) caller(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return a.nobody
}
