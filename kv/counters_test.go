package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Every member counts what it applies, whoever asked for it.
func TestCountersCountWhatIsApplied(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	other := (lead + 1) % 3
	w.run(10)
	before := w.members[lead].driver.Node.Counters()
	require.NotZero(t, before.Applied[OperationMember].Done)
	require.EqualValues(t, 1, before.Applied[OperationVersion].Done)
	require.EqualValues(t, 1, before.LeaderChanges)
	require.Zero(t, before.Puts)

	w.put(other, "a", "123")
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
		Key: []byte("b"), Value: []byte("4")}}}
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{
		Key: []byte("a")}}}
	require.Equal(t, OK, w.ask(other, MethodTxn, &pb.TxnRequest{Success: []*pb.RequestOp{put,
		get}}, &pb.TxnResponse{}))
	require.Equal(t, OK, w.ask(other, MethodDeleteRange, &pb.DeleteRangeRequest{Key: []byte("a"),
		RangeEnd: []byte("z")}, &pb.DeleteRangeResponse{}))
	w.grant(other, 7, 60)
	require.Equal(t, ErrLeaseExists, w.ask(other, MethodLeaseGrant,
		&pb.LeaseGrantRequest{ID: 7, TTL: 5}, &pb.LeaseGrantResponse{}))
	require.Equal(t, OK, w.putLeased(other, "leased", 7))
	require.Equal(t, OK, w.ask(other, MethodLeaseRevoke, &pb.LeaseRevokeRequest{ID: 7},
		&pb.LeaseRevokeResponse{}))
	w.run(5)
	for _, m := range w.members {
		c := m.driver.Node.Counters()
		require.EqualValues(t, 3, c.Puts)
		require.EqualValues(t, 3, c.Deletes, "two, and the lease's key")
		require.EqualValues(t, 1, c.Txns)
		require.EqualValues(t, 4+2+6, c.PutBytes, "a=123, b=4, leased=")
		require.Equal(t, AppliedCount{Done: 2}, c.Applied[MethodPut])
		require.Equal(t, AppliedCount{Done: 1}, c.Applied[MethodTxn])
		require.Equal(t, AppliedCount{Done: 1}, c.Applied[MethodDeleteRange])
		require.Equal(t, AppliedCount{Done: 1, Refused: 1}, c.Applied[MethodLeaseGrant])
		require.Equal(t, AppliedCount{Done: 1}, c.Applied[MethodLeaseRevoke])
		require.EqualValues(t, 60, c.LeaseTTLSum)
		require.EqualValues(t, 1, c.LeaseTTLs[6], "up to 64 seconds")
	}
	n := w.members[lead].driver.Node
	require.Equal(t, n.Counters().Applied, n.AppliedCounts())
	p := n.Progress()
	require.Equal(t, p.Committed, p.Applied)
	require.GreaterOrEqual(t, p.Durable, p.Applied)
}

func TestReadsAndGivenUpRequestsAreCounted(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	w.get(lead, "a")
	n := w.members[lead].driver.Node
	require.EqualValues(t, 1, n.Counters().Ranges)
	for i := range w.members {
		if i != lead {
			w.stop(i)
		}
	}
	require.NotEqual(t, OK, w.ask(lead, MethodPut, &pb.PutRequest{Key: []byte("a")},
		&pb.PutResponse{}))
	require.NotEqual(t, OK, w.ask(lead, MethodRange, &pb.RangeRequest{Key: []byte("a")},
		&pb.RangeResponse{}))
	c := n.Counters()
	require.NotZero(t, c.ProposalsFailed)
	require.NotZero(t, c.ReadsFailed)
}

// What compaction drops is counted, and what is in use is less than all.
func TestFiguresFollowCompaction(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	for range 20 {
		w.put(0, "a", "value")
	}
	before := w.members[0].driver.Node.Figures()
	require.Zero(t, before.Trimmed)
	require.EqualValues(t, -1, before.FreeBytes, "nobody has said")
	require.Equal(t, OK, w.ask(0, MethodCompact, &pb.CompactionRequest{Revision: 20},
		&pb.CompactionResponse{}))
	w.run(5)
	after := w.members[0].driver.Node.Figures()
	require.EqualValues(t, 18, after.Trimmed, "revisions 2 to 19")
	require.Less(t, after.InUseBytes, before.InUseBytes)
}
