package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/linearizability"
)

// marshal encodes a request in the one form that does not depend on the process that runs it.
func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func unmarshal(body []byte, m proto.Message) error { return proto.Unmarshal(body, m) }

// list draws a read.
func (a *author) list(s shape) *pb.RangeRequest {
	r := &pb.RangeRequest{}
	switch s {
	case shapeGet:
		r.Key = a.hotKey()
		if a.die.chance(250_000) {
			r.Key = a.anyKey()
		}
		return r
	case shapeList:
		r.Key, r.RangeEnd = a.interval()
		if a.die.chance(500_000) {
			r.Limit = a.die.within(1, 20)
		}
		return r
	case shapeListOld:
		r.Key, r.RangeEnd = a.interval()
		r.Revision = a.oldRevision()
		r.Limit = a.die.within(-1, 10)
	case shapeSerializable:
		r.Key, r.Serializable = a.anyKey(), true
		if a.die.chance(500_000) {
			r.Key, r.RangeEnd = a.interval()
		}
	default:
		r.Key, r.RangeEnd = a.interval()
		r.Serializable = a.die.chance(100_000)
	}
	a.options(r)
	return r
}

// options draws every other field of a read, each rarely enough that all combinations of two and
// three occur.
func (a *author) options(r *pb.RangeRequest) {
	d := &a.die
	newest := max(a.known.revision, 1)
	if d.chance(300_000) {
		r.Limit = d.within(-1, 12)
	}
	if d.chance(200_000) {
		r.Revision = a.oldRevision()
	}
	if d.chance(300_000) {
		r.SortTarget = pb.RangeRequest_SortTarget(d.below(5))
		r.SortOrder = pb.RangeRequest_SortOrder(d.below(3))
	}
	r.KeysOnly = d.chance(200_000)
	r.CountOnly = d.chance(150_000)
	if d.chance(100_000) {
		r.MinModRevision = d.within(0, newest)
	}
	if d.chance(100_000) {
		r.MaxModRevision = d.within(0, newest)
	}
	if d.chance(100_000) {
		r.MinCreateRevision = d.within(0, newest)
	}
	if d.chance(100_000) {
		r.MaxCreateRevision = d.within(0, newest)
	}
}

// guarded draws the two transactions that nearly every real client consists of.
func (a *author) guarded(s shape) *pb.TxnRequest {
	key := a.hotKey()
	mod := int64(0)
	if s == shapeUpdate {
		if a.known.lastKey != nil && a.die.chance(800_000) {
			key, mod = a.known.lastKey, a.known.lastMod
		} else {
			mod = a.known.revision
		}
	}
	t := &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: key, Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: mod},
		}},
		Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: key, Value: a.value()})},
	}
	if s == shapeCreate && a.die.chance(300_000) {
		c := t.Compare[0]
		c.Target, c.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{}
	}
	if s == shapeUpdate && a.die.chance(200_000) {
		t.Success = []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: key})}
	}
	if a.die.chance(800_000) {
		t.Failure = []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key})}
	}
	return t
}

// txn draws a transaction of anything, with nested ones down to a small depth. Some of them are
// refused (a key put twice, a put inside a delete), which is part of what is tested.
func (a *author) txn(depth int) *pb.TxnRequest {
	t := &pb.TxnRequest{}
	for range a.die.below(3) {
		t.Compare = append(t.Compare, a.compare())
	}
	for range a.die.below(4) {
		t.Success = append(t.Success, a.op(depth))
	}
	for range a.die.below(3) {
		t.Failure = append(t.Failure, a.op(depth))
	}
	if a.die.chance(200_000) { // several keys at once, to be seen together or not at all
		value := a.value()
		for _, key := range []string{"m1", "m2", "m3"} {
			t.Success = append(t.Success, putOp(&pb.PutRequest{Key: []byte(key), Value: value}))
		}
	}
	return t
}

func (a *author) op(depth int) *pb.RequestOp {
	switch a.die.below(10) {
	case 0, 1, 2, 3:
		return putOp(a.put(oneOf(&a.die, shapePut, shapePutOptions, shapeAppend)))
	case 4:
		return deleteOp(a.delete(oneOf(&a.die, shapeDelete, shapeDelete, shapeDeleteRange)))
	case 5:
		if depth < 2 {
			return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: a.txn(depth + 1)}}
		}
	}
	r := a.list(oneOf(&a.die, shapeGet, shapeGet, shapeList, shapeListOptions))
	r.Revision = max(r.Revision, 0)
	return rangeOp(r)
}

func (a *author) readTxn() *pb.TxnRequest {
	t := &pb.TxnRequest{}
	if a.die.chance(300_000) {
		t.Compare = append(t.Compare, a.compare())
	}
	if a.die.chance(200_000) {
		t.Success = append(t.Success, rangeOp(&pb.RangeRequest{Key: []byte("m"),
			RangeEnd: []byte("n")}))
	}
	for range a.die.within(1, 3) {
		r := a.list(oneOf(&a.die, shapeGet, shapeList, shapeListOptions))
		r.Revision = max(r.Revision, 0)
		t.Success = append(t.Success, rangeOp(r))
	}
	for range a.die.below(3) {
		t.Failure = append(t.Failure, rangeOp(a.list(shapeGet)))
	}
	return t
}

// compare draws a condition on any target of one key or, sometimes, of an interval.
func (a *author) compare() *pb.Compare {
	d := &a.die
	c := &pb.Compare{
		Key: a.anyKey(), Result: pb.Compare_CompareResult(d.below(4)),
		Target: pb.Compare_CompareTarget(d.below(5)),
	}
	if d.chance(150_000) {
		c.Key, c.RangeEnd = a.interval()
	}
	around := a.known.revision - d.within(0, 5)
	if d.chance(300_000) || around < 0 {
		around = 0
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: d.below(4)}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: around}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: around}
	case pb.Compare_VALUE:
		value := fmt.Appendf(nil, "c%d-%d", d.below(8), d.below(a.number+1))
		c.TargetUnion = &pb.Compare_Value{Value: value}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: d.below(2)}
	}
	if d.chance(30_000) {
		c.TargetUnion = nil
	}
	return c
}

// bad draws a request that must be refused, in one of the ways there are.
func (a *author) bad(r *linearizability.Request) {
	switch a.die.below(7) {
	case 0:
		r.Put = &pb.PutRequest{Value: a.value()}
	case 1:
		r.Put = &pb.PutRequest{Key: a.hotKey(), Value: a.value(), IgnoreValue: true}
	case 2:
		r.Put = &pb.PutRequest{Key: a.hotKey(), Value: a.value(), Lease: 77}
	case 3:
		r.Range = &pb.RangeRequest{Key: a.hotKey(), SortOrder: 7}
	case 4:
		r.DeleteRange = &pb.DeleteRangeRequest{}
	case 5:
		key := a.hotKey()
		r.Txn = &pb.TxnRequest{Success: []*pb.RequestOp{
			putOp(&pb.PutRequest{Key: key, Value: a.value()}),
			deleteOp(&pb.DeleteRangeRequest{Key: key}),
		}}
	case 6:
		r.Txn = &pb.TxnRequest{}
		for range a.limits.MaxTxnOps + 1 {
			r.Txn.Success = append(r.Txn.Success, rangeOp(&pb.RangeRequest{Key: a.hotKey()}))
		}
	}
}

func putOp(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func deleteOp(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}
