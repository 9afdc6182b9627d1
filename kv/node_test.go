package kv

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/raft"
)

func TestSingleMemberServes(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.run(3)
	require.EqualValues(t, 2, w.put(0, "a", "1").Header.Revision)
	require.EqualValues(t, 3, w.put(0, "a", "2").Header.Revision)
	got := w.get(0, "a")
	require.Equal(t, "2", string(got.Kvs[0].Value))
	require.EqualValues(t, 2, got.Kvs[0].Version)
	require.EqualValues(t, 2, got.Kvs[0].CreateRevision)
	require.EqualValues(t, 2, got.Header.RaftTerm)
	require.EqualValues(t, 1, got.Header.MemberId)
	w.agree()
}

func TestThreeMembersAgreeThroughRestarts(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) {
		l.CheckpointCount, l.CatchUpEntries = 20, 5
		l.LogMemoryBytes, l.CacheBytes = 2<<10, 4<<10
		l.DataSegmentBytes, l.LogSegmentBytes = 8<<10, 8<<10
	})
	for round := range 12 {
		lead := w.leader()
		for i := range 15 {
			w.put((lead+i)%3, fmt.Sprint("k", i%7), fmt.Sprint(round, ".", i))
		}
		down := round % 3
		w.stop(down)
		lead = w.leader()
		for i := range 40 {
			w.put(lead, fmt.Sprint("k", i%9), fmt.Sprint(round, "-", i))
		}
		w.start(down)
		w.run(40)
		got := w.get(down, "k3")
		require.Equal(t, fmt.Sprint(round, "-", 39-39%9+3), string(got.Kvs[0].Value))
	}
	w.agree()
}

func TestTransactionsAnswerAsEtcdDoes(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.put(0, "a", "1")
	put := func(k, v string, prev bool) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
			Key: []byte(k), Value: []byte(v), PrevKv: prev}}}
	}
	get := func(k, end string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{
			Key: []byte(k), RangeEnd: []byte(end)}}}
	}
	var res pb.TxnResponse
	code := w.ask(0, MethodTxn, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte("1")}}},
		Success: []*pb.RequestOp{
			get("a", "z"),
			put("b", "2", false),
			put("a", "3", true),
			get("a", "z"),
			{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{
				Compare: []*pb.Compare{{Key: []byte("b"), Target: pb.Compare_VERSION,
					Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_Version{}}},
				Success: []*pb.RequestOp{put("c", "4", false)},
				Failure: []*pb.RequestOp{get("b", "")},
			}}},
			{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{
				Key: []byte("x"), RangeEnd: []byte{0}}}},
		},
	}, &res)
	require.Equal(t, OK, code)
	require.True(t, res.Succeeded)
	require.EqualValues(t, 3, res.Header.Revision)
	r := res.Responses
	require.Len(t, r, 6)
	require.EqualValues(t, 2, r[0].GetResponseRange().Header.Revision)
	require.Len(t, r[0].GetResponseRange().Kvs, 1)
	require.EqualValues(t, 3, r[1].GetResponsePut().Header.Revision)
	require.Nil(t, r[1].GetResponsePut().PrevKv)
	require.Equal(t, "1", string(r[2].GetResponsePut().PrevKv.Value))
	require.Len(t, r[3].GetResponseRange().Kvs, 2)
	require.EqualValues(t, 3, r[3].GetResponseRange().Header.Revision)
	// The nested compare saw the state before the transaction: b did not exist.
	nested := r[4].GetResponseTxn()
	require.False(t, nested.Succeeded)
	require.NotNil(t, nested.Header)
	require.Len(t, nested.Responses[0].GetResponseRange().Kvs, 1)
	require.Zero(t, r[5].GetResponseDeleteRange().Deleted)
	w.agree()
}

func TestErrorsAreEtcds(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	for i := range 5 {
		w.put(0, "a", fmt.Sprint(i))
	}
	var put pb.PutResponse
	require.Equal(t, ErrLeaseNotFound, w.ask(0, MethodPut,
		&pb.PutRequest{Key: []byte("a"), Lease: 9}, &put))
	require.Equal(t, ErrKeyNotFound, w.ask(0, MethodPut,
		&pb.PutRequest{Key: []byte("new"), IgnoreValue: true}, &put))
	require.Equal(t, ErrEmptyKey, w.ask(0, MethodPut, &pb.PutRequest{}, &put))
	var rng pb.RangeResponse
	require.Equal(t, ErrFutureRev, w.ask(0, MethodRange,
		&pb.RangeRequest{Key: []byte("a"), Revision: 99}, &rng))
	var compact pb.CompactionResponse
	require.Equal(t, ErrFutureRev, w.ask(0, MethodCompact,
		&pb.CompactionRequest{Revision: 99}, &compact))
	require.Equal(t, OK, w.ask(0, MethodCompact,
		&pb.CompactionRequest{Revision: 5, Physical: true}, &compact))
	require.Equal(t, ErrCompacted, w.ask(0, MethodCompact,
		&pb.CompactionRequest{Revision: 5}, &compact))
	require.Equal(t, ErrCompacted, w.ask(0, MethodRange,
		&pb.RangeRequest{Key: []byte("a"), Revision: 4}, &rng))
	require.Equal(t, OK, w.ask(0, MethodRange,
		&pb.RangeRequest{Key: []byte("a"), Revision: 5}, &rng))
	w.agree()
}

// A member that fell behind what the log keeps gets a snapshot, then follows again.
func TestSlowMemberGetsASnapshot(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) {
		l.CheckpointCount, l.CatchUpEntries, l.ChunkBytes = 10, 1, 512
	})
	lead := w.leader()
	slow := (lead + 1) % 3
	w.run(10)
	w.cut[w.cfgs[slow].Member] = true
	for i := range 100 {
		w.put(lead, fmt.Sprint("k", i), "v")
	}
	w.cut = map[raft.MemberID]bool{}
	w.run(60)
	require.Len(t, w.get(slow, "k99").Kvs, 1)
	w.agree()
	from, to := w.cfgs[lead].Member, w.cfgs[slow].Member
	require.Contains(t, w.members[lead].driver.Node.Counters().Transfers,
		Transfer{Peer: to, Sent: 1})
	received := w.members[slow].driver.Node.Counters()
	require.Equal(t, []Transfer{{Peer: from, Received: 1}}, received.Transfers)
	require.EqualValues(t, 1, received.Installs)
}

// A transaction as large as this one needs many steps; nobody sees a part of it.
func TestLargeDeleteIsAtomic(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) { l.StepUnits = 20 })
	lead := w.leader()
	for i := range 300 {
		w.put(lead, fmt.Sprintf("k%04d", i), "v")
	}
	var res pb.DeleteRangeResponse
	require.Equal(t, OK, w.ask(lead, MethodDeleteRange, &pb.DeleteRangeRequest{
		Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true}, &res))
	require.EqualValues(t, 300, res.Deleted)
	require.Len(t, res.PrevKvs, 300)
	w.agree()
}

// A request proposed twice under one name takes effect once.
func TestRepeatedProposalAppliesOnce(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.put(0, "a", "1")
	n := w.members[0].driver.Node
	raw := []byte{0x0a, 1, 'b', 0x12, 1, 'x'}
	n.propose(0, entryRequest+raft.EntryType(MethodPut), raw)
	n.propose(0, entryRequest+raft.EntryType(MethodPut), raw)
	n.proposeWaiting()
	n.reproposeAll()
	n.proposeWaiting()
	w.run(5)
	require.EqualValues(t, 2, w.get(0, "b").Kvs[0].Version)
	w.agree()
}

// Defragment forces a checkpoint of all that is applied and answers when it is durable.
func TestDefragmentForcesACheckpoint(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	for i := range 20 {
		w.put(0, fmt.Sprint("k", i%3), "v")
	}
	n := w.members[0].driver.Node
	before, _ := n.store.Durable()
	require.Less(t, before, uint64(n.applied))
	var res pb.DefragmentResponse
	require.Equal(t, OK, w.ask(0, MethodDefragment, &pb.DefragmentRequest{}, &res))
	newest, _ := n.store.Durable()
	require.Equal(t, uint64(n.applied), newest)
	w.agree()
}

// Defragment gives back what a compaction has freed, though nothing new is applied.
func TestDefragmentGivesTheDiskBack(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	var res pb.DefragmentResponse
	for i := range 600 {
		w.put(0, fmt.Sprint("k", i%3), strings.Repeat("v", 1000))
	}
	require.Equal(t, OK, w.ask(0, MethodDefragment, &pb.DefragmentRequest{}, &res))
	n := w.members[0].driver.Node
	before := n.State().FileBytes
	var compacted pb.CompactionResponse
	require.Equal(t, OK, w.ask(0, MethodCompact, &pb.CompactionRequest{Revision: 601,
		Physical: true}, &compacted))
	for range 2 {
		require.Equal(t, OK, w.ask(0, MethodDefragment, &pb.DefragmentRequest{}, &res))
		require.Zero(t, n.store.Superseded())
		require.Less(t, n.State().FileBytes, before/10)
	}
	w.agree()
}

// A member whose log or data is gone refuses to start: with the log went its votes.
func TestHalfADirectoryIsRefused(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.CheckpointCount = 10 })
	w.leader()
	for i := range 50 {
		w.put(0, "k", fmt.Sprint(i))
	}
	for _, gone := range []string{logDir, dataDir} {
		disk := &memDisk{files: map[string][]byte{}}
		for name, b := range w.members[0].disk.files {
			if path.Dir(name) != gone {
				disk.files[name] = b
			}
		}
		_, err := Open(w.cfgs[0], disk)
		require.ErrorContains(t, err, "missing or was emptied", gone)
	}
}

// One forwarded proposal that is lost is repeated soon after later ones have overtaken it.
func TestLostForwardIsRepeatedSoon(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	other := (lead + 1) % 3
	w.run(20)
	w.put(other, "a", "0")
	n := w.members[other].driver.Node
	raw := []byte{0x0a, 1, 'b', 0x12, 1, 'x'}
	n.propose(0, entryRequest+raft.EntryType(MethodPut), raw)
	n.proposals.queue[len(n.proposals.queue)-1].status = proposalSent // sent, and lost
	n.proposals.queue[len(n.proposals.queue)-1].sent = n.mono
	n.proposals.dirty = false
	w.put(other, "a", "1")
	w.run(3)
	require.Len(t, w.get(other, "b").Kvs, 1)
	w.agree()
}

// The merged intervals hold exactly the keys that one of the deletes holds.
func TestIntervalsEqualTheirTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var dels []deleteRequest
		var list intervals
		for range rapid.IntRange(0, 6).Draw(t, "deletes") {
			d := deleteRequest{key: drawBytes(t), end: drawBytes(t)}
			if rapid.IntRange(0, 5).Draw(t, "open") == 0 {
				d.end = []byte{0}
			}
			dels = append(dels, d)
			list = append(list, deleted(&d))
		}
		list = list.merged()
		key := drawBytes(t)
		want := false
		for _, d := range dels {
			switch {
			case len(d.end) == 0:
				want = want || bytes.Equal(d.key, key)
			case len(d.end) == 1 && d.end[0] == 0:
				want = want || bytes.Compare(key, d.key) >= 0
			default:
				want = want || bytes.Compare(key, d.key) >= 0 && bytes.Compare(key, d.end) < 0
			}
		}
		require.Equal(t, want, list.contain(key))
	})
}
