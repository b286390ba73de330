package gateway_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

// games names the Games of these tests.
const games = "tokyo2020"

// pin is a pin whose key comes of a name, so that a failure can be read.
type pin struct {
	name    string
	private ed25519.PrivateKey
	key     fact.PublicKey
	id      fact.PinID
}

func newPin(name string) pin {
	seed := sha256.Sum256([]byte("pin " + name))
	p := pin{name: name, private: ed25519.NewKeyFromSeed(seed[:])}
	p.key = fact.PublicKey(p.private.Public().(ed25519.PublicKey))
	p.id = p.key.PinID()
	return p
}

func (p pin) sign(raw []byte) []byte {
	sig := statement.Sign(p.private, raw)
	return sig[:]
}

func wearerOf(name string) fact.WearerID {
	sum := sha256.Sum256([]byte("wearer " + name))
	return fact.WearerID(sum[:16])
}

// The facts of a roster. Folds do not look at the proof of a pairing, so it is left out.

func registered(p pin) fact.Fact { return fact.PinRegistered{Key: p.key} }
func retired(p pin) fact.Fact    { return fact.PinRetired{Pin: p.id, Reason: fact.RetiredLost} }
func erased(name string) fact.Fact {
	return fact.WearerErased{Wearer: wearerOf(name)}
}

// paired gives the pin to the wearer of the same name.
func paired(p pin) fact.Fact { return pairedWith(p, p.name) }

func pairedWith(p pin, name string) fact.Fact {
	return fact.PinPaired{Wearer: wearerOf(name), Proof: fact.Proof{Pin: p.id}}
}

// fold returns the view of a log that holds these facts.
func fold(t testing.TB, facts ...fact.Fact) *view.Memory {
	t.Helper()
	store := view.NewMemory()
	if err := store.Update(func(tx kv.Tx) error {
		for i, f := range facts {
			step(t, tx, fact.Seq(i+1), f)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return store
}

// step folds one fact. A TimePassed is stored at the time it claims.
func step(t testing.TB, tx kv.Tx, seq fact.Seq, f fact.Fact) {
	t.Helper()
	e := fact.Entry{Seq: seq, Record: fact.Record{Fact: f}}
	if passed, ok := f.(fact.TimePassed); ok {
		e.Stored = passed.Time
	}
	if derived := (gateway.Core{}).Step(tx, e); derived != nil {
		t.Errorf("fact %d derives %v, want nothing", seq, derived)
	}
}

// read runs f on the state of the store.
func read(t testing.TB, store view.Store, f func(r kv.Reader)) {
	t.Helper()
	if err := store.View(func(r view.Reader) error { f(r); return nil }); err != nil {
		t.Fatal(err)
	}
}

// refusalOf returns the refusal that the error is. Nothing else may come of bytes from outside.
func refusalOf(t testing.TB, err error) *gateway.Refusal {
	t.Helper()
	var r *gateway.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got error %v, want a refusal", err)
	}
	if r.Reason == 0 || r.Detail == "" || r.Error() != r.Detail {
		t.Errorf("got refusal %+v, want a reason and a detail", r)
	}
	return r
}
