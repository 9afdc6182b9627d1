package main

// Requests of the KV service.

import (
	"bytes"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func (d draw) rangeRequest() *pb.RangeRequest {
	key, end := d.interval()
	q := &pb.RangeRequest{Key: key, RangeEnd: end, Revision: d.revision(),
		Serializable: d.percent(15)}
	if d.percent(30) {
		q.Limit = pick[int64](d, 1, 2, 3, 5, 100, -1)
	}
	if d.percent(30) {
		q.SortOrder = pick(d, pb.RangeRequest_ASCEND, pb.RangeRequest_DESCEND,
			pb.RangeRequest_NONE)
		q.SortTarget = pick(d, pb.RangeRequest_KEY, pb.RangeRequest_VERSION,
			pb.RangeRequest_CREATE, pb.RangeRequest_MOD, pb.RangeRequest_VALUE)
	}
	if d.percent(2) {
		q.SortOrder = pick[pb.RangeRequest_SortOrder](d, 3, -1, 99)
	}
	if d.percent(2) {
		q.SortTarget = pick[pb.RangeRequest_SortTarget](d, 5, -1, 99)
	}
	q.KeysOnly, q.CountOnly = d.percent(12), d.percent(10)
	if d.percent(15) {
		for _, bound := range []*int64{&q.MinModRevision, &q.MaxModRevision,
			&q.MinCreateRevision, &q.MaxCreateRevision} {
			*bound = d.revision()
		}
	}
	return q
}

func (d draw) putRequest() *pb.PutRequest {
	p := &pb.PutRequest{Key: d.key(), Value: d.value(), Lease: d.lease(15), PrevKv: d.percent(20)}
	if d.percent(10) {
		p.IgnoreValue = true
		if d.percent(70) {
			p.Value = nil
		}
	}
	if d.percent(10) {
		p.IgnoreLease = true
		if d.percent(70) {
			p.Lease = 0
		}
	}
	return p
}

func (d draw) deleteRequest() *pb.DeleteRangeRequest {
	key := d.key()
	end := d.end(key)
	if d.percent(4) {
		key, end = []byte{0}, []byte{0}
	}
	return &pb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: d.percent(30)}
}

func (d draw) compare() *pb.Compare {
	c := &pb.Compare{Key: d.key(), Result: pick(d, pb.Compare_EQUAL, pb.Compare_NOT_EQUAL,
		pb.Compare_GREATER, pb.Compare_LESS)}
	if d.percent(15) {
		c.RangeEnd = d.end(c.Key)
	}
	switch d.below(5) {
	case 0:
		c.Target = pb.Compare_VERSION
		c.TargetUnion = &pb.Compare_Version{Version: int64(d.below(4))}
	case 1:
		c.Target = pb.Compare_CREATE
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: d.revision()}
	case 2:
		c.Target = pb.Compare_MOD
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: d.revision()}
	case 3:
		c.Target = pb.Compare_VALUE
		c.TargetUnion = &pb.Compare_Value{Value: d.value()}
	case 4:
		c.Target = pb.Compare_LEASE
		c.TargetUnion = &pb.Compare_Lease{Lease: d.lease(50)}
	}
	switch {
	case d.percent(5):
		c.TargetUnion = nil
	case d.percent(5): // the union says something else than the target
		c.Target = pick(d, pb.Compare_VERSION, pb.Compare_CREATE, pb.Compare_MOD,
			pb.Compare_VALUE, pb.Compare_LEASE)
	case d.percent(3):
		c.Target = pick[pb.Compare_CompareTarget](d, 5, -1, 99)
	case d.percent(3):
		c.Result = pick[pb.Compare_CompareResult](d, 4, -1, 99)
	}
	return c
}

func (d draw) op(depth int) *pb.RequestOp {
	kind := d.below(100)
	switch {
	case kind < 35:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: d.putRequest()}}
	case kind < 65:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: d.rangeRequest()}}
	case kind < 80:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: d.deleteRequest()}}
	case kind < 98 && depth > 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{
			RequestTxn: d.txnRequest(depth - 1)}}
	case kind < 98:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: d.key()}}}
	}
	return &pb.RequestOp{}
}

const txnDepth = 3

func (d draw) txnRequest(depth int) *pb.TxnRequest {
	txn := &pb.TxnRequest{}
	for d.percent(50) {
		txn.Compare = append(txn.Compare, d.compare())
	}
	for d.percent(60) {
		txn.Success = append(txn.Success, d.op(depth))
	}
	for d.percent(50) {
		txn.Failure = append(txn.Failure, d.op(depth))
	}
	return txn
}

// closeDeletes ends every delete of a transaction. Of one without end, or inverted, etcd checks
// only the first key against the puts; detcd refuses any put inside.
func closeDeletes(txn *pb.TxnRequest) *pb.TxnRequest {
	for _, branch := range [][]*pb.RequestOp{txn.Success, txn.Failure} {
		for _, op := range branch {
			if del := op.GetRequestDeleteRange(); del != nil &&
				bytes.Compare(del.RangeEnd, del.Key) <= 0 {
				del.RangeEnd = nil
			}
			if inner := op.GetRequestTxn(); inner != nil {
				closeDeletes(inner)
			}
		}
	}
	return txn
}

// belowLimit keeps a transaction out of the band below the limit of a request's size.
func belowLimit(txn *pb.TxnRequest) *pb.TxnRequest {
	walk(txn.ProtoReflect(), func(_ protoreflect.Message, f protoreflect.FieldDescriptor,
		v protoreflect.Value,
	) protoreflect.Value {
		if f.Kind() != protoreflect.BytesKind {
			return v
		}
		if n, ok := bytesSymbol(v.Bytes(), sizePrefix); ok && n == nearLimit {
			return protoreflect.ValueOfBytes(sizedValue(nearTxnLimit))
		}
		return v
	})
	return txn
}

// wideTxn has as many operations as are just allowed, or one more.
func (d draw) wideTxn() *pb.TxnRequest {
	txn := &pb.TxnRequest{}
	for range pick(d, defaultLimits.txnOps, defaultLimits.txnOps+1, smallLimits.txnOps,
		smallLimits.txnOps+1) {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte("a"), CountOnly: true}}})
	}
	return txn
}

func (d draw) compactRequest() *pb.CompactionRequest {
	c := &pb.CompactionRequest{Physical: d.percent(60), Revision: d.someRevision()}
	if d.percent(5) {
		c.Revision = 0
	}
	return c
}

func stepOf(method string, request proto.Message) []*step {
	return []*step{{method: method, request: request}}
}

func kvSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{22, func(d draw) []*step { return stepOf(pb.KV_Put_FullMethodName, d.putRequest()) }},
		{20, func(d draw) []*step { return stepOf(pb.KV_Range_FullMethodName, d.rangeRequest()) }},
		{8, func(d draw) []*step {
			return stepOf(pb.KV_DeleteRange_FullMethodName, d.deleteRequest())
		}},
		{16, func(d draw) []*step {
			return stepOf(pb.KV_Txn_FullMethodName,
				belowLimit(closeDeletes(d.txnRequest(txnDepth))))
		}},
		{1, func(d draw) []*step { return stepOf(pb.KV_Txn_FullMethodName, d.wideTxn()) }},
		{3, func(d draw) []*step { return stepOf(pb.KV_Compact_FullMethodName, d.compactRequest()) }},
		{8, func(d draw) []*step {
			return stepOf(pb.KV_RangeStream_FullMethodName, d.rangeRequest())
		}},
	}
}
