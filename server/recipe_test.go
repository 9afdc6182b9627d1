package server

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	epb "github.com/detcd/detcd/server/v3electionpb"
	lpb "github.com/detcd/detcd/server/v3lockpb"
)

// grant returns a lease that outlives the test.
func grant(t *testing.T, cli *clientv3.Client) int64 {
	lease, err := cli.Grant(testContext(t), 600)
	require.NoError(t, err)
	return int64(lease.ID)
}

func TestLocksHaveOneHolder(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, _ := rawClient(t, c.servers[0])
	cli, locks, ctx := c.client(), lpb.NewLockClient(cc), testContext(t)
	first, second := grant(t, cli), grant(t, cli)
	held, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("n"), Lease: first})
	require.NoError(t, err)
	require.Regexp(t, "^n/[0-9a-f]+$", string(held.GetKey()))
	require.NotZero(t, held.GetHeader().GetRevision())

	got := make(chan *lpb.LockResponse, 1)
	go func() {
		next, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("n"), Lease: second})
		if err == nil {
			got <- next
		}
		close(got)
	}()
	require.Eventually(t, func() bool {
		waiting, err := cli.Get(ctx, "n/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && waiting.Count == 2
	}, patience, time.Millisecond)
	require.Empty(t, got)
	_, err = locks.Unlock(ctx, &lpb.UnlockRequest{Key: held.GetKey()})
	require.NoError(t, err)
	next := <-got
	require.NotNil(t, next)
	require.NotEqual(t, held.GetKey(), next.GetKey())

	// Who gives up waiting leaves nothing behind.
	short, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := locks.Lock(short, &lpb.LockRequest{Name: []byte("n"), Lease: first})
		failed <- err
	}()
	count := func() int64 {
		all, err := cli.Get(ctx, "n/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		require.NoError(t, err)
		return all.Count
	}
	require.Eventually(t, func() bool { return count() == 2 }, patience, time.Millisecond)
	cancel()
	require.Equal(t, codes.Canceled, status.Code(<-failed))
	require.Eventually(t, func() bool { return count() == 1 }, patience, time.Millisecond)

	// Without a lease the server grants one.
	own, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("other")})
	require.NoError(t, err)
	key, err := cli.Get(ctx, string(own.GetKey()))
	require.NoError(t, err)
	require.NotZero(t, key.Kvs[0].Lease)
}

func TestElectionsHaveOneLeader(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, _ := rawClient(t, c.servers[0])
	cli, elections, ctx := c.client(), epb.NewElectionClient(cc), testContext(t)
	_, err := elections.Leader(ctx, &epb.LeaderRequest{Name: []byte("e")})
	requireUnknown(t, err, "election: no leader")
	_, err = elections.Proclaim(ctx, &epb.ProclaimRequest{})
	requireUnknown(t, err, `"leader" field must be provided`)
	_, err = elections.Resign(ctx, &epb.ResignRequest{})
	requireUnknown(t, err, `"leader" field must be provided`)

	lease := grant(t, cli)
	won, err := elections.Campaign(ctx, &epb.CampaignRequest{Name: []byte("e"), Lease: lease,
		Value: []byte("1")})
	require.NoError(t, err)
	require.Equal(t, lease, won.GetLeader().GetLease())
	require.Equal(t, "e", string(won.GetLeader().GetName()))
	again, err := elections.Campaign(ctx, &epb.CampaignRequest{Name: []byte("e"), Lease: lease,
		Value: []byte("2")})
	require.NoError(t, err)
	require.Equal(t, won.GetLeader().GetRev(), again.GetLeader().GetRev())

	watch, cancel := context.WithCancel(ctx)
	observed, err := elections.Observe(watch, &epb.LeaderRequest{Name: []byte("e")})
	require.NoError(t, err)
	says := func(want string) {
		now, err := observed.Recv()
		require.NoError(t, err)
		require.Equal(t, want, string(now.GetKv().GetValue()))
	}
	says("2")
	_, err = elections.Proclaim(ctx, &epb.ProclaimRequest{Leader: won.GetLeader(),
		Value: []byte("3")})
	require.NoError(t, err)
	says("3")
	now, err := elections.Leader(ctx, &epb.LeaderRequest{Name: []byte("e")})
	require.NoError(t, err)
	require.Equal(t, "3", string(now.GetKv().GetValue()))
	_, err = elections.Resign(ctx, &epb.ResignRequest{Leader: won.GetLeader()})
	require.NoError(t, err)
	_, err = elections.Resign(ctx, &epb.ResignRequest{Leader: won.GetLeader()})
	require.NoError(t, err, "it was not leading any more")
	_, err = elections.Proclaim(ctx, &epb.ProclaimRequest{Leader: won.GetLeader()})
	requireUnknown(t, err, "election: not leader")
	cancel()
	_, err = observed.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
}

func requireUnknown(t *testing.T, err error, text string) {
	t.Helper()
	require.Equal(t, codes.Unknown, status.Code(err), "%v", err)
	require.Equal(t, text, status.Convert(err).Message())
}

// A member that stops does not wait for those who wait for a lock.
func TestWaitersEndWithTheMember(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, _ := rawClient(t, c.servers[0])
	cli, locks, ctx := c.client(), lpb.NewLockClient(cc), testContext(t)
	_, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("n"), Lease: grant(t, cli)})
	require.NoError(t, err)
	failed := make(chan error, 1)
	second := grant(t, cli)
	go func() {
		_, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("n"), Lease: second})
		failed <- err
	}()
	require.Eventually(t, func() bool {
		all, err := cli.Get(ctx, "n/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && all.Count == 2
	}, patience, time.Millisecond)
	begin := time.Now()
	c.servers[0].Stop()
	require.Less(t, time.Since(begin), 5*time.Second)
	require.Equal(t, codes.Unavailable, status.Code(<-failed))
}

// Waiting for a lock uses up no streams that giving it back would need.
func TestWaitersLeaveRoomForTheHolder(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) { cfg.MaxConcurrentStreams = 12 })
	cli, ctx := c.client(), testContext(t)
	const callers = 10
	lease := make([]int64, callers)
	for i := range lease {
		lease[i] = grant(t, cli)
	}
	cc, _ := rawClient(t, c.servers[0])
	locks := lpb.NewLockClient(cc)
	done := make(chan error, callers)
	for _, id := range lease {
		go func() {
			held, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("n"), Lease: id})
			if err == nil {
				_, err = locks.Unlock(ctx, &lpb.UnlockRequest{Key: held.GetKey()})
			}
			done <- err
		}()
	}
	for range callers {
		require.NoError(t, <-done)
	}
}
