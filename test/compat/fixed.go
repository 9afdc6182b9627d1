package main

// Sequences written by hand, which every new pair serves first: what only a store without history
// answers, and what chance would not find.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func virginSequence() []*step {
	whole := []byte{0}
	compact := func(revision int64) *step {
		return &step{method: pb.KV_Compact_FullMethodName,
			request: &pb.CompactionRequest{Revision: revision, Physical: true}}
	}
	hash := func(revision int64) *step {
		return &step{method: pb.Maintenance_HashKV_FullMethodName,
			request: &pb.HashKVRequest{Revision: revision}}
	}
	list := func(revision int64) *step {
		return &step{method: pb.KV_Range_FullMethodName,
			request: &pb.RangeRequest{Key: whole, RangeEnd: whole, Revision: revision}}
	}
	put := func(key, value string) *step {
		return &step{method: pb.KV_Put_FullMethodName,
			request: &pb.PutRequest{Key: []byte(key), Value: []byte(value), PrevKv: true}}
	}
	remove := func(key string) *step {
		return &step{method: pb.KV_DeleteRange_FullMethodName,
			request: &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true}}
	}
	return []*step{
		list(0), list(1), list(2), list(-1), hash(0), hash(1), hash(2), hash(-1), remove("a"),
		compact(-1), compact(2), compact(1), compact(0), compact(1), hash(0),
		put("a", "1"), put("a", "2"), put("b", "1"), remove("a"), put("a", "3"),
		hash(0), hash(2), hash(3), hash(4), compact(3), hash(0), hash(3), hash(4), compact(5),
		hash(0), hash(3), hash(4), hash(5), list(4), list(5), list(6),
	}
}

// fillSequence makes more revisions than fit into one response of a watcher that catches up.
func fillSequence() []*step {
	var steps []*step
	for i := range 60 {
		txn := &pb.TxnRequest{}
		for j := range smallLimits.txnOps {
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: []byte{'k', byte('0' + i), byte('0' + j)},
					Value: []byte("v")}}})
		}
		steps = append(steps, &step{method: pb.KV_Txn_FullMethodName, request: txn})
	}
	whole := []byte{0}
	return append(steps,
		&step{kind: watch, method: pb.Watch_Watch_FullMethodName, request: &pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
				Key: whole, RangeEnd: whole, StartRevision: symbol(symRevision, -50)}}}},
		&step{method: pb.KV_RangeStream_FullMethodName,
			request: &pb.RangeRequest{Key: whole, RangeEnd: whole}},
		&step{method: pb.KV_RangeStream_FullMethodName,
			request: &pb.RangeRequest{Key: whole, RangeEnd: whole, Limit: 100}},
		&step{method: pb.Maintenance_Snapshot_FullMethodName, request: &pb.SnapshotRequest{}},
	)
}

// leaseSequence revokes a lease with several keys, put out of order, one deleted, one moved: the
// tombstones' order is in the hash.
func leaseSequence() []*step {
	grant := func(id int64) *step {
		return &step{method: pb.Lease_LeaseGrant_FullMethodName,
			request: &pb.LeaseGrantRequest{ID: id, TTL: 300}}
	}
	put := func(key string, lease int64) *step {
		return &step{method: pb.KV_Put_FullMethodName,
			request: &pb.PutRequest{Key: []byte(key), Lease: lease}}
	}
	revoke := func(id int64) *step {
		return &step{method: pb.Lease_LeaseRevoke_FullMethodName,
			request: &pb.LeaseRevokeRequest{ID: id}}
	}
	hash := &step{method: pb.Maintenance_HashKV_FullMethodName, request: &pb.HashKVRequest{}}
	return []*step{
		grant(77), grant(1), put("b", 77), put("\xff", 77), put("a", 77), put("ab", 77),
		put("moved", 77), put("moved", 1), put("kept", 77), put("kept", 0), put("gone", 77),
		{method: pb.KV_DeleteRange_FullMethodName,
			request: &pb.DeleteRangeRequest{Key: []byte("gone")}},
		hash, revoke(77), hash, revoke(1), hash,
	}
}

func fixedSequences() [][]*step {
	return [][]*step{virginSequence(), leaseSequence(), fillSequence()}
}
