package main

// Users, roles and rights, row by row: every refusal before users count, the same and more while
// they do, and every method asked by nobody, with a token that is none, by a user and by root.

import (
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// one is a single step.
func one(method string, request proto.Message) *step {
	return &step{method: method, request: request}
}

func (s *step) by(as identity) *step {
	s.as = as
	return s
}

func enableAuth() *step { return one(pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}) }

func addUser(name, password string) *step {
	return one(pb.Auth_UserAdd_FullMethodName,
		&pb.AuthUserAddRequest{Name: name, Password: password})
}

func addRole(name string) *step {
	return one(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: name})
}

func grantRole(user, role string) *step {
	return one(pb.Auth_UserGrantRole_FullMethodName,
		&pb.AuthUserGrantRoleRequest{User: user, Role: role})
}

func grantPermission(role string, p *authpb.Permission) *step {
	return one(pb.Auth_RoleGrantPermission_FullMethodName,
		&pb.AuthRoleGrantPermissionRequest{Name: role, Perm: p})
}

func login(user, password string) *step {
	return one(pb.Auth_Authenticate_FullMethodName,
		&pb.AuthenticateRequest{Name: user, Password: password})
}

func changePassword(user, password string) *step {
	return one(pb.Auth_UserChangePassword_FullMethodName,
		&pb.AuthUserChangePasswordRequest{Name: user, Password: password})
}

// usersSequence meets every refusal of the service for users.
func usersSequence() []*step {
	long := func(n int) string { return strings.Repeat("p", n) }
	withHash := addUser("hashed", "x")
	withHash.request.(*pb.AuthUserAddRequest).HashedPassword = "$2a$04$notahash"
	without := addUser("bob", "")
	without.request.(*pb.AuthUserAddRequest).Options = &authpb.UserAddOptions{NoPassword: true}
	revoke := func(user, role string) *step {
		return one(pb.Auth_UserRevokeRole_FullMethodName,
			&pb.AuthUserRevokeRoleRequest{Name: user, Role: role})
	}
	remove := func(name string) *step {
		return one(pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: name})
	}
	user := func(name string) *step {
		return one(pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: name})
	}
	removeRole := func(name string) *step {
		return one(pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: name})
	}
	role := func(name string) *step {
		return one(pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: name})
	}
	steps := []*step{
		one(pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}),
		one(pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{}),
		enableAuth(), login("root", "x"), addUser("root", password("root")), enableAuth(),
		addUser("", "x"), addUser("", ""), addUser("root", "again"), addUser("long", long(72)),
		addUser("longer", long(73)), withHash, without, addUser("empty", ""),
		addUser("alice", "another"), changePassword("alice", long(73)),
		changePassword("nobody", "x"), changePassword("", "x"), changePassword("bob", "x"),
		changePassword("alice", password("alice")), addRole(""), addRole("r"), addRole("r"),
		role("r"), role(""), role("none"), role("root"), grantRole("none", "r"), grantRole("", ""),
		grantRole("alice", "none"), grantRole("alice", "r"), grantRole("alice", "r"),
		revoke("none", "r"), revoke("alice", "none"), revoke("bob", "r"), user("none"), user(""),
		user("alice"), remove("none"), remove(""), removeRole("none"), removeRole(""),
		grantRole("root", "root"), role("root"),
	}
	steps = append(steps, permissionSteps()...)
	steps = append(steps, enableAuth(), enableAuth(), login("bob", "x"), login("bob", ""),
		login("alice", "wrong"), login("alice", ""), login("none", "x"), login("", ""),
		login("empty", ""), login("empty", "x"), login("long", long(72)), login("long", long(73)),
		login("hashed", "x"))
	for _, s := range []*step{remove("root"), revoke("root", "root"), removeRole("root"),
		addUser("root", "x"), addUser("", "x"), grantPermission("none", nil), user(""), role("")} {
		steps = append(steps, s.by(asRoot))
	}
	steps = append(steps, user("").by(asAlice), user("alice").by(asAlice), user("root").by(asAlice),
		user(""), role("r").by(asAlice), role("root").by(asAlice), role("none").by(asAlice),
		role("r"), user("alice"), remove("long").by(asRoot), removeRole("r").by(asRoot),
		user("alice").by(asRoot), revoke("alice", "r").by(asRoot))
	return steps
}

// permissionSteps grant role r what can be granted and what cannot.
func permissionSteps() (steps []*step) {
	for _, p := range []*authpb.Permission{
		nil, {}, {Key: []byte("a")}, {Key: []byte("a"), PermType: authpb.READWRITE},
		{Key: []byte("b"), RangeEnd: []byte("c")}, {Key: []byte("d"), RangeEnd: []byte("d")},
		{Key: []byte("e"), RangeEnd: []byte("a")}, {Key: []byte("w"), RangeEnd: []byte{0}},
		{Key: []byte{0}, RangeEnd: []byte{0}}, {RangeEnd: []byte{0}}, {Key: []byte{0xff}},
		{Key: []byte{0xff, 0xff}, RangeEnd: []byte{0}}, {Key: []byte("f"), PermType: 99},
	} {
		steps = append(steps, grantPermission("r", p))
	}
	steps = append(steps, grantPermission("none", &authpb.Permission{Key: []byte("a")}),
		grantPermission("", nil))
	for _, at := range [][2][]byte{{[]byte("a"), nil}, {[]byte("a"), nil}, {[]byte("b"), nil},
		{[]byte("b"), []byte("c")}, {[]byte{0}, []byte{0}}, {nil, nil}} {
		steps = append(steps, one(pb.Auth_RoleRevokePermission_FullMethodName,
			&pb.AuthRoleRevokePermissionRequest{Role: "r", Key: at[0], RangeEnd: at[1]}))
	}
	return append(steps, one(pb.Auth_RoleRevokePermission_FullMethodName,
		&pb.AuthRoleRevokePermissionRequest{Role: "none", Key: []byte("a")}))
}

// rightsSequence has everybody ask for everything while users count. Alice may read and write what
// begins with a or b.
func rightsSequence() []*step {
	steps := []*step{
		addUser("root", password("root")), grantRole("root", "root"),
		addUser("alice", password("alice")), addRole("r"), grantRole("alice", "r"),
		grantPermission("r", &authpb.Permission{Key: []byte("a"), RangeEnd: []byte("c"),
			PermType: authpb.READWRITE}),
		one(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 1, TTL: 300}),
		one(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 77, TTL: 300}),
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a"), Lease: 1}),
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("z"), Lease: 77}), enableAuth(),
	}
	for _, as := range []identity{nobody, wrongToken, asAlice, asBob, asRoot} {
		for _, s := range askedByAll() {
			steps = append(steps, s.by(as))
		}
	}
	for key := range numTokenKeys {
		s := one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}).by(asAlice)
		s.token = key
		w := one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}).by(wrongToken)
		w.token = key
		steps = append(steps, s, w)
	}
	return append(steps, watcherRights()...)
}

// watcherRights has streams of everybody create watchers, the last one with a token that is older
// than the newest change of rights.
func watcherRights() (steps []*step) {
	create := func(stream int, as identity, key string) *step {
		return &step{kind: watch, method: pb.Watch_Watch_FullMethodName, stream: stream, as: as,
			request: &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
				CreateRequest: &pb.WatchCreateRequest{Key: []byte(key)}}}}
	}
	for stream, as := range []identity{nobody, wrongToken, asAlice, asRoot} {
		steps = append(steps, create(stream, as, "a"), create(stream, as, "z"))
	}
	return append(steps, addRole("another").by(asRoot), create(2, asAlice, "a"),
		create(3, asRoot, "a"),
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}).by(asAlice),
		one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}).by(asAlice),
		one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("a")}).by(asAlice))
}

// askedByAll are requests of every kind of right. None of them changes users.
func askedByAll() []*step {
	a, z, whole := []byte("a"), []byte("z"), []byte{0}
	put := func(key []byte, lease int64, prev bool) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
			Key: key, Lease: lease, PrevKv: prev}}}
	}
	get := func(key []byte) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: key}}}
	}
	keep := one(pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: 77})
	keep.kind = keepAlive
	steps := []*step{keep,
		one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{put(a, 0, true)},
			Failure: []*pb.RequestOp{get(z)}}),
		one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Compare: []*pb.Compare{{Key: z}}}),
		one(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{get(a)}}),
		one(pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: symbol(symRevision, 5)}),
		one(pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{}),
		one(pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{}),
		one(pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{Linearizable: true}),
		one(pb.Cluster_MemberAdd_FullMethodName, &pb.MemberAddRequest{PeerURLs: []string{"x"}}),
		one(pb.Cluster_MemberRemove_FullMethodName, &pb.MemberRemoveRequest{ID: 5}),
		one(pb.Cluster_MemberPromote_FullMethodName, &pb.MemberPromoteRequest{ID: 5}),
		one(pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{}),
		one(pb.Maintenance_Alarm_FullMethodName,
			&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}),
		one(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}),
		one(pb.Maintenance_Defragment_FullMethodName, &pb.DefragmentRequest{}),
		one(pb.Maintenance_Hash_FullMethodName, &pb.HashRequest{}),
		one(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}),
		one(pb.Maintenance_Snapshot_FullMethodName, &pb.SnapshotRequest{}),
		one(pb.Maintenance_MoveLeader_FullMethodName, &pb.MoveLeaderRequest{TargetID: 5}),
		one(pb.Maintenance_Downgrade_FullMethodName, &pb.DowngradeRequest{Version: "nonsense"}),
		one(pb.Maintenance_Downgrade_FullMethodName, &pb.DowngradeRequest{Action: 3}),
		one(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{}),
		one(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: absent}),
		one(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{TTL: 9_000_000_001}),
		one("/v3lockpb.Lock/Unlock", proto.Clone(unlockNothing)),
	}
	for _, key := range [][]byte{a, z} {
		steps = append(steps,
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: key}),
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: key, RangeEnd: key}),
			one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: key, RangeEnd: whole}),
			one(pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: key}),
			one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: key, PrevKv: true}),
			one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: a, Lease: 77}),
			one(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: key, RangeEnd: key}),
			one(pb.KV_DeleteRange_FullMethodName,
				&pb.DeleteRangeRequest{Key: key, RangeEnd: prefixEnd(key), PrevKv: true}))
	}
	for _, id := range []int64{1, 77, absent} {
		steps = append(steps,
			one(pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: id}),
			one(pb.Lease_LeaseTimeToLive_FullMethodName,
				&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}))
	}
	return steps
}
