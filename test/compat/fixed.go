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
	return []*step{
		grant(77, 300), grant(1, 300), put("b", 77), put("\xff", 77), put("a", 77), put("ab", 77),
		put("moved", 77), put("moved", 1), put("kept", 77), put("kept", 0), put("gone", 77),
		one(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("gone")}),
		hash(), revoke(77), hash(), revoke(1), hash(),
	}
}

// edgeSequence asks at the edges of keys and revisions, of all who take them.
func edgeSequence() []*step {
	var steps []*step
	for i := range 12 {
		steps = append(steps, put(string(byte('a'+i)), 0))
	}
	steps = append(steps, one(pb.KV_Compact_FullMethodName,
		&pb.CompactionRequest{Revision: symbol(symRevision, -6), Physical: true}))
	whole := []byte{0}
	for _, at := range [][2][]byte{{nil, nil}, {[]byte("a"), nil}, {[]byte{0xff}, nil},
		{[]byte("b"), []byte("b")}, {[]byte("c"), []byte("b")}, {[]byte("k"), whole},
		{whole, whole}, {nil, whole}, {[]byte("b"), []byte("d")}, {[]byte{0xff, 0xff}, whole}} {
		key, end := at[0], at[1]
		steps = append(steps,
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: key, RangeEnd: end, Limit: -1}),
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: key, RangeEnd: end, Limit: 1}),
			one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Compare: []*pb.Compare{{Key: key,
				RangeEnd: end, Result: pb.Compare_GREATER, Target: pb.Compare_VERSION}}}),
			create(0, &pb.WatchCreateRequest{Key: key, RangeEnd: end}))
	}
	for _, revision := range []int64{-1, 1, symbol(symCompact, -1), symbol(symCompact, 0),
		symbol(symCompact, 1), symbol(symRevision, 0), symbol(symRevision, 1)} {
		steps = append(steps,
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: whole, RangeEnd: whole,
				Revision: revision}),
			one(pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: whole, RangeEnd: whole,
				Revision: revision}),
			one(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{Revision: revision}),
			create(1, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: revision}))
	}
	for _, revision := range []int64{-1, symbol(symCompact, -1), symbol(symCompact, 0),
		symbol(symRevision, 1), symbol(symRevision, -1), symbol(symRevision, 0)} {
		steps = append(steps, one(pb.KV_Compact_FullMethodName,
			&pb.CompactionRequest{Revision: revision}))
	}
	for _, kind := range [][]byte{{0}, {'b'}} {
		steps = append(steps, one(pb.KV_DeleteRange_FullMethodName,
			&pb.DeleteRangeRequest{Key: []byte("c"), RangeEnd: kind}))
	}
	return append(steps, enumSteps()...)
}

// enumSteps name numbers that no enum has.
func enumSteps() []*step {
	a := []byte("a")
	compare := func(key string, result pb.Compare_CompareResult,
		target pb.Compare_CompareTarget) *step {
		return one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Compare: []*pb.Compare{{
			Key: []byte(key), Result: result, Target: target,
			TargetUnion: &pb.Compare_Version{Version: 1}}}})
	}
	return []*step{
		put("a", 0), one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: a, SortOrder: 3}),
		one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: a, SortTarget: 5}),
		one(pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: a, SortOrder: -1}),
		one(pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: a, SortTarget: -1}),
		compare("a", 4, pb.Compare_VERSION), compare("none", 4, pb.Compare_VERSION),
		compare("a", pb.Compare_EQUAL, 5), compare("a", pb.Compare_LESS, 5),
		compare("none", -1, -1), compare("a", pb.Compare_EQUAL, pb.Compare_VALUE),
	}
}

// metadataSequence says in headers what no client says.
func metadataSequence() []*step {
	byHand := func(name, value string) *step {
		s := one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("a")})
		s.kind, s.headers = handmade, map[string]string{name: value}
		return s
	}
	old := one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("a")})
	old.version = "3.4"
	return []*step{byHand("client-api-version", "\xff\xfe"), byHand("client-api-version", "odd"),
		byHand("hasleader", "maybe"), byHand("hasleader", "true"), byHand("grpc-timeout", "0n"),
		byHand("token", "nonsense"), old}
}

// fixed is a sequence with a name.
type fixed struct {
	name  string
	steps []*step
}

func fixedSequences(l limits) []fixed {
	return []fixed{
		{"a downgrade", downgradeSequence()},
		{"a store without history", virginSequence()},
		{"leases with keys", leaseSequence()},
		{"leases that end", expirySequence()},
		{"locks and elections", lockSequence()},
		{"members", memberSequence()},
		{"watchers", watchSequence()},
		{"large messages", fragmentSequence(l)},
		{"edges", edgeSequence()},
		{"headers", metadataSequence()},
		{"users", usersSequence()},
		{"rights", rightsSequence()},
		{"many keys", fillSequence()},
	}
}
