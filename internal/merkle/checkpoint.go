package merkle

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// originPrefix begins the origin of every checkpoint of ours.
const originPrefix = "pinfold/"

// Origin returns the first line of the checkpoints of these Games, which is also the name of the key that signs them.
func Origin(games string) string { return originPrefix + games }

// gamesOf returns the Games whose origin it is.
func gamesOf(origin string) (string, error) {
	games, ok := strings.CutPrefix(origin, originPrefix)
	if !ok || eventlog.CheckGames(games) != nil {
		return "", fmt.Errorf("%.80q: want %.80q and the name of the Games", origin, originPrefix)
	}
	return games, nil
}

// Checkpoint says how large the tree of the log was and what its root was. Its text is a signed note as in
// https://c2sp.org/tlog-checkpoint: the origin, the size in decimal and the root in base64, a line each, then a blank line
// and the signatures.
type Checkpoint struct {
	Games string
	Size  fact.Seq
	Root  Hash
}

func (c Checkpoint) check() error {
	if err := eventlog.CheckGames(c.Games); err != nil {
		return err
	}
	if c.Size == 0 && c.Root != sha256.Sum256(nil) {
		return fmt.Errorf("root %v of size 0: want the SHA-256 of nothing", c.Root)
	}
	return checkSize(c.Size)
}

// Sign returns the text of the checkpoint. The error says that the checkpoint cannot be one, or that the key is not that
// of its Games.
func (c Checkpoint) Sign(s note.Signer) (string, error) {
	if err := c.check(); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	if s.Name() != Origin(c.Games) {
		return "", fmt.Errorf("checkpoint: key %.80q: want %.80q", s.Name(), Origin(c.Games))
	}
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%v\n", Origin(c.Games), c.Size, c.Root)}, s)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	return string(text), nil
}

// OpenCheckpoint returns the checkpoint of the text, which a known key with the name of its origin has signed. With games
// "" it may be of any Games. Extension lines are passed over, as are signatures of unknown keys; one of a known key that
// does not fit the text is an error.
func OpenCheckpoint(text, games string, known note.Verifiers) (Checkpoint, error) {
	n, err := note.Open([]byte(text), known)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", explain(err))
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	if games != "" && c.Games != games {
		return Checkpoint{}, fmt.Errorf("checkpoint: origin %.80q: want %.80q", Origin(c.Games), Origin(games))
	}
	for _, sig := range n.Sigs {
		if sig.Name == Origin(c.Games) {
			return c, nil
		}
	}
	return Checkpoint{}, fmt.Errorf("checkpoint: origin %.80q, but signed by the key of %.80q", Origin(c.Games), n.Sigs[0].Name)
}

// explain returns the error of note.Open for people.
func explain(err error) error {
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		keys := make([]string, len(unknown.Note.UnverifiedSigs))
		for i, sig := range unknown.Note.UnverifiedSigs {
			keys[i] = fmt.Sprintf("%.80q+%08x", sig.Name, sig.Hash)
		}
		return fmt.Errorf("signed by no known key, only by %s", strings.Join(keys, ", "))
	case errors.As(err, &invalid):
		return fmt.Errorf("the signature of key %s+%08x does not fit: the text or the signature was changed", invalid.Name, invalid.Hash)
	}
	return err
}

// parseCheckpoint reads what was signed. There is one text for each checkpoint, extension lines aside.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return Checkpoint{}, fmt.Errorf("%d lines: want origin, size and root", len(lines))
	}
	for i, line := range lines {
		if line == "" {
			return Checkpoint{}, fmt.Errorf("line %d is empty", i+1)
		}
	}
	games, err := gamesOf(lines[0])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("origin %w", err)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("size %.80q: want a decimal number without leading zeros", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return Checkpoint{}, fmt.Errorf("root %.80q: want 32 bytes in base64", lines[2])
	}
	c := Checkpoint{Games: games, Size: fact.Seq(size), Root: root}
	return c, c.check()
}

// signaturePrefix begins each signature line of a note.
const signaturePrefix = "— "

// The largest files of checkpoints and of keys, in bytes. One checkpoint a minute for a month is 11 MB.
const (
	MaxKept = 64 << 20
	MaxKeys = 64 << 10
)

// TornError says that a file of checkpoints ends within one, as where the disk was full or the power failed while it was
// written. Those before it are whole.
type TornError struct {
	Line  int // at which the torn one begins, from 1
	Whole int // bytes of the file before it
	Torn  int // bytes of the torn one
}

func (e *TornError) Error() string {
	return fmt.Sprintf("checkpoints: the last one, at line %d, is torn: its %d bytes are the beginning of one", e.Line, e.Torn)
}

// SplitCheckpoints returns the texts of a file of any number of checkpoints, one after the other, with or without blank
// lines between them. They are cut apart, not opened. The error names the line of the text that is incomplete; it is a
// *TornError, beside the texts of all others, where only the last one is, and would be a checkpoint if it went on.
func SplitCheckpoints(file string) ([]string, error) {
	var texts []string
	for rest := strings.TrimLeft(file, "\n"); rest != ""; rest = strings.TrimLeft(rest, "\n") {
		body, signatures, _ := strings.Cut(rest, "\n\n")
		n, err := signatureLines(signatures)
		if err != nil {
			whole := len(file) - len(rest)
			line := 1 + strings.Count(file[:whole], "\n")
			if begins(rest) {
				return texts, &TornError{Line: line, Whole: whole, Torn: len(rest)}
			}
			return nil, fmt.Errorf("checkpoints: the one at line %d: %w", line, err)
		}
		end := len(body) + len("\n\n") + n
		texts, rest = append(texts, rest[:end]), rest[end:]
	}
	return texts, nil
}

// begins reports whether the text, which has no whole signature at its end, is the beginning of a checkpoint. What a file
// was to hold and never got is zero bytes.
func begins(text string) bool {
	text = strings.TrimRight(text, "\x00")
	body, signatures, signed := strings.Cut(text, "\n\n")
	if signed {
		_, err := parseCheckpoint(body + "\n")
		return err == nil && (strings.HasPrefix(signaturePrefix, signatures) || strings.HasPrefix(signatures, signaturePrefix))
	}
	lines := strings.Split(body, "\n")
	last := len(lines) - 1
	switch last {
	case 0:
		return strings.HasPrefix(originPrefix, lines[0]) || isOrigin(lines[0])
	case 1:
		return isOrigin(lines[0]) && strings.Trim(lines[1], "0123456789") == ""
	case 2:
		return isOrigin(lines[0]) && isSize(lines[1]) && len(lines[2]) <= base64.StdEncoding.EncodedLen(sha256.Size)
	}
	_, err := parseCheckpoint(strings.Join(lines[:last], "\n") + "\n") // the last may be that of an extension
	return err == nil
}

func isOrigin(line string) bool {
	_, err := gamesOf(line)
	return err == nil
}

func isSize(line string) bool {
	_, err := strconv.ParseUint(line, 10, 64)
	return err == nil
}

// signatureLines returns the length in bytes of the signature lines, at least one, with which s begins.
func signatureLines(s string) (int, error) {
	n := 0
	for strings.HasPrefix(s[n:], signaturePrefix) {
		end := strings.IndexByte(s[n:], '\n')
		if end < 0 {
			return 0, errors.New("its last signature is cut off: want a newline at the end")
		}
		n += end + 1
	}
	if n == 0 {
		return 0, fmt.Errorf("no signature: want a blank line and lines that begin with %.80q", signaturePrefix)
	}
	return n, nil
}

// GenerateKey returns a new key with the name of the Games' origin, in the text forms of package note. The private one
// signs checkpoints and is secret; the public one verifies them.
func GenerateKey(games string) (private, public string, err error) {
	if err := eventlog.CheckGames(games); err != nil {
		return "", "", fmt.Errorf("key: %w", err)
	}
	return note.GenerateKey(rand.Reader, Origin(games))
}

// NewSigner returns the signer of a private key, and the public key that belongs to it, both as GenerateKey returns them;
// white space around the text is no matter. The error, which never holds the key, says that the text is none, or that the
// key is of other Games.
func NewSigner(private, games string) (s note.Signer, public string, err error) {
	private = strings.TrimSpace(private)
	s, err = note.NewSigner(private)
	if err != nil {
		return nil, "", errors.New("private key: want PRIVATE+KEY+name+hash+key, as it was generated")
	}
	if s.Name() != Origin(games) {
		return nil, "", fmt.Errorf("private key: name %.80q: want %.80q", s.Name(), Origin(games))
	}
	public, err = publicOf(private, s.Name())
	if err != nil {
		return nil, "", fmt.Errorf("private key: %w", err)
	}
	return s, public, nil
}

// publicOf returns the public text of a private one that note.NewSigner took. Package note has no function for it.
func publicOf(private, name string) (string, error) {
	fields := strings.SplitN(private, "+", 5) // base64 has pluses of its own
	key, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return "", errors.New("want an Ed25519 seed")
	}
	pair := ed25519.NewKeyFromSeed(key[1:]) // behind the number of the algorithm
	return note.NewEd25519VerifierKey(name, ed25519.PublicKey(pair[ed25519.SeedSize:]))
}

// NewVerifier returns the verifier of a public key as GenerateKey returns it; white space around the text is no matter.
// With games "" the key may be of any Games. The error says that the text is none, or that the key is of other Games.
func NewVerifier(public, games string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(public))
	if err != nil {
		return nil, fmt.Errorf("public key: %w: want name+hash+key, as it was generated", err)
	}
	if _, err := gamesOf(v.Name()); err != nil {
		return nil, fmt.Errorf("public key: name %w", err)
	}
	if games != "" && v.Name() != Origin(games) {
		return nil, fmt.Errorf("public key: name %.80q: want %.80q", v.Name(), Origin(games))
	}
	return v, nil
}

// KeyName returns the name of a public key among those of its Games: its hash, as 8 hex digits.
func KeyName(public string) (string, error) {
	v, err := NewVerifier(public, "")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x", v.KeyHash()), nil
}
