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

// Refuses says why who may not make a request of a store in state s; empty when he may. A
// transaction is refused for what any of its branches could do, whatever leans on a lease for the
// keys that hold it.
func (r *Rights) Refuses(who Asker, req *Request, s *State) string {
	switch {
	case req.Range != nil:
		return r.may(who, authpb.Permission_READ, req.Range.Key, req.Range.RangeEnd)
	case req.Put != nil:
		return r.refusesPut(who, req.Put, s)
	case req.DeleteRange != nil:
		return r.refusesDelete(who, req.DeleteRange)
	case req.Txn != nil:
		return r.refusesTxn(who, req.Txn, s)
	case req.Compact != nil:
		return r.Admin(who.User)
	}
	return r.refusesLease(who, req, s)
}

func (r *Rights) refusesLease(who Asker, req *Request, s *State) string {
	switch {
	case !r.Enabled || req.Grant == nil && req.Revoke == nil && req.KeepAlive == nil &&
		req.TimeToLive == nil:
		return ""
	case who.User == "":
		return ErrUserEmpty
	case req.Revoke != nil:
		return r.holders(who, authpb.Permission_WRITE, req.Revoke.ID, s)
	case req.KeepAlive != nil:
		return r.holders(who, authpb.Permission_WRITE, req.KeepAlive.ID, s)
	case req.TimeToLive != nil && req.TimeToLive.Keys:
		return r.holders(who, authpb.Permission_READ, req.TimeToLive.ID, s)
	}
	return ""
}

// RefusesLeases says why who may not list all leases.
func (r *Rights) RefusesLeases(who Asker, s *State) string {
	if r.Enabled && who.User == "" {
		return ErrUserEmpty
	}
	for _, id := range s.leases {
		if err := r.holders(who, authpb.Permission_READ, id, s); err != "" {
			return err
		}
	}
	return ""
}

// holders checks the keys that hold a lease.
func (r *Rights) holders(who Asker, want authpb.Permission_Type, lease int64, s *State) string {
	if r.Admin(who.User) == "" {
		return ""
	}
	for _, kv := range s.kvs {
		if kv.Lease != lease {
			continue
		}
		if err := r.may(who, want, kv.Key, nil); err != "" {
			return err
		}
	}
	return ""
}

func (r *Rights) may(who Asker, want authpb.Permission_Type, key, end []byte) string {
	return r.May(who.User, who.Revision, want, key, end)
}

func (r *Rights) refusesPut(who Asker, q *pb.PutRequest, s *State) string {
	err := r.may(who, authpb.Permission_WRITE, q.Key, nil)
	if err == "" && q.Lease != 0 {
		err = r.holders(who, authpb.Permission_WRITE, q.Lease, s)
	}
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

func (r *Rights) refusesTxn(who Asker, q *pb.TxnRequest, s *State) string {
	for _, c := range q.Compare {
		if err := r.may(who, authpb.Permission_READ, c.Key, c.RangeEnd); err != "" {
			return err
		}
	}
	for _, branch := range [2][]*pb.RequestOp{q.Success, q.Failure} {
		for _, op := range branch {
			if err := r.refusesOp(who, op, s); err != "" {
				return err
			}
		}
	}
	return ""
}

func (r *Rights) refusesOp(who Asker, op *pb.RequestOp, s *State) string {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return r.may(who, authpb.Permission_READ, o.RequestRange.Key, o.RequestRange.RangeEnd)
	case *pb.RequestOp_RequestPut:
		return r.refusesPut(who, o.RequestPut, s)
	case *pb.RequestOp_RequestDeleteRange:
		return r.refusesDelete(who, o.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return r.refusesTxn(who, o.RequestTxn, s)
	}
	return ""
}
