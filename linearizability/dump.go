package linearizability

import (
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Snapshot is the whole content of a store at one revision, read when the run was over.
type Snapshot struct {
	Revision  int64
	KeyValues []*mvccpb.KeyValue
}

// Dump is the content of a store that was never compacted, at every revision: element i is
// revision i+1, up to the current one.
type Dump []Snapshot

// states links the snapshots as a Run's states are linked.
func (d Dump) states() ([]*State, error) {
	states := make([]*State, len(d))
	for i, snap := range d {
		if snap.Revision != int64(i)+1 {
			return nil, fmt.Errorf("dump: revision %d at position %d", snap.Revision, i)
		}
		if i == 0 {
			if len(snap.KeyValues) != 0 {
				return nil, fmt.Errorf("dump: revision 1 has %d keys", len(snap.KeyValues))
			}
			states[0] = NewState()
			continue
		}
		states[i] = states[i-1].extend(snap.KeyValues)
	}
	return states, nil
}

// BoundByDump settles the lost answers of a history of real processes, where nobody knows the log:
// each revision of the dump that no answered write claims was made by an Unknown one, namely one
// that turns the content before into the content after, called before anybody saw the revision.
// Unique values leave one candidate for a put; deletes of a key may be interchangeable, and then
// any assignment that covers all revisions will do. An Unknown write without a revision is dropped:
// it did not take effect, or changed nothing, or will take effect after the dump.
//
// It fails when a revision is left that no operation explains. An Unknown Compact is refused,
// since a compacted store has no dump.
func BoundByDump(history []Operation, dump Dump) ([]Operation, error) {
	if err := Check(history); err != nil {
		return nil, err
	}
	states, err := dump.states()
	if err != nil {
		return nil, err
	}
	m, err := newMatching(history, states)
	if err != nil {
		return nil, err
	}
	for n := range m.revisions {
		if !m.assign(n, make([]bool, len(history))) {
			return nil, fmt.Errorf("dump: no operation explains revision %d", m.revisions[n])
		}
	}
	seen := firstSeen(history)
	bounded := make([]Operation, 0, len(history))
	for i, op := range history {
		if op.Outcome != Unknown {
			bounded = append(bounded, op)
		} else if n := m.owner[i]; n >= 0 {
			op.Outcome, op.Revision = Applied, m.revisions[n]
			op.Return = max(op.Call, seen.after(op.Revision))
			bounded = append(bounded, op)
		}
	}
	return bounded, nil
}

// matching assigns Unknown operations to the revisions that nobody claims.
type matching struct {
	revisions  []int64
	candidates [][]int // by position in revisions: operations that may have made it
	owner      []int   // by operation: position in revisions, or -1
}

func newMatching(history []Operation, states []*State) (*matching, error) {
	claimed := make([]bool, len(states)+1)
	m := &matching{owner: make([]int, len(history))}
	var lost []int
	for i := range history {
		m.owner[i] = -1
		op := &history[i]
		switch {
		case op.Outcome == Unknown && op.Request.Compact != nil:
			return nil, fmt.Errorf("dump: the answer of a compaction, operation %d, was lost", i)
		case op.Outcome == Unknown && !op.Request.ReadOnly():
			lost = append(lost, i)
		case op.Outcome == OK && op.Response.changed():
			rev := op.Response.Revision()
			if rev < 2 || rev > int64(len(states)) {
				return nil, fmt.Errorf("dump: operation %d was acknowledged at revision %d, "+
					"but the store ends at %d", i, rev, len(states))
			}
			if claimed[rev] {
				return nil, fmt.Errorf("dump: two operations were acknowledged at revision %d", rev)
			}
			claimed[rev] = true
		}
	}
	seen := firstSeen(history)
	for i := 1; i < len(states); i++ {
		after := states[i]
		if claimed[after.revision] {
			continue
		}
		var candidates []int
		for _, op := range lost {
			next, _, _ := states[i-1].Apply(&history[op].Request)
			if history[op].Call <= seen.after(after.revision) &&
				next.revision == after.revision && sameKeyValues(next.kvs, after.kvs) {
				candidates = append(candidates, op)
			}
		}
		m.revisions = append(m.revisions, after.revision)
		m.candidates = append(m.candidates, candidates)
	}
	return m, nil
}

// assign finds an operation for revision n, moving earlier choices where that helps: the
// augmenting path of bipartite matching. tried marks operations looked at on the way.
func (m *matching) assign(n int, tried []bool) bool {
	for _, op := range m.candidates[n] {
		if tried[op] {
			continue
		}
		tried[op] = true
		if m.owner[op] < 0 || m.assign(m.owner[op], tried) {
			m.owner[op] = n
			return true
		}
	}
	return false
}

// changed says whether an answer is one of an operation that made a revision.
func (r *Response) changed() bool {
	switch {
	case r.Put != nil:
		return true
	case r.DeleteRange != nil:
		return r.DeleteRange.Deleted > 0
	}
	return slices.ContainsFunc(r.Txn.GetResponses(), changedOp)
}

func changedOp(op *pb.ResponseOp) bool {
	return op.GetResponsePut() != nil || op.GetResponseDeleteRange().GetDeleted() > 0 ||
		slices.ContainsFunc(op.GetResponseTxn().GetResponses(), changedOp)
}

// MatchDump says whether the store holds, at every revision, what the run's states say: no
// acknowledged write is missing, and none that was refused is there.
func (r *Run) MatchDump(dump Dump) Result {
	result := Result{Checker: "dump", Verdict: Legal}
	states, err := dump.states()
	if err != nil {
		result.Verdict, result.Detail = Illegal, err.Error()
		return result
	}
	last := r.States[len(r.States)-1]
	if last.revision != int64(len(states)) {
		result.Verdict = Illegal
		result.Detail = differs("last revision", len(states), last.revision).String()
		return result
	}
	for _, s := range r.States {
		if got := states[s.revision-1].kvs; !sameKeyValues(got, s.kvs) {
			result.Verdict = Illegal
			result.Detail = fmt.Sprintf("revision %d: %v", s.revision, differs("keys", got, s.kvs))
			return result
		}
	}
	return result
}
