package main

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"pinfold/internal/serve"
)

const (
	maxEchoed = 80   // characters of a value
	maxAnswer = 2048 // bytes of an answer to a value that is wrong
)

// TestEcho sends far too long a value in each text of each call of each service: the answer is short, it holds little of the
// value, and the connection goes on.
func TestEcho(t *testing.T) {
	w := startUp(t, t.TempDir())
	p := newPerson(0)
	w.enrol(t, p)
	good := map[string]string{"wearer": p.wearer.String(), "day": "2021-07-23", "pin": p.pin.ID().String(), "carrier": p.pin.ID().String()}
	addresses := map[string]string{"gateway": w.at.Gateway, "tap": w.at.Tap, "rewards": w.at.Rewards, "steps": w.at.Steps}
	values := map[string]string{"4 MB": strings.Repeat("Q", serve.MaxMessage-4096), "controls": strings.Repeat("Q\x1b\u009b\u202e", 50)}
	tried := map[string]int{}
	for _, method := range methods() {
		service := strings.Split(string(method.FullName()), ".")[1]
		conn, err := dialPlain(addresses[service])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, path := range texts(method.Input()) {
			for name, value := range values {
				tried[service]++
				where := string(method.FullName()) + " " + pathName(path) + " of " + name
				said := answerTo(t.Context(), conn, method, request(method.Input(), good, path, value))
				if n := strings.Count(said, "Q"); n > maxEchoed || len(said) > maxAnswer {
					t.Errorf("%s: %d bytes, with %d of the value: %.200s", where, len(said), n, said)
				}
				if state := conn.GetState(); state != connectivity.Ready {
					t.Errorf("%s: the connection is %v: %.200s", where, state, said)
				}
			}
		}
	}
	for service := range addresses {
		if tried[service] == 0 {
			t.Errorf("no text of the %s service was tried", service)
		}
	}
}

// methods are those of all services.
func methods() (all []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if s := f.Services().Get(i); strings.HasPrefix(string(s.FullName()), "pinfold.") {
				for j := range s.Methods().Len() {
					all = append(all, s.Methods().Get(j))
				}
			}
		}
		return true
	})
	return all
}

// texts are the paths to all strings and bytes of a message.
func texts(m protoreflect.MessageDescriptor) (paths [][]protoreflect.FieldDescriptor) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		switch f.Kind() {
		case protoreflect.StringKind, protoreflect.BytesKind:
			paths = append(paths, []protoreflect.FieldDescriptor{f})
		case protoreflect.MessageKind:
			for _, rest := range texts(f.Message()) {
				paths = append(paths, append([]protoreflect.FieldDescriptor{f}, rest...))
			}
		}
	}
	return paths
}

func pathName(path []protoreflect.FieldDescriptor) string {
	var names []string
	for _, f := range path {
		names = append(names, string(f.Name()))
	}
	return strings.Join(names, ".")
}

// request is one whose texts are good where they are known, but for that at the path.
func request(m protoreflect.MessageDescriptor, good map[string]string, path []protoreflect.FieldDescriptor, value string) proto.Message {
	msg := dynamicpb.NewMessage(m)
	fillGood(msg, good)
	at := protoreflect.Message(msg)
	for _, f := range path[:len(path)-1] {
		if f.IsList() {
			list := at.Mutable(f).List()
			if list.Len() == 0 {
				fillGood(list.AppendMutable().Message(), good)
			}
			at = list.Get(0).Message()
		} else {
			at = at.Mutable(f).Message()
			fillGood(at, good)
		}
	}
	last := path[len(path)-1]
	v := protoreflect.ValueOfString(value)
	if last.Kind() == protoreflect.BytesKind {
		v = protoreflect.ValueOfBytes([]byte(value))
	}
	if last.IsList() {
		at.Mutable(last).List().Append(v)
	} else {
		at.Set(last, v)
	}
	return msg
}

func fillGood(m protoreflect.Message, good map[string]string) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if v, ok := good[string(f.Name())]; ok && f.Kind() == protoreflect.StringKind && !f.IsList() {
			m.Set(f, protoreflect.ValueOfString(v))
		}
	}
}

// answerTo returns what a call says: its error with all details, or its first answer.
func answerTo(ctx context.Context, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, req proto.Message) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	resp := dynamicpb.NewMessage(method.Output())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err == nil {
		if err = stream.SendMsg(req); err == nil {
			err = stream.CloseSend()
		}
		if err == nil || err.Error() == "EOF" {
			err = stream.RecvMsg(resp)
		}
	}
	if err == nil {
		text, _ := protojson.Marshal(resp)
		return string(text)
	}
	text, _ := protojson.Marshal(status.Convert(err).Proto())
	return string(text)
}
