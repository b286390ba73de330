package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"pinfold/client/link"
	"pinfold/internal/file"
)

// Board is what a pin's firmware was built for.
type Board string

// The boards that can be run on this machine.
const (
	Native Board = "native" // a process
	QEMU   Board = "qemu"   // QEMU's mps2-an386, a Cortex-M4
)

// builds says where each board's firmware is, in the repository, and what makes it.
var builds = map[Board]struct{ path, target string }{
	Native: {"firmware/build/native/pin", "make -C firmware native"},
	QEMU:   {"firmware/build/m4/pin.elf", "make -C firmware m4"},
}

// Config says which pin is started.
type Config struct {
	Board Board
	// Firmware is the file to run; "" = firmware/build/native/pin or firmware/build/m4/pin.elf of the repository, in this
	// folder or above, beside the program, or where the program was built.
	Firmware string
	// Folder is where the pin's sockets and its flash are; it is made. The paths of sockets must be short: MaxSocketPath.
	Folder string
	// Seed makes the pin's key and nonces follow from it, for tests; 0 = truly random. A pin that is started again with
	// the same seed repeats its nonces.
	Seed uint64
	// Log takes what the firmware says; nil = nobody.
	Log io.Writer
}

// The files of a pin's folder.
const (
	phoneSocket   = "phone"
	peerSocket    = "peer"
	sensorSocket  = "sensors"
	displaySocket = "display"
	monitorSocket = "monitor" // QEMU's
	flashFile     = "flash"
	seedFile      = "seed"
)

// MaxSocketPath is the most bytes that the path of a unix socket has, unix(7).
const MaxSocketPath = 107

// flashSize is that of firmware/hal/hal.h, in bytes.
const flashSize = 32 * 4096

// Folder is the folder of a pin that runs, in this process or another.
type Folder string

const (
	dialPause   = 5 * time.Millisecond
	dialTimeout = 10 * time.Second
)

// dial connects to one of the pin's sockets. One connection at a time is served; the next waits for its end.
func (f Folder) dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	path := filepath.Join(string(f), socket)
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("no pin runs in %s (%w): start one with pinfold pin run %s", f, err, f)
	}
	return conn.(*net.UnixConn), nil
}

// PhoneSocket returns the path of the phone link.
func (f Folder) PhoneSocket() string { return filepath.Join(string(f), phoneSocket) }

// Phone connects to the phone link.
func (f Folder) Phone(ctx context.Context) (*link.Phone, error) {
	conn, err := f.dial(ctx, phoneSocket)
	if err != nil {
		return nil, err
	}
	return link.NewPhone(conn), nil
}

// Peer connects to the peer link, for an Air.
func (f Folder) Peer(ctx context.Context) (net.Conn, error) { return f.dial(ctx, peerSocket) }

// Do sends commands to the sensors and returns when the pin has read all of them.
func (f Folder) Do(ctx context.Context, commands ...Command) error {
	conn, err := f.dial(ctx, sensorSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var all []byte
	for _, c := range commands {
		all = link.AppendFrame(all, c)
	}
	if _, err := conn.Write(all); err != nil {
		return fmt.Errorf("sensors: %w", err)
	}
	// The pin closes its end once it has read up to this one's end.
	if err := conn.CloseWrite(); err != nil {
		return fmt.Errorf("sensors: %w", err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return fmt.Errorf("sensors: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// Screenshot returns what the pin shows.
func (f Folder) Screenshot(ctx context.Context) (*image.NRGBA, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := f.dial(ctx, displaySocket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := f.Do(ctx, Redraw()); err != nil {
		return nil, err
	}
	d, err := ReadDisplay(conn)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return d.Image(), nil
}

// Pin is a pin that runs.
type Pin struct {
	Folder

	board  Board
	cmd    *exec.Cmd
	errors tail // of what QEMU or the process said before it ended; read after ended
	ended  chan struct{}
	err    error // of the process, once ended
	stop   sync.Once
	saved  error // of stop
}

// maxSaid is how much is remembered of what a pin says on standard error, in bytes.
const maxSaid = 16 << 10

// tail remembers the end of what is written to it.
type tail struct{ last []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-maxSaid):]...)
	t.last = append(t.last[:0], t.last[max(0, len(t.last)-maxSaid):]...)
	return len(p), nil
}

// firmware returns the file that a config runs. The error names what builds it, and where it was looked for.
func (c Config) firmware() (string, error) {
	build, ok := builds[c.Board]
	if !ok {
		return "", fmt.Errorf("board %.80q: want %s or %s", c.Board, Native, QEMU)
	}
	if c.Firmware != "" {
		if _, err := os.Stat(c.Firmware); err != nil {
			return "", fmt.Errorf("the pin's firmware: %w", err)
		}
		return c.Firmware, nil
	}
	var looked []string
	for _, folder := range folders() {
		path := filepath.Join(folder, build.path)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		looked = append(looked, folder)
	}
	return "", fmt.Errorf("the pin's firmware is not built: no %s in %s: run %s in the repository, or name the file with --firmware",
		build.path, strings.Join(looked, ", "), build.target)
}

// folders are where the repository may be: here or above, beside the program, and where the program was built.
func folders() (all []string) {
	add := func(folder string) {
		if !slices.Contains(all, folder) {
			all = append(all, folder)
		}
	}
	if here, err := os.Getwd(); err == nil {
		for folder := here; ; folder = filepath.Dir(folder) {
			if _, err := os.Stat(filepath.Join(folder, "firmware")); err == nil || folder == here {
				add(folder)
			}
			if folder == filepath.Dir(folder) {
				break
			}
		}
	}
	if program, err := os.Executable(); err == nil {
		add(filepath.Dir(program))
	}
	if _, source, _, ok := runtime.Caller(0); ok && filepath.IsAbs(source) {
		add(filepath.Join(filepath.Dir(source), "..", ".."))
	}
	return all
}

// Start starts a pin and returns when its sockets can be connected to. The pin lives until Stop, or until the context
// ends, in which case what QEMU's flash holds since the start is lost. The caller stops it in any case.
func Start(ctx context.Context, c Config) (*Pin, error) {
	firmware, err := c.firmware()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(c.Folder)
	if err != nil {
		return nil, err
	}
	p := &Pin{Folder: Folder(folder), board: c.Board, ended: make(chan struct{})}
	if err := file.CheckPrivateFolder(folder); err != nil { // the flash holds the pin's key
		return nil, err
	}
	if err := file.CheckPrivate(p.path(flashFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	sockets := []string{phoneSocket, peerSocket, sensorSocket, displaySocket}
	if c.Board == QEMU {
		sockets = append(sockets, monitorSocket)
	}
	if err := p.clear(sockets); err != nil {
		return nil, err
	}
	switch c.Board {
	case Native:
		p.cmd = exec.CommandContext(ctx, firmware, p.nativeFlags(c)...)
	case QEMU:
		if err := p.prepareQEMU(c); err != nil {
			return nil, err
		}
		p.cmd = exec.CommandContext(ctx, "qemu-system-arm", p.qemuFlags(firmware)...)
	}
	p.cmd.Stdout, p.cmd.Stderr = c.Log, &p.errors
	if c.Log != nil {
		p.cmd.Stderr = io.MultiWriter(c.Log, &p.errors)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the one who started it, who saves the flash
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pin: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	if err := p.await(ctx, sockets); err != nil {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.ended
		return nil, err
	}
	return p, nil
}

// clear removes sockets that an earlier run left, unless that still runs.
func (p *Pin) clear(sockets []string) error {
	for _, s := range sockets {
		path := filepath.Join(string(p.Folder), s)
		if len(path) > MaxSocketPath {
			return fmt.Errorf("folder %s: a socket's path has at most %d bytes, and %s has %d", p.Folder, MaxSocketPath, path, len(path))
		}
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close() // it was only to see whether somebody is there
			return fmt.Errorf("a pin runs in %s already", p.Folder)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p *Pin) path(name string) string { return filepath.Join(string(p.Folder), name) }

func (p *Pin) nativeFlags(c Config) []string {
	args := []string{
		"--flash", p.path(flashFile), "--phone", "listen:" + p.path(phoneSocket), "--peer", "listen:" + p.path(peerSocket),
		"--inject", "listen:" + p.path(sensorSocket), "--display", "listen:" + p.path(displaySocket),
	}
	if c.Log == nil {
		args = append(args, "--quiet")
	}
	if c.Seed != 0 {
		args = append(args, "--seed", strconv.FormatUint(c.Seed, 10))
	}
	return args
}

// prepareQEMU makes the files that QEMU loads: the flash as it was, or erased, and a fresh seed.
func (p *Pin) prepareQEMU(c Config) error {
	info, err := os.Stat(p.path(flashFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := file.New(p.path(flashFile), 0o600, whole(bytes.Repeat([]byte{0xFF}, flashSize))); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Size() != flashSize:
		return fmt.Errorf("%s has %d bytes: want %d", p.path(flashFile), info.Size(), flashSize)
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // it never fails
	if c.Seed != 0 {
		seed = sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.Seed))
	}
	return file.Replace(p.path(seedFile), 0o600, whole(seed[:]))
}

// whole writes a file that holds this.
func whole(content []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(content); return err }
}

// await waits until the pin listens on its sockets.
func (p *Pin) await(ctx context.Context, sockets []string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for _, s := range sockets {
		for {
			if conn, err := net.Dial("unix", p.path(s)); err == nil {
				_ = conn.Close() // it was only to see whether somebody is there
				break
			}
			select {
			case <-time.After(dialPause):
			case <-p.ended:
				return fmt.Errorf("the pin ended as it started: %w: %s", p.err, bytes.TrimSpace(p.errors.last))
			case <-ctx.Done():
				return fmt.Errorf("the pin does not listen on %s: %w", p.path(s), ctx.Err())
			}
		}
	}
	return nil
}

// Ended is closed when the pin's process has ended.
func (p *Pin) Ended() <-chan struct{} { return p.ended }

// stopTimeout is how long a pin may take to stop.
const stopTimeout = 10 * time.Second

// Stop ends the pin and keeps its flash. It fails if the process had ended with an error of its own, such as one that a
// sanitizer found.
func (p *Pin) Stop() error {
	p.stop.Do(func() { p.saved = p.end() })
	return p.saved
}

func (p *Pin) end() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the pin had ended: %w: %s", p.err, bytes.TrimSpace(p.errors.last))
	default:
	}
	var err error
	if p.board == QEMU {
		err = p.saveFlash()
	} else {
		err = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	if err == nil {
		select {
		case <-p.ended:
		case <-time.After(stopTimeout):
			err = errors.New("the pin does not end")
		}
	}
	if err != nil {
		_ = p.cmd.Process.Kill() // it may have ended already
	}
	<-p.ended
	if err == nil && p.err != nil {
		err = fmt.Errorf("the pin ended: %w: %s", p.err, bytes.TrimSpace(p.errors.last))
	}
	return err
}
