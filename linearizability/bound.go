package linearizability

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Commit says that an operation is known to have been executed and to have changed something: to
// have made a revision, or to have compacted. One that was executed and changed nothing, or that
// failed, is no Commit: nobody can tell it from one that was never executed.
type Commit struct {
	// Op is the operation's position in the history.
	Op int
	// Revision is the store's revision right after the operation was executed.
	Revision int64
	// Time is when the operation was certain to take effect, on the history's clock; 0 when not
	// known. Every read called later must see it.
	Time int64
}

// Bound settles the lost answers of a history by ground truth: an Unknown write among the commits
// becomes Applied, with the earliest return time that is certain, and one that is not among them
// is dropped, as is every Unknown read. The commits may name answered operations too, whose
// revisions must then agree. The given history is not changed; positions in the returned one
// differ from it.
func Bound(history []Operation, commits []Commit) ([]Operation, error) {
	committed := make([]*Commit, len(history))
	for i := range commits {
		c := &commits[i]
		if c.Op < 0 || c.Op >= len(history) {
			return nil, fmt.Errorf("bound: commit of operation %d of %d", c.Op, len(history))
		}
		if committed[c.Op] != nil {
			return nil, fmt.Errorf("bound: operation %d took effect twice, at revisions %d and %d",
				c.Op, committed[c.Op].Revision, c.Revision)
		}
		committed[c.Op] = c
	}
	seen := firstSeen(history)
	bounded := make([]Operation, 0, len(history))
	for i, op := range history {
		c := committed[i]
		switch {
		case op.Outcome == OK && c != nil && op.Response.Revision() != c.Revision:
			return nil, fmt.Errorf("bound: operation %d was answered with revision %d, but has %d",
				i, op.Response.Revision(), c.Revision)
		case op.Outcome != Unknown:
			bounded = append(bounded, op)
		case c != nil && !op.Request.ReadOnly():
			op.Outcome, op.Revision = Applied, c.Revision
			op.Return = seen.after(c.Revision)
			if op.Request.Compact != nil || op.Request.changesLeases() {
				// It need not have made its revision, so only a later one is certain to come after.
				op.Return = seen.after(c.Revision + 1)
			}
			if c.Time != 0 {
				op.Return = min(op.Return, c.Time)
			}
			op.Return = max(op.Return, op.Call)
			bounded = append(bounded, op)
		}
	}
	return bounded, nil
}

// sightings tells when a revision was first certain to exist: sorted by revision, with the
// earliest return among the answers of that revision or a later one.
type sightings []sighting

type sighting struct {
	revision, at int64
}

func firstSeen(history []Operation) sightings {
	var all sightings
	for i := range history {
		if op := &history[i]; op.Outcome == OK {
			all = append(all, sighting{op.Response.Revision(), op.Return})
		}
	}
	slices.SortFunc(all, func(a, b sighting) int { return cmp.Compare(a.revision, b.revision) })
	for i := len(all) - 2; i >= 0; i-- {
		all[i].at = min(all[i].at, all[i+1].at)
	}
	return all
}

// after is the earliest return of an answer with revision rev or more; Never when there is none.
func (s sightings) after(rev int64) int64 {
	i, _ := slices.BinarySearchFunc(s, rev, func(s sighting, rev int64) int {
		return cmp.Compare(s.revision, rev)
	})
	if i == len(s) {
		return math.MaxInt64
	}
	return s[i].at
}
