package linearizability

import (
	"cmp"
	"slices"
)

// A search of the whole store tries what was called first, and learns of a wrong choice only when
// something else must have returned and fits no more; by then it has chosen among everything that
// came between, and takes all of that back one by one. After a stall, when a hundred writes take
// effect at once whose answers are lost, that does not end. A guide refuses the wrong choice where
// it is made. It only refuses what every order must avoid:
//
//   - A write with revision r may not go before everything that was seen, or is known to have
//     happened, at revision r-1 or an earlier one. It could never go later.
//   - A change of leases may not go before another one that took effect earlier. No revision
//     tells; the world that recorded the history has seen it (Operation.Order).
//
// What a guide knows of a state follows from which operations lead to it, so two states that are
// equal with the same operations behind them are equal in a guided search, too.
type guide struct {
	revisions []int64 // sorted, of every operation that has one
	ranks     map[*Operation]int
}

// guided is a state of a guided search.
type guided struct {
	*State
	dated   int // operations with a revision that lead here
	ordered int // changes of leases, in the order of their ranks
}

func newGuide(history []Operation) *guide {
	g := &guide{ranks: map[*Operation]int{}}
	var changes []*Operation
	for i := range history {
		op := &history[i]
		if !op.judged() {
			continue
		}
		if rev, ok := op.dated(); ok {
			g.revisions = append(g.revisions, rev)
		}
		if op.Order != 0 && op.Request.changesLeases() &&
			(op.Outcome == OK || op.Outcome == Applied) {
			changes = append(changes, op)
		}
	}
	slices.Sort(g.revisions)
	slices.SortStableFunc(changes, func(a, b *Operation) int {
		return cmp.Compare(a.Order, b.Order)
	})
	for i, op := range changes {
		g.ranks[op] = i
	}
	return g
}

// dated is the store's revision right after op, when an answer or the world tells it.
func (op *Operation) dated() (rev int64, ok bool) {
	switch {
	case op.Outcome == Applied:
		return op.Revision, true
	case op.Outcome == OK && !op.Request.asksLeader():
		return op.Response.Revision(), true
	}
	return 0, false
}

// until counts the operations whose revision is at most rev.
func (g *guide) until(rev int64) int {
	n, _ := slices.BinarySearch(g.revisions, rev+1)
	return n
}

// step is State.step, where what leads nowhere is refused.
func (g *guide) step(s guided, op *Operation) (next guided, ok bool) {
	rank, ranked := g.ranks[op]
	if ranked && rank != s.ordered {
		return s, false
	}
	state, diff := s.State.step(op)
	if diff != nil || state.revision > s.revision && s.dated != g.until(s.revision) {
		return s, false
	}
	next = guided{state, s.dated, s.ordered}
	if _, ok := op.dated(); ok {
		next.dated++
	}
	if ranked {
		next.ordered++
	}
	return next, true
}
