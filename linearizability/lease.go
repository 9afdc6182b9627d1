package linearizability

import (
	"bytes"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Leases in the reference store: which exist is part of the state, which keys hold one is part of
// the keys. When a lease ends for want of renewal is not: nobody asked for it, so whoever builds a
// history adds the end as a Revoke of nobody, at the place where the world has seen it.
//
// A grant changes the state and makes no revision, and so does the end of a lease without keys.
// Answers do not tell where such a change stands among the writes, which is why a history of them
// says it (Operation.Order).

// withLeases is s with other leases.
func (s *State) withLeases(ids []int64) *State {
	next := *s
	next.leases = ids
	return &next
}

func (s *State) hasLease(id int64) bool {
	_, found := slices.BinarySearch(s.leases, id)
	return found
}

// Leases are the IDs of the leases that exist, in order, not to be changed.
func (s *State) Leases() []int64 { return s.leases }

func (s *State) applyGrant(req *pb.LeaseGrantRequest) (*State, result, string) {
	i, found := slices.BinarySearch(s.leases, req.ID)
	if found {
		return s, result{}, ErrLeaseExists
	}
	res := result{grant: &pb.LeaseGrantResponse{Header: header(s.revision), ID: req.ID,
		TTL: req.TTL}}
	return s.withLeases(slices.Insert(slices.Clone(s.leases), i, req.ID)), res, ""
}

// applyRevoke removes a lease and the keys that hold it, in order and in one revision.
func (s *State) applyRevoke(req *pb.LeaseRevokeRequest) (*State, result, string) {
	i, found := slices.BinarySearch(s.leases, req.ID)
	if !found {
		return s, result{}, ErrLeaseNotFound
	}
	w := writer{base: s}
	for _, kv := range s.kvs {
		if kv.Lease == req.ID {
			w.change(&mvccpb.KeyValue{Key: kv.Key})
		} else {
			w.kvs = append(w.kvs, kv)
		}
	}
	next := w.finish().withLeases(slices.Delete(slices.Clone(s.leases), i, i+1))
	return next, result{revoke: &pb.LeaseRevokeResponse{Header: header(next.revision)}}, ""
}

// timeToLive is what a LeaseTimeToLive may answer: whether the lease exists, and its keys. How much
// time is left is for others to judge.
type timeToLive struct {
	exists   bool
	withKeys bool
	keys     [][]byte
}

func (s *State) timeToLive(req *pb.LeaseTimeToLiveRequest) *timeToLive {
	t := &timeToLive{exists: s.hasLease(req.ID), withKeys: req.Keys}
	if !t.exists || !req.Keys {
		return t
	}
	for _, kv := range s.kvs {
		if kv.Lease == req.ID {
			t.keys = append(t.keys, kv.Key)
		}
	}
	return t
}

func (t *timeToLive) mismatch(resp *pb.LeaseTimeToLiveResponse) *difference {
	if exists := resp.TTL != -1; exists != t.exists {
		return differs("lease exists", exists, t.exists)
	}
	if !slices.EqualFunc(resp.Keys, t.keys, bytes.Equal) {
		return differs("keys of the lease", resp.Keys, t.keys)
	}
	return nil
}

func (t *timeToLive) response() *pb.LeaseTimeToLiveResponse {
	if !t.exists {
		return &pb.LeaseTimeToLiveResponse{TTL: -1}
	}
	return &pb.LeaseTimeToLiveResponse{Keys: t.keys}
}

// mismatchKeepAlive judges a renewal, which must not succeed when there is no lease. It may fail
// though there is one: its time may be over.
func mismatchKeepAlive(exists *bool, resp *pb.LeaseKeepAliveResponse) *difference {
	if resp.TTL > 0 && !*exists {
		return differs("renewed a lease that exists", true, false)
	}
	return nil
}

// changesLeases says whether r may change the state without a revision that tells where.
func (r *Request) changesLeases() bool { return r.Grant != nil || r.Revoke != nil }

// asksLeader says whether r's answer has the header of a member that did not execute it: then the
// revision in it says nothing.
func (r *Request) asksLeader() bool { return r.KeepAlive != nil || r.TimeToLive != nil }

// leased collects the keys that any Put ties to a lease. They may vanish without any request.
func leased(history []Operation) map[string]bool {
	keys := map[string]bool{}
	var look func(ops []*pb.RequestOp)
	note := func(put *pb.PutRequest) {
		if put != nil && put.Lease != 0 {
			keys[string(put.Key)] = true
		}
	}
	look = func(ops []*pb.RequestOp) {
		for _, op := range ops {
			note(op.GetRequestPut())
			look(op.GetRequestTxn().GetSuccess())
			look(op.GetRequestTxn().GetFailure())
		}
	}
	for i := range history {
		r := &history[i].Request
		note(r.Put)
		look(r.Txn.GetSuccess())
		look(r.Txn.GetFailure())
	}
	return keys
}

// leaseOf is the lease that a key holds after a put.
func leaseOf(req *pb.PutRequest, old *mvccpb.KeyValue) int64 {
	if req.IgnoreLease && old != nil {
		return old.Lease
	}
	return req.Lease
}
