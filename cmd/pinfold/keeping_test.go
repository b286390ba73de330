//go:build long

package main

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"pinfold/internal/eventlog"
	"pinfold/internal/fact"
)

// TestAwakeMaking: the log is made once as many servers are there as are to keep it; bounded, three that keep it say that
// it is full, and go on once the bound is raised.
func TestAwakeMaking(t *testing.T) {
	c := startCluster(t, 3, 2, "max_file_store: 20MB")
	await(t, "a connection", func() bool { return c.js.Conn().IsConnected() })
	_, err := eventlog.Create(t.Context(), c.js.Conn(), "tokyo2020", 3, 2_000_000)
	if !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("with two servers of three: got %v, want ErrUnreachable", err)
	}
	c.nodes[2].start(t)
	await(t, "three nodes", func() bool { return c.ready(t) })
	if _, err := eventlog.Create(t.Context(), c.js.Conn(), "tokyo2020", 5, 2_000_000); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("on five servers, of which there are three: got %v, want ErrUnreachable", err)
	}
	var log *eventlog.JetStream
	await(t, "the log", func() bool {
		log, err = eventlog.Create(t.Context(), c.js.Conn(), "tokyo2020", 3, 2_000_000)
		return err == nil
	})
	if log.Replicas() != 3 {
		t.Errorf("%d servers keep the log, want 3", log.Replicas())
	}
	c.whole(t)
	var batch eventlog.Batch
	for i := range 500 {
		batch.Records = append(batch.Records, fact.Record{Fact: fact.HalfReported{Half: fact.Half{
			Pin: fact.PinID{1}, Peer: fact.PinID{2}, Counter: fact.Counter(i), Link: fact.LinkWire,
		}}})
	}
	for err == nil {
		_, err = log.Append(t.Context(), batch)
	}
	if !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	stream, err := c.js.Stream(t.Context(), c.stream)
	if err != nil {
		t.Fatal(err)
	}
	raised := stream.CachedInfo().Config
	raised.MaxBytes *= 2
	if _, err := c.js.UpdateStream(t.Context(), raised); err != nil {
		t.Fatal(err)
	}
	await(t, "room", func() bool { _, err := log.Append(t.Context(), batch); return err == nil })
}

// ready reports whether the cluster has a leader and makes streams.
func (c *cluster) ready(t *testing.T) bool {
	t.Helper()
	_, err := c.js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "READY", Subjects: []string{"ready"}, Replicas: len(c.nodes)})
	return err == nil
}
