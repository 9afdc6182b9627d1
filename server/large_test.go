package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A DeleteRange of a million keys takes many steps of every member, and not one heartbeat less:
// the leader stays, and nobody sees a part of it.
func TestDeletingAMillionKeysKeepsTheLeader(t *testing.T) {
	keys := 1_000_000
	if testing.Short() {
		keys = 50_000
	}
	c := startCluster(t, 3, func(cfg *Config) {
		cfg.HeartbeatMillis, cfg.ElectionMillis = 100, 1000
	})
	ctx, client := context.Background(), c.client()
	fill(t, client, keys)
	before := c.servers[0].State().Raft
	deleted, err := client.Delete(ctx, "k", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, keys, deleted.Deleted)
	left, err := client.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.Zero(t, left.Count)
	after := c.servers[0].State().Raft
	require.Equal(t, [2]any{before.Leader, before.Term}, [2]any{after.Leader, after.Term})
}

// fill puts keys k0000000, k0000001, ... in transactions of a hundred, several at a time.
func fill(t *testing.T, client *clientv3.Client, keys int) {
	const batch, writers = 100, 8
	var group sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		group.Go(func() {
			for i := w * batch; i < keys; i += writers * batch {
				var ops []clientv3.Op
				for k := i; k < i+batch; k++ {
					ops = append(ops, clientv3.OpPut(fmt.Sprintf("k%07d", k), ""))
				}
				if _, errs[w] = client.Txn(context.Background()).Then(ops...).Commit(); errs[w] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
}
