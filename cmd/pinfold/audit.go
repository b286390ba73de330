package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/schollz/progressbar/v3"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

type auditCommand struct {
	Export      auditExportCommand      `cmd:"" help:"Write the log to one archive file, for which an auditor needs no NATS."`
	Checkpoint  auditCheckpointCommand  `cmd:"" help:"Fetch a signed checkpoint of the log from a gateway, and hold it against those that were kept."`
	Certificate auditCertificateCommand `cmd:"" help:"Write what proves an award of a wearer to anybody, offline."`
	Check       auditCheckCommand       `cmd:"" help:"Check a certificate, offline."`
	Explain     auditExplainCommand     `cmd:"" help:"Tell how an award was earned: which taps, when, and by which halves."`
	Verify      auditVerifyCommand      `cmd:"" help:"Replay an archive or the log, and report everything that does not hold."`

	WhatIf      auditWhatIfCommand      `cmd:"" name:"whatif" help:"Show who would gain or lose what under other rules."`
	Leaderboard auditLeaderboardCommand `cmd:"" help:"Show the leaderboard as it was at any point of the log."`
	Wearer      auditWearerCommand      `cmd:"" help:"Show what there was of a wearer at any point of the log."`
	Compare     auditCompareCommand     `cmd:"" help:"Show where two archives of the same Games first disagree, and how."`
}

// logFlags say which log a command reads.
type logFlags struct {
	Data  string `help:"Folder of a pinfold up that does not run, whose log is read." default:"pinfold-data" type:"path"`
	NATS  string `name:"nats" help:"URLs of the servers of the NATS cluster whose log is read, instead of that in a folder, separated by commas. PINFOLD_NATS is not read: it must not stand in the place of --data." env:"-" placeholder:"URL,..."`
	Games string `help:"The Games: 1 to 32 of a-z, 0-9 and -." default:"tokyo2020"`
}

// Validate implements kong.Validatable.
func (f logFlags) Validate() error { return eventlog.CheckGames(f.Games) }

// open opens the log, which is only read, until closeLog is called.
func (f logFlags) open(s *session) (log eventlog.Log, closeLog func(), err error) {
	nc, closeLog, err := f.connect(s)
	if err != nil {
		return nil, nil, err
	}
	found, err := eventlog.Open(s.ctx, nc, f.Games)
	if err != nil {
		closeLog()
		return nil, nil, interrupted(err)
	}
	return found, closeLog, nil
}

// connect connects to where the log is.
func (f logFlags) connect(s *session) (*nats.Conn, func(), error) {
	if f.NATS != "" {
		return f.openCluster(s)
	}
	return f.openFolder(s)
}

func (f logFlags) openCluster(s *session) (*nats.Conn, func(), error) {
	nc, err := eventlog.Connect(f.NATS, "pinfold audit", false, quiet(s))
	if err != nil {
		return nil, nil, fmt.Errorf("NATS at %s: %w", withoutSecrets(f.NATS), err)
	}
	return nc, nc.Close, nil
}

// openFolder starts a NATS server of its own on the folder, which no other pinfold may use meanwhile.
func (f logFlags) openFolder(s *session) (*nats.Conn, func(), error) {
	folder := filepath.Join(f.Data, "log")
	if _, err := os.Stat(filepath.Join(folder, "jetstream")); err != nil {
		return nil, nil, fmt.Errorf("no log in %s: %w", f.Data, err)
	}
	embedded, err := eventlog.StartEmbedded(folder, 0, quiet(s))
	if err != nil {
		return nil, nil, err
	}
	nc, err := embedded.Connect()
	if err != nil {
		embedded.Stop()
		return nil, nil, err
	}
	return nc, func() { nc.Close(); embedded.Stop() }, nil
}

type auditExportCommand struct {
	logFlags
	newFile
}

// exported is what an export wrote.
type exported struct {
	File    string   `json:"file"`
	Games   string   `json:"games"`
	Epoch   uint32   `json:"epoch"`
	Facts   uint64   `json:"facts"`
	LastSeq fact.Seq `json:"last_seq"` // 0 = the log is empty
	Bytes   int64    `json:"bytes"`    // of the file
	SHA256  string   `json:"sha256"`   // of the file, as hex
}

func (c *auditExportCommand) Run(s *session) error {
	if err := c.checkFree(); err != nil {
		return err
	}
	log, closeLog, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeLog()
	head, messages, err := audit.FromLog(s.ctx, log)
	if err != nil {
		return interrupted(err)
	}
	result := exported{File: c.Out, Games: c.Games, Epoch: head.Epoch, Facts: uint64(head.Last), LastSeq: head.Last}
	err = c.make(func(w io.Writer) error {
		m := &measure{w: w, sum: sha256.New()}
		err := writeArchive(m, audit.Header{Games: c.Games, Epoch: head.Epoch, First: 1, Kept: head.Kept, CreatedBy: version()},
			withProgress(messages, s.factsBar("exported", head.Last)))
		result.Bytes, result.SHA256 = m.bytes, hex.EncodeToString(m.sum.Sum(nil))
		return err
	})
	if err != nil {
		return interrupted(err)
	}
	return s.printExported(result)
}

func writeArchive(to io.Writer, h audit.Header, messages iter.Seq2[eventlog.Message, error]) error {
	buffered := bufio.NewWriter(to)
	w, err := audit.NewWriter(buffered, h)
	if err != nil {
		return err
	}
	for m, err := range messages {
		if err != nil {
			return err
		}
		if err := w.Write(m); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// measure counts and hashes what is written through it.
type measure struct {
	w     io.Writer
	bytes int64
	sum   hash.Hash // SHA-256
}

func (m *measure) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.bytes += int64(n)
	m.sum.Write(p[:n])
	return n, err
}

// barEvery is how many facts pass between two looks at a progress bar.
const barEvery = 1000

// withProgress passes messages on and reports how many have passed; a nil progress is none.
func withProgress(messages iter.Seq2[eventlog.Message, error], progress func(done int)) iter.Seq2[eventlog.Message, error] {
	if progress == nil {
		return messages
	}
	return func(yield func(eventlog.Message, error) bool) {
		done := 0
		defer func() { progress(done) }()
		for m, err := range messages {
			if !yield(m, err) {
				return
			}
			if done++; done%barEvery == 0 {
				progress(done)
			}
		}
	}
}

// factsBar returns what draws a progress bar, or nil where there is no terminal.
func (s *session) factsBar(what string, total fact.Seq) func(done int) {
	if !s.terminal() {
		return nil
	}
	bar := progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(s.screen), progressbar.OptionShowCount(),
		progressbar.OptionSetDescription(what), progressbar.OptionShowIts(), progressbar.OptionSetItsString("facts"),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(done int) { _ = bar.Set(done) }
}

func (s *session) printExported(e exported) error {
	if s.output == "json" {
		return s.answer(e)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "file\t%s\n", e.File)
	fmt.Fprintf(w, "games\t%s, epoch %d\n", e.Games, e.Epoch)
	fmt.Fprintf(w, "facts\t%d\n", e.Facts)
	fmt.Fprintf(w, "last sequence\t%d\n", e.LastSeq)
	fmt.Fprintf(w, "bytes\t%d\n", e.Bytes)
	fmt.Fprintf(w, "SHA-256\t%s\n", e.SHA256)
	return w.Flush()
}

// version names this program, as an archive carries it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "pinfold " + info.Main.Version
	}
	return "pinfold"
}

// interrupted says in one word that the command was ended from outside.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}
