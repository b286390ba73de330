//go:build firmware

package art

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// The firmware's renderer, compiled by the system's C compiler with its sanitizers, draws the same pixels: needs gcc.

// A renderer is firmware/test/test_draw.c as a process.
type renderer struct {
	mu     sync.Mutex
	in     io.WriteCloser
	out    io.Reader
	errors bytes.Buffer
	cmd    *exec.Cmd
}

func startRenderer(t testing.TB) *renderer {
	t.Helper()
	program := filepath.Join(t.TempDir(), "draw")
	args := []string{
		"-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
		"-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-o", program,
	}
	for _, source := range []string{
		"test/test_draw.c", "core/draw.c", "core/shape.c", "core/glyph.c", "gen/art.c",
		"core/draw.h", "core/shape.h", "core/glyph.h", "gen/art.h",
	} {
		file := filepath.Join("../firmware", source)
		// Reading them tells go test that its cached result is about these files.
		if _, err := os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".c" {
			args = append(args, file)
		}
	}
	build := exec.Command("gcc", args...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := &renderer{cmd: exec.Command(program, "serve")}
	r.cmd.Stderr = &r.errors
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if r.out, err = r.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.in.Close(); err != nil {
			t.Error(err)
		}
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, r.errors.Bytes())
		}
	})
	return r
}

// encode writes the call as test_draw.c reads it.
func (c *call) encode(dst []byte) []byte {
	dst = append(dst, c.kind)
	if c.kind == 'a' || c.kind == 't' {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.bytes)))
		dst = append(dst, c.bytes...)
	}
	for _, n := range c.n {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	}
	switch c.kind {
	case 'd', 'r', 'b', 't':
		dst = binary.LittleEndian.AppendUint16(dst, c.ink.Colour)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(c.ink.Alpha))
	}
	return dst
}

// draw returns the pixels of a frame, drawn in bands, and whether all pictures were well formed.
func (r *renderer) draw(calls []call, rows int) (pixels []byte, good bool, err error) {
	var encoded []byte
	for i := range calls {
		encoded = calls[i].encode(encoded)
	}
	request := append([]byte{byte(rows), byte(len(encoded)), byte(len(encoded) >> 8)}, encoded...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.in.Write(request); err != nil {
		return nil, false, err
	}
	answer := make([]byte, 2*Size*Size+1)
	if _, err := io.ReadFull(r.out, answer); err != nil {
		return nil, false, err
	}
	return answer[:2*Size*Size], answer[2*Size*Size] == 1, nil
}

// compare draws a scene in both and reports the first pixel that differs.
func (r *renderer) compare(t rapid.TB, name string, scene []call, rows int) {
	t.Helper()
	frame, good := drawScene(scene, Size)
	got, fine, err := r.draw(scene, rows)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	want := pixelBytes(frame)
	if good != fine {
		t.Errorf("%s: well formed in Go %t, in C %t", name, good, fine)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: pixel %d of row %d differs in bands of %d", name, i/2%Size, i/2/Size, rows)
		}
	}
}

func TestFirmwareDrawsTheSame(t *testing.T) {
	r := startRenderer(t)
	for name, scene := range golden() {
		for _, rows := range []int{7, 24, Size} {
			r.compare(t, name, scene, rows)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		scene := rapid.SliceOfN(anyCall(), 1, 4).Draw(t, "calls")
		r.compare(t, "the scene", scene, rapid.IntRange(1, Size).Draw(t, "rows"))
	})
}

// FuzzFirmware: ops from anywhere, at any place, give the same pixels and no step beside any memory.
func FuzzFirmware(f *testing.F) {
	for _, sport := range Sports() {
		f.Add(sport.Ops, int16(Middle), int16(Middle), int16(Whole))
	}
	f.Add([]byte{3, 0, 0, 9, 0, 0, 9, 0, 0, 0, 4}, int16(1440), int16(-480), int16(1920))
	r := startRenderer(f)
	f.Fuzz(func(t *testing.T, ops []byte, x, y, width int16) {
		if len(ops) > 600 {
			return // the largest picture is smaller, and more would only be slow
		}
		r.compare(t, "the picture", []call{{kind: 'a', bytes: ops, n: []int{int(x), int(y), int(width)}}}, 60)
	})
}
