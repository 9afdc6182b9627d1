package migration

// Leases. They are granted at the target when a key first needs them, with the source's id and time
// to live, and renewed there until the cutover: whoever renews them does so at the source. One that
// ends at the source takes its keys with it, which the watch tells; its shell at the target goes at
// the cutover.

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// shortTTL is the time to live, in seconds, of a lease that the source has forgotten meanwhile: the
// end of its keys is on its way.
const shortTTL = 60

type leases struct {
	known map[clientv3.LeaseID]bool // at the target
	renew context.Context
	stop  context.CancelFunc
}

// begin learns which leases the target has, and renews them from now on.
func (l *leases) begin(ctx context.Context, f *Follower) error {
	l.known = map[clientv3.LeaseID]bool{}
	if l.stop == nil {
		l.renew, l.stop = context.WithCancel(ctx)
	}
	list, err := f.To.Leases(ctx)
	if err != nil {
		return fmt.Errorf("target: leases: %w", err)
	}
	for _, lease := range list.Leases {
		if err := l.keep(f, lease.ID); err != nil {
			return err
		}
	}
	return nil
}

// keep renews a lease at the target until the cutover.
func (l *leases) keep(f *Follower, id clientv3.LeaseID) error {
	answers, err := f.To.KeepAlive(l.renew, id)
	if err != nil {
		return fmt.Errorf("target: renew lease %x: %w", id, err)
	}
	l.known[id] = true
	go func() {
		for range answers { // nobody needs to know how often
		}
	}()
	return nil
}

// know grants at the target the leases that changes need.
func (l *leases) know(ctx context.Context, f *Follower, changes []change) error {
	for i := range changes {
		for _, e := range changes[i].events {
			id := clientv3.LeaseID(e.Kv.Lease)
			if e.Type != clientv3.EventTypePut || id == 0 || l.known[id] {
				continue
			}
			if err := l.grant(ctx, f, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *leases) grant(ctx context.Context, f *Follower, id clientv3.LeaseID) error {
	of, err := f.From.TimeToLive(ctx, id)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("source: lease %x: %w", id, err)
	}
	ttl := int64(shortTTL)
	if err == nil && of.GrantedTTL > 0 {
		ttl = of.GrantedTTL
	}
	return l.grantFor(ctx, f, id, ttl)
}

func (l *leases) grantFor(ctx context.Context, f *Follower, id clientv3.LeaseID, ttl int64) error {
	_, err := f.To.grantAs(ctx, id, ttl)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return fmt.Errorf("target: grant lease %x: %w", id, err)
	}
	return l.keep(f, id)
}

// settle makes the target's leases those of the source, once the source changes no more.
func (l *leases) settle(ctx context.Context, f *Follower) error {
	list, err := f.From.Leases(ctx)
	if err != nil {
		return fmt.Errorf("source: leases: %w", err)
	}
	wanted := map[clientv3.LeaseID]bool{}
	for _, lease := range list.Leases {
		wanted[lease.ID] = true
		if !l.known[lease.ID] { // it has no keys
			if err := l.grant(ctx, f, lease.ID); err != nil {
				return err
			}
		}
	}
	for id := range l.known {
		if wanted[id] {
			continue
		}
		of, err := f.To.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
		if err != nil {
			return fmt.Errorf("target: lease %x: %w", id, err)
		}
		if len(of.Keys) > 0 {
			return fmt.Errorf("target: lease %x, which the source has not, has %d keys", id,
				len(of.Keys))
		}
		if _, err := f.To.Revoke(ctx, id); err != nil &&
			!errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("target: revoke lease %x: %w", id, err)
		}
		delete(l.known, id)
	}
	f.Log.Info("the leases are the source's", zap.Int("leases", len(wanted)))
	return nil
}
