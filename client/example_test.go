package client_test

import (
	"context"
	"fmt"
	"log"

	"pinfold/client"
)

// Two pins tap: each signs its half, which the other checks. Whoever has the keys can check them again.
func ExampleTap() {
	alice, bob := client.NewPin(), client.NewPin()
	alices, bobs, err := client.Tap(alice.Approach(), bob.Approach(), client.Now(), client.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(alices.Statement), alices.Verify(alice.Key()))
	fmt.Println(len(bobs.Statement), bobs.Verify(bob.Key()))
	// Output:
	// 72 <nil>
	// 72 <nil>
}

// A pin that is kept between two runs of a program goes on counting where it was.
func ExampleRestorePin() {
	pin := client.NewPin()
	pin.Count(client.SlotAt(client.Now()), []uint16{120})
	secret, counter := pin.Secret(), pin.Counter()

	again := client.RestorePin(secret, counter)
	fmt.Println(again.ID() == pin.ID(), again.Counter())
	// Output: true 1
}

func ExampleParseWearerID() {
	wearer, err := client.ParseWearerID("ceirceirceirceirceirceirce")
	fmt.Println(wearer, err)
	// Output: ceirceirceirceirceirceirce <nil>
}

// Each statement has its own answer: the log holds it, or it was refused, for good or for now.
func ExampleGateway_Deliver() {
	gateway, err := client.Dial("127.0.0.1:7400")
	if err != nil {
		log.Fatal(err)
	}
	defer gateway.Close()
	var pin *client.Pin        // of the wearer of this phone
	var outbox []client.Signed // what it holds

	delivered, err := gateway.Deliver(context.Background(), pin.ID(), outbox...)
	if err != nil {
		log.Print(err) // the outbox stays as it is
		return
	}
	for i, answer := range delivered.GetAnswers() {
		if err := client.Refusal(answer); client.Passes(err) {
			log.Printf("statement %d is to come again later: %v", i, err)
		}
	}
}
