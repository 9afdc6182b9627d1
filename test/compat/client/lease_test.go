package client

// Every call of the Lease interface.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

const leaseTTL = 60

// leaseCalls grants, lists, renews and revokes.
func leaseCalls(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	round := func(ctx context.Context) error {
		own := clientv3.NewLease(c)
		defer own.Close()
		lease := namespace.NewLease(own, "leased-space/")
		granted, err := lease.Grant(ctx, leaseTTL)
		if err != nil {
			return err
		}
		if granted.TTL != leaseTTL || granted.ID == clientv3.NoLease {
			return wrong("granted %+v", granted)
		}
		kv := namespace.NewKV(c, "leased-space/")
		if _, err := kv.Put(ctx, "key", "x", clientv3.WithLease(granted.ID)); err != nil {
			return err
		}
		left, err := lease.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
		if err != nil {
			return err
		}
		if left.GrantedTTL != leaseTTL || left.TTL < leaseTTL/2 || len(left.Keys) != 1 ||
			string(left.Keys[0]) != "key" {
			return wrong("of %+v is left %+v", granted, left)
		}
		all, err := lease.Leases(ctx)
		if err != nil {
			return err
		}
		if !slices.Contains(all.Leases, clientv3.LeaseStatus{ID: granted.ID}) {
			return wrong("%x is not among %v", granted.ID, all.Leases)
		}
		once, err := lease.KeepAliveOnce(ctx, granted.ID)
		if err != nil {
			return err
		}
		if once.ID != granted.ID || once.TTL != leaseTTL {
			return wrong("%+v was renewed as %+v", granted, once)
		}
		return revoked(ctx, c, lease, granted.ID)
	}
	return repeat(ctx, 50*time.Millisecond, round)
}

func revoked(
	ctx context.Context, c *clientv3.Client, lease clientv3.Lease, id clientv3.LeaseID,
) error {
	if _, err := lease.Revoke(ctx, id); err != nil {
		return err
	}
	r, err := c.Get(ctx, "leased-space/key")
	if err != nil {
		return err
	}
	if len(r.Kvs) == 1 && clientv3.LeaseID(r.Kvs[0].Lease) == id {
		return wrong("the key of the revoked lease %x is there", id)
	}
	gone, err := lease.TimeToLive(ctx, id)
	if err != nil {
		return err
	}
	if gone.TTL != -1 {
		return wrong("the revoked lease %x has %d s", id, gone.TTL)
	}
	if _, err := lease.KeepAliveOnce(ctx, id); err == nil {
		return wrong("the revoked lease %x was renewed", id)
	}
	_, err = lease.Revoke(ctx, id)
	if err == nil {
		return wrong("%x was revoked twice", id)
	}
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return fmt.Errorf("revoke %x again: %w", id, err)
}
