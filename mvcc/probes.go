package mvcc

import "github.com/detcd/detcd/mvcc/revlog"

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count.

// Probe names a rare place in this package.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeSplit Probe = iota
	ProbeMerged
	ProbeEmptied
	ProbeCopied
	ProbeTrimShared
	ProbeTrimOvertaken
	ProbeOldRange
	// NumProbes is the number of probes.
	NumProbes
)

// Probes says how often each probe was reached; a count wraps.
type Probes [NumProbes]uint32

// String says what happened.
func (p Probe) String() string {
	return probeNames[p]
}

var probeNames = [NumProbes]string{
	ProbeSplit:         "block of the index split",
	ProbeMerged:        "blocks of the index merged",
	ProbeEmptied:       "empty block of the index dropped",
	ProbeCopied:        "block copied because a view sees it",
	ProbeTrimShared:    "compaction dropped versions from a block that a view sees",
	ProbeTrimOvertaken: "compaction began while an earlier one was still dropping versions",
	ProbeOldRange:      "transaction read an older revision",
}

// Probes returns the counts of the engine and of its log since Open.
func (e *Engine) Probes() (Probes, revlog.Probes) { return e.index.probes, e.log.Probes() }

// CountOn lets an engine that takes the place of another one count on from there. Its log has done
// so already.
func (e *Engine) CountOn(old *Engine) {
	e.compact.trimmed += old.compact.trimmed
	for p, n := range old.index.probes {
		e.index.probes[p] += n
	}
}
