package linearizability

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// rangeResult is what a Range may answer. Sorting by anything but the key leaves the order of ties
// open, and with a limit also which of the tied keys are returned, so the result is the sorted
// candidates of which an answer shows the first few, up to an exchange of equals.
type rangeResult struct {
	revision   int64 // of the header
	candidates keyValues
	returned   int // how many of the candidates the answer has
	more       bool
	count      int64
	strip      stripped
	sort       pb.RangeRequest_SortTarget
}

// stripped says which fields of a record an answer leaves out.
type stripped uint8

const (
	stripNothing stripped = iota
	stripValue
	// An answer with keys only comes from an index, which does not know leases. A sort
	// by value has to read the records, and then the lease stays.
	stripValueAndLease
)

func (w *writer) rangeKeys(req *pb.RangeRequest) (*rangeResult, string) {
	kvs := w.kvs
	if req.Revision > 0 {
		switch {
		case req.Revision > w.revision():
			return nil, ErrFutureRev
		case req.Revision < w.base.compacted:
			return nil, ErrCompacted
		}
		if req.Revision <= w.base.revision {
			old := w.base.at(req.Revision)
			if old == nil {
				return nil, ErrCompacted
			}
			kvs = old.kvs
		}
	}
	in := kvs.interval(req.Key, req.RangeEnd)
	res := &rangeResult{revision: w.revision(), count: int64(len(in)), sort: req.SortTarget}
	if req.CountOnly {
		return res, ""
	}
	if req.KeysOnly {
		res.strip = stripValueAndLease
		if req.SortTarget == pb.RangeRequest_VALUE {
			res.strip = stripValue
		}
	}
	limit := len(in)
	if req.Limit > 0 && req.Limit < int64(limit) {
		limit = int(req.Limit)
	}
	// Without an explicit order the limit is applied in key order first, one key more than asked
	// for, and only those are sorted by the target.
	if req.SortOrder == pb.RangeRequest_NONE && !hasFilter(req) && limit < len(in) {
		in = in[:limit+1]
	}
	res.candidates = sorted(filtered(in, req), req)
	res.returned = min(limit, len(res.candidates))
	res.more = len(res.candidates) > limit
	return res, ""
}

func hasFilter(req *pb.RangeRequest) bool {
	return req.MinModRevision != 0 || req.MaxModRevision != 0 ||
		req.MinCreateRevision != 0 || req.MaxCreateRevision != 0
}

func filtered(kvs keyValues, req *pb.RangeRequest) keyValues {
	if !hasFilter(req) {
		return kvs
	}
	var kept keyValues
	for _, kv := range kvs {
		if within(kv.ModRevision, req.MinModRevision, req.MaxModRevision) &&
			within(kv.CreateRevision, req.MinCreateRevision, req.MaxCreateRevision) {
			kept = append(kept, kv)
		}
	}
	return kept
}

// within says whether rev lies between two inclusive bounds, of which 0 is none.
func within(rev, low, high int64) bool {
	return (low == 0 || rev >= low) && (high == 0 || rev <= high)
}

func sorted(kvs keyValues, req *pb.RangeRequest) keyValues {
	target, descend := req.SortTarget, req.SortOrder == pb.RangeRequest_DESCEND
	if target == pb.RangeRequest_KEY && !descend {
		return kvs
	}
	kvs = slices.Clone(kvs)
	slices.SortStableFunc(kvs, func(a, b *mvccpb.KeyValue) int {
		if descend {
			a, b = b, a
		}
		return compareBy(target, a, b)
	})
	return kvs
}

func compareBy(target pb.RangeRequest_SortTarget, a, b *mvccpb.KeyValue) int {
	switch target {
	case pb.RangeRequest_VERSION:
		return cmp.Compare(a.Version, b.Version)
	case pb.RangeRequest_CREATE:
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	case pb.RangeRequest_MOD:
		return cmp.Compare(a.ModRevision, b.ModRevision)
	case pb.RangeRequest_VALUE:
		return bytes.Compare(a.Value, b.Value)
	}
	return bytes.Compare(a.Key, b.Key)
}

// response is one allowed answer, ties in the order of their keys.
func (r *rangeResult) response() *pb.RangeResponse {
	resp := &pb.RangeResponse{Header: header(r.revision), More: r.more, Count: r.count}
	for _, kv := range r.candidates[:r.returned] {
		resp.Kvs = append(resp.Kvs, r.strip.of(kv))
	}
	return resp
}

func (s stripped) of(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	if s == stripNothing {
		return kv
	}
	short := &mvccpb.KeyValue{
		Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
		Version: kv.Version,
	}
	if s == stripValue {
		short.Lease = kv.Lease
	}
	return short
}

// mismatch says how resp differs from every allowed answer; nil when it is one of them.
func (r *rangeResult) mismatch(resp *pb.RangeResponse) *difference {
	switch {
	case resp.GetHeader().GetRevision() != r.revision:
		return differs("revision", resp.GetHeader().GetRevision(), r.revision)
	case resp.Count != r.count:
		return differs("count", resp.Count, r.count)
	case resp.More != r.more:
		return differs("more", resp.More, r.more)
	case len(resp.Kvs) != r.returned:
		return differs("number of keys", len(resp.Kvs), r.returned)
	}
	for i, kv := range resp.Kvs {
		want := r.candidates[i]
		if sameKeyValue(kv, r.strip.of(want)) {
			continue
		}
		if tied := r.tied(kv); tied == nil || compareBy(r.sort, tied, want) != 0 {
			return differs("record", kv, r.strip.of(want))
		}
		if slices.ContainsFunc(resp.Kvs[:i], func(before *mvccpb.KeyValue) bool {
			return bytes.Equal(before.Key, kv.Key)
		}) {
			return differs("record, again", kv, r.strip.of(want))
		}
	}
	return nil
}

// tied finds the candidate that kv is, where the order leaves a choice.
func (r *rangeResult) tied(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	if r.sort == pb.RangeRequest_KEY {
		return nil
	}
	for _, c := range r.candidates {
		if sameKeyValue(kv, r.strip.of(c)) {
			return c
		}
	}
	return nil
}
