package mvcc_test

// The engine against its twin: random histories, every kind of read, after every step.

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/twin"
)

// pair is an engine and its twin.
type pair struct {
	world  *world
	engine *mvcc.Engine
	twin   *twin.Store
	views  []pinned
	walks  int
}

// pinned is a view and what the twin was when it was taken.
type pinned struct {
	view *mvcc.View
	twin *twin.Store
}

func keyGen() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 9).Draw(t, "kind of key") {
		case 0:
			return []byte{0}
		case 1:
			return []byte{0xff, 0xff}
		default:
			most := rapid.SampledFrom([]int{2, 30}).Draw(t, "keys")
			return fmt.Appendf(nil, "k%02d", rapid.IntRange(0, most).Draw(t, "key"))
		}
	})
}

func intervalGen() *rapid.Generator[[2][]byte] {
	return rapid.Custom(func(t *rapid.T) [2][]byte {
		key := keyGen().Draw(t, "from")
		switch rapid.IntRange(0, 4).Draw(t, "kind of end") {
		case 0:
			return [2][]byte{key, nil}
		case 1:
			return [2][]byte{key, {0}}
		case 2:
			return [2][]byte{{0}, {0}}
		default:
			return [2][]byte{key, keyGen().Draw(t, "to")}
		}
	})
}

func queryGen(current mvcc.Revision) *rapid.Generator[mvcc.Query] {
	return rapid.Custom(func(t *rapid.T) mvcc.Query {
		interval := intervalGen().Draw(t, "interval")
		bound := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, int64(current)+1))
		q := mvcc.Query{
			Key:       interval[0],
			End:       interval[1],
			Rev:       mvcc.Revision(bound.Draw(t, "rev")),
			Limit:     rapid.Int64Range(-1, 5).Draw(t, "limit"),
			Order:     mvcc.Order(rapid.IntRange(0, 2).Draw(t, "order")),
			Target:    mvcc.Target(rapid.IntRange(0, 4).Draw(t, "target")),
			KeysOnly:  rapid.IntRange(0, 3).Draw(t, "keys only") == 0,
			CountOnly: rapid.IntRange(0, 7).Draw(t, "count only") == 0,
		}
		if rapid.IntRange(0, 3).Draw(t, "filters") == 0 {
			q.MinMod = mvcc.Revision(bound.Draw(t, "min mod"))
			q.MaxMod = mvcc.Revision(bound.Draw(t, "max mod"))
			q.MinCreate = mvcc.Revision(bound.Draw(t, "min create"))
			q.MaxCreate = mvcc.Revision(bound.Draw(t, "max create"))
		}
		return q
	})
}

func (p *pair) writes(t *rapid.T) {
	txn := p.engine.Begin()
	for range rapid.IntRange(1, 5).Draw(t, "operations") {
		if rapid.IntRange(0, 3).Draw(t, "operation") == 0 {
			p.deletes(t, txn)
		} else {
			key := keyGen().Draw(t, "key")
			value := rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "value")
			lease := rapid.SampledFrom([]int64{0, 0, 7, -3}).Draw(t, "lease")
			require.NoError(t, txn.Put(key, value, lease))
			p.twin.Put(key, value, lease)
		}
		q := queryGen(p.twin.Revision()).Draw(t, "own query")
		want, wantErr := p.twin.RangeOwn(&q)
		p.compare(t, want, wantErr, q, txn.Range)
	}
	require.Equal(t, p.twin.Commit(), txn.Commit())
}

func (p *pair) deletes(t *rapid.T, txn *mvcc.Txn) {
	interval := intervalGen().Draw(t, "interval")
	var c mvcc.DeleteCursor
	var prev [][]byte
	for !c.Done {
		// Whatever happens in between, others see nothing of it.
		require.NoError(t, txn.DeleteRange(interval[0], interval[1], &c,
			rapid.IntRange(1, 10).Draw(t, "budget"), &prev))
		if rapid.Bool().Draw(t, "read between") {
			p.reads(t)
		}
		if rapid.IntRange(0, 5).Draw(t, "view between") == 0 {
			p.takeView(t)
		}
	}
	want := p.twin.DeleteRange(interval[0], interval[1])
	require.Equal(t, int64(len(want)), c.Deleted)
	requireSame(t, want, prev)
}

// ends ends the lives of the keys that hold a lease.
func (p *pair) ends(t *rapid.T) {
	lease := rapid.SampledFrom([]int64{7, -3, 5}).Draw(t, "lease")
	keys := p.twin.Attached(lease)
	before := p.engine.Attachments()
	txn := p.engine.Begin()
	total := 0
	for done := false; !done; {
		budget := rapid.IntRange(1, 4).Draw(t, "budget")
		var n int
		n, done = txn.DeleteAttached(lease, budget)
		require.LessOrEqual(t, n, budget)
		total += n
		if rapid.Bool().Draw(t, "read between") {
			p.reads(t)
		}
	}
	require.Equal(t, len(keys), total)
	for _, k := range keys {
		p.twin.DeleteRange([]byte(k), nil)
	}
	require.Equal(t, p.twin.Commit(), txn.Commit())
	require.Equal(t, keys, attachedIn(&before, lease), "a copy stays as it is")
}

func attachedIn(a *mvcc.Attachments, lease int64) (keys []string) {
	a.Visit(lease, nil, func(key []byte) bool {
		keys = append(keys, string(key))
		return true
	})
	return keys
}

func (p *pair) checkAttached(t require.TestingT) {
	all := p.engine.Attachments()
	n := 0
	for _, lease := range []int64{7, -3, 5} {
		keys := p.twin.Attached(lease)
		n += len(keys)
		require.Equal(t, keys, attachedIn(&all, lease))
		if len(keys) > 1 {
			var second string
			p.engine.Attached(lease, []byte(keys[1]), func(key []byte) bool {
				second = string(key)
				return false
			})
			require.Equal(t, keys[1], second)
		}
	}
	require.Equal(t, n, all.Len())
}

func (p *pair) reads(t *rapid.T) {
	q := queryGen(p.twin.Revision()).Draw(t, "query")
	want, wantErr := p.twin.Range(&q)
	p.compare(t, want, wantErr, q, p.engine.Range)
	key := keyGen().Draw(t, "key")
	kv, m, ok, err := p.engine.Get(key)
	require.NoError(t, err)
	single, wantOK := p.twin.Get(key, p.twin.Revision())
	require.Equal(t, wantOK, ok)
	if ok {
		requireSame(t, []mvcc.KeyValue{single}, [][]byte{kv})
		require.Equal(t, single.Create, m.Create)
		require.Equal(t, single.Mod, m.Mod.Main)
		require.Equal(t, single.Version, m.Version)
		require.Equal(t, single.Lease, m.Lease)
	}
	m2, ok2 := p.engine.Meta(key)
	require.Equal(t, ok, ok2)
	require.Equal(t, m, m2)
}

func (p *pair) compare(t *rapid.T, want twin.Answer, wantErr error, q mvcc.Query,
	ask func(*mvcc.Query, *mvcc.Result) error) {
	var r mvcc.Result
	err := ask(&q, &r)
	if wantErr != nil {
		require.ErrorIs(t, err, wantErr)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want.Count, r.Count, "count of %+v", q)
	require.Equal(t, want.More, r.More, "more of %+v", q)
	requireSame(t, want.KVs, r.KVs)
}

func requireSame(t require.TestingT, want []mvcc.KeyValue, got [][]byte) {
	list := make([][]byte, 0, len(want))
	for _, kv := range want {
		list = append(list, kv.AppendWire(nil))
	}
	require.Equal(t, len(list), len(got))
	for i := range list {
		require.Equal(t, list[i], got[i])
	}
}

func (p *pair) takeView(*rapid.T) {
	if len(p.views) < 4 {
		p.views = append(p.views, pinned{p.engine.View(), p.twin.Clone()})
	}
}

func (p *pair) readView(t *rapid.T) {
	if len(p.views) == 0 {
		t.Skip("no view")
	}
	v := p.views[rapid.IntRange(0, len(p.views)-1).Draw(t, "view")]
	require.Equal(t, v.twin.Revision(), v.view.Revision())
	require.Equal(t, v.twin.Compacted(), v.view.Compacted())
	q := queryGen(v.twin.Revision()).Draw(t, "query")
	want, wantErr := v.twin.Range(&q)
	p.compare(t, want, wantErr, q, v.view.Range)
	if q.Walks() {
		p.compare(t, want, wantErr, q, walkAll(v.view, rapid.IntRange(1, 50).Draw(t, "room")))
	}
	if q.Lists() {
		p.compare(t, want, wantErr, q, listAll(t, v.view))
		p.compare(t, want, wantErr, q, chunkAll(t, v.view))
	}
	requireHistory(t, v)
	rev := mvcc.Revision(rapid.Int64Range(0, int64(v.twin.Revision())+1).Draw(t, "hash revision"))
	wantHash, wantErr := v.twin.Hash(rev)
	hash, _, err := v.view.Hash(rev)
	if wantErr != nil {
		require.ErrorIs(t, err, wantErr)
		return
	}
	require.NoError(t, err)
	require.Equal(t, wantHash, hash)
}

// walkAll answers a query by walking.
func walkAll(v *mvcc.View, room int) func(*mvcc.Query, *mvcc.Result) error {
	return func(q *mvcc.Query, r *mvcc.Result) error {
		var c mvcc.WalkCursor
		for !c.Done {
			kvs, err := v.Walk(q, &c, room)
			if err != nil {
				return err
			}
			size := 0
			for _, kv := range kvs {
				size += len(kv)
			}
			if size > room && len(kvs) != 1 {
				return fmt.Errorf("a piece of %d records has %d bytes, more than %d", len(kvs),
					size, room)
			}
			if len(kvs) == 0 && (!c.Done || len(r.KVs) > 0) {
				return fmt.Errorf("an empty piece after %d records", len(r.KVs))
			}
			r.KVs = append(r.KVs, kvs...)
		}
		r.Count, r.More = c.Count, c.More
		return nil
	}
}

// chunkAll answers a query by parsing the chunks of its list.
func chunkAll(t *rapid.T, v *mvcc.View) func(*mvcc.Query, *mvcc.Result) error {
	piece := rapid.IntRange(1, 200).Draw(t, "piece of a chunk")
	most := rapid.Int64Range(1, 100).Draw(t, "bytes of a chunk")
	var scratch mvcc.Scratch
	return func(q *mvcc.Query, r *mvcc.Result) error {
		var c mvcc.WalkCursor
		for !c.Done {
			pieces, err := v.ListChunk(q, &c, 2<<3|2, most, piece, &scratch)
			if err != nil {
				return err
			}
			before, size := len(r.KVs), int64(0)
			for b := bytes.Join(pieces, nil); len(b) > 0; {
				n, used := binary.Uvarint(b[1:])
				end := 1 + used + int(n)
				r.KVs = append(r.KVs, b[1+used:end])
				b, size = b[end:], size+int64(n)
			}
			if n := len(r.KVs) - before; size > most && n != 1 {
				return fmt.Errorf("a chunk of %d records has %d bytes, more than %d", n, size, most)
			} else if n == 0 && (!c.Done || before > 0) {
				return fmt.Errorf("an empty chunk after %d records", before)
			}
		}
		r.Count, r.More = c.Count, c.More
		return nil
	}
}

// listAll answers a query by parsing what List writes.
func listAll(t *rapid.T, v *mvcc.View) func(*mvcc.Query, *mvcc.Result) error {
	const tag = 2<<3 | 2
	piece := rapid.IntRange(1, 200).Draw(t, "piece")
	window := rapid.IntRange(1, 9).Draw(t, "window")
	head := []byte("head")[:rapid.IntRange(0, 4).Draw(t, "head")]
	return func(q *mvcc.Query, r *mvcc.Result) error {
		pieces, count, more, err := v.ListBy(q, tag, head, piece, window)
		if err != nil {
			return err
		}
		require.Equal(t, head, pieces[0][:len(head)])
		pieces[0] = pieces[0][len(head):]
		for i, b := range pieces {
			require.True(t, i == 0 || len(b) > 0)
			for len(b) > 0 {
				require.Equal(t, byte(tag), b[0])
				n, used := binary.Uvarint(b[1:])
				end := 1 + used + int(n)
				r.KVs = append(r.KVs, b[1+used:end])
				b = b[end:]
			}
		}
		r.Count, r.More = count, more
		return nil
	}
}

func (p *pair) release(t *rapid.T) {
	if len(p.views) == 0 {
		t.Skip("no view")
	}
	i := rapid.IntRange(0, len(p.views)-1).Draw(t, "view")
	p.engine.Release(p.views[i].view)
	p.views = append(p.views[:i], p.views[i+1:]...)
}

func (p *pair) compacts(t *rapid.T) {
	least := int64(-1)
	if rapid.IntRange(0, 3).Draw(t, "allowed") > 0 {
		least = int64(p.twin.Compacted()) + 1
	}
	rev := mvcc.Revision(rapid.Int64Range(least, int64(p.twin.Revision())+1).Draw(t, "revision"))
	require.Equal(t, p.twin.Compact(rev), p.engine.Compact(rev))
}

func (p *pair) works(t *rapid.T) {
	p.engine.Work(rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "budget"))
}

func (p *pair) check(t *rapid.T) {
	require.Equal(t, p.twin.Revision(), p.engine.Revision())
	require.Equal(t, p.twin.Compacted(), p.engine.Compacted())
	all, err := p.twin.Range(&mvcc.Query{Key: []byte{0}, End: []byte{0}, CountOnly: true})
	require.NoError(t, err)
	require.Equal(t, all.Count, p.engine.Keys())
	require.NoError(t, p.engine.Check())
	p.checkAttached(t)
	p.checkKept(t)
}

// checkKept demands that the index holds all that compaction keeps, and nothing else once trimming
// has ended.
func (p *pair) checkKept(t require.TestingT) {
	extra := map[mvcc.Rev]bool{}
	for _, rev := range p.engine.Versions() {
		extra[rev] = true
	}
	for _, v := range p.twin.Rows(p.twin.Revision()) {
		require.True(t, extra[v.Rev], "revision %v is lost", v.Rev)
		delete(extra, v.Rev)
	}
	for rev := range extra {
		require.True(t, p.engine.Trimming(), "revision %v was not dropped", rev)
		require.LessOrEqual(t, rev.Main, p.twin.Compacted())
	}
}
