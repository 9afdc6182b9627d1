package sim

import (
	"slices"

	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// The budget: what a run may demand follows from what the faults of the disks have left. As long as
// a quorum of every set of voters is whole, the cluster must be safe and recover in time. Beyond
// that it may stop, and must: no answer may ever be wrong, which every oracle goes on watching. A
// run that ends so is excused and counted apart, and never called a pass.
//
// Damage that no member can notice by itself (a disk that lied, was replaced, or is an old image of
// itself) is kept to a minority in every plan, because with more of it acknowledged entries vanish
// without anybody's mistake. Damage that checksums show may, in a part of the plans, hit everybody.

// Verdict says within which budget a run has ended.
type Verdict uint8

// The verdicts.
const (
	WithinBudget Verdict = iota // a quorum was whole: safe and live
	AtEdge                      // no quorum, but some whole member has all that was committed
	BeyondBudget                // nobody whole has: still no wrong answer
	NumVerdicts
)

// String names the verdict.
func (v Verdict) String() string {
	return [...]string{"inside the budget", "at its edge", "beyond it"}[v]
}

// excusedAfter is how long members without a quorum are watched before their run ends.
const excusedAfter = 10 * second

// quorumLeft says whether the members that are not lost can still decide anything.
func (w *world) quorumLeft() bool {
	now := w.oracle.membership.now()
	whole := func(id raft.MemberID) bool {
		i := w.machineOf(id)
		return i >= 0 && w.members[i].life != gone
	}
	for _, voters := range [][]raft.MemberID{now.voters(), now.outgoing} {
		left := 0
		for _, id := range voters {
			if whole(id) {
				left++
			}
		}
		if len(voters) > 0 && 2*left <= len(voters) {
			return false
		}
	}
	return true
}

// excuse ends a run whose members have lost too much to go on.
func (w *world) excuse() {
	w.budget = BeyondBudget
	last := w.oracle.commit.last()
	term := w.oracle.commit.termAt(last)
	for i, m := range w.members {
		if m.life != gone && w.oracle.ledger.members[i].durable.holds(last, term) {
			w.budget = AtEdge
		}
	}
	w.done = true
}

// overdraw lets damage that shows hit any member, in a part of the plans.
func overdraw(p *Plan, weights *[numFaultKinds]uint16, rotten []int, absent netsim.Set) (
	[]int, netsim.Set) {
	d := newDie(p.Seed, entityBudget, 0)
	if _, unruly := electionsFail(p); p.Members > p.Founders || unruly || !d.chance(80_000) {
		return rotten, absent
	}
	p.Overdrawn = true
	weights[FaultLie], weights[FaultLostWrite] = 0, 0
	weights[FaultWipe], weights[FaultOldImage] = 0, 0
	weights[FaultRot], weights[FaultDecay] = 12, 12
	all := make([]int, p.Members)
	d.rand.Perm(all)
	return slices.Clip(all), 0
}
