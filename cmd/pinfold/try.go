package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"pinfold/client"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

// tryCommand is one tap of two pins that are made for it.
type tryCommand struct {
	Gateway string `help:"Address of the gateway's gRPC API." default:"127.0.0.1:7400" placeholder:"HOST:PORT"`
}

func (c *tryCommand) Run(s *session) error {
	gateway, err := client.Dial(c.Gateway)
	if err != nil {
		return err
	}
	defer gateway.Close()
	ctx, cancel := context.WithTimeout(s.ctx, tryTimeout)
	defer cancel()
	faces, err := tapOnce(ctx, gateway)
	if err != nil {
		return fmt.Errorf("gateway at %s: %w", c.Gateway, err)
	}
	return s.printFaces(faces)
}

// tryTimeout bounds all that two pins do.
const tryTimeout = 15 * time.Second

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
		return s.answer(map[string][]line{"faces": lines})
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "wearer\tseq\tfriends\tnext background")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s, with %d more\n", l.Wearer, l.Seq, l.Friends, sportName(l.NextBackground), l.FriendsMore)
	}
	return w.Flush()
}
