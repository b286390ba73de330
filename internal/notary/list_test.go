package notary_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
)

// TestList runs the same on the list in a bucket, opened twice, and on its twin in memory.
func TestList(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		var m notary.MemoryList
		testList(t, &m, &m)
	})
	t.Run("bucket", func(t *testing.T) {
		embedded, err := eventlog.StartEmbedded(t.TempDir(), 0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(embedded.Stop)
		nc, err := embedded.Connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if _, err := notary.OpenBucket(t.Context(), nc, games); !errors.Is(err, notary.ErrNoList) {
			t.Fatalf("got %v where there is no list", err)
		}
		testList(t, notary.NewBucket(nc, games, 1), notary.NewBucket(nc, games, 1))
		opened, err := notary.OpenBucket(t.Context(), nc, games)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := opened.All(t.Context()); err != nil || len(all) != 2 {
			t.Errorf("got %+v, %v, want two keys", all, err)
		}
		if _, err := notary.OpenBucket(t.Context(), nc, "paris2024"); !errors.Is(err, notary.ErrNoList) {
			t.Errorf("got %v of other Games", err)
		}
	})
}

// TestListPermissions: what docs/operations.md says that a gateway's user needs for the list is enough.
func TestListPermissions(t *testing.T) {
	const bucket = "PINFOLD_CHECKPOINTS_" + games
	s := logtest.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "gateway", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{
				"$JS.API.INFO", "$JS.API.STREAM.INFO.KV_" + bucket, "$JS.API.STREAM.CREATE.KV_" + bucket,
				"$JS.API.CONSUMER.CREATE.KV_" + bucket + ".>", "$JS.API.CONSUMER.DELETE.KV_" + bucket + ".*", "$KV." + bucket + ".*",
				"$JS.FC.KV_" + bucket + ".>",
			}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}
		o.NoAuthUser = "gateway"
	})
	nc := s.Connect()
	testList(t, notary.NewBucket(nc, games, 1), notary.NewBucket(nc, games, 1))
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); err != nil {
		t.Errorf("got %v, want nothing that was forbidden", err)
	}
}

func newListed(t *testing.T) (l notary.Listed, name string) {
	t.Helper()
	_, public, err := merkle.GenerateKey(games)
	if err != nil {
		t.Fatal(err)
	}
	l = notary.Listed{Public: public}
	if name, err = l.Name(); err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(public, "+")[1]; name != want {
		t.Fatalf("the key %s is called %s, want %s", public, name, want)
	}
	return l, name
}

// testList writes through one and reads through the other.
func testList(t *testing.T, one, other notary.List) {
	wantAll := func(want ...notary.Listed) {
		t.Helper()
		slices.SortFunc(want, func(a, b notary.Listed) int { return strings.Compare(a.Public, b.Public) })
		if got, err := other.All(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	put := func(l notary.Listed) notary.Listed {
		t.Helper()
		revision, err := one.Put(t.Context(), l)
		if err != nil || revision <= l.Revision {
			t.Fatalf("put: revision %d, %v", revision, err)
		}
		l.Revision = revision
		return l
	}
	wantAll()
	a, name := newListed(t)
	b, _ := newListed(t)
	a = put(a)
	wantAll(a)
	b = put(b)
	wantAll(a, b)
	stale := a
	a.Newest = "a checkpoint\n"
	a = put(a)
	wantAll(a, b)
	again := a
	again.Revision = 0
	for _, l := range []notary.Listed{stale, again} {
		if _, err := one.Put(t.Context(), l); !errors.Is(err, notary.ErrListChanged) {
			t.Errorf("put at revision %d, and it is %d: got %v", l.Revision, a.Revision, err)
		}
	}
	wantAll(a, b)
	if err := notary.Remove(t.Context(), one, name); err != nil {
		t.Fatal(err)
	}
	if got, err := other.All(t.Context()); err != nil || len(got) != 2 || removed(got) != a.Public {
		t.Errorf("got %+v, %v, want both, and %s as removed", got, err, name)
	}
	if err := notary.Remove(t.Context(), one, "01234567"); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("removing a key that is not there: got %v, want the names of those that are", err)
	}
	if _, err := one.Put(t.Context(), notary.Listed{Public: "none"}); err == nil {
		t.Error("what is no key was put")
	}
}

// removed returns the only one that is marked so.
func removed(list []notary.Listed) (public string) {
	for _, l := range list {
		if l.Removed {
			public += l.Public
		}
	}
	return public
}
