package main

// The row of leases that all expire in the same second, each with a key: how long until they are
// gone, and what a put costs meanwhile.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	methodGrant = "/etcdserverpb.Lease/LeaseGrant"

	leaseSpace = "lease/"
	leaseEnd   = "lease0"
	// leaseSample is how many grants tell how long all will take; leaseSpare is what the leases live
	// beyond that and the puts before their end.
	leaseSample = 2000
	leaseSpare  = 10 * time.Second
	// leaseWait is how long their end is waited for.
	leaseWait = 3 * time.Minute
	leasePoll = 20 * time.Millisecond
	// leaseCallers put all the time; leaseSlice is how often they look whether it is over.
	leaseCallers = 8
	leaseSlice   = 250 * time.Millisecond
)

func (b *bench) rowLeases() string {
	return fmt.Sprintf("%d leases that expire together", b.opt.leases)
}

func (b *bench) leases(ctx context.Context, c *cluster, s *session) error {
	cl, err := dial(c.addresses(), connections)
	if err != nil {
		return err
	}
	defer cl.close()
	name, n := b.rowLeases(), b.opt.leases
	began := time.Now()
	if err := grantAll(ctx, cl, 1, leaseSample, began.Add(time.Hour)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	all := time.Since(began) * time.Duration(n) / leaseSample
	o := newOperations(cl, smallSpace, smallKeys, smallValue)
	if err := clearLeased(ctx, cl); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	target := time.Now().Add(3*all/2 + 2*b.opt.period().measure + leaseSpare).Truncate(time.Second)
	if err := grantAll(ctx, cl, 2, n, target); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	calm, err := calmPuts(ctx, o, b.opt.period())
	if err != nil {
		return fmt.Errorf("%s: puts before: %w", name, err)
	}
	left, err := countLeased(ctx, cl)
	if err == nil && left != n {
		err = fmt.Errorf("%d keys hold a lease before the time", left)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// The leases expire within the second after the target: TTLs are whole seconds.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(target)):
	}
	gone := make(chan outcome, 1)
	go func() {
		took, err := awaitGone(ctx, cl, target)
		gone <- outcome{took, err}
	}()
	busy, err := putSlices(ctx, o, func() bool { return len(gone) > 0 })
	if err != nil {
		return fmt.Errorf("%s: puts meanwhile: %w", name, err)
	}
	end := <-gone
	if end.err != nil {
		return fmt.Errorf("%s: %w", name, end.err)
	}
	s.add(name, "gone after", "ms", end.took.Seconds()*1e3)
	s.add(name, "99 % of puts before", "ms", calm.quantile(0.99))
	s.add(name, "99 % of puts meanwhile", "ms", busy.quantile(0.99))
	s.add(name, "99 % of puts, meanwhile by before", "x", busy.quantile(0.99)/calm.quantile(0.99))
	s.add(name, "puts per second meanwhile", "1/s", busy.perSecond())
	return nil
}

// calmPuts is the load that the one during the expiry is compared with: the same callers of the same
// processes, which hold all the leases already, measured in the same slices.
func calmPuts(ctx context.Context, o *operations, d during) (*load, error) {
	if _, err := drive(ctx, leaseCallers, during{measure: d.warm}, o.put); err != nil {
		return nil, err
	}
	began := time.Now()
	return putSlices(ctx, o, func() bool { return time.Since(began) >= d.measure })
}

// putSlices puts, and looks after each slice whether it is over.
func putSlices(ctx context.Context, o *operations, over func() bool) (*load, error) {
	all := &load{}
	for all.ops == 0 || !over() {
		l, err := drive(ctx, leaseCallers, during{measure: leaseSlice}, o.put)
		if err != nil {
			return nil, err
		}
		all.ops, all.seconds = all.ops+l.ops, all.seconds+l.seconds
		all.latencies = append(all.latencies, l.latencies...)
	}
	slices.Sort(all.latencies)
	return all, nil
}

// grantAll grants n leases that expire just after target, each with a key. Their IDs differ from
// those of another space.
func grantAll(ctx context.Context, cl *client, space int64, n int, target time.Time) error {
	const batch, callers = 100, 32
	_, err := drive(ctx, callers, during{ops: n / batch},
		func(ctx context.Context, caller int, r *rand.Rand) error {
			txn := &pb.TxnRequest{}
			for range batch {
				id := space<<60 | int64(r.Uint64()>>4)
				ttl := int64(time.Until(target)/time.Second) + 1
				grant := encode(&pb.LeaseGrantRequest{ID: id, TTL: ttl})
				if _, err := cl.call(ctx, caller, methodGrant, grant); err != nil {
					return err
				}
				key := fmt.Sprintf("%s%016x", leaseSpace, id)
				txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
					RequestPut: &pb.PutRequest{Key: []byte(key), Lease: id}}})
			}
			_, err := cl.call(ctx, caller, methodTxn, encode(txn))
			return err
		})
	return err
}

// clearLeased deletes the keys that hold a lease.
func clearLeased(ctx context.Context, cl *client) error {
	_, err := cl.call(ctx, 0, methodDelete, encode(&pb.DeleteRangeRequest{
		Key: []byte(leaseSpace), RangeEnd: []byte(leaseEnd)}))
	return err
}

// countLeased counts the keys that hold a lease.
func countLeased(ctx context.Context, cl *client) (int, error) {
	response, err := cl.call(ctx, 0, methodRange, encode(&pb.RangeRequest{
		Key: []byte(leaseSpace), RangeEnd: []byte(leaseEnd), CountOnly: true}))
	return int(varintField(response, 4)), err
}

// awaitGone waits until no key holds a lease.
func awaitGone(ctx context.Context, cl *client, since time.Time) (time.Duration, error) {
	for time.Since(since) < leaseWait {
		left, err := countLeased(ctx, cl)
		if err != nil || left == 0 {
			return time.Since(since), err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(leasePoll):
		}
	}
	return 0, fmt.Errorf("not all leases are gone after %v", leaseWait)
}
