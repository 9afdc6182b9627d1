package client

// Sessions, locks that are tried, and software transactions of every isolation.

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

// tally is how often something was done for sure, and how often perhaps.
type tally struct{ sure, maybe atomic.Int64 }

func (n *tally) check(what string, have int64) error {
	if s := n.sure.Load(); s < 1 || have < s || have > s+n.maybe.Load() {
		return fmt.Errorf("%s: %d after %d sure and %d of unknown outcome", what, have, s,
			n.maybe.Load())
	}
	return nil
}

type stm func(context.Context, *clientv3.Client, func(concurrency.STM) error) (
	*clientv3.TxnResponse, error)

func with(options ...concurrency.STMOption) stm {
	return func(ctx context.Context, c *clientv3.Client, apply func(concurrency.STM) error) (
		*clientv3.TxnResponse, error,
	) {
		return concurrency.NewSTM(c, apply, append(options, concurrency.WithAbortContext(ctx))...)
	}
}

// isolations counts with transactions of every isolation. Two count together where that may not
// lose anything, which is everywhere but with ReadCommitted.
func isolations(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	all := map[string]stm{
		"snapshot": with(concurrency.WithIsolation(concurrency.SerializableSnapshot),
			concurrency.WithPrefetch("stm/snapshot")),
		"serializable": with(concurrency.WithIsolation(concurrency.Serializable)),
		"repeatable":   with(concurrency.WithIsolation(concurrency.RepeatableReads)),
		"committed":    with(concurrency.WithIsolation(concurrency.ReadCommitted)),
		"old serializable": func(ctx context.Context, c *clientv3.Client,
			apply func(concurrency.STM) error,
		) (*clientv3.TxnResponse, error) {
			return concurrency.NewSTMSerializable(ctx, c, apply)
		},
		"old repeatable": func(ctx context.Context, c *clientv3.Client,
			apply func(concurrency.STM) error,
		) (*clientv3.TxnResponse, error) {
			return concurrency.NewSTMRepeatable(ctx, c, apply)
		},
		"old committed": func(ctx context.Context, c *clientv3.Client,
			apply func(concurrency.STM) error,
		) (*clientv3.TxnResponse, error) {
			return concurrency.NewSTMReadCommitted(ctx, c, apply)
		},
	}
	tallies := map[string]*tally{}
	var wait sync.WaitGroup
	for name, run := range all {
		n := &tally{}
		tallies[name] = n
		workers := 2
		if name == "committed" || name == "old committed" {
			workers = 1
		}
		for range workers {
			wait.Go(func() { countWith(ctx, c, run, "stm/"+name, n) })
		}
	}
	wait.Wait()
	return func(ctx context.Context) error {
		found, err := stored(ctx, c, "stm/")
		if err != nil {
			return err
		}
		for name, n := range tallies {
			have, err := strconv.ParseInt(found["stm/"+name], 10, 64)
			if err != nil {
				return err
			}
			if name == "committed" || name == "old committed" {
				n.sure.Store(1) // one of unknown outcome may undo what came after it
				n.maybe.Add(have)
			}
			if err := n.check(name, have); err != nil {
				return err
			}
			if _, ok := found["stm/"+name+"/deleted"]; ok {
				return fmt.Errorf("%s: what the transaction deleted is there", name)
			}
		}
		return nil
	}
}

func countWith(ctx context.Context, c *clientv3.Client, run stm, key string, n *tally) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, callTime)
		r, err := run(call, c, func(s concurrency.STM) error {
			have, _ := strconv.Atoi(s.Get(key)) // written by this function only
			if (s.Rev(key) > 0) != (have > 0) {
				return errors.New("a revision without a value")
			}
			s.Put(key, strconv.Itoa(have+1))
			s.Del(key + "/deleted")
			return nil
		})
		cancel()
		switch {
		case err != nil:
			n.maybe.Add(1)
		case r.Succeeded:
			n.sure.Add(1)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// sessions are taken over, orphaned and ended from outside.
func sessions(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	round := func(ctx context.Context) error {
		first, err := concurrency.NewSession(c, concurrency.WithTTL(30),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		second, err := concurrency.NewSession(c, concurrency.WithLease(first.Lease()),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		if second.Lease() != first.Lease() || second.Client() != c {
			return fmt.Errorf("session %x took over %x", second.Lease(), first.Lease())
		}
		first.Orphan()
		<-first.Done()
		if first.Ctx().Err() == nil || second.Ctx().Err() != nil {
			return errors.New("the wrong session has ended")
		}
		r, err := c.TimeToLive(ctx, second.Lease())
		if err != nil {
			return err
		}
		if r.TTL <= 0 || r.GrantedTTL != 30 {
			return fmt.Errorf("an orphaned lease has %d of %d s", r.TTL, r.GrantedTTL)
		}
		if _, err := c.Revoke(ctx, second.Lease()); err != nil {
			return err
		}
		if err := second.Close(); err == nil {
			return errors.New("a lease was revoked twice")
		}
		return nil
	}
	return repeat(ctx, 100*time.Millisecond, round)
}

// repeat does something while members die, whatever becomes of it; when all live it has to work.
func repeat(
	ctx context.Context, every time.Duration, round func(context.Context) error,
) judge {
	worked := 0
	var wrongs, last error
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, callTime)
		err := round(call)
		cancel()
		if err == nil {
			worked++
		}
		if errors.As(err, &wrongError{}) {
			wrongs = err
		}
		if ctx.Err() == nil {
			last = err
		}
		pause(ctx, every)
	}
	return func(ctx context.Context) error {
		if worked == 0 {
			return fmt.Errorf("it never worked while members died: %w", errors.Join(wrongs, last))
		}
		return errors.Join(wrongs, again(ctx, round))
	}
}

// lockers try a lock that another session may hold: two that were told that they hold it, at the
// same time and both still owners, is what must not be.
func lockers(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	var held, refused, round atomic.Int64
	try := func(ctx context.Context) error {
		s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		defer s.Close() // an error leaves the lease to expire
		other, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		defer other.Close()
		name := fmt.Sprint("tried/", round.Add(1)) // a session of before may still hold its lock
		m, rival := concurrency.NewMutex(s, name), concurrency.NewMutex(other, name)
		if err := m.TryLock(ctx); err != nil {
			return err
		}
		held.Add(1)
		err = rival.TryLock(ctx)
		r, ownErr := c.Txn(ctx).If(m.IsOwner()).Then(clientv3.OpGet(m.Key())).Commit()
		switch {
		case ownErr != nil:
			return ownErr
		case err == nil && r.Succeeded:
			return wrong("two hold the lock: %s and %s", m.Key(), rival.Key())
		case errors.Is(err, concurrency.ErrLocked):
			refused.Add(1)
		}
		if m.Header().Revision == 0 {
			return wrong("a lock without a revision")
		}
		return m.Unlock(ctx)
	}
	verdict := repeat(ctx, 50*time.Millisecond, try)
	return func(ctx context.Context) error {
		if err := verdict(ctx); err != nil {
			return err
		}
		if held.Load() == 0 || refused.Load() == 0 {
			return fmt.Errorf("%d held, %d refused", held.Load(), refused.Load())
		}
		s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL))
		if err != nil {
			return err
		}
		defer s.Close()
		locker := concurrency.NewLocker(s, "locker")
		locker.Lock()
		n, err := c.Get(ctx, "locker", clientv3.WithPrefix(), clientv3.WithCountOnly())
		locker.Unlock()
		if err == nil && n.Count != 1 {
			err = fmt.Errorf("%d hold a locker", n.Count)
		}
		return err
	}
}
