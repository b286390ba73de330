package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

type demoCommand struct {
	Data  string `help:"Folder of everything that is kept. Without it, a temporary one that is removed at the end." type:"path" placeholder:"DIR"`
	Games string `help:"The Games: 1 to 32 of a-z, 0-9 and -." default:"tokyo2020"`
	Exit  bool   `help:"Stop when the crowd has gone home."`

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
	up := upCommand{storeFlags: storeFlags{Data: c.Data, Games: c.Games}, gatewayFlags: c.gatewayFlags,
		TapListen: "127.0.0.1:0", RewardsListen: "127.0.0.1:0", StepsListen: "127.0.0.1:0"}
	if up.Data == "" {
		if up.Data, err = os.MkdirTemp("", "pinfold-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(up.Data)
	}
	err = up.up(s.ctx, quiet(s), func(ctx context.Context, at addresses) error {
		fmt.Fprintf(s.stderr, "All services run; %d people begin to meet.\n", contacts.People)
		summary, err := s.play(ctx, at.Gateway, contacts, c.crowdFlags)
		if err != nil {
			return err
		}
		if err := s.printSummary(summary); err != nil {
			return err
		}
		if c.Exit {
			return errDone
		}
		fmt.Fprintf(s.stderr, "The gateway serves at %s until you press Ctrl-C. To see the crowd come a second time:\n"+
			"  pinfold crowd --gateway %s\n", at.Gateway, at.Gateway)
		return nil
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}
