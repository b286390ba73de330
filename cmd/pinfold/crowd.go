package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"pinfold/crowd"
)

// crowdFlags say who meets whom.
type crowdFlags struct {
	Contacts string  `help:"File of contacts as SocioPatterns and others publish them (lines: t i j ...), plain or gzip. Without it, a small crowd is made up." type:"existingfile" placeholder:"FILE"`
	People   int     `help:"People in the crowd that is made up." default:"400"`
	Days     int     `help:"Days in the crowd that is made up." default:"2"`
	Phones   string  `help:"How phones behave: ${enum}. Perfect ones deliver their own pin's statements once; real ones are offline, late, out of order, repeat themselves, and carry both halves." enum:"perfect,real" default:"perfect"`
	Seed     uint64  `help:"Of keys, wearers, nonces and habits: with the same seed, contacts and phones a second visit repeats the first." default:"1"`
	Times    int     `help:"How often each upload is delivered." default:"1"`
	Speed    float64 `help:"How many times as fast as real time the days go by; 0 is as fast as they can." default:"0"`
}

// Validate implements kong.Validatable.
func (f crowdFlags) Validate() error {
	if f.People < 2 || f.People > 100_000 {
		return fmt.Errorf("--people=%d: want 2 to 100,000", f.People)
	}
	if f.Days < 1 || f.Days > 31 {
		return fmt.Errorf("--days=%d: want 1 to 31", f.Days)
	}
	if f.Times < 1 || f.Times > 100 {
		return fmt.Errorf("--times=%d: want 1 to 100", f.Times)
	}
	if !(f.Speed >= 0 && f.Speed <= 1_000_000) { // NaN is neither
		return fmt.Errorf("--speed=%v: want 0 to 1000000", f.Speed)
	}
	return nil
}

func (f crowdFlags) contacts() (crowd.Contacts, error) {
	if f.Contacts == "" {
		return crowd.Synthetic(f.People, f.Days, f.Seed), nil
	}
	return crowd.ReadContacts(f.Contacts)
}

type crowdCommand struct {
	crowdFlags
	Gateway string `help:"Address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
}

func (c *crowdCommand) Run(s *session) error {
	contacts, err := c.contacts()
	if err != nil {
		return err
	}
	summary, err := s.play(s.ctx, c.Gateway, contacts, c.crowdFlags, nil, s.bar())
	if err != nil {
		return err
	}
	return s.printSummary(summary)
}

// terminal reports whether standard error is a terminal.
func (s *session) terminal() bool {
	f, ok := s.screen.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalSize returns the columns and rows of standard error; 0 where they are not known.
func (s *session) terminalSize() (columns, rows int) {
	f, ok := s.screen.(*os.File)
	if !ok {
		return 0, 0
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// bar returns what draws a progress bar, or nil where there is no terminal.
func (s *session) bar() func(answered, total int) {
	if !s.terminal() {
		return nil
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(s.screen), progressbar.OptionShowCount(),
		progressbar.OptionSetDescription("statements"), progressbar.OptionShowIts(), progressbar.OptionSetItsString("statements"),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	var once sync.Once
	return func(answered, total int) {
		once.Do(func() { bar.ChangeMax(total) })
		_ = bar.Set(answered)
	}
}

// play lets a crowd meet through a gateway. It waits for one that does not answer, and says so.
func (s *session) play(ctx context.Context, gateway string, contacts crowd.Contacts, f crowdFlags, enrolled, progress func(n, total int)) (crowd.Summary, error) {
	conn, err := dialPlain(gateway)
	if err != nil {
		return crowd.Summary{}, err
	}
	defer conn.Close()
	waits := &waiting{w: s.stderr, gateway: gateway}
	if err := serves(ctx, conn); err != nil && ctx.Err() == nil {
		waits.say(err)
	}
	summary, err := crowd.New(crowd.Config{
		Gateway: conn, Contacts: contacts, Phones: crowd.Phones(f.Phones), Seed: f.Seed, Times: f.Times, Speed: f.Speed,
		Enrolled: enrolled, Progress: progress, Failed: waits.say,
	}).Play(ctx)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return summary, err
}

// servesTimeout is how long a gateway may be silent before that is said.
const servesTimeout = 2 * time.Second

// serves returns an error unless a gateway answers that it serves.
func serves(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(ctx, servesTimeout)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("it is %v", answer.GetStatus())
	}
	return err
}

// waiting says that a gateway does not answer, at most each sayAgain.
type waiting struct {
	w       io.Writer
	gateway string

	mu   sync.Mutex
	said time.Time
}

const sayAgain = 10 * time.Second

func (w *waiting) say(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.said) < sayAgain {
		return
	}
	w.said = time.Now()
	fmt.Fprintf(w.w, "The gateway at %s does not answer, and is waited for: %v\n", w.gateway, err)
}

func (s *session) printSummary(sum crowd.Summary) error {
	if s.output == "json" {
		return s.answer(sum)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "people\t%d\n", sum.People)
	fmt.Fprintf(w, "taps\t%d\n", sum.Taps)
	fmt.Fprintf(w, "friendships\t%d\n", sum.Friendships)
	fmt.Fprintf(w, "medals\t%d bronze, %d silver, %d gold\n", sum.Medals.Bronze, sum.Medals.Silver, sum.Medals.Gold)
	fmt.Fprintf(w, "backgrounds\t%d\n", sum.Backgrounds)
	fmt.Fprintf(w, "complete collections\t%d\n", sum.CompleteCollections)
	fmt.Fprintf(w, "halves\t%d, of which %d duplicates and %d refused\n", sum.Halves, sum.Duplicates, sum.Refused)
	fmt.Fprintf(w, "not admitted\t%d\n", sum.NotAdmitted)
	if sum.SelfContacts > 0 {
		fmt.Fprintf(w, "skipped\t%d lines of contacts in which a badge met itself\n", sum.SelfContacts)
	}
	fmt.Fprintf(w, "seconds\t%.2f\n", sum.Seconds)
	fmt.Fprintf(w, "halves per second\t%.0f\n", sum.HalvesPerSecond)
	return w.Flush()
}
