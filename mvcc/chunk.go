package mvcc

// A chunk is a stretch of a list that is laid out as List does, for whoever sends a list in parts
// and holds one part at a time. Unlike a window of List it is bounded in bytes: the lengths of
// records are known before they are read.

import (
	"fmt"
)

// ListChunk returns the next part of q's list as List would write it, without a head, and moves c.
// It has at most maxBytes of records, but one at least unless the whole list is empty. The next one
// may be read from another view, if q names its revision. It panics if q does not List.
func (v *View) ListChunk(q *Query, c *WalkCursor, tag byte, maxBytes int64, pieceBytes int,
	scratch *Scratch) (pieces [][]byte, err error) {
	if !q.Lists() {
		panic(fmt.Sprintf("mvcc: chunk of a query with order %d, target %d", q.Order, q.Target))
	}
	rev, err := v.at(q.Rev)
	if err != nil || c.Done {
		return nil, err
	}
	rest := *q
	if c.next != nil {
		rest.Key = c.next
	}
	if c.ahead == 0 {
		c.ahead = walkFirst
	}
	most := c.ahead
	if q.Limit > 0 {
		most = min(most, q.Limit-c.sent)
	}
	hits, more := v.first(&rest, rev, most, scratch.hits[:0])
	defer func() {
		clear(hits) // the scratch must not keep blocks alive
		scratch.hits = hits[:0]
	}()
	scratch.revs = appendRevs(scratch.revs[:0], hits)
	l := list{pieces: [][]byte{nil}, tag: tag, pieceBytes: pieceBytes, scratch: scratch}
	n, bytes, err := l.window(v, maxBytes)
	if err != nil {
		return nil, err
	}
	c.sent, c.bytes = c.sent+int64(n), c.bytes+bytes
	if n < len(hits) {
		// Look a little further than what fitted: the next records may be smaller.
		more, c.ahead = true, int64(n+n/4+1)
	} else {
		c.ahead = min(2*c.ahead, walkMost)
	}
	if n > 0 {
		c.next = append(append([]byte(nil), hits[n-1].key()...), 0)
	}
	if !more || q.Limit > 0 && c.sent >= q.Limit {
		c.Done = true
		c.Count = v.count(q.Key, q.End, rev)
		c.More = q.Limit > 0 && c.Count > q.Limit
	}
	return l.pieces, nil
}
