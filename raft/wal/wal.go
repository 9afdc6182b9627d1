// Package wal is raft's durable log: what makes a term, a vote or an entry a promise.
package wal

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// Options are the fixed parameters of a log.
type Options struct {
	Dir          string // slash-separated, relative to the data directory
	SegmentBytes int64  // preallocated length of a segment file
	MaxBatch     int    // bytes of one write at most
	KeepBytes    int    // bytes of the recovered suffix of entries handed to raft
	// Cluster, Member: identity written into each segment's header and compared at Open.
	Cluster uint64
	Member  raft.MemberID
	// TicketBase is added to every diskio.Ticket so that completions can be told apart from those
	// of other users of the same lane.
	TicketBase diskio.Ticket
}

// Recovered is what Open found.
type Recovered struct {
	Empty       bool // no log exists: a first start
	Cluster     uint64
	Member      raft.MemberID
	Incarnation raft.Incarnation // the highest on record, 0 if none
	Hard        raft.HardState
	Snapshot    raft.Snapshot // the newest marker (by content, not by age); the log starts after it
	// Last, Runs, Entries and Configs are as in raft.Restored; Entries is the suffix of at most
	// Options.KeepBytes.
	Last      raft.Index
	Runs      []raft.TermRun
	Entries   []raft.Entry
	Configs   []raft.Entry
	TornBytes int64 // length of the torn tail that was cut, for the log line
}

// Log is the state machine of the durable log. It performs nothing: it hands out operations for
// diskio.LaneLog and is told of their completion.
type Log struct{ TODO int }

// Open reads the log in opt.Dir. Damage at or below the highest recorded synced position is
// reported as a *DamageError that names file, offset, and what was expected; the caller must not
// serve. A torn tail above it is cut. What was read but is not known durable is queued to be
// rewritten to a fresh segment, and Ready reports false until that is synced.
func Open(disk diskio.Reader, opt Options) (*Log, Recovered, error) { panic("todo") }

// DamageError says that acknowledged history is damaged.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string { panic("todo") }

// Start records a new incarnation; nothing else may be appended before it.
func (l *Log) Start(inc raft.Incarnation) { panic("todo") }

// Ready says whether everything recovered, and the incarnation, is durable.
func (l *Log) Ready() bool { panic("todo") }

// Append queues a batch. Its entries and hard state are encoded at once into the batch that
// becomes the write, so the caller may reuse nothing but the slice header.
func (l *Log) Append(a raft.Append) { panic("todo") }

// Flush appends to ops what can be issued now: at most one write+sync is in flight, and what is
// queued meanwhile becomes the next one.
func (l *Log) Flush(ops []diskio.Op) []diskio.Op { panic("todo") }

// Complete handles the completion of one of the log's operations. It returns the highest raft
// ticket that is now durable (0 if none new). An error (a failed write, allocate or sync) means
// that the node must stop at once: nothing may be retried.
func (l *Log) Complete(c diskio.Completion) (raft.Ticket, error) { panic("todo") }

// Compact allows segments that hold only entries up to and including i to be recycled.
func (l *Log) Compact(i raft.Index) { panic("todo") }

// Fetch returns the read operation (LaneBulk) for durable entries from lo on, and ok false if the
// log no longer or not yet holds lo. Fetched decodes its completion: consecutive entries from lo,
// at most maxBytes of them but at least one.
func (l *Log) Fetch(t diskio.Ticket, lo, hi raft.Index, maxBytes int) (diskio.Op, bool) {
	panic("todo")
}

// Fetched decodes the completion of a Fetch.
func (l *Log) Fetched(c diskio.Completion, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
	panic("todo")
}

// Durable is the last entry index known durable.
func (l *Log) Durable() raft.Index { panic("todo") }

// Bytes is the length of all segment files.
func (l *Log) Bytes() int64 { panic("todo") }
