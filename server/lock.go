// Locks: the recipe of etcd's client library, run here for clients that do not have it.
//
// A holder is the key <name>/<lease> with the lowest create revision below <name>/. The lease
// bounds the holding; the server keeps it alive no longer than the call.
package server

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/detcd/detcd/server/v3lockpb"
)

type lockServer struct {
	v3lockpb.UnsafeLockServer
	s *service
}

// Lock waits until the caller holds the name.
func (l *lockServer) Lock(ctx context.Context, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse,
	error) {
	ctx, cancel := l.s.inner.forCaller(ctx)
	defer cancel()
	c, end, err := l.s.inner.client(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	session, err := newSession(ctx, c, r.GetLease())
	if err != nil {
		return nil, l.s.ended(err)
	}
	m := concurrency.NewMutex(session, string(r.GetName()))
	if err := m.Lock(ctx); err != nil {
		return nil, l.s.ended(err)
	}
	return &v3lockpb.LockResponse{Header: m.Header(), Key: []byte(m.Key())}, nil
}

// Unlock gives a name back.
func (l *lockServer) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (
	*v3lockpb.UnlockResponse, error) {
	ctx, cancel := l.s.inner.forCaller(ctx)
	defer cancel()
	c, end, err := l.s.inner.client(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	gone, err := c.Delete(ctx, string(r.GetKey()))
	if err != nil {
		return nil, l.s.ended(err)
	}
	return &v3lockpb.UnlockResponse{Header: gone.Header}, nil
}

// newSession binds a recipe to a lease, 0 for a new one of a minute. The session ends with the
// call, the lease does not.
func newSession(ctx context.Context, c *clientv3.Client, lease int64) (*concurrency.Session,
	error) {
	session, err := concurrency.NewSession(c, concurrency.WithLease(clientv3.LeaseID(lease)),
		concurrency.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	session.Orphan()
	return session, nil
}
