package mvcc

import (
	"github.com/detcd/detcd/diskio"
)

// Options are the fixed parameters of an engine.
type Options struct {
	Dir          string // slash-separated, relative to the data directory
	SegmentBytes int64  // a segment is sealed when it reaches this length
	StepBytes    int64  // one write-behind or reclaim step moves at most this much (1 MB)
	CacheBytes   int64  // bytes of record blocks kept in memory for reads
	TicketBase   diskio.Ticket
}

// Checkpoint is what a manifest generation covers, chosen by the caller.
type Checkpoint struct {
	Applied uint64 // raft index up to which everything is in it
	Term    uint64 // that entry's term
	// State is all that is replicated but not a revision (members, request windows, later leases,
	// auth, alarms), encoded by the caller; it lands in the state file.
	State []byte
}

// Loaded is what Open found.
type Loaded struct {
	Empty      bool // no manifest exists: a first start
	Generation uint64
	Checkpoint Checkpoint
}

// Engine is the multi-version store: a key index in memory, revision records in append-only
// segments. It performs no I/O but positional reads of sealed segments; everything else leaves as
// operations from Flush. It is not safe for concurrent use; a View is.
type Engine struct{ TODO int }

// Open loads the newest valid manifest and rebuilds the index from its segments. Damage below what
// a manifest covers is a *DamageError, never a silent fallback that loses data: an older
// generation is loaded only if the newest manifest file itself is torn (it was never completed).
func Open(disk diskio.Reader, opt Options) (*Engine, Loaded, error) { panic("todo") }

// Revision is the newest visible revision.
func (e *Engine) Revision() Revision { panic("todo") }

// Compacted is the revision of the last compaction, -1 if there was none.
func (e *Engine) Compacted() Revision { panic("todo") }

// Begin opens the one writing transaction, whose changes get revision Revision()+1 and become
// visible together at Commit. It panics if one is open.
func (e *Engine) Begin() *Txn { panic("todo") }

// Txn is an open writing transaction. It may stay open over several steps; readers see none of it.
type Txn struct{ TODO int }

// Put writes a key. It encodes the KeyValue once, into the segment buffer.
func (t *Txn) Put(key, value []byte, lease int64) error { panic("todo") }

// DeleteCursor remembers how far a DeleteRange has come; the zero value is its start.
type DeleteCursor struct {
	next    []byte
	Deleted int64
	Done    bool
}

// DeleteRange writes tombstones for the live keys of [key, end) in key order, at most budget of
// them, and moves c. The caller repeats it until c.Done. When prev is not nil, the removed
// KeyValues are appended to it in wire form.
func (t *Txn) DeleteRange(key, end []byte, c *DeleteCursor, budget int, prev *[][]byte) error {
	panic("todo")
}

// Get returns the KeyValue (wire form) and meta of a key as this transaction sees it, its own
// changes included. ok is false when the key does not live.
func (t *Txn) Get(key []byte) (kv []byte, m Meta, ok bool, err error) { panic("todo") }

// Range answers q as this transaction sees the store: its own changes included when q.Rev <= 0.
func (t *Txn) Range(q *Query, r *Result) error { panic("todo") }

// Changes is the number of changes so far.
func (t *Txn) Changes() int { panic("todo") }

// Commit makes the changes visible. It returns the new revision, or the old one if nothing
// changed.
func (t *Txn) Commit() Revision { panic("todo") }

// Get returns the newest visible version of a key; ok is false when it does not live.
func (e *Engine) Get(key []byte) (kv []byte, m Meta, ok bool, err error) { panic("todo") }

// Meta is Get without the record: it reads the index only.
func (e *Engine) Meta(key []byte) (m Meta, ok bool) { panic("todo") }

// MetaRange calls visit for the live keys of [key, end) at the visible revision, in order, until
// it returns false.
func (e *Engine) MetaRange(key, end []byte, visit func(key []byte, m Meta) bool) { panic("todo") }

// Range answers q at the visible state, on the loop. For small answers; large ones take a View.
func (e *Engine) Range(q *Query, r *Result) error { panic("todo") }

// View returns an immutable view of the visible state. Making one is O(1); it pins the segments it
// may read until Release. A view may be read from another goroutine while the engine goes on.
func (e *Engine) View() *View { panic("todo") }

// View is an immutable state of the store.
type View struct{ TODO int }

// Revision is the view's newest revision.
func (v *View) Revision() Revision { panic("todo") }

// Compacted is the compacted revision when the view was taken.
func (v *View) Compacted() Revision { panic("todo") }

// Range answers q from the view.
func (v *View) Range(q *Query, r *Result) error { panic("todo") }

// Hash is etcd's HashKV at revision rev (<= 0: the newest): CRC32C over the ASCII word key and
// every kept record, see the contract 6.4.
func (v *View) Hash(rev Revision) (hash uint32, at Revision, err error) { panic("todo") }

// Release gives the view back. It is called on the engine's goroutine, once per view.
func (e *Engine) Release(v *View) { panic("todo") }

// Compact forgets what is superseded at or before rev. It takes effect for readers at once; the
// index and the segments are reclaimed in bounded steps by Work.
func (e *Engine) Compact(rev Revision) error { panic("todo") }

// Compacting says whether records of the last compaction are still to be reclaimed (physical
// compactions answer when it turns false).
func (e *Engine) Compacting() bool { panic("todo") }

// Work does up to budget units (about a microsecond each) of background work and says whether
// more remains.
func (e *Engine) Work(budget int) (more bool) { panic("todo") }

// StartCheckpoint begins a manifest generation that covers c and the visible revision. No
// transaction may be open. It panics if one is running.
func (e *Engine) StartCheckpoint(c Checkpoint) { panic("todo") }

// Checkpointing says whether a checkpoint is running.
func (e *Engine) Checkpointing() bool { panic("todo") }

// Durable returns the applied indexes of the newest and the older kept checkpoint; raft's log is
// kept from the older one on.
func (e *Engine) Durable() (newest, older uint64) { panic("todo") }

// Flush appends the operations (diskio.LaneEngine) that can be issued now: write-behind, reclaim
// copies, checkpoint steps.
func (e *Engine) Flush(ops []diskio.Op) []diskio.Op { panic("todo") }

// Complete handles the completion of one of the engine's operations; an error means that the node
// must stop.
func (e *Engine) Complete(c diskio.Completion) error { panic("todo") }

// Size returns the bytes of all files, and those that live records use.
func (e *Engine) Size() (files, inUse int64) { panic("todo") }

// Keys is the number of live keys at the visible revision.
func (e *Engine) Keys() int64 { panic("todo") }

// Digest is a rolling 64-bit hash over every change and compaction ever applied (it is part of the
// manifest): equal on all members at equal applied index, whatever their segments look like.
func (e *Engine) Digest() uint64 { panic("todo") }

// Check verifies the engine's invariants, index against segments; for users and tests. It may take
// long.
func (e *Engine) Check() error { panic("todo") }

// Shipping: a member that is too far behind gets the newest durable checkpoint.

// Shipment is a pinned checkpoint on its way to one receiver: a list of chunks by number.
type Shipment struct{ TODO int }

// Ship pins the newest durable checkpoint; ok is false when there is none.
func (e *Engine) Ship() (s *Shipment, ok bool) { panic("todo") }

// Offer is the header that the receiver needs first: checkpoint, revisions, number of chunks.
func (s *Shipment) Offer() (applied, term uint64, header []byte) { panic("todo") }

// Chunk returns chunk n (from 0) as bytes to send, or more false past the last one. It reads
// sealed files.
func (e *Engine) Chunk(s *Shipment, n int) (data []byte, more bool, err error) { panic("todo") }

// EndShip releases the pins.
func (e *Engine) EndShip(s *Shipment) { panic("todo") }

// Receiver builds a new engine from a shipment, chunk by chunk, beside the running one. Each chunk
// is verified record by record, indexed and written in bounded steps.
type Receiver struct{ TODO int }

// Receive starts a receiver for an offer's header; its files get names that no engine uses.
func (e *Engine) Receive(header []byte) (*Receiver, error) { panic("todo") }

// Chunk takes chunk n, which must be the next one; others are ignored (ok false).
func (r *Receiver) Chunk(n int, data []byte) (ok bool, err error) { panic("todo") }

// Next is the number of the chunk expected next; done is true when all have come.
func (r *Receiver) Next() (n int, done bool) { panic("todo") }

// Flush and Complete are as on Engine; Installed turns true when the new manifest generation is
// durable, which happens only after Install.
func (r *Receiver) Flush(ops []diskio.Op) []diskio.Op { panic("todo") }

// Complete handles the completion of one of the receiver's operations.
func (r *Receiver) Complete(c diskio.Completion) error { panic("todo") }

// Install makes the received state the newest manifest generation on disk (after all chunks).
func (r *Receiver) Install() { panic("todo") }

// Installed returns the engine that replaces the running one, once it is durable.
func (r *Receiver) Installed() (*Engine, Loaded, bool) { panic("todo") }

// Abort gives up; the returned operations remove the files.
func (r *Receiver) Abort(ops []diskio.Op) []diskio.Op { panic("todo") }
