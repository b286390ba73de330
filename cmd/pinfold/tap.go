package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"

	"pinfold/crowd"
	"pinfold/internal/fact"
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
	conn, err := dialPlain(c.Gateway)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(s.ctx, tapTimeout)
	defer cancel()
	faces, err := tapOnce(ctx, conn)
	if err != nil {
		return fmt.Errorf("gateway at %s: %w", c.Gateway, err)
	}
	return s.printFaces(faces)
}

// tapTimeout bounds all that two pins do.
const tapTimeout = 15 * time.Second

// example:begin

// tapOnce makes two wearers with a pin each, lets the pins tap, delivers both halves, and returns both faces.
func tapOnce(ctx context.Context, conn grpc.ClientConnInterface) (faces [2]*gatewayv1.Face, err error) {
	gateway := gatewayv1.NewGatewayServiceClient(conn)
	operator := gatewayv1.NewOperatorServiceClient(conn)

	var wearers [2]fact.WearerID
	var pins [2]*crowd.Pin
	for i := range pins {
		// A wearer is a random id. A pin's key never leaves the pin; this one is made of random bytes.
		var secret [32]byte
		_, _ = rand.Read(wearers[i][:])
		_, _ = rand.Read(secret[:])
		pins[i] = crowd.NewPin(secret)

		// The operator registers the pin, by its id and its public key.
		key := pins[i].Key()
		if _, err := operator.RegisterPins(ctx, gatewayv1.RegisterPinsRequest_builder{
			Pins: []*gatewayv1.Registration{gatewayv1.Registration_builder{Pin: pins[i].ID().String(), PublicKey: key[:]}.Build()},
		}.Build()); err != nil {
			return faces, err
		}
		// The phone asks for a challenge, the pin signs it after a press of its button, and it is the wearer's.
		begun, err := gateway.BeginPairing(ctx, gatewayv1.BeginPairingRequest_builder{Wearer: wearers[i].String()}.Build())
		if err != nil {
			return faces, err
		}
		proof, signature := pins[i].Prove(fact.Challenge(begun.GetChallenge()), fact.UnixMilli(time.Now().UnixMilli()))
		if _, err := gateway.PairPin(ctx, gatewayv1.PairPinRequest_builder{Statement: proof, Signature: signature[:]}.Build()); err != nil {
			return faces, err
		}
	}

	// The pins tap: each says hello, and signs its half once the other's hello is there.
	sides := [2]*crowd.Side{pins[0].Approach(), pins[1].Approach()}
	now := fact.UnixMilli(time.Now().UnixMilli())
	var lastSeq uint64
	for i := range sides {
		half, err := sides[i].Sign(sides[1-i].Hello(), now)
		if err != nil {
			return faces, err
		}
		// Each phone delivers its own pin's half. Accepted means that the log has stored it durably.
		delivered, err := gateway.Deliver(ctx, gatewayv1.DeliverRequest_builder{
			Carrier:    pins[i].ID().String(),
			Statements: []*gatewayv1.SignedStatement{gatewayv1.SignedStatement_builder{Statement: half.Statement, Signature: half.Signature[:]}.Build()},
		}.Build())
		if err != nil {
			return faces, err
		}
		if a := delivered.GetAnswers()[0]; a.GetStatus() == gatewayv1.Status_STATUS_REFUSED {
			return faces, errors.New(a.GetReason().String() + ": " + a.GetDetail())
		}
		lastSeq = delivered.GetSeq()
	}

	// With the sequence of the last half as min_seq, the answer reflects all that followed from it.
	for i := range faces {
		if faces[i], err = gateway.GetFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: wearers[i].String(), MinSeq: lastSeq}.Build()); err != nil {
			return faces, err
		}
	}
	return faces, nil
}

// example:end

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
