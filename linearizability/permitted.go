package linearizability

import (
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Asker is on whose behalf a request is made, as known at an auth revision. Revision is 0 when
// nobody was named.
type Asker struct {
	User     string
	Revision uint64
}

// Refuses says why who may not make a request; empty when he may. A transaction is refused for what
// any of its branches could do.
func (r *Rights) Refuses(who Asker, req *Request) string {
	switch {
	case req.Range != nil:
		return r.may(who, authpb.Permission_READ, req.Range.Key, req.Range.RangeEnd)
	case req.Put != nil:
		return r.refusesPut(who, req.Put)
	case req.DeleteRange != nil:
		return r.refusesDelete(who, req.DeleteRange)
	case req.Txn != nil:
		return r.refusesTxn(who, req.Txn)
	case req.Compact != nil:
		return r.Admin(who.User)
	}
	return ""
}

func (r *Rights) may(who Asker, want authpb.Permission_Type, key, end []byte) string {
	return r.May(who.User, who.Revision, want, key, end)
}

func (r *Rights) refusesPut(who Asker, q *pb.PutRequest) string {
	err := r.may(who, authpb.Permission_WRITE, q.Key, nil)
	if err == "" && q.PrevKv {
		err = r.may(who, authpb.Permission_READ, q.Key, nil)
	}
	return err
}

func (r *Rights) refusesDelete(who Asker, q *pb.DeleteRangeRequest) string {
	err := r.may(who, authpb.Permission_WRITE, q.Key, q.RangeEnd)
	if err == "" && q.PrevKv {
		err = r.may(who, authpb.Permission_READ, q.Key, q.RangeEnd)
	}
	return err
}

func (r *Rights) refusesTxn(who Asker, q *pb.TxnRequest) string {
	for _, c := range q.Compare {
		if err := r.may(who, authpb.Permission_READ, c.Key, c.RangeEnd); err != "" {
			return err
		}
	}
	for _, branch := range [2][]*pb.RequestOp{q.Success, q.Failure} {
		for _, op := range branch {
			if err := r.refusesOp(who, op); err != "" {
				return err
			}
		}
	}
	return ""
}

func (r *Rights) refusesOp(who Asker, op *pb.RequestOp) string {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return r.may(who, authpb.Permission_READ, o.RequestRange.Key, o.RequestRange.RangeEnd)
	case *pb.RequestOp_RequestPut:
		return r.refusesPut(who, o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return r.refusesDelete(who, o.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return r.refusesTxn(who, o.RequestTxn)
	}
	return ""
}
