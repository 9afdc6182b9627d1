package main

// The generator: a sequence is drawn as data before anything runs. Each sequence has a leaning, so
// that some consist of watches and writes, some of users and rights, and most of everything.

import (
	"bytes"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

func maintenanceSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{3, func(d draw) []*step {
			return stepOf(pb.Maintenance_HashKV_FullMethodName,
				&pb.HashKVRequest{Revision: d.revision()})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Maintenance_Hash_FullMethodName, &pb.HashRequest{})
		}},
		{2, func(d draw) []*step {
			return stepOf(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Maintenance_Defragment_FullMethodName, &pb.DefragmentRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Maintenance_MoveLeader_FullMethodName, &pb.MoveLeaderRequest{
				TargetID: uint64(symbol(symMember, int64(d.below(slots))))})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Maintenance_Snapshot_FullMethodName, &pb.SnapshotRequest{})
		}},
		{3, func(d draw) []*step { return stepOf(pb.Maintenance_Alarm_FullMethodName, d.alarm()) }},
		{2, func(d draw) []*step {
			return stepOf(pb.Maintenance_Downgrade_FullMethodName, d.downgrade())
		}},
		{2, func(d draw) []*step {
			return stepOf("/grpc.health.v1.Health/Check",
				&grpc_health_v1.HealthCheckRequest{Service: pick(d, "", "etcdserverpb.KV")})
		}},
		{1, func(d draw) []*step {
			return stepOf("/grpc.health.v1.Health/List", &grpc_health_v1.HealthListRequest{})
		}},
		{1, func(d draw) []*step {
			s := stepOf("/grpc.health.v1.Health/Watch",
				&grpc_health_v1.HealthCheckRequest{Service: pick(d, "", "etcdserverpb.KV")})
			s[0].blocks = true
			return s
		}},
		{1, func(d draw) []*step { return d.unknownMethod() }},
		{1, func(d draw) []*step { return d.garbage() }},
	}
}

// alarm leaves out what ends etcd's process: unknown actions, raising unknown alarms.
func (d draw) alarm() *pb.AlarmRequest {
	a := &pb.AlarmRequest{
		Action: pick(d, pb.AlarmRequest_GET, pb.AlarmRequest_DEACTIVATE, pb.AlarmRequest_ACTIVATE),
		Alarm:  pick(d, pb.AlarmType_NOSPACE, pb.AlarmType_NONE, pb.AlarmType_CORRUPT),
	}
	if d.percent(70) {
		a.MemberID = uint64(symbol(symMember, int64(d.below(2))))
	}
	return a
}

// downgrade leaves out what would succeed and change the cluster's version behind the scenes.
func (d draw) downgrade() *pb.DowngradeRequest {
	r := &pb.DowngradeRequest{
		Action: pick(d, pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_CANCEL,
			pb.DowngradeRequest_ENABLE),
		Version: pick(d, "3.6", "3.6.0", "3.5", "3.7", "3.7.0", "4.0", "", "nonsense", "3.6.9"),
	}
	if r.Action == pb.DowngradeRequest_ENABLE && len(r.Version) > 2 && r.Version[:3] == "3.6" {
		r.Action = pb.DowngradeRequest_VALIDATE
	}
	if d.percent(5) {
		r.Action = pick[pb.DowngradeRequest_DowngradeAction](d, 3, -1)
	}
	return r
}

func (d draw) unknownMethod() []*step {
	return []*step{{method: pick(d, "/etcdserverpb.KV/Nothing", "/etcdserverpb.Nothing/Put"),
		raw: []byte{}}}
}

// garbage is what no encoder produces.
func (d draw) garbage() []*step {
	return []*step{{
		method: pick(d, pb.KV_Put_FullMethodName, pb.KV_Range_FullMethodName,
			pb.KV_Txn_FullMethodName, pb.KV_Compact_FullMethodName, pb.KV_DeleteRange_FullMethodName,
			pb.Lease_LeaseRevoke_FullMethodName, pb.Auth_UserAdd_FullMethodName),
		raw: pick(d, []byte{0xff}, []byte{0x0a, 0x05, 'a'}, []byte{0x0a, 0x02, 0xff, 0xfe},
			[]byte{0x08}, []byte{0x00}),
	}}
}

func memberSteps() []weighted[[]*step] {
	urls := [][]string{{newPeer}, {newPeer}, nil, {""}, {"nonsense"},
		{"http://127.0.0.1:2380"}, {"ftp://127.0.0.1:3"}, {"http://127.0.0.1"},
		{"http://127.0.0.1:4/path"}, {newPeer, "http://127.0.0.1:6"}}
	member := func(d draw) uint64 { return uint64(symbol(symMember, int64(d.below(slots)))) }
	return []weighted[[]*step]{
		{2, func(d draw) []*step {
			return stepOf(pb.Cluster_MemberList_FullMethodName,
				&pb.MemberListRequest{Linearizable: d.percent(50)})
		}},
		{3, func(d draw) []*step {
			// A second voter that is not there would end the majority: only learners are added, and
			// voters only with addresses that are refused.
			request := &pb.MemberAddRequest{PeerURLs: pick(d, urls...), IsLearner: true}
			if d.percent(30) {
				request.PeerURLs, request.IsLearner = pick(d, urls[3:9]...), false
			}
			return stepOf(pb.Cluster_MemberAdd_FullMethodName, request)
		}},
		{2, func(d draw) []*step {
			return stepOf(pb.Cluster_MemberRemove_FullMethodName,
				&pb.MemberRemoveRequest{ID: member(d)})
		}},
		{1, func(d draw) []*step {
			// The address of the member itself stays, so that ids and lists stay the same.
			id := uint64(symbol(symMember, int64(1+d.below(slots-1))))
			return stepOf(pb.Cluster_MemberUpdate_FullMethodName,
				&pb.MemberUpdateRequest{ID: id, PeerURLs: pick(d, urls[0], urls[1], urls[5])})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Cluster_MemberPromote_FullMethodName,
				&pb.MemberPromoteRequest{ID: member(d)})
		}},
	}
}

// concurrencySteps lock and campaign. A caller that has to wait gives up soon.
func concurrencySteps() []weighted[[]*step] {
	leader := func(d draw) *electionpb.LeaderKey {
		if d.percent(5) {
			return nil
		}
		slot := d.below(slots)
		return &electionpb.LeaderKey{Name: []byte("vote"), Key: ownerKey(slot),
			Rev: symbol(symOwner, int64(slot)), Lease: d.lease(100)}
	}
	blocking := func(s []*step) []*step {
		s[0].blocks = true
		return s
	}
	return []weighted[[]*step]{
		{2, func(d draw) []*step {
			return blocking(stepOf("/v3lockpb.Lock/Lock",
				&lockpb.LockRequest{Name: []byte("lock"), Lease: d.lease(98)}))
		}},
		{2, func(d draw) []*step {
			return stepOf("/v3lockpb.Lock/Unlock", &lockpb.UnlockRequest{Key: ownerKey(d.below(slots))})
		}},
		{2, func(d draw) []*step {
			return blocking(stepOf("/v3electionpb.Election/Campaign",
				&electionpb.CampaignRequest{Name: []byte("vote"), Lease: d.lease(98), Value: d.value()}))
		}},
		{1, func(d draw) []*step {
			return stepOf("/v3electionpb.Election/Proclaim",
				&electionpb.ProclaimRequest{Leader: leader(d), Value: d.value()})
		}},
		{1, func(d draw) []*step {
			return stepOf(electionLeader, &electionpb.LeaderRequest{Name: []byte("vote")})
		}},
		{1, func(d draw) []*step {
			return blocking(stepOf("/v3electionpb.Election/Observe",
				&electionpb.LeaderRequest{Name: []byte("vote")}))
		}},
		{1, func(d draw) []*step {
			return stepOf("/v3electionpb.Election/Resign",
				&electionpb.ResignRequest{Leader: leader(d)})
		}},
	}
}

// leaning is what the steps of a sequence are drawn from, and who sends them.
type leaning struct {
	steps []weighted[[]*step]
	as    bool // mostly somebody, so that rights matter
}

func scale(factor int, steps []weighted[[]*step]) []weighted[[]*step] {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].weight *= factor
	}
	return steps
}

func leanings() []leaning {
	rest := slices.Concat(leaseSteps(), maintenanceSteps(), memberSteps(), concurrencySteps())
	return []leaning{
		{steps: slices.Concat(scale(2, kvSteps()), rest)},
		{steps: kvSteps()},
		{steps: slices.Concat(scale(2, kvSteps()), scale(3, watchSteps()), leaseSteps())},
		{steps: slices.Concat(kvSteps(), scale(3, leaseSteps()), scale(2, concurrencySteps()))},
		{steps: slices.Concat(kvSteps(), scale(2, authSteps()), rest, watchSteps()), as: true},
		{steps: slices.Concat(kvSteps(), scale(3, maintenanceSteps()), scale(3, memberSteps()))},
	}
}

// straighten ends every inverted interval where it begins. Whether somebody has a right to an
// inverted one depends in etcd on how deep his rights lie in a tree.
func straighten(m proto.Message) {
	if m == nil {
		return
	}
	flip := func(m proto.Message) {
		r := m.ProtoReflect()
		from := r.Descriptor().Fields().ByName("key")
		to := r.Descriptor().Fields().ByName("range_end")
		if from == nil || to == nil {
			return
		}
		key, end := r.Get(from).Bytes(), r.Get(to).Bytes()
		if len(end) > 0 && !bytes.Equal(end, []byte{0}) && bytes.Compare(key, end) > 0 {
			r.Set(to, protoreflect.ValueOfBytes(key))
		}
	}
	flip(m)
	walkMessages(m.ProtoReflect(), func(f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				flip(v.List().Get(i).Message().Interface())
			}
		default:
			flip(v.Message().Interface())
		}
	})
}

// drawSequence draws the steps. Its first step may make users count.
func drawSequence(t *rapid.T) []*step {
	all := leanings()
	l := all[rapid.Custom(func(t *rapid.T) int { return draw{t}.below(len(all)) }).Draw(t, "leaning")]
	var steps []*step
	if l.as {
		steps = rapid.Custom(func(t *rapid.T) []*step {
			return draw{t}.arrangement()
		}).Draw(t, "arrangement")
	}
	one := rapid.Custom(func(t *rapid.T) []*step {
		d := draw{t}
		drawn := pickWeighted(d, l.steps)
		for _, s := range drawn {
			s.leader = s.leader || d.percent(3)
			if d.percent(3) {
				s.version = pick(d, "3.7", "3.4", "odd")
			}
			if l.as {
				straighten(s.request)
				s.token = pick(d, inToken, inToken, inToken, inAuthorization, asBearer)
			}
			if l.as && len(drawn) == 1 && d.percent(85) {
				s.as = pick(d, asRoot, asAlice, asAlice, asBob, asBob, asRoot, wrongToken, asAlice)
			}
		}
		return drawn
	})
	t.Repeat(map[string]func(*rapid.T){
		"step": func(t *rapid.T) { steps = append(steps, one.Draw(t, "step")...) },
	})
	return steps
}
