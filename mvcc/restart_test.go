package mvcc_test

// What a restart must bring back, told as stories.

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/mvcc"
)

func (p *pair) put(t require.TestingT, key string, value []byte) {
	txn := p.engine.Begin()
	require.NoError(t, txn.Put([]byte(key), value, 0))
	txn.Commit()
	p.twin.Put([]byte(key), value, 0)
	p.twin.Commit()
}

func (p *pair) remove(t require.TestingT, key, end string) {
	txn := p.engine.Begin()
	var c mvcc.DeleteCursor
	for !c.Done {
		require.NoError(t, txn.DeleteRange([]byte(key), []byte(end), &c, 100, nil))
	}
	txn.Commit()
	p.twin.DeleteRange([]byte(key), []byte(end))
	p.twin.Commit()
}

// compactAll compacts at the visible revision and lets all background work finish.
func (p *pair) compactAll(t require.TestingT) {
	rev := p.engine.Revision()
	require.NoError(t, p.engine.Compact(rev))
	require.NoError(t, p.twin.Compact(rev))
	p.settle(t)
}

func (p *pair) settle(t require.TestingT) {
	for range 10000 {
		more := p.engine.Work(50)
		p.run(t, 5)
		d := &p.world.disk
		d.queue = p.engine.Flush(d.queue)
		if !more && !p.engine.Compacting() && len(d.queue) == 0 {
			return
		}
	}
	require.Fail(t, "background work does not end")
}

func (p *pair) checkpointAndReopen(t require.TestingT) {
	p.startCheckpoint()
	p.finishCheckpoint(t)
	p.reopen(t)
}

func (p *pair) requireSameState(t require.TestingT) {
	q := mvcc.Query{Key: []byte{0}, End: []byte{0}}
	want, err := p.twin.Range(&q)
	require.NoError(t, err)
	var r mvcc.Result
	require.NoError(t, p.engine.Range(&q, &r))
	requireSame(t, want.KVs, r.KVs)
	require.Equal(t, p.twin.Revision(), p.engine.Revision())
	require.NoError(t, p.engine.Check())
}

// A deleted key's put lies in a segment of mostly live records, its tombstone in one of mostly
// dead records. Compaction makes both dead, but only the second segment is worth rewriting.
func TestDeletedKeyStaysDeletedWhenOnlyItsTombstoneWasReclaimed(t *testing.T) {
	p := newPair(t)
	p.put(t, "deleted", []byte("ghost"))
	for i := range 30 {
		p.put(t, fmt.Sprintf("live%02d", i), make([]byte, 50))
	}
	for range 20 {
		p.put(t, "busy", make([]byte, 100))
	}
	p.remove(t, "deleted", "")
	for range 60 {
		p.put(t, "busy", make([]byte, 100))
	}
	p.compactAll(t)
	p.checkpointAndReopen(t)
	p.requireSameState(t)
}

// The newest change is a tombstone, and compaction drops its record: the revision must not go back.
func TestRevisionSurvivesTheLossOfTheNewestRecord(t *testing.T) {
	p := newPair(t)
	p.put(t, "a", []byte("1"))
	p.remove(t, "a", "")
	p.put(t, "b", []byte("1"))
	p.remove(t, "b", "")
	p.compactAll(t)
	p.checkpointAndReopen(t)
	require.Equal(t, mvcc.Revision(5), p.engine.Revision())
	p.requireSameState(t)
	p.put(t, "c", nil)
	p.requireSameState(t)
}
