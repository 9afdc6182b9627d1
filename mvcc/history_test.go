package mvcc_test

// Histories of views against the twin's rows, and stores that are built from them.

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/twin"
)

// requireHistory compares a view's history with the rows that the twin keeps.
func requireHistory(t require.TestingT, v pinned) {
	rows := v.twin.Rows(v.twin.Revision())
	h := v.view.History()
	require.Equal(t, int64(len(rows)), h.Len())
	n := 0
	h.Sizes(func(rev mvcc.Rev, kind mvcc.RecordKind, size int) {
		require.Equal(t, rows[n].Rev, rev)
		require.Equal(t, rows[n].Dead, kind == mvcc.TombstoneRecord)
		require.Equal(t, rows[n].KV.WireSize(), size)
		n++
	})
	require.Len(t, rows, n)
	n = 0
	require.NoError(t, h.Read(func(r mvcc.Record) error {
		require.Equal(t, rows[n].Rev, r.Rev)
		require.Equal(t, rows[n].Dead, r.Kind == mvcc.TombstoneRecord)
		require.Equal(t, rows[n].KV.AppendWire(nil), r.KV)
		n++
		return nil
	}))
	require.Len(t, rows, n)
}

// imports builds another store from the present state's history, which may take this one's place.
func (p *pair) imports(t *rapid.T) {
	v := p.engine.View()
	w := &world{disk: memDisk{files: map[string][]byte{}}, covered: map[uint64]covered{}}
	im, err := mvcc.NewImport(&w.disk, smallOptions(), v.Revision(), v.Compacted())
	require.NoError(t, err)
	require.NoError(t, v.History().Read(func(r mvcc.Record) error {
		if rapid.IntRange(0, 3).Draw(t, "write") == 0 {
			importSteps(t, &w.disk, im, 3)
		}
		return im.Add(r)
	}))
	p.engine.Release(v)
	im.Finish(mvcc.Checkpoint{Applied: 1, Term: 3, State: []byte("state")})
	for {
		if _, done := im.Finished(); done {
			break
		}
		importSteps(t, &w.disk, im, 1)
	}
	e, _ := im.Finished()
	w.applied = 1
	w.covered[0] = covered{twin.New(), 0}
	w.covered[1] = covered{p.twin.Clone(), e.Digest()}
	other := &pair{world: w, engine: e, twin: p.twin.Clone()}
	other.requireSameState(t)
	requireSameHash(t, other, mvcc.Revision(rapid.Int64Range(
		int64(max(p.twin.Compacted(), 1)), int64(p.twin.Revision())).Draw(t, "hash revision")))
	if rapid.Bool().Draw(t, "restart the copy") {
		other.reopen(t)
		other.requireSameState(t)
	}
	if rapid.Bool().Draw(t, "go on there") {
		*p = *other
	}
}

func requireSameHash(t require.TestingT, p *pair, rev mvcc.Revision) {
	want, err := p.twin.Hash(rev)
	require.NoError(t, err)
	v := p.engine.View()
	defer p.engine.Release(v)
	have, _, err := v.Hash(rev)
	require.NoError(t, err)
	require.Equal(t, want, have, "hash at %d", rev)
}

func importSteps(t require.TestingT, d *memDisk, im *mvcc.Import, n int) {
	for range n {
		d.queue = im.Flush(d.queue)
		if len(d.queue) == 0 {
			return
		}
		require.NoError(t, im.Complete(d.step()))
	}
}

func put(rev mvcc.Revision, sub int32, kv mvcc.KeyValue) mvcc.Record {
	return mvcc.Record{Rev: mvcc.Rev{Main: rev, Sub: sub}, KV: kv.AppendWire(nil)}
}

func TestImportRefusesWhatNoStoreWrites(t *testing.T) {
	good := put(5, 0, mvcc.KeyValue{Key: []byte("k"), Create: 4, Mod: 5, Version: 2})
	for _, c := range []struct {
		name string
		r    mvcc.Record
	}{
		{"the same revision", good},
		{"an older revision", put(4, 9, mvcc.KeyValue{Key: []byte("k"), Create: 4, Mod: 4,
			Version: 1})},
		{"a revision above the newest", put(10, 0, mvcc.KeyValue{Key: []byte("k"), Create: 10,
			Mod: 10, Version: 1})},
		{"no key", put(6, 0, mvcc.KeyValue{Create: 6, Mod: 6, Version: 1})},
		{"another mod revision", put(6, 0, mvcc.KeyValue{Key: []byte("k"), Create: 4, Mod: 5,
			Version: 1})},
		{"no version", put(6, 0, mvcc.KeyValue{Key: []byte("k"), Create: 4, Mod: 6})},
		{"a negative position", put(6, -1, mvcc.KeyValue{Key: []byte("k"), Create: 6, Mod: 6,
			Version: 1})},
		{"a tombstone with revisions", mvcc.Record{Rev: mvcc.Rev{Main: 6},
			Kind: mvcc.TombstoneRecord, KV: good.KV}},
		{"other bytes", mvcc.Record{Rev: mvcc.Rev{Main: 6}, KV: []byte{9, 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			im, err := mvcc.NewImport(&memDisk{files: map[string][]byte{}}, smallOptions(), 9, -1)
			require.NoError(t, err)
			require.NoError(t, im.Add(good))
			var refused *mvcc.ImportError
			require.ErrorAs(t, im.Add(c.r), &refused)
		})
	}
}

func TestImportRefusesImpossibleRevisions(t *testing.T) {
	for _, c := range [][2]mvcc.Revision{{0, -1}, {5, 6}, {5, -2}} {
		_, err := mvcc.NewImport(&memDisk{files: map[string][]byte{}}, smallOptions(), c[0], c[1])
		require.Error(t, err, "current %d, compacted %d", c[0], c[1])
	}
}

func TestImportRefusesADirectoryInUse(t *testing.T) {
	p := newPair(t)
	p.put(t, "k", nil)
	p.startCheckpoint()
	p.finishCheckpoint(t)
	_, err := mvcc.NewImport(&p.world.disk, smallOptions(), 5, -1)
	require.ErrorContains(t, err, "holds a store of revision 2")
}
