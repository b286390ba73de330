package server

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/serve"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// TestTreeHasNoRoom runs a gateway that cannot make the file of its tree, as on a full disk: it serves, and says what it
// does not; once there is room the tree is there.
func TestTreeHasNoRoom(t *testing.T) {
	embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Stop)
	nc, err := embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	dir := t.TempDir()
	obstacle := filepath.Join(dir, "full")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Config: serveConfig(nc), Replicas: 1, Tap: "127.0.0.1:1", Rewards: "127.0.0.1:1", Steps: "127.0.0.1:1", Limits: DefaultLimits(),
		Notary: Notary{Tree: filepath.Join(obstacle, "tree.db"), Keys: filepath.Join(dir, "keys"), Every: DefaultEvery, Begin: true},
	}
	c.View = filepath.Join(dir, "gateway.db")
	if c.Listener, err = serve.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = serve.OpenAdmin("127.0.0.1:0", quiet, "gateway"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- c.Admin.Run(ctx) }()
	go func() { ended <- Run(ctx, c) }()
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	conn, err := grpc.NewClient(c.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := gatewayv1.NewAuditServiceClient(conn)
	ask := func() (*gatewayv1.GetCheckpointResponse, error) {
		for { // the gateway may not serve yet, or have tried to open the tree
			answer, err := client.GetCheckpoint(t.Context(), &gatewayv1.GetCheckpointRequest{}, grpc.WaitForReady(true))
			if status.Code(err) != codes.Unavailable || serve.Reason(err) != "" {
				return answer, err
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	if _, err := ask(); serve.Reason(err) != "AUDIT_PAUSED" || !strings.Contains(err.Error(), filepath.Base(obstacle)) ||
		strings.Contains(err.Error(), filepath.Dir(obstacle)) {
		t.Errorf("got %v, want AUDIT_PAUSED, and which file, without its folder", err)
	}
	if ready := adminText(t, c.Admin, "/readyz"); !strings.HasPrefix(ready, "ready, but: ") || !strings.Contains(ready, "the Merkle tree cannot grow: ") {
		t.Errorf("/readyz says %q", ready)
	}
	if metrics := adminText(t, c.Admin, "/metrics"); !strings.Contains(metrics, "pinfold_notary_paused 1") || !strings.Contains(metrics, "pinfold_notary_seq 0") {
		t.Error("the metrics do not say that the tree is paused")
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := ask()
		if err == nil {
			if answer.GetCheckpoint() == "" {
				t.Error("got an empty checkpoint")
			}
			break
		}
		if serve.Reason(err) != "AUDIT_PAUSED" {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if metrics := adminText(t, c.Admin, "/metrics"); !strings.Contains(metrics, "pinfold_notary_paused 0") || !strings.Contains(metrics, "pinfold_notary_signs 1") {
		t.Error("the metrics do not say that the tree grows and is signed")
	}
	if ready := adminText(t, c.Admin, "/readyz"); strings.Contains(ready, "Merkle") {
		t.Errorf("/readyz says %q", ready)
	}
}

// adminText returns what the admin listener answers.
func adminText(t *testing.T, a *serve.Admin, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Address()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
