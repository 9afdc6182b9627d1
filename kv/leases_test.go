package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

func (w *world) grant(i int, id, ttl int64) *pb.LeaseGrantResponse {
	w.t.Helper()
	var res pb.LeaseGrantResponse
	require.Equal(w.t, OK, w.ask(i, MethodLeaseGrant, &pb.LeaseGrantRequest{ID: id, TTL: ttl}, &res))
	return &res
}

func (w *world) putLeased(i int, key string, id int64) Code {
	w.t.Helper()
	var res pb.PutResponse
	return w.ask(i, MethodPut, &pb.PutRequest{Key: []byte(key), Lease: id}, &res)
}

func (w *world) keepAlive(i int, id int64) int64 {
	w.t.Helper()
	var res pb.LeaseKeepAliveResponse
	require.Equal(w.t, OK, w.ask(i, MethodLeaseKeepAlive, &pb.LeaseKeepAliveRequest{ID: id}, &res))
	require.Equal(w.t, id, res.ID)
	require.EqualValues(w.t, w.cfgs[i].Member, res.Header.MemberId)
	return res.TTL
}

func (w *world) timeToLive(i int, id int64) *pb.LeaseTimeToLiveResponse {
	w.t.Helper()
	var res pb.LeaseTimeToLiveResponse
	require.Equal(w.t, OK, w.ask(i, MethodLeaseTimeToLive,
		&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}, &res))
	require.EqualValues(w.t, w.cfgs[i].Member, res.Header.MemberId)
	return &res
}

func (w *world) leases(i int) (ids []int64) {
	w.t.Helper()
	var res pb.LeaseLeasesResponse
	require.Equal(w.t, OK, w.ask(i, MethodLeaseLeases, &pb.LeaseLeasesRequest{}, &res))
	for _, l := range res.Leases {
		ids = append(ids, l.ID)
	}
	return ids
}

func (w *world) count(i int) int64 {
	w.t.Helper()
	var res pb.RangeResponse
	require.Equal(w.t, OK, w.ask(i, MethodRange, &pb.RangeRequest{Key: []byte{0},
		RangeEnd: []byte{0}, CountOnly: true}, &res))
	return res.Count
}

// seconds lets time pass; a tick is 0.1 s.
func (w *world) seconds(n int) { w.run(10 * n) }

func TestALeaseLivesAndEnds(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	other := (lead + 1) % 3
	w.run(10)
	res := w.grant(other, 0, 5)
	require.Positive(t, res.ID)
	require.EqualValues(t, 5, res.TTL)
	require.EqualValues(t, 1, res.Header.Revision)
	require.Equal(t, OK, w.putLeased(other, "b", res.ID))
	require.Equal(t, OK, w.putLeased(lead, "a", res.ID))
	w.put(lead, "free", "1")
	got := w.timeToLive(other, res.ID)
	require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, got.Keys)
	require.EqualValues(t, 5, got.GrantedTTL)
	require.LessOrEqual(t, got.TTL, int64(5))
	w.seconds(3)
	require.EqualValues(t, 5, w.keepAlive(other, res.ID))
	w.seconds(4)
	require.EqualValues(t, 3, w.count(lead), "it was renewed")
	w.seconds(2)
	require.EqualValues(t, 1, w.count(lead))
	require.EqualValues(t, 0, w.keepAlive(other, res.ID))
	require.EqualValues(t, -1, w.timeToLive(lead, res.ID).TTL)
	require.Equal(t, ErrLeaseNotFound, w.putLeased(lead, "c", res.ID))
	require.EqualValues(t, 5, w.get(lead, "x").Header.Revision, "two keys end in one revision")
	require.Equal(t, LeaseCounts{Granted: 1, Renewed: 1, Ended: 1, Expired: 1},
		w.members[lead].driver.Node.State().Leases)
	w.agree()
}

func TestGrantsAnswerAsEtcdDoes(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	require.EqualValues(t, 2, w.grant(0, 7, 0).TTL, "1.5 election timeouts, in whole seconds")
	require.EqualValues(t, 2, w.grant(0, -7, -5).TTL)
	require.EqualValues(t, lease.MaxTTL, w.grant(0, 8, int64(lease.MaxTTL)).TTL)
	var res pb.LeaseGrantResponse
	require.Equal(t, ErrLeaseExists, w.ask(0, MethodLeaseGrant,
		&pb.LeaseGrantRequest{ID: 7, TTL: 5}, &res))
	require.Equal(t, ErrLeaseTTLTooLarge, w.ask(0, MethodLeaseGrant,
		&pb.LeaseGrantRequest{TTL: int64(lease.MaxTTL) + 1}, &res))
	w.grant(0, 9, 60)
	require.Equal(t, []int64{7, -7, 9, 8}, w.leases(0), "soonest end first")
	var revoked pb.LeaseRevokeResponse
	require.Equal(t, OK, w.ask(0, MethodLeaseRevoke, &pb.LeaseRevokeRequest{ID: 9}, &revoked))
	require.EqualValues(t, 1, revoked.Header.Revision, "no key, no revision")
	require.Equal(t, ErrLeaseNotFound, w.ask(0, MethodLeaseRevoke,
		&pb.LeaseRevokeRequest{ID: 9}, &revoked))
	require.Equal(t, OK, w.putLeased(0, "a", 8))
	w.put(0, "a", "detached")
	require.Empty(t, w.timeToLive(0, 8).Keys)
	require.Equal(t, OK, w.ask(0, MethodLeaseRevoke, &pb.LeaseRevokeRequest{ID: 8}, &revoked))
	require.EqualValues(t, 1, w.count(0))
	w.agree()
}

// Leases and what holds them outlive restarts of all members, and a state that is shipped.
func TestLeasesSurviveRestartsAndSnapshots(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) {
		l.CheckpointCount, l.CatchUpEntries, l.ChunkBytes = 10, 1, 512
	})
	lead := w.leader()
	slow := (lead + 1) % 3
	w.run(10)
	w.cut[w.cfgs[slow].Member] = true
	for i := range 40 {
		w.grant(lead, int64(i+1), 600)
		require.Equal(t, OK, w.putLeased(lead, fmt.Sprintf("k%02d", i%15), int64(i+1)))
	}
	w.cut = map[raft.MemberID]bool{}
	w.run(60)
	require.Len(t, w.leases(slow), 40)
	for i := range 3 {
		w.stop(i)
	}
	for i := range 3 {
		w.start(i)
	}
	w.leader()
	w.run(20)
	require.Equal(t, [][]byte{[]byte("k09")}, w.timeToLive(slow, 40).Keys)
	require.Empty(t, w.timeToLive(slow, 3).Keys, "moved to another lease")
	w.agree()
	require.NotNil(t, w.members[w.leader()].driver.Node.leases.schedule)
	w.seconds(650)
	require.Zero(t, w.count(slow))
	require.Empty(t, w.leases(slow))
	w.agree()
}

// A new leader gives every lease its whole time and an election timeout.
func TestAChangeOfLeaderProlongs(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	w.run(10)
	w.grant(lead, 1, 6)
	require.Equal(t, OK, w.putLeased(lead, "a", 1))
	w.seconds(4)
	w.stop(lead)
	next := w.leader()
	w.seconds(4)
	require.EqualValues(t, 1, w.count(next), "8 s after the grant")
	w.seconds(5)
	require.Zero(t, w.count(next))
	w.start(lead)
	w.agree()
}

// With checkpoints, a new leader goes on from what was left; a renewal undoes what is written down
// before it is answered.
func TestCheckpointsKeepWhatIsLeft(t *testing.T) {
	w := newWorld(t, 3, nil)
	for i := range w.cfgs {
		w.cfgs[i].LeaseCheckpointNanos = 5e9
		w.stop(i)
		w.start(i)
	}
	lead := w.leader()
	w.run(10)
	w.grant(lead, 1, 60)
	w.grant(lead, 2, 60)
	w.seconds(40)
	left, _ := w.members[(lead+1)%3].driver.Node.state.leases.Get(1)
	require.InDelta(t, 25, int64(left.Remaining), 5)
	require.EqualValues(t, 60, w.keepAlive((lead+1)%3, 2))
	renewed, _ := w.members[lead].driver.Node.state.leases.Get(2)
	require.Zero(t, renewed.Remaining)
	w.stop(lead)
	next := w.leader()
	w.seconds(1)
	require.InDelta(t, 22, w.timeToLive(next, 1).TTL, 7)
	require.InDelta(t, 59, w.timeToLive(next, 2).TTL, 3)
	w.start(lead)
	w.seconds(35)
	require.Equal(t, []int64{2}, w.leases(next))
	w.agree()
}

// A process that was frozen for an hour ends nothing that its clients may have tried to renew.
func TestAPauseEndsNothing(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.grant(0, 1, 10)
	w.now += 3600e9
	w.run(5)
	require.EqualValues(t, 10, w.keepAlive(0, 1))
	w.seconds(12)
	require.EqualValues(t, 0, w.keepAlive(0, 1))
}

// The end of a lease with many keys takes many steps, and is seen as a whole.
func TestManyKeysEndTogether(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) { l.StepUnits = 20 })
	lead := w.leader()
	w.grant(lead, 1, 3600)
	for i := range 300 {
		require.Equal(t, OK, w.putLeased(lead, fmt.Sprintf("k%04d", 299-i), 1))
	}
	require.Len(t, w.timeToLive((lead+1)%3, 1).Keys, 300)
	var res pb.LeaseRevokeResponse
	require.Equal(t, OK, w.ask(lead, MethodLeaseRevoke, &pb.LeaseRevokeRequest{ID: 1}, &res))
	require.EqualValues(t, 302, res.Header.Revision)
	require.Zero(t, w.count(lead))
	w.agree()
}

// Thousands of leases that end in the same second take some dozens of entries, and each lease with
// keys its own revision.
func TestManyLeasesEndTogether(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) { l.StepUnits = 100 })
	lead := w.leader()
	w.run(10)
	n := w.members[lead].driver.Node
	for i := range 3000 {
		n.propose(0, entryRequest+raft.EntryType(MethodLeaseGrant), encodeGrant(lease.ID(i+1), 5,
			nil))
		if i%1000 == 999 {
			w.run(1)
		}
	}
	require.Len(t, w.leases(lead), 3000)
	for i := range 10 {
		require.Equal(t, OK, w.putLeased(lead, fmt.Sprint("k", i), int64(i+1)))
	}
	before, at := w.get(lead, "x").Header.Revision, n.applied
	w.seconds(8)
	require.Empty(t, w.leases(lead))
	require.Equal(t, before+10, w.get(lead, "x").Header.Revision)
	require.Less(t, n.applied-at, raft.Index(3000/leasesPerEntry+10))
	w.agree()
}

// A mass expiry takes its share of each tick, in small entries, and catches up after a pause within
// bounds.
func TestEndsAreSpreadOverTime(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.run(3)
	n := w.members[0].driver.Node
	for i := range 6000 {
		n.propose(0, entryRequest+raft.EntryType(MethodLeaseGrant), encodeGrant(lease.ID(i+1), 5,
			nil))
	}
	for n.leases.counts.Ended == 0 {
		w.run(1)
	}
	tick := uint64(n.endsPerTick())
	require.LessOrEqual(t, n.leases.counts.Ended, tick)
	before, at := n.leases.counts.Ended, n.applied
	w.run(1)
	require.Equal(t, tick, n.leases.counts.Ended-before)
	require.EqualValues(t, tick/leasesPerEntry, n.applied-at)
	before = n.leases.counts.Ended
	w.now += 10e9
	w.run(1)
	require.LessOrEqual(t, n.leases.counts.Ended-before, 2*tick)
	w.run(5)
	require.EqualValues(t, 6000, n.leases.counts.Ended)
}

// Who was deposed ends nothing: what it would propose for another leader is refused there, together
// with whatever comes in the same message, so it must not even try.
func TestADeposedLeaderEndsNothing(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	w.run(10)
	w.grant(lead, 1, 3)
	old := w.members[lead].driver.Node
	w.cut[old.cfg.Member] = true
	next := (lead + 1) % 3
	for range 12 {
		w.seconds(1)
		require.EqualValues(t, 3, w.keepAlive(next, 1))
	}
	require.Nil(t, old.leases.schedule)
	w.cut = map[raft.MemberID]bool{}
	for range 5 {
		w.seconds(1)
		require.EqualValues(t, 3, w.keepAlive(next, 1))
	}
	for _, typ := range []raft.EntryType{entryLeaseExpire, entryLeaseCheckpoint} {
		m := raft.Message{Type: raft.MsgPropose, From: 2, Entries: []raft.Entry{{Type: typ,
			Proposer: 2, Data: encodeEnds(1, []lease.ID{1, 1})},
			{Type: entryVersion, Proposer: 2, Sequence: 9, Data: []byte("3.7.0")}}}
		kept := w.members[w.leader()].driver.Node.wellFormedQuietly(&m)
		require.Len(t, kept, 1, "a neighbour went with it")
		require.EqualValues(t, 9, kept[0].Sequence)
	}
	w.agree()
}

// An ID may live twice: an end that was decided about its first life spares the second one.
func TestAnEndIsMeantForTheLifeItWasDecidedAbout(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	n := w.members[0].driver.Node
	w.grant(0, 7, 100)
	decided := n.applied
	require.Equal(t, OK, w.ask(0, MethodLeaseRevoke, &pb.LeaseRevokeRequest{ID: 7},
		&pb.LeaseRevokeResponse{}))
	w.grant(0, 7, 100)
	n.propose(0, entryLeaseExpire, encodeEnds(decided, []lease.ID{7}))
	w.seconds(1)
	require.Len(t, w.leases(0), 1)
	n.propose(0, entryLeaseExpire, encodeEnds(n.applied, []lease.ID{7}))
	w.seconds(1)
	require.Empty(t, w.leases(0))
	w.agree()
}

// wellFormedQuietly is wellFormed outside of a step.
func (n *Node) wellFormedQuietly(m *raft.Message) []raft.Entry {
	n.out = &Effects{}
	defer func() { n.out = nil }()
	return n.wellFormed(m)
}

// A cluster that is known to be corrupt changes nothing: not even leases end, until the alarm does.
func TestNoLeaseEndsUnderACorruptAlarm(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.grant(0, 1, 2)
	require.Equal(t, OK, w.putLeased(0, "a", 1))
	alarm := func(action pb.AlarmRequest_AlarmAction) {
		var res pb.AlarmResponse
		require.Equal(t, OK, w.ask(0, MethodAlarm, &pb.AlarmRequest{Action: action, MemberID: 1,
			Alarm: pb.AlarmType_CORRUPT}, &res))
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	w.seconds(5)
	require.EqualValues(t, 1, w.count(0))
	require.EqualValues(t, 0, w.keepAlive(0, 1), "its time is over")
	alarm(pb.AlarmRequest_DEACTIVATE)
	w.seconds(10)
	require.Zero(t, w.count(0))
	w.agree()
}
