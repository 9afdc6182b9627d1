package main

// What needs time, or the right moment: a downgrade, leases that end by themselves, locks that
// somebody waits for, members of one second, watchers that are told of progress.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

var unlockNothing = &lockpb.UnlockRequest{Key: []byte("lock/nobody")}

// downgradeSequence enables one and cancels it. It has to come first: etcd lowers the version of
// the cluster within four seconds, counted from when it last looked, which was when it decided the
// version that a new pair waits for.
func downgradeSequence() (steps []*step) {
	status := func() *step { return one(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}) }
	saved := func() *step {
		return one(pb.Maintenance_Snapshot_FullMethodName, &pb.SnapshotRequest{})
	}
	for _, r := range []*pb.DowngradeRequest{
		{Action: pb.DowngradeRequest_CANCEL}, {Version: "3.6"}, {Version: "3.5"}, {Version: "x"},
		{Action: pb.DowngradeRequest_ENABLE}, {Action: 3}, {Action: -1},
		{Action: pb.DowngradeRequest_ENABLE, Version: "3.7"},
		{Action: pb.DowngradeRequest_ENABLE, Version: "3.6.0"}, nil, {Version: "3.6"},
		{Action: pb.DowngradeRequest_ENABLE, Version: "3.6"}, {Version: "3.5"},
		{Action: pb.DowngradeRequest_CANCEL, Version: "x"}, nil,
		{Action: pb.DowngradeRequest_CANCEL}, {Version: "3.6.0"},
	} {
		if r == nil {
			steps = append(steps, status(), saved())
			continue
		}
		steps = append(steps, one(pb.Maintenance_Downgrade_FullMethodName, r))
	}
	return steps
}

func grant(id, ttl int64) *step {
	return one(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
}

func revoke(id int64) *step {
	return one(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: id})
}

func renew(id int64) *step {
	s := one(pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: id})
	s.kind = keepAlive
	return s
}

func put(key string, lease int64) *step {
	return one(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte(key), Lease: lease})
}

func everything() *step {
	return one(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
}

func hash() *step { return one(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}) }

func create(stream int, c *pb.WatchCreateRequest) *step {
	return &step{kind: watch, method: pb.Watch_Watch_FullMethodName, stream: stream,
		request: &pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}}
}

func cancelWatch(stream int, id int64) *step {
	return &step{kind: watch, method: pb.Watch_Watch_FullMethodName, stream: stream,
		request: &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
			CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}}
}

// expirySequence lets a lease end whose keys are watched.
func expirySequence() []*step {
	leases := func() *step {
		s := one(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{})
		s.ordered = true
		return s
	}
	gone := one(pb.Lease_LeaseTimeToLive_FullMethodName,
		&pb.LeaseTimeToLiveRequest{ID: 1, Keys: true})
	gone.kind = expiry
	return []*step{
		grant(77, 0), revoke(77), grant(77, -5), revoke(77), grant(77, 9_000_000_000),
		grant(-77, 600), grant(7, 60), grant(8, 9_000_000_001), leases(), grant(1, 1), grant(1, 1),
		leases(), create(0, &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0},
			PrevKv: true}),
		put("b", 1), put("a", 1), put("\xff", 1), put("kept", 0), put("moved", 1),
		put("moved", 77), gone, everything(), hash(), leases(), renew(1), revoke(1), renew(7),
		renew(0), one(pb.Lease_LeaseTimeToLive_FullMethodName,
			&pb.LeaseTimeToLiveRequest{ID: 1, Keys: true}),
		one(pb.Lease_LeaseTimeToLive_FullMethodName,
			&pb.LeaseTimeToLiveRequest{ID: 77, Keys: true}),
	}
}

// started begins a step that has to wait, ended is its answer.
func started(number int, s *step) *step {
	s.kind, s.stream = begin, number
	return s
}

func ended(number int, s *step) *step {
	return &step{kind: finish, stream: number, method: s.method, request: s.request}
}

// lockSequence has somebody wait for a lock and get it, and somebody whose lease ends meanwhile;
// the same with an election.
func lockSequence() []*step {
	lock := func(lease int64) *step {
		return one("/v3lockpb.Lock/Lock", &lockpb.LockRequest{Name: []byte("lock"), Lease: lease})
	}
	unlock := func(slot int) *step {
		return one("/v3lockpb.Lock/Unlock", &lockpb.UnlockRequest{Key: ownerKey(slot)})
	}
	campaign := func(lease int64) *step {
		return one("/v3electionpb.Election/Campaign", &electionpb.CampaignRequest{
			Name: []byte("vote"), Lease: lease, Value: []byte("v")})
	}
	key := func(slot int, lease int64) *electionpb.LeaderKey {
		return &electionpb.LeaderKey{Name: []byte("vote"), Key: ownerKey(slot), Lease: lease,
			Rev: symbol(symOwner, int64(slot))}
	}
	proclaim := func(k *electionpb.LeaderKey) *step {
		return one("/v3electionpb.Election/Proclaim",
			&electionpb.ProclaimRequest{Leader: k, Value: []byte("w")})
	}
	resign := func(k *electionpb.LeaderKey) *step {
		return one("/v3electionpb.Election/Resign", &electionpb.ResignRequest{Leader: k})
	}
	leader := func() *step {
		return one(electionLeader, &electionpb.LeaderRequest{Name: []byte("vote")})
	}
	observe := one("/v3electionpb.Election/Observe",
		&electionpb.LeaderRequest{Name: []byte("vote")})
	observe.blocks = true
	second, third, rival := lock(77), lock(1), campaign(77)
	return []*step{
		lock(absent), grant(1, 300), grant(77, 300), lock(1), lock(1), started(0, second),
		unlock(0), ended(0, second), started(0, third), revoke(1), unlock(2), ended(0, third),
		everything(), grant(1, 300), leader(), proclaim(nil), resign(nil), campaign(1), leader(),
		observe, started(1, rival), proclaim(key(3, 1)), proclaim(key(0, 1)), leader(),
		resign(key(3, 1)), ended(1, rival), leader(), proclaim(key(3, 1)), resign(key(3, 1)),
		campaign(77), leader(), everything(),
	}
}

// memberSequence adds a member twice within a second of the clock: its id is made of its address
// and the second.
func memberSequence() []*step {
	member := func(slot int64) uint64 { return uint64(symbol(symMember, slot)) }
	add := func(learner bool, urls ...string) *step {
		return one(pb.Cluster_MemberAdd_FullMethodName,
			&pb.MemberAddRequest{PeerURLs: urls, IsLearner: learner})
	}
	remove := func(id uint64) *step {
		return one(pb.Cluster_MemberRemove_FullMethodName, &pb.MemberRemoveRequest{ID: id})
	}
	promote := func(id uint64) *step {
		return one(pb.Cluster_MemberPromote_FullMethodName, &pb.MemberPromoteRequest{ID: id})
	}
	update := func(id uint64, urls ...string) *step {
		return one(pb.Cluster_MemberUpdate_FullMethodName,
			&pb.MemberUpdateRequest{ID: id, PeerURLs: urls})
	}
	list := one(pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{})
	first := add(true, "http://127.0.0.1:9")
	first.kind = second
	return []*step{
		first, add(true, "http://127.0.0.1:9"), list, remove(member(1)),
		add(true, "http://127.0.0.1:9"), remove(member(1)), add(true, newPeer), list,
		add(true, "http://127.0.0.1:2380"), add(false, "http://127.0.0.1:2380"), add(true, newPeer),
		add(true), add(false, "nonsense"), promote(member(2)), promote(member(0)), promote(5),
		update(member(2), newPeer), update(member(2), "http://127.0.0.1:2380"), update(5, newPeer),
		list, remove(member(0)), remove(5), remove(member(2)), remove(member(2)), list,
	}
}

// watchSequence tells watchers of progress, by request and by the clock, and uses ids again.
func watchSequence() []*step {
	everyKey := func(id int64) *pb.WatchCreateRequest {
		return &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, WatchId: id,
			ProgressNotify: true}
	}
	told := &step{kind: notice, method: pb.Watch_Watch_FullMethodName}
	progress := &step{kind: watch, method: pb.Watch_Watch_FullMethodName,
		request: &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
			ProgressRequest: &pb.WatchProgressRequest{}}}}
	future := everyKey(9)
	future.StartRevision = symbol(symRevision, 3)
	odd := everyKey(8)
	odd.Filters = []pb.WatchCreateRequest_FilterType{2, -1, pb.WatchCreateRequest_NODELETE}
	return []*step{
		create(0, everyKey(0)), put("a", 0), told, progress, create(0, everyKey(5)),
		create(0, everyKey(5)), put("b", 0), told, cancelWatch(0, 5), cancelWatch(0, 5),
		create(0, everyKey(5)), create(0, everyKey(-5)), create(0, odd), told, put("c", 0), told,
		create(1, future), put("a", 0), put("a", 0), put("a", 0), cancelWatch(0, 0),
		create(0, everyKey(0)), put("a", 0),
	}
}

// fragmentSequence makes messages for watchers that are larger than a request may be.
func fragmentSequence(l limits) (steps []*step) {
	const transport = 512 << 10 // what etcd adds to the limit of requests
	all := func(fragment bool, start int64) *pb.WatchCreateRequest {
		return &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true,
			Fragment: fragment, StartRevision: start}
	}
	steps = append(steps, create(0, all(true, 0)), create(1, all(false, 0)))
	n := (l.request+transport)/(l.request-1000) + 2
	for i := range n {
		steps = append(steps, one(pb.KV_Put_FullMethodName,
			&pb.PutRequest{Key: []byte{'k', byte(i)}, Value: sizedValue(-1000)}))
	}
	return append(steps, create(0, all(true, symbol(symRevision, int64(1-n)))),
		create(1, all(false, symbol(symRevision, int64(1-n)))),
		one(pb.KV_DeleteRange_FullMethodName,
			&pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}))
}
