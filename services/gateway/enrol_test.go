package gateway_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/statement"
	"pinfold/internal/view"
	"pinfold/services/gateway"
)

func TestRegister(t *testing.T) {
	store := people(t)
	eve, fay := newPin("eve"), newPin("fay") // not registered yet
	for name, tt := range map[string]struct {
		pins []pin
		want []pin // that the facts register, in order
	}{
		"none":                          {nil, nil},
		"a new one":                     {[]pin{eve}, []pin{eve}},
		"two, in their order":           {[]pin{fay, eve}, []pin{fay, eve}},
		"one that is there":             {[]pin{alice}, nil},
		"all are there":                 {[]pin{alice, bob, dora}, nil},
		"a new one among them":          {[]pin{alice, eve, bob}, []pin{eve}},
		"a new one twice":               {[]pin{eve, eve}, []pin{eve}},
		"a new one again behind others": {[]pin{eve, alice, fay, eve, fay}, []pin{eve, fay}},
		"one that is retired":           {[]pin{carol, emil}, nil},
		"one that was named, no more":   {[]pin{mallory}, []pin{mallory}},
		"one whose wearer was erased":   {[]pin{frida}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := register(t, store, tt.pins...)
			if err != nil {
				t.Fatal(err)
			}
			var want []fact.Fact
			for _, p := range tt.want {
				want = append(want, registered(p))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestRegisterAgain folds what Register returned and asks again: nothing is left to do.
func TestRegisterAgain(t *testing.T) {
	pins := []pin{newPin("eve"), alice, newPin("fay"), newPin("eve")}
	facts, err := register(t, view.NewMemory(), pins...)
	if err != nil {
		t.Fatal(err)
	}
	if len(facts) != 3 {
		t.Errorf("got %d facts, want 3", len(facts))
	}
	store := fold(t, facts...)
	again, err := register(t, store, pins...)
	if err != nil || again != nil {
		t.Errorf("again: got %v, %v, want nothing", again, err)
	}
}

// TestRegisterMismatch: one id that is not the hash of its key, and nothing of the request is registered.
func TestRegisterMismatch(t *testing.T) {
	eve := newPin("eve")
	flipped := eve.id
	flipped[7] ^= 1
	for name, tt := range map[string]struct {
		ids  []fact.PinID
		keys []fact.PublicKey
		at   string
	}{
		"another pin's id": {[]fact.PinID{bob.id}, []fact.PublicKey{eve.key}, "pins[0]"},
		"one bit":          {[]fact.PinID{flipped}, []fact.PublicKey{eve.key}, "pins[0]"},
		"behind good ones": {[]fact.PinID{alice.id, eve.id, bob.id}, []fact.PublicKey{alice.key, eve.key, eve.key}, "pins[2]"},
		"of one that is there, with its key changed": {[]fact.PinID{alice.id}, []fact.PublicKey{eve.key}, "pins[0]"},
		"a key of small order too":                   {[]fact.PinID{eve.id}, []fact.PublicKey{{1}}, "pins[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			read(t, people(t), func(r kv.Reader) {
				facts, err := gateway.Register(r, tt.ids, tt.keys)
				if refusal := refusalOf(t, err); refusal.Reason != gateway.KeyMismatch || !strings.HasPrefix(refusal.Detail, tt.at+":") || facts != nil {
					t.Errorf("got %v and %v, want KEY_MISMATCH at %s", facts, refusal, tt.at)
				}
			})
		})
	}
}

// smallOrderKeys are the encodings of the points of small order: the 7 that libsodium lists, each with both signs.
func smallOrderKeys(t *testing.T) map[string]fact.PublicKey {
	t.Helper()
	ff := strings.Repeat("ff", 30)
	keys := map[string]fact.PublicKey{}
	for name, text := range map[string]string{
		"order 4":               strings.Repeat("00", 32),
		"order 1":               "01" + strings.Repeat("00", 31),
		"order 8":               "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, the other":    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 2":               "ec" + ff + "7f",
		"order 4, written as p": "ed" + ff + "7f",
		"order 1, as p+1":       "ee" + ff + "7f",
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		key := fact.PublicKey(raw)
		keys[name] = key
		key[31] |= 0x80
		keys[name+", with the sign bit"] = key
	}
	return keys
}

// TestSmallOrder: no key of small order is registered, wherever it stands in the request. That each of them is worth
// refusing is shown by a signature that nobody made, which crypto/ed25519 takes for many messages.
func TestSmallOrder(t *testing.T) {
	store := people(t)
	keys := smallOrderKeys(t)
	if len(keys) != 14 {
		t.Fatalf("got %d keys, want 14", len(keys))
	}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			// R is the neutral point and S is 0: it verifies wherever the hash is a multiple of the key's order.
			var forged fact.Signature
			forged[0] = 1
			fits := 0
			for i := range uint32(200) {
				if statement.Verify(key, binary.BigEndian.AppendUint32(nil, i), forged) {
					fits++
				}
			}
			if fits < 10 {
				t.Errorf("the forged signature fits %d of 200 messages, want about 200 divided by the order", fits)
			}
			read(t, store, func(r kv.Reader) {
				for at, keys := range [][]fact.PublicKey{{key}, {alice.key, key}} {
					ids := make([]fact.PinID, len(keys))
					for i, k := range keys {
						ids[i] = k.PinID()
					}
					facts, err := gateway.Register(r, ids, keys)
					refusal := refusalOf(t, err)
					if want := fmt.Sprintf("pins[%d]:", at); refusal.Reason != gateway.Malformed || !strings.HasPrefix(refusal.Detail, want) || facts != nil {
						t.Errorf("got %v and %v, want MALFORMED at %s", facts, refusal, want)
					}
				}
			})
		})
	}
}

// TestNeighboursOfSmallOrder: a key that differs in one bit from one of small order is refused only if it is one too.
func TestNeighboursOfSmallOrder(t *testing.T) {
	small := map[fact.PublicKey]bool{}
	for _, k := range smallOrderKeys(t) {
		small[k] = true
	}
	read(t, view.NewMemory(), func(r kv.Reader) {
		for k := range small {
			for bit := range 8 * len(k) {
				neighbour := k
				neighbour[bit/8] ^= 1 << (bit % 8)
				_, err := gateway.Register(r, []fact.PinID{neighbour.PinID()}, []fact.PublicKey{neighbour})
				if (err != nil) != small[neighbour] {
					t.Errorf("%x: got %v, it is of small order: %t", neighbour, err, small[neighbour])
				}
			}
		}
	})
}

// pairing is a call of Pair. Each test changes what it needs to be wrong.
type pairing struct {
	games     string
	wearer    fact.WearerID
	random    [16]byte
	pin       pin
	by        pin // who signs
	challenge fact.Challenge
}

// goodPairing pairs dora's pin, which is registered, with her.
func goodPairing() pairing {
	p := pairing{games: games, wearer: wearerOf("dora"), random: [16]byte{7}, pin: dora, by: dora}
	p.challenge = statement.Challenge(p.games, p.wearer, p.random)
	return p
}

// of makes it a pairing of another pin with the wearer of that name, in all good faith.
func (p pairing) of(pin pin, wearer string) pairing {
	p.pin, p.by, p.wearer = pin, pin, wearerOf(wearer)
	p.challenge = statement.Challenge(p.games, p.wearer, p.random)
	return p
}

func (p pairing) pair(r kv.Reader) ([]fact.Fact, error) {
	checked := p.signed()
	if err := checked.Check(r, nil); err != nil {
		return nil, err
	}
	return checked.Facts(r)
}

func (p pairing) sign() (fact.Proof, fact.Signature) {
	proof := fact.Proof{Pin: p.pin.id, Challenge: p.challenge, Time: slot.Start()}
	return proof, fact.Signature(p.by.sign(statement.AppendProof(nil, proof)))
}

func (p pairing) signed() gateway.Pairing {
	proof, sig := p.sign()
	return gateway.Pairing{Games: p.games, Wearer: p.wearer, Random: p.random, Proof: proof, Signature: sig}
}

func TestPair(t *testing.T) {
	store := people(t)
	for name, p := range map[string]pairing{
		"a new pin":                goodPairing(),
		"a second pin of a wearer": goodPairing().of(dora, "alice"),
		"the second of a wearer whose first was lost": goodPairing().of(dora, "carol"),
	} {
		t.Run(name, func(t *testing.T) {
			read(t, store, func(r kv.Reader) {
				got, err := p.pair(r)
				if err != nil {
					t.Fatal(err)
				}
				proof, sig := p.sign()
				want := []fact.Fact{fact.PinPaired{Wearer: p.wearer, Proof: proof, Signature: sig, Random: p.random}}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}

// TestPairAgain: a pin that is paired with that wearer needs no further fact, whichever challenge it signed.
func TestPairAgain(t *testing.T) {
	p := goodPairing()
	var facts []fact.Fact
	read(t, people(t), func(r kv.Reader) {
		var err error
		if facts, err = p.pair(r); err != nil {
			t.Fatal(err)
		}
	})
	store := fold(t, append([]fact.Fact{registered(dora)}, facts...)...)
	another := p
	another.random = [16]byte{8}
	for name, again := range map[string]pairing{"the same challenge": p, "a new challenge": another.of(dora, "dora")} {
		t.Run(name, func(t *testing.T) {
			read(t, store, func(r kv.Reader) {
				if got, err := again.pair(r); err != nil || got != nil {
					t.Errorf("got %v, %v, want nothing", got, err)
				}
			})
		})
	}
}

func TestPairRefused(t *testing.T) {
	store := people(t)
	for name, tt := range map[string]struct {
		change func(p *pairing)
		want   gateway.Reason
	}{
		// The challenge binds all of it: what the pin signed for one pairing helps with no other.
		"the challenge of another wearer": {func(p *pairing) { p.challenge = statement.Challenge(games, wearerOf("alice"), p.random) }, gateway.ChallengeExpired},
		"of other Games":                  {func(p *pairing) { p.challenge = statement.Challenge("paris2024", p.wearer, p.random) }, gateway.ChallengeExpired},
		"of Games whose name begins so":   {func(p *pairing) { p.challenge = statement.Challenge(games+"0", p.wearer, p.random) }, gateway.ChallengeExpired},
		"of other random bytes":           {func(p *pairing) { p.random[15]++ }, gateway.ChallengeExpired},
		"with one bit changed":            {func(p *pairing) { p.challenge[31] ^= 1 }, gateway.ChallengeExpired},
		"of nothing":                      {func(p *pairing) { p.challenge = fact.Challenge{} }, gateway.ChallengeExpired},

		"an unknown pin":                {func(p *pairing) { *p = p.of(mallory, "mallory") }, gateway.UnknownPin},
		"a retired pin":                 {func(p *pairing) { *p = p.of(emil, "emil") }, gateway.RetiredPin},
		"a retired pin, to its wearer":  {func(p *pairing) { *p = p.of(carol, "carol") }, gateway.RetiredPin},
		"an erased wearer":              {func(p *pairing) { *p = p.of(dora, "frida") }, gateway.RetiredPin},
		"an erased wearer, her own pin": {func(p *pairing) { *p = p.of(frida, "frida") }, gateway.RetiredPin},
		"signed by another pin":         {func(p *pairing) { p.by = alice }, gateway.BadSignature},
		"signed by an unknown pin":      {func(p *pairing) { p.by = mallory }, gateway.BadSignature},
		"a pin of another wearer":       {func(p *pairing) { *p = p.of(alice, "bob") }, gateway.PairedElsewhere},
		"a pin of an erased wearer":     {func(p *pairing) { *p = p.of(frida, "bob") }, gateway.PairedElsewhere},

		// Two things at once: who has not signed learns nothing of whom a pin is paired with.
		"an unknown pin, and no signature":          {func(p *pairing) { *p = p.of(mallory, "mallory"); p.by = alice }, gateway.UnknownPin},
		"a pin of another wearer, and no signature": {func(p *pairing) { *p = p.of(alice, "bob"); p.by = bob }, gateway.BadSignature},
		"its own wearer, and no signature":          {func(p *pairing) { *p = p.of(alice, "alice"); p.by = bob }, gateway.BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			p := goodPairing()
			tt.change(&p)
			read(t, store, func(r kv.Reader) {
				facts, err := p.pair(r)
				if got := refusalOf(t, err).Reason; got != tt.want || facts != nil {
					t.Errorf("got %v and %s (%v), want %s", facts, nameOf(got), err, nameOf(tt.want))
				}
			})
		})
	}
}

// TestPairSignatureOf: the signature is over the whole proof, its time too.
func TestPairSignatureOf(t *testing.T) {
	p := goodPairing().signed()
	p.Proof.Time++
	read(t, people(t), func(r kv.Reader) {
		err := p.Check(r, nil)
		if got := refusalOf(t, err).Reason; got != gateway.BadSignature {
			t.Errorf("got %s, want BAD_SIGNATURE", nameOf(got))
		}
	})
}

func TestParseSignature(t *testing.T) {
	for _, n := range []int{0, 1, 63, 65, 128} {
		if _, err := gateway.ParseSignature(make([]byte, n)); refusalOf(t, err).Reason != gateway.Malformed {
			t.Errorf("%d bytes: got %v, want MALFORMED", n, err)
		}
	}
	raw := alice.sign([]byte("anything"))
	if got, err := gateway.ParseSignature(raw); err != nil || string(got[:]) != string(raw) || len(got) != ed25519.SignatureSize {
		t.Errorf("got %x, %v, want %x", got, err, raw)
	}
}

func register(t *testing.T, store view.Store, pins ...pin) (facts []fact.Fact, err error) {
	t.Helper()
	ids, keys := make([]fact.PinID, len(pins)), make([]fact.PublicKey, len(pins))
	for i, p := range pins {
		ids[i], keys[i] = p.id, p.key
	}
	read(t, store, func(r kv.Reader) { facts, err = gateway.Register(r, ids, keys) })
	return facts, err
}

// TestPairCaller: a bad proof is counted against who brings it, and a caller with nothing left is asked to come later.
func TestPairCaller(t *testing.T) {
	good, forged := goodPairing().signed(), goodPairing().signed()
	forged.Signature[0]++
	c := &counted{left: 2}
	read(t, people(t), func(r kv.Reader) {
		for i, step := range []struct {
			p    gateway.Pairing
			want string
		}{
			{good, ""}, {forged, "BAD_SIGNATURE"}, {good, ""}, {forged, "BAD_SIGNATURE"}, {forged, "RATE_LIMITED"}, {good, "RATE_LIMITED"},
		} {
			got := ""
			if err := step.p.Check(r, c); err != nil {
				got = nameOf(refusalOf(t, err).Reason)
			}
			if got != step.want {
				t.Errorf("proof %d: got %q, want %q", i, got, step.want)
			}
		}
	})
	if c.failed != 2 {
		t.Errorf("%d bad proofs were counted, want 2", c.failed)
	}
}
