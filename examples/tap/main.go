// Command tap makes two wearers with a pin each, lets the pins tap, and prints what each pin then shows. It needs a gateway,
// such as that of pinfold up.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"pinfold/client"
)

func main() {
	address := flag.String("gateway", "127.0.0.1:7400", "address of the gateway, `HOST:PORT`")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := run(ctx, *address); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	gateway, err := client.Dial(address)
	if err != nil {
		return err
	}
	defer gateway.Close()

	// A wearer is a random id. A pin's key never leaves the pin; these pins are software.
	alice, bob := client.NewWearerID(), client.NewWearerID()
	alicesPin, bobsPin := client.NewPin(), client.NewPin()

	// The operator registers the pins, by their public keys.
	if err := gateway.Register(ctx, alicesPin.Key(), bobsPin.Key()); err != nil {
		return err
	}
	if err := pair(ctx, gateway, alice, alicesPin); err != nil {
		return err
	}
	if err := pair(ctx, gateway, bob, bobsPin); err != nil {
		return err
	}

	// The pins tap: each says hello, and signs its half once the other's hello is there.
	alicesHalf, bobsHalf, err := client.Tap(alicesPin.Approach(), bobsPin.Approach(), client.Now(), client.Now())
	if err != nil {
		return err
	}
	// Each phone delivers its own pin's half; each may carry the other's too.
	if _, err := deliver(ctx, gateway, alicesPin.ID(), alicesHalf); err != nil {
		return err
	}
	seq, err := deliver(ctx, gateway, bobsPin.ID(), bobsHalf)
	if err != nil {
		return err
	}

	// With the sequence of the last half, the answers reflect all that followed from it.
	for _, wearer := range []client.WearerID{alice, bob} {
		face, err := gateway.Face(ctx, wearer, seq)
		if err != nil {
			return err
		}
		next := face.GetNextBackground()
		fmt.Printf("%v: friends %d, next background %s with %d more\n",
			wearer, face.GetFriends(), next.GetBackground(), next.GetFriendsMore())
	}
	return nil
}

// pair asks the gateway for a challenge, which the pin signs after a press of its button: then it is the wearer's.
func pair(ctx context.Context, gateway *client.Gateway, wearer client.WearerID, pin *client.Pin) error {
	challenge, err := gateway.BeginPairing(ctx, wearer)
	if err != nil {
		return err
	}
	return gateway.PairPin(ctx, pin.Prove(challenge, client.Now()))
}

// deliver hands in one statement and returns where the log holds it, durably. While the gateway is away, or asks to come
// later, it is tried again, for as long as the context lasts.
func deliver(ctx context.Context, gateway *client.Gateway, carrier client.PinID, statement client.Signed) (seq uint64, err error) {
	err = client.Persist(ctx, func(ctx context.Context) error {
		delivered, err := gateway.Deliver(ctx, carrier, statement)
		if err != nil {
			return err
		}
		answer := delivered.GetAnswers()[0]
		seq = answer.GetSeq()
		return client.Refusal(answer)
	}, nil)
	return seq, err
}
