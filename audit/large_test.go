//go:build long

package audit_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"pinfold/audit"
	"pinfold/internal/fact"
)

var (
	largeFacts = flag.Uint64("facts", 5_000_000, "how many facts the large log has, at least")
	largeSeed  = flag.Uint64("seed", 0, "seed of the large log; 0 = a random one, printed")
)

// largeHeap returns what the audit of a large log may have in use, in bytes, however many facts the log has. Half of it is
// what the garbage collector has not looked at yet.
func largeHeap() uint64 { return 256<<20 + 32<<20*uint64(runtime.GOMAXPROCS(0)) }

// TestLargeLog verifies an archive that is much larger than what the audit may keep in memory.
func TestLargeLog(t *testing.T) {
	seed := *largeSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	t.Logf("seed %d; again: make audit-large SEED=%d", seed, seed)
	path := filepath.Join(t.TempDir(), "large.pinfold")
	want := writeLarge(t, path, seed, *largeFacts)
	runtime.GC()

	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive, err := audit.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	peak := watchHeap()
	begin := time.Now()
	got, err := audit.Verify(context.Background(), verifyGames, archive.Messages(), audit.Options{Scratch: t.TempDir()})
	took := time.Since(begin)
	heap := peak()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d facts in %v: %.0f facts/s, at most %d MiB of heap and stacks", got.Facts, took.Round(time.Second),
		float64(got.Facts)/took.Seconds(), heap>>20)
	want.Size, want.Root = fact.Seq(want.Facts), got.Root // the root is left to other tests
	if !reflect.DeepEqual(got, want) {
		got.Findings = got.Findings[:min(len(got.Findings), 10)]
		t.Errorf("got %+v, want %+v", got, want)
	}
	if heap > largeHeap() {
		t.Errorf("%d MiB of heap and stacks were in use, want at most %d", heap>>20, largeHeap()>>20)
	}
}

// watchHeap looks at the heap and the stacks in use until peak is called, which returns the most that was seen, in bytes.
func watchHeap() (peak func() uint64) {
	done, most := make(chan struct{}), make(chan uint64)
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var highest uint64
		for {
			metrics.Read(samples)
			highest = max(highest, samples[0].Value.Uint64()+samples[1].Value.Uint64()+samples[2].Value.Uint64())
			select {
			case <-tick.C:
			case <-done:
				most <- highest
				return
			}
		}
	}()
	return func() uint64 { close(done); return <-most }
}
