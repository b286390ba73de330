package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"pinfold/crowd"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
)

type demoCommand struct {
	Data  string `help:"Folder of everything that is kept. Without it, a temporary one that is removed at the end." type:"path" placeholder:"DIR"`
	Games string `help:"The Games: 1 to 32 of a-z, 0-9 and -." default:"tokyo2020"`
	Exit  bool   `help:"Stop when the crowd has gone home."`
	Admin string `help:"Address of the admin HTTP listener; without it, none."`

	gatewayFlags
	crowdFlags
}

// errDone ends up when the demo is over.
var errDone = errors.New("the demo is over")

func (c *demoCommand) Run(s *session) error {
	contacts, err := c.contacts()
	if err != nil {
		return err
	}
	up := upCommand{
		storeFlags: storeFlags{Data: c.Data, Games: c.Games}, gatewayFlags: c.gatewayFlags,
		TapListen: "127.0.0.1:0", RewardsListen: "127.0.0.1:0", StepsListen: "127.0.0.1:0", Admin: c.Admin,
	}
	if up.Data == "" {
		if up.Data, err = os.MkdirTemp("", "pinfold-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(up.Data)
	}
	log := &heldLog{to: s.stderr}
	defer log.release()
	err = up.up(s.ctx, warnings(log), func(ctx context.Context, at addresses) error {
		summary, err := c.show(ctx, s, at.Gateway, contacts)
		log.release()
		if err != nil {
			return err
		}
		if err := s.printSummary(summary); err != nil {
			return err
		}
		if c.Exit {
			return errDone
		}
		fmt.Fprintf(s.stderr, whatNext, at.Gateway)
		return nil
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// whatNext tells a newcomer what to try once the crowd has gone home.
const whatNext = `
The gateway serves at %[1]s until you press Ctrl-C. In another terminal, try:

  pinfold try --gateway %[1]s                  two new pins tap; see what each gets back
  pinfold crowd --gateway %[1]s --phones real  a crowd with phones as they are meets too
  grpcurl -plaintext %[1]s list                the API, which docs/api.md explains

With go run ./cmd/pinfold in place of pinfold, nothing has to be installed.
`

// show lets the crowd meet and shows how.
func (c *demoCommand) show(ctx context.Context, s *session, gateway string, contacts crowd.Contacts) (crowd.Summary, error) {
	conn, err := dialPlain(gateway)
	if err != nil {
		return crowd.Summary{}, err
	}
	defer conn.Close()
	fmt.Fprintf(s.stderr, "All services run. %d people put on their pins, and meet.\n\n", contacts.People)
	picture := &show{gateway: gatewayv1.NewGatewayServiceClient(conn), w: s.stderr, began: time.Now()}
	picture.people.Store(int64(contacts.People))
	if s.terminal() && s.output == "table" && os.Getenv("TERM") != "dumb" {
		picture.size, picture.w = s.terminalSize, s.screen
	}
	showing, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); picture.run(showing) }()
	summary, err := s.play(ctx, gateway, contacts, c.crowdFlags, picture.enrol, nil)
	cancel()
	<-ended
	if err == nil {
		picture.end(ctx)
		fmt.Fprintln(s.stderr)
	}
	return summary, err
}
