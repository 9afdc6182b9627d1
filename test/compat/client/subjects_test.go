package client

// The subjects. Each works until its context ends and hands back what has to hold then.

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

const testTime = 12 * time.Second // of the first phase

func phases() []phase {
	return []phase{
		{"helpers", testTime, often, helpers()},
		{"maintenance", 8 * time.Second, often, []subject{
			{"maintenance", alone(maintenance)}, {"snapshots", snapshots},
			{"alarms", alone(alarms)}, {"downgrade", alone(downgrades)},
			{"move leader", moveLeader},
		}},
		// A change of members is refused while one has been away lately.
		{"members", 13 * time.Second, seldom, []subject{{"membership", membership}}},
		{"users", 7 * time.Second, often, []subject{{"users", users}}},
	}
}

func helpers() []subject {
	plain := func(_ *testing.T, c *clientv3.Client) (clientv3.KV, error) {
		return clientv3.NewKV(c), nil
	}
	return []subject{
		{"every call of KV", alone(ledgerOf("ledger/", plain))},
		{"every call in a namespace", alone(ledgerOf("n", inNamespace, "stream"))},
		{"every call in order", alone(ledgerOf("order/", inOrder, "stream"))},
		{"acknowledged puts stay", alone(puts)},
		{"reads behind an ordering client never go back", alone(ordered)},
		{"transactions keep the sum", alone(transfers)},
		{"counters of every isolation", alone(isolations)},
		{"namespace", alone(namespaced)},
		{"kubernetes' calls", kubernetesCalls},
		{"leases", alone(leases)},
		{"every call of Lease", alone(leaseCalls)},
		{"sessions", alone(sessions)},
		{"watchers see every revision once", alone(watching)},
		{"watchers see what they asked for", alone(watchOptions)},
		{"mirror", alone(mirrored)},
		{"mutex", alone(mutex)},
		{"locks that are tried", alone(lockers)},
		{"election", alone(election)},
		{"leasing", alone(leased)},
		{"names of services", naming},
		{"queues", alone(queues)},
		{"barriers", alone(barriers)},
		{"many readers or one writer", alone(readersAndWriters)},
	}
}

func inNamespace(_ *testing.T, c *clientv3.Client) (clientv3.KV, error) {
	return namespace.NewKV(c, "ledger-space/"), nil
}

func inOrder(_ *testing.T, c *clientv3.Client) (clientv3.KV, error) {
	return ordering.NewKV(c, ordering.NewOrderViolationSwitchEndpointClosure(c)), nil
}

// write puts numbered keys until the context ends and returns the ones that were acknowledged.
func write(ctx context.Context, kv clientv3.KV, prefix string) (acknowledged []string) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s%06d", prefix, i)
		call, cancel := context.WithTimeout(ctx, callTime)
		_, err := kv.Put(call, key, strconv.Itoa(i))
		cancel()
		if err == nil {
			acknowledged = append(acknowledged, key)
		}
		pause(ctx, 5*time.Millisecond)
	}
	return acknowledged
}

// stored are all keys of a prefix.
func stored(ctx context.Context, kv clientv3.KV, prefix string) (map[string]string, error) {
	found := map[string]string{}
	return found, again(ctx, func(ctx context.Context) error {
		r, err := kv.Get(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		for _, kv := range r.Kvs {
			found[string(kv.Key)] = string(kv.Value)
		}
		return nil
	})
}

func haveAll(found map[string]string, acknowledged []string) error {
	if len(acknowledged) < 10 {
		return fmt.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
	for _, key := range acknowledged {
		if _, ok := found[key]; !ok {
			return fmt.Errorf("acknowledged %q is lost", key)
		}
	}
	return nil
}

func puts(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	acknowledged := write(ctx, c, "puts/")
	return func(ctx context.Context) error {
		found, err := stored(ctx, c, "puts/")
		if err != nil {
			return err
		}
		return haveAll(found, acknowledged)
	}
}

func namespaced(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	kv := namespace.NewKV(c, "space/")
	acknowledged := write(ctx, kv, "x")
	return func(ctx context.Context) error {
		return again(ctx, func(ctx context.Context) error {
			inside, err := stored(ctx, kv, "x")
			if err != nil {
				return err
			}
			outside, err := stored(ctx, c, "space/x")
			if err != nil {
				return err
			}
			if len(inside) != len(outside) {
				return fmt.Errorf("%d keys inside the namespace, %d outside", len(inside),
					len(outside))
			}
			return haveAll(inside, acknowledged)
		})
	}
}

func ordered(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	kv := ordering.NewKV(c, ordering.NewOrderViolationSwitchEndpointClosure(c))
	var newest, reads int64
	for i := 0; ctx.Err() == nil; i++ {
		call, cancel := context.WithTimeout(ctx, callTime)
		if i%4 == 0 {
			_, _ = kv.Put(call, "ordered", strconv.Itoa(i)) // any outcome will do
		}
		r, err := kv.Get(call, "ordered", clientv3.WithSerializable())
		cancel()
		if err == nil {
			require.GreaterOrEqual(t, r.Header.Revision, newest)
			newest, reads = r.Header.Revision, reads+1
		}
		pause(ctx, 5*time.Millisecond)
	}
	return func(context.Context) error {
		if reads < 10 {
			return fmt.Errorf("only %d reads were answered", reads)
		}
		return nil
	}
}

const accounts, each = 5, 100

func account(i int) string { return fmt.Sprintf("account/%d", i%accounts) }

func transfers(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	for i := range accounts {
		require.NoError(t, again(ctx, func(ctx context.Context) error {
			_, err := c.Put(ctx, account(i), strconv.Itoa(each))
			return err
		}))
	}
	var done atomic.Int64
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				if transfer(ctx, c, account(i), account(3*i+1)) == nil {
					done.Add(1)
				}
				pause(ctx, 10*time.Millisecond)
			}
		})
	}
	wait.Wait()
	return func(ctx context.Context) error {
		found, err := stored(ctx, c, "account/")
		if err != nil {
			return err
		}
		sum := 0
		for _, value := range found {
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			sum += n
		}
		if sum != accounts*each || done.Load() < 10 {
			return fmt.Errorf("%d in all accounts after %d transfers: %v", sum, done.Load(), found)
		}
		return nil
	}
}

func transfer(ctx context.Context, c *clientv3.Client, from, to string) error {
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
		a, err := strconv.Atoi(s.Get(from))
		if err != nil {
			return err
		}
		b, err := strconv.Atoi(s.Get(to))
		if err != nil || from == to {
			return err
		}
		s.Put(from, strconv.Itoa(a-1))
		s.Put(to, strconv.Itoa(b+1))
		return nil
	}, concurrency.WithAbortContext(call))
	return err
}

// leases holds one lease by keep-alives through all kills, and has others expire.
func leases(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	var kept, lost *clientv3.LeaseGrantResponse
	grant := func(ttl int64, key string) (l *clientv3.LeaseGrantResponse) {
		require.NoError(t, again(ctx, func(ctx context.Context) (err error) {
			if l, err = c.Grant(ctx, ttl); err == nil {
				_, err = c.Put(ctx, key, "x", clientv3.WithLease(l.ID))
			}
			return err
		}))
		return l
	}
	kept, lost = grant(5, "lease/kept"), grant(2, "lease/lost")
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	answers, err := c.KeepAlive(alive, kept.ID)
	require.NoError(t, err)
	go func() {
		for range answers {
		}
	}()
	<-ctx.Done()
	return func(ctx context.Context) error {
		found, err := stored(ctx, c, "lease/")
		if err != nil {
			return err
		}
		if _, ok := found["lease/kept"]; !ok {
			return fmt.Errorf("lease %x was kept alive and is gone: %v", kept.ID, found)
		}
		return again(ctx, func(ctx context.Context) error {
			r, err := c.TimeToLive(ctx, lost.ID)
			if err == nil && r.TTL >= 0 {
				err = fmt.Errorf("lease %x still has %d s", lost.ID, r.TTL)
			}
			return err
		})
	}
}

func watching(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	var mu sync.Mutex
	seen := map[string]string{}
	var newest int64
	var broken error
	var from int64
	require.NoError(t, again(ctx, func(ctx context.Context) error {
		r, err := c.Get(ctx, "watched/")
		if err == nil {
			from = r.Header.Revision + 1
		}
		return err
	}))
	go func() {
		for r := range c.Watch(alive, "watched/", clientv3.WithPrefix(), clientv3.WithRev(from)) {
			mu.Lock()
			for _, e := range r.Events {
				if e.Kv.ModRevision <= newest {
					broken = fmt.Errorf("revision %d came after %d", e.Kv.ModRevision, newest)
				}
				newest = e.Kv.ModRevision
				seen[string(e.Kv.Key)] = string(e.Kv.Value)
			}
			if err := r.Err(); err != nil {
				broken = err
			}
			mu.Unlock()
		}
	}()
	acknowledged := write(ctx, c, "watched/")
	return func(ctx context.Context) error {
		var found map[string]string
		err := again(ctx, func(ctx context.Context) (err error) {
			if found, err = stored(ctx, c, "watched/"); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if broken == nil && !maps.Equal(seen, found) {
				return fmt.Errorf("%d events for %d keys", len(seen), len(found))
			}
			return nil
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if broken != nil {
			return broken
		}
		return haveAll(found, acknowledged)
	}
}

func mirrored(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	first := []string{}
	half, cancel := context.WithTimeout(ctx, testTime/3)
	first = write(half, c, "mirror/a")
	cancel()
	copied := map[string]string{}
	var mu sync.Mutex
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	var syncer mirror.Syncer
	require.NoError(t, again(ctx, func(ctx context.Context) error {
		syncer = mirror.NewSyncer(c, "mirror/", 0)
		base, errs := syncer.SyncBase(ctx)
		for r := range base {
			for _, kv := range r.Kvs {
				copied[string(kv.Key)] = string(kv.Value)
			}
		}
		return <-errs
	}))
	go func() {
		for r := range syncer.SyncUpdates(alive) {
			mu.Lock()
			for _, e := range r.Events {
				copied[string(e.Kv.Key)] = string(e.Kv.Value)
				if e.Type == clientv3.EventTypeDelete {
					delete(copied, string(e.Kv.Key))
				}
			}
			mu.Unlock()
		}
	}()
	acknowledged := append(first, write(ctx, c, "mirror/b")...)
	return func(ctx context.Context) error {
		gone := acknowledged[len(acknowledged)-1]
		acknowledged = acknowledged[:len(acknowledged)-1]
		if err := again(ctx, func(ctx context.Context) error {
			_, err := c.Delete(ctx, gone)
			return err
		}); err != nil {
			return err
		}
		return again(ctx, func(ctx context.Context) error {
			found, err := stored(ctx, c, "mirror/")
			if err != nil {
				return err
			}
			if err := haveAll(found, acknowledged); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if !maps.Equal(copied, found) {
				return fmt.Errorf("%d keys mirrored of %d", len(copied), len(found))
			}
			return nil
		})
	}
}
