// Package wal is raft's durable log: what makes a term, a vote or an entry a promise.
//
// It is a state machine that performs nothing. Appends are encoded into the batch that becomes the
// next write; one write and sync is in flight at a time and whatever is queued meanwhile goes out
// together when it ends. Segment files are prepared in the background before they are needed, and
// recycled when what they hold is obsolete, so that an append never waits for the file system and
// never meets a full disk.
//
// What it keeps, through any crash and any torn write: everything whose ticket was reported durable
// is found again, exactly; what is found is a state that was issued; and damage to what was known
// durable is reported, never cut off. What it does not handle: it does not repair damage, and it
// does not know what is committed (HardState.Commit is only carried).
//
// The protocol of use: Open, Start, then any number of Append, Mark, Compact, Fetch, each followed
// by Flush, whose operations are submitted in order; every completion goes to Complete (those of
// Fetch to Fetched). After an error the log must not be used any more.
package wal

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// Options are the fixed parameters of a log.
type Options struct {
	Dir string // slash-separated, relative to the data directory
	// SegmentBytes is the preallocated length of a segment file. A write that does not fit into
	// an empty segment extends it, so it should exceed the largest entry.
	SegmentBytes int64
	// MaxBatch is the length of one write at most, except for a single larger entry. It counts as
	// a quarter of SegmentBytes if it is larger.
	MaxBatch  int
	KeepBytes int // bytes of the recovered suffix of entries handed to raft
	// Cluster, Member: identity written into each segment's header and compared at Open.
	Cluster uint64
	Member  raft.MemberID
	// Nonce is what no client can know: with it, what a client stores cannot look like a record.
	Nonce uint64
	// TicketBase is added to every diskio.Ticket so that completions can be told apart from those
	// of other users of the same lane.
	TicketBase diskio.Ticket
}

// Log is the state machine of the durable log. It performs nothing: it hands out operations
// (appends in diskio.LaneLog, preparation of segments and fetches in diskio.LaneBulk) and is told
// of their completion. It is not safe for concurrent use.
type Log struct {
	opt    Options
	sector int
	nonce  uint64 // of this incarnation, see life

	// queued is the state after everything queued, issued after everything written or in flight.
	queued, issued state
	lastTicket     raft.Ticket // highest Append seen
	lazyTicket     raft.Ticket // a commit-only Append that no queued record covers yet, or 0
	queue          []*chunk    // what is to be written; only the last one still grows
	free           []*chunk
	start          chunk // the segment start record of the flight, when it rolls
	flight         flight

	next    Position // of the next record to be issued
	synced  Position // known durable
	covered Position // highest `synced` in a durable record
	valued  Position // last durable record that is worth a sync mark
	quiet   bool     // a Mark has found the log idle and the next one may write

	durable       raft.Index // see Durable
	floor         raft.Index // entries before it may go
	durableOldest uint64     // the `oldest` of the last durable record

	segments segments
	index    index
	pins     []pin

	started, ready bool
	tickets        uint64 // operations issued so far
	probes         Probes
}

// flight is the write and sync in progress.
type flight struct {
	chunk   *chunk // nil when there is none
	tickets span
	segment uint64
	offset  int64 // of the chunk in its segment
	last    Position
	synced  Position
	oldest  uint64
	ticks   int // that have passed since it was issued
}

// span is a range of the log's own operations; left of them are not complete.
type span struct{ first, last, left uint64 }

func (s *span) has(n uint64) bool { return s.left > 0 && s.first <= n && n <= s.last }

// Start records a new incarnation; nothing else may be appended before it.
func (l *Log) Start(inc raft.Incarnation) {
	if l.started || inc <= l.queued.incarnation {
		panic(fmt.Sprintf("wal: start of incarnation %d after %d", inc, l.queued.incarnation))
	}
	l.started = true
	l.nonce = l.opt.nonceOf(inc)
	l.queued.incarnation = inc
	l.segments.boot.addIncarnation(inc, l.queued.hard)
}

// Ready says whether everything recovered, and the incarnation, is durable.
func (l *Log) Ready() bool { return l.ready }

// Append queues a batch. Its entries and hard state are encoded at once into the batch that
// becomes the write, so the caller may reuse nothing but the slice header.
func (l *Log) Append(a raft.Append) {
	l.checkAppend(&a)
	l.lastTicket = a.Ticket
	l.queued.hard = a.Hard
	if a.Snapshot.Index != 0 {
		l.cutFrom(a.Snapshot.Index + 1)
		l.queued.snapshot = a.Snapshot
		l.queued.last, l.queued.lastTerm = a.Snapshot.Index, a.Snapshot.Term
		l.open().addSnapshot(a.Snapshot, a.Hard)
	}
	if len(a.Entries) > 0 {
		l.cutFrom(a.Entries[0].Index)
		for rest := a.Entries; len(rest) > 0; {
			if rest = l.open().addBatch(rest, a.Hard, l.opt.MaxBatch); len(rest) > 0 {
				l.queue = append(l.queue, l.fresh())
			}
		}
		last := &a.Entries[len(a.Entries)-1]
		l.queued.last, l.queued.lastTerm = last.Index, last.Term
	}
	if a.Snapshot.Index == 0 && len(a.Entries) == 0 {
		if !a.MustSync && len(l.queue) == 0 {
			l.lazyTicket = a.Ticket
			return
		}
		if a.MustSync {
			l.open().addMark(RecordHardState, a.Hard)
			l.probes[ProbeHardStateAlone]++
		}
	}
	c := l.queue[len(l.queue)-1]
	c.end(a.Hard)
	c.ticket, c.durable = a.Ticket, l.queued.last
	l.lazyTicket = 0
}

func (l *Log) checkAppend(a *raft.Append) {
	last, lastTerm := l.queued.last, l.queued.lastTerm
	if a.Snapshot.Index != 0 {
		last, lastTerm = a.Snapshot.Index, a.Snapshot.Term
	}
	for i := range a.Entries {
		e := &a.Entries[i]
		if i == 0 && (e.Index > last+1 || e.Index == 0) || i > 0 && e.Index != last+1 {
			panic(fmt.Sprintf("wal: entry %d appended after %d", e.Index, last))
		}
		if i > 0 && e.Term < lastTerm {
			panic(fmt.Sprintf("wal: entry %d of term %d after term %d", e.Index, e.Term, lastTerm))
		}
		last, lastTerm = e.Index, e.Term
	}
	// Ticket 0 is for what precedes raft's first append: the marker of a log's beginning.
	if !l.started || a.Ticket <= l.lastTicket && a.Ticket+l.lastTicket != 0 {
		panic(fmt.Sprintf("wal: append with ticket %d after %d, started %t",
			a.Ticket, l.lastTicket, l.started))
	}
	if a.Hard.Term < l.queued.hard.Term || a.Hard.Commit > last {
		panic(fmt.Sprintf("wal: hard state %+v after %+v, last entry %d",
			a.Hard, l.queued.hard, last))
	}
}

// open returns the chunk that grows, with room for at least a small record.
func (l *Log) open() *chunk {
	n := len(l.queue)
	if n == 0 || l.queue[n-1].length+2*recordHeaderSize > l.opt.MaxBatch {
		l.queue = append(l.queue, l.fresh())
		n = len(l.queue)
	}
	return l.queue[n-1]
}

func (l *Log) fresh() *chunk {
	c := &chunk{}
	if n := len(l.free); n > 0 {
		c, l.free = l.free[n-1], l.free[:n-1]
	}
	c.durable = l.queued.last
	return c
}

// recycle keeps a chunk's buffers for reuse, unless an unusually large entry made them large.
func (l *Log) recycle(c *chunk) {
	if len(l.free) < 3 && cap(c.buf) <= 4*l.opt.MaxBatch {
		c.reset()
		l.free = append(l.free, c)
	}
}

// cutFrom notes that the entries from i on are being overwritten: from now on no earlier write may
// make them count as durable, and no fetch may return them.
func (l *Log) cutFrom(i raft.Index) {
	if c := l.flight.chunk; c != nil && c.durable > max(l.durable, i-1) {
		l.probes[ProbeCutInFlight]++
	}
	l.durable = min(l.durable, i-1)
	if l.flight.chunk != nil {
		l.flight.chunk.durable = min(l.flight.chunk.durable, i-1)
	}
	l.segments.boot.durable = min(l.segments.boot.durable, i-1)
	for _, c := range l.queue {
		c.durable = min(c.durable, i-1)
	}
	for k := range l.pins {
		l.pins[k].hi = min(l.pins[k].hi, i-1)
	}
}

// Mark is called on ticks. When the log has been quiet since the last call it queues what has no
// write of its own: a commit index, the end of a compaction, and the knowledge that the last write
// is durable, without which damage to that write would look like a torn tail.
func (l *Log) Mark() {
	l.segments.tick()
	l.flight.ticks++ // means nothing while there is none
	if !l.ready || l.flight.chunk != nil || len(l.queue) > 0 {
		l.quiet = false
		return
	}
	if !l.quiet {
		l.quiet = true
		return
	}
	if l.valued <= l.covered && l.lazyTicket == 0 && l.oldest() <= l.durableOldest {
		return
	}
	c := l.open()
	c.addMark(RecordMark, l.queued.hard)
	l.probes[ProbeSyncMark]++
	c.ticket, c.durable = l.lazyTicket, l.queued.last
	l.lazyTicket = 0
}

// Compact allows segments that hold only entries before i to be recycled. Entry i itself stays, so
// that a later start can see that the log joins a checkpoint at i by its term.
func (l *Log) Compact(i raft.Index) { l.floor = max(l.floor, i) }

// oldest is the oldest segment that recovery would need if this record were the last.
func (l *Log) oldest() uint64 {
	active := l.segments.active().sequence
	if s, ok := l.index.firstSegment(max(l.floor, 1) - 1); ok {
		return max(min(s, active), l.durableOldest)
	}
	return max(active, l.durableOldest)
}

// Flush appends to ops what can be issued now: at most one write+sync is in flight, and what is
// queued meanwhile becomes the next one.
func (l *Log) Flush(ops []diskio.Op) []diskio.Op {
	if !l.started {
		return ops
	}
	if l.ready && l.flight.chunk == nil && len(l.queue) > 0 {
		ops = l.issue(ops)
	}
	return l.prepare(ops)
}

// issue writes and syncs the oldest queued chunk.
func (l *Log) issue(ops []diskio.Op) []diskio.Op {
	c := l.queue[0]
	set := &l.segments
	oldest := l.oldest()
	size := alignUp(int64(c.length), int64(l.sector))
	rolled := false
	if set.offset+size > set.active().size && set.offset > set.fresh {
		if len(set.spares) == 0 {
			l.probes[ProbeRollWaited]++
			return ops
		}
		set.roll(l.sector)
		rolled = true
	}
	seg := set.active()
	l.flight = flight{chunk: c, segment: seg.sequence, synced: l.synced, oldest: oldest}
	l.flight.tickets.first = l.tickets + 1
	if rolled {
		l.start.reset()
		l.start.addStart(&l.issued)
		l.next = l.start.seal(seg.life, l.next, l.synced, oldest, l.sector)
		ops = append(ops, l.writeAt(seg, l.start.buf))
		set.fresh = set.offset
	}
	l.next = c.seal(seg.life, l.next, l.synced, oldest, l.sector)
	l.flight.offset = set.offset
	ops = append(ops, l.writeAt(seg, c.buf), l.op(diskio.Op{Lane: diskio.LaneLog,
		Kind: diskio.Sync, File: seg.name}))
	if len(c.metas) > 1 {
		l.probes[ProbeGroupCommit]++
	}
	l.flight.last = l.next - 1
	l.flight.tickets.last = l.tickets
	l.flight.tickets.left = l.tickets + 1 - l.flight.tickets.first
	c.applyTo(&l.issued)
	l.queue = append(l.queue[:0], l.queue[1:]...)
	l.quiet = false
	return ops
}

// writeAt is the write of whole sectors at the end of the active segment.
func (l *Log) writeAt(seg *segment, data []byte) diskio.Op {
	set := &l.segments
	op := l.op(diskio.Op{Lane: diskio.LaneLog, Kind: diskio.Write, File: seg.name,
		Offset: set.offset, Data: data})
	set.offset += int64(len(data))
	seg.size = max(seg.size, set.offset)
	return op
}

func (l *Log) op(op diskio.Op) diskio.Op {
	l.tickets++
	op.Ticket = l.opt.TicketBase + diskio.Ticket(l.tickets)
	return op
}

// Complete handles the completion of one of the log's operations. It returns the highest raft
// ticket that is now durable (0 if none new). An error (a failed write, allocate or sync) means
// that the node must stop at once: nothing may be retried. A full disk is no error: what waits for
// a segment then waits until there is space; see Starved.
func (l *Log) Complete(c diskio.Completion) (raft.Ticket, error) {
	n := uint64(c.Ticket - l.opt.TicketBase)
	set := &l.segments
	switch {
	case l.flight.chunk != nil && l.flight.tickets.has(n):
		if err := c.Status.Err(); err != nil {
			return 0, completionError(c, err)
		}
		if l.flight.tickets.left--; l.flight.tickets.left == 0 {
			return l.landed(), nil
		}
	case set.prep.tickets.has(n):
		return 0, l.prepared(c)
	case set.removals.has(n):
		set.removals.left--
		if err := c.Status.Err(); err != nil {
			return 0, completionError(c, err)
		}
		if set.removals.left == 0 && set.freed > 0 {
			l.Retry()
		}
	default:
		panic(fmt.Sprintf("wal: completion of unknown %v %s, ticket %d", c.Kind, c.File, c.Ticket))
	}
	return 0, nil
}

func completionError(c diskio.Completion, err error) error {
	return fmt.Errorf("wal: %v %s: %w (%s)", c.Kind, c.File, err, c.Detail)
}

// landed makes the flight's content count.
func (l *Log) landed() raft.Ticket {
	f := l.flight
	l.flight = flight{}
	l.synced = f.last
	l.covered = max(l.covered, f.synced)
	if f.chunk.valued() {
		l.valued = f.last
	}
	l.durable = f.chunk.durable
	l.enter(f.chunk, f.segment, f.offset)
	l.durableOldest = f.oldest
	ticket := f.chunk.ticket
	l.recycle(f.chunk)
	l.release()
	return ticket
}

// enter moves the index over a chunk that is durable at offset of a segment.
func (l *Log) enter(c *chunk, segment uint64, offset int64) {
	for i := range c.metas {
		m := &c.metas[i]
		end := c.length
		if i+1 < len(c.metas) {
			end = c.metas[i+1].offset
		}
		switch m.kind {
		case RecordBatch:
			l.index.add(segment, offset+int64(m.offset), offset+int64(end), m.first, m.last)
		case RecordSnapshot:
			l.index.reset()
		}
	}
}

// Waited is how many ticks the write and sync in progress has taken so far, 0 if there is none.
func (l *Log) Waited() int {
	if l.flight.chunk == nil {
		return 0
	}
	return l.flight.ticks
}

// Durable is the last entry index known durable. It goes back when a tail is overwritten.
func (l *Log) Durable() raft.Index { return l.durable }

// Bytes is the length of all segment files.
func (l *Log) Bytes() int64 { return l.segments.bytes() }

// Reserve is the number of prepared segments that wait for use. While the disk is full the log goes
// on until none is left.
func (l *Log) Reserve() int { return len(l.segments.spares) }

// Starved says whether the disk was too full for the last segment that was to be prepared. It is
// asked again after starvedTicks, or when files of the log are removed.
func (l *Log) Starved() bool { return l.segments.starved }

// Retry lets a log that is starved ask for space again at once.
func (l *Log) Retry() {
	if l.segments.starved {
		l.probes[ProbeDiskFullRetried]++
	}
	l.segments.starved, l.segments.waited = false, 0
}
