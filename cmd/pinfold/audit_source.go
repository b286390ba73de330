package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"pinfold/audit"
	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// sourceFlags say which log a command reads: an archive, or the log itself.
type sourceFlags struct {
	logFlags
	File string `arg:"" optional:"" help:"Archive to read. Without it, the log of --data or --nats is." type:"existingfile"`
}

// Validate implements kong.Validatable.
func (f sourceFlags) Validate() error {
	if f.File != "" && f.NATS != "" {
		return errors.New("FILE and --nats are two logs: give one of them")
	}
	return f.logFlags.Validate()
}

// scratchFlags say where a command that reads a whole log keeps what it learns of it meanwhile.
type scratchFlags struct {
	Scratch string `help:"Folder of temporary files, some hundred bytes for each fact. Without it the system's is used, which may be in memory." type:"existingdir" placeholder:"DIR"`
}

// logSource is a log that is read from its first fact, until it is closed. It can be read again, but for an archive that
// comes out of a pipe.
type logSource struct {
	games    string
	epoch    uint32
	kept     fact.Seq // as in audit.Header
	last     fact.Seq // 0 = not known beforehand
	messages iter.Seq2[eventlog.Message, error]
	log      eventlog.Log // nil = it is an archive
	close    func()
}

// source opens the log.
func (f sourceFlags) source(s *session) (logSource, error) {
	if f.File != "" {
		return f.archive()
	}
	log, closeLog, err := f.open(s)
	if err != nil {
		return logSource{}, err
	}
	head, messages, err := audit.FromLog(s.ctx, log)
	if err != nil {
		closeLog()
		return logSource{}, interrupted(err)
	}
	return logSource{games: f.Games, epoch: head.Epoch, kept: head.Kept, last: head.Last, messages: messages, log: log, close: closeLog}, nil
}

// archive opens the archive. Of which Games it is, it says itself.
func (f sourceFlags) archive() (logSource, error) {
	reader, file, err := openArchive(f.File)
	if err != nil {
		return logSource{}, err
	}
	closeFile := func() { file.Close() } //nolint:errcheck // it was only read
	head := reader.Header()
	return logSource{games: head.Games, epoch: head.Epoch, kept: head.Kept, messages: rereadable(file, reader), close: closeFile}, nil
}

// rereadable goes through the facts of the archive, of which nothing but the header was read, and each time anew.
func rereadable(file *os.File, reader *audit.Reader) iter.Seq2[eventlog.Message, error] {
	first := true
	return func(yield func(eventlog.Message, error) bool) {
		if !first {
			again, err := rewind(file)
			if err != nil {
				yield(eventlog.Message{}, fmt.Errorf("%s: read it again: %w", file.Name(), err))
				return
			}
			reader = again
		}
		first = false
		reader.Messages()(yield)
	}
}

func rewind(file *os.File) (*audit.Reader, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return audit.NewReader(file)
}

// openArchive opens an archive, which is only read, and reads its header.
func openArchive(path string) (reader *audit.Reader, file *os.File, err error) {
	file, err = os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	reader, err = audit.NewReader(file)
	if err != nil {
		file.Close() //nolint:errcheck // it was only read
		return nil, nil, audited(fmt.Errorf("%s: %w", path, err))
	}
	return reader, file, nil
}

// folded returns the messages, with a progress bar where there is a terminal.
func (l logSource) folded(s *session) iter.Seq2[eventlog.Message, error] {
	return withProgress(l.messages, s.factsBar("folded", l.last))
}
