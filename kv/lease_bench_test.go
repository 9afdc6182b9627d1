package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

// BenchmarkEndLeases ends leases with a key each, one entry of many, as after a mass expiry.
func BenchmarkEndLeases(b *testing.B) {
	w := newWorld(&testing.T{}, 1, nil)
	w.leader()
	w.run(3)
	n := w.members[0].driver.Node
	require.NotNil(b, n.leases.schedule)
	n.out = &Effects{}
	var ids []lease.ID
	for i := range b.N {
		id := lease.ID(i*7919%1_000_003 + i<<20 + 1)
		n.state.leases.Grant(lease.Lease{ID: id, TTL: 10})
		n.leases.schedule.Granted(id, 0)
		tx := n.store.Begin()
		require.NoError(b, tx.Put(fmt.Appendf(nil, "lease/%016x", id), nil, int64(id)))
		tx.Commit()
		n.advanceWatches()
		ids = append(ids, id)
	}
	b.ResetTimer()
	for len(ids) > 0 {
		count := min(len(ids), leasesPerEntry)
		n.startEnding(&raft.Entry{Index: n.applied + 1, Term: n.term}, 0, n.applied,
			ids[:count])
		for budget := 1 << 30; !n.endListed(n.apply, &budget); {
		}
		ids, n.apply = ids[count:], nil
	}
}
