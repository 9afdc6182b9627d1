package server

import (
	"time"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

const (
	// A mark stands for markSpan, and the ring reaches back over ten seconds, which is longer than
	// a request may take.
	markSpan  = 5 * time.Millisecond
	markCount = 2048
)

// mark is how far the log was at the end of a turn.
type mark struct {
	at time.Duration
	kv.Progress
}

// marks is a ring of them, oldest first from next on. It belongs to the loop.
type marks struct {
	ring [markCount]mark
	next int
	// since is when the span of the newest mark began.
	since time.Duration
}

// add notes the progress at a time. Within a span the newest note replaces the others: what it
// says is true a little later than need be.
func (m *marks) add(at time.Duration, p kv.Progress) {
	if at-m.since >= markSpan {
		m.next, m.since = (m.next+1)%markCount, at
	}
	m.ring[m.next] = mark{at, p}
}

// find returns when an index, asked for at a time, was durable here and when it was committed;
// latest if no mark says so.
func (m *marks) find(index raft.Index, from, latest time.Duration) (durable,
	committed time.Duration) {
	durable, committed = latest, latest
	for i := 0; i < markCount; i++ {
		// Backwards from the newest: the last one that still shows it is the first in time.
		at := &m.ring[(m.next-i+markCount)%markCount]
		if at.at < from || at.Committed < index && at.Durable < index {
			break
		}
		if at.Durable >= index {
			durable = at.at
		}
		if at.Committed >= index {
			committed = at.at
		}
	}
	return durable, committed
}
