package kv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
)

// grantStream asks member 0 for a stream and returns the view that it is granted.
func (w *world) grantStream(raw []byte) *Read {
	w.token++
	w.streams = nil
	m := w.members[0]
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: w.token, Method: MethodRangeStream, Raw: raw}})
	for range 50 {
		if len(w.streams) > 0 {
			return &w.streams[0]
		}
		w.run(1)
	}
	require.FailNow(w.t, "no view is granted")
	return nil
}

func (w *world) endView(v ViewID) {
	w.members[0].inbox = append(w.members[0].inbox, Input{Kind: InputViewEnd, View: v})
	w.settle()
}

// drain reads a stream to its end; between is called after each chunk but the last one.
func (w *world) drain(t require.TestingT, raw []byte, between func(*RangeStream)) (
	merged *pb.RangeResponse, chunks int, code Code) {
	s := w.grantStream(raw).Stream()
	merged = &pb.RangeResponse{}
	for last := false; !last; chunks++ {
		var a Answer
		a, last = s.Next(&mvcc.Scratch{})
		if a.Code != OK {
			w.endView(s.View())
			return nil, chunks, a.Code
		}
		var chunk pb.RangeStreamResponse
		var body []byte
		for _, p := range a.Body {
			body = append(body, p...)
		}
		require.NoError(t, proto.Unmarshal(body, &chunk))
		r := chunk.GetRangeResponse()
		require.Equal(t, last, r.GetHeader() != nil, "only the last chunk has a header")
		if !last {
			require.NotEmpty(t, r.GetKvs())
			require.False(t, r.GetMore())
			require.Zero(t, r.GetCount())
			between(s)
		} else if chunks > 0 {
			require.NotEmpty(t, r.GetKvs())
		}
		proto.Merge(merged, r)
	}
	w.endView(s.View())
	return merged, chunks, OK
}

// renew gives the stream's view back and lets it go on with another one.
func (w *world) renew(s *RangeStream) {
	w.endView(s.View())
	s.Resume(w.grantStream(s.Again()))
}

func TestStreamedRangeEqualsRange(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.ChunkBytes = 300 })
	w.leader()
	w.run(3)
	for i := range 60 {
		size := []int{0, 3, 50, 400}[i%4]
		w.put(0, fmt.Sprintf("k%02d", i*7%53), strings.Repeat("v", size))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60)
		r := &pb.RangeRequest{
			Key: fmt.Appendf(nil, "k%02d", n.Draw(t, "from")), RangeEnd: []byte{0},
			Limit:        rapid.Int64Range(-1, 40).Draw(t, "limit"),
			Revision:     rapid.Int64Range(-1, 64).Draw(t, "revision"),
			Serializable: rapid.Bool().Draw(t, "serializable"),
			KeysOnly:     rapid.IntRange(0, 3).Draw(t, "keys only") == 0,
			CountOnly:    rapid.IntRange(0, 7).Draw(t, "count only") == 0,
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind of interval") {
		case 0:
			r.RangeEnd = nil
		case 1:
			r.RangeEnd = fmt.Appendf(nil, "k%02d", n.Draw(t, "to"))
		}
		raw, err := proto.Marshal(r)
		require.NoError(t, err)
		var want pb.RangeResponse
		wantCode := w.ask(0, MethodRange, r, &want)
		got, chunks, code := w.drain(t, raw, func(s *RangeStream) {
			if rapid.Bool().Draw(t, "renew") {
				w.renew(s)
			}
		})
		require.Equal(t, wantCode, code)
		if code == OK {
			require.True(t, proto.Equal(&want, got), "want %v, got %v", &want, got)
		}
		if r.Limit < 0 || r.CountOnly {
			require.LessOrEqual(t, chunks, 1)
		}
	})
	raw, err := proto.Marshal(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	require.NoError(t, err)
	_, chunks, _ := w.drain(t, raw, w.renew)
	require.Greater(t, chunks, 5)
	require.Empty(t, w.members[0].driver.Node.views.open, "a view was not given back")
}

// A target without an order is accepted and changes nothing.
func TestStreamsIgnoreATargetWithoutAnOrder(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.put(0, "b", "1")
	w.put(0, "a", "2")
	raw, err := proto.Marshal(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: 1,
		SortTarget: pb.RangeRequest_MOD})
	require.NoError(t, err)
	got, _, code := w.drain(t, raw, nil)
	require.Equal(t, OK, code)
	require.Equal(t, "a", string(got.GetKvs()[0].GetKey()))
	require.True(t, got.GetMore())
}

// What is written while a stream runs is not in it, whatever view it goes on with; a compaction
// beyond its revision ends it when the view it had is gone.
func TestAStreamShowsOneRevision(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.ChunkBytes = 1 })
	w.leader()
	for _, k := range []string{"a", "b", "c"} {
		w.put(0, k, "old")
	}
	before := w.get(0, "a").GetHeader().GetRevision()
	raw, err := proto.Marshal(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	require.NoError(t, err)
	got, chunks, code := w.drain(t, raw, func(s *RangeStream) {
		w.put(0, "b", "new")
		w.put(0, "bb", "new")
		w.renew(s)
	})
	require.Equal(t, OK, code)
	require.Equal(t, 3, chunks)
	require.Equal(t, before, got.GetHeader().GetRevision())
	require.EqualValues(t, 3, got.GetCount())
	for _, pair := range got.GetKvs() {
		require.Equal(t, "old", string(pair.GetValue()))
	}
	now := w.get(0, "a").GetHeader().GetRevision()
	compact := func() {
		w.put(0, "c", "newer")
		require.Equal(t, OK, w.ask(0, MethodCompact, &pb.CompactionRequest{Revision: now + 1},
			&pb.CompactionResponse{}))
	}
	done := false
	_, _, code = w.drain(t, raw, func(*RangeStream) {
		if !done {
			compact()
		}
		done = true
	})
	require.Equal(t, OK, code, "the view holds what was compacted")
	_, chunks, code = w.drain(t, raw, func(s *RangeStream) {
		now = w.get(0, "a").GetHeader().GetRevision()
		compact()
		w.renew(s)
	})
	require.Equal(t, ErrCompacted, code)
	require.Equal(t, 1, chunks)
}

func TestStreamsRefuseOrdersAndFilters(t *testing.T) {
	lim := DefaultLimits()
	for name, c := range map[string]struct {
		request *pb.RangeRequest
		want    Code
	}{
		"no key":        {&pb.RangeRequest{SortOrder: 2}, ErrEmptyKey},
		"no such order": {&pb.RangeRequest{Key: []byte("k"), SortOrder: 3}, ErrInvalidSortOption},
		"descending":    {&pb.RangeRequest{Key: []byte("k"), SortOrder: 2}, ErrSortUnsupported},
		"ascending":     {&pb.RangeRequest{Key: []byte("k"), SortOrder: 1}, OK},
		"ascending by version": {&pb.RangeRequest{Key: []byte("k"), SortOrder: 1, SortTarget: 1},
			ErrSortUnsupported},
		"target alone": {&pb.RangeRequest{Key: []byte("k"), SortTarget: 4}, OK},
		"min mod":      {&pb.RangeRequest{Key: []byte("k"), MinModRevision: 1}, ErrFilterUnsupported},
		"max create": {&pb.RangeRequest{Key: []byte("k"), MaxCreateRevision: -1},
			ErrFilterUnsupported},
		"order before filter": {&pb.RangeRequest{Key: []byte("k"), SortOrder: 2,
			MaxModRevision: 1}, ErrSortUnsupported},
	} {
		raw, err := proto.Marshal(c.request)
		require.NoError(t, err)
		require.Equal(t, c.want, Validate(MethodRangeStream, raw, &lim), name)
	}
}
