// Package revlog is the engine's durable half: every change of the store as one record in
// append-only segments, found by its revision, and the manifest generations that make a set of
// segments a checkpoint.
package revlog

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

// Revision counts the changing transactions of the store; a virgin store is at revision 1.
type Revision int64

// Rev names one change: the Main revision and the position inside it, from 0.
type Rev struct {
	Main Revision
	Sub  int32
}

// Less orders changes.
func (r Rev) Less(o Rev) bool { return r.Main < o.Main || r.Main == o.Main && r.Sub < o.Sub }

// RecordKind tells a value from a tombstone.
type RecordKind uint8

// The kinds of record. Both carry a KeyValue in protobuf wire form; a tombstone's has only a key.
const (
	Put RecordKind = iota
	Tombstone
)

// Record is one change.
type Record struct {
	Rev  Rev
	Kind RecordKind
	KV   []byte // wire-form KeyValue, immutable
}

// DamageError says that stored bytes are not what was written. The node stops; it never becomes an
// answer.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("damaged data file %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Options are the fixed parameters of a log.
type Options struct {
	Dir          string // slash-separated, relative to the data directory
	SegmentBytes int64  // a segment is sealed when it reaches this length
	StepBytes    int64  // one write-behind or reclaim step moves at most this much (1 MB)
	CacheBytes   int64  // bytes of record blocks kept in memory for reads
	TicketBase   diskio.Ticket
}

// Checkpoint is what a manifest generation covers, chosen by the caller.
type Checkpoint struct {
	Applied   uint64 // raft index up to which everything is in it
	Term      uint64 // that entry's term
	Current   Revision
	Compacted Revision // -1: never
	Digest    uint64   // the engine's rolling digest at Current
	State     []byte   // all that is replicated but not a revision; lands in the state file
}

// Loaded is what Open found.
type Loaded struct {
	Empty      bool // no manifest exists: a first start
	Generation uint64
	Checkpoint Checkpoint
}

// Log is the set of segments and the running background work on them. It performs no I/O but
// positional reads of sealed segments. Not safe for concurrent use; a Snapshot is.
type Log struct{ TODO int }

// Open loads the newest valid manifest. Records after it are not loaded: raft's log replays them.
// An older generation is loaded only if the newest manifest file itself is torn (it was never
// completed); a damaged state file or segment of a complete generation is a *DamageError.
func Open(disk diskio.Reader, opt Options) (*Log, Loaded, error) { panic("todo") }

// Scan calls visit for every record loaded by Open, in revision order, verifying each. KV is valid
// only during the call. It may be called once, before anything is appended.
func (l *Log) Scan(visit func(r Record) error) error { panic("todo") }

// Append adds a record whose Rev is higher than every earlier one. parts, joined, are the
// KeyValue; they are copied, once, into the active segment's buffer. The stored KV is returned
// (it stays valid and immutable).
func (l *Log) Append(rev Rev, kind RecordKind, parts ...[]byte) (kv []byte) { panic("todo") }

// Read returns the KV of the record at rev, verifying its checksum. The record must exist.
func (l *Log) Read(rev Rev) (kv []byte, err error) { panic("todo") }

// Dead tells that nothing refers to the record at rev any more: it may be dropped when its segment
// is rewritten. Views that were taken earlier keep what they need through their Snapshot.
func (l *Log) Dead(rev Rev) { panic("todo") }

// Snapshot pins what exists now for a reader on another goroutine.
func (l *Log) Snapshot() *Snapshot { panic("todo") }

// Snapshot is an immutable set of records. Its methods are safe for concurrent use.
type Snapshot struct{ TODO int }

// Read is Log.Read for the records that existed when the snapshot was taken.
func (s *Snapshot) Read(rev Rev) (kv []byte, err error) { panic("todo") }

// ReadBatch reads many records, filling kvs[i] for revs[i]; it coalesces reads of neighbouring
// records whatever the order of revs. It is the fast way for lists.
func (s *Snapshot) ReadBatch(revs []Rev, kvs [][]byte) error { panic("todo") }

// Release unpins s; on the log's goroutine, once.
func (l *Log) Release(s *Snapshot) { panic("todo") }

// Work does up to budget units (about a microsecond each) of background work (choosing and copying
// for reclaim) and says whether more remains that needs no I/O to finish first.
func (l *Log) Work(budget int) (more bool) { panic("todo") }

// Reclaiming says whether dead records are still being dropped from files.
func (l *Log) Reclaiming() bool { panic("todo") }

// Pause holds reclaim back (a log sync is slow) until Resume.
func (l *Log) Pause() { panic("todo") }

// Resume lets reclaim go on.
func (l *Log) Resume() { panic("todo") }

// StartCheckpoint begins a manifest generation that covers everything appended so far. It panics
// if one is running.
func (l *Log) StartCheckpoint(c Checkpoint) { panic("todo") }

// Checkpointing says whether a checkpoint is running.
func (l *Log) Checkpointing() bool { panic("todo") }

// Durable returns the checkpoints of the newest and the older kept generation (zero if none),
// without their State.
func (l *Log) Durable() (newest, older Checkpoint) { panic("todo") }

// Flush appends the operations (diskio.LaneEngine) that can be issued now: write-behind in steps
// of StepBytes, reclaim copies, checkpoint steps, removals of files no generation and no pin needs.
func (l *Log) Flush(ops []diskio.Op) []diskio.Op { panic("todo") }

// Complete handles the completion of one of the log's operations; an error means that the node
// must stop.
func (l *Log) Complete(c diskio.Completion) error { panic("todo") }

// Size returns the bytes of all files (and of the active buffer), and those of records not Dead.
func (l *Log) Size() (files, inUse int64) { panic("todo") }

// Check verifies the invariants: segments partition the revision space in order, offset tables
// match records, counters match contents. It reads everything.
func (l *Log) Check() error { panic("todo") }

// Shipment is a pinned checkpoint on its way to one receiver, as numbered chunks.
type Shipment struct{ TODO int }

// Ship pins the newest durable checkpoint; ok is false when there is none.
func (l *Log) Ship(chunkBytes int) (s *Shipment, ok bool) { panic("todo") }

// Offer is the header that the receiver needs first (it includes the State).
func (s *Shipment) Offer() (c Checkpoint, header []byte) { panic("todo") }

// Chunk returns chunk n (from 0), whole records read from sealed files and verified, and whether
// it exists. It is stateless, so chunks can be asked for again.
func (l *Log) Chunk(s *Shipment, n int) (data []byte, ok bool, err error) { panic("todo") }

// EndShip releases the pins.
func (l *Log) EndShip(s *Shipment) { panic("todo") }

// Receiver builds a new Log from a shipment beside the running one, in files whose names no
// generation uses.
type Receiver struct{ TODO int }

// Receive starts a receiver for an offer's header. generation numbers continue l's.
func (l *Log) Receive(header []byte) (*Receiver, Checkpoint, error) { panic("todo") }

// Chunk takes chunk n, which must be the next one (others: ok false, nothing happens), verifies it
// and calls visit for each of its records in order.
func (r *Receiver) Chunk(n int, data []byte, visit func(rec Record) error) (ok bool, err error) {
	panic("todo")
}

// Next is the number of the chunk expected next; done is true when all have come.
func (r *Receiver) Next() (n int, done bool) { panic("todo") }

// Flush and Complete are as on Log.
func (r *Receiver) Flush(ops []diskio.Op) []diskio.Op { panic("todo") }

// Complete handles the completion of one of the receiver's operations.
func (r *Receiver) Complete(c diskio.Completion) error { panic("todo") }

// Install starts making the received state the newest manifest generation on disk.
func (r *Receiver) Install() { panic("todo") }

// Installed returns the log that replaces the running one once the generation is durable.
func (r *Receiver) Installed() (*Log, Loaded, bool) { panic("todo") }

// Abort gives up: the returned operations remove the files. It must not be called after Install.
func (r *Receiver) Abort(ops []diskio.Op) []diskio.Op { panic("todo") }
