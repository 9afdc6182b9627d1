package mvcc

// Range reads, with exactly etcd's meaning of every option. The quirks that clients can see:
//
//   - count is the number of live keys in the interval at the revision; limit and filters never
//     change it.
//   - A filter or an explicit order (but ascending by key) works on the whole interval, and the
//     limit cuts at the end. A sort target without an order sorts ascending, but after the limit
//     has cut to the first limit+1 keys.
//   - more says that something was cut off by the limit.
//   - A keys-only answer has no value and no lease, as it comes from the index; sorted by value
//     it keeps the lease, as it comes from the records.
//   - A read at the compacted revision is allowed.
//
// Filters and all orders but the one by value are decided in the index, so that only records that
// are part of the answer are read.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// state is what a read sees: an index, and the revisions that are visible in it.
type state struct {
	tree      *tree
	rev       Revision // the newest visible revision
	compacted Revision
	// own is the revision of the reading transaction's own changes, 0 outside of one.
	own Revision
}

// at is the revision that q reads at.
func (s state) at(rev Revision) (Revision, error) {
	switch {
	case rev > s.rev:
		return 0, ErrFuture
	case rev <= 0 && s.own > 0:
		return s.own, nil
	case rev <= 0:
		return s.rev, nil
	case rev < s.compacted:
		return 0, ErrCompacted
	}
	return rev, nil
}

// hit is a live version that belongs to an answer.
type hit struct {
	version
	block *block
	i     int
}

func (h *hit) key() []byte { return h.block.key(h.i) }

// scratch is the engine's memory for reads on the loop.
type scratch struct {
	hits      []hit
	revs      []Rev
	positions []int
}

// count is the number of keys of [key, end) that live at rev.
func (s state) count(key, end []byte, rev Revision) (n int64) {
	if len(end) == 0 {
		if _, ok := lookup(s.tree, key, rev); ok {
			return 1
		}
		return 0
	}
	from, to, ok := Bounds(key, end)
	if !ok {
		return 0
	}
	span(s.tree, from, to, func(b *block, lo, hi int) bool {
		n += b.count(lo, hi, rev)
		return true
	})
	return n
}

// metaRange calls visit for the live keys of [key, end) at the visible revision, in order.
func (s state) metaRange(key, end []byte, visit func(key []byte, m Meta) bool) {
	if len(end) == 0 {
		if v, live := lookup(s.tree, key, s.rev); live {
			visit(key, v.meta())
		}
		return
	}
	from, to, ok := Bounds(key, end)
	if !ok {
		return
	}
	span(s.tree, from, to, func(b *block, lo, hi int) bool {
		for i := lo; i < hi; i++ {
			if v, live := b.liveAt(i, s.rev); live && !visit(b.key(i), v.meta()) {
				return false
			}
		}
		return true
	})
}

// natural says whether q's keys come in key order and unfiltered, so that a limit can stop early.
func (q *Query) natural() bool {
	return !q.filters() && (q.Order == NoOrder || q.Order == Ascend && q.Target == ByKey)
}

func (q *Query) filters() bool {
	return q.MinMod != 0 || q.MaxMod != 0 || q.MinCreate != 0 || q.MaxCreate != 0
}

func (q *Query) accepts(v *version) bool {
	return (q.MinMod == 0 || v.main >= q.MinMod) && (q.MaxMod == 0 || v.main <= q.MaxMod) &&
		(q.MinCreate == 0 || v.create >= q.MinCreate) &&
		(q.MaxCreate == 0 || v.create <= q.MaxCreate)
}

// sorts says whether the hits have to be put in another order than that of the keys.
func (q *Query) sorts() bool {
	return q.Target != ByKey || q.Order == Descend
}

// collect appends what q asks for to hits, in key order, at most max of them (max < 0: all), and
// counts the live keys of the whole interval.
func (s state) collect(q *Query, rev Revision, max int64, hits []hit) ([]hit, int64) {
	if len(q.End) == 0 {
		it := seek(s.tree, q.Key)
		i, found := it.find(q.Key)
		if !found {
			return hits, 0
		}
		v, live := it.liveAt(i, rev)
		if !live {
			return hits, 0
		}
		if q.accepts(&v) {
			hits = append(hits, hit{version: v, block: it.block, i: i})
		}
		return hits, 1
	}
	from, to, ok := Bounds(q.Key, q.End)
	if !ok {
		return hits, 0
	}
	count := int64(0)
	span(s.tree, from, to, func(b *block, lo, hi int) bool {
		i := lo
		for ; i < hi && max != 0; i++ {
			v, live := b.liveAt(i, rev)
			if !live {
				continue
			}
			count++
			if q.accepts(&v) {
				hits = append(hits, hit{version: v, block: b, i: i})
				max--
			}
		}
		if i < hi {
			count += b.count(i, hi, rev)
		}
		return true
	})
	return hits, count
}

// answer is the part of a Range that needs no records: which versions the answer has, in order
// unless it is sorted by value, and not yet cut to the limit then.
func (s state) answer(q *Query, r *Result, hits []hit) ([]hit, error) {
	*r = Result{KVs: r.KVs[:0]}
	if q.Order < NoOrder || q.Order > Descend || q.Target < ByKey || q.Target > ByValue {
		panic(fmt.Sprintf("mvcc: order %d, target %d", q.Order, q.Target))
	}
	rev, err := s.at(q.Rev)
	if err != nil {
		return nil, err
	}
	if q.CountOnly {
		r.Count = s.count(q.Key, q.End, rev)
		return hits[:0], nil
	}
	max := int64(-1)
	if q.Limit > 0 && q.natural() && q.Limit < 1<<62 {
		max = q.Limit + 1
	}
	hits, r.Count = s.collect(q, rev, max, hits[:0])
	if q.sorts() && q.Target != ByValue {
		sortHits(q, hits)
	}
	if q.Target != ByValue {
		hits = hits[:q.cut(len(hits), r)]
	}
	return hits, nil
}

// cut returns how many of n results the limit leaves, and notes when that is not all.
func (q *Query) cut(n int, r *Result) int {
	if q.Limit > 0 && int64(n) > q.Limit {
		r.More = true
		return int(q.Limit)
	}
	return n
}

// fill makes r.KVs of hits; records are what the hits' records hold, nil when q does without.
func (q *Query) fill(hits []hit, records [][]byte, r *Result) {
	if q.Target == ByValue {
		sortByValue(q, records)
		n := q.cut(len(records), r)
		records = records[:n]
		if q.KeysOnly {
			for i, kv := range records {
				records[i] = withoutValue(kv)
			}
		}
		r.KVs = records
		return
	}
	if !q.KeysOnly {
		r.KVs = records
		return
	}
	r.KVs = appendKeysOnly(r.KVs, hits)
}

// reads says whether q's answer needs records.
func (q *Query) reads() bool { return !q.KeysOnly || q.Target == ByValue }

// appendKeysOnly makes answers from the index alone, one allocation for all.
func appendKeysOnly(kvs [][]byte, hits []hit) [][]byte {
	size := 0
	for i := range hits {
		kv := hits[i].keyOnly()
		size += kv.WireSize()
	}
	arena := make([]byte, 0, size)
	for i := range hits {
		kv := hits[i].keyOnly()
		at := len(arena)
		arena = kv.AppendWire(arena)
		kvs = append(kvs, arena[at:len(arena):len(arena)])
	}
	return kvs
}

func (h *hit) keyOnly() KeyValue {
	return KeyValue{Key: h.key(), Create: h.create, Mod: h.main, Version: h.number}
}

// withoutValue copies a record without its value; all else stays, the lease too.
func withoutValue(record []byte) []byte {
	kv := mustParse(record)
	kv.Value = nil
	return kv.AppendWire(make([]byte, 0, kv.WireSize()))
}

// mustParse reads a record's KeyValue; records were checked when they were made or loaded.
func mustParse(record []byte) KeyValue {
	kv, err := ParseKeyValue(record)
	if err != nil {
		panic(fmt.Sprintf("mvcc: a record's KeyValue is malformed: %v", err))
	}
	return kv
}

// appendRevs appends the revisions of hits.
func appendRevs(revs []Rev, hits []hit) []Rev {
	for i := range hits {
		revs = append(revs, hits[i].rev())
	}
	return revs
}

// rangeOn answers q on the engine's goroutine.
func (e *Engine) rangeOn(s state, q *Query, r *Result) error {
	hits, err := s.answer(q, r, e.scratch.hits)
	if err != nil {
		return err
	}
	e.scratch.hits = hits
	var records [][]byte
	if q.reads() {
		e.scratch.revs = appendRevs(e.scratch.revs[:0], hits)
		records = append(r.KVs, make([][]byte, len(hits))...)
		if err := e.readAll(e.scratch.revs, records); err != nil {
			return err
		}
	}
	q.fill(hits, records, r)
	clear(hits) // the scratch must not keep blocks alive
	return nil
}

// batchFrom is the number of records from which joining the reads of neighbours gains more than
// the cache of single reads.
const batchFrom = 16

// readAll fills kvs[i] with the record at revs[i].
func (e *Engine) readAll(revs []Rev, kvs [][]byte) error {
	if len(revs) >= batchFrom {
		if err := e.log.ReadBatch(revs, kvs); err != nil {
			return fmt.Errorf("mvcc: read %d records: %w", len(revs), err)
		}
		return nil
	}
	for i, rev := range revs {
		kv, err := e.read(rev)
		if err != nil {
			return err
		}
		kvs[i] = kv
	}
	return nil
}

func readBatch(snap *revlog.Snapshot, revs []Rev, kvs [][]byte) error {
	if err := snap.ReadBatch(revs, kvs); err != nil {
		return fmt.Errorf("mvcc: read %d records: %w", len(revs), err)
	}
	return nil
}
