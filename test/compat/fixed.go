package main

// Sequences written by hand, which every new pair serves first: what only a store without history
// answers, and what chance would not find.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/health/grpc_health_v1"
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

// alarmSequence raises both alarms, asks what each forbids, and disarms them.
func alarmSequence() (steps []*step) {
	alarm := func(action pb.AlarmRequest_AlarmAction, member int64, kind pb.AlarmType) *step {
		return one(pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: action,
			MemberID: uint64(symbol(symMember, member)), Alarm: kind})
	}
	puts := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte("a")}}}
	inner := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{
		RequestTxn: &pb.TxnRequest{Failure: []*pb.RequestOp{puts}}}}
	reads := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: []byte("a")}}}
	for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		steps = append(steps, put("a", 0), grant(77, 300), grant(1, 300),
			alarm(pb.AlarmRequest_ACTIVATE, 0, pb.AlarmType_NONE),
			alarm(pb.AlarmRequest_ACTIVATE, 0, kind), alarm(pb.AlarmRequest_ACTIVATE, 0, kind),
			alarm(pb.AlarmRequest_GET, 1, kind), alarm(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE),
			one(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}), put("a", 0), put("", 0),
			one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Failure: []*pb.RequestOp{puts}}),
			one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{inner}}),
			one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{reads}}),
			one(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("a")}),
			one(pb.KV_Compact_FullMethodName,
				&pb.CompactionRequest{Revision: symbol(symRevision, 0)}),
			grant(8, 300), grant(8, 9_000_000_001), renew(77), revoke(77), revoke(absent),
			addUser("alice", "x"), everything(),
			alarm(pb.AlarmRequest_DEACTIVATE, 1, kind),
			alarm(pb.AlarmRequest_DEACTIVATE, 0, pb.AlarmType_NONE),
			alarm(pb.AlarmRequest_DEACTIVATE, 0, kind), alarm(pb.AlarmRequest_DEACTIVATE, 0, kind),
			put("a", 0), revoke(1))
	}
	return steps
}

// manySequence puts more revisions than one message to a watcher holds.
func manySequence() []*step {
	var steps []*step
	const messageHolds = 1000
	for range messageHolds + 50 {
		steps = append(steps, put("a", 0))
	}
	return append(steps, create(0, &pb.WatchCreateRequest{Key: []byte("a"),
		StartRevision: symbol(symRevision, -messageHolds-40)}), put("a", 0))
}

// oddSequence asks for what is seldom asked for.
func oddSequence() []*step {
	raw := func(method string, data ...byte) *step { return &step{method: method, raw: data} }
	health := func(service string) *grpc_health_v1.HealthCheckRequest {
		return &grpc_health_v1.HealthCheckRequest{Service: service}
	}
	look := one("/grpc.health.v1.Health/Watch", health(""))
	look.blocks = true
	large := one(pb.KV_Put_FullMethodName,
		&pb.PutRequest{Key: []byte("a"), Value: sizedValue(512 << 10)})
	larger := one(pb.KV_Put_FullMethodName,
		&pb.PutRequest{Key: []byte("a"), Value: sizedValue(1)})
	hashed := changePassword("alice", "x")
	hashed.request.(*pb.AuthUserChangePasswordRequest).HashedPassword = "$2a$04$notahash"
	whole := []byte{0}
	return []*step{
		raw("/etcdserverpb.KV/Nothing"), raw("/etcdserverpb.Nothing/Put"),
		raw(pb.KV_Put_FullMethodName, 0xff), raw(pb.KV_Txn_FullMethodName, 0x0a, 0x05, 'a'),
		one("/grpc.health.v1.Health/Check", health("")),
		one("/grpc.health.v1.Health/Check", health("etcdserverpb.KV")),
		one("/grpc.health.v1.Health/List", &grpc_health_v1.HealthListRequest{}), look,
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a"), Lease: 1, IgnoreLease: true}),
		one(pb.KV_Put_FullMethodName,
			&pb.PutRequest{Key: []byte("a"), Value: []byte("v"), IgnoreValue: true}),
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a"), IgnoreValue: true}),
		large, larger, addUser("alice", "x"), hashed,
		one(pb.Maintenance_MoveLeader_FullMethodName,
			&pb.MoveLeaderRequest{TargetID: uint64(symbol(symMember, 0))}),
		one(pb.Maintenance_MoveLeader_FullMethodName, &pb.MoveLeaderRequest{TargetID: 5}),
		one(pb.Maintenance_Hash_FullMethodName, &pb.HashRequest{}),
		one(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte{0xff}}),
		put("a", 0), one(pb.KV_DeleteRange_FullMethodName,
			&pb.DeleteRangeRequest{Key: whole, RangeEnd: whole, PrevKv: true}),
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
		{"alarms", alarmSequence()},
		{"odd requests", oddSequence()},
		{"headers", metadataSequence()},
		{"users", usersSequence()},
		{"rights", rightsSequence()},
		{"many keys", fillSequence()},
	}
}
