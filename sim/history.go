package sim

import (
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
)

// checkTime bounds one search of a checker, in nanoseconds of real time. It is far beyond what a
// search takes once lost answers are settled; a search that needs it all has failed.
const checkTime = 60_000_000_000

// history is what the clients saw, with what the world knows about lost answers.
func (w *world) history() ([]linearizability.Operation, []linearizability.Commit) {
	var ops []linearizability.Operation
	var commits []linearizability.Commit
	for _, k := range w.calls {
		op, ok := k.operation()
		if !ok {
			continue
		}
		if k.changed == changedStore {
			commits = append(commits, linearizability.Commit{
				Op: len(ops), Revision: k.revision, Time: k.appliedAt,
			})
		}
		ops = append(ops, op)
	}
	return w.nobody(ops, commits)
}

// operation is a call as its client saw it; ok is false when it has no part in the history.
func (k *call) operation() (op linearizability.Operation, ok bool) {
	m := &k.request.modelled
	if *m == (linearizability.Request{}) {
		return op, false
	}
	op = linearizability.Operation{
		Client: k.client, Number: k.number,
		Member: uint64(k.answerer+1)<<32 | uint64(k.run), Call: k.sent,
		Return: k.ended, Request: *m, Order: k.order,
	}
	if k.granted != nil {
		op.Request.Grant = k.granted
	}
	switch {
	case k.end == callAnswered && k.code == kv.OK:
		op.Outcome, op.Response = linearizability.OK, k.response
	case k.end == callAnswered && !k.code.Maybe():
		op.Outcome, op.Err = linearizability.Failed, k.code.Text()
	case m.ReadOnly():
		return op, false
	default:
		op.Outcome, op.Return = linearizability.Unknown, linearizability.Never
	}
	return op, true
}

// judge runs every checker over the history. Each is independent of the others.
func (w *world) judge() {
	if w.judgeWatches(); w.failure != nil {
		return
	}
	ops, commits := w.history()
	if err := linearizability.Check(ops); err != nil {
		w.fail(OracleLin, "the history is malformed: %v", err)
		return
	}
	bounded, err := linearizability.Bound(ops, commits)
	if err != nil {
		w.fail(OracleLin, "the history does not fit the commits: %v", err)
		return
	}
	run, replayed := linearizability.Replay(bounded)
	w.verdict(&replayed)
	if w.failure != nil {
		return
	}
	serializable := run.CheckSerializable(bounded)
	w.verdict(&serializable)
	store := linearizability.CheckStore(bounded, checkTime)
	w.verdict(&store)
	keys := linearizability.CheckKeys(ops, checkTime)
	w.verdict(&keys)
}

func (w *world) verdict(r *linearizability.Result) {
	if r.Verdict == linearizability.Legal {
		return
	}
	if w.failure == nil {
		w.judged = *r
	}
	if r.Verdict == linearizability.Illegal {
		var about Subject
		if r.At != nil {
			about.Call = r.At.Number
		}
		w.failAbout(about, OracleLin, "%v", r.Err())
		return
	}
	w.counts.Undecided++
	w.fail(OracleUndecided, "%v", r.Err())
}
