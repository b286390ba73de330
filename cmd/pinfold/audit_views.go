package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"pinfold/audit"
	"pinfold/internal/file"
	"pinfold/internal/fold"
	"pinfold/internal/serve"
	"pinfold/internal/view"
)

// digestTimeout is how long an admin listener may take to read the views of its process.
const digestTimeout = 5 * time.Minute

// askDigests asks admin listeners, all of which must answer, for the digests of the views of their processes.
func askDigests(ctx context.Context, addresses []string) (all []serve.ViewDigest, err error) {
	ctx, cancel := context.WithTimeout(ctx, digestTimeout)
	defer cancel()
	for _, address := range addresses {
		digests, err := getDigests(ctx, strings.TrimSpace(address))
		if err != nil {
			return nil, fmt.Errorf("admin listener: %w", err)
		}
		all = append(all, digests...)
	}
	return all, nil
}

func getDigests(ctx context.Context, address string) (digests []serve.ViewDigest, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/digest", http.NoBody)
	if err != nil {
		return nil, err
	}
	// No proxy, which would not reach this machine, and no connection that outlives the answer.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, resp.Status)
	}
	if err := json.NewDecoder(file.Limit(resp.Body, "its answer", maxStatus)).Decode(&digests); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return digests, nil
}

// restingDigests reads the views that there are in the folder of a pinfold up that does not run.
func restingDigests(data string) (all []serve.ViewDigest, err error) {
	for _, service := range []string{"gateway", "tap", "rewards", "steps"} {
		at, err := restingSnapshot(filepath.Join(data, "views", service+".db"), service)
		if _, other := errors.AsType[*view.FormatError](err); other || errors.Is(err, fs.ErrNotExist) {
			continue // it is rebuilt at the next start
		}
		if err != nil {
			return nil, err
		}
		all = append(all, serve.ViewDigest{Service: service, Epoch: at.Epoch, Seq: at.Seq, Digest: at.Digest})
	}
	return all, nil
}

func restingSnapshot(path, service string) (at fold.Snapshot, err error) {
	store, err := view.OpenReadOnly(path)
	if err != nil {
		return at, err
	}
	defer store.Close()
	err = store.View(func(r view.Reader) error {
		at, err = fold.SnapshotOf(r, service)
		return err
	})
	return at, err
}

// viewsOf returns what the auditor compares. The error names a view that was folded from a log of another epoch.
func viewsOf(epoch uint32, digests []serve.ViewDigest) (views []audit.ViewDigest, err error) {
	for _, d := range digests {
		if d.Epoch != epoch && d.Epoch != 0 {
			return nil, fmt.Errorf("the view of %s is of epoch %d of the log, the log that is read of epoch %d: must be the same", d.Service, d.Epoch, epoch)
		}
		views = append(views, audit.ViewDigest{Service: d.Service, Seq: d.Seq, Digest: d.Digest})
	}
	return views, nil
}
