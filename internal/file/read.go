// Package file is how this program meets files: it reads what others give within a bound, takes secrets only from files
// that nobody else can read or change, and writes whole files or none.
package file

import (
	"fmt"
	"io"
	"os"
)

// TooLargeError says that there was more to read than may be.
type TooLargeError struct {
	Name string // of what was read
	Size int64  // in bytes; 0 = more than Max, and not known
	Max  int64  // in bytes
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("%s: more than %d bytes: want at most that", e.Name, e.Max)
	}
	return fmt.Sprintf("%s: %d bytes: want at most %d", e.Name, e.Size, e.Max)
}

// Read returns what the file holds, or what comes out of the pipe or the device: at most so many bytes. One that holds more
// is a *TooLargeError, and no more than that is read of it.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, most)
}

func readAll(f *os.File, most int64) ([]byte, error) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > most {
		return nil, &TooLargeError{Name: f.Name(), Size: info.Size(), Max: most}
	}
	return io.ReadAll(Limit(f, f.Name(), most))
}

// Limit returns a reader of r that ends with a *TooLargeError where r goes on behind so many bytes.
func Limit(r io.Reader, name string, most int64) io.Reader {
	return &limited{r: r, name: name, most: most, left: most}
}

type limited struct {
	r          io.Reader
	name       string
	most, left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.left < 0 {
		return 0, &TooLargeError{Name: l.name, Max: l.most}
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)]) // one more, to see whether it goes on
	if l.left -= int64(n); l.left < 0 {
		return n - 1, &TooLargeError{Name: l.name, Max: l.most}
	}
	return n, err
}
