package art

import (
	"fmt"
	"strconv"
	"strings"
)

// A description is text, one statement on a line; README.md in this folder has the language. A statement is a verb and
// its words, and for a block the statements up to its end.
type statement struct {
	line  int
	mode  byte
	verb  string
	words []string
	body  []statement
}

// Limits of a description.
const (
	maxSource = 1 << 16 // bytes
	maxDepth  = 3       // of blocks in blocks
	maxRepeat = 64
)

func (s *statement) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %s", s.line, s.verb, fmt.Sprintf(format, args...))
}

var modes = map[string]byte{"cut": modeCut, "keep": modeKeep}

var blocks = map[string]bool{"repeat": true, "mirror": true, "group": true, "glyph": true}

// parse splits a description into statements.
func parse(source []byte) ([]statement, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("the description has %d bytes, at most %d are allowed", len(source), maxSource)
	}
	open := []statement{{}}
	for i, text := range strings.Split(string(source), "\n") {
		words := strings.Fields(text)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		s := statement{line: i + 1, verb: words[0], words: words[1:]}
		if mode, ok := modes[s.verb]; ok {
			if len(s.words) == 0 {
				return nil, s.errorf("wants a form behind it")
			}
			s.mode, s.verb, s.words = mode, s.words[0], s.words[1:]
		}
		last := len(open) - 1
		switch {
		case s.verb == "end":
			if last == 0 || len(s.words) > 0 || s.mode != modeAdd {
				return nil, s.errorf("stands alone on its line and ends a block")
			}
			open[last-1].body = append(open[last-1].body, open[last])
			open = open[:last]
		case blocks[s.verb]:
			if last == maxDepth {
				return nil, s.errorf("blocks are at most %d deep", maxDepth)
			}
			open = append(open, s)
		default:
			open[last].body = append(open[last].body, s)
		}
	}
	if last := len(open) - 1; last > 0 {
		return nil, open[last].errorf("has no end")
	}
	return open[0].body, nil
}

// numbers reads words as whole numbers; what names each of them, and "x y ..." at its end stands for one point or more.
func (s *statement) numbers(words []string, what string) ([]int, error) {
	want := len(strings.Fields(what))
	if strings.HasSuffix(what, "...") {
		if want--; len(words) >= want && (len(words)-want)%2 == 0 {
			want = len(words)
		}
	}
	if len(words) != want {
		return nil, s.errorf("wants %q, got %q", what, strings.Join(words, " "))
	}
	numbers := make([]int, len(words))
	for i, word := range words {
		n, err := strconv.ParseInt(word, 10, 16)
		if err != nil {
			return nil, s.errorf("%q is not a whole number from -32768 to 32767", word)
		}
		numbers[i] = int(n)
	}
	return numbers, nil
}
