package wal

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count.

// Probe names a rare place in this package.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeTornTail Probe = iota
	ProbeTailRewritten
	ProbeTailCutDurable
	ProbeRecycled
	ProbeRollWaited
	ProbeSyncMark
	ProbeGroupCommit
	ProbeHardStateAlone
	ProbeCutInFlight
	ProbeFetchCut
	ProbeFetchPins
	ProbeDiskFull
	ProbeDiskFullRetried
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
	ProbeTornTail:        "torn tail cut at a start",
	ProbeTailRewritten:   "record that may not be durable written again at a start",
	ProbeTailCutDurable:  "record that is written again at a start cuts durable entries",
	ProbeRecycled:        "file of an obsolete segment prepared again",
	ProbeRollWaited:      "write waited for a segment",
	ProbeSyncMark:        "sync mark written",
	ProbeGroupCommit:     "several records in one write",
	ProbeHardStateAlone:  "term and vote written without entries",
	ProbeCutInFlight:     "append cut entries whose write was in flight",
	ProbeFetchCut:        "fetched entries were cut meanwhile",
	ProbeFetchPins:       "obsolete segment kept for a fetch",
	ProbeDiskFull:        "disk too full for a segment",
	ProbeDiskFullRetried: "full disk asked for a segment again",
}

// Probes returns the counts since Open.
func (l *Log) Probes() Probes { return l.probes }

// noteRecovery counts what a start has found.
func (l *Log) noteRecovery(r *replay) {
	if f := r.scan.flaw; f != nil && !f.soft {
		l.probes[ProbeTornTail]++
	}
	for i := range r.tail {
		m := &r.tail[i].meta
		if m.kind == RecordStart || m.kind == RecordMark {
			continue
		}
		l.probes[ProbeTailRewritten]++
		if m.kind == RecordBatch && m.first <= r.base.last {
			l.probes[ProbeTailCutDurable]++
		}
	}
}
