package linearizability

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// writer executes one request on a state. It holds the keys as the request has changed them so
// far; the base state stays as it is, so that an error halfway leaves nothing behind.
type writer struct {
	base    *State
	kvs     keyValues
	changes int                // so far; all of them share the revision after base's
	changed []*mvccpb.KeyValue // what they left, in order; a removal only has the key
	digest  uint64             // of the changes
}

// revision is the store's revision as the request itself sees it.
func (w *writer) revision() int64 {
	if w.changes > 0 {
		return w.base.revision + 1
	}
	return w.base.revision
}

// finish is the state after the request.
func (w *writer) finish() *State {
	if w.changes == 0 {
		return w.base
	}
	next := w.base.extend(w.kvs)
	next.digest = mix(w.base.digest, w.digest)
	next.changed = w.changed
	return next
}

// extend is the state one revision after s, with this content.
func (s *State) extend(kvs keyValues) *State {
	next := &State{
		revision: s.revision + 1, compacted: s.compacted, kvs: kvs, leases: s.leases, parent: s,
		jump: s,
	}
	// Two spans of equal length join to one of the double length.
	if j := s.jump; j != nil && j.jump != nil &&
		s.revision-j.revision == j.revision-j.jump.revision {
		next.jump = j.jump
	}
	return next
}

func (w *writer) put(req *pb.PutRequest) (*pb.PutResponse, string) {
	if err := w.base.checkPut(req); err != "" {
		return nil, err
	}
	i, found := w.kvs.find(req.Key)
	rev := w.base.revision + 1
	kv := &mvccpb.KeyValue{
		Key: req.Key, Value: req.Value, CreateRevision: rev, ModRevision: rev, Version: 1,
		Lease: leaseOf(req, nil),
	}
	resp := &pb.PutResponse{Header: header(rev)}
	if found {
		old := w.kvs[i]
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		kv.Lease = leaseOf(req, old)
		if req.IgnoreValue {
			kv.Value = old.Value
		}
		if req.PrevKv {
			resp.PrevKv = old
		}
	}
	kvs := make(keyValues, 0, len(w.kvs)+1)
	kvs = append(append(kvs, w.kvs[:i]...), kv)
	if found {
		i++
	}
	w.kvs = append(kvs, w.kvs[i:]...)
	w.change(kv)
	return resp, ""
}

func (w *writer) deleteRange(req *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	gone := w.kvs.interval(req.Key, req.RangeEnd)
	resp := &pb.DeleteRangeResponse{Deleted: int64(len(gone))}
	if req.PrevKv {
		resp.PrevKvs = gone
	}
	if len(gone) > 0 {
		i, _ := w.kvs.find(gone[0].Key)
		kvs := make(keyValues, 0, len(w.kvs)-len(gone))
		w.kvs = append(append(kvs, w.kvs[:i]...), w.kvs[i+len(gone):]...)
		for _, kv := range gone {
			w.change(&mvccpb.KeyValue{Key: kv.Key})
		}
	}
	resp.Header = header(w.revision())
	return resp
}

// change notes what one change left of its key, in order; nested transactions may change a key
// more than once.
func (w *writer) change(kv *mvccpb.KeyValue) {
	w.changes++
	w.changed = append(w.changed, kv)
	w.digest = mix(hashBytes(hashBytes(w.digest, kv.Key), kv.Value), uint64(kv.Version))
	w.digest = mix(w.digest, uint64(kv.Lease))
}

// mix folds v into h. It only has to spread what tests produce, not to withstand an adversary.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return mix(h, uint64(len(b)))
}

func sameKeyValue(a, b *mvccpb.KeyValue) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ModRevision == b.ModRevision && a.CreateRevision == b.CreateRevision &&
		a.Version == b.Version && a.Lease == b.Lease &&
		bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

func sameKeyValues(a, b []*mvccpb.KeyValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !sameKeyValue(a[i], b[i]) {
			return false
		}
	}
	return true
}
