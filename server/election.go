// Elections: the recipe of etcd's client library, run here for clients that do not have it.
//
// Candidates are keys <name>/<lease>; the one with the lowest create revision leads, and its value
// is what the leader says. A leadership is named by its key and that revision, so whoever lost it
// and does not know changes nothing.
package server

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc"

	epb "github.com/detcd/detcd/server/v3electionpb"
)

var errNoLeaderKey = errors.New(`"leader" field must be provided`)

// noLease is a lease that nobody has, for those who only look.
const noLease = -1

type electionServer struct {
	epb.UnsafeElectionServer
	s *service
}

// election is a recipe in progress.
type election struct {
	ctx     context.Context
	session *concurrency.Session
	close   func()
}

func (e *electionServer) begin(ctx context.Context, lease int64) (*election, error) {
	ctx, cancel := e.s.inner.forCaller(ctx)
	c, closeClient, err := e.s.inner.client(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	end := func() {
		closeClient()
		cancel()
	}
	session, err := newSession(ctx, c, lease)
	if err != nil {
		end()
		return nil, e.s.ended(err)
	}
	return &election{ctx: ctx, session: session, close: end}, nil
}

// resume begins a recipe with a leadership that the caller says it has.
func (e *electionServer) resume(ctx context.Context, key *epb.LeaderKey) (*election,
	*concurrency.Election, error) {
	if key == nil {
		return nil, nil, errNoLeaderKey
	}
	begun, err := e.begin(ctx, key.GetLease())
	if err != nil {
		return nil, nil, err
	}
	return begun, concurrency.ResumeElection(begun.session, string(key.GetName()),
		string(key.GetKey()), key.GetRev()), nil
}

// Campaign waits until the caller leads.
func (e *electionServer) Campaign(ctx context.Context, r *epb.CampaignRequest) (
	*epb.CampaignResponse, error) {
	begun, err := e.begin(ctx, r.GetLease())
	if err != nil {
		return nil, err
	}
	defer begun.close()
	el := concurrency.NewElection(begun.session, string(r.GetName()))
	if err := el.Campaign(begun.ctx, string(r.GetValue())); err != nil {
		return nil, e.s.ended(err)
	}
	return &epb.CampaignResponse{Header: el.Header(), Leader: &epb.LeaderKey{
		Name: r.GetName(), Key: []byte(el.Key()), Rev: el.Rev(),
		Lease: int64(begun.session.Lease()),
	}}, nil
}

// Proclaim gives a leadership a new value.
func (e *electionServer) Proclaim(ctx context.Context, r *epb.ProclaimRequest) (
	*epb.ProclaimResponse, error) {
	begun, el, err := e.resume(ctx, r.GetLeader())
	if err != nil {
		return nil, err
	}
	defer begun.close()
	if err := el.Proclaim(begun.ctx, string(r.GetValue())); err != nil {
		return nil, e.s.ended(err)
	}
	return &epb.ProclaimResponse{Header: el.Header()}, nil
}

// Resign gives a leadership up.
func (e *electionServer) Resign(ctx context.Context, r *epb.ResignRequest) (*epb.ResignResponse,
	error) {
	begun, el, err := e.resume(ctx, r.GetLeader())
	if err != nil {
		return nil, err
	}
	defer begun.close()
	if err := el.Resign(begun.ctx); err != nil {
		return nil, e.s.ended(err)
	}
	return &epb.ResignResponse{Header: el.Header()}, nil
}

// Leader says who leads now.
func (e *electionServer) Leader(ctx context.Context, r *epb.LeaderRequest) (*epb.LeaderResponse,
	error) {
	begun, err := e.begin(ctx, noLease)
	if err != nil {
		return nil, err
	}
	defer begun.close()
	now, err := concurrency.NewElection(begun.session, string(r.GetName())).Leader(begun.ctx)
	if err != nil {
		return nil, e.s.ended(err)
	}
	return leaderResponse(now), nil
}

// Observe says who leads, and again whenever that changes.
func (e *electionServer) Observe(r *epb.LeaderRequest,
	stream grpc.ServerStreamingServer[epb.LeaderResponse]) error {
	if err := e.s.checkCaller(stream.Context(), manyMessages); err != nil {
		return err
	}
	begun, err := e.begin(stream.Context(), noLease)
	if err != nil {
		return err
	}
	defer begun.close()
	el := concurrency.NewElection(begun.session, string(r.GetName()))
	for now := range el.Observe(begun.ctx) {
		if err := stream.Send(leaderResponse(now)); err != nil {
			return err
		}
	}
	return e.s.ended(begun.ctx.Err())
}

func leaderResponse(r *clientv3.GetResponse) *epb.LeaderResponse {
	return &epb.LeaderResponse{Header: r.Header, Kv: r.Kvs[0]}
}
