package sim

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Alarms: a member that runs out of space stops the cluster's puts, an operator who suspects that
// members disagree stops every write, and an operator disarms either. The commit oracle keeps the
// list as the entries make it, and knows which writes it stops.

// alarm takes an entry that raises or disarms, be it a client's or a member's own.
func (c *commitOracle) alarm(w *world, e *raft.Entry, raw []byte) {
	var req pb.AlarmRequest
	if err := unmarshal(raw, &req); err != nil {
		w.fail(OracleCodec, "the alarm at index %d does not decode: %v", e.Index, err)
		return
	}
	a := kv.Alarm{Member: raft.MemberID(req.MemberID), Kind: kv.AlarmKind(req.Alarm)}
	number, ok := markOf(raw)
	if !c.admit(w, e) {
		return
	}
	if ok && number > 0 && number <= uint64(len(w.calls)) {
		w.calls[number-1].effective = e.Index
	}
	raised := slices.Contains(c.alarms, a)
	switch {
	case req.Action == pb.AlarmRequest_ACTIVATE && !raised:
		c.alarms = append(c.alarms, a)
		w.counts.Alarms++
		if w.heal.phase == chaos {
			w.schedule(event{at: w.now + second, kind: eventDisarm})
		}
	case req.Action == pb.AlarmRequest_DEACTIVATE && raised:
		c.alarms = slices.DeleteFunc(c.alarms, func(b kv.Alarm) bool { return a == b })
	}
}

// stopped is why the alarms stop a write, empty if they do not.
func (c *commitOracle) stopped(r *linearizability.Request) string {
	switch {
	case len(c.alarms) == 0 || *r == (linearizability.Request{}):
		return ""
	case c.corrupt():
		return kv.ErrCorrupt.Text()
	case r.Put != nil || r.Grant != nil || r.Txn != nil && puts(r.Txn):
		return kv.ErrNoSpace.Text()
	}
	return ""
}

// corrupt says whether all writes are stopped, the ends of leases included.
func (c *commitOracle) corrupt() bool {
	return slices.ContainsFunc(c.alarms, func(a kv.Alarm) bool { return a.Kind == kv.AlarmCorrupt })
}

// puts says whether a transaction puts, in any branch.
func puts(t *pb.TxnRequest) bool {
	for _, op := range slices.Concat(t.Success, t.Failure) {
		if op.GetRequestPut() != nil || op.GetRequestTxn() != nil && puts(op.GetRequestTxn()) {
			return true
		}
	}
	return false
}

// suspect lets the operator stop all writes, because of what he thinks of one member.
func (w *world) suspect(s *faultState) {
	op, leader := w.operator(), w.oracle.leader()
	if op.pending != nil || leader < 0 {
		return
	}
	for i, m := range w.members {
		if s.members.Has(netsim.Endpoint(i)) && m.id != 0 && op.pending == nil {
			r := changeRequest(kv.MethodAlarm, &pb.AlarmRequest{
				Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(m.id),
				Alarm: pb.AlarmType_CORRUPT})
			op.actAsRoot()
			op.ask(r, leader, op.script.Timeout)
			s.felt++
		}
	}
}

// disarmRequest asks for the end of an alarm.
func disarmRequest(a kv.Alarm) request {
	return changeRequest(kv.MethodAlarm, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE,
		MemberID: uint64(a.Member), Alarm: pb.AlarmType(a.Kind)})
}

// disarm lets the operator end the oldest alarm, as long as there is one.
func (w *world) disarm() {
	alarms, op := w.oracle.commit.alarms, w.operator()
	if w.heal.phase != chaos || len(alarms) == 0 {
		return
	}
	w.schedule(event{at: w.now + second, kind: eventDisarm})
	if leader := w.oracle.leader(); op.pending == nil && leader >= 0 {
		op.actAsRoot()
		request := disarmRequest(alarms[0])
		if w.disarms++; w.plan.Limits.QuotaBytes >= 0 && w.disarms%2 == 1 {
			request = w.compactAll() // makes room first
		}
		op.ask(request, leader, op.script.Timeout)
	}
}

// disarmAll plans the end of all alarms before the final requests. Where there is a quota, room is
// made then.
func (w *world) disarmAll() {
	for _, a := range w.oracle.commit.alarms {
		w.heal.steps = append(w.heal.steps, finalStep{member: w.oracle.leader(),
			request: disarmRequest(a)})
	}
	if len(w.oracle.commit.alarms) > 0 && w.plan.Limits.QuotaBytes >= 0 {
		w.heal.steps = append(w.heal.steps, finalStep{member: w.oracle.leader()})
	}
}
