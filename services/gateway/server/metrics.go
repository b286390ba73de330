package server

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// The outcomes of admission that are no refusals. A refusal is counted under the name of its reason.
const (
	outcomeAccepted        = "accepted"
	outcomeAlreadyAccepted = "already_accepted"
)

func newAdmissions() *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pinfold_admission_total",
		Help: "Statements that were answered: accepted, already_accepted, or the reason for which they were refused.",
	}, []string{"outcome"})
	v.WithLabelValues(outcomeAccepted) // so that both are there from the start, and rates have a zero to begin with
	v.WithLabelValues(outcomeAlreadyAccepted)
	return v
}

func outcome(a *gatewayv1.Answer) string {
	switch a.GetStatus() {
	case gatewayv1.Status_STATUS_ACCEPTED:
		return outcomeAccepted
	case gatewayv1.Status_STATUS_ALREADY_ACCEPTED:
		return outcomeAlreadyAccepted
	}
	return serve.ReasonName(a.GetReason())
}

func newBatches() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "pinfold_committer_batch_statements",
		Help:    "Statements in one batch that the committer sent to the log, stored or not.",
		Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, eventlog.MaxBatch},
	})
}

func gauge[N int | uint64](name, help string, value func() N) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

// metrics are the gateway's own.
func (a *api) metrics() []prometheus.Collector {
	return []prometheus.Collector{
		a.admissions, a.committer.batches, a.time.jumps,
		gauge("pinfold_committer_waiting", "Statements that wait for the log.", a.committer.waits),
		gauge("pinfold_watchers", "Open watches of a face.", a.hub.count),
		gauge("pinfold_writes_stopped_seconds", "For how long no write of this gateway has come back; 0 = none waits for longer than 5 s.", func() int {
			d, _ := a.writes.stopped()
			return int(d.Seconds())
		}),
		replicaMetrics{a.services},
	}
}

// reasons says what is wrong though the gateway serves.
func (a *api) reasons() []string {
	return slices.Concat(a.writes.reasons(), a.time.reasons(), a.services.reasons())
}

// replicaMetrics collects how the replicas of the services stand.
type replicaMetrics struct{ services *services }

var descReplicas = prometheus.NewDesc("pinfold_replicas",
	"Replicas of a service by how they stand, as this gateway sees them: fresh, behind, not_serving or silent.", []string{"of", "standing"}, nil)

// Describe implements prometheus.Collector.
func (m replicaMetrics) Describe(to chan<- *prometheus.Desc) { to <- descReplicas }

// Collect implements prometheus.Collector.
func (m replicaMetrics) Collect(to chan<- prometheus.Metric) {
	for _, r := range m.services.all {
		var n [isSilent + 1]int
		for _, at := range r.standings() {
			n[at]++
		}
		for at, n := range n {
			to <- prometheus.MustNewConstMetric(descReplicas, prometheus.GaugeValue, float64(n), r.service,
				strings.ReplaceAll(standing(at).String(), " ", "_"))
		}
	}
}

// numbers are what /status shows of the gateway.
func (a *api) numbers() map[string]uint64 {
	return map[string]uint64{"watchers": uint64(a.hub.count()), "statements_waiting": uint64(a.committer.waits())}
}

// waits returns how many statements wait for the log, those of the batch that is being stored not counted.
func (c *committer) waits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// count returns how many watchers there are.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, watchers := range h.watchers {
		n += len(watchers)
	}
	return n
}
