package main

import (
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"
)

// plainWriter passes text on without what a terminal would obey, or would show in another order than it is read in: controls
// other than line ends and tabs, and marks of direction. They come out as \u and four digits, as JSON writes them. All that
// commands print goes through one: names, reasons and errors come from gateways, files and pins that nobody vouches for.
type plainWriter struct {
	to io.Writer

	mu   sync.Mutex
	rest []byte // the beginning of a character whose end has not come yet
}

// Write implements io.Writer.
func (w *plainWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := append(w.rest, p...)
	w.rest = nil
	plain := make([]byte, 0, len(text))
	for len(text) > 0 {
		if !utf8.FullRune(text) {
			w.rest = append(w.rest, text...)
			break
		}
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			plain = utf8.AppendRune(plain, utf8.RuneError)
		case r == '\n' || r == '\t':
			plain = append(plain, byte(r))
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			plain = fmt.Appendf(plain, "\\u%04x", r)
		default:
			plain = append(plain, text[:size]...)
		}
		text = text[size:]
	}
	if _, err := w.to.Write(plain); err != nil {
		return 0, err
	}
	return len(p), nil
}
