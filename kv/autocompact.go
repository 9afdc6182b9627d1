// Auto compaction: the leader compacts by itself what is older than somebody asked to keep.
//
// Every member that is told to takes samples of its revision, so that a new leader knows the past;
// only the leader proposes compactions, which are then replicated like anybody's. An attempt has
// succeeded when the store is compacted that far, whoever did it; one that was lost is made again
// at the next sample. The times are etcd's.
//
//	periodic, 1h:   a sample each 6 min, a compaction each hour to the revision of an hour before
//	periodic, 24h:  a sample each 6 min, each hour to the revision of a day before
//	revision, 1000: each 5 min to the current revision less 1000
package kv

import (
	"fmt"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// AutoCompact says how much of the past is kept; the zero value keeps everything.
type AutoCompact struct {
	Mode CompactMode
	// Retention is a duration in nanoseconds, or a number of revisions; 0 is no auto compaction.
	Retention int64
}

// CompactMode says what a retention counts.
type CompactMode uint8

// The modes.
const (
	Periodic CompactMode = iota
	ByRevision
)

// String is etcd's name of the mode.
func (m CompactMode) String() string {
	if m == ByRevision {
		return "revision"
	}
	return "periodic"
}

const (
	hourNanos = 3600 * 1_000_000_000
	// revisionInterval is the time between compactions by revision.
	revisionInterval = hourNanos / 12
	// samplesPerInterval is how finely the past is remembered, and how often a failure is repeated.
	samplesPerInterval = 10
)

// autoCompact is where a member stands.
type autoCompact struct {
	samples []mvcc.Revision // oldest first; the first is as old as the retention asks, in time
	next    int64           // mono; the next sample, 0 before the first
	wait    int64           // how long after the last success the next attempt may be made
	success int64           // mono; the last success, or the start
	last    mvcc.Revision   // compacted last
	asked   mvcc.Revision   // proposed and not yet seen to be done, 0 if none
}

// interval is the time between compactions, sample that between samples.
func (c *AutoCompact) interval() int64 {
	if c.Mode == ByRevision {
		return revisionInterval
	}
	return min(c.Retention, hourNanos)
}

func (c *AutoCompact) sample() int64 {
	if c.Mode == ByRevision {
		return revisionInterval
	}
	return max(1, c.interval()/samplesPerInterval)
}

// tickAutoCompact takes the samples that are due, and compacts if it is time.
func (n *Node) tickAutoCompact() {
	c, a := &n.cfg.AutoCompact, &n.auto
	if c.Retention == 0 {
		return
	}
	if a.next == 0 {
		a.success, a.wait = n.mono, c.interval()
		if c.Mode == Periodic {
			a.wait = c.Retention
		}
		a.take(c, n.store.Revision(), n.mono)
		return
	}
	if a.asked != 0 && n.store.Compacted() >= a.asked {
		n.note(Info, fmt.Sprintf("completed auto %s compaction", c.Mode),
			Field{"revision", fmt.Sprint(a.asked)})
		a.last, a.success, a.asked = a.asked, n.mono, 0
	}
	if n.mono < a.next {
		return
	}
	target := a.samples[0]
	if c.Mode == ByRevision {
		target = n.store.Revision() - mvcc.Revision(c.Retention)
	}
	if n.role == raft.Leader && target > 0 && target != a.last && n.mono-a.success >= a.wait {
		n.note(Info, fmt.Sprintf("starting auto %s compaction", c.Mode),
			Field{"revision", fmt.Sprint(target)})
		a.asked, a.wait = target, c.interval()
		n.propose(0, entryCompact, appendVarint(nil, 1, uint64(target)))
	}
	a.take(c, n.store.Revision(), n.mono)
}

// take remembers a revision and forgets what is older than the retention.
func (a *autoCompact) take(c *AutoCompact, revision mvcc.Revision, now int64) {
	a.next = now + c.sample()
	keep := int64(1)
	if c.Mode == Periodic {
		keep = c.Retention/c.sample() + 1
	}
	a.samples = append(a.samples, revision)
	if int64(len(a.samples)) > keep {
		a.samples = a.samples[int64(len(a.samples))-keep:]
	}
}
