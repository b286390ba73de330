package client

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
	tapv1 "pinfold/proto/pinfold/tap/v1"
)

const (
	// MaxUpload is the most statements that a gateway takes in one Deliver.
	MaxUpload = 500
	// MaxRegister is the most pins that a gateway takes in one Register.
	MaxRegister = 1000
)

// Gateway makes the calls that an app needs. Its methods may be called at the same time. A minSeq that is not 0 lets a read
// wait until what it returns reflects the log up to there and all that followed from it: it is the seq of an earlier answer.
type Gateway struct {
	conn     grpc.ClientConnInterface
	gateway  gatewayv1.GatewayServiceClient
	operator gatewayv1.OperatorServiceClient
	close    func() error
}

// Dial returns the gateway at host:port, which is reached when it is first called, and again whenever it was away. It
// speaks plain text, so the host must be localhost or a loopback address. The options go to [grpc.NewClient].
func Dial(address string, options ...grpc.DialOption) (*Gateway, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("gateway %.80q: want host:port", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("gateway %.80q: want localhost or a loopback address such as 127.0.0.1", address)
	}
	// As gRPC does it by itself, a gateway that was away for long would be looked for once in two minutes.
	again := grpc.ConnectParams{MinConnectTimeout: callTimeout, Backoff: backoff.Config{
		BaseDelay: 50 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 5 * time.Second,
	}}
	conn, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(again),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	g := New(conn)
	g.close = conn.Close
	return g, nil
}

// New returns the gateway at the other end of a connection that the caller made, and closes.
func New(conn grpc.ClientConnInterface) *Gateway {
	return &Gateway{
		conn: conn, gateway: gatewayv1.NewGatewayServiceClient(conn), operator: gatewayv1.NewOperatorServiceClient(conn),
		close: func() error { return nil },
	}
}

// Conn returns the connection, for the calls that have no method here.
func (g *Gateway) Conn() grpc.ClientConnInterface { return g.conn }

// Close ends what Dial began.
func (g *Gateway) Close() error { return g.close() }

// Register does the operator's part: it admits the pins with these keys to the Games, all of them or none, at most
// [MaxRegister]. Pins that are registered already are no error.
func (g *Gateway) Register(ctx context.Context, keys ...PublicKey) error {
	var b gatewayv1.RegisterPinsRequest_builder
	for _, key := range keys {
		b.Pins = append(b.Pins, gatewayv1.Registration_builder{Pin: key.PinID().String(), PublicKey: key[:]}.Build())
	}
	_, err := g.operator.RegisterPins(ctx, b.Build())
	return callError(err)
}

// BeginPairing asks for a challenge, which a pin that the wearer has is to sign.
func (g *Gateway) BeginPairing(ctx context.Context, wearer WearerID) (Challenge, error) {
	r, err := g.gateway.BeginPairing(ctx, gatewayv1.BeginPairingRequest_builder{Wearer: wearer.String()}.Build())
	if err != nil {
		return Challenge{}, callError(err)
	}
	if len(r.GetChallenge()) != len(Challenge{}) {
		return Challenge{}, &Error{Detail: fmt.Sprintf("a challenge of %d bytes: want %d", len(r.GetChallenge()), len(Challenge{}))}
	}
	return Challenge(r.GetChallenge()), nil
}

// PairPin pairs the pin that signed the challenge with the wearer for whom it was made. Again is no error. With
// CHALLENGE_EXPIRED, begin again.
func (g *Gateway) PairPin(ctx context.Context, proof Signed) error {
	_, err := g.gateway.PairPin(ctx, gatewayv1.PairPinRequest_builder{Statement: proof.Statement, Signature: proof.Signature[:]}.Build())
	return callError(err)
}

// Deliver hands in what pins signed, at most [MaxUpload] halves and step reports of any pins; carrier is the pin whose phone
// delivers. There is one answer for each statement, in their order; see [Refusal].
func (g *Gateway) Deliver(ctx context.Context, carrier PinID, statements ...Signed) (*gatewayv1.DeliverResponse, error) {
	b := gatewayv1.DeliverRequest_builder{Carrier: carrier.String()}
	for _, s := range statements {
		b.Statements = append(b.Statements, gatewayv1.SignedStatement_builder{Statement: s.Statement, Signature: s.Signature[:]}.Build())
	}
	r, err := g.gateway.Deliver(ctx, b.Build())
	if err != nil {
		return nil, callError(err)
	}
	if len(r.GetAnswers()) != len(statements) {
		return nil, &Error{Detail: fmt.Sprintf("%d answers to %d statements", len(r.GetAnswers()), len(statements))}
	}
	return r, nil
}

// Face returns all that a wearer's pin shows: friends, medal, backgrounds, what comes next, and the steps of today.
func (g *Gateway) Face(ctx context.Context, wearer WearerID, minSeq uint64) (*gatewayv1.Face, error) {
	face, err := g.gateway.GetFace(ctx, gatewayv1.GetFaceRequest_builder{Wearer: wearer.String(), MinSeq: minSeq}.Build())
	return face, callError(err)
}

// Watch yields a wearer's face as it is, and again each time it has changed, until the caller has enough or the context
// ends. An error says that the watch was interrupted: if the caller goes on, it is begun again after a pause of 10 ms to
// 1 s, as soon as the gateway is there. What it yields does not go back.
func (g *Gateway) Watch(ctx context.Context, wearer WearerID, minSeq uint64) iter.Seq2[*gatewayv1.Face, error] {
	return func(yield func(*gatewayv1.Face, error) bool) {
		pause := firstPause
		from := gatewayv1.GetFaceRequest_builder{Wearer: wearer.String(), MinSeq: minSeq}.Build()
		for again := false; ; again = true {
			err := g.watch(ctx, from, again, func(face *gatewayv1.Face) bool {
				from.SetMinSeq(max(from.GetMinSeq(), face.GetSeq()))
				from.SetSeen(proto.CloneOf(face.GetReflected())) // the face is the caller's
				pause = firstPause
				return yield(face, nil)
			})
			if err == nil || ctx.Err() != nil || !yield(nil, err) || !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// watch yields what one stream brings, and returns nil if the caller has enough. It may await a gateway that is away.
func (g *Gateway) watch(ctx context.Context, from *gatewayv1.GetFaceRequest, await bool, yield func(*gatewayv1.Face) bool) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream, which nobody else does
	defer cancel()
	stream, err := g.gateway.WatchFace(ctx, from, grpc.WaitForReady(await))
	for err == nil {
		var face *gatewayv1.Face
		if face, err = stream.Recv(); err == nil && !yield(face) {
			return nil
		}
	}
	return callError(err)
}

// Friends yields the friends of a wearer, the newest first, until the first error.
func (g *Gateway) Friends(ctx context.Context, wearer WearerID, minSeq uint64) iter.Seq2[*tapv1.Friend, error] {
	return func(yield func(*tapv1.Friend, error) bool) {
		b := tapv1.ListFriendsRequest_builder{Wearer: wearer.String(), MinSeq: minSeq, PageSize: 500}
		for {
			r, err := g.gateway.ListFriends(ctx, b.Build())
			if err != nil {
				yield(nil, callError(err))
				return
			}
			for _, f := range r.GetFriends() {
				if !yield(f, nil) {
					return
				}
			}
			b.MinSeq = max(b.MinSeq, r.GetSeq()) // no page is of an older state than the one before it
			if b.PageToken = r.GetNextPageToken(); b.PageToken == "" {
				return
			}
		}
	}
}

// Awards returns what a wearer has earned, medals and backgrounds, and what comes next.
func (g *Gateway) Awards(ctx context.Context, wearer WearerID, minSeq uint64) (*rewardsv1.GetAwardsResponse, error) {
	awards, err := g.gateway.GetAwards(ctx, rewardsv1.GetAwardsRequest_builder{Wearer: wearer.String(), MinSeq: minSeq}.Build())
	return awards, callError(err)
}
