package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"text/tabwriter"

	"golang.org/x/mod/sumdb/note"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/file"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	logv1 "pinfold/proto/pinfold/log/v1"
)

// awardFlags name an award of a wearer.
type awardFlags struct {
	Wearer     string `help:"Whose award it is: 26 base32 characters." env:"-" required:"" placeholder:"WEARER"`
	Medal      string `help:"The medal: bronze, silver or gold." env:"-" placeholder:"MEDAL"`
	Background string `help:"Or the background: a sport's id." env:"-" placeholder:"SPORT"`
}

// award returns the wearer and the award.
func (f awardFlags) award() (w fact.WearerID, what evidence.Award, err error) {
	if w, err = fact.ParseWearerID(f.Wearer); err != nil {
		return w, what, fmt.Errorf("--wearer: %w", err)
	}
	if (f.Medal == "") == (f.Background == "") {
		return w, what, errors.New("want --medal or --background, one of the two")
	}
	if what, err = evidence.ParseAward(f.Medal + f.Background); err != nil {
		return w, what, err
	}
	if f.Medal != "" && what.Medal == 0 {
		return w, what, fmt.Errorf("--medal %.80q: want bronze, silver or gold", f.Medal)
	}
	return w, what, nil
}

// errNotAwarded says so in the words of the command line.
func (f awardFlags) notAwarded() error {
	return fmt.Errorf("wearer %s was not given %s%s", f.Wearer, f.Medal, f.Background)
}

type auditExplainCommand struct {
	sourceFlags
	awardFlags
	scratchFlags
}

// Validate implements kong.Validatable.
func (c *auditExplainCommand) Validate() error {
	_, _, err := c.award()
	return errors.Join(err, c.sourceFlags.Validate())
}

// Run prints how the award was earned.
func (c *auditExplainCommand) Run(s *session) error {
	w, what, err := c.award()
	if err != nil {
		return err
	}
	x, err := c.index(s, c.Scratch)
	if err != nil {
		return err
	}
	defer x.close()
	found, err := evidence.Collect(s.ctx, x.view, x.at, w, what)
	if errors.Is(err, evidence.ErrNotAwarded) {
		return c.notAwarded()
	}
	if err != nil {
		return audited(err)
	}
	story := evidence.Explain(found)
	if s.output == "json" {
		return s.answer(story)
	}
	return story.Write(s.stdout)
}

type auditCertificateCommand struct {
	awardFlags
	newFile
	scratchFlags
	Short bool `help:"Leave out how the award was earned: nothing is disclosed of the wearer's friends." env:"-"`

	Gateway    string  `help:"Address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
	Archive    string  `help:"Make it from this archive instead, under a checkpoint that was kept." env:"-" type:"existingfile" placeholder:"FILE"`
	Checkpoint string  `help:"With --archive: file of checkpoints of its log." env:"-" type:"existingfile" placeholder:"FILE"`
	Key        keyFlag `name:"checkpoint-key" sep:"none" help:"With --archive: public key of a gateway, or a file of such keys. May be given again." env:"-" placeholder:"KEY"`
}

// Validate implements kong.Validatable.
func (c *auditCertificateCommand) Validate() error {
	switch given := c.Checkpoint != "" && len(c.Key) > 0; {
	case c.Archive == "" && c.Checkpoint != "":
		return errors.New("--checkpoint says what an archive is held against, and a gateway signs its own: give --archive too")
	case c.Archive != "" && !given:
		return errors.New("--archive: want --checkpoint and --checkpoint-key too: a certificate needs a signed checkpoint")
	}
	_, _, err := c.award()
	return errors.Join(err, c.Key.check(), checkAddress("--gateway", c.Gateway))
}

// Run writes the certificate.
func (c *auditCertificateCommand) Run(s *session) error {
	w, what, err := c.award()
	if err != nil {
		return err
	}
	if err := c.checkFree(); err != nil {
		return err
	}
	issue := c.fromGateway
	if c.Archive != "" {
		issue = c.fromArchive
	}
	certificate, err := issue(s, w, what)
	if err != nil {
		return audited(err)
	}
	if err := c.make(func(w io.Writer) error { _, err := w.Write(certificate); return err }); err != nil {
		return err
	}
	if s.output == "json" {
		return s.answer(map[string]any{"file": c.Out, "bytes": len(certificate)})
	}
	_, err = fmt.Fprintf(s.stdout, "%s  %d bytes\n", c.Out, len(certificate))
	return err
}

func (c *auditCertificateCommand) fromGateway(s *session, w fact.WearerID, what evidence.Award) ([]byte, error) {
	conn, err := dialPlain(c.Gateway)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := gatewayv1.GetCertificateRequest_builder{Wearer: w.String(), ShortForm: c.Short}
	if what.Medal != 0 {
		request.Medal = logv1.Medal(what.Medal).Enum()
	} else {
		request.Background = &what.Background
	}
	answer, err := gatewayv1.NewAuditServiceClient(conn).GetCertificate(s.ctx, request.Build())
	if err != nil {
		return nil, fmt.Errorf("gateway at %s: %w", c.Gateway, err)
	}
	return answer.GetCertificate(), nil
}

func (c *auditCertificateCommand) fromArchive(s *session, w fact.WearerID, what evidence.Award) ([]byte, error) {
	x, err := sourceFlags{File: c.Archive}.index(s, c.Scratch)
	if err != nil {
		return nil, err
	}
	defer x.close()
	found, err := evidence.Collect(s.ctx, x.view, x.at, w, what)
	if errors.Is(err, evidence.ErrNotAwarded) {
		return nil, c.notAwarded()
	}
	if err != nil {
		return nil, err
	}
	known, err := c.Key.known(x.games)
	if err != nil {
		return nil, err
	}
	cp, text, err := x.checkpoint(s, c.Checkpoint, known, found.Award.Seq)
	if err != nil {
		return nil, err
	}
	var certificate []byte
	err = x.view(func(r kv.Reader) (err error) {
		certificate, err = evidence.Issue(found, c.Short, cp, text, r)
		return err
	})
	return certificate, err
}

type auditCheckCommand struct {
	File string  `arg:"" help:"Certificate to check." type:"existingfile"`
	Key  keyFlag `name:"checkpoint-key" sep:"none" help:"Public key of a gateway, with which it signs checkpoints, or a file of such keys, as the organisers published them. May be given again." env:"-" required:"" placeholder:"KEY"`
}

// Validate implements kong.Validatable.
func (c *auditCheckCommand) Validate() error { return c.Key.check() }

// checked is a certificate that holds, in JSON.
type checked struct {
	Verdict string `json:"verdict"` // holds
	evidence.Checked
}

// Run checks the certificate, and prints what it proves.
func (c *auditCheckCommand) Run(s *session) error {
	text, err := file.Read(c.File, evidence.MaxCertificate)
	if _, ok := errors.AsType[*file.TooLargeError](err); ok {
		return &unprovenError{file: c.File, err: err}
	}
	if err != nil {
		return err
	}
	known, err := c.Key.known("")
	if err != nil {
		return err
	}
	certificate, err := evidence.Parse(text)
	var proven evidence.Checked
	if err == nil {
		proven, err = certificate.Check(known)
	}
	if err != nil {
		return &unprovenError{file: c.File, err: err}
	}
	if s.output == "json" {
		return s.answer(checked{Verdict: "holds", Checked: proven})
	}
	return s.printChecked(proven)
}

func (s *session) printChecked(c evidence.Checked) error {
	form := "full"
	if c.Short {
		form = "short"
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "certificate\tholds, %s form\n", form)
	fmt.Fprintf(w, "games\t%s\n", c.Games)
	fmt.Fprintf(w, "wearer\t%s\n", c.Wearer)
	fmt.Fprintf(w, "award\t%s, with %d friends\n", c.Award, c.Friends)
	fmt.Fprintf(w, "in the log\tat sequence %d, stored %v, under the checkpoint of %d facts\n", c.Seq, c.Stored, c.Size)
	for i, p := range c.Proven {
		fmt.Fprintf(w, "%s\t%s\n", first(i, "proven"), p)
	}
	for i, p := range c.NotProven {
		fmt.Fprintf(w, "%s\t%s\n", first(i, "not proven"), p)
	}
	return w.Flush()
}

// first returns the label of a list's first line, and no label for the others.
func first(i int, label string) string {
	if i > 0 {
		return ""
	}
	return label
}

// unprovenError says that a certificate does not prove what it says.
type unprovenError struct {
	file string
	err  error
}

func (e *unprovenError) Error() string {
	return fmt.Sprintf("BROKEN: %s proves nothing: %v", e.file, e.err)
}

func (e *unprovenError) Unwrap() error { return e.err }

// indexed is a log with its tree and the index of its evidence, in a file that is gone once it is closed.
type indexed struct {
	games string
	at    evidence.Source
	store *view.Bolt
	close func()
}

func (x *indexed) view(f func(kv.Reader) error) error {
	return x.store.View(func(r view.Reader) error { return f(r) })
}

// index reads the log once, into a file in the scratch folder.
func (f sourceFlags) index(s *session, scratch string) (*indexed, error) {
	open := f.openLog
	if f.File != "" {
		open = f.openArchive
	}
	x := &indexed{}
	messages, last, err := open(s, x)
	if err != nil {
		return nil, interrupted(err)
	}
	closeLog := x.close
	if x.store, err = view.OpenScratch(scratch); err != nil {
		closeLog()
		return nil, err
	}
	x.close = func() { x.store.Close(); closeLog() } //nolint:errcheck // it is not kept
	if err := x.enter(withProgress(messages, s.factsBar("indexed", last))); err != nil {
		x.close()
		return nil, audited(err)
	}
	return x, nil
}

func (f sourceFlags) openLog(s *session, x *indexed) (iter.Seq2[eventlog.Message, error], fact.Seq, error) {
	source, err := f.source(s)
	if err != nil {
		return nil, 0, err
	}
	x.games, x.at, x.close = source.games, source.log, source.close
	return source.messages, source.last, nil
}

func (f sourceFlags) openArchive(s *session, x *indexed) (iter.Seq2[eventlog.Message, error], fact.Seq, error) {
	file, err := os.Open(f.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	var archive *audit.Archive
	if err == nil {
		archive, err = audit.OpenArchive(file, info.Size())
	}
	if err != nil {
		file.Close() //nolint:errcheck // it was only read
		return nil, 0, audited(fmt.Errorf("%s: %w", f.File, err))
	}
	x.games, x.at, x.close = archive.Header().Games, archive, func() { file.Close() } //nolint:errcheck // it was only read
	return archive.Messages(s.ctx), archive.Last(), nil
}

// enterAtOnce is how many facts go into the index with one transaction.
const enterAtOnce = 4096

func (x *indexed) enter(messages iter.Seq2[eventlog.Message, error]) error {
	next, stop := iter.Pull2(messages)
	defer stop()
	for more := true; more; {
		if err := x.store.Update(func(tx kv.Tx) error {
			leaves := make([]merkle.Hash, 0, enterAtOnce)
			for len(leaves) < enterAtOnce {
				m, err, ok := next()
				if more = ok; !ok {
					break
				}
				if want := merkle.Size(tx) + fact.Seq(len(leaves)) + 1; err == nil && m.Seq != want {
					err = fmt.Errorf("log: sequence %d stands where %d must", m.Seq, want)
				}
				if err == nil {
					err = evidence.Enter(tx, m)
				}
				if err != nil {
					return err
				}
				leaf, err := merkle.Leaf(m)
				if err != nil {
					return err
				}
				leaves = append(leaves, leaf)
			}
			return merkle.Append(tx, leaves...)
		}); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint returns the smallest checkpoint of the file that covers the sequence and is of this log.
func (x *indexed) checkpoint(s *session, path string, known note.Verifiers, covers fact.Seq) (best merkle.Checkpoint, text string, err error) {
	texts, err := (&keptFile{path: path, stderr: s.stderr}).read()
	if err != nil {
		return best, "", err
	}
	err = x.view(func(r kv.Reader) error {
		for _, t := range texts {
			c, err := merkle.OpenCheckpoint(t, x.games, known)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if c.Size < covers || c.Size > merkle.Size(r) || text != "" && c.Size >= best.Size {
				continue
			}
			if root, err := merkle.Root(r, c.Size); err != nil || root != c.Root {
				return errors.Join(err, &unsoundError{fmt.Errorf("%s: the checkpoint of %d facts does not hold for this archive", path, c.Size)})
			}
			best, text = c, t
		}
		return nil
	})
	if err == nil && text == "" {
		err = fmt.Errorf("%s: no checkpoint of %d facts or more that the archive has", path, covers)
	}
	return best, text, err
}
