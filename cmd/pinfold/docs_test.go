package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"pinfold/client"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExampleInDocs compares the app in docs/api.md with the program that is built.
func TestExampleInDocs(t *testing.T) {
	if !strings.Contains(readText(t, "../../docs/api.md"), "```go\n"+readText(t, "../../examples/tap/main.go")+"```\n") {
		t.Error("docs/api.md does not hold examples/tap/main.go")
	}
}

// TestCallsInDocs checks that docs/api.md shows every call of the public API, with a request that can be sent.
func TestCallsInDocs(t *testing.T) {
	shown := map[protoreflect.FullName]bool{}
	calls := regexp.MustCompile(`grpcurl -plaintext -d '(.*)' 127\.0\.0\.1:7400 (\S+)/(\S+)`)
	for _, call := range calls.FindAllStringSubmatch(readText(t, "../../docs/api.md"), -1) {
		name := protoreflect.FullName(call[2]).Append(protoreflect.Name(call[3]))
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		shown[name] = true
		if err := protojson.Unmarshal([]byte(call[1]), dynamicpb.NewMessage(d.(protoreflect.MethodDescriptor).Input())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []protoreflect.FileDescriptor{gatewayv1.File_pinfold_gateway_v1_gateway_proto, gatewayv1.File_pinfold_gateway_v1_audit_proto} {
		services := file.Services()
		for i := range services.Len() {
			methods := services.Get(i).Methods()
			for j := range methods.Len() {
				if name := methods.Get(j).FullName(); !shown[name] {
					t.Errorf("docs/api.md does not show %s", name)
				}
			}
		}
	}
}

// TestTapOnce runs the example.
func TestTapOnce(t *testing.T) {
	w := startUp(t, t.TempDir())
	faces, err := tapOnce(t.Context(), client.New(w.conn))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faces {
		if f.GetFriends() != 1 || f.GetNextBackground().GetFriendsMore() != 4 {
			t.Errorf("got %v, want one friend and four more to the next background", f)
		}
	}
}
