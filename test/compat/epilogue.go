package main

// What is read at the end of every sequence, so that a state that differs shows itself.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func asked(method string, request proto.Message) *step {
	return &step{method: method, request: request, as: asRoot}
}

// epilogue asks as root, who may do everything where users count. Leases of empty slots are asked
// for, too: both servers say that there is none.
func (r *run) epilogue() []*step {
	whole := []byte{0}
	steps := []*step{
		asked(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: whole, RangeEnd: whole}),
		asked(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}),
		asked(pb.Maintenance_HashKV_FullMethodName,
			&pb.HashKVRequest{Revision: symbol(symCompact, 0)}),
		asked(pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}),
		asked(pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{}),
		asked(pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{}),
		asked(pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{Linearizable: true}),
		asked(pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{}),
		asked(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}),
		asked(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{}),
	}
	for slot := range slots {
		steps = append(steps, asked(pb.Lease_LeaseTimeToLive_FullMethodName,
			&pb.LeaseTimeToLiveRequest{ID: symbol(symLease, int64(slot)), Keys: true}))
	}
	for _, name := range users {
		if name == "" {
			continue
		}
		steps = append(steps,
			asked(pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: name}),
			asked(pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: roleOf(name)}))
	}
	return steps
}
