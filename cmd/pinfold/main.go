// Command pinfold is the whole of Pinfold in one binary: every service, the crowd that exercises them, and the demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"pinfold/internal/eventlog"
	"pinfold/internal/fold"
	"pinfold/internal/notary"
	"pinfold/internal/view"
	gateway "pinfold/services/gateway/server"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDiverged = 3 // a view, a replica, a key and the log do not agree, or are damaged: look before you start it again
	exitBroken   = 4 // an audit found that a log, an archive or a certificate does not hold
)

const description = `The system behind a digital pin for the Games.

Every flag is also an environment variable, PINFOLD_ and its name in capitals: PINFOLD_DATA for --data. Not so the flags
that decide what an audit finds.
Results go to standard output, everything else to standard error. With --output json, a command prints one object:
services when they serve, all others at their end; one that failed without another answer prints {"error": ...}.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a view, a replica, a key and the log do not agree, or are
damaged, 4 an audit found that a log, an archive or a certificate does not hold. Where several are true, 4 comes
before 3, and 3 before 1.

Examples:
  pinfold demo                                  everything in one process, with a small crowd
  pinfold up --data games                       the services in one process, to be kept
  pinfold crowd --contacts contacts.dat.gz      replay who met whom through a running gateway
  pinfold tap --nats nats://127.0.0.1:4222      one service of a cluster`

// CLI is the command line.
type CLI struct {
	Output      string `help:"How results are printed: ${enum}." enum:"table,json" default:"table"`
	LogLevel    string `help:"What is logged: ${enum}." enum:"debug,info,warn,error" default:"info"`
	PrintConfig bool   `help:"Print every flag of the command, its value and where that came from, and do nothing else." env:"-"`

	Up      upCommand      `cmd:"" help:"Run all services in one process, with the log embedded."`
	Gateway gatewayCommand `cmd:"" help:"Run a gateway against a NATS cluster."`
	Tap     tapCommand     `cmd:"" help:"Run a tap service against a NATS cluster."`
	Rewards rewardsCommand `cmd:"" help:"Run a rewards service against a NATS cluster."`
	Steps   stepsCommand   `cmd:"" help:"Run a steps service against a NATS cluster."`
	Try     tryCommand     `cmd:"" help:"Let two new pins tap through a running gateway, and show what each gets back."`
	Status  statusCommand  `cmd:"" help:"Show where the services that run stand."`
	Crowd   crowdCommand   `cmd:"" help:"Let simulated people with pins and phones meet, through a running gateway."`
	Demo    demoCommand    `cmd:"" help:"Run all services and a crowd in one process."`
	Pin     pinCommand     `cmd:"" help:"Run the pin's firmware on this machine, and do to a running pin what a person does."`
	Bridge  bridgeCommand  `cmd:"" help:"Be the phone of a running pin: pair it, deliver what it holds, bring time and face."`
	Rules   rulesCommand   `cmd:"" help:"Check a file of rules, or show rules."`
	Audit   auditCommand   `cmd:"" help:"Export the log, and prove that every medal was earned."`

	CheckpointKeys checkpointKeysCommand `cmd:"" help:"Show the keys with which gateways sign checkpoints, and remove one."`

	Version    versionCommand    `cmd:"" help:"Show of what this program was built."`
	Completion completionCommand `cmd:"" help:"Print a script that completes commands, flags and their values in a shell."`
	Complete   candidatesCommand `cmd:"" hidden:"" help:"What the scripts of completion ask."`
}

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is, and stays so
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	// Without this, the first word into a pipe that nobody reads any more kills the process before it has cleaned up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// session is what every command is run with.
type session struct {
	ctx    context.Context //nolint:containedctx // it lives as long as the command
	stdout io.Writer
	stderr io.Writer
	screen io.Writer // standard error as it is, for what draws on a terminal and prints nothing that came from outside
	output string
	logger *slog.Logger

	answered bool // in JSON
}

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli CLI
	exited := -1
	raw := stderr
	stdout, stderr = &plainWriter{to: stdout}, &plainWriter{to: stderr}
	parser, err := newParser(&cli, stdout, stderr, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintln(stderr, "pinfold:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // help was asked for
	}
	if group := undecided(err); group != nil {
		_ = group.PrintUsage(false)
		return exitOK
	}
	if err == nil {
		err = checkAddresses(command)
	}
	if err != nil {
		err = shortened{err}
		fmt.Fprintf(stderr, "pinfold: %v\nTry pinfold --help.\n", err)
		if wantsJSON(args) {
			_ = (&session{stdout: stdout}).answer(failure{Error: err.Error(), Exit: exitUsage})
		}
		return exitUsage
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(cli.LogLevel)) // one of the enum
	s := &session{
		ctx: ctx, stdout: stdout, stderr: stderr, screen: raw, output: cli.Output,
		logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
	work := func() error { return command.Run(s, parser) }
	if cli.PrintConfig {
		work = func() error { return s.printConfig(command) }
	}
	if err = work(); err != nil {
		err = shortened{err}
	}
	s.answerEnd(err)
	if err != nil {
		if !unread(err) {
			fmt.Fprintln(stderr, "pinfold:", err)
		}
		return exitCode(err)
	}
	return exitOK
}

func newParser(cli *CLI, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli, kong.Name("pinfold"), kong.Description(description), kong.DefaultEnvars("PINFOLD"),
		kong.Writers(stdout, stderr), kong.Exit(exit), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), variables())
}

// variables are the defaults that the flags name.
func variables() kong.Vars {
	limits := gateway.DefaultLimits()
	return kong.Vars{
		"tolerance": limits.Tolerance.String(), "pin_rate": fmt.Sprint(limits.Rate), "pin_burst": fmt.Sprint(limits.Burst),
		"caller_rate": fmt.Sprint(limits.CallerRate), "caller_burst": fmt.Sprint(limits.CallerBurst),
		"checkpoint_every": fmt.Sprint(gateway.DefaultEvery),
	}
}

// undecided returns the command line if all that is wrong with it is that it ends before a command was chosen, as `pinfold`
// and `pinfold audit` do: whoever types that asks what there is.
func undecided(err error) *kong.Context {
	wrong, ok := errors.AsType[*kong.ParseError](err)
	if !ok || !strings.HasPrefix(wrong.Error(), "expected ") {
		return nil
	}
	if node := wrong.Context.Selected(); node != nil && len(node.Children) == 0 {
		return nil // it is an argument that is missing
	}
	return wrong.Context
}

// exitCode returns the worst that an error says: that a log does not hold, which nothing that is done to a folder mends; that
// what is in a folder does not agree with it; and only then that something failed, such as to print the one or the other.
func exitCode(err error) int {
	if isBroken(err) {
		return exitBroken
	}
	var diverged *fold.DivergedError
	var misfit *fold.MisfitError
	var rewritten *eventlog.RewrittenError
	var damaged *view.DamagedError
	var other *view.FormatError
	var key *notary.KeyError
	if errors.As(err, &diverged) || errors.As(err, &misfit) || errors.As(err, &rewritten) || errors.As(err, &damaged) ||
		errors.As(err, &other) || errors.As(err, &key) {
		return exitDiverged
	}
	if errors.Is(err, eventlog.ErrGap) { // of a log that is served; one that is audited is broken
		return exitDiverged
	}
	return exitFailed
}
