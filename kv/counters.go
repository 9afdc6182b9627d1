package kv

// Counters: what has happened on this member since its start, for those who watch over it. They are
// plain sums; nothing depends on them, and none is part of the replicated state. Times are the
// world's to measure.

import (
	"math/bits"

	"github.com/detcd/detcd/raft"
)

// Operation is a kind of entry that apply tells apart: a Method, or one of the cluster's own.
type Operation uint8

// The operations that no client asks for.
const (
	OperationMember Operation = Operation(NumMethods) + iota // a member publishes itself
	OperationVersion
	OperationCheckpoint // what is left of leases
	NumOperations
)

// AppliedCount counts the entries of one operation.
type AppliedCount struct{ Done, Refused uint64 }

// LeaseTTLBuckets is the number of buckets of Counters.LeaseTTLs: up to 1, 2, 4 ... 2^23 seconds,
// and what is longer.
const LeaseTTLBuckets = 25

// Counters is a copy of what a node has counted.
type Counters struct {
	Applied [NumOperations]AppliedCount
	// Puts, Deletes (of keys) and PutBytes are of applied entries; Ranges also counts reads; Txns
	// are entries of more than one operation.
	Puts, Deletes, Ranges, Txns uint64
	PutBytes                    uint64 // of keys and values
	LeaderChanges               uint64 // leaders that were heard of
	ProposalsFailed             uint64 // writes given up
	ReadsSlow                   uint64 // rounds of reads asked again
	ReadsFailed                 uint64 // reads given up
	Installs                    uint64 // snapshots that took the engine's place
	LeaseTTLs                   [LeaseTTLBuckets]uint64
	LeaseTTLSum                 uint64 // seconds
	Transfers                   []Transfer
}

// Transfer counts the snapshots exchanged with one member.
type Transfer struct {
	Peer                     raft.MemberID
	Sent, SendFailed         uint64
	Received, ReceiveFailed  uint64
	SendingNow, ReceivingNow int
}

// operation tells what kind of entry e is; ok is false for those that nobody counts.
func operation(e *raft.Entry) (op Operation, ok bool) {
	if method, ok := requestMethod(e.Type); ok {
		return Operation(method), true
	}
	switch e.Type {
	case entryPublish:
		return OperationMember, true
	case entryVersion, entryDowngraded:
		return OperationVersion, true
	case entryCompact:
		return Operation(MethodCompact), true
	case entryLeaseExpire:
		return Operation(MethodLeaseRevoke), true
	case entryLeaseCheckpoint:
		return OperationCheckpoint, true
	}
	return 0, false
}

// countApplied counts an entry that took effect, or was refused when it was applied.
func (c *Counters) countApplied(e *raft.Entry, code Code) {
	op, ok := operation(e)
	switch {
	case !ok:
	case code == OK:
		c.Applied[op].Done++
	default:
		c.Applied[op].Refused++
	}
}

func (c *Counters) countPut(r *putRequest) {
	c.Puts++
	c.PutBytes += uint64(len(r.key) + len(r.value))
}

// countPlan counts what a transaction, or a lone delete, has done.
func (c *Counters) countPlan(ops []plannedOp) {
	if len(ops) > 1 {
		c.Txns++
	}
	for i := range ops {
		switch ops[i].kind {
		case opRange:
			c.Ranges++
		case opPut:
			c.countPut(&ops[i].request.put)
		case opDelete:
			c.Deletes += uint64(ops[i].deleted)
		}
	}
}

func (c *Counters) countGrant(ttl int64) {
	bucket := bits.Len64(uint64(max(ttl, 1)) - 1)
	c.LeaseTTLs[min(bucket, LeaseTTLBuckets-1)]++
	c.LeaseTTLSum += uint64(ttl)
}

// transfer finds what is counted of a member.
func (c *Counters) transfer(peer raft.MemberID) *Transfer {
	for i := range c.Transfers {
		if c.Transfers[i].Peer == peer {
			return &c.Transfers[i]
		}
	}
	c.Transfers = append(c.Transfers, Transfer{Peer: peer})
	return &c.Transfers[len(c.Transfers)-1]
}

// Counters returns what was counted so far; it costs a microsecond.
func (n *Node) Counters() Counters {
	c := n.counters
	c.Transfers = append([]Transfer(nil), c.Transfers...)
	return c
}

// Figures is the size of what a node holds, for those who watch over it.
type Figures struct {
	Held
	InUseBytes    int64 // of records that are not dropped
	ReplacedBytes int64 // of files that reclaim has replaced and checkpoints will give back
	Trimmed       uint64
	FreeBytes     int64 // room on the disk, -1 while unknown
	Proposals     int   // writes that are not answered
	OpenViews     int
	Rounds        int // of linearizable reads, unanswered
	Checkpoints   uint64
	Compacting    bool
	Checkpointing bool
	Installing    bool
	Defragmenting int
	WatchLag      int64 // revisions that the pass farthest behind has to go
}

// Figures returns the current figures; it costs less than a microsecond.
func (n *Node) Figures() Figures {
	_, inUse := n.store.Size()
	f := Figures{
		Held: n.Held(), InUseBytes: inUse, ReplacedBytes: n.store.Superseded(),
		Trimmed: n.store.Trimmed(), FreeBytes: -1, OpenViews: len(n.views.open),
		Proposals: n.proposals.unanswered,
		Rounds:    len(n.reads.rounds), Checkpoints: n.checkpoints,
		Compacting: n.store.Compacting(), Checkpointing: n.store.Checkpointing(),
		Installing: n.installing(), Defragmenting: len(n.defragments),
		WatchLag: n.watching.hub.Lag(),
	}
	if n.space.known {
		f.FreeBytes = n.space.free
	}
	return f
}

// Progress is how far the log has come here: durable, committed, applied.
type Progress struct{ Durable, Committed, Applied raft.Index }

// Progress costs nothing.
func (n *Node) Progress() Progress {
	return Progress{n.raft.Durable(), n.raft.CommitIndex(), n.applied}
}

// AppliedCounts is what Counters says of applied entries, alone.
func (n *Node) AppliedCounts() [NumOperations]AppliedCount { return n.counters.Applied }
