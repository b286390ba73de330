// Command watch prints what a wearer's pin shows, and again each time it has changed, until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"pinfold/client"
)

func main() {
	address := flag.String("gateway", "127.0.0.1:7400", "address of the gateway, `HOST:PORT`")
	text := flag.String("wearer", "", "whose pin: 26 `characters`")
	flag.Parse()
	wearer, err := client.ParseWearerID(*text)
	if err != nil {
		log.Fatal(err)
	}
	gateway, err := client.Dial(*address)
	if err != nil {
		log.Fatal(err)
	}
	defer gateway.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for face, err := range gateway.Watch(ctx, wearer, 0) {
		if err != nil { // it goes on when the gateway is back
			log.Print(err)
			continue
		}
		fmt.Printf("friends %d, backgrounds %d, steps today %d\n", face.GetFriends(), face.GetBackgrounds(), face.GetToday().GetSteps())
	}
}
