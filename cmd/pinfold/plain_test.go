package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// hostile is a text that a terminal would obey.
const hostile = "a\x1b[2J\x1b]0;owned\x07\r\x08\u009b31m\u202e\u2066\x7fz"

func TestPlainWriter(t *testing.T) {
	const want = `a\u001b[2J\u001b]0;owned\u0007\u000d\u0008\u009b31m\u202e\u2066\u007fz` + "\n\tÉß水泳…▪\ufffd"
	for name, reader := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
		var out bytes.Buffer
		w := &plainWriter{to: &out}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{reader(strings.NewReader(hostile + "\n\tÉß水泳…▪\x9b"))}, make([]byte, 100)); err != nil || out.String() != want {
			t.Errorf("%s: got %q, %v, want %q", name, out.String(), err, want)
		}
	}
	if _, err := fmt.Fprint(&plainWriter{to: iotest.TruncateWriter(nil, 0)}, "x"); err != nil {
		t.Errorf("got %v", err)
	}
}

// hostileGateway answers each call with an error, or with a message whose every text is hostile, and serves.
func hostileGateway(t *testing.T, fails bool) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if fails {
			return status.Error(codes.InvalidArgument, hostile)
		}
		method, _ := grpc.MethodFromServerStream(stream)
		name := protoreflect.FullName(strings.ReplaceAll(strings.Trim(method, "/"), "/", "."))
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return err
		}
		answer := dynamicpb.NewMessage(found.(protoreflect.MethodDescriptor).Output())
		fill(answer, 3)
		return stream.SendMsg(answer)
	}))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// fill puts hostile texts into a message, in lists one, and into what it holds so many levels deep.
func fill(m protoreflect.Message, deep int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		value := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(hostile)
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte(hostile))
			case protoreflect.MessageKind:
				return protoreflect.Value{}
			}
			return f.Default()
		}
		switch {
		case f.IsMap():
		case f.IsList() && f.Kind() == protoreflect.MessageKind && deep > 0:
			fill(m.Mutable(f).List().AppendMutable().Message(), deep-1)
		case f.IsList() && f.Kind() != protoreflect.MessageKind:
			m.Mutable(f).List().Append(value())
		case f.Kind() == protoreflect.MessageKind && deep > 0:
			fill(m.Mutable(f).Message(), deep-1)
		case f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind:
			m.Set(f, value())
		}
	}
}

// TestHostileAnswers: whatever a gateway, an admin listener or a file says, no command prints what a terminal would obey.
func TestHostileAnswers(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%q", hostile), `\x`, `\u00`), `\a`, `\u0007`)
		fmt.Fprintf(w, `{"services": [{"name": %[1]s, "serving": true, "numbers": {%[1]s: 1}, "reasons": [%[1]s]}], "reasons": [%[1]s], "log_error": %[1]s}`, text)
	}))
	defer admin.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file"+strings.ReplaceAll(hostile, "/", ""))
	if err := os.WriteFile(file, []byte(hostile+" 1 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"status", "--admin", strings.TrimPrefix(admin.URL, "http://")},
		{"demo", "--exit", "--listen", "127.0.0.1:0", "--contacts", file},
		{"rules", "check", file},
		{"audit", "verify", file},
		{"audit", "check", file, "--checkpoint-key", hostile},
		{"up", "--games", hostile},
		{hostile},
	}
	for _, fails := range []bool{false, true} {
		gateway := hostileGateway(t, fails)
		commands = append(commands, []string{"try", "--gateway", gateway}, []string{"audit", "checkpoint", "--gateway", gateway},
			[]string{"audit", "certificate", "--gateway", gateway, "--wearer", "ceirceirceirceirceirceirce", "--medal", "bronze", "--out", filepath.Join(dir, "out")},
			[]string{"crowd", "--gateway", gateway, "--people", "2", "--days", "1"})
	}
	for _, args := range commands {
		for _, output := range []string{"table", "json"} {
			_, stdout, stderr := pinfold(t, append(args, "--output", output)...)
			for _, r := range stdout + stderr {
				if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
					t.Errorf("%q prints %q: %q", args, r, stdout+stderr)
					break
				}
			}
			if stdout+stderr == "" {
				t.Errorf("%q prints nothing", args)
			}
		}
	}
}

// TestNonsense: a flag that is a number or a duration takes no value that makes no sense, whatever the command.
func TestNonsense(t *testing.T) {
	// What makes sense though it looks strange.
	fine := map[string]bool{
		"--seed=0": true, "--speed=0": true, "--loss=0": true, "--workers=0": true, "--tolerance=0": true, "--tolerance=0s": true,
		"--log-bytes=0": true,
	}
	var cli CLI
	exited := 0
	parser, err := newParser(&cli, io.Discard, io.Discard, func(int) { exited++ })
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, command := range parser.Model.Leaves(false) {
		path := strings.Fields(strings.TrimPrefix(command.FullPath(), "pinfold"))
		for _, f := range command.AllFlags(false) {
			for _, flag := range f {
				for _, value := range nonsense(flag) {
					arg := "--" + flag.Name + "=" + value
					if fine[arg] {
						continue
					}
					tried++
					var own CLI
					p, err := newParser(&own, io.Discard, io.Discard, func(int) { exited++ })
					if err != nil {
						t.Fatal(err)
					}
					_, err = p.Parse(append(append(path, required(t, command)...), arg))
					if err == nil || !strings.Contains(err.Error(), flag.Name) {
						t.Errorf("%v %s: %v", path, arg, err)
					}
				}
			}
		}
	}
	if tried < 50 || exited > 0 {
		t.Errorf("%d values were tried", tried)
	}
}

// nonsense returns values that no flag of this type takes.
func nonsense(f *kong.Flag) []string {
	target := f.Target
	switch _, text := target.Interface().(interface{ String() string }); {
	case f.Name == "timeout":
		return []string{"-1h", "0s", "0", "1", "NaN", "x", ""}
	case target.Type() == reflect.TypeFor[time.Duration](), target.Type() == reflect.TypeFor[tolerance]():
		return []string{"-1h", "0s", "0", "1", "NaN", "1000000h", "x", ""}
	case target.Kind() == reflect.Float64:
		return []string{"NaN", "Inf", "-Inf", "-1", "1e300", "0", "x", ""}
	case target.Kind() >= reflect.Int && target.Kind() <= reflect.Int64 && !text:
		return []string{"-1", "0", "1e3", "9223372036854775808", fmt.Sprint(math.MinInt64), "x", ""}
	case target.Kind() >= reflect.Uint && target.Kind() <= reflect.Uint64:
		return []string{"-1", "0", "18446744073709551616", "x", ""}
	}
	return nil
}

// required returns what a command wants beside the flag that is tried.
func required(t *testing.T, command *kong.Node) (args []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range command.Positional {
		if a.Required {
			args = append(args, file)
		}
	}
	for _, group := range command.AllFlags(false) {
		for _, f := range group {
			if f.Required && f.Target.Kind() == reflect.String {
				args = append(args, "--"+f.Name+"="+file)
			}
		}
	}
	return args
}

// TestLongWords: what was typed comes back cut, whoever makes the error of it.
func TestLongWords(t *testing.T) {
	word := strings.Repeat("x", 100_000)
	for _, args := range [][]string{
		{word},
		{"up", "--" + word},
		{"demo", "--people", word},
		{"demo", "--contacts", word},
		{"up", "--listen", word + ":1"},
		{"up", "--data", "/" + word},
		{"bridge", "--wearer", "ceirceirceirceirceirceirce", "--pin", "unix:" + word},
		{"status", "--admin", word + ":1"},
		{"try", "--gateway", word},
		{"audit", "verify", word},
		{"rules", "check", word},
	} {
		for _, output := range []string{"table", "json"} {
			code, stdout, stderr := pinfold(t, append(args, "--output", output)...)
			if code == exitOK || len(stdout)+len(stderr) > 4000 {
				t.Errorf("%.40q: exit code %d and %d bytes", args, code, len(stdout)+len(stderr))
			}
		}
	}
}

// TestAddresses: a port that there cannot be is wrong usage, in every command.
func TestAddresses(t *testing.T) {
	for _, args := range [][]string{
		{"up", "--listen", "127.0.0.1:99999"},
		{"up", "--admin", "127.0.0.1"},
		{"up", "--tap-listen", "7401"},
		{"status", "--admin", "127.0.0.1:7490,x"},
		{"try", "--gateway", "127.0.0.1:-1"},
		{"crowd", "--gateway", "nowhere"},
		{"gateway", "--nats", "nats://127.0.0.1:1", "--steps", "127.0.0.1:http"},
		{"demo", "--listen", ":7400"},
	} {
		if code, _, stderr := pinfold(t, args...); code != exitUsage || !strings.Contains(stderr, "want HOST:PORT") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}
