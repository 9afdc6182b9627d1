package linearizability

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// result is what a request may answer: one field is set. Only a Range has more than one allowed
// answer, so the others are answers themselves.
type result struct {
	rng     *rangeResult
	put     *pb.PutResponse
	del     *pb.DeleteRangeResponse
	txn     *txnResult
	compact *pb.CompactionResponse
	grant   *pb.LeaseGrantResponse
	revoke  *pb.LeaseRevokeResponse
	// renewable says whether the lease of a KeepAlive exists.
	renewable  *bool
	timeToLive *timeToLive
}

func (r *result) response() Response {
	switch {
	case r.rng != nil:
		return Response{Range: r.rng.response()}
	case r.put != nil:
		return Response{Put: r.put}
	case r.del != nil:
		return Response{DeleteRange: r.del}
	case r.txn != nil:
		return Response{Txn: r.txn.response()}
	case r.grant != nil:
		return Response{Grant: r.grant}
	case r.revoke != nil:
		return Response{Revoke: r.revoke}
	case r.renewable != nil:
		return Response{KeepAlive: &pb.LeaseKeepAliveResponse{}}
	case r.timeToLive != nil:
		return Response{TimeToLive: r.timeToLive.response()}
	}
	return Response{Compact: r.compact}
}

func (r *result) responseOp() *pb.ResponseOp {
	switch {
	case r.rng != nil:
		return &pb.ResponseOp{
			Response: &pb.ResponseOp_ResponseRange{ResponseRange: r.rng.response()},
		}
	case r.put != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: r.put}}
	case r.del != nil:
		return &pb.ResponseOp{
			Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: r.del},
		}
	}
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: r.txn.response()}}
}

// mismatch says how resp differs from every allowed answer; nil when it is one of them.
func (r *result) mismatch(resp *Response) *difference {
	switch {
	case r.rng != nil && resp.Range != nil:
		return r.rng.mismatch(resp.Range)
	case r.put != nil && resp.Put != nil:
		return mismatchPut(r.put, resp.Put)
	case r.del != nil && resp.DeleteRange != nil:
		return mismatchDelete(r.del, resp.DeleteRange)
	case r.txn != nil && resp.Txn != nil:
		return r.txn.mismatch(resp.Txn)
	case r.compact != nil && resp.Compact != nil:
		got, want := resp.Compact.GetHeader().GetRevision(), r.compact.Header.Revision
		if got != want {
			return differs("revision", got, want)
		}
		return nil
	case r.grant != nil && resp.Grant != nil:
		return mismatchGrant(r.grant, resp.Grant)
	case r.revoke != nil && resp.Revoke != nil:
		got, want := resp.Revoke.GetHeader().GetRevision(), r.revoke.Header.Revision
		if got != want {
			return differs("revision", got, want)
		}
		return nil
	case r.renewable != nil && resp.KeepAlive != nil:
		return mismatchKeepAlive(r.renewable, resp.KeepAlive)
	case r.timeToLive != nil && resp.TimeToLive != nil:
		return r.timeToLive.mismatch(resp.TimeToLive)
	}
	return differs("kind of response", resp.message(), "the request's")
}

func (r *result) mismatchOp(op *pb.ResponseOp) *difference {
	switch resp := op.GetResponse().(type) {
	case *pb.ResponseOp_ResponseRange:
		return r.mismatch(&Response{Range: resp.ResponseRange})
	case *pb.ResponseOp_ResponsePut:
		return r.mismatch(&Response{Put: resp.ResponsePut})
	case *pb.ResponseOp_ResponseDeleteRange:
		return r.mismatch(&Response{DeleteRange: resp.ResponseDeleteRange})
	case *pb.ResponseOp_ResponseTxn:
		return r.mismatch(&Response{Txn: resp.ResponseTxn})
	}
	return differs("response", "nothing", "content")
}

func mismatchPut(want, got *pb.PutResponse) *difference {
	if got.GetHeader().GetRevision() != want.Header.Revision {
		return differs("revision", got.GetHeader().GetRevision(), want.Header.Revision)
	}
	if !sameKeyValue(got.PrevKv, want.PrevKv) {
		return differs("prev_kv", got.PrevKv, want.PrevKv)
	}
	return nil
}

// mismatchGrant compares all but the time to live, which may be longer than asked for.
func mismatchGrant(want, got *pb.LeaseGrantResponse) *difference {
	switch {
	case got.GetHeader().GetRevision() != want.Header.Revision:
		return differs("revision", got.GetHeader().GetRevision(), want.Header.Revision)
	case got.ID != want.ID:
		return differs("lease", got.ID, want.ID)
	case got.TTL < want.TTL:
		return differs("time to live", got.TTL, want.TTL)
	}
	return nil
}

func mismatchDelete(want, got *pb.DeleteRangeResponse) *difference {
	switch {
	case got.GetHeader().GetRevision() != want.Header.Revision:
		return differs("revision", got.GetHeader().GetRevision(), want.Header.Revision)
	case got.Deleted != want.Deleted:
		return differs("deleted", got.Deleted, want.Deleted)
	case !sameKeyValues(got.PrevKvs, want.PrevKvs):
		return differs("prev_kvs", got.PrevKvs, want.PrevKvs)
	}
	return nil
}

// difference is how an answer, or an effect, is not what the model says. It is made for many
// candidates of a search and printed for one, so the values are kept unformatted.
type difference struct {
	what      string
	got, want any
}

func differs(what string, got, want any) *difference { return &difference{what, got, want} }

// String words the difference for people.
func (d *difference) String() string {
	if nested, ok := d.want.(*difference); ok {
		return fmt.Sprintf("%s %v: %v", d.what, d.got, nested)
	}
	return fmt.Sprintf("%s: got %v, want %v", d.what, d.got, d.want)
}
