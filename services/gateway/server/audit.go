package server

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pinfold/internal/eventlog"
	"pinfold/internal/evidence"
	"pinfold/internal/fact"
	"pinfold/internal/kv"
	"pinfold/internal/merkle"
	"pinfold/internal/notary"
	"pinfold/internal/serve"
	"pinfold/internal/view"
	gatewayv1 "pinfold/proto/pinfold/gateway/v1"
	rewardsv1 "pinfold/proto/pinfold/rewards/v1"
)

// auditor serves AuditService.
type auditor struct {
	gatewayv1.UnimplementedAuditServiceServer
	api    *api
	log    eventlog.Log
	notary *notary.Notary
}

// wait waits, within the deadline of the call, until the tree holds so many facts.
func (a *auditor) wait(ctx context.Context, field string, size uint64) error {
	var paused *notary.PausedError
	if err := serve.WaitFor(ctx, field, size, a.notary.Size, func(ctx context.Context) error {
		err := a.notary.Wait(ctx, fact.Seq(size))
		if errors.As(err, &paused) {
			return nil
		}
		return err
	}); err != nil || paused == nil {
		return err
	}
	return auditError(paused)
}

// folders are the folders of the files that a reason names: of no use to callers, who may be anybody.
var folders = regexp.MustCompile(`/(?:[^\s:/]+/)+`)

// auditError returns the error of a call for one of the notary's.
func auditError(err error) error {
	if paused, ok := errors.AsType[*notary.PausedError](err); ok {
		return serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_AUDIT_PAUSED, "%s", folders.ReplaceAllString(paused.Error(), ""))
	}
	if _, ok := errors.AsType[*view.DamagedError](err); ok {
		return serve.Errorf(codes.Unavailable, gatewayv1.Reason_REASON_AUDIT_PAUSED, "the Merkle tree is damaged, and is being rebuilt")
	}
	return err
}

// view runs f on the tree.
func (a *auditor) view(f func(kv.Reader) error) error { return auditError(a.notary.View(f)) }

// GetCheckpoint implements AuditService.
func (a *auditor) GetCheckpoint(ctx context.Context, req *gatewayv1.GetCheckpointRequest) (*gatewayv1.GetCheckpointResponse, error) {
	size := req.GetSize()
	if size == 0 {
		if err := a.catchUp(ctx, req.GetMinSeq()); err != nil {
			return nil, err
		}
		size = uint64(a.notary.Size())
	} else if err := a.wait(ctx, "size", size); err != nil {
		return nil, err
	}
	text, err := a.notary.Checkpoint(ctx, fact.Seq(size))
	if err != nil {
		return nil, auditError(err)
	}
	return gatewayv1.GetCheckpointResponse_builder{Checkpoint: text, PublicKey: a.notary.PublicKey()}.Build(), nil
}

// catchUp waits until the tree holds all that the log holds now, and at least so many facts.
func (a *auditor) catchUp(ctx context.Context, least uint64) error {
	head, err := a.log.Head(ctx)
	if err != nil {
		return unavailable(err)
	}
	return a.wait(ctx, "min_seq", max(least, uint64(head.Last)))
}

// ListCheckpoints implements AuditService. A page token is the size behind which the page begins.
func (a *auditor) ListCheckpoints(_ context.Context, req *gatewayv1.ListCheckpointsRequest) (*gatewayv1.ListCheckpointsResponse, error) {
	limit, err := serve.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var after uint64
	if token := req.GetPageToken(); token != "" {
		if after, err = strconv.ParseUint(token, 10, 63); err != nil {
			return nil, serve.BadToken(token)
		}
	}
	list, err := a.notary.Unasked(fact.Seq(after), limit+1)
	if err != nil {
		return nil, err
	}
	var b gatewayv1.ListCheckpointsResponse_builder
	page, more := serve.Page(list, limit)
	for _, c := range page {
		b.Checkpoints = append(b.Checkpoints, c.Note)
	}
	if more {
		b.NextPageToken = page[limit-1].Size.String()
	}
	return b.Build(), nil
}

// ListCheckpointKeys implements AuditService.
func (a *auditor) ListCheckpointKeys(context.Context, *gatewayv1.ListCheckpointKeysRequest) (*gatewayv1.ListCheckpointKeysResponse, error) {
	var b gatewayv1.ListCheckpointKeysResponse_builder
	for _, l := range a.notary.Listed() {
		name, err := l.Name()
		if err != nil {
			return nil, err
		}
		b.Keys = append(b.Keys, gatewayv1.CheckpointKey_builder{
			Name: name, PublicKey: l.Public, NewestCheckpoint: l.Newest, Removed: l.Removed,
		}.Build())
	}
	return b.Build(), nil
}

// ProveInclusion implements AuditService.
func (a *auditor) ProveInclusion(ctx context.Context, req *gatewayv1.ProveInclusionRequest) (*gatewayv1.ProveInclusionResponse, error) {
	seq, size := fact.Seq(req.GetSeq()), fact.Seq(req.GetSize())
	if seq == 0 || seq > size {
		return nil, serve.Malformed("seq", fmt.Errorf("%d: want 1 to size, which is %d", seq, size))
	}
	if err := a.wait(ctx, "size", req.GetSize()); err != nil {
		return nil, err
	}
	var leaf merkle.Hash
	var proof []merkle.Hash
	if err := a.view(func(r kv.Reader) (err error) {
		if leaf, err = merkle.LeafAt(r, seq); err == nil {
			proof, err = merkle.Inclusion(r, size, seq)
		}
		return err
	}); err != nil {
		return nil, err
	}
	return gatewayv1.ProveInclusionResponse_builder{LeafHash: leaf[:], Hashes: hashes(proof)}.Build(), nil
}

// ProveConsistency implements AuditService.
func (a *auditor) ProveConsistency(ctx context.Context, req *gatewayv1.ProveConsistencyRequest) (*gatewayv1.ProveConsistencyResponse, error) {
	from, to := fact.Seq(req.GetFromSize()), fact.Seq(req.GetToSize())
	if from == 0 || from > to {
		return nil, serve.Malformed("from_size", fmt.Errorf("%d: want 1 to to_size, which is %d", from, to))
	}
	if err := a.wait(ctx, "to_size", req.GetToSize()); err != nil {
		return nil, err
	}
	var proof []merkle.Hash
	if err := a.view(func(r kv.Reader) (err error) {
		proof, err = merkle.Consistency(r, from, to)
		return err
	}); err != nil {
		return nil, err
	}
	return gatewayv1.ProveConsistencyResponse_builder{Hashes: hashes(proof)}.Build(), nil
}

func hashes(list []merkle.Hash) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i][:]
	}
	return out
}

// GetCertificate implements AuditService.
func (a *auditor) GetCertificate(ctx context.Context, req *gatewayv1.GetCertificateRequest) (*gatewayv1.GetCertificateResponse, error) {
	wearer, err := serve.Wearer("wearer", req.GetWearer())
	if err != nil {
		return nil, err
	}
	what, err := awardOf(req)
	if err != nil {
		return nil, err
	}
	if err := a.awaitAward(ctx, req, what); err != nil {
		return nil, err
	}
	found, err := evidence.Collect(ctx, a.view, a.log, wearer, what)
	if errors.Is(err, evidence.ErrNotAwarded) {
		return nil, notAwarded(what)
	}
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if errors.Is(err, eventlog.ErrUnreachable) {
		return nil, unavailable(err)
	}
	if err != nil {
		return nil, err
	}
	certificate, err := a.issue(ctx, found, req.GetShortForm())
	if errors.Is(err, evidence.ErrTooLarge) {
		return nil, serve.Errorf(codes.FailedPrecondition, gatewayv1.Reason_REASON_UPLOAD_TOO_LARGE, "%v: ask for the short form", err)
	}
	if err != nil {
		return nil, err
	}
	return gatewayv1.GetCertificateResponse_builder{Certificate: certificate}.Build(), nil
}

func awardOf(req *gatewayv1.GetCertificateRequest) (what evidence.Award, err error) {
	text := req.GetBackground()
	if m := req.GetMedal(); m > 0 && int(m) <= len(fact.Medals()) {
		text = fact.Medal(m).String()
	}
	if what, err = evidence.ParseAward(text); err != nil {
		return what, serve.Malformed("award", err)
	}
	return what, nil
}

// awaitAward returns once the tree and the index hold the award, or an error if the wearer does not hold it.
func (a *auditor) awaitAward(ctx context.Context, req *gatewayv1.GetCertificateRequest, what evidence.Award) error {
	awards, err := a.api.GetAwards(ctx, rewardsv1.GetAwardsRequest_builder{Wearer: req.GetWearer(), MinSeq: req.GetMinSeq()}.Build())
	if err != nil {
		return err
	}
	if !awarded(awards, what) {
		return notAwarded(what)
	}
	return a.catchUp(ctx, 0) // what the rewards service shows is in the log, but only the log knows where
}

func awarded(awards *rewardsv1.GetAwardsResponse, what evidence.Award) bool {
	for _, m := range awards.GetMedals() {
		if what.Medal != 0 && fact.Medal(m.GetMedal()) == what.Medal {
			return true
		}
	}
	return what.Background != "" && holds(awards, what.Background)
}

func notAwarded(what evidence.Award) error {
	return serve.Errorf(codes.NotFound, gatewayv1.Reason_REASON_NOT_AWARDED, "award %v: the wearer does not hold it", what)
}

// issue issues a certificate under the newest checkpoint.
func (a *auditor) issue(ctx context.Context, found *evidence.Evidence, short bool) (certificate []byte, err error) {
	size := a.notary.Size()
	text, err := a.notary.Checkpoint(ctx, size)
	if err != nil {
		return nil, auditError(err)
	}
	err = a.view(func(r kv.Reader) error {
		root, err := merkle.Root(r, size)
		if err != nil {
			return err
		}
		certificate, err = evidence.Issue(found, short, merkle.Checkpoint{Games: a.api.config.Games, Size: size, Root: root}, text, r)
		return err
	})
	return certificate, err
}
