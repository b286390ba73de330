package eventlog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pinfold/internal/fact"
)

// Every name that the log puts on the wire is in this file.

const (
	// subjectPrefix begins each subject: pinfold.<games>.<family>.
	subjectPrefix = "pinfold"
	// streamPrefix begins the name of the stream: PINFOLD_<games>_<epoch>.
	streamPrefix = "PINFOLD_"
	// headerStored holds the time at which a restored message was stored first, in milliseconds since the Unix epoch.
	headerStored = "Pinfold-Stored"
	// metadataKept is the stream's note of the last sequence that a restore took over. Up to there headerStored counts.
	metadataKept = "pinfold-kept"
	// metadataFormat is the stream's note of the format of its log. A log of the first version has none.
	metadataFormat = "pinfold-format"
	// format is that of the logs that this version makes. Formats differ in what the folds make of the same facts.
	format = "2"
)

var gamesPattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// CheckGames returns an error unless s can name Games: 1 to 32 of a-z, 0-9 and the hyphen.
func CheckGames(s string) error {
	if !gamesPattern.MatchString(s) {
		return fmt.Errorf("games %.80q: want 1 to 32 of a-z, 0-9 and -", s)
	}
	return nil
}

func subject(games string, f fact.Family) string {
	return subjectPrefix + "." + games + "." + string(f)
}

// subjects covers all families of the Games.
func subjects(games string) string { return subjectPrefix + "." + games + ".*" }

func familyOf(games, subj string) (fact.Family, error) {
	name, ok := strings.CutPrefix(subj, subjectPrefix+"."+games+".")
	if ok {
		for _, f := range fact.Families() {
			if string(f) == name {
				return f, nil
			}
		}
	}
	return "", fmt.Errorf("unknown subject %.80q", subj)
}

func streamName(games string, epoch uint32) string {
	return streamPrefix + games + "_" + strconv.FormatUint(uint64(epoch), 10)
}

var errStreamName = errors.New("not the name of a stream of these Games")

func epochOf(games, stream string) (uint32, error) {
	n, ok := strings.CutPrefix(stream, streamPrefix+games+"_")
	epoch, err := strconv.ParseUint(n, 10, 32)
	if !ok || err != nil || epoch == 0 {
		return 0, fmt.Errorf("log: stream %.80q: %w", stream, errStreamName)
	}
	return uint32(epoch), nil
}

// gamesOf returns whose log a stream of that name is, and false if it is none.
func gamesOf(stream string) (games string, ok bool) {
	name, ok := strings.CutPrefix(stream, streamPrefix)
	i := strings.LastIndexByte(name, '_')
	if !ok || i < 0 || !gamesPattern.MatchString(name[:i]) {
		return "", false
	}
	_, err := epochOf(name[:i], stream)
	return name[:i], err == nil
}

// keptOf returns the last sequence that a restore took over into the stream of this epoch; 0 = it is no restored one.
func keptOf(epoch uint32, metadata map[string]string) (fact.Seq, error) {
	text, ok := metadata[metadataKept]
	if !ok {
		return 0, nil
	}
	kept, err := strconv.ParseUint(text, 10, 64)
	if err != nil || kept == 0 || epoch == 1 {
		return 0, fmt.Errorf("%s: %.80q in epoch %d: want a sequence, in epoch 2 or later", metadataKept, text, epoch)
	}
	return fact.Seq(kept), nil
}

// familyCodes are the families as archives and the leaves of the Merkle tree name them: the code is the index. Codes are
// for ever.
var familyCodes = []fact.Family{
	1: fact.Roster, 2: fact.Clock, 3: fact.Tap, 4: fact.Step, 5: fact.Wearer, 6: fact.Friendship, 7: fact.Award, 8: fact.Goal,
}

// FamilyCode returns the number that stands for the family where bytes are counted, and whether it has one.
func FamilyCode(f fact.Family) (byte, bool) {
	i := slices.Index(familyCodes, f)
	return byte(max(i, 0)), i > 0
}

// FamilyOfCode returns the family that the number stands for, and whether it stands for one.
func FamilyOfCode(code byte) (fact.Family, bool) {
	if code == 0 || int(code) >= len(familyCodes) {
		return "", false
	}
	return familyCodes[code], true
}
