package linearizability

import (
	"fmt"
	"math/rand"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// drawer is where a schedule gets its choices from: rapid, so that a failure shrinks, or a plain
// generator where speed matters.
type drawer interface {
	below(n int) int
}

type randDrawer struct{ *rand.Rand }

func (r randDrawer) below(n int) int { return r.Intn(n) }

// schedule is a concurrent execution over the reference model: clients call, the store executes
// each request at some instant between call and return, and some answers are lost.
type schedule struct {
	history []Operation
	commits []Commit
	dump    Dump
	states  []*State
}

type shape struct {
	clients, operations, keys int
	lostPercent               int
	compacts                  bool
	simple                    bool // puts, gets and deletes of single keys, and put-if-unchanged
}

// runSchedule draws an execution. Time is the number of steps.
func runSchedule(d drawer, sh shape) *schedule {
	s := &schedule{states: []*State{NewState()}}
	type pending struct{ op, phase int } // phase 0 called, 1 executed; op -1: idle
	clients := make([]pending, sh.clients)
	for i := range clients {
		clients[i].op = -1
	}
	var limbo []int // lost and not yet executed: may still be, at any time
	now := int64(0)
	execute := func(i int) {
		op := &s.history[i]
		state := s.states[len(s.states)-1]
		if op.Request.Serializable() && d.below(2) == 0 {
			// A member that lags: any state that existed.
			state = s.states[len(s.states)-1-d.below(min(len(s.states), 5))]
		}
		next, resp, err := state.Apply(&op.Request)
		op.Outcome, op.Response, op.Err = OK, resp, err
		if err != "" {
			op.Outcome = Failed
		}
		if next != state {
			s.states = append(s.states, next)
			s.commits = append(s.commits, Commit{Op: i, Revision: next.revision, Time: now})
		}
	}
	for len(s.history) < sh.operations {
		now++
		if len(limbo) > 0 && d.below(8) == 0 {
			at := d.below(len(limbo))
			execute(limbo[at])
			s.history[limbo[at]].lose()
			limbo = append(limbo[:at], limbo[at+1:]...)
			continue
		}
		c := d.below(len(clients))
		switch p := &clients[c]; {
		case p.op < 0:
			*p = pending{op: len(s.history)}
			s.history = append(s.history, Operation{
				Client: c, Call: now, Return: now,
				Request: drawRequest(d, sh, len(s.history), s.states[len(s.states)-1]),
			})
		case d.below(100) < sh.lostPercent:
			s.history[p.op].lose()
			if p.phase == 0 {
				limbo = append(limbo, p.op)
			}
			p.op = -1
		case p.phase == 0:
			execute(p.op)
			p.phase = 1
		default:
			s.history[p.op].Return = now
			p.op = -1
		}
	}
	for _, p := range clients {
		if p.op >= 0 {
			s.history[p.op].lose()
		}
	}
	s.makeDump()
	return s
}

func (op *Operation) lose() {
	op.Outcome, op.Response, op.Err, op.Return = Unknown, Response{}, "", Never
}

func (s *schedule) makeDump() {
	for _, state := range s.states {
		if int(state.revision) > len(s.dump) {
			s.dump = append(s.dump, Snapshot{state.revision, state.kvs})
		}
	}
}

func drawRequest(d drawer, sh shape, unique int, now *State) Request {
	key := func() []byte { return fmt.Appendf(nil, "k%02d", d.below(sh.keys)) }
	value := fmt.Appendf(nil, "v%d", unique)
	kind := d.below(100)
	switch {
	case sh.compacts && kind < 3:
		return Request{Compact: &pb.CompactionRequest{Revision: now.revision - int64(d.below(10))}}
	case kind < 30:
		return Request{Put: drawPut(d, key(), value)}
	case kind < 40:
		return Request{DeleteRange: drawDelete(d, sh, key())}
	case kind < 60:
		return Request{Txn: drawTxn(d, sh, key, value, now, 1)}
	}
	r := drawRange(d, sh, key(), now)
	r.Serializable = d.below(4) == 0
	return Request{Range: r}
}

func drawPut(d drawer, key, value []byte) *pb.PutRequest {
	put := &pb.PutRequest{Key: key, Value: value, PrevKv: d.below(3) == 0}
	if d.below(10) == 0 {
		put.IgnoreValue, put.Value = true, nil
	}
	return put
}

func drawDelete(d drawer, sh shape, key []byte) *pb.DeleteRangeRequest {
	del := &pb.DeleteRangeRequest{Key: key, PrevKv: d.below(2) == 0}
	if !sh.simple && d.below(3) == 0 {
		del.RangeEnd = fmt.Appendf(nil, "k%02d", d.below(sh.keys+1))
	}
	return del
}

func drawRange(d drawer, sh shape, key []byte, now *State) *pb.RangeRequest {
	r := &pb.RangeRequest{Key: key}
	if sh.simple && d.below(10) > 0 {
		return r
	}
	r.RangeEnd = [][]byte{nil, {0}, fmt.Appendf(nil, "k%02d", d.below(sh.keys+1))}[d.below(3)]
	r.Limit = int64(d.below(4))
	r.KeysOnly, r.CountOnly = d.below(6) == 0, d.below(6) == 0
	r.SortOrder = pb.RangeRequest_SortOrder(d.below(3))
	r.SortTarget = pb.RangeRequest_SortTarget(d.below(5))
	if d.below(4) == 0 {
		r.Revision = now.revision + 2 - int64(d.below(8))
	}
	if d.below(5) == 0 {
		r.MinModRevision = now.revision - int64(d.below(8))
		r.MaxCreateRevision = now.revision - int64(d.below(4))
	}
	return r
}

func drawTxn(
	d drawer, sh shape, key func() []byte, value []byte, now *State, depth int,
) *pb.TxnRequest {
	k := key()
	c := &pb.Compare{
		Key: k, Target: pb.Compare_CompareTarget(d.below(5)),
		Result: pb.Compare_CompareResult(d.below(4)),
	}
	i, found := now.kvs.find(k)
	switch {
	case !found:
	case c.Target == pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: now.kvs[i].Version}
	case c.Target == pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: now.kvs[i].ModRevision}
	case c.Target == pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: now.kvs[i].Value}
	}
	if d.below(6) == 0 {
		c.RangeEnd = []byte{0}
	}
	txn := &pb.TxnRequest{Compare: []*pb.Compare{c}}
	if d.below(4) == 0 {
		txn.Compare = nil
	}
	txn.Success = append(txn.Success, wrap(drawPut(d, k, value)), wrap(drawRange(d, sh, k, now)))
	if !sh.simple && depth > 0 && d.below(3) == 0 {
		txn.Success = append(txn.Success, wrap(drawTxn(d, sh, key, value, now, depth-1)))
	}
	if d.below(2) == 0 {
		txn.Failure = append(txn.Failure, wrap(drawDelete(d, sh, key())))
	}
	txn.Failure = append(txn.Failure, wrap(drawRange(d, sh, key(), now)))
	return txn
}

func wrap(req proto.Message) *pb.RequestOp {
	switch r := req.(type) {
	case *pb.PutRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	case *pb.DeleteRangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
	case *pb.TxnRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
	}
	return &pb.RequestOp{
		Request: &pb.RequestOp_RequestRange{RequestRange: req.(*pb.RangeRequest)},
	}
}
