package mvcc

// A walk answers a range read in pieces, so that whoever sends a list of a million keys holds a few
// of them at a time. It serves the natural order only; everything else needs the whole interval in
// memory anyway.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// WalkCursor remembers how far a Walk has come; the zero value is its start. When Done, Count and
// More are what Range would have answered.
type WalkCursor struct {
	Done  bool
	Count int64
	More  bool

	next  []byte // the key to go on from, nil at the start
	sent  int64  // keys so far
	bytes int64  // of those
	ahead int64  // keys that the next ListChunk looks at
}

// The records of one piece: few before their size is known, and never so many that a piece of
// tiny records takes long.
const (
	walkFirst = 8
	walkMost  = 4096
)

// Walks says whether Walk can answer q: it is neither filtered nor sorted, and not a count.
func (q *Query) Walks() bool { return q.natural() && !q.sorts() && !q.CountOnly }

// Walk returns the next piece of q's answer and moves c. A piece has at most maxBytes of records,
// but at least one record unless the whole answer is empty. The next piece may be read from another
// view, if q names its revision. It panics if q does not Walk.
func (v *View) Walk(q *Query, c *WalkCursor, maxBytes int) (kvs [][]byte, err error) {
	if !q.Walks() {
		panic(fmt.Sprintf("mvcc: walk of a query with order %d, target %d", q.Order, q.Target))
	}
	rev, err := v.at(q.Rev)
	if err != nil || c.Done {
		return nil, err
	}
	if len(q.End) == 0 {
		var r Result
		err = v.Range(q, &r)
		c.Done, c.Count, c.More = true, r.Count, r.More
		return r.KVs, err
	}
	rest := *q
	if c.next != nil {
		rest.Key = c.next
	}
	size := 0
	for size < maxBytes && !c.Done {
		least := 1 - min(len(kvs), 1)
		piece, err := v.walkOnce(&rest, rev, c, maxBytes-size, least)
		if err != nil {
			return nil, err
		}
		if len(piece) == 0 {
			break // the next record does not fit, or there is none
		}
		for _, kv := range piece {
			size += len(kv)
		}
		c.sent += int64(len(piece))
		c.bytes = c.bytes + int64(pieceSize(piece))
		kvs = append(kvs, piece...)
		rest.Key = c.next
	}
	if c.Done {
		c.Count = v.count(q.Key, q.End, rev)
		c.More = q.Limit > 0 && c.Count > q.Limit
	}
	return kvs, nil
}

func pieceSize(kvs [][]byte) (n int) {
	for _, kv := range kvs {
		n += len(kv)
	}
	return n
}

// walkOnce reads one batch from q.Key on, of at most room bytes but at least so many records, and
// moves c.next behind it.
func (v *View) walkOnce(q *Query, rev Revision, c *WalkCursor, room, least int) ([][]byte, error) {
	most := int64(walkFirst)
	if c.sent > 0 {
		most = min(max(int64(room)*c.sent/max(c.bytes, 1), 1), walkMost)
	}
	if q.Limit > 0 {
		most = min(most, q.Limit-c.sent)
	}
	hits, more := v.first(q, rev, most, nil)
	// Sizes may differ by a factor of a million, so an average is a guess and no bound.
	if n := max(v.fitting(q, hits, room), min(least, len(hits))); n < len(hits) {
		hits, more = hits[:n], true
	}
	if !more || q.Limit > 0 && c.sent+int64(len(hits)) >= q.Limit {
		c.Done = true
	}
	if len(hits) == 0 {
		return nil, nil
	}
	c.next = append(append([]byte(nil), hits[len(hits)-1].key()...), 0)
	if q.KeysOnly {
		return appendKeysOnly(nil, hits), nil
	}
	kvs := make([][]byte, len(hits))
	return kvs, readBatch(v.snap, appendRevs(make([]Rev, 0, len(hits)), hits), kvs)
}

// fitting says how much of q's answer, hits from the first on, has no more than room bytes.
func (v *View) fitting(q *Query, hits []hit, room int) int {
	lengths := make([]uint32, len(hits))
	if q.KeysOnly {
		for i := range hits {
			kv := hits[i].keyOnly()
			lengths[i] = uint32(kv.WireSize())
		}
	} else {
		v.snap.Batch(appendRevs(make([]Rev, 0, len(hits)), hits), lengths,
			&revlog.Scratch{})
	}
	for i, length := range lengths {
		if room -= int(length); room < 0 {
			return i
		}
	}
	return len(hits)
}

// first appends the first n live keys of q's interval to hits, which is empty, and says whether
// there are more.
func (v *View) first(q *Query, rev Revision, n int64, hits []hit) (_ []hit, more bool) {
	from, to, ok := Bounds(q.Key, q.End)
	if !ok {
		return hits, false
	}
	span(v.tree, from, to, func(b *block, lo, hi int) bool {
		for i := lo; i < hi; i++ {
			found, live := b.liveAt(i, rev)
			if !live {
				continue
			}
			if int64(len(hits)) == n {
				more = true
				return false
			}
			hits = append(hits, hit{version: found, block: b, i: i})
		}
		return true
	})
	return hits, more
}
