package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// The ways around rights that etcd has had in one release or another. Each is a test of its own, so
// that none comes back unnoticed.

func putting(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func getting(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func deleting(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

// nesting is a transaction that does something somewhere inside.
type nesting struct {
	how string
	txn *pb.TxnRequest
}

// nestings hide something at any depth and in either branch, whether that is taken or not.
func nestings(inner *pb.TxnRequest) []nesting {
	all := []nesting{{"itself", inner}}
	level := all
	for range 3 {
		var next []nesting
		for _, n := range level {
			op := []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: n.txn}}}
			next = append(next, nesting{"taken, " + n.how, &pb.TxnRequest{Success: op}},
				nesting{"left, " + n.how, &pb.TxnRequest{Failure: op}})
		}
		all, level = append(all, next...), next
	}
	return all
}

func TestNestedTransactionsAreCheckedToTheBottom(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	require.Equal(t, OK, w.change(root, MethodRoleGrantPermission,
		&pb.AuthRoleGrantPermissionRequest{Name: "ra",
			Perm: permission(authpb.Permission_WRITE, "w", "x")}))
	require.Equal(t, OK, w.askAs(root, 0, MethodLeaseGrant,
		&pb.LeaseGrantRequest{ID: 7, TTL: 1000}, &pb.LeaseGrantResponse{}))
	require.Equal(t, OK, w.askAs(root, 0, MethodPut,
		&pb.PutRequest{Key: []byte("b1"), Lease: 7}, &pb.PutResponse{}))
	key := func(k string) []byte { return []byte(k) }
	txn := func(ops ...*pb.RequestOp) *pb.TxnRequest { return &pb.TxnRequest{Success: ops} }
	for what, inner := range map[string]*pb.TxnRequest{
		"put":    txn(putting(&pb.PutRequest{Key: key("b1")})),
		"get":    txn(getting(&pb.RangeRequest{Key: key("b1")})),
		"list":   txn(getting(&pb.RangeRequest{Key: key("a"), RangeEnd: key("b\x00")})),
		"delete": txn(deleting(&pb.DeleteRangeRequest{Key: key("b1")})),
		"sweep":  txn(deleting(&pb.DeleteRangeRequest{Key: key("a"), RangeEnd: []byte{0}})),
		"previous value of a put": txn(putting(&pb.PutRequest{Key: key("w"),
			PrevKv: true})),
		"previous value of a deletion": txn(deleting(&pb.DeleteRangeRequest{Key: key("w"),
			PrevKv: true})),
		"somebody else's lease": txn(putting(&pb.PutRequest{Key: key("a1"), Lease: 7})),
		"comparison":            {Compare: []*pb.Compare{{Key: key("b1")}}},
		"comparison of a range": {Compare: []*pb.Compare{{Key: key("a"), RangeEnd: key("c")}}},
		"second of two": txn(putting(&pb.PutRequest{Key: key("a1")}),
			getting(&pb.RangeRequest{Key: key("b1")})),
	} {
		for _, n := range nestings(inner) {
			require.Equal(t, ErrPermissionDenied,
				w.askAs(a, 0, MethodTxn, n.txn, &pb.TxnResponse{}), "%s: %s", what, n.how)
		}
	}
	allowed := txn(putting(&pb.PutRequest{Key: key("a1"), PrevKv: true}),
		putting(&pb.PutRequest{Key: key("w")}), getting(&pb.RangeRequest{Key: key("a1")}))
	for _, n := range nestings(allowed) {
		require.Equal(t, OK, w.askAs(a, 0, MethodTxn, n.txn, &pb.TxnResponse{}), n.how)
	}
	w.agree()
}

func TestAWatchNeedsTheRightToItsWholeInterval(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect() // a may read [a, b)
	n := w.members[0].driver.Node
	for _, tc := range []struct {
		key, end string
		want     Code
	}{
		{"a", "", OK},
		{"a", "b", OK},
		{"a1", "a9", OK},
		{"b", "", ErrPermissionDenied},
		{"", "", ErrPermissionDenied},
		{"\x00", "\x00", ErrPermissionDenied},
		{"", "\x00", ErrPermissionDenied},
		{"a", "\x00", ErrPermissionDenied}, // without end
		{"a", "b\x00", ErrPermissionDenied},
		{"0", "b", ErrPermissionDenied},
		{"0", "z", ErrPermissionDenied},
	} {
		require.Equal(t, tc.want, n.mayWatch(a, []byte(tc.key), []byte(tc.end)), "[%q, %q)",
			tc.key, tc.end)
		require.Equal(t, OK, n.mayWatch(root, []byte(tc.key), []byte(tc.end)))
		require.Equal(t, ErrUserEmpty, n.mayWatch(nil, []byte(tc.key), []byte(tc.end)))
	}
}

// Whatever is about the member or the cluster instead of keys asks who it is, every time.
func TestMaintenanceIsNotForEverybody(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	_, a := w.protect()
	for name, tc := range map[string]struct {
		method   Method
		request  proto.Message
		response proto.Message
	}{
		"alarm on":       {MethodAlarm, &pb.AlarmRequest{Action: 1, Alarm: 1}, &pb.AlarmResponse{}},
		"alarm off":      {MethodAlarm, &pb.AlarmRequest{Action: 2, Alarm: 1}, &pb.AlarmResponse{}},
		"snapshot":       {MethodSnapshot, &pb.SnapshotRequest{}, &pb.SnapshotResponse{}},
		"downgrade":      {MethodDowngrade, &pb.DowngradeRequest{}, &pb.DowngradeResponse{}},
		"defragment":     {MethodDefragment, &pb.DefragmentRequest{}, &pb.DefragmentResponse{}},
		"hash":           {MethodHash, &pb.HashRequest{}, &pb.HashResponse{}},
		"hash of keys":   {MethodHashKV, &pb.HashKVRequest{}, &pb.HashKVResponse{}},
		"move of leader": {MethodMoveLeader, &pb.MoveLeaderRequest{}, &pb.MoveLeaderResponse{}},
		"compaction":     {MethodCompact, &pb.CompactionRequest{}, &pb.CompactionResponse{}},
		"addition": {MethodMemberAdd, &pb.MemberAddRequest{PeerURLs: []string{"http://x:1"}},
			&pb.MemberAddResponse{}},
		"removal": {MethodMemberRemove, &pb.MemberRemoveRequest{ID: 1}, &pb.MemberRemoveResponse{}},
		"change": {MethodMemberUpdate, &pb.MemberUpdateRequest{ID: 1,
			PeerURLs: []string{"http://x:1"}}, &pb.MemberUpdateResponse{}},
		"promotion": {MethodMemberPromote, &pb.MemberPromoteRequest{ID: 1},
			&pb.MemberPromoteResponse{}},
	} {
		require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, tc.method, tc.request, tc.response), name)
		require.Equal(t, ErrInvalidToken, w.askAs(&Identity{Token: "x"}, 0, tc.method, tc.request,
			tc.response), name)
		require.Equal(t, ErrPermissionDenied, w.askAs(a, 0, tc.method, tc.request, tc.response),
			name)
	}
	for name, tc := range map[string]struct {
		method   Method
		request  proto.Message
		response proto.Message
	}{
		"alarms":  {MethodAlarm, &pb.AlarmRequest{}, &pb.AlarmResponse{}},
		"status":  {MethodStatus, &pb.StatusRequest{}, &pb.StatusResponse{}},
		"members": {MethodMemberList, &pb.MemberListRequest{}, &pb.MemberListResponse{}},
	} {
		require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, tc.method, tc.request, tc.response), name)
		require.Equal(t, OK, w.askAs(a, 0, tc.method, tc.request, tc.response), name)
	}
	w.agree()
}

// How long a lease lives anybody may know who is somebody; which keys it holds, only who may read
// them.
func TestTheKeysOfALeaseNeedTheRightToRead(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	require.Equal(t, OK, w.askAs(root, 0, MethodLeaseGrant,
		&pb.LeaseGrantRequest{ID: 7, TTL: 1000}, &pb.LeaseGrantResponse{}))
	require.Equal(t, OK, w.askAs(root, 0, MethodPut,
		&pb.PutRequest{Key: []byte("secret"), Lease: 7}, &pb.PutResponse{}))
	var got pb.LeaseTimeToLiveResponse
	ask := func(who *Identity, keys bool) Code {
		got.Reset()
		return w.askAs(who, 0, MethodLeaseTimeToLive,
			&pb.LeaseTimeToLiveRequest{ID: 7, Keys: keys}, &got)
	}
	require.Equal(t, ErrPermissionDenied, ask(a, true))
	require.Empty(t, got.Keys)
	require.Equal(t, ErrUserEmpty, ask(nil, true))
	require.Equal(t, ErrUserEmpty, ask(nil, false))
	require.Equal(t, OK, ask(root, true))
	require.Len(t, got.Keys, 1)
}

// A certificate's name is a user like any other: one that nobody has made has no rights, and none
// at all is nobody.
func TestACertifiedNameHasItsUsersRights(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.protect()
	require.Equal(t, OK, w.putAs(&Identity{User: "a"}, 0, "a1"))
	require.Equal(t, ErrPermissionDenied, w.putAs(&Identity{User: "a"}, 0, "b1"))
	require.Equal(t, ErrPermissionDenied, w.putAs(&Identity{User: "nobody"}, 0, "a1"))
	require.Equal(t, ErrUserEmpty, w.putAs(&Identity{User: ""}, 0, "a1"))
	require.Equal(t, OK, w.getAs(&Identity{User: "a"}, 0, "a", "b"))
	require.Equal(t, ErrPermissionDenied, w.getAs(&Identity{User: "nobody"}, 0, "a1", ""))
	w.agree()
}
