package revlog

import "strings"

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count.

// Probe names a rare place in this package.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeCacheHit Probe = iota
	ProbeCacheLoaded
	ProbeCacheEvicted
	ProbeReadFromFile
	ProbeLongRecord
	ProbeTxnSplit
	ProbeRewritten
	ProbeRewrittenPinned
	ProbeDiedMeanwhile
	ProbeTombstoneHeld
	ProbePurge
	ProbeGraveHeld
	ProbeManifestUnfinished
	ProbeOlderDamaged
	ProbeDiskFullRetried
	ProbeInstalled
	ProbeInstallFull
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
	ProbeCacheHit:           "record found in the block cache",
	ProbeCacheLoaded:        "block loaded into the cache",
	ProbeCacheEvicted:       "block evicted from the cache",
	ProbeReadFromFile:       "record read from its file",
	ProbeLongRecord:         "record longer than a segment",
	ProbeTxnSplit:           "transaction continued in the next segment",
	ProbeRewritten:          "segments rewritten",
	ProbeRewrittenPinned:    "segments rewritten while a view or a shipment holds the old ones",
	ProbeDiedMeanwhile:      "record died after a rewrite had copied it",
	ProbeTombstoneHeld:      "dead tombstone kept for what an older segment holds",
	ProbePurge:              "purge of held tombstones",
	ProbeGraveHeld:          "removal of a file waited for a view or a shipment",
	ProbeManifestUnfinished: "start found a manifest that was not completed",
	ProbeOlderDamaged:       "start found the older manifest damaged",
	ProbeDiskFullRetried:    "full disk asked again",
	ProbeInstalled:          "received state took the place of the log",
	ProbeInstallFull:        "installation met a full disk",
}

// Probes returns the counts since Open; those of a log that was replaced are its successor's.
func (l *Log) Probes() Probes { return l.probes }

// noteOpened counts what a start has found beside the generations that it keeps.
func (l *Log) noteOpened(f *found, loaded *Loaded) {
	if loaded.Ignored != "" {
		l.probes[ProbeOlderDamaged]++
	}
	for _, name := range f.others {
		if strings.HasSuffix(name, tmpSuffix) {
			l.probes[ProbeManifestUnfinished]++
		}
	}
}

// noteSwapped counts how a rewrite has ended.
func (l *Log) noteSwapped(w *rewrite) {
	if w.out == nil {
		return // all records were dead
	}
	l.probes[ProbeRewritten]++
	if len(l.home.pins.held) > 0 {
		l.probes[ProbeRewrittenPinned]++
	}
	if w.out.deadRecords > 0 {
		l.probes[ProbeDiedMeanwhile]++
	}
	if w.out.heldBytes > 0 {
		l.probes[ProbeTombstoneHeld]++
	}
}
