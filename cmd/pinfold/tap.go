package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"pinfold/client"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	tap "pinfold/services/tap/server"
)

// tapCommand is two things under one name: with --nats, the tap service; without, one tap of two pins.
type tapCommand struct {
	storeFlags
	NATS    string `name:"nats" help:"Run the tap service against the NATS cluster at this URL. Without it, two software pins tap once, and what each gets back is printed." placeholder:"URL"`
	Listen  string `help:"Of the service: address of the gRPC API; loopback only." default:"127.0.0.1:7401"`
	Admin   string `help:"Of the service: address of the admin HTTP listener, as of the other services." default:"127.0.0.1:7491"`
	Gateway string `help:"Of the two pins: address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
}

func (c *tapCommand) Run(s *session) error {
	if c.NATS != "" {
		return serviceFlags{c.storeFlags, natsFlags{c.NATS}}.serve(s, "tap", c.Listen, c.Admin, tap.Run)
	}
	gateway, err := client.Dial(c.Gateway)
	if err != nil {
		return err
	}
	defer gateway.Close()
	ctx, cancel := context.WithTimeout(s.ctx, tapTimeout)
	defer cancel()
	faces, err := tapOnce(ctx, gateway)
	if err != nil {
		return fmt.Errorf("gateway at %s: %w", c.Gateway, err)
	}
	return s.printFaces(faces)
}

// tapTimeout bounds all that two pins do.
const tapTimeout = 15 * time.Second

// tapOnce makes two wearers with a pin each, lets the pins tap, delivers both halves, and returns both faces.
func tapOnce(ctx context.Context, gateway *client.Gateway) (faces [2]*gatewayv1.Face, err error) {
	wearers := [2]client.WearerID{client.NewWearerID(), client.NewWearerID()}
	pins := [2]*client.Pin{client.NewPin(), client.NewPin()}
	if err := gateway.Register(ctx, pins[0].Key(), pins[1].Key()); err != nil {
		return faces, err
	}
	for i, pin := range pins {
		challenge, err := gateway.BeginPairing(ctx, wearers[i])
		if err != nil {
			return faces, err
		}
		if err := gateway.PairPin(ctx, pin.Prove(challenge, client.Now())); err != nil {
			return faces, err
		}
	}
	one, other, err := client.Tap(pins[0].Approach(), pins[1].Approach(), client.Now(), client.Now())
	if err != nil {
		return faces, err
	}
	delivered, err := gateway.Deliver(ctx, pins[0].ID(), one, other)
	if err != nil {
		return faces, err
	}
	for _, answer := range delivered.GetAnswers() {
		if err := client.Refusal(answer); err != nil {
			return faces, err
		}
	}
	for i, wearer := range wearers {
		if faces[i], err = gateway.Face(ctx, wearer, delivered.GetSeq()); err != nil {
			return faces, err
		}
	}
	return faces, nil
}

func (s *session) printFaces(faces [2]*gatewayv1.Face) error {
	type line struct {
		Wearer         string `json:"wearer"`
		Seq            uint64 `json:"seq"`
		Friends        uint32 `json:"friends"`
		NextBackground string `json:"next_background"`
		FriendsMore    uint32 `json:"friends_more"`
	}
	var lines []line
	for _, f := range faces {
		next := f.GetNextBackground()
		lines = append(lines, line{f.GetWearer(), f.GetSeq(), f.GetFriends(), next.GetBackground(), next.GetFriendsMore()})
	}
	if s.output == "json" {
		return json.NewEncoder(s.stdout).Encode(lines)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "wearer\tseq\tfriends\tnext background")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s, with %d more\n", l.Wearer, l.Seq, l.Friends, sportName(l.NextBackground), l.FriendsMore)
	}
	return w.Flush()
}
