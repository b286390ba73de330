package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"pinfold/internal/view"
)

// OpenView opens a cache of the log, and says so where it is to be rebuilt.
func OpenView(path string, logger *slog.Logger) (*view.Bolt, error) {
	store, err := view.OpenBolt(path)
	if err != nil {
		return nil, err
	}
	if _, other := errors.AsType[*view.FormatError](store.Remade()); other {
		logger.Info("a file of another version: it is rebuilt from the log", "file", path, "why", store.Remade())
	} else if store.Remade() != nil {
		logger.Error("a file is damaged: it is set aside and rebuilt from the log", "file", path, "error", store.Remade())
	}
	return store, nil
}

// Rebuilding runs a service, and runs it again whenever a cache of it turns out to be damaged while it is in use. The
// cache is set aside first, so that the service rebuilds it; until it has, it does not serve, and callers wait for the
// listener or hear that it is not serving. It closes the listener at the end.
func Rebuilding(ctx context.Context, c Config, run func(context.Context, Config) error) error {
	defer c.Listener.Close()
	pause := firstRebuildPause
	for {
		began := time.Now()
		round := c
		var err error
		if round.Listener, err = sameSocket(c.Listener); err != nil {
			return IgnoreEnd(ctx, err)
		}
		err = run(ctx, round)
		_ = round.Listener.Close() // run has closed it, or did not come so far
		damaged, ok := errors.AsType[*view.DamagedError](err)
		if !ok || !damaged.Cache || ctx.Err() != nil {
			return err
		}
		aside, err := view.SetAside(damaged.Path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %w", damaged, err)
		}
		c.Logger.Error("a file in use is damaged: it is set aside and rebuilt from the log", "file", damaged.Path, "error", damaged, "aside", aside)
		if time.Since(began) > lastRebuildPause {
			pause = firstRebuildPause
		}
		select { // a disk that damages each file at once is not to be worn out
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, lastRebuildPause)
	}
}

// The pause before a cache is rebuilt doubles with each one that was damaged again soon.
const (
	firstRebuildPause = 10 * time.Millisecond
	lastRebuildPause  = time.Minute
)

// sameSocket returns a second listener of the same socket, so that closing it closes nothing to callers: they wait.
func sameSocket(l net.Listener) (net.Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listener of type %T: want TCP", l)
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}
