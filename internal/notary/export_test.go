package notary

import "context"

// AwaitSigned returns once the notary may sign, and what was due until then is signed.
func (n *Notary) AwaitSigned(ctx context.Context) error {
	if err := n.maySign(ctx); err != nil {
		return err
	}
	return n.signNow()
}
