// Package docs_test runs the documents: each command block, in a fresh folder, in the order given, and holds what they say
// is printed against what is.
package docs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"pinfold/internal/eventlog/logtest"
	_ "pinfold/proto/pinfold/gateway/v1" // its calls
)

// A document's commands stand in blocks marked `sh`, one command a line. A block marked `text` right behind one is what its
// last command prints, where `...` stands for anything: a line of its own for any number of lines. A command ends with 0, or
// as a comment behind it says: `# exit code 4`. One that ends with & is a program that goes on; what it prints is waited for.

// block is a fenced block of a document.
type block struct {
	line int // of its first line
	mark string
	text string
}

// blocks returns the fenced blocks of a document.
func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	var open *block
	for i, line := range strings.Split(document, "\n") {
		mark, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 2, mark: mark}
		case fence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("line %d: a block that does not end", open.line)
	}
	return all
}

// step is one command of a document.
type step struct {
	line    int
	command string
	prints  string // pattern of what it prints; "" = not said
	code    int
	pins    bool // pins run in its block
}

var exitCodeComment = regexp.MustCompile(`# .*\bexit code (\d+)\b`)

// program says that the command goes on while others run.
func (s *step) program() bool {
	command, _, _ := strings.Cut(s.command, " #")
	return strings.HasSuffix(strings.TrimSpace(command), "&")
}

// runsPins finds commands that need the firmware built.
var runsPins = regexp.MustCompile(`(?m)^pinfold (pin|bridge) `)

// stepsOf returns the commands of a document.
func stepsOf(t *testing.T, document string) (all []step) {
	t.Helper()
	of := -1 // how many steps there were where a text says what the last one prints
	for _, b := range blocks(t, document) {
		switch b.mark {
		case "sh":
			line := b.line
			for command := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", "\\\x00")) {
				s := step{line: line, command: strings.TrimSpace(strings.ReplaceAll(command, "\x00", "\n")), pins: runsPins.MatchString(b.text)}
				line += 1 + strings.Count(command, "\x00")
				if s.command == "" || strings.HasPrefix(s.command, "#") {
					continue
				}
				if code := exitCodeComment.FindStringSubmatch(s.command); code != nil {
					s.code, _ = strconv.Atoi(code[1])
				}
				all = append(all, s)
			}
			of = len(all)
		case "text":
			if of > 0 && of == len(all) {
				all[of-1].prints = b.text
			}
			of = -1
		default:
			of = -1
		}
	}
	return all
}

var (
	anyLines = regexp.MustCompile(`(?m)^\\\.\\\.\\\.\n?`)
	gap      = regexp.MustCompile(` {2,}`)
)

// agrees says whether a command printed what the document says; of a program, whether it has begun to.
func (s *step) agrees(got string) bool {
	if s.prints == "" {
		return true
	}
	pattern := anyLines.ReplaceAllString(regexp.QuoteMeta(strings.TrimSpace(s.prints)), `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, `\.\.\.`, `.*`)
	pattern = gap.ReplaceAllString(pattern, ` +`) // columns are as wide as what stands in them
	if !s.program() {
		pattern += `\s*\z`
	}
	return regexp.MustCompile(`\A\s*` + pattern).MatchString(got)
}

// ports are those that documents name. A run of one has its own in their place, so that it is alone on the machine.
var ports = []string{"4222", "7400", "7401", "7402", "7403", "7490", "7491", "7492", "7493"}

// Variables that tell the stand-in of pinfold what it stands for.
const (
	portsVariable  = "PINFOLD_TEST_PORTS"  // OLD=NEW,...
	binaryVariable = "PINFOLD_TEST_BINARY" // path of pinfold
)

func TestMain(m *testing.M) {
	var err error
	switch filepath.Base(os.Args[0]) {
	case "pinfold":
		err = pinfold(os.Args[1:])
	case "grpcurl":
		err = grpcurl(os.Args[1:])
	default:
		os.Exit(m.Run())
	}
	if s, ok := status.FromError(err); err != nil && ok {
		fmt.Fprintf(os.Stderr, "ERROR:\n  Code: %s\n  Message: %s\n", s.Code(), s.Message())
		os.Exit(64 + int(s.Code())) // as grpcurl does
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pinfold becomes the real one, with the ports of this run for those that the documents and the defaults name.
func pinfold(args []string) error {
	binary := os.Getenv(binaryVariable)
	for i := range args {
		args[i] = here(args[i])
	}
	var config struct {
		Flags []struct{ Flag, Value, Origin string }
	}
	out, err := exec.Command(binary, append(args, "--print-config", "--output", "json")...).Output()
	if err == nil && json.Unmarshal(out, &config) == nil {
		for _, f := range config.Flags {
			if value := here(f.Value); value != f.Value && f.Origin == "default" {
				args = append(args, f.Flag+"="+value)
			}
		}
	}
	return syscall.Exec(binary, append([]string{"pinfold"}, args...), os.Environ())
}

// here puts the ports of this run in the place of those that documents name.
func here(text string) string {
	for pair := range strings.SplitSeq(os.Getenv(portsVariable), ",") {
		documented, own, _ := strings.Cut(pair, "=")
		text = strings.ReplaceAll(text, "127.0.0.1:"+documented, "127.0.0.1:"+own)
	}
	return text
}

// TestDocuments runs every document. What runs pins needs the firmware built, and the build tag firmware.
func TestDocuments(t *testing.T) {
	dir := t.TempDir()
	install := exec.Command("bash", "-c", installCommand)
	install.Dir, install.Env = "..", append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	binary := filepath.Join(dir, "pinfold")
	for _, path := range documents(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			run := newReader(t, binary)
			for _, s := range stepsOf(t, readText(t, path)) {
				if s.checkout() {
					s.standsInCheckout(t)
					continue
				}
				if s.pins && !withFirmware {
					continue
				}
				if err := run.do(s); err != nil {
					t.Fatalf("%s:%d: %s\n%v", path, s.line, s.command, err)
				}
			}
		})
	}
}

// installCommand is how the README has pinfold made.
const installCommand = "go install ./cmd/pinfold"

// checkout says that the command is one of who works on the project: it wants the whole repository, and some take hours.
func (s *step) checkout() bool {
	return strings.HasPrefix(s.command, "make ") || strings.HasPrefix(s.command, "go ")
}

// standsInCheckout checks that a command that this test does not run is run by .ci/run or before a release, or names tests
// and benchmarks that there are.
func (s *step) standsInCheckout(t *testing.T) {
	t.Helper()
	command, _, _ := strings.Cut(s.command, " #")
	command = strings.TrimSpace(command)
	scripts := readText(t, "../.ci/run") + readText(t, "../Makefile") + readText(t, "../firmware/Makefile") + readText(t, "../firmware/art.mk")
	if strings.HasPrefix(command, "go test ") {
		if err := tests(command); err != nil {
			t.Errorf("line %d: %s: %v", s.line, command, err)
		}
		return
	}
	run := command == installCommand || strings.Contains(scripts, "cd .. && "+command) || strings.Contains(scripts, command)
	if made := strings.Fields(command); made[0] == "make" {
		target := slices.DeleteFunc(made[1:], func(word string) bool {
			return word == "-C" || word == "firmware" && len(made) > 2 || strings.Contains(word, "=")
		})
		run = len(target) > 0
		for _, name := range target {
			run = run && regexp.MustCompile(`(?m)^([\w-]+ )*`+regexp.QuoteMeta(name)+`\b.*:`).MatchString(scripts)
		}
	}
	if !run {
		t.Errorf("line %d: %s: nothing runs it", s.line, command)
	}
}

// tests returns an error unless each pattern of a go test command matches a test or a benchmark of its package.
func tests(command string) error {
	words := strings.Fields(strings.ReplaceAll(command, "'", ""))
	folder := words[len(words)-1]
	for _, w := range words {
		if strings.HasPrefix(w, "./") {
			folder = w
		}
	}
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no tests in %s (%w)", folder, err)
	}
	var functions []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, f := range regexp.MustCompile(`(?m)^func (?:Test|Benchmark)(\w+)|flag\.\w+\("(\w+)"`).FindAllStringSubmatch(string(text), -1) {
			functions = append(functions, f[1])
		}
	}
	for i, w := range words[:len(words)-1] {
		if w != "-run" && w != "-bench" || words[i+1] == "^$" {
			continue
		}
		name, _, _ := strings.Cut(words[i+1], "/")
		pattern := regexp.MustCompile(regexp.MustCompile(`Test|Benchmark|\$`).ReplaceAllString(name, ""))
		if !slices.ContainsFunc(functions, func(f string) bool { return pattern.MatchString(f) }) {
			return fmt.Errorf("nothing in %s is called %s", folder, words[i+1])
		}
	}
	return nil
}

// TestNothingElse: no command stands outside the blocks that are run, and each go test in the text is one that there is.
func TestNothingElse(t *testing.T) {
	command := regexp.MustCompile(`^(?:\$ )?(?:\w+=\S+ )*(?:pinfold|make|go|grpcurl|curl|nats|docker)(?: |$)`)
	for _, path := range documents(t) {
		text := readText(t, path)
		for _, b := range blocks(t, text) {
			for line := range strings.Lines(b.text) {
				if b.mark != "sh" && b.mark != "text" && command.MatchString(strings.TrimSpace(line)) {
					t.Errorf("%s:%d: %q is not run: mark the block sh", path, b.line, line)
				}
			}
		}
		fenced := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			if indented, ok := strings.CutPrefix(line, "    "); ok && !fenced && command.MatchString(indented) {
				t.Errorf("%s:%d: %q is not run: put it into a block marked sh", path, i+1, line)
			}
		}
		for _, quoted := range regexp.MustCompile("`(go test [^`]+)`").FindAllStringSubmatch(text, -1) {
			if err := tests(quoted[1]); err != nil {
				t.Errorf("%s: %s: %v", path, quoted[1], err)
			}
		}
	}
}

// documents returns the path of every document of the repository.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"../*.md", "../*/*.md", "../*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	return slices.DeleteFunc(paths, func(path string) bool { return strings.HasPrefix(path, "../firmware/build/") })
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reader is somebody with a shell who does what a document says.
type reader struct {
	t     *testing.T
	shell *exec.Cmd
	input *os.File
	codes *bufio.Reader // of the commands, a line each
	dir   string        // what the commands printed
	ports *strings.Replacer
	count int
}

func newReader(t *testing.T, binary string) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir()}
	programs, folder := t.TempDir(), t.TempDir()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pinfold", "grpcurl"} {
		if err := os.Symlink(own, filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	var pairs, back []string
	for _, p := range ports {
		free := freePort(t)
		if p == "4222" {
			_, free, _ = net.SplitHostPort(strings.TrimPrefix(logtest.Start(t).URL(), "nats://"))
		}
		pairs, back = append(pairs, p+"="+free), append(back, "127.0.0.1:"+free, "127.0.0.1:"+p)
	}
	r.ports = strings.NewReplacer(back...)

	r.shell = exec.Command("bash", "--norc")
	r.shell.Dir = folder
	r.shell.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), portsVariable+"="+strings.Join(pairs, ","), binaryVariable+"="+binary)
	r.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, codes := pipe(t), pipe(t)
	r.shell.Stdin, r.shell.Stderr, r.shell.ExtraFiles = input[0], os.Stderr, []*os.File{codes[1]}
	if err := r.shell.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = input[0].Close(), codes[1].Close()
	r.input, r.codes = input[1], bufio.NewReader(codes[0])
	t.Cleanup(r.leave)
	return r
}

// leave ends what still runs, and waits for it.
func (r *reader) leave() {
	_ = r.input.Close()
	_ = syscall.Kill(-r.shell.Process.Pid, syscall.SIGTERM)
	_, _ = r.codes.ReadString(0) // until all that have the other end are gone
	_ = r.shell.Wait()
}

func pipe(t *testing.T) [2]*os.File {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	return [2]*os.File{in, out}
}

// nextPort is where freePort looks next: below the ports that the system gives to connections, which come and go.
var nextPort atomic.Int64

func init() { nextPort.Store(10_000 + int64(os.Getpid())%20_000) }

func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.FormatInt(10_000+nextPort.Add(1)%20_000, 10)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// patience is for ever here.
const patience = time.Minute

// do does one step, and returns what did not come as the document says.
func (r *reader) do(s step) error {
	r.count++
	out := filepath.Join(r.dir, strconv.Itoa(r.count))
	if _, err := fmt.Fprintf(r.input, "exec >%s 2>&1\n%s\necho $? >&3\n", out, s.command); err != nil {
		return err
	}
	code, err := r.codes.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the shell ended: %w", err)
	}
	got, err := r.printed(out)
	for end := time.Now().Add(patience); s.program() && err == nil && !s.agrees(got) && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
		got, err = r.printed(out)
	}
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(code) != strconv.Itoa(s.code):
		return fmt.Errorf("it ended with %s, not %d, and printed:\n%s", strings.TrimSpace(code), s.code, got)
	case !s.agrees(got):
		return fmt.Errorf("it printed:\n%s\nand not, as is said:\n%s", got, s.prints)
	}
	return nil
}

func (r *reader) printed(path string) (string, error) {
	b, err := os.ReadFile(path)
	return r.ports.Replace(string(b)), err
}

// grpcurl makes one call, as `grpcurl -plaintext -d JSON ADDRESS SERVICE/METHOD` does. It is itself no part of this.
func grpcurl(args []string) error {
	if len(args) != 5 || args[0] != "-plaintext" || args[1] != "-d" {
		return fmt.Errorf("want -plaintext -d JSON ADDRESS SERVICE/METHOD, got %q", args)
	}
	service, name, _ := strings.Cut(args[4], "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service).Append(protoreflect.Name(name)))
	if err != nil {
		return err
	}
	method := found.(protoreflect.MethodDescriptor)
	request, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal([]byte(args[2]), request); err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+here(args[3]), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, "/"+args[4])
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Println(protojson.MarshalOptions{Multiline: true}.Format(answer)) //nolint:forbidigo // it is a program here
	}
}
