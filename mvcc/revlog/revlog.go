// Package revlog is the engine's durable half: every change of the store as one record in
// append-only segments, found by its revision, and the manifest generations that make a set of
// segments a checkpoint.
//
// A segment file is written once, front to back, and never again: it is sealed when it is long
// enough or when a checkpoint starts, so that a generation refers to whole files only and durable
// bytes never share a sector with later ones. Segments partition the order of (main, sub); a main
// revision may continue in the next segment, since a transaction can be larger than any segment.
//
// Files are not preallocated: no append waits for a segment's file, whose length then says exactly
// what it holds.
//
// Two generations are kept, the newest and the one before; a start loads the newest. What the older
// one is for is said at checkpoint.go: raft's log is kept from it on.
//
// What it does not do: it does not know keys, and it does not decide which record is dead.
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

// Error says what is wrong, where.
func (e *DamageError) Error() string {
	return fmt.Sprintf("damaged data file %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// FormatError says that a file is whole but written in a way that this version cannot read.
type FormatError struct {
	File   string
	What   string // the header's field: "format version" or "cipher"
	Have   uint32 // what the file says
	Newest uint32 // the highest this version reads
}

// Error says what is wrong, where.
func (e *FormatError) Error() string {
	return fmt.Sprintf("data file %s has %s %d, this version reads up to %d", e.File, e.What,
		e.Have, e.Newest)
}

// Options are the fixed parameters of a log.
type Options struct {
	Dir          string // slash-separated, relative to the data directory
	SegmentBytes int64  // a segment is sealed when it reaches this length
	StepBytes    int64  // one write-behind or reclaim step moves at most this much (1 MB)
	CacheBytes   int64  // bytes of record blocks kept in memory for reads
	// TicketBase is added to every ticket. A log uses [TicketBase, TicketBase+ReceiverTickets),
	// its receivers the same number of tickets after that.
	TicketBase diskio.Ticket
}

// ReceiverTickets is the offset from Options.TicketBase of the first ticket that receivers use.
const ReceiverTickets diskio.Ticket = 1 << 40

// Checkpoint is what a manifest generation covers, chosen by the caller.
type Checkpoint struct {
	Applied   uint64 // raft index up to which everything is in it
	Term      uint64 // that entry's term
	Current   Revision
	Compacted Revision // -1: never
	Digest    uint64   // the engine's rolling digest at Current
	State     []byte   // all that is replicated but not a revision; immutable; the state file
}

// Loaded is what Open found.
type Loaded struct {
	Empty      bool // no manifest exists: a first start
	Generation uint64
	// Previous is the generation before the loaded one, 0 if it has none: it is the first, or was
	// installed from a shipment. It counts whether or not its files are still there.
	Previous   uint64
	Checkpoint Checkpoint
	// Ignored names an older manifest that could not be read: the newest generation does not need
	// it, but an operator should know that the disk damaged it. Empty if none.
	Ignored string
}

// limits of a segment, from the 32-bit offsets and revision differences of its table.
const (
	maxSegmentBytes = 1 << 30
	maxRecordBytes  = 1 << 30
)

func (o *Options) validate() {
	if o.SegmentBytes < segmentStart || o.SegmentBytes > maxSegmentBytes {
		panic(fmt.Sprintf("revlog: SegmentBytes %d out of [%d, %d]", o.SegmentBytes,
			segmentStart, maxSegmentBytes))
	}
	if o.StepBytes < 1 || o.CacheBytes < 0 {
		panic(fmt.Sprintf("revlog: StepBytes %d, CacheBytes %d", o.StepBytes, o.CacheBytes))
	}
}
