package serve

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// calls counts the gRPC calls of one server, streams at their end. Methods that the server does not have reach no
// interceptor, so that callers cannot invent labels.
type calls struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newCalls() *calls {
	return &calls{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pinfold_grpc_calls_total", Help: "gRPC calls that have ended, streams too, by method and status code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pinfold_grpc_call_seconds", Help: "How long gRPC calls took, by method; a stream lasts until it ends.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, maxDeadline.Seconds()},
		}, []string{"method"}),
	}
}

func (c *calls) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.total, c.seconds}
}

func (c *calls) ended(method string, began time.Time, err error) {
	method = strings.TrimPrefix(method, "/")
	c.total.WithLabelValues(method, status.Code(err).String()).Inc()
	c.seconds.WithLabelValues(method).Observe(time.Since(began).Seconds())
}

func (c *calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	began := time.Now()
	resp, err := handler(ctx, req)
	err = short(err)
	c.ended(info.FullMethod, began, err)
	return resp, err
}

func (c *calls) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	began := time.Now()
	err := short(handler(srv, stream))
	c.ended(info.FullMethod, began, err)
	return err
}
