package watch

import "github.com/detcd/detcd/mvcc"

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count.

// Probe names a rare place in this package.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeBlocked Probe = iota
	ProbeCaughtUp
	ProbeWaiting
	ProbeHugeRevision
	ProbeRevisionsSkipped
	ProbeOvertaken
	ProbePassOvertaken
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
	ProbeBlocked:          "watcher blocked because its stream is full",
	ProbeCaughtUp:         "watcher caught up at the end of a pass",
	ProbeWaiting:          "watcher waited for a pass",
	ProbeHugeRevision:     "watchers delayed by a huge revision",
	ProbeRevisionsSkipped: "watchers delayed because several revisions became visible at once",
	ProbeOvertaken:        "watcher overtaken by a compaction",
	ProbePassOvertaken:    "pass overtaken by a compaction",
}

// Probes returns the counts since New.
func (h *Hub) Probes() Probes { return h.probes }

// noteDelay counts why live watchers are made late.
func (h *Hub) noteDelay(newest mvcc.Revision, changes int) {
	if newest == h.front && changes > h.limits.LiveChanges {
		h.probes[ProbeHugeRevision]++
	} else {
		h.probes[ProbeRevisionsSkipped]++
	}
}
