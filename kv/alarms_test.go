package kv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

func (w *world) alarm(i int, action pb.AlarmRequest_AlarmAction, member uint64,
	kind pb.AlarmType) []*pb.AlarmMember {
	var res pb.AlarmResponse
	require.Equal(w.t, OK, w.ask(i, MethodAlarm, &pb.AlarmRequest{Action: action,
		MemberID: member, Alarm: kind}, &res))
	require.NotZero(w.t, res.Header.Revision)
	return res.Alarms
}

func putOp(key string) []*pb.RequestOp {
	return []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
		Key: []byte(key)}}}}
}

func TestAFullStoreRaisesNoSpaceUntilItIsDisarmed(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) { l.QuotaBytes = 20_000 })
	lead := w.leader()
	full := (lead + 1) % 3
	var res pb.PutResponse
	code := OK
	for i := 0; code == OK; i++ {
		code = w.ask(full, MethodPut, &pb.PutRequest{Key: fmt.Append(nil, i),
			Value: []byte(strings.Repeat("v", 1000))}, &res)
	}
	require.Equal(t, ErrNoSpace, code)
	w.run(3)
	alarms := w.alarm(lead, pb.AlarmRequest_GET, 0, pb.AlarmType_NONE)
	require.Len(t, alarms, 1)
	require.EqualValues(t, w.cfgs[full].Member, alarms[0].MemberID)
	require.Equal(t, pb.AlarmType_NOSPACE, alarms[0].Alarm)
	var status pb.StatusResponse
	require.Equal(t, OK, w.ask(lead, MethodStatus, &pb.StatusRequest{}, &status))
	require.Contains(t, strings.Join(status.Errors, ""), "alarm:NOSPACE")

	// Nobody puts anywhere, in whatever branch; everything else goes on.
	require.Equal(t, ErrNoSpace, w.ask(lead, MethodPut, &pb.PutRequest{Key: []byte("k")}, &res))
	var txn pb.TxnResponse
	require.Equal(t, ErrNoSpace, w.ask(lead, MethodTxn, &pb.TxnRequest{Failure: putOp("k")},
		&txn))
	var deleted pb.DeleteRangeResponse
	require.Equal(t, OK, w.ask(lead, MethodDeleteRange, &pb.DeleteRangeRequest{Key: []byte{0},
		RangeEnd: []byte{0}}, &deleted))
	var compacted pb.CompactionResponse
	require.Equal(t, OK, w.ask(lead, MethodCompact, &pb.CompactionRequest{
		Revision: deleted.Header.Revision, Physical: true}, &compacted))
	require.Equal(t, ErrNoSpace, w.ask(lead, MethodPut, &pb.PutRequest{Key: []byte("k")}, &res))

	require.Empty(t, w.alarm(lead, pb.AlarmRequest_DEACTIVATE, 0, pb.AlarmType_NOSPACE))
	require.Len(t, w.alarm(lead, pb.AlarmRequest_DEACTIVATE, alarms[0].MemberID,
		pb.AlarmType_NOSPACE), 1)
	require.Equal(t, OK, w.ask(full, MethodPut, &pb.PutRequest{Key: []byte("k")}, &res))
	w.agree()
}

func TestACorruptClusterWritesNothing(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.put(0, "k", "v")
	require.Empty(t, w.alarm(0, pb.AlarmRequest_ACTIVATE, 5, pb.AlarmType_NONE))
	for range 2 {
		require.Len(t, w.alarm(0, pb.AlarmRequest_ACTIVATE, 5, pb.AlarmType_CORRUPT), 1)
	}
	w.alarm(0, pb.AlarmRequest_ACTIVATE, 6, pb.AlarmType_NOSPACE)
	var put pb.PutResponse
	require.Equal(t, ErrCorrupt, w.ask(0, MethodPut, &pb.PutRequest{Key: []byte("k")}, &put))
	var deleted pb.DeleteRangeResponse
	require.Equal(t, ErrCorrupt, w.ask(0, MethodDeleteRange,
		&pb.DeleteRangeRequest{Key: []byte("k")}, &deleted))
	var compacted pb.CompactionResponse
	require.Equal(t, ErrCorrupt, w.ask(0, MethodCompact, &pb.CompactionRequest{Revision: 2},
		&compacted))
	var txn pb.TxnResponse
	require.Equal(t, ErrCorrupt, w.ask(0, MethodTxn, &pb.TxnRequest{Success: putOp("k")}, &txn))
	require.Equal(t, OK, w.ask(0, MethodTxn, &pb.TxnRequest{}, &txn))
	require.Len(t, w.get(0, "k").Kvs, 1)
	require.Len(t, w.alarm(0, pb.AlarmRequest_GET, 0, pb.AlarmType_NONE), 2)
	require.Len(t, w.alarm(0, pb.AlarmRequest_GET, 0, pb.AlarmType_CORRUPT), 1)
	var res pb.AlarmResponse
	require.Equal(t, ErrUnknownMethod, w.ask(0, MethodAlarm, &pb.AlarmRequest{Action: 9}, &res))
	// The alarms outlive a restart.
	var hurried pb.DefragmentResponse
	require.Equal(t, OK, w.ask(0, MethodDefragment, &pb.DefragmentRequest{}, &hurried))
	w.stop(0)
	w.start(0)
	w.leader()
	require.Len(t, w.alarm(0, pb.AlarmRequest_GET, 0, pb.AlarmType_NONE), 2)
}

func TestDowngradesAreAgreedOnAndCancelled(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	w.run(10)
	ask := func(i int, action pb.DowngradeRequest_DowngradeAction, version string) Code {
		var res pb.DowngradeResponse
		code := w.ask(i, MethodDowngrade, &pb.DowngradeRequest{Action: action,
			Version: version}, &res)
		if code == OK {
			require.Contains(t, []string{"3.6", "3.7"}, res.Version)
		}
		return code
	}
	info := func(i int) *pb.DowngradeInfo {
		var res pb.StatusResponse
		require.Equal(t, OK, w.ask(i, MethodStatus, &pb.StatusRequest{}, &res))
		require.NotNil(t, res.DowngradeInfo)
		return res.DowngradeInfo
	}
	require.Equal(t, OK, ask(0, pb.DowngradeRequest_CANCEL, ""))
	require.Equal(t, ErrWrongVersionFormat, ask(0, pb.DowngradeRequest_VALIDATE, "x"))
	require.Equal(t, ErrInvalidVersion, ask(0, pb.DowngradeRequest_VALIDATE, "3.5"))
	require.Equal(t, ErrInvalidVersion, ask(0, pb.DowngradeRequest_ENABLE, "3.7.0"))
	require.Equal(t, OK, ask(1, pb.DowngradeRequest_VALIDATE, "3.6"))
	require.Equal(t, OK, ask(1, pb.DowngradeRequest_ENABLE, "3.6.0"))
	require.Equal(t, ErrDowngrading, ask(2, pb.DowngradeRequest_VALIDATE, "3.6"))
	w.run(60)
	require.Equal(t, ErrInvalidVersion, ask(2, pb.DowngradeRequest_VALIDATE, "3.6"))
	require.Equal(t, ErrDowngrading, ask(2, pb.DowngradeRequest_VALIDATE, "3.5"))
	require.Equal(t, ErrDowngrading, ask(2, pb.DowngradeRequest_ENABLE, "3.5"))
	require.Equal(t, "3.6.0", w.members[0].driver.Node.state.version)
	require.True(t, info(0).Enabled)
	require.Equal(t, "3.6.0", info(0).TargetVersion)
	require.Equal(t, ErrUnknownMethod, ask(0, 7, ""))
	require.Equal(t, OK, ask(0, pb.DowngradeRequest_CANCEL, ""))
	require.False(t, info(0).Enabled)
	w.run(3)
	require.Equal(t, "3.7.0", w.members[1].driver.Node.state.version)
	w.agree()
}

// What the quota charges a transaction is what the naive sum over the decoded message says.
func TestCostEqualsItsTwin(t *testing.T) {
	var branch func(ops []*pb.RequestOp) int
	txn := func(t *pb.TxnRequest) int { return max(branch(t.Success), branch(t.Failure)) }
	branch = func(ops []*pb.RequestOp) (sum int) {
		for _, op := range ops {
			if p := op.GetRequestPut(); p != nil {
				sum += 256 + len(p.Key) + len(p.Value)
			} else if n := op.GetRequestTxn(); n != nil {
				sum += txn(n)
			}
		}
		return sum
	}
	rapid.Check(t, func(t *rapid.T) {
		var draw func(depth int) *pb.TxnRequest
		draw = func(depth int) *pb.TxnRequest {
			r := &pb.TxnRequest{}
			for _, list := range []*[]*pb.RequestOp{&r.Success, &r.Failure} {
				for range rapid.IntRange(0, 3).Draw(t, "ops") {
					if depth < 2 && rapid.IntRange(0, 3).Draw(t, "nested") == 0 {
						*list = append(*list, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{
							RequestTxn: draw(depth + 1)}})
						continue
					}
					*list = append(*list, putOp(rapid.StringN(0, 5, 9).Draw(t, "key"))...)
				}
			}
			return r
		}
		request := draw(0)
		raw, err := marshalTest(request)
		require.NoError(t, err)
		r := Request{Method: MethodTxn, Raw: raw}
		require.Equal(t, txn(request), r.cost())
		var parsed txnRequest
		require.NoError(t, parseTxn(raw, &parsed, 0))
		require.Equal(t, r.cost() > 0, putsAnything(&parsed))
	})
}

// The state file gives back what went in.
func TestStateSectionsSurviveTheirForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := replicated{config: raft.Config{Voters: []raft.MemberID{1}},
			leases: lease.NewTable(), auth: auth.New()}
		for i := range rapid.IntRange(0, 5).Draw(t, "alarms") {
			s.alarms = append(s.alarms, Alarm{Member: raft.MemberID(i),
				Kind: AlarmKind(rapid.Uint32().Draw(t, "kind"))})
		}
		s.downgrade = rapid.String().Draw(t, "downgrade")
		got, err := decodeReplicated(s.encode())
		require.NoError(t, err)
		require.Equal(t, s.alarms, got.alarms)
		require.Equal(t, s.downgrade, got.downgrade)
	})
}

func TestWhoAsksIsRefusedInOneOrder(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	downgrade := func(who *Identity, r *pb.DowngradeRequest) Code {
		return w.askAs(who, 0, MethodDowngrade, r, &pb.DowngradeResponse{})
	}
	grant := func(who *Identity, ttl int64) Code {
		return w.askAs(who, 0, MethodLeaseGrant, &pb.LeaseGrantRequest{TTL: ttl},
			&pb.LeaseGrantResponse{})
	}
	unknown, nonsense := &pb.DowngradeRequest{Action: 3}, &pb.DowngradeRequest{Version: "x"}
	for _, r := range []*pb.DowngradeRequest{unknown, nonsense} {
		require.Equal(t, ErrUserEmpty, downgrade(nil, r), "rights come before sense")
		require.Equal(t, ErrPermissionDenied, downgrade(a, r))
	}
	require.Equal(t, ErrUnknownMethod, downgrade(root, unknown))
	require.Equal(t, ErrWrongVersionFormat, downgrade(root, nonsense))
	const long = 9_000_000_001
	require.Equal(t, ErrUserEmpty, grant(nil, long))
	require.Equal(t, ErrLeaseTTLTooLarge, grant(a, long))
	require.Equal(t, ErrUserNotFound, w.askAs(nil, 0, MethodUserGet, &pb.AuthUserGetRequest{},
		&pb.AuthUserGetResponse{}), "nobody may look at nobody")

	require.Equal(t, OK, w.askAs(root, 0, MethodAlarm, &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE}, &pb.AlarmResponse{}))
	require.Equal(t, ErrNoSpace, w.putAs(nil, 0, "a1"), "an alarm comes before rights")
	require.Equal(t, ErrNoSpace, w.putAs(a, 0, "b1"))
	require.Equal(t, ErrInvalidToken, w.putAs(&Identity{Token: "x"}, 0, "a1"))
	require.Equal(t, ErrUserEmpty, grant(nil, 60), "but not of who asks for a lease")
	require.Equal(t, ErrNoSpace, grant(a, long))
	require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, MethodDeleteRange,
		&pb.DeleteRangeRequest{Key: []byte("a1")}, &pb.DeleteRangeResponse{}))
	require.Equal(t, OK, w.askAs(root, 0, MethodAlarm, &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_CORRUPT}, &pb.AlarmResponse{}))
	compact := func(who *Identity) Code {
		return w.askAs(who, 0, MethodCompact, &pb.CompactionRequest{Revision: 1},
			&pb.CompactionResponse{})
	}
	require.Equal(t, ErrUserEmpty, compact(nil), "nor of who asks for a compaction")
	require.Equal(t, ErrPermissionDenied, compact(a))
	require.Equal(t, ErrCorrupt, compact(root))
}
