package client

// The recipes that need leases and watches together: mutex and election.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const sessionTTL = 5

// mutex counts up under a lock, with a write that is valid only while the lock is held. No update
// may be lost.
func mutex(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	var sure, maybe atomic.Int64
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for ctx.Err() == nil {
				s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
					concurrency.WithContext(ctx))
				if err != nil {
					continue
				}
				count(ctx, c, concurrency.NewMutex(s, "mutex/lock"), &sure, &maybe)
				s.Close() // an error leaves the lease to expire
			}
		})
	}
	wait.Wait()
	return func(ctx context.Context) error {
		found, err := stored(ctx, c, "counter")
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(found["counter"], 10, 64)
		if err != nil {
			return err
		}
		if s := sure.Load(); s < 1 || n < s || n > s+maybe.Load() {
			return fmt.Errorf("the counter is %d after %d increments and %d of unknown outcome", n, s,
				maybe.Load())
		}
		return nil
	}
}

// count increments while it holds the lock, a few times.
func count(
	ctx context.Context, c *clientv3.Client, m *concurrency.Mutex, sure, maybe *atomic.Int64,
) {
	if m.Lock(ctx) != nil {
		return
	}
	defer func() {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		_ = m.Unlock(call) // a lock that stays ends with its session
		cancel()
	}()
	for range 5 {
		call, cancel := context.WithTimeout(ctx, callTime)
		r, err := c.Get(call, "counter")
		if err != nil {
			cancel()
			return
		}
		n := 0
		if len(r.Kvs) > 0 {
			n, _ = strconv.Atoi(string(r.Kvs[0].Value)) // written by this function only
		}
		t, err := c.Txn(call).If(m.IsOwner()).Then(
			clientv3.OpPut("counter", strconv.Itoa(n+1))).Commit()
		cancel()
		switch {
		case err != nil:
			// The outcome is unknown: nothing more may be counted from what was read.
			maybe.Add(1)
			return
		case !t.Succeeded:
			return
		}
		sure.Add(1)
	}
}

// election has two candidates; whoever leads proclaims. In the end somebody can lead.
func election(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	var led atomic.Int64
	lead := func(ctx context.Context, name string) error {
		s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		defer s.Close() // an error leaves the lease to expire
		e := concurrency.NewElection(s, "election/")
		if err := e.Campaign(ctx, name); err != nil {
			return err
		}
		if err := e.Proclaim(ctx, name+" leads"); err != nil {
			return err
		}
		led.Add(1)
		resumed := concurrency.ResumeElection(s, "election/", e.Key(), e.Rev())
		if err := resumed.Proclaim(ctx, name+" goes on"); err != nil {
			return err
		}
		r, err := e.Leader(ctx)
		if err != nil {
			return err
		}
		if string(r.Kvs[0].Key) != e.Key() {
			return fmt.Errorf("%s leads with %q, and %q is the leader's key", name, e.Key(),
				r.Kvs[0].Key)
		}
		watch, stop := context.WithCancel(ctx)
		defer stop()
		if r, ok := <-e.Observe(watch); !ok || string(r.Kvs[0].Value) != name+" goes on" ||
			resumed.Header().Revision <= e.Header().Revision {
			return fmt.Errorf("%s is observed as %v", name, r)
		}
		return e.Resign(ctx)
	}
	var wait sync.WaitGroup
	for _, name := range []string{"x", "y"} {
		wait.Go(func() {
			for ctx.Err() == nil {
				call, cancel := context.WithTimeout(ctx, 2*callTime)
				_ = lead(call, name) // it has to work only once all members live
				cancel()
				pause(ctx, 10*time.Millisecond)
			}
		})
	}
	wait.Wait()
	return func(ctx context.Context) error {
		if led.Load() == 0 {
			return errors.New("nobody ever led")
		}
		return again(ctx, func(ctx context.Context) error { return lead(ctx, "z") })
	}
}
