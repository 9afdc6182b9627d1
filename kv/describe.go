// Describing entries, for people who read a log: what an entry asks for, as the message of etcd's
// API that stands for it. Secrets are left out.
package kv

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/raft"
)

// Description is what an entry asks for.
type Description struct {
	Kind string // what it is, in a word or two
	// User and AuthRevision are who asked, when users counted, and since when he was known.
	User         string
	AuthRevision uint64
	// Requests are the API's messages that say the same; a change of several members, or of several
	// leases, is several.
	Requests []proto.Message
}

// Describe says what an entry asks for. An error says that it is none of this program's.
func Describe(e *raft.Entry) (Description, error) {
	if method, ok := requestMethod(e.Type); ok {
		return describeRequest(e, method)
	}
	switch e.Type {
	case raft.EntryEmpty:
		return Description{Kind: "leadership"}, nil
	case raft.EntryConfig:
		return describeChange(e)
	case entryPublish:
		m, err := decodeMember(e.Data)
		return Description{Kind: "publish", Requests: []proto.Message{
			&membershippb.ClusterMemberAttrSetRequest{Member_ID: uint64(m.ID),
				MemberAttributes: &membershippb.Attributes{Name: m.Name,
					ClientUrls: m.ClientURLs}}}}, err
	case entryVersion:
		return Description{Kind: "cluster version", Requests: []proto.Message{
			&membershippb.ClusterVersionSetRequest{Ver: string(e.Data)}}}, nil
	case entryDowngraded:
		return Description{Kind: "downgraded", Requests: []proto.Message{
			&membershippb.DowngradeInfoSetRequest{Ver: string(e.Data)}}}, nil
	case entryCompact:
		return describeAs(e.Data, "auto compaction", &pb.CompactionRequest{})
	case entryLeaseExpire:
		_, ids, ok := DecodeExpiry(e)
		if !ok {
			return Description{}, fmt.Errorf("kv: entry %d is not a list of leases", e.Index)
		}
		d := Description{Kind: "lease expiry"}
		for _, id := range ids {
			d.Requests = append(d.Requests, &pb.LeaseRevokeRequest{ID: int64(id)})
		}
		return d, nil
	case entryLeaseCheckpoint:
		return describeNotes(e)
	}
	return Description{}, fmt.Errorf("kv: entry %d has unknown type %d", e.Index, e.Type)
}

func describeAs(raw []byte, kind string, m proto.Message) (Description, error) {
	return Description{Kind: kind, Requests: []proto.Message{m}}, proto.Unmarshal(raw, m)
}

func describeRequest(e *raft.Entry, method Method) (Description, error) {
	inner, who, ok := unseal(e)
	if !ok {
		return Description{}, fmt.Errorf("kv: entry %d has a malformed seal", e.Index)
	}
	m := messageOf(method)
	if m == nil {
		return Description{}, fmt.Errorf("kv: entry %d holds a request of method %d", e.Index,
			method)
	}
	d := Description{Kind: "request", User: who.User, AuthRevision: who.Revision,
		Requests: []proto.Message{m}}
	if a, login := m.(*pb.AuthenticateRequest); login {
		a.Name = who.User // the entry's content is the token
		return d, nil
	}
	if g, grant := m.(*pb.LeaseGrantRequest); grant {
		l, _, ok := decodeGrant(inner.Data)
		if !ok {
			return d, fmt.Errorf("kv: entry %d grants an impossible lease", e.Index)
		}
		g.ID, g.TTL = int64(l.ID), int64(l.TTL)
		return d, nil
	}
	err := proto.Unmarshal(inner.Data, m)
	switch secret := m.(type) {
	case *pb.AuthUserAddRequest:
		secret.Password, secret.HashedPassword = "", ""
	case *pb.AuthUserChangePasswordRequest:
		secret.Password, secret.HashedPassword = "", ""
	}
	return d, err
}

// messageOf makes an empty request of a method that can be in the log, nil for any other.
func messageOf(method Method) proto.Message {
	switch method {
	case MethodPut:
		return &pb.PutRequest{}
	case MethodDeleteRange:
		return &pb.DeleteRangeRequest{}
	case MethodTxn:
		return &pb.TxnRequest{}
	case MethodCompact:
		return &pb.CompactionRequest{}
	case MethodLeaseGrant:
		return &pb.LeaseGrantRequest{}
	case MethodLeaseRevoke:
		return &pb.LeaseRevokeRequest{}
	case MethodAlarm:
		return &pb.AlarmRequest{}
	case MethodDowngrade:
		return &pb.DowngradeRequest{}
	}
	return authMessageOf(method)
}

func authMessageOf(method Method) proto.Message {
	switch method {
	case MethodAuthEnable:
		return &pb.AuthEnableRequest{}
	case MethodAuthDisable:
		return &pb.AuthDisableRequest{}
	case MethodAuthenticate:
		return &pb.AuthenticateRequest{}
	case MethodUserAdd:
		return &pb.AuthUserAddRequest{}
	case MethodUserDelete:
		return &pb.AuthUserDeleteRequest{}
	case MethodUserChangePassword:
		return &pb.AuthUserChangePasswordRequest{}
	case MethodUserGrantRole:
		return &pb.AuthUserGrantRoleRequest{}
	case MethodUserRevokeRole:
		return &pb.AuthUserRevokeRoleRequest{}
	case MethodRoleAdd:
		return &pb.AuthRoleAddRequest{}
	case MethodRoleDelete:
		return &pb.AuthRoleDeleteRequest{}
	case MethodRoleGrantPermission:
		return &pb.AuthRoleGrantPermissionRequest{}
	case MethodRoleRevokePermission:
		return &pb.AuthRoleRevokePermissionRequest{}
	}
	return nil
}

// describeChange turns a change of the configuration into requests of the Cluster service. What
// raft changes by itself has no request.
func describeChange(e *raft.Entry) (Description, error) {
	change, err := raft.DecodeChange(e.Data)
	if err != nil {
		return Description{}, err
	}
	d := Description{Kind: "membership"}
	for i := range change.Changes {
		c := &change.Changes[i]
		m := Member{ID: c.Member}
		if len(c.Context) > 0 {
			if m, err = decodeMember(c.Context); err != nil {
				return d, err
			}
		}
		switch {
		case c.Kind == raft.RemoveMember:
			d.Requests = append(d.Requests, &pb.MemberRemoveRequest{ID: uint64(c.Member)})
		case c.Kind == raft.UpdateMember:
			d.Requests = append(d.Requests, &pb.MemberUpdateRequest{ID: uint64(c.Member),
				PeerURLs: m.PeerURLs})
		case c.Kind == raft.AddVoter && len(c.Context) == 0:
			d.Requests = append(d.Requests, &pb.MemberPromoteRequest{ID: uint64(c.Member)})
		case c.Kind == raft.AddVoter, c.Kind == raft.AddLearner:
			d.Requests = append(d.Requests, describeMember(&m))
		case c.Kind == raft.LeaveJoint:
			d.Kind = "end of a joint configuration"
		}
	}
	return d, nil
}

func describeMember(m *Member) proto.Message {
	return &pb.Member{ID: uint64(m.ID), Name: m.Name, PeerURLs: m.PeerURLs,
		ClientURLs: m.ClientURLs, IsLearner: m.Learner == LearnerOnly}
}

func describeNotes(e *raft.Entry) (Description, error) {
	if len(e.Data)%16 != 8 {
		return Description{}, fmt.Errorf("kv: entry %d is no checkpoint of leases", e.Index)
	}
	d := Description{Kind: "lease checkpoint"}
	for b := e.Data[8:]; len(b) > 0; b = b[16:] {
		d.Requests = append(d.Requests, &pb.LeaseCheckpoint{
			ID:            int64(binary.LittleEndian.Uint64(b)),
			Remaining_TTL: int64(binary.LittleEndian.Uint64(b[8:]))})
	}
	return d, nil
}
