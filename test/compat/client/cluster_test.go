// Package client holds etcd's own client library against three real members of detcd that are
// killed and started again all the time, the leader every second time, and judges what the library
// promises: a mutex excludes, a transfer inside a transaction keeps the sum, a watcher sees every
// revision once, a mirror ends up equal to its source.
//
// A caller repeats what failed while members were away, as a program in production does; a write
// whose outcome is unknown may have happened, and every check allows for that. In the end every
// method of the API has to have been answered.
package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/detcd/detcd/test/compat/servers"
)

const (
	members    = 3
	callTime   = 3 * time.Second
	statusTime = 500 * time.Millisecond
	healTime   = 30 * time.Second
	often      = 1700 * time.Millisecond // between kills
	seldom     = 4 * time.Second
)

// cluster is three members and the one that kills them.
type cluster struct {
	t        *testing.T
	programs servers.Programs
	members  []*servers.Server
	kills    atomic.Int64
	leaders  atomic.Int64 // killed
	answers  answers
}

// answers are the methods that were answered.
type answers struct {
	mu      sync.Mutex
	methods map[string]bool
}

type methodKey struct{}

// TagRPC remembers a call's method.
func (a *answers) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

// HandleRPC takes note of an answer.
func (a *answers) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.InPayload); ok {
		a.mu.Lock()
		a.methods[ctx.Value(methodKey{}).(string)] = true
		a.mu.Unlock()
	}
}

// TagConn has nothing to remember.
func (a *answers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn has nothing to note.
func (a *answers) HandleConn(context.Context, stats.ConnStats) {}

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
	return &cluster{t: t, programs: programs, members: all,
		answers: answers{methods: map[string]bool{}}}
}

func (c *cluster) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, m.ClientURL)
	}
	return all
}

func (c *cluster) config() clientv3.Config {
	return clientv3.Config{Endpoints: c.endpoints(), DialTimeout: callTime,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithStatsHandler(&c.answers)}}
}

func (c *cluster) client() *clientv3.Client {
	client, err := clientv3.New(c.config())
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = client.Close() }) // its context may have ended before
	return client
}

// leader is the member that says it leads, if any does.
func (c *cluster) leader(ctx context.Context, client *clientv3.Client) *servers.Server {
	for _, m := range c.members {
		call, cancel := context.WithTimeout(ctx, statusTime)
		r, err := client.Status(call, m.ClientURL)
		cancel()
		if err == nil && r.Leader == r.Header.MemberId {
			return m
		}
	}
	return nil
}

// disturb kills one member after the other until the context ends, and leaves all of them running.
func (c *cluster) disturb(ctx context.Context, rest time.Duration) error {
	client := c.client()
	for i := 0; ctx.Err() == nil; i++ {
		m := c.members[rand.IntN(members)]
		if leader := c.leader(ctx, client); i%2 == 0 && leader != nil {
			m = leader
			c.leaders.Add(1)
		}
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
		pause(ctx, rest)
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
	name string
	work func(context.Context, *testing.T, *cluster, *clientv3.Client) judge
}

// alone is a subject that needs nothing but a client.
func alone(
	work func(context.Context, *testing.T, *clientv3.Client) judge,
) func(context.Context, *testing.T, *cluster, *clientv3.Client) judge {
	return func(ctx context.Context, t *testing.T, _ *cluster, c *clientv3.Client) judge {
		return work(ctx, t, c)
	}
}

// judge says what is wrong once all members live.
type judge func(context.Context) error

// phase is subjects that work at the same time.
type phase struct {
	name     string
	lasts    time.Duration
	rest     time.Duration // after each kill
	subjects []subject
}

func (c *cluster) run(t *testing.T, p phase) {
	ctx, cancel := context.WithTimeout(t.Context(), p.lasts)
	defer cancel()
	healed := make(chan struct{})
	var disturbed error
	go func() {
		defer close(healed)
		disturbed = c.disturb(ctx, p.rest)
		calm, cancel := context.WithTimeout(t.Context(), healTime)
		defer cancel()
		for _, m := range c.members {
			if disturbed == nil {
				disturbed = m.WaitReady(calm)
			}
		}
	}()
	var wait sync.WaitGroup
	for _, s := range p.subjects {
		wait.Go(func() {
			t.Run(s.name, func(t *testing.T) {
				verdict := s.work(ctx, t, c, c.client())
				<-healed
				calm, cancel := context.WithTimeout(t.Context(), healTime)
				defer cancel()
				require.NoError(t, verdict(calm))
			})
		})
	}
	wait.Wait()
	<-healed
	require.NoError(t, disturbed)
}

// The library keeps its promises while members are killed.
func TestClientLibraryWhileMembersAreKilled(t *testing.T) {
	programs, err := servers.Build(t.Context(), "../../..", "..", t.TempDir())
	require.NoError(t, err)
	c := startCluster(t.Context(), t, programs)
	for _, p := range phases() {
		t.Run(p.name, func(t *testing.T) { c.run(t, p) })
	}
	require.Positive(t, c.kills.Load())
	require.Positive(t, c.leaders.Load())
	t.Logf("%d kills, %d of them of the leader", c.kills.Load(), c.leaders.Load())
	c.requireEveryMethod(t)
}

// requireEveryMethod demands an answer to every method of the API that the library can ask.
func (c *cluster) requireEveryMethod(t *testing.T) {
	c.answers.mu.Lock()
	defer c.answers.mu.Unlock()
	services := pb.File_rpc_proto.Services()
	for i := range services.Len() {
		s := services.Get(i)
		for j := range s.Methods().Len() {
			name := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(j).Name())
			if name != pb.Maintenance_Hash_FullMethodName { // the library has no call for it
				require.True(t, c.answers.methods[name], "%s was never answered", name)
			}
		}
	}
}
