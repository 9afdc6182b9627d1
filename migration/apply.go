package migration

// Applying revisions. Many transactions are under way at once, or the target's disk would decide
// how fast it follows; but each says itself where it belongs. It compares that the revision before
// it is there, by a key that was put in it, and that it itself is not, by a key of its own. So one
// that overtakes another does nothing and is sent again, and one that is repeated after an outcome
// that nobody heard does nothing either.
//
//	revision 42: put b, delete c
//	if mod(a) == 41 and mod(b) < 42 then put b, delete c
//
// A revision that only deletes leaves no key to compare with, so the next one waits for it.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// window is how many transactions are under way at once.
const window = 128

// change is one revision of the source.
type change struct {
	revision int64
	events   []*clientv3.Event
	// after is a key that the revision before has put; empty if that is known to be there.
	after string
}

// lastPut is a key that the revision puts, empty if it only deletes.
func (c *change) lastPut() string {
	for i := len(c.events) - 1; i >= 0; i-- {
		if c.events[i].Type == clientv3.EventTypePut {
			return string(c.events[i].Kv.Key)
		}
	}
	return ""
}

// revisions splits events into the revisions that they belong to.
func revisions(events []*clientv3.Event) (changes []change) {
	for _, e := range events {
		n := len(changes)
		if n == 0 || changes[n-1].revision != e.Kv.ModRevision {
			changes = append(changes, change{revision: e.Kv.ModRevision})
			n++
		}
		changes[n-1].events = append(changes[n-1].events, e)
	}
	return changes
}

// apply brings the target to the newest revision of the events.
func (f *Follower) apply(ctx context.Context, events []*clientv3.Event) error {
	changes := revisions(events)
	for len(changes) > 0 {
		n := f.batch(changes)
		if err := f.leases.know(ctx, f, changes[:n]); err != nil {
			return err
		}
		if err := f.applyTogether(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// batch gives the changes that can be under way together their places, and counts them.
func (f *Follower) batch(changes []change) (n int) {
	after := f.lastPut
	for n < len(changes) && n < window && (n == 0 || after != "") {
		changes[n].after = after
		after = changes[n].lastPut()
		n++
	}
	return n
}

func (f *Follower) applyTogether(ctx context.Context, changes []change) error {
	errs := make([]error, len(changes))
	var running sync.WaitGroup
	for i := range changes {
		c := &changes[i]
		if want := f.done + 1 + int64(i); c.revision != want {
			return fmt.Errorf("the source's watch goes on with revision %d, not %d", c.revision,
				want)
		}
		running.Go(func() { errs[i] = f.applyOne(ctx, c) })
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	last := &changes[len(changes)-1]
	f.done, f.lastPut = last.revision, last.lastPut()
	return nil
}

// foreignError says that the target is not what the follower has made.
type foreignError struct{ revision, target int64 }

func (e foreignError) Error() string {
	return fmt.Sprintf("revision %d cannot be made: the target is at revision %d, and differs from "+
		"the source: begin with a newer snapshot", e.revision, e.target)
}

// limitError says that a revision is larger than the target allows.
type limitError struct {
	revision int64
	changes  int
	err      error
}

func (e limitError) Error() string {
	return fmt.Sprintf("revision %d has %d changes, which the target refuses: start it with a larger "+
		"--max-txn-ops and --max-request-bytes: %v", e.revision, e.changes, e.err)
}

// isOwnMistake says whether trying again changes nothing.
func isOwnMistake(err error) bool {
	return errors.As(err, new(foreignError)) || errors.As(err, new(limitError))
}

// applyOne sends a revision until it is there.
func (f *Follower) applyOne(ctx context.Context, c *change) error {
	compares, ops := c.transaction()
	for {
		r, err := f.To.Txn(ctx).If(compares...).Then(ops...).Commit()
		switch {
		case errors.Is(err, rpctypes.ErrTooManyOps), errors.Is(err, rpctypes.ErrRequestTooLarge),
			err != nil && strings.Contains(err.Error(), "message larger than max"):
			return limitError{c.revision, len(c.events), err}
		case err != nil:
			return fmt.Errorf("target: revision %d: %w", c.revision, err)
		case r.Succeeded && r.Header.Revision == c.revision, r.Header.Revision >= c.revision &&
			!r.Succeeded:
			return nil
		case r.Succeeded, c.after == "":
			return foreignError{c.revision, r.Header.Revision}
		}
		// One before it is still under way.
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// transaction is what makes a revision in the target, and only there.
func (c *change) transaction() (compares []clientv3.Cmp, ops []clientv3.Op) {
	if c.after != "" {
		compares = append(compares, clientv3.Compare(clientv3.ModRevision(c.after), "=",
			c.revision-1))
	}
	first := c.events[0]
	compares = append(compares, clientv3.Compare(clientv3.ModRevision(string(first.Kv.Key)), "<",
		c.revision))
	if first.Type == clientv3.EventTypeDelete {
		compares = append(compares, clientv3.Compare(clientv3.Version(string(first.Kv.Key)), ">",
			0))
	}
	for _, e := range c.events {
		if e.Type == clientv3.EventTypeDelete {
			ops = append(ops, clientv3.OpDelete(string(e.Kv.Key)))
			continue
		}
		ops = append(ops, clientv3.OpPut(string(e.Kv.Key), string(e.Kv.Value),
			clientv3.WithLease(clientv3.LeaseID(e.Kv.Lease))))
	}
	return compares, ops
}
