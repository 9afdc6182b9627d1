// Leases on the leader: when they end, and what the log has to hear of it.
//
// A lease's end is an entry like any other; until it is applied, the lease exists. Only the leader
// of the entry's own term proposes one: what a member would propose for another leader is refused
// there, and when leadership is lost, proposals without a place in the log are forgotten. So a
// leader that was deposed without noticing ends nothing, and whoever leads next finds for itself
// what is over.
//
// Time is the lease clock. It follows the monotonic clock, but advances by at most two ticks at a
// time: a process that was frozen for an hour does not end every lease before its clients, who
// tried to renew them all the while, are heard. It may lag, and then leases live longer, which is
// allowed.
//
// A tenure begins when the first entry of the own term is applied: from then on everything that
// earlier leaders have decided is applied too. Each lease then gets what may be left of it, and one
// election timeout.
package kv

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

// The entries by which a leader tells the others of leases. A member that does not lead may not
// propose them.
const (
	entryLeaseExpire     raft.EntryType = raft.EntryApplication + 110 // IDs of leases that end
	entryLeaseCheckpoint raft.EntryType = raft.EntryApplication + 111 // what is left of some
)

const (
	// leasesPerEntry bounds how much of a mass expiry stands between two writes: an entry takes a
	// quarter of a millisecond or so to apply. endsPerSecond bounds what all take of a member's
	// time, endsInFlight how many entries are on their way.
	leasesPerEntry = 100
	endsPerSecond  = 15_000
	endsInFlight   = 4
	// leasesPerStep is how many leases are given their end in one step when a tenure begins.
	leasesPerStep = 2000
	// notesPerEntry is etcd's bound on a checkpoint; notesPerTick how many leases are looked at.
	notesPerEntry = 1000
	notesPerTick  = 256
)

// leases is what a member knows of leases beyond the replicated table.
type leases struct {
	clock int64 // the lease clock, in nanoseconds
	// schedule says when leases end; nil unless this member leads, in term.
	schedule *lease.Schedule
	term     raft.Term
	// room is how many ends may be proposed, as of the reading roomAt of the clock.
	room, roomAt int64
	// noted is the lease from which on to look for spent ones.
	noted    lease.ID
	listings []listing
	counts   LeaseCounts // but for Live
}

// LeaseCounts says what has happened to leases on a member since its start, for metrics.
type LeaseCounts struct {
	Live    int    // that exist
	Granted uint64 // applied here, as are all but Renewed
	Renewed uint64 // by this member, as the leader
	Ended   uint64 // revoked or expired
	Expired uint64
}

// pass lets the lease clock go on.
func (l *leases) pass(elapsed, tick int64) { l.clock += min(max(elapsed, 0), 2*tick) }

// minTTL is etcd's shortest time to live: one and a half election timeouts, in whole seconds.
func (n *Node) minTTL() lease.Seconds {
	const half = 500_000_000
	return lease.Seconds((3*n.electionTimeout() + 4*half - 1) / (4 * half))
}

// leadLeases begins a tenure when it is time.
func (n *Node) leadLeases() {
	l := &n.leases
	if l.schedule == nil && n.role == raft.Leader && n.appliedTerm == n.term {
		l.term, l.noted = n.term, math.MinInt64
		if n.state.leases.Len() > 0 {
			n.probes[ProbeLeasesExtended]++
		}
		l.room, l.roomAt = 0, l.clock
		l.schedule = lease.NewSchedule(n.state.leases, lease.Tenure{
			Now: l.clock, Extension: n.electionTimeout(), Slack: 2 * n.cfg.TickNanos,
			Patience: n.requestTimeout() + n.electionTimeout(),
		})
	}
	if l.schedule != nil && l.schedule.Time(leasesPerStep) {
		n.out.Again = true
	}
	if l.schedule != nil && n.role == raft.Leader {
		n.proposeEnds()
	}
	n.serveHeld()
}

// retireLeases ends a tenure, and forgets what it proposed: if it has a place in the log it may
// still take effect, but nobody else may propose it.
func (n *Node) retireLeases(role raft.Role, term raft.Term) {
	l := &n.leases
	if l.schedule == nil || role == raft.Leader && term == l.term {
		return
	}
	l.schedule = nil
	p := &n.proposals
	for i := range p.queue {
		pr := &p.queue[i]
		ours := pr.typ == entryLeaseExpire || pr.typ == entryLeaseCheckpoint
		if ours && pr.status != proposalDone {
			n.probes[ProbeLeaseEndsForgotten]++
			p.close(pr)
		}
	}
	p.trim()
	for i := range n.reads.held {
		n.reads.held[i].after = 0
	}
}

// tickLeases proposes what time has brought.
func (n *Node) tickLeases() {
	if n.leases.schedule == nil || n.role != raft.Leader {
		return
	}
	n.makeRoom()
	n.proposeEnds()
	n.proposeNotes()
}

// makeRoom lets the room for ends grow with the clock. There is none left over from a time in which
// nothing was due.
func (n *Node) makeRoom() {
	l := &n.leases
	passed := l.clock - l.roomAt
	l.roomAt = l.clock
	if !l.schedule.Due(l.clock) {
		l.room = 0
		return
	}
	l.room = min(l.room+endsPerSecond*passed/1_000_000_000, endsInFlight*n.endsPerTick())
}

// endsPerTick is how many ends a tick is worth.
func (n *Node) endsPerTick() int64 { return max(endsPerSecond*n.cfg.TickNanos/1_000_000_000, 1) }

// proposeEnds proposes the ends of leases whose time is over: the next some when the last ones are
// applied, so that they are spread over a tick and writes come between. Where that is too slow, and
// room is left over, more are on their way at a time.
func (n *Node) proposeEnds() {
	l := &n.leases
	for l.room > 0 && l.schedule.Due(l.clock) && n.mayPropose() {
		flying := n.open(entryLeaseExpire)
		if flying >= endsInFlight || int64(flying)*n.endsPerTick() >= l.room {
			return
		}
		ids := l.schedule.Expire(l.clock, int(min(l.room, leasesPerEntry)))
		l.room -= int64(len(ids))
		n.propose(0, entryLeaseExpire, encodeEnds(n.applied, ids))
		n.out.Again = true
	}
}

// proposeNotes writes down what is left of long leases, if that is asked for.
func (n *Node) proposeNotes() {
	l := &n.leases
	interval := n.cfg.LeaseCheckpointNanos
	if interval <= 0 || n.open(entryLeaseCheckpoint) > 0 || !n.mayPropose() {
		return
	}
	var notes []lease.Note
	notes, l.noted = l.schedule.Spent(l.noted, l.clock, interval, notesPerTick)
	if len(notes) > 0 {
		n.propose(0, entryLeaseCheckpoint, encodeNotes(n.applied, notes))
	}
}

// countLeases is what the State says of leases.
func (n *Node) countLeases() LeaseCounts {
	c := n.leases.counts
	c.Live = n.state.leases.Len()
	return c
}

// open counts the open proposals of a type.
func (n *Node) open(typ raft.EntryType) (count int) {
	for i := range n.proposals.queue {
		pr := &n.proposals.queue[i]
		if pr.typ == typ && pr.status != proposalDone {
			count++
		}
	}
	return count
}

// mayPropose says whether the queue of proposals has room for one of the node's own.
func (n *Node) mayPropose() bool { return len(n.proposals.queue) < windowSpan-1 }

// encodeEnds is the data of an entryLeaseExpire: the index applied when it was decided, and IDs.
func encodeEnds(at raft.Index, ids []lease.ID) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+8*len(ids)), uint64(at))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	return b
}

// DecodeExpiry lists the leases that a log entry ends because their time is over, if they were
// granted at index at or before; ok is false for every other entry. Observers use it.
func DecodeExpiry(e *raft.Entry) (at raft.Index, ids []int64, ok bool) {
	if e.Type != entryLeaseExpire || len(e.Data)%8 != 0 || len(e.Data) == 0 {
		return 0, nil, false
	}
	for b := e.Data[8:]; len(b) > 0; b = b[8:] {
		ids = append(ids, int64(binary.LittleEndian.Uint64(b)))
	}
	return raft.Index(binary.LittleEndian.Uint64(e.Data)), ids, true
}

// encodeNotes is the data of an entryLeaseCheckpoint: the index applied when it was decided, and
// pairs of ID and remaining seconds.
func encodeNotes(at raft.Index, notes []lease.Note) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+16*len(notes)), uint64(at))
	for _, note := range notes {
		b = binary.LittleEndian.AppendUint64(b, uint64(note.ID))
		b = binary.LittleEndian.AppendUint64(b, uint64(note.Remaining))
	}
	return b
}

// checkLeases verifies the table, the schedule, and that every key that holds a lease holds one
// that exists.
func (n *Node) checkLeases() error {
	if err := n.state.leases.Check(); err != nil {
		return err
	}
	if s := n.leases.schedule; s != nil {
		if err := s.Check(); err != nil {
			return err
		}
	}
	if n.apply != nil {
		return nil // of an entry half applied something may still be attached
	}
	held := 0
	n.state.leases.Visit(math.MinInt64, func(l lease.Lease) bool {
		n.store.Attached(int64(l.ID), nil, func([]byte) bool {
			held++
			return true
		})
		return true
	})
	all := n.store.Attachments()
	if held != all.Len() {
		return fmt.Errorf("kv: %d keys hold a lease, %d of them one that exists", all.Len(), held)
	}
	return nil
}
