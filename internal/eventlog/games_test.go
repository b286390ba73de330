package eventlog_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"pinfold/internal/eventlog"
	"pinfold/internal/eventlog/logtest"
)

// TestOtherGames: where there is no log of the Games that were asked for, those that have one are named.
func TestOtherGames(t *testing.T) {
	nc := logtest.Start(t).Connect()
	want := func(games, there string) {
		t.Helper()
		if _, err := eventlog.Open(t.Context(), nc, games); !errors.Is(err, eventlog.ErrNoLog) || err.Error() != "log: no stream for these Games: "+games+there {
			t.Errorf("got %v, want %q", err, there)
		}
	}
	want("tokyo2021", "")
	for _, games := range []string{"tokyo2020", "a-1"} {
		if _, err := eventlog.Create(t.Context(), nc, games, 1); err != nil {
			t.Fatal(err)
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PINFOLD_UPPER_1", "PINFOLD_x_0", "PINFOLD_x", "OTHER_x_1"} { // logs of no Games
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	want("tokyo2021", "; there are a-1, tokyo2020")
	if got, err := eventlog.Games(t.Context(), nc); err != nil || !slices.Equal(got, []string{"a-1", "tokyo2020"}) {
		t.Errorf("got %v, %v", got, err)
	}
}
