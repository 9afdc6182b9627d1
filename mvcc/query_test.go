package mvcc_test

// What etcd's range options mean, one rule per test, on one small store:
//
//	key  create  mod  version  value  lease
//	a    2       6    2        "3"    0
//	b    3       3    1        "1"    7
//	c    4       4    1        "2"    0
//	d    5       5    1        "1"    0
//	e    (put at 7, deleted at 8)

import (
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/mvcc"
)

func smallStore(t *testing.T) *mvcc.Engine {
	p := newPair(t)
	for _, put := range []struct {
		key, value string
		lease      int64
	}{{"a", "0", 0}, {"b", "1", 7}, {"c", "2", 0}, {"d", "1", 0}, {"a", "3", 0}, {"e", "9", 0}} {
		txn := p.engine.Begin()
		require.NoError(t, txn.Put([]byte(put.key), []byte(put.value), put.lease))
		txn.Commit()
	}
	p.remove(t, "e", "")
	require.Equal(t, mvcc.Revision(8), p.engine.Revision())
	return p.engine
}

// everything is the query for the whole store.
func everything() mvcc.Query { return mvcc.Query{Key: []byte{0}, End: []byte{0}} }

// ask returns the keys of the answer, and the answer.
func ask(t *testing.T, e *mvcc.Engine, q mvcc.Query) (keys string, r mvcc.Result) {
	require.NoError(t, e.Range(&q, &r))
	var list []string
	for _, wire := range r.KVs {
		kv, err := mvcc.ParseKeyValue(wire)
		require.NoError(t, err)
		list = append(list, string(kv.Key))
	}
	return strings.Join(list, " "), r
}

func TestRangeIntervals(t *testing.T) {
	e := smallStore(t)
	for _, c := range []struct{ key, end, want string }{
		{"b", "", "b"},
		{"e", "", ""},
		{"b", "d", "b c"},
		{"b", "\x00", "b c d"},
		{"\x00", "\x00", "a b c d"},
		{"\x00", "b", "a"},
		{"c", "c", ""},
		{"d", "b", ""},
		{"a", "a\x00", "a"},
	} {
		keys, r := ask(t, e, mvcc.Query{Key: []byte(c.key), End: []byte(c.end)})
		require.Equal(t, c.want, keys, "%q to %q", c.key, c.end)
		require.Equal(t, int64(len(r.KVs)), r.Count)
		require.False(t, r.More)
	}
}

func TestRangeRevisions(t *testing.T) {
	e := smallStore(t)
	for rev, want := range map[mvcc.Revision]string{
		-5: "a b c d", 0: "a b c d", 1: "", 2: "a", 4: "a b c", 7: "a b c d e", 8: "a b c d",
	} {
		q := everything()
		q.Rev = rev
		keys, _ := ask(t, e, q)
		require.Equal(t, want, keys, "revision %d", rev)
	}
	q := everything()
	q.Rev = 9
	require.ErrorIs(t, e.Range(&q, &mvcc.Result{}), mvcc.ErrFuture)
	require.NoError(t, e.Compact(4))
	q.Rev = 3
	require.ErrorIs(t, e.Range(&q, &mvcc.Result{}), mvcc.ErrCompacted)
	q.Rev = 4
	keys, _ := ask(t, e, q)
	require.Equal(t, "a b c", keys, "the compacted revision is readable")
}

func TestRangeLimitNeverChangesTheCount(t *testing.T) {
	e := smallStore(t)
	for limit, want := range map[int64]string{-1: "a b c d", 0: "a b c d", 1: "a", 3: "a b c",
		4: "a b c d", 5: "a b c d"} {
		q := everything()
		q.Limit = limit
		keys, r := ask(t, e, q)
		require.Equal(t, want, keys)
		require.Equal(t, int64(4), r.Count)
		require.Equal(t, limit == 1 || limit == 3, r.More)
	}
}

func TestRangeSorts(t *testing.T) {
	e := smallStore(t)
	for _, c := range []struct {
		order  mvcc.Order
		target mvcc.Target
		want   string
	}{
		{mvcc.NoOrder, mvcc.ByKey, "a b c d"},
		{mvcc.Ascend, mvcc.ByKey, "a b c d"},
		{mvcc.Descend, mvcc.ByKey, "d c b a"},
		{mvcc.Ascend, mvcc.ByVersion, "b c d a"},
		{mvcc.Descend, mvcc.ByVersion, "a b c d"},
		{mvcc.Descend, mvcc.ByCreate, "d c b a"},
		{mvcc.Ascend, mvcc.ByMod, "b c d a"},
		{mvcc.NoOrder, mvcc.ByMod, "b c d a"},
		{mvcc.Ascend, mvcc.ByValue, "b d c a"},
		{mvcc.Descend, mvcc.ByValue, "a c b d"},
	} {
		q := everything()
		q.Order, q.Target = c.order, c.target
		keys, _ := ask(t, e, q)
		require.Equal(t, c.want, keys, "order %d, target %d", c.order, c.target)
	}
}

// Without an order the limit takes its limit+1 keys first, and the sort sees only those.
func TestRangeLimitCutsBeforeAnImpliedSort(t *testing.T) {
	e := smallStore(t)
	q := everything()
	q.Target, q.Limit = mvcc.ByMod, 1
	keys, r := ask(t, e, q)
	require.Equal(t, "b", keys, "of a and b, b is the older one")
	require.True(t, r.More)
	q.Order, q.Target = mvcc.Descend, mvcc.ByCreate
	keys, _ = ask(t, e, q)
	require.Equal(t, "d", keys, "an explicit order sees all keys")
}

func TestRangeFiltersBeforeTheLimitAndNotInTheCount(t *testing.T) {
	e := smallStore(t)
	q := everything()
	q.MinMod, q.MaxMod = 4, 5
	keys, r := ask(t, e, q)
	require.Equal(t, "c d", keys)
	require.Equal(t, int64(4), r.Count)
	require.False(t, r.More)
	q.Limit = 1
	keys, r = ask(t, e, q)
	require.Equal(t, "c", keys)
	require.True(t, r.More)
	q = everything()
	q.MaxCreate, q.MinMod = 2, 6
	keys, _ = ask(t, e, q)
	require.Equal(t, "a", keys)
	q.CountOnly, q.Limit = true, 1
	keys, r = ask(t, e, q)
	require.Empty(t, keys)
	require.Equal(t, mvcc.Result{KVs: r.KVs, Count: 4}, r)
}

func TestRangeKeysOnlyDropsTheLeaseUnlessSortedByValue(t *testing.T) {
	e := smallStore(t)
	q := mvcc.Query{Key: []byte("b"), KeysOnly: true}
	_, r := ask(t, e, q)
	bare := mvcc.KeyValue{Key: []byte("b"), Create: 3, Mod: 3, Version: 1}
	require.Equal(t, [][]byte{bare.AppendWire(nil)}, r.KVs)
	q.Target = mvcc.ByValue
	_, r = ask(t, e, q)
	bare.Lease = 7
	require.Equal(t, [][]byte{bare.AppendWire(nil)}, r.KVs)
}

func TestDeletedKeyStartsANewLife(t *testing.T) {
	e := smallStore(t)
	txn := e.Begin()
	require.NoError(t, txn.Put([]byte("e"), nil, 0))
	require.Equal(t, mvcc.Revision(9), txn.Commit())
	m, ok := e.Meta([]byte("e"))
	require.True(t, ok)
	require.Equal(t, mvcc.Meta{Create: 9, Mod: mvcc.Rev{Main: 9}, Version: 1}, m)
}

func TestEmptyTransactionMakesNoRevision(t *testing.T) {
	e := smallStore(t)
	txn := e.Begin()
	var c mvcc.DeleteCursor
	require.NoError(t, txn.DeleteRange([]byte("x"), nil, &c, 10, nil))
	require.Equal(t, mvcc.Revision(8), txn.Commit())
}

func TestChangesOfATransactionCanBeReadBack(t *testing.T) {
	e := smallStore(t)
	c, err := e.Change(mvcc.Rev{Main: 8})
	require.NoError(t, err)
	require.Equal(t, mvcc.TombstoneRecord, c.Kind)
	c, err = e.Change(mvcc.Rev{Main: 3})
	require.NoError(t, err)
	require.Equal(t, mvcc.PutRecord, c.Kind)
	kv, err := mvcc.ParseKeyValue(c.KV)
	require.NoError(t, err)
	require.Equal(t, mvcc.KeyValue{Key: []byte("b"), Create: 3, Mod: 3, Version: 1,
		Value: []byte("1"), Lease: 7}, kv)
}

// The digest follows the history, not the files: the same changes give the same one, and any
// difference another.
func TestDigestFollowsTheHistory(t *testing.T) {
	write := func(lease int64, compact bool) uint64 {
		p := newPair(t)
		txn := p.engine.Begin()
		require.NoError(t, txn.Put([]byte("k"), []byte("v"), lease))
		txn.Commit()
		if compact {
			p.run(t, 3)
			require.NoError(t, p.engine.Compact(2))
		}
		return p.engine.Digest()
	}
	require.Equal(t, write(1, true), write(1, true))
	require.NotEqual(t, write(1, true), write(2, true))
	require.NotEqual(t, write(1, true), write(1, false))
}

// Two writes and a delete, hashed by hand: the rows of revisions 2 to 4 behind the word key.
func TestHashIsEtcds(t *testing.T) {
	p := newPair(t)
	p.put(t, "a", []byte("1"))
	p.put(t, "b", []byte("2"))
	p.remove(t, "a", "")
	rows := "key" +
		"\x00\x00\x00\x00\x00\x00\x00\x02_\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x0a\x01a\x10\x02\x18\x02\x20\x01\x2a\x011" +
		"\x00\x00\x00\x00\x00\x00\x00\x03_\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x0a\x01b\x10\x03\x18\x03\x20\x01\x2a\x012" +
		"\x00\x00\x00\x00\x00\x00\x00\x04_\x00\x00\x00\x00\x00\x00\x00\x00t" +
		"\x0a\x01a"
	requireHash(t, p, rows)
	// Compacted at the tombstone, only b's row counts, though the tombstone is kept.
	p.compactAll(t)
	requireHash(t, p, "key"+rows[3+17+12:3+2*(17+12)])
	require.Contains(t, p.engine.Versions(), mvcc.Rev{Main: 4})
}

// When nobody lives any more, the rows that compaction kept are hashed though later ones end them.
func TestHashWithoutLivingKeys(t *testing.T) {
	p := newPair(t)
	p.put(t, "a", []byte("1"))
	p.compactAll(t)
	p.remove(t, "a", "")
	v := p.engine.View()
	defer p.engine.Release(v)
	for _, rev := range []mvcc.Revision{2, 3} {
		want, err := p.twin.Hash(rev)
		require.NoError(t, err)
		hash, _, err := v.Hash(rev)
		require.NoError(t, err)
		require.Equal(t, want, hash, "revision %d", rev)
	}
}

func requireHash(t *testing.T, p *pair, content string) {
	v := p.engine.View()
	defer p.engine.Release(v)
	hash, at, err := v.Hash(0)
	require.NoError(t, err)
	require.Equal(t, mvcc.Revision(4), at)
	require.Equal(t, crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli)), hash)
}
