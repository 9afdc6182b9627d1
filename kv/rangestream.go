// Range streams: one range read that leaves in chunks, so that a list of any length costs its
// member the memory of a few chunks.
//
// All chunks show one revision, pinned when the read was granted. A view shows it as long as it is
// lent; but what a view holds cannot be reclaimed, and how long a list takes is up to its reader.
// So a stream may change its view: the edge gives the old one back whenever it likes and asks for
// another one of the same revision with the request that Again returns. A compaction in between
// ends the stream as etcd ends it, with "compacted".
//
//	chunk 1..n-1   RangeStreamResponse{range_response{kvs}}, never without kvs
//	chunk n        RangeStreamResponse{range_response{header, kvs, more, count}}
//
// Merged, the chunks are the answer of a plain Range. Counts, and lists with a negative limit, are
// one chunk, as with etcd.
package kv

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
)

// RangeStream is a range read in the middle of its answer. It is not safe for concurrent use, but
// may move from one goroutine to another.
type RangeStream struct {
	read   Read // with the view in use
	query  mvcc.Query
	cursor mvcc.WalkCursor
}

// Streams says whether the read is answered in chunks, by Stream and not by Run.
func (r *Read) Streams() bool { return r.method == MethodRangeStream }

// Stream begins the answer to a MethodRangeStream.
func (r *Read) Stream() *RangeStream {
	var req rangeRequest
	if err := parseRange(r.raw, &req); err != nil || !r.Streams() {
		panic(fmt.Sprintf("kv: a read of method %d is streamed: %v", r.method, err))
	}
	s := &RangeStream{read: *r, query: req.query}
	// A target without an order is accepted and without effect.
	s.query.Order, s.query.Target = mvcc.NoOrder, mvcc.ByKey
	if s.query.Rev <= 0 {
		s.query.Rev = r.header.Revision
	}
	return s
}

// Next reads the next chunk from the view; last says that no further one follows. It may take some
// time and runs on any goroutine; scratch is its own meanwhile. Damage is reported as Run does.
func (s *RangeStream) Next(scratch *mvcc.Scratch) (a Answer, last bool) {
	body, last, err := s.next(scratch)
	return s.read.answer(body, err), last || err != nil
}

func (s *RangeStream) next(scratch *mvcc.Scratch) (body [][]byte, last bool, err error) {
	if s.query.CountOnly || s.query.Limit < 0 {
		body, err = s.read.list(&s.query, scratch)
		return asStreamResponse(body), true, err
	}
	if s.query.Lists() {
		body, err = s.read.view.ListChunk(&s.query, &s.cursor, fieldKVs,
			int64(s.read.chunk), gatherBytes, scratch)
	} else {
		body, err = s.walk()
	}
	if err != nil {
		return nil, true, err
	}
	if s.cursor.Done {
		end := appendHeader(nil, s.read.header)
		end = appendBool(end, 3, s.cursor.More)
		body = append(body, appendVarint(end, 4, uint64(s.cursor.Count)))
	} else if len(body) == 0 || len(body[0]) == 0 {
		panic(fmt.Sprintf("kv: an empty chunk in the middle of a stream of %q to %q",
			s.query.Key, s.query.End))
	}
	return asStreamResponse(body), s.cursor.Done, nil
}

// walk reads the keys of a chunk without their values, or a single key.
func (s *RangeStream) walk() ([][]byte, error) {
	kvs, err := s.read.view.Walk(&s.query, &s.cursor, s.read.chunk)
	if err != nil {
		return nil, err
	}
	var p pieces
	for _, kv := range kvs {
		p.gather(2, kv)
	}
	return p.finish(), nil
}

// asStreamResponse makes a RangeResponse the only field of a RangeStreamResponse.
func asStreamResponse(body [][]byte) [][]byte {
	size := 0
	for _, piece := range body {
		size += len(piece)
	}
	head := protowire.AppendTag(nil, 1, protowire.BytesType)
	return append([][]byte{protowire.AppendVarint(head, uint64(size))}, body...)
}

// View is the view in use, to be given back when the stream has ended or is to be resumed.
func (s *RangeStream) View() ViewID { return s.read.View }

// Again is a MethodRangeStream request whose Read resumes the stream.
func (s *RangeStream) Again() []byte {
	raw := append([]byte(nil), s.read.raw...)
	raw = appendVarint(raw, 4, uint64(s.query.Rev)) // of repeated scalars the last one counts
	return appendBool(raw, 7, true)
}

// Resume lets the stream go on with the view that was granted to Again's request.
func (s *RangeStream) Resume(r *Read) {
	if !r.Streams() {
		panic(fmt.Sprintf("kv: a stream is resumed with a read of method %d", r.method))
	}
	s.read.view, s.read.View, s.read.applied = r.view, r.View, r.applied
}

// validateStream refuses what a stream cannot do, after what is wrong for any range.
func validateStream(q *mvcc.Query) Code {
	switch {
	case q.Order != mvcc.NoOrder && (q.Order != mvcc.Ascend || q.Target != mvcc.ByKey):
		return ErrSortUnsupported
	case q.MinMod != 0 || q.MaxMod != 0 || q.MinCreate != 0 || q.MaxCreate != 0:
		return ErrFilterUnsupported
	}
	return OK
}
