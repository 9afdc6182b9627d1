package mvcc

// A block is a run of neighbouring keys, the unit that the index's tree holds. Small items in a
// tree would cost a pointer and an allocation per key, and make the garbage collector walk a
// million objects; a block keeps the keys of up to 256 entries in one byte arena and their
// newest versions in one slice without pointers.
//
// A block also knows three things about itself that make whole passes cheap: how many of its keys
// live (so a count adds blocks), when that set of keys last changed (so a count at an older
// revision still can), and the oldest revision at which it holds garbage (so a compaction visits
// nothing else).
//
// Example, block of three keys, revisions as main:
//
//	keys     "a" "b" "c"
//	entries  a: put@7   b: tombstone@9   c: put@4
//	pasts    a: put@3   b: put@5
//	live 2, liveChanged 9, garbage 7 (a's put@3 is superseded from 7 on)
//
// Invariants: keys ascend strictly; past versions are older than the entry; live, liveChanged and
// garbage follow from the entries. Blocks that a view can see are never changed but by appending
// past what the view sees (see index.go).

import (
	"bytes"
	"math"
)

const (
	// defaultBlockKeys is the number of keys at which a block is split. More makes a copy for a
	// view dearer, fewer makes counts longer.
	defaultBlockKeys = 256
	// minBlockKeys is the least that can be split and merged sensibly.
	minBlockKeys = 4
	// blockBytes splits blocks of long keys earlier, so that copying an arena stays cheap.
	blockBytes = 128 << 10
	// noGarbage is the garbage revision of a block that has none.
	noGarbage = Revision(math.MaxInt64)
)

// entry is a key with its newest version.
type entry struct {
	main   Revision
	create Revision
	number int64
	lease  int64
	sub    int32
	past   uint32 // 1 + the position of the older versions in pasts; 0: there are none
	off    uint32 // where the key lies in keys
	size   uint32
}

func (e *entry) version() version {
	return version{main: e.main, create: e.create, number: e.number, lease: e.lease, sub: e.sub}
}

func (e *entry) set(v version) {
	e.main, e.create, e.number, e.lease, e.sub = v.main, v.create, v.number, v.lease, v.sub
}

type block struct {
	// The fields that whole passes read come first, within one cache line.
	entries     []entry
	live        int32    // keys whose newest version is a put
	liveChanged Revision // when that set of keys last changed
	garbage     Revision // the oldest compaction revision at which something can be dropped
	changed     Revision // the newest main of any version
	epoch       uint64   // the index's epoch when this copy was made
	keyBytes    int      // the bytes of keys that entries use
	prefix      []byte   // what all keys begin with, lying in keys; may be shorter than it could
	heads       []uint64 // of each key, the 8 bytes behind the prefix: see heads.go
	keys        []byte
	pasts       []past
}

func newBlock(epoch uint64) *block { return &block{garbage: noGarbage, epoch: epoch} }

func (b *block) key(i int) []byte {
	e := &b.entries[i]
	return b.keys[e.off : e.off+e.size : e.off+e.size]
}

// find returns the position of the first key that is not less than key, and whether it is key.
//
// What it finds, it has compared as a whole; so whether key has the prefix, which lies elsewhere in
// memory, is looked at only if nothing was found.
func (b *block) find(key []byte) (i int, found bool) {
	lo := 0
	if len(key) >= len(b.prefix) {
		var hi int
		lo, hi = ties(b.heads, headOf(key[len(b.prefix):]))
		for lo < hi {
			mid := int(uint(lo+hi) / 2)
			switch c := bytes.Compare(b.key(mid), key); {
			case c == 0:
				return mid, true
			case c < 0:
				lo = mid + 1
			default:
				hi = mid
			}
		}
	}
	switch {
	case bytes.HasPrefix(key, b.prefix):
		return lo, false
	case bytes.Compare(key, b.prefix) < 0:
		return 0, false
	}
	return len(b.entries), false
}

// rehead derives prefix and heads from the keys; the prefix is as long as it can be.
func (b *block) rehead() {
	b.prefix = nil
	if n := len(b.entries); n > 0 {
		first := b.key(0)
		b.prefix = first[:commonPrefix(first, b.key(n-1))]
	}
	b.heads = b.heads[:0]
	for i := range b.entries {
		b.heads = append(b.heads, headOf(b.key(i)[len(b.prefix):]))
	}
}

// at returns the version of key i that is the newest at rev; ok is false when the key had none.
func (b *block) at(i int, rev Revision) (v version, ok bool) {
	e := &b.entries[i]
	if e.main <= rev {
		return e.version(), true
	}
	if e.past != 0 {
		return b.pasts[e.past-1].find(rev)
	}
	return version{}, false
}

// liveAt is at for readers: ok is false when the key does not live at rev.
func (b *block) liveAt(i int, rev Revision) (v version, ok bool) {
	v, ok = b.at(i, rev)
	return v, ok && !v.dead()
}

// count is the number of keys among [lo, hi) that live at rev.
func (b *block) count(lo, hi int, rev Revision) int64 {
	if lo == 0 && hi == len(b.entries) && b.liveChanged <= rev {
		return int64(b.live)
	}
	n := int64(0)
	for i := lo; i < hi; i++ {
		if _, ok := b.liveAt(i, rev); ok {
			n++
		}
	}
	return n
}

// garbageOf is the oldest compaction revision that drops a version of key i. Versions ascend, so
// it is the first one that decides: it goes once something supersedes it, or, being a tombstone,
// once compaction passes it.
func (b *block) garbageOf(i int) Revision {
	e := &b.entries[i]
	if e.past == 0 {
		if e.create == 0 {
			return e.main + 1
		}
		return noGarbage
	}
	p := &b.pasts[e.past-1]
	next := e.main
	if p.len() > 1 {
		next = p.main(1)
	}
	if first := p.at(0); first.dead() {
		next = min(next, first.main+1)
	}
	return next
}

// put makes v the newest version of key, which is at position i if found, and belongs there
// otherwise. It returns by how much the number of live keys changed.
func (b *block) put(i int, found bool, key []byte, v version) (delta int) {
	wasLive := false
	if found {
		e := &b.entries[i]
		wasLive = e.create != 0
		if e.past == 0 {
			b.pasts = append(b.pasts, past{})
			e.past = uint32(len(b.pasts))
		}
		b.pasts[e.past-1].push(e.version())
		e.set(v)
		b.garbage = min(b.garbage, v.main)
	} else {
		b.insert(i, key, v)
	}
	if v.dead() {
		b.garbage = min(b.garbage, v.main+1)
	}
	b.changed = max(b.changed, v.main)
	if isLive := !v.dead(); isLive != wasLive {
		delta = 1
		if wasLive {
			delta = -1
		}
		b.live += int32(delta)
		b.liveChanged = v.main
	}
	return delta
}

func (b *block) insert(i int, key []byte, v version) {
	e := entry{off: uint32(len(b.keys)), size: uint32(len(key))}
	e.set(v)
	b.growKeys(len(key))
	b.keys = append(b.keys, key...)
	b.keyBytes += len(key)
	if len(b.entries) == cap(b.entries) {
		// Small steps: a block in use is mostly a little over half full, and append's doubling
		// would leave a third of the index empty.
		room := len(b.entries) + len(b.entries)/16 + 4
		b.entries = append(sized[entry](room), b.entries...)
		b.heads = append(sized[uint64](cap(b.entries)), b.heads...)
	}
	b.entries = b.entries[:len(b.entries)+1]
	copy(b.entries[i+1:], b.entries[i:])
	b.entries[i] = e
	if len(b.entries) == 1 || !bytes.HasPrefix(key, b.prefix) {
		b.rehead()
		return
	}
	b.heads = append(b.heads, 0)
	copy(b.heads[i+1:], b.heads[i:])
	b.heads[i] = headOf(key[len(b.prefix):])
}

// growKeys makes room for n more bytes in the arena.
func (b *block) growKeys(n int) {
	if need := len(b.keys) + n; need > cap(b.keys) {
		b.keys = append(sized[byte](need+need/16), b.keys...)
		if len(b.entries) > 0 { // or the prefix would keep the old arena in memory
			b.prefix = b.key(0)[:len(b.prefix)]
		}
	}
}

// sized makes an empty slice with room for n, and for whatever more the allocator would give away
// unused by rounding up.
func sized[T any](n int) []T { return append([]T(nil), make([]T, n)...)[:0] }

// oversized says whether b should be split.
func (b *block) oversized(most int) bool {
	n := len(b.entries)
	return n >= most || n >= 16 && len(b.keys) > blockBytes
}

// clone copies b for changes at epoch. Arena and past chunks are shared: they are append-only.
func (b *block) clone(epoch uint64) *block {
	c := *b
	c.epoch = epoch
	c.entries = append(sized[entry](len(b.entries)+4), b.entries...)
	c.heads = append(sized[uint64](cap(c.entries)), b.heads...)
	c.pasts = append([]past(nil), b.pasts...)
	return &c
}

// take appends the entries [lo, hi) of o to b, whose keys are all less.
func (b *block) take(o *block, lo, hi int) {
	for i := lo; i < hi; i++ {
		e := o.entries[i]
		key := o.key(i)
		e.off = uint32(len(b.keys))
		b.keys = append(b.keys, key...)
		if e.past != 0 {
			b.pasts = append(b.pasts, o.pasts[e.past-1])
			e.past = uint32(len(b.pasts))
		}
		b.entries = append(b.entries, e)
	}
	b.liveChanged = max(b.liveChanged, o.liveChanged)
	b.changed = max(b.changed, o.changed)
	b.recount()
	b.rehead()
}

// part is a new block with the entries [lo, hi) of b.
func (b *block) part(lo, hi int, epoch uint64) *block {
	size := 0
	for i := lo; i < hi; i++ {
		size += int(b.entries[i].size)
	}
	p := newBlock(epoch)
	p.keys = sized[byte](size)
	p.entries = sized[entry](hi - lo)
	p.heads = sized[uint64](cap(p.entries))
	p.take(b, lo, hi)
	return p
}

// recount derives live, garbage and keyBytes from the entries.
func (b *block) recount() {
	b.live, b.garbage, b.keyBytes = 0, noGarbage, 0
	for i := range b.entries {
		if b.entries[i].create != 0 {
			b.live++
		}
		b.garbage = min(b.garbage, b.garbageOf(i))
		b.keyBytes += int(b.entries[i].size)
	}
}
