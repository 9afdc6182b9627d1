package mvcc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/twin"
)

// follows reads the history from some revision on, in pieces, and what keys were before.
func (p *pair) follows(t *rapid.T) {
	newest := p.twin.Revision()
	start := mvcc.Revision(rapid.Int64Range(max(int64(p.twin.Compacted()), 1),
		int64(newest)+1).Draw(t, "from"))
	var want []twin.Version
	for _, v := range p.twin.Rows(newest) {
		if v.Rev.Main >= start {
			want = append(want, v)
		}
	}
	at := mvcc.Rev{Main: start}
	most := rapid.IntRange(1, 20).Draw(t, "records")
	bytes := rapid.SampledFrom([]int{1, 100, 1 << 20}).Draw(t, "bytes")
	refuse := rapid.IntRange(2, 9).Draw(t, "refuse")
	for at.Main <= newest {
		visits := 0
		next, err := p.engine.Changes(at, most, bytes, func(rev mvcc.Rev, c mvcc.Change) bool {
			if visits++; visits == refuse {
				return false
			}
			if rev.Main == p.twin.Compacted() && (len(want) == 0 || want[0].Rev != rev) {
				// Superseded by a later change of the key in the compacted revision itself, which no
				// request of etcd's can be, and not dropped yet.
				return true
			}
			require.NotEmpty(t, want, "a change too many at %v", rev)
			require.Equal(t, want[0].Rev, rev)
			require.Equal(t, want[0].Dead, c.Kind == mvcc.TombstoneRecord)
			requireSame(t, []mvcc.KeyValue{want[0].KV}, [][]byte{c.KV})
			want = want[1:]
			return true
		})
		require.NoError(t, err)
		require.LessOrEqual(t, visits, most)
		require.True(t, at.Less(next), "no progress from %v", at)
		at = next
	}
	require.Empty(t, want, "changes are missing")
	require.Equal(t, mvcc.Rev{Main: newest + 1}, at)
	key := keyGen().Draw(t, "key")
	rev := mvcc.Revision(rapid.Int64Range(0, int64(newest)).Draw(t, "at"))
	kv, ok, err := p.engine.At(key, rev)
	require.NoError(t, err)
	was, lived := p.twin.Get(key, rev)
	if rev < p.twin.Compacted() {
		require.False(t, ok)
		return
	}
	require.Equal(t, lived, ok)
	if ok {
		requireSame(t, []mvcc.KeyValue{was}, [][]byte{kv})
	}
}

func TestNewestCountsTheChangesOfTheVisibleRevision(t *testing.T) {
	p := newPair(t)
	at := func(rev mvcc.Revision, changes int) {
		t.Helper()
		r, c := p.engine.Newest()
		require.Equal(t, rev, r)
		require.Equal(t, changes, c)
	}
	at(1, -1)
	txn := p.engine.Begin()
	for i := range 2000 {
		require.NoError(t, txn.Put(fmt.Appendf(nil, "%d", i), nil, 0))
	}
	at(1, -1)
	txn.Commit()
	at(2, 2000)
	p.engine.Begin().Commit()
	at(2, 2000)
}
