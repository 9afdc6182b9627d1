package linearizability

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// txnResult is what a Txn may answer. A nested one has an empty header.
type txnResult struct {
	revision  int64
	succeeded bool
	results   []result
}

// txn executes a whole Txn: first every compare, nested ones included, on the state before it,
// then what could fail in the chosen branches, then the operations.
func (w *writer) txn(req *pb.TxnRequest) (*txnResult, string) {
	if err := w.check(req); err != "" {
		return nil, err
	}
	res, err := w.branch(req)
	if err != "" {
		return nil, err
	}
	res.revision = w.revision()
	return res, ""
}

// chosen is the branch that the state before the Txn selects.
func (w *writer) chosen(req *pb.TxnRequest) ([]*pb.RequestOp, bool) {
	for _, c := range req.Compare {
		if !w.base.holds(c) {
			return req.Failure, false
		}
	}
	return req.Success, true
}

// check refuses a Txn that would fail on the way, for the reason it would meet first: a read at a
// revision that the state before it does not have (a read in a Txn cannot name the Txn's own
// revision), or a put that leans on a lease or a key that is not there.
func (w *writer) check(req *pb.TxnRequest) string {
	ops, _ := w.chosen(req)
	for _, op := range ops {
		err := ""
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = w.checkRead(r.RequestRange)
		case *pb.RequestOp_RequestPut:
			err = w.base.checkPut(r.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = w.check(r.RequestTxn)
		}
		if err != "" {
			return err
		}
	}
	return ""
}

func (w *writer) checkRead(r *pb.RangeRequest) string {
	switch {
	case r.Revision == 0:
	case r.Revision > w.base.revision:
		return ErrFutureRev
	case r.Revision < w.base.compacted:
		return ErrCompacted
	}
	return ""
}

// checkPut refuses a put that leans on a lease or a key that is not there.
func (s *State) checkPut(req *pb.PutRequest) string {
	if req.Lease != 0 && !s.hasLease(req.Lease) {
		return ErrLeaseNotFound
	}
	if _, found := s.kvs.find(req.Key); !found && (req.IgnoreValue || req.IgnoreLease) {
		return ErrKeyNotFound
	}
	return ""
}

func (w *writer) branch(req *pb.TxnRequest) (*txnResult, string) {
	ops, succeeded := w.chosen(req)
	txn := &txnResult{succeeded: succeeded, results: make([]result, len(ops))}
	for i, op := range ops {
		res, err := &txn.results[i], ""
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			res.rng, err = w.rangeKeys(r.RequestRange)
		case *pb.RequestOp_RequestPut:
			res.put, err = w.put(r.RequestPut)
		case *pb.RequestOp_RequestDeleteRange:
			res.del = w.deleteRange(r.RequestDeleteRange)
		case *pb.RequestOp_RequestTxn:
			res.txn, err = w.branch(r.RequestTxn)
		}
		if err != "" {
			return nil, err
		}
	}
	return txn, ""
}

// holds evaluates one compare. With an interval every key of it has to satisfy the compare; a
// missing key, or an empty interval, counts as one key whose numbers are all 0 and whose value
// satisfies nothing.
func (s *State) holds(c *pb.Compare) bool {
	kvs := s.kvs.interval(c.Key, c.RangeEnd)
	if len(kvs) == 0 {
		return c.Target != pb.Compare_VALUE && satisfies(c, &mvccpb.KeyValue{})
	}
	for _, kv := range kvs {
		if !satisfies(c, kv) {
			return false
		}
	}
	return true
}

func satisfies(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	var order int
	switch c.Target {
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VALUE:
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	}
	return true
}

func (r *txnResult) response() *pb.TxnResponse {
	resp := &pb.TxnResponse{Header: header(r.revision), Succeeded: r.succeeded}
	for i := range r.results {
		resp.Responses = append(resp.Responses, r.results[i].responseOp())
	}
	return resp
}

func (r *txnResult) mismatch(resp *pb.TxnResponse) *difference {
	switch {
	case resp.GetHeader().GetRevision() != r.revision:
		return differs("revision", resp.GetHeader().GetRevision(), r.revision)
	case resp.GetSucceeded() != r.succeeded:
		return differs("succeeded", resp.GetSucceeded(), r.succeeded)
	case len(resp.GetResponses()) != len(r.results):
		return differs("number of responses", len(resp.GetResponses()), len(r.results))
	}
	for i, op := range resp.GetResponses() {
		if m := r.results[i].mismatchOp(op); m != nil {
			return differs("response", i, m)
		}
	}
	return nil
}
