package client

// The recipes that wait without a context: queues, barriers, a lock for readers or one writer. Each
// round has names of its own, so that what an abandoned one left is in nobody's way.

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// bounded gives up waiting for f when the context ends; f goes on until its client is closed.
func bounded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			// Recipes take the end of a closed client's watch for an event, and look into it.
			if r := recover(); r != nil && ctx.Err() == nil {
				panic(r)
			}
		}()
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func boundedly(ctx context.Context, f func() error) error {
	_, err := bounded(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// queues hand out what was put in, in order, and wake who waits.
func queues(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	n := 0
	return repeat(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		n++
		fifo := recipe.NewQueue(c, fmt.Sprint("queue/", n))
		byRank := recipe.NewPriorityQueue(c, fmt.Sprint("ranks/", n))
		values := []string{"c", "a", "b"}
		for i, value := range values {
			if err := boundedly(ctx, func() error { return fifo.Enqueue(value) }); err != nil {
				return err
			}
			rank := []uint16{3, 1, 2}[i]
			if err := boundedly(ctx, func() error { return byRank.Enqueue(value, rank) }); err != nil {
				return err
			}
		}
		for _, q := range []struct {
			take func() (string, error)
			want []string
		}{{fifo.Dequeue, values}, {byRank.Dequeue, slices.Sorted(slices.Values(values))}} {
			for _, want := range q.want {
				have, err := bounded(ctx, q.take)
				if err != nil {
					return err
				}
				if have != want {
					return wrong("%q was taken instead of %q", have, want)
				}
			}
		}
		waiting := make(chan error, 1)
		go func() {
			have, err := bounded(ctx, fifo.Dequeue)
			if err == nil && have != "late" {
				err = wrong("%q was taken instead of what came late", have)
			}
			waiting <- err
		}()
		if err := boundedly(ctx, func() error { return fifo.Enqueue("late") }); err != nil {
			return err
		}
		return <-waiting
	})
}

// barriers open for those who wait, and not before.
func barriers(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	n := 0
	return repeat(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		n++
		b := recipe.NewBarrier(c, fmt.Sprint("barrier/", n))
		if err := boundedly(ctx, b.Hold); err != nil {
			return err
		}
		passed := make(chan error, 1)
		go func() { passed <- boundedly(ctx, b.Wait) }()
		if err := notYet(passed, "a closed barrier"); err != nil {
			return err
		}
		if err := boundedly(ctx, b.Release); err != nil {
			return err
		}
		if err := <-passed; err != nil {
			return err
		}
		return together(ctx, c, fmt.Sprint("double/", n))
	})
}

// notYet fails if somebody has passed without an error.
func notYet(passed chan error, what string) error {
	select {
	case err := <-passed:
		if err == nil {
			return wrong("somebody passed %s", what)
		}
		return err
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

// together has two enter and leave a double barrier.
func together(ctx context.Context, c *clientv3.Client, name string) error {
	var all []*recipe.DoubleBarrier
	for range 2 {
		s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
			concurrency.WithContext(ctx))
		if err != nil {
			return err
		}
		defer s.Close() // an error leaves the lease to expire
		all = append(all, recipe.NewDoubleBarrier(s, name, 2))
	}
	for _, step := range []func(*recipe.DoubleBarrier) error{(*recipe.DoubleBarrier).Enter,
		(*recipe.DoubleBarrier).Leave} {
		first := make(chan error, 1)
		go func() { first <- boundedly(ctx, func() error { return step(all[0]) }) }()
		if err := notYet(first, "a double barrier alone"); err != nil {
			return err
		}
		if err := boundedly(ctx, func() error { return step(all[1]) }); err != nil {
			return err
		}
		if err := <-first; err != nil {
			return err
		}
	}
	return nil
}

// readersAndWriters share or exclude.
func readersAndWriters(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	n := 0
	return repeat(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		n++
		var all []*recipe.RWMutex
		for range 2 {
			s, err := concurrency.NewSession(c, concurrency.WithTTL(sessionTTL),
				concurrency.WithContext(ctx))
			if err != nil {
				return err
			}
			defer s.Close() // an error leaves the lease to expire
			all = append(all, recipe.NewRWMutex(s, fmt.Sprint("rw/", n)))
		}
		a, b := all[0], all[1]
		for _, step := range []func() error{a.RLock, b.RLock, a.RUnlock, b.RUnlock, a.Lock} {
			if err := boundedly(ctx, step); err != nil {
				return err
			}
		}
		for _, lock := range []struct{ take, give func() error }{{b.RLock, b.RUnlock},
			{b.Lock, b.Unlock}} {
			passed := make(chan error, 1)
			go func() { passed <- boundedly(ctx, lock.take) }()
			if err := notYet(passed, "a writer"); err != nil {
				return err
			}
			if err := boundedly(ctx, a.Unlock); err != nil {
				return err
			}
			if err := <-passed; err != nil {
				return err
			}
			if err := boundedly(ctx, lock.give); err != nil {
				return err
			}
			if err := boundedly(ctx, a.Lock); err != nil {
				return err
			}
		}
		return boundedly(ctx, a.Unlock)
	})
}
