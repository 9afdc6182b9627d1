package linearizability

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// answered notes what an answer says of every key.
func (p *projection) answered(req *Request, resp *Response) {
	switch {
	case req.Range != nil:
		p.rangeFacts(req.Range, resp.Range)
	case req.Put != nil:
		p.putFacts(req.Put, resp.Put)
	case req.DeleteRange != nil:
		p.deleteFacts(req.DeleteRange, resp.DeleteRange)
	case req.Txn != nil:
		// All compares see the state before the Txn, so they come first.
		p.compareFacts(req.Txn, resp.Txn)
		p.branchFacts(req.Txn, resp.Txn)
	}
}

func (p *projection) putFacts(req *pb.PutRequest, resp *pb.PutResponse) {
	p.each(req.Key, nil, func(at int) {
		if req.PrevKv {
			p.addRecord(at, resp.PrevKv)
		}
		if req.IgnoreValue || req.IgnoreLease {
			p.add(at, isPresent, nil)
		}
		if !req.IgnoreValue {
			p.add(at, sets, req.Value)
		}
	})
}

func (p *projection) deleteFacts(req *pb.DeleteRangeRequest, resp *pb.DeleteRangeResponse) {
	p.each(req.Key, req.RangeEnd, func(at int) {
		switch {
		case resp.Deleted == 0:
			p.add(at, isAbsent, nil)
		case req.PrevKv:
			p.addRecord(at, recordOf(resp.PrevKvs, p.keys[at]))
		case len(req.RangeEnd) == 0:
			p.add(at, isPresent, nil)
		}
		p.add(at, removes, nil)
	})
}

func recordOf(kvs []*mvccpb.KeyValue, key string) *mvccpb.KeyValue {
	for _, kv := range kvs {
		if string(kv.Key) == key {
			return kv
		}
	}
	return nil
}

func (p *projection) rangeFacts(req *pb.RangeRequest, resp *pb.RangeResponse) {
	if req.Revision > 0 {
		return
	}
	p.each(req.Key, req.RangeEnd, func(at int) {
		kv := recordOf(resp.Kvs, p.keys[at])
		switch {
		case resp.Count == 0:
			p.add(at, isAbsent, nil)
		case kv != nil && req.KeysOnly:
			p.add(at, isPresent, nil)
		case kv != nil:
			p.add(at, isValue, kv.Value)
		case req.CountOnly && len(req.RangeEnd) == 0:
			p.add(at, isPresent, nil)
		case !req.CountOnly && !hasFilter(req) && covers(req, resp, p.keys[at]):
			p.add(at, isAbsent, nil)
		}
	})
}

// covers says whether the answer would contain key if the key existed: when nothing was cut off,
// or only behind a later key.
func covers(req *pb.RangeRequest, resp *pb.RangeResponse, key string) bool {
	if !resp.More {
		return true
	}
	inOrder := req.SortTarget == pb.RangeRequest_KEY && req.SortOrder != pb.RangeRequest_DESCEND
	return inOrder && len(resp.Kvs) > 0 &&
		bytes.Compare([]byte(key), resp.Kvs[len(resp.Kvs)-1].Key) < 0
}

// compareFacts notes the compares whose outcome is certain, those of nested Txns included.
func (p *projection) compareFacts(req *pb.TxnRequest, resp *pb.TxnResponse) {
	for _, c := range req.Compare {
		if len(c.RangeEnd) == 0 && (resp.Succeeded || len(req.Compare) == 1) {
			p.each(c.Key, nil, func(at int) { p.compareFact(at, c, resp.Succeeded) })
		}
	}
	for i, op := range branchOf(req, resp) {
		if nested := op.GetRequestTxn(); nested != nil && i < len(resp.Responses) {
			p.compareFacts(nested, resp.Responses[i].GetResponseTxn())
		}
	}
}

func branchOf(req *pb.TxnRequest, resp *pb.TxnResponse) []*pb.RequestOp {
	if resp.GetSucceeded() {
		return req.Success
	}
	return req.Failure
}

// compareFact notes that the compare c of one key held, or did not.
func (p *projection) compareFact(at int, c *pb.Compare, held bool) {
	if c.Target == pb.Compare_VALUE {
		switch {
		case c.Result == pb.Compare_EQUAL && held:
			p.add(at, isValue, c.GetValue())
		case c.Result == pb.Compare_EQUAL:
			p.add(at, isNotValue, c.GetValue())
		case c.Result == pb.Compare_NOT_EQUAL && held:
			p.add(at, isPresent, nil)
			p.add(at, isNotValue, c.GetValue())
		}
		return
	}
	if c.Target == pb.Compare_LEASE {
		return
	}
	// The other numbers of a live key are at least 1, those of a missing one are 0.
	zero := satisfies(&pb.Compare{Target: c.Target, TargetUnion: c.TargetUnion}, &mvccpb.KeyValue{})
	onlyMissing := zero && c.Result == pb.Compare_EQUAL
	onlyLive := zero && (c.Result == pb.Compare_NOT_EQUAL || c.Result == pb.Compare_GREATER)
	switch {
	case onlyMissing && held, onlyLive && !held:
		p.add(at, isAbsent, nil)
	case onlyMissing || onlyLive || c.Result == pb.Compare_EQUAL && held:
		p.add(at, isPresent, nil)
	}
}

func (p *projection) branchFacts(req *pb.TxnRequest, resp *pb.TxnResponse) {
	for i, op := range branchOf(req, resp) {
		if i >= len(resp.Responses) {
			return
		}
		r := resp.Responses[i]
		switch {
		case op.GetRequestRange() != nil && r.GetResponseRange() != nil:
			p.rangeFacts(op.GetRequestRange(), r.GetResponseRange())
		case op.GetRequestPut() != nil && r.GetResponsePut() != nil:
			p.putFacts(op.GetRequestPut(), r.GetResponsePut())
		case op.GetRequestDeleteRange() != nil && r.GetResponseDeleteRange() != nil:
			p.deleteFacts(op.GetRequestDeleteRange(), r.GetResponseDeleteRange())
		case op.GetRequestTxn() != nil && r.GetResponseTxn() != nil:
			p.branchFacts(op.GetRequestTxn(), r.GetResponseTxn())
		}
	}
}
