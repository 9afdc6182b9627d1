package linearizability

import (
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Never is the Return time of an operation whose answer was lost and that may still take effect.
const Never = math.MaxInt64

// Outcome is what is known about how an operation ended.
type Outcome uint8

// The outcomes.
const (
	_ Outcome = iota
	// OK: the client has the Response.
	OK
	// Failed: the client has an error which promises that nothing happened. Errors of the store
	// itself, the Err constants, are checked like answers; any other is only believed.
	Failed
	// Unknown: the client has no answer, or an error that promises nothing. The operation may take
	// effect at any time after its call, once, or never.
	Unknown
	// Applied: an operation whose answer was lost, but of which the world knows that it changed
	// something, after which the store's revision was Revision.
	Applied
)

// Operation is one request of one client, from call to return.
type Operation struct {
	Client int
	// Number is the caller's name for the operation; no checker looks at it.
	Number uint64
	// Member is the member that was asked, 0 when not known; serializable reads of one member
	// must not go back in time.
	Member uint64
	// Call and Return are times of one clock, in any unit. Invariant: Call <= Return. Operations
	// that touch in one instant count as concurrent.
	Call, Return int64
	Request      Request
	Outcome      Outcome
	// Response is set when Outcome is OK, Err when Failed, Revision when Applied.
	Response Response
	Err      string
	Revision int64
	// Order says, if not 0, where in the order of all writes the world has seen this one take
	// effect. Only where no answer can tell it does a checker look here: see lease.go.
	Order int64
}

// Request is one request: exactly one field is set.
type Request struct {
	Range       *pb.RangeRequest
	Put         *pb.PutRequest
	DeleteRange *pb.DeleteRangeRequest
	Txn         *pb.TxnRequest
	Compact     *pb.CompactionRequest
	// A Grant names its ID, also when the store chose it.
	Grant      *pb.LeaseGrantRequest
	Revoke     *pb.LeaseRevokeRequest
	KeepAlive  *pb.LeaseKeepAliveRequest
	TimeToLive *pb.LeaseTimeToLiveRequest
}

// Response is one answer: the field of the request's kind is set.
type Response struct {
	Range       *pb.RangeResponse
	Put         *pb.PutResponse
	DeleteRange *pb.DeleteRangeResponse
	Txn         *pb.TxnResponse
	Compact     *pb.CompactionResponse
	Grant       *pb.LeaseGrantResponse
	Revoke      *pb.LeaseRevokeResponse
	KeepAlive   *pb.LeaseKeepAliveResponse
	TimeToLive  *pb.LeaseTimeToLiveResponse
}

// Revision is the store's revision in the header of r, 0 when there is no header, or when it is not
// that of the member that executed the request.
func (r *Response) Revision() int64 {
	switch {
	case r.Range != nil:
		return r.Range.GetHeader().GetRevision()
	case r.Put != nil:
		return r.Put.GetHeader().GetRevision()
	case r.DeleteRange != nil:
		return r.DeleteRange.GetHeader().GetRevision()
	case r.Txn != nil:
		return r.Txn.GetHeader().GetRevision()
	case r.Compact != nil:
		return r.Compact.GetHeader().GetRevision()
	case r.Grant != nil:
		return r.Grant.GetHeader().GetRevision()
	case r.Revoke != nil:
		return r.Revoke.GetHeader().GetRevision()
	}
	return 0
}

// ReadOnly says whether r can have no effect whatever the state is: a Range, or a Txn whose
// operations, of both branches, are Ranges and nothing else. A KeepAlive changes when a lease ends,
// not whether there is one.
func (r *Request) ReadOnly() bool {
	if r.Range != nil || r.asksLeader() {
		return true
	}
	return r.Txn != nil && onlyRanges(r.Txn.Success) && onlyRanges(r.Txn.Failure)
}

func onlyRanges(ops []*pb.RequestOp) bool {
	for _, op := range ops {
		if op.GetRequestRange() == nil {
			return false
		}
	}
	return true
}

// Serializable says whether r may be answered by any member from its own, perhaps old state: a
// Range that asks for it, or a read-only Txn all of whose Ranges do. The compares of such a Txn
// are as old as its reads.
func (r *Request) Serializable() bool {
	if r.Range != nil {
		return r.Range.Serializable
	}
	if !r.ReadOnly() || r.asksLeader() {
		return false
	}
	for _, branch := range [][]*pb.RequestOp{r.Txn.Success, r.Txn.Failure} {
		for _, op := range branch {
			if !op.GetRequestRange().Serializable {
				return false
			}
		}
	}
	return true
}

// kinds counts the fields that are set.
func (r *Request) kinds() int {
	n := 0
	for _, set := range []bool{
		r.Range != nil, r.Put != nil, r.DeleteRange != nil, r.Txn != nil, r.Compact != nil,
		r.Grant != nil, r.Revoke != nil, r.KeepAlive != nil, r.TimeToLive != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// answers says whether resp is of r's kind.
func (r *Request) answers(resp *Response) bool {
	return (r.Range != nil) == (resp.Range != nil) &&
		(r.Put != nil) == (resp.Put != nil) &&
		(r.DeleteRange != nil) == (resp.DeleteRange != nil) &&
		(r.Txn != nil) == (resp.Txn != nil) &&
		(r.Compact != nil) == (resp.Compact != nil) &&
		(r.Grant != nil) == (resp.Grant != nil) &&
		(r.Revoke != nil) == (resp.Revoke != nil) &&
		(r.KeepAlive != nil) == (resp.KeepAlive != nil) &&
		(r.TimeToLive != nil) == (resp.TimeToLive != nil)
}

// Check says what is wrong with a history as such, before anything is judged: it guards against a
// test that writes down nonsense.
func Check(history []Operation) error {
	for i := range history {
		op := &history[i]
		switch {
		case op.Request.kinds() != 1:
			return fmt.Errorf("operation %d: %d kinds of request", i, op.Request.kinds())
		case op.Call > op.Return:
			return fmt.Errorf("operation %d: returns at %d, before its call at %d", i, op.Return,
				op.Call)
		case op.Outcome < OK || op.Outcome > Applied:
			return fmt.Errorf("operation %d: no outcome %d", i, op.Outcome)
		case op.Outcome == OK && !op.Request.answers(&op.Response):
			return fmt.Errorf("operation %d: the response is not of the request's kind", i)
		case op.Outcome == Failed && op.Err == "":
			return fmt.Errorf("operation %d: failed without an error", i)
		}
	}
	return nil
}
