package client

// What can be asked of a watcher, and that its answers are that and nothing else.

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// sight is what a watcher saw.
type sight struct {
	mu       sync.Mutex
	events   []string // "revision type key"
	prev     map[string]string
	newest   int64
	progress int
	created  int
	err      error
}

func (s *sight) take(r clientv3.WatchResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Created {
		s.created++
	}
	if err := r.Err(); err != nil {
		s.err = err
	}
	if r.IsProgressNotify() {
		s.progress++
		if r.Header.Revision < s.newest {
			s.err = fmt.Errorf("progress to %d after revision %d", r.Header.Revision, s.newest)
		}
		s.newest = r.Header.Revision
	}
	for _, e := range r.Events {
		key := string(e.Kv.Key)
		if e.Kv.ModRevision <= s.newest {
			s.err = fmt.Errorf("revision %d after %d", e.Kv.ModRevision, s.newest)
		}
		s.newest = e.Kv.ModRevision
		s.events = append(s.events, fmt.Sprint(e.Kv.ModRevision, " ", e.Type, " ", key))
		if s.prev == nil {
			continue
		}
		before := ""
		if e.PrevKv != nil {
			before = string(e.PrevKv.Value)
		}
		if before != s.prev[key] {
			s.err = fmt.Errorf("%q was %q, not %q, at %d", key, s.prev[key], before,
				e.Kv.ModRevision)
		}
		s.prev[key] = string(e.Kv.Value)
	}
}

func (s *sight) only(kind string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		var rev int64
		var is, key string
		_, _ = fmt.Sscan(e, &rev, &is, &key) // written by take
		if is == kind {
			out = append(out, e)
		}
	}
	return out
}

// watchOptions has watchers with different options follow puts and deletions.
func watchOptions(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	var from int64
	require.NoError(t, again(ctx, func(ctx context.Context) error {
		r, err := c.Put(ctx, "options/first", "x")
		if err == nil {
			from = r.Header.Revision + 1
		}
		return err
	}))
	own := clientv3.NewWatcher(c)
	inside := namespace.NewWatcher(own, "options/")
	t.Cleanup(func() { _ = inside.Close() }) // its stream may already have ended
	all, puts, deletions := &sight{prev: map[string]string{}}, &sight{}, &sight{}
	follow := func(s *sight, options ...clientv3.OpOption) {
		options = append(options, clientv3.WithPrefix(), clientv3.WithRev(from))
		go func() {
			for r := range inside.Watch(clientv3.WithRequireLeader(alive), "k", options...) {
				s.take(r)
			}
		}()
	}
	// Without leader such a watcher is cancelled, so these are without that demand.
	plain := func(s *sight, options ...clientv3.OpOption) {
		options = append(options, clientv3.WithPrefix(), clientv3.WithRev(from))
		go func() {
			for r := range inside.Watch(alive, "k", options...) {
				s.take(r)
			}
		}()
	}
	strict := &sight{}
	follow(strict, clientv3.WithCreatedNotify())
	plain(all, clientv3.WithPrevKV(), clientv3.WithFragment(), clientv3.WithProgressNotify(),
		clientv3.WithCreatedNotify())
	plain(puts, clientv3.WithFilterDelete())
	plain(deletions, clientv3.WithFilterPut())
	for i := 0; ctx.Err() == nil; i++ {
		call, cancel := context.WithTimeout(ctx, callTime)
		key := "options/k" + strconv.Itoa(i%7)
		if i%3 == 2 {
			_, _ = c.Delete(call, key) // any outcome will do
		} else {
			_, _ = c.Put(call, key, strconv.Itoa(i))
		}
		if i%10 == 0 {
			_ = inside.RequestProgress(alive) // answered when the stream has caught up
		}
		cancel()
		pause(ctx, 10*time.Millisecond)
	}
	return func(ctx context.Context) error {
		var last int64
		if err := again(ctx, func(ctx context.Context) error {
			if _, err := c.Delete(ctx, "options/k0"); err != nil {
				return err
			}
			r, err := c.Put(ctx, "options/k0", "end")
			if err == nil {
				last = r.Header.Revision
			}
			return err
		}); err != nil {
			return err
		}
		return again(ctx, func(context.Context) error {
			return seen(alive, inside, last, strict, all, puts, deletions)
		})
	}
}

// seen compares what the watchers saw up to a revision.
func seen(
	ctx context.Context, w clientv3.Watcher, last int64, strict, all, puts, deletions *sight,
) error {
	_ = w.RequestProgress(ctx) // what matters is whether an answer comes
	for _, s := range []*sight{all, puts} {
		s.mu.Lock()
		newest, err := s.newest, s.err
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if newest < last {
			return fmt.Errorf("at revision %d of %d", newest, last)
		}
	}
	strict.mu.Lock()
	all.mu.Lock()
	created, progress, alsoCreated := all.created, all.progress, strict.created
	all.mu.Unlock()
	strict.mu.Unlock()
	if created == 0 || progress == 0 || alsoCreated == 0 {
		return fmt.Errorf("%d created, %d times progress, %d created", created, progress, alsoCreated)
	}
	for kind, s := range map[string]*sight{"PUT": puts, "DELETE": deletions} {
		want, have := all.only(kind), s.only(kind)
		s.mu.Lock()
		n := len(s.events)
		s.mu.Unlock()
		if fmt.Sprint(want) != fmt.Sprint(have) || n != len(have) || n == 0 {
			return fmt.Errorf("%s: %d events of %d, %d of all", kind, len(have), n, len(want))
		}
	}
	return nil
}
