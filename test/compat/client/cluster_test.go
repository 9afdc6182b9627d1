// Package client holds etcd's own client library against three real members of detcd that are
// killed and started again all the time, and judges what the library promises: a mutex excludes, a
// transfer inside a transaction keeps the sum, a watcher sees every revision once, a mirror ends up
// equal to its source.
//
// A caller repeats what failed while members were away, as a program in production does; a write
// whose outcome is unknown may have happened, and every check allows for that.
package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/test/compat/servers"
)

const (
	members  = 3
	testTime = 6 * time.Second // under kills, for each subject
	callTime = 3 * time.Second
	healTime = 30 * time.Second
)

// cluster is three members and the one that kills them.
type cluster struct {
	t       *testing.T
	members []*servers.Server
	kills   atomic.Int64
}

func startCluster(ctx context.Context, t *testing.T, programs servers.Programs) *cluster {
	all, err := servers.Cluster(programs.Detcd, t.TempDir(), members)
	require.NoError(t, err)
	for _, m := range all {
		require.NoError(t, m.Start())
		t.Cleanup(func() { require.NoError(t, m.Kill()) })
	}
	for _, m := range all {
		require.NoError(t, m.WaitReady(ctx))
	}
	return &cluster{t: t, members: all}
}

func (c *cluster) client() *clientv3.Client {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.ClientURL)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: callTime,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second, Logger: zap.NewNop()})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = client.Close() }) // its context may have ended before
	return client
}

// disturb kills one member after the other until the context ends, and leaves all of them running.
func (c *cluster) disturb(ctx context.Context) error {
	for ctx.Err() == nil {
		m := c.members[rand.IntN(members)]
		if err := m.Died(); err != nil {
			return err
		}
		if err := m.Kill(); err != nil {
			return err
		}
		c.kills.Add(1)
		pause(ctx, 300*time.Millisecond)
		if err := m.Start(); err != nil {
			return err
		}
		pause(ctx, 2*time.Second)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// again repeats f until it succeeds or the time is up.
func again(ctx context.Context, f func(context.Context) error) error {
	for {
		call, cancel := context.WithTimeout(ctx, callTime)
		err := f(call)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w, last: %w", ctx.Err(), err)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// subject is one part of the library under test. work runs while members die, judge when all live.
type subject struct {
	name  string
	needs []string
	work  func(context.Context, *testing.T, *clientv3.Client) judge
}

// judge says what is wrong once all members live.
type judge func(context.Context) error

// The library's helpers keep their promises while members are killed.
func TestClientLibraryWhileMembersAreKilled(t *testing.T) {
	programs, err := servers.Build(t.Context(), "../../..", "..", t.TempDir())
	require.NoError(t, err)
	c := startCluster(t.Context(), t, programs)
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			for _, method := range s.needs {
				if !servers.Served(method) {
					t.Skip("not served yet: " + method)
				}
			}
			client := c.client()
			ctx, cancel := context.WithTimeout(t.Context(), testTime)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- c.disturb(ctx) }()
			verdict := s.work(ctx, t, client)
			cancel()
			require.NoError(t, <-done)
			calm, cancel := context.WithTimeout(t.Context(), healTime)
			defer cancel()
			for _, m := range c.members {
				require.NoError(t, m.WaitReady(calm))
			}
			require.NoError(t, verdict(calm))
		})
	}
	require.Positive(t, c.kills.Load())
}
