package serve

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
	"pinfold/internal/fold"
	"pinfold/internal/view"
)

// Status is where the services of one process stand.
type Status struct {
	Services []ServiceStatus `json:"services"`
	// LogError says why the end of the log is not known: Head and Lag are then as of when it last was.
	LogError string `json:"log_error,omitempty"`
	// Reasons are what is said against the process as a whole. That the log does not answer is one.
	Reasons []string `json:"reasons,omitempty"`
}

// ServiceStatus is where one service stands. Sequences are those of the log, 0 = none yet.
type ServiceStatus struct {
	Name    string `json:"name"`
	Serving bool   `json:"serving"`
	Epoch   uint32 `json:"epoch"`   // of the log
	Seq     uint64 `json:"seq"`     // every fact up to it is folded
	Settled uint64 `json:"settled"` // all that follows from the facts up to it is in the log
	Head    uint64 `json:"head"`    // the last fact of the log
	Lag     uint64 `json:"lag"`     // facts that are not folded yet
	// Numbers are the service's own, by name.
	Numbers map[string]uint64 `json:"numbers,omitempty"`
	// Reasons are what is said against the service.
	Reasons []string `json:"reasons,omitempty"`
}

// Status returns where the services stand, in the order in which OpenAdmin was given them. A service that does not run, or
// still waits for the log, has a name only.
func (a *Admin) Status() Status {
	head, err := a.logEnd()
	a.mu.RLock()
	defer a.mu.RUnlock()
	var s Status
	if err != nil {
		s.LogError = err.Error()
		s.Reasons = append(s.Reasons, "the log does not answer: "+s.LogError)
	}
	for _, reasons := range a.process {
		s.Reasons = append(s.Reasons, reasons()...)
	}
	for _, name := range a.expected {
		s.Services = append(s.Services, a.statusOf(name, head))
	}
	return s
}

// statusOf returns where the service stands. The caller holds a.mu.
func (a *Admin) statusOf(name string, head eventlog.Head) ServiceStatus {
	at := ServiceStatus{Name: name, Serving: a.serving(name)}
	s := a.shown[name]
	if s == nil {
		return at
	}
	p := s.runner.Progress()
	at.Epoch, at.Seq, at.Settled = head.Epoch, uint64(p.Seq), uint64(p.Settled)
	at.Head = uint64(max(head.Last, p.Seq)) // the fold may have come further since the log was asked
	at.Lag = at.Head - at.Seq
	if s.numbers != nil {
		at.Numbers = s.numbers()
	}
	if s.reasons != nil {
		at.Reasons = s.reasons()
	}
	if progress, ok := s.rebuild.progress(p.Seq); ok && !at.Serving {
		at.Reasons = append(at.Reasons, progress.String())
	}
	return at
}

// ViewDigest is what the view of one service was at one sequence of the log.
type ViewDigest struct {
	Service string      `json:"service"`
	Epoch   uint32      `json:"epoch"` // of the log; 0 = nothing is folded yet
	Seq     fact.Seq    `json:"seq"`   // every fact up to it was folded, and no other
	Digest  view.Digest `json:"digest"`
}

// Digests reads the whole view of each service that runs, in the order in which OpenAdmin was given them; see
// fold.Runner.Snapshot.
func (a *Admin) Digests() ([]ViewDigest, error) {
	digests := []ViewDigest{}
	for _, name := range a.expected {
		at, running, err := a.snapshot(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if running {
			digests = append(digests, ViewDigest{Service: name, Epoch: at.Epoch, Seq: at.Seq, Digest: at.Digest})
		}
	}
	return digests, nil
}

func (a *Admin) snapshot(name string) (at fold.Snapshot, running bool, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := a.shown[name]
	if s == nil {
		return at, false, nil
	}
	at, err = s.runner.Snapshot()
	return at, true, err
}

const (
	// headAge is how long the log's answer about its end is used, so that looking costs the log nothing.
	headAge = time.Second
	// headTimeout is how long the log may take to answer. Probes ask for readiness with a deadline of a second.
	headTimeout = 500 * time.Millisecond
)

// logEnd is the log's last answer about its end.
type logEnd struct {
	mu    sync.Mutex // held while the log is asked: the others wait for the same answer
	asked time.Time
	head  eventlog.Head
	err   error
}

// logEnd returns the end of the log as it was at most headAge ago, the zero Head while no service runs. On an error it is
// the last one that was known.
func (a *Admin) logEnd() (eventlog.Head, error) {
	log := a.anyLog()
	if log == nil {
		return eventlog.Head{}, nil
	}
	end := &a.head
	end.mu.Lock()
	defer end.mu.Unlock()
	if time.Since(end.asked) < headAge {
		return end.head, end.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), headTimeout) // all who wait get the answer, whoever asked
	defer cancel()
	head, err := log.Head(ctx)
	if err == nil {
		end.head = head
	}
	end.asked, end.err = time.Now(), err
	return end.head, end.err
}

// anyLog returns the log as one of the services reads it, all the same one, or nil while none does.
func (a *Admin) anyLog() eventlog.Log {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, s := range a.shown {
		return s.log
	}
	return nil
}

// foldMetrics collects at each scrape what Status says, and the sizes of the views.
type foldMetrics struct{ admin *Admin }

func serviceMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"service"}, nil)
}

var (
	descServing = serviceMetric("pinfold_serving", "1 while the service serves, 0 before and after.")
	descSeq     = serviceMetric("pinfold_fold_seq", "The sequence of the log up to which every fact is folded.")
	descSettled = serviceMetric("pinfold_fold_settled_seq", "The sequence of the log up to which all that follows from the facts is in the log.")
	descLag     = serviceMetric("pinfold_fold_lag", "Facts of the log that are not folded yet.")
	descView    = serviceMetric("pinfold_view_bytes", "Size of the file of the view.")
	descReasons = serviceMetric("pinfold_reasons", "How much /readyz says against the service.")
	descAnswers = prometheus.NewDesc("pinfold_log_answers", "1 while the log says where it ends, else 0: the head and the lag are not known then.", nil, nil)
	descHead    = prometheus.NewDesc("pinfold_log_head_seq", "The sequence of the last fact of the log, at most a second old.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m foldMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descServing, descSeq, descSettled, descLag, descView, descReasons, descAnswers, descHead} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m foldMetrics) Collect(to chan<- prometheus.Metric) {
	head, err := m.admin.logEnd()
	if err != nil || head.Epoch > 0 {
		to <- gauge(descAnswers, one(err == nil))
	}
	if err == nil && head.Last > 0 {
		to <- gauge(descHead, uint64(head.Last))
	}
	m.admin.mu.RLock()
	defer m.admin.mu.RUnlock()
	for _, name := range m.admin.expected {
		at := m.admin.statusOf(name, head)
		to <- gauge(descServing, one(at.Serving), name)
		if s := m.admin.shown[name]; s != nil {
			to <- gauge(descSeq, at.Seq, name)
			to <- gauge(descSettled, at.Settled, name)
			to <- gauge(descReasons, uint64(len(at.Reasons)), name)
			if err == nil { // a lag behind an end that is old would look like none
				to <- gauge(descLag, at.Lag, name)
			}
			if info, err := os.Stat(s.view); err == nil {
				to <- gauge(descView, uint64(info.Size()), name)
			}
		}
	}
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func gauge(d *prometheus.Desc, value uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
}
