package linearizability

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
)

// Replay finds the order of a history without a search. What makes that possible is that a
// response names the store's revision: there is one write for each revision, and everything else
// leaves the state alone (but for Compact, see below). So the next operation in the order is
// never a matter of choice:
//
//   - An operation is open when no other one that must come before it is left: when it was called
//     before any operation not yet in the order returned.
//   - An open operation that changes nothing and whose response fits the state goes next, at
//     once. Waiting could not help it, and nothing else can tell the difference.
//   - Otherwise an open operation that does change the state and fits goes next. At most one
//     write fits, since it has to have the next revision. A Compact that fits has the present
//     revision, so it goes before the write, and of several the lowest, since they only ever
//     rise; those above stay possible. A change of leases goes when all that took effect before it
//     have gone, which the history says.
//   - If neither exists, the history is illegal, and the operation that returned first among
//     those left is the one to look at.
//
// Per state only the open operations are looked at, of which there are about as many as clients,
// so the time is linear.

// Run is a sequence of states that explains a history, as far as it goes.
type Run struct {
	// States are all states in order, from the virgin store on. Two neighbours differ by one
	// revision, or by a compaction.
	States []*State
	// known is, for each state, the earliest time at which anybody can have seen it: when the
	// latest call among the writes that lead to it was made.
	known []int64
	// order lists the operations as executed, after the state after each.
	order []int
	after []*State
}

// Replay orders the history's operations by the revisions in their responses and checks real-time
// order and every response. Lost answers must have been settled by Bound or BoundByDump before:
// what is still Unknown is taken as never executed. The Run is never nil.
func Replay(history []Operation) (*Run, Result) {
	run := &Run{States: []*State{NewState()}, known: []int64{math.MinInt64}}
	result := Result{Checker: "replay", Verdict: Legal}
	if err := Check(history); err != nil {
		result.Verdict, result.Detail = Illegal, err.Error()
		return run, result
	}
	r := newReplayer(history, run)
	for r.done < len(r.byReturn) {
		r.admit()
		if r.takeQuiet() || r.takeChange() {
			continue
		}
		result.Verdict, result.Detail = Illegal, r.stuck()
		result.At = &history[r.byReturn[r.done]]
		result.model, result.drawn = run.around(history)
		break
	}
	return run, result
}

type replayer struct {
	history  []Operation
	run      *Run
	state    *State
	byCall   []int // operations not yet open, the next one first
	byReturn []int
	taken    []bool
	done     int // all of byReturn before it are taken
	open     []int
	byOrder  []int // those whose place is known, in order
	ordered  int   // all of byOrder before it are taken
}

func newReplayer(history []Operation, run *Run) *replayer {
	r := &replayer{
		history: history, run: run, state: run.States[0], taken: make([]bool, len(history)),
	}
	for i := range history {
		if op := &history[i]; op.judged() && op.Outcome != Unknown {
			r.byCall = append(r.byCall, i)
		}
	}
	r.byReturn = slices.Clone(r.byCall)
	for _, i := range r.byCall {
		if history[i].Order != 0 {
			r.byOrder = append(r.byOrder, i)
		}
	}
	slices.SortStableFunc(r.byOrder, func(a, b int) int {
		return cmp.Compare(history[a].Order, history[b].Order)
	})
	slices.SortStableFunc(r.byCall, func(a, b int) int {
		return cmp.Compare(history[a].Call, history[b].Call)
	})
	slices.SortStableFunc(r.byReturn, func(a, b int) int {
		return cmp.Compare(history[a].Return, history[b].Return)
	})
	return r
}

// admit opens the operations that were called before anything left has returned.
func (r *replayer) admit() {
	first := r.history[r.byReturn[r.done]].Return
	for len(r.byCall) > 0 && r.history[r.byCall[0]].Call <= first {
		r.open = append(r.open, r.byCall[0])
		r.byCall = r.byCall[1:]
	}
}

// takeQuiet executes the open operations that fit and leave the state alone.
func (r *replayer) takeQuiet() bool {
	kept := r.open[:0]
	for _, i := range r.open {
		next, diff := r.state.step(&r.history[i])
		if diff == nil && next == r.state {
			r.take(i)
		} else {
			kept = append(kept, i)
		}
	}
	took := len(kept) < len(r.open)
	r.open = kept
	r.settle()
	return took
}

// takeChange executes the one open operation that has to come next.
func (r *replayer) takeChange() bool {
	best := -1
	var after *State
	for at, i := range r.open {
		next, diff := r.state.step(&r.history[i])
		if diff != nil || next == r.state || !r.isNext(i) {
			continue
		}
		compacts := next.revision == r.state.revision
		if after == nil || compacts && (after.revision > r.state.revision ||
			next.compacted < after.compacted) {
			best, after = at, next
		}
	}
	if after == nil {
		return false
	}
	i := r.open[best]
	r.open = slices.Delete(r.open, best, best+1)
	r.state = after
	last := r.run.known[len(r.run.known)-1]
	r.run.States = append(r.run.States, after)
	r.run.known = append(r.run.known, max(last, r.history[i].Call))
	r.take(i)
	r.settle()
	return true
}

// isNext says whether an operation that changes leases may go now. Whether it makes a revision
// depends on when it goes, so the revision in its answer does not tell.
func (r *replayer) isNext(i int) bool {
	return !r.history[i].Request.changesLeases() || r.history[i].Order == 0 ||
		r.byOrder[r.ordered] == i
}

func (r *replayer) take(i int) {
	r.taken[i] = true
	r.run.order = append(r.run.order, i)
	r.run.after = append(r.run.after, r.state)
}

func (r *replayer) settle() {
	for r.done < len(r.byReturn) && r.taken[r.byReturn[r.done]] {
		r.done++
	}
	for r.ordered < len(r.byOrder) && r.taken[r.byOrder[r.ordered]] {
		r.ordered++
	}
}

// stuck describes the operation that should have come next at the latest.
func (r *replayer) stuck() string {
	i := r.byReturn[r.done]
	op := &r.history[i]
	_, diff := r.state.step(op)
	return fmt.Sprintf("at revision %d, operation %d of client %d, from %d to %d, %v: %v",
		r.state.revision, i, op.Client, op.Call, op.Return, op, diff)
}

const (
	drawnBefore = 40  // operations shown before the failure
	drawnAfter  = 120 // and after
)

// around chooses the operations near the end of the run, and a model that starts there.
func (r *Run) around(history []Operation) (porcupine.Model, []porcupine.Operation) {
	from := max(0, len(r.order)-drawnBefore)
	first := r.States[0]
	if from > 0 {
		first = r.after[from-1]
	}
	var ops []porcupine.Operation
	taken := make([]bool, len(history))
	for n, i := range r.order {
		taken[i] = true
		if n >= from {
			ops = append(ops, storeOperation(&history[i]))
		}
	}
	var rest []int
	for i := range history {
		if op := &history[i]; !taken[i] && op.judged() && op.Outcome != Unknown {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int {
		return cmp.Compare(history[a].Call, history[b].Call)
	})
	for _, i := range rest[:min(len(rest), drawnAfter)] {
		ops = append(ops, storeOperation(&history[i]))
	}
	return storeModel(first), ops
}
