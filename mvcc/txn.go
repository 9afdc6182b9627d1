package mvcc

// The writing transaction. There is at most one, and it cannot be undone: its caller checks first
// and then writes, and an error in between (a read that fails) stops the node before the entry
// takes effect.
//
// Its changes have the revision after the visible one, so nobody else sees them before Commit, and
// a DeleteRange of a million keys can be spread over many steps.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// Txn is an open writing transaction. It may stay open over several steps; readers see none of it.
type Txn struct {
	engine  *Engine
	open    bool
	changes int
	before  digest // the engine's when the transaction began
	// Buffers for the parts of a KeyValue around key and value.
	head [16]byte
	mid  [64]byte
	tail [16]byte
}

// Change is one change of a transaction.
type Change struct {
	Kind RecordKind
	KV   []byte // in wire form, immutable; a tombstone's has only the key
}

// recent keeps the changes of the newest transaction at hand: whoever publishes them as events
// needs no read.
type recent struct {
	main    Revision
	changes []Change
	count   int // of all changes of main
}

// recentMax bounds recent; a larger transaction's other changes are read back from the log.
const recentMax = 1024

func (r *recent) begin(main Revision) {
	r.main, r.count = main, 0
	clear(r.changes)
	r.changes = r.changes[:0]
}

func (r *recent) add(kind revlog.RecordKind, kv []byte) {
	r.count++
	if len(r.changes) < recentMax {
		r.changes = append(r.changes, Change{Kind: kind, KV: kv})
	}
}

func (r *recent) find(rev Rev) *Change {
	if rev.Main == r.main && int(rev.Sub) < len(r.changes) {
		return &r.changes[rev.Sub]
	}
	return nil
}

// Begin opens the one writing transaction, whose changes get revision Revision()+1 and become
// visible together at Commit. It panics if one is open.
func (e *Engine) Begin() *Txn {
	if e.txn.open {
		panic(fmt.Sprintf("mvcc: the transaction of revision %d is still open", e.current+1))
	}
	e.txn.open = true
	e.txn.changes = 0
	e.txn.before = e.digest
	return &e.txn
}

// Change returns one change at a kept revision, newest transactions from memory.
func (e *Engine) Change(rev Rev) (c Change, err error) {
	if c := e.recent.find(rev); c != nil {
		return *c, nil
	}
	kv, err := e.read(rev)
	if err != nil {
		return Change{}, err
	}
	return Change{Kind: KindOf(kv), KV: kv}, nil
}

// KindOf tells a tombstone's KeyValue from a put's: only the latter has revisions.
func KindOf(kv []byte) RecordKind {
	if parsed := mustParse(kv); parsed.Mod == 0 {
		return revlog.Tombstone
	}
	return revlog.Put
}

// Put writes a key. It encodes the KeyValue once, into the segment buffer.
func (t *Txn) Put(key, value []byte, lease int64) error {
	t.mustBeOpen()
	if len(key) == 0 {
		panic("mvcc: put of the empty key")
	}
	e := t.engine
	rev := t.next()
	v := version{main: rev.Main, sub: rev.Sub, create: rev.Main, number: 1, lease: lease}
	it := e.index.mutable(seek(e.index.tree, key))
	i, found := it.find(key)
	if found {
		if old := &it.entries[i]; old.create != 0 {
			v.create, v.number = old.create, old.number+1
		}
	}
	mid := appendVarint(t.mid[:0], tagCreate, int64(v.create))
	mid = appendVarint(mid, tagMod, int64(v.main))
	mid = appendVarint(mid, tagVersion, v.number)
	mid = appendBytesHead(mid, tagValue, len(value))
	kv := e.log.Append(rev, revlog.Put, appendBytesHead(t.head[:0], tagKey, len(key)), key, mid,
		value, appendVarint(t.tail[:0], tagLease, lease))
	e.index.putAt(it, i, found, key, v)
	t.changed(revlog.Put, rev, kv)
	return nil
}

// tombstone ends the life of key i of a mutable block.
func (t *Txn) tombstone(it item, i int) {
	e := t.engine
	rev := t.next()
	key := it.key(i)
	kv := e.log.Append(rev, revlog.Tombstone, appendBytesHead(t.head[:0], tagKey, len(key)), key)
	e.index.putAt(it, i, true, key, version{main: rev.Main, sub: rev.Sub})
	t.changed(revlog.Tombstone, rev, kv)
}

// next is the revision of the next change.
func (t *Txn) next() Rev { return Rev{Main: t.engine.current + 1, Sub: int32(t.changes)} }

func (t *Txn) changed(kind revlog.RecordKind, rev Rev, kv []byte) {
	e := t.engine
	if t.changes == 0 {
		e.recent.begin(rev.Main)
	}
	e.recent.add(kind, kv)
	e.digest.change(uint8(kind), rev, kv)
	t.changes++
}

func (t *Txn) mustBeOpen() {
	if !t.open {
		panic("mvcc: use of a transaction that is not open")
	}
}

// sees is the state that the transaction's own reads see.
func (t *Txn) sees() state {
	s := t.engine.visible()
	s.own = s.rev + 1
	return s
}

// DeleteCursor remembers how far a DeleteRange has come; the zero value is its start.
type DeleteCursor struct {
	next    []byte
	Deleted int64
	Done    bool
}

// visitsPerDelete bounds the keys that a step of DeleteRange may look at without finding one that
// lives, as a multiple of its budget.
const visitsPerDelete = 16

// DeleteRange writes tombstones for the live keys of [key, end) in key order, at most budget of
// them, and moves c. The caller repeats it until c.Done. When prev is not nil, the removed
// KeyValues are appended to it in wire form.
func (t *Txn) DeleteRange(key, end []byte, c *DeleteCursor, budget int, prev *[][]byte) error {
	t.mustBeOpen()
	from, to, ok := Bounds(key, end)
	if !ok || c.Done {
		c.Done = true
		return nil
	}
	if c.next != nil {
		from = c.next
	}
	e := t.engine
	visits := max(budget, 1) * visitsPerDelete
	budget = max(budget, 1)
	for it := seek(e.index.tree, from); ; {
		lo, _ := it.find(from)
		hi := len(it.entries)
		if to != nil {
			hi, _ = it.find(to)
		}
		// Entries of this block: find the live ones, read what they were, then end them.
		e.scratch.positions = e.scratch.positions[:0]
		i := lo
		for ; i < hi && budget > 0 && visits > 0; i++ {
			if it.entries[i].create != 0 {
				e.scratch.positions = append(e.scratch.positions, i)
				budget--
			}
			visits--
		}
		if err := t.endLives(it, e.scratch.positions, prev); err != nil {
			return err
		}
		c.Deleted += int64(len(e.scratch.positions))
		if i < hi {
			c.next = append(c.next[:0], it.key(i)...)
			return nil
		}
		next, more := following(e.index.tree, it.low)
		if hi < len(it.entries) || !more {
			c.Done = true
			return nil
		}
		it, from = next, next.low
		if budget == 0 || visits <= 0 {
			c.next = append(c.next[:0], from...)
			return nil
		}
	}
}

// endLives writes tombstones for the given entries of a block.
func (t *Txn) endLives(it item, positions []int, prev *[][]byte) error {
	if len(positions) == 0 {
		return nil
	}
	e := t.engine
	if prev != nil {
		revs := e.scratch.revs[:0]
		for _, i := range positions {
			v := it.entries[i].version()
			revs = append(revs, v.rev())
		}
		e.scratch.revs = revs
		at := len(*prev)
		*prev = append(*prev, make([][]byte, len(revs))...)
		if err := e.readAll(revs, (*prev)[at:]); err != nil {
			return err
		}
	}
	it = e.index.mutable(it)
	for _, i := range positions {
		t.tombstone(it, i)
	}
	return nil
}

// Get returns the KeyValue (wire form) and meta of a key as this transaction sees it, its own
// changes included. ok is false when the key does not live.
func (t *Txn) Get(key []byte) (kv []byte, m Meta, ok bool, err error) {
	t.mustBeOpen()
	return t.engine.getAt(key, t.engine.current+1)
}

// Meta is Get without the record: it reads the index only.
func (t *Txn) Meta(key []byte) (m Meta, ok bool) {
	t.mustBeOpen()
	v, ok := lookup(t.engine.index.tree, key, t.engine.current+1)
	if !ok {
		return Meta{}, false
	}
	return v.meta(), true
}

// Range answers q as this transaction sees the store: its own changes included when q.Rev <= 0.
func (t *Txn) Range(q *Query, r *Result) error {
	t.mustBeOpen()
	if q.Rev > 0 && q.Rev < t.engine.current {
		t.engine.index.probes[ProbeOldRange]++
	}
	return t.engine.rangeOn(t.sees(), q, r)
}

// Changes is the number of changes so far.
func (t *Txn) Changes() int { return t.changes }

// Commit makes the changes visible. It returns the new revision, or the old one if nothing
// changed.
func (t *Txn) Commit() Revision {
	t.mustBeOpen()
	t.open = false
	e := t.engine
	if t.changes > 0 {
		e.current++
		e.keys = e.index.live
	}
	return e.current
}
