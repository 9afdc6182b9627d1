package client

// The client that owns keys by leases and answers reads of them from its memory.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
)

// leased writes through a client that owns keys by leases and answers reads from its memory.
func leased(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	kv, closeKV, err := leasing.NewKV(c, "leasing/", concurrency.WithTTL(sessionTTL))
	if err != nil {
		return func(context.Context) error { return err }
	}
	t.Cleanup(closeKV)
	newest := -1
	for i := 0; ctx.Err() == nil; i++ {
		call, cancel := context.WithTimeout(ctx, callTime)
		_, err := kv.Put(call, "leased", strconv.Itoa(i))
		if err == nil {
			newest = i
		}
		if _, err := kv.Get(call, "leased"); err != nil {
			pause(ctx, 10*time.Millisecond)
		}
		cancel()
	}
	return func(ctx context.Context) error {
		return again(ctx, func(ctx context.Context) error {
			inside, err := kv.Get(ctx, "leased")
			if err != nil {
				return err
			}
			outside, err := c.Get(ctx, "leased")
			if err != nil {
				return err
			}
			a, b := string(inside.Kvs[0].Value), string(outside.Kvs[0].Value)
			n, err := strconv.Atoi(b)
			if err != nil {
				return err
			}
			if a != b || n < newest {
				return fmt.Errorf("leased %q, stored %q, acknowledged %d", a, b, newest)
			}
			return leasingCalls(ctx, c.Endpoints())
		})
	}
}

// leasingCalls makes every call of two clients that own keys of their own by leases, each of which
// has to give up what the other one wants. The library's owners do not find back to a cluster that
// lost their session, be it etcd's, and keep their keys after they are closed, as long as the client
// lives: so these are new ones of a new client, with keys that nobody has had.
func leasingCalls(ctx context.Context, endpoints []string) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: callTime})
	if err != nil {
		return err
	}
	defer c.Close()
	owners := fmt.Sprintf("leasing-calls/%d/", time.Now().UnixNano())
	a, closeA, err := leasing.NewKV(c, owners, concurrency.WithTTL(sessionTTL))
	if err != nil {
		return err
	}
	defer closeA()
	b, closeB, err := leasing.NewKV(c, owners, concurrency.WithTTL(sessionTTL))
	if err != nil {
		return err
	}
	defer closeB()
	steps := slices.Concat(handOver(ctx, a, b, c), byPrefix(ctx, a, b))
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("leasing, step %d: %w", i, err)
		}
	}
	return nil
}

func holds(ctx context.Context, kv clientv3.KV, key, want string) func() error {
	return func() error {
		r, err := kv.Get(ctx, key)
		if err == nil && (len(r.Kvs) != 1 || string(r.Kvs[0].Value) != want) {
			err = fmt.Errorf("%s is %v, not %q", key, r.Kvs, want)
		}
		return err
	}
}

func put(ctx context.Context, kv clientv3.KV, key, value string) func() error {
	return func() error {
		_, err := kv.Put(ctx, key, value)
		return err
	}
}

// handOver lets a key change its owner: each has to see what the other wrote.
func handOver(ctx context.Context, a, b, c clientv3.KV) []func() error {
	return []func() error{
		put(ctx, a, "owned/k", "1"),
		holds(ctx, a, "owned/k", "1"), // and owns it from now on
		holds(ctx, a, "owned/k", "1"),
		put(ctx, b, "owned/k", "2"),
		holds(ctx, a, "owned/k", "2"),
		holds(ctx, b, "owned/k", "2"),
		holds(ctx, c, "owned/k", "2"),
		func() error {
			is := clientv3.Compare(clientv3.Value("owned/k"), "=", "2")
			r, err := b.Txn(ctx).If(is).Then(clientv3.OpPut("owned/k", "3")).
				Else(clientv3.OpGet("owned/k")).Commit()
			if err == nil && !r.Succeeded {
				err = errors.New("a comparison that holds failed")
			}
			return err
		},
		holds(ctx, a, "owned/k", "3"),
		func() error {
			is := clientv3.Compare(clientv3.Value("owned/k"), "=", "2")
			r, err := a.Txn(ctx).If(is).Then(clientv3.OpPut("owned/k", "4")).
				Else(clientv3.OpGet("owned/k")).Commit()
			if err == nil && (r.Succeeded ||
				string(r.Responses[0].GetResponseRange().Kvs[0].Value) != "3") {
				err = fmt.Errorf("a comparison that fails gave %v", r.Responses)
			}
			return err
		},
	}
}

// byPrefix asks for several keys at once, owned by either, and removes them.
func byPrefix(ctx context.Context, a, b clientv3.KV) []func() error {
	return []func() error{
		put(ctx, b, "owned/l", "1"),
		func() error {
			r, err := a.Do(ctx, clientv3.OpGet("owned/", clientv3.WithPrefix()))
			if err == nil && len(r.Get().Kvs) != 2 {
				err = fmt.Errorf("a prefix of two keys has %d", len(r.Get().Kvs))
			}
			return err
		},
		func() error {
			if _, err := a.Delete(ctx, "owned/k"); err != nil { // it never says how many there were
				return err
			}
			r, err := b.Get(ctx, "owned/k")
			if err == nil && len(r.Kvs) != 0 {
				err = fmt.Errorf("a deleted key is %v", r.Kvs)
			}
			return err
		},
		func() error {
			_, err := b.Delete(ctx, "owned/", clientv3.WithPrefix())
			return err
		},
		func() error {
			r, err := a.Get(ctx, "owned/l")
			if err == nil && len(r.Kvs) != 0 {
				err = fmt.Errorf("a deleted key is %v", r.Kvs)
			}
			return err
		},
		func() error {
			if _, err := a.Compact(ctx, 1); !errors.Is(err, rpctypes.ErrCompacted) {
				return err // the store began at revision 1 or was compacted since
			}
			return nil
		},
	}
}
