// Package mvcc is the multi-version store: every change of a key gets a revision, and the store
// answers at any revision since the last compaction.
//
// It has two halves. The key index, here, says which versions each key has, and lives in memory.
// The revision log (package revlog) holds the versions' records, durably. The index names records
// by revision only, so the log may move them as it likes; and everything that an answer needs but
// the value itself (create revision, version, order, counts, filters) comes from the index.
//
// What readers see is decided by a revision, never by when the index was changed: a transaction's
// changes are in the index at once, at a revision that becomes visible with Commit. So a
// transaction may stay open over many steps while others read.
package mvcc

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc/revlog"
)

// Options are the fixed parameters of an engine.
type Options struct {
	Dir          string // slash-separated, relative to the data directory
	SegmentBytes int64  // a segment is sealed when it reaches this length
	StepBytes    int64  // one write-behind or reclaim step moves at most this much (1 MB)
	CacheBytes   int64  // bytes of record blocks kept in memory for reads
	TicketBase   diskio.Ticket
	BlockKeys    int // keys in a block of the index, 0 for the default; tests want few
}

func (o *Options) log() revlog.Options {
	return revlog.Options{Dir: o.Dir, SegmentBytes: o.SegmentBytes, StepBytes: o.StepBytes,
		CacheBytes: o.CacheBytes, TicketBase: o.TicketBase}
}

// Checkpoint is what a manifest generation covers, chosen by the caller.
type Checkpoint struct {
	Applied uint64 // raft index up to which everything is in it
	Term    uint64 // that entry's term
	// State is all that is replicated but not a revision (members, request windows, leases,
	// auth, alarms), encoded by the caller; it lands in the state file.
	State []byte
}

// Loaded is what Open found.
type Loaded struct {
	Empty      bool // no manifest exists: a first start
	Generation uint64
	// Previous is the generation before the loaded one, 0 if it has none: it is the first, or was
	// installed from a shipment. It counts whether or not its files can be read.
	Previous   uint64
	Checkpoint Checkpoint
	// Ignored names the previous generation's manifest if it cannot be read: nothing needs it, but
	// the disk has damaged it. Empty if it can.
	Ignored string
}

// The state of a store that was never written to.
const (
	firstRevision  = Revision(1)
	neverCompacted = Revision(-1)
)

// Engine is the multi-version store: a key index in memory, revision records in append-only
// segments. It performs no I/O but positional reads of sealed segments; everything else leaves as
// operations from Flush. It is not safe for concurrent use; a View is.
type Engine struct {
	opt Options
	log *revlog.Log

	index     index
	current   Revision // the newest visible revision
	compacted Revision // of the last compaction, neverCompacted if there was none
	keys      int64    // live keys at current
	digest    digest

	txn     Txn
	recent  recent
	compact compaction
	scratch scratch
}

// Open loads the newest manifest and rebuilds the index from its segments. Damage of the manifest,
// or below what it covers, is a *DamageError: there is no fallback to the older generation, whose
// files are kept for other reasons (see package revlog). A manifest that was never completed has
// another name, and is no manifest.
func Open(disk diskio.Reader, opt Options) (*Engine, Loaded, error) {
	log, found, err := revlog.Open(disk, opt.log())
	if err != nil {
		return nil, Loaded{}, fmt.Errorf("mvcc: open: %w", err)
	}
	if found.Empty {
		found.Checkpoint.Current = firstRevision
		found.Checkpoint.Compacted = neverCompacted
	}
	b := newRebuild(found.Checkpoint, opt)
	if err := log.Scan(b.add); err != nil {
		if bad := (*recordError)(nil); errors.As(err, &bad) {
			err = &DamageError{File: opt.Dir, Offset: -1, Reason: bad.Error()}
		}
		return nil, Loaded{}, fmt.Errorf("mvcc: rebuild the index: %w", err)
	}
	return newEngine(opt, log, b), publicLoaded(found), nil
}

func publicLoaded(l revlog.Loaded) Loaded {
	return Loaded{
		Empty:      l.Empty,
		Generation: l.Generation,
		Previous:   l.Previous,
		Checkpoint: Checkpoint{
			Applied: l.Checkpoint.Applied,
			Term:    l.Checkpoint.Term,
			State:   l.Checkpoint.State,
		},
		Ignored: l.Ignored,
	}
}

// newEngine joins a log with the index that was rebuilt from its records. The files may still hold
// what the last compaction dropped; trimming finds it again, in the same steps as after Compact.
func newEngine(opt Options, log *revlog.Log, b *rebuild) *Engine {
	e := &Engine{
		opt:       opt,
		log:       log,
		index:     b.index,
		current:   b.checkpoint.Current,
		compacted: b.checkpoint.Compacted,
		keys:      b.index.live,
		digest:    digest(b.checkpoint.Digest),
	}
	e.txn.engine = e
	if e.compacted > 0 {
		e.compact.start(e.compacted)
	}
	return e
}

// Revision is the newest visible revision.
func (e *Engine) Revision() Revision { return e.current }

// Compacted is the revision of the last compaction, -1 if there was none.
func (e *Engine) Compacted() Revision { return e.compacted }

// Keys is the number of live keys at the visible revision.
func (e *Engine) Keys() int64 { return e.keys }

// Digest is a rolling 64-bit hash over every change and compaction ever applied (it is part of the
// manifest): equal on all members at equal applied index, whatever their segments look like.
// While a transaction is open it is that of the visible state.
func (e *Engine) Digest() uint64 {
	if e.txn.open {
		return uint64(e.txn.before)
	}
	return uint64(e.digest)
}

// visible is the state that reads outside of a transaction see.
func (e *Engine) visible() state {
	return state{tree: e.index.tree, rev: e.current, compacted: e.compacted}
}

// Get returns the newest visible version of a key; ok is false when it does not live.
func (e *Engine) Get(key []byte) (kv []byte, m Meta, ok bool, err error) {
	return e.getAt(key, e.current)
}

func (e *Engine) getAt(key []byte, rev Revision) (kv []byte, m Meta, ok bool, err error) {
	v, ok := lookup(e.index.tree, key, rev)
	if !ok {
		return nil, Meta{}, false, nil
	}
	if kv, err = e.read(v.rev()); err != nil {
		return nil, Meta{}, false, err
	}
	return kv, v.meta(), true, nil
}

// read returns a record, from memory if the last transaction wrote it.
func (e *Engine) read(rev Rev) ([]byte, error) {
	if c := e.recent.find(rev); c != nil {
		return c.KV, nil
	}
	kv, err := e.log.Read(rev)
	if err != nil {
		return nil, fmt.Errorf("mvcc: read revision %d.%d: %w", rev.Main, rev.Sub, err)
	}
	return kv, nil
}

// Meta is Get without the record: it reads the index only.
func (e *Engine) Meta(key []byte) (m Meta, ok bool) {
	v, ok := lookup(e.index.tree, key, e.current)
	if !ok {
		return Meta{}, false
	}
	return v.meta(), true
}

// MetaRange calls visit for the live keys of [key, end) at the visible revision, in order, until
// it returns false. visit must not change the engine.
func (e *Engine) MetaRange(key, end []byte, visit func(key []byte, m Meta) bool) {
	e.visible().metaRange(key, end, visit)
}

// Range answers q at the visible state, on the loop. For small answers; large ones take a View.
func (e *Engine) Range(q *Query, r *Result) error {
	return e.rangeOn(e.visible(), q, r)
}

// StartCheckpoint begins a manifest generation that covers c and the visible revision. No
// transaction may be open. It panics if one is running.
func (e *Engine) StartCheckpoint(c Checkpoint) {
	if e.txn.open {
		panic(fmt.Sprintf("mvcc: checkpoint inside the transaction of revision %d", e.current+1))
	}
	e.log.StartCheckpoint(revlog.Checkpoint{
		Applied:   c.Applied,
		Term:      c.Term,
		Current:   e.current,
		Compacted: e.compacted,
		Digest:    uint64(e.digest),
		State:     c.State,
	})
}

// Ready says whether the loaded generation is known to be durable: Open may have read it from the
// page cache. Nothing that it replaces (raft's log before it) may be given up before.
func (e *Engine) Ready() bool { return e.log.Ready() }

// Checkpointing says whether a checkpoint is running.
func (e *Engine) Checkpointing() bool { return e.log.Checkpointing() }

// Durable returns the applied indexes of the newest and the older kept checkpoint; raft's log is
// kept from the older one on.
func (e *Engine) Durable() (newest, older uint64) {
	n, o := e.log.Durable()
	return n.Applied, o.Applied
}

// Flush appends the operations (diskio.LaneEngine) that can be issued now: write-behind, reclaim
// copies, checkpoint steps.
func (e *Engine) Flush(ops []diskio.Op) []diskio.Op { return e.log.Flush(ops) }

// Complete handles the completion of one of the engine's operations; an error means that the node
// must stop.
func (e *Engine) Complete(c diskio.Completion) error { return e.log.Complete(c) }

// Full says whether the disk was too full for the last write of some kind: what it was to hold
// waits in memory, for Retry or for a file to be removed. Reads and changes go on.
func (e *Engine) Full() bool { return e.log.Full() }

// Retry lets an engine that met a full disk write again.
func (e *Engine) Retry() { e.log.Retry() }

// Pause holds the reclaiming of files back (a log sync is slow) until Resume.
func (e *Engine) Pause() { e.log.Pause() }

// Paused says whether reclaim is held back.
func (e *Engine) Paused() bool { return e.log.Paused() }

// Resume lets reclaim go on.
func (e *Engine) Resume() { e.log.Resume() }

// Superseded returns the bytes of files that were replaced by reclaim and stay only because a kept
// checkpoint refers to them: two checkpoints give them back.
func (e *Engine) Superseded() int64 { return e.log.Superseded() }

// Unwritten is the number of bytes of changes that wait for the disk, for flow control: it grows
// without bound while the disk stalls. While it is above zero, a write is under way or due.
func (e *Engine) Unwritten() int64 { return e.log.Unwritten() }

// Size returns the bytes of all files, and those that live records use.
func (e *Engine) Size() (files, inUse int64) { return e.log.Size() }
