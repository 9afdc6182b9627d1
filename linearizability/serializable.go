package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// A serializable read may be answered from old state, but still from a state that the store had:
// one that existed when the answer arrived, the same for all of its parts, and for one member
// never older than what that member had already shown.

// CheckSerializable judges the serializable reads of a history against the states of its run.
//
// Members that restart may fall back to an older state of their own, so give each life of a member
// its own Member number, or 0 to leave the order of one member's answers unchecked.
func (r *Run) CheckSerializable(history []Operation) Result {
	result := Result{Checker: "serializable", Verdict: Legal}
	for i := range history {
		op := &history[i]
		if !op.Request.Serializable() || op.Outcome == Unknown ||
			op.Outcome == Failed && !isModelled(op.Err) {
			continue
		}
		if diff := r.existed(op); diff != nil {
			result.Verdict = Illegal
			result.Detail = fmt.Sprintf("operation %d of client %d, from %d to %d, %v: %v",
				i, op.Client, op.Call, op.Return, op, diff)
			result.At = op
			return result
		}
	}
	if at, detail := wentBack(history); at != nil {
		result.Verdict, result.Detail, result.At = Illegal, detail, at
	}
	return result
}

// existed says whether some state explains op's answer, and nil if so.
func (r *Run) existed(op *Operation) *difference {
	states := r.States
	known := sort.Search(len(states), func(i int) bool { return r.known[i] > op.Return })
	from, to := 0, known
	if op.Outcome == OK {
		rev := op.Response.Revision()
		from = sort.Search(len(states), func(i int) bool { return states[i].revision >= rev })
		to = sort.Search(len(states), func(i int) bool { return states[i].revision > rev })
		if to = min(to, known); from >= to {
			return differs("revision", rev, "one that existed by then")
		}
	}
	// A different compacted revision makes several states of one revision; which one the member
	// had is not known.
	var diff *difference
	for _, s := range states[from:to] {
		if _, diff = s.step(op); diff == nil {
			return nil
		}
	}
	return diff
}

// wentBack finds a serializable read that shows a member in an older state than an answer of the
// same member which returned before the read was called.
func wentBack(history []Operation) (at *Operation, detail string) {
	var byCall, byReturn []int
	for i := range history {
		if op := &history[i]; op.Member != 0 && op.Outcome == OK {
			byCall, byReturn = append(byCall, i), append(byReturn, i)
		}
	}
	slices.SortStableFunc(byCall, func(a, b int) int {
		return cmp.Compare(history[a].Call, history[b].Call)
	})
	slices.SortStableFunc(byReturn, func(a, b int) int {
		return cmp.Compare(history[a].Return, history[b].Return)
	})
	shown := map[uint64]int64{} // by member, the latest revision that it has shown
	for _, i := range byCall {
		op := &history[i]
		for len(byReturn) > 0 && history[byReturn[0]].Return < op.Call {
			before := &history[byReturn[0]]
			shown[before.Member] = max(shown[before.Member], before.Response.Revision())
			byReturn = byReturn[1:]
		}
		if rev := op.Response.Revision(); op.Request.Serializable() && rev < shown[op.Member] {
			return op, fmt.Sprintf("operation %d: member %x shows revision %d after %d",
				i, op.Member, rev, shown[op.Member])
		}
	}
	return nil, ""
}
