package serve

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
)

// ShowConnection shows the process's connection to NATS: a metric whether there is one, another how often it was made
// again, and a reason while there is none.
func (a *Admin) ShowConnection(nc *nats.Conn) error {
	if a == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pinfold_nats_connected", Help: "1 while there is a connection to NATS.",
		}, func() float64 { return float64(one(nc.IsConnected())) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pinfold_nats_reconnections_total", Help: "How often the connection to NATS was made again.",
		}, func() float64 { return float64(nc.Stats().Reconnects) }),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("metrics of the connection to NATS: %w", err)
		}
	}
	a.AddReasons(func() []string {
		if why := eventlog.Disconnected(nc); why != "" {
			return []string{"NATS: " + why}
		}
		return nil
	})
	return nil
}
