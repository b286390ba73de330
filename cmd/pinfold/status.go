package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"pinfold/internal/file"
	"pinfold/internal/serve"
)

type statusCommand struct {
	Admin   string        `help:"Addresses of the admin listeners to ask, separated by commas. Those that answer are shown." default:"127.0.0.1:7490,127.0.0.1:7491,127.0.0.1:7492,127.0.0.1:7493" placeholder:"HOST:PORT,..."`
	Ready   string        `help:"Only tell by the exit code whether this service serves, 0 or 1, for health checks: gateway, tap, rewards or steps." enum:"gateway,tap,rewards,steps," default:"" placeholder:"SERVICE"`
	Timeout time.Duration `help:"How long the admin listeners may take to answer." default:"3s"`
}

// Validate implements kong.Validatable.
func (c *statusCommand) Validate() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%v: want more than 0", c.Timeout)
	}
	return nil
}

// statusReport is where all processes that answered stand.
type statusReport struct {
	Processes []processStatus `json:"processes"`
	Silent    []string        `json:"silent,omitempty"` // addresses that did not answer
}

// processStatus is what one admin listener answered.
type processStatus struct {
	Admin string `json:"admin"`
	serve.Status
}

const (
	// maxStatus is the largest answer that is read, in bytes.
	maxStatus = 1 << 20
)

// Run fails when no admin listener answers, and when no service serves, or not the one that was asked for.
func (c *statusCommand) Run(s *session) error {
	ctx, cancel := context.WithTimeout(s.ctx, c.Timeout)
	defer cancel()
	report, err := askStatus(ctx, strings.Split(c.Admin, ","))
	if err != nil {
		return err
	}
	if c.Ready != "" {
		return s.printReady(c.Ready, report)
	}
	if s.output == "json" {
		err = s.answer(report)
	} else {
		err = s.printStatus(report)
	}
	if err == nil && !report.serves("") {
		return errors.New("no service serves")
	}
	return err
}

// serves reports whether a service of that name serves in one of the processes; "" = any.
func (r statusReport) serves(name string) bool {
	for _, p := range r.Processes {
		for _, at := range p.Services {
			if at.Serving && (name == "" || at.Name == name) {
				return true
			}
		}
	}
	return false
}

// printReady says whether a service serves; that it does not is an error.
func (s *session) printReady(name string, r statusReport) error {
	ready := r.serves(name)
	if s.output == "json" {
		if err := s.answer(map[string]any{"service": name, "ready": ready}); err != nil {
			return err
		}
	}
	if !ready {
		return fmt.Errorf("%s does not serve", name)
	}
	return nil
}

// askStatus asks all addresses at once. The error is the first address's, when none answers.
func askStatus(ctx context.Context, addresses []string) (statusReport, error) {
	answers := make([]serve.Status, len(addresses))
	errs := make([]error, len(addresses))
	var group errgroup.Group
	for i, address := range addresses {
		addresses[i] = strings.TrimSpace(address)
		group.Go(func() error {
			answers[i], errs[i] = getStatus(ctx, addresses[i])
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	var r statusReport
	for i, address := range addresses {
		if errs[i] != nil {
			r.Silent = append(r.Silent, address)
			continue
		}
		r.Processes = append(r.Processes, processStatus{Admin: address, Status: answers[i]})
	}
	if len(r.Processes) == 0 {
		return r, fmt.Errorf("no admin listener answers at %s (%w): does pinfold run, with --admin there?",
			strings.Join(r.Silent, ", "), errs[0])
	}
	return r, nil
}

func getStatus(ctx context.Context, address string) (status serve.Status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", http.NoBody)
	if err != nil {
		return status, err
	}
	// No proxy, which would not reach this machine, and no connection that outlives the answer.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return status, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return status, fmt.Errorf("%s: %s", address, resp.Status)
	}
	return status, json.NewDecoder(file.Limit(resp.Body, "the answer of "+address, maxStatus)).Decode(&status)
}

func (s *session) printStatus(r statusReport) error {
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "service\tserving\tseq\tsettled\thead\tlag\tepoch\tadmin")
	for _, p := range r.Processes {
		for _, at := range p.Services {
			head, lag := fmt.Sprint(at.Head), fmt.Sprint(at.Lag)
			if p.LogError != "" {
				head, lag = "?", "?"
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%d\t%s\n", at.Name, yesNo(at.Serving), at.Seq, at.Settled, head, lag, at.Epoch, p.Admin)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range r.Processes {
		for _, at := range p.Services {
			s.printNumbers(at)
		}
		s.printReasons(p)
	}
	if len(r.Silent) > 0 {
		fmt.Fprintf(s.stderr, "No answer at %s.\n", strings.Join(r.Silent, ", "))
	}
	return nil
}

// printNumbers prints a service's own numbers in a line.
func (s *session) printNumbers(at serve.ServiceStatus) {
	if len(at.Numbers) == 0 {
		return
	}
	fmt.Fprintf(s.stdout, "%s:", at.Name)
	for _, name := range slices.Sorted(maps.Keys(at.Numbers)) {
		fmt.Fprintf(s.stdout, " %s %d", strings.ReplaceAll(name, "_", " "), at.Numbers[name])
	}
	fmt.Fprintln(s.stdout)
}

// printReasons prints what is said against a process and its services, each in a line.
func (s *session) printReasons(p processStatus) {
	for _, reason := range p.Reasons {
		fmt.Fprintf(s.stdout, "%s: %s\n", p.Admin, reason)
	}
	for _, at := range p.Services {
		for _, reason := range at.Reasons {
			fmt.Fprintf(s.stdout, "%s: %s\n", at.Name, reason)
		}
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
