package mvcc

// The index maps every key to its versions: a tree of blocks, ordered by the lowest key that each
// may hold. The first block's bound is the empty key, so every key has exactly one block.
//
// Views need an immutable index at no cost to writers. So taking a view closes the current epoch,
// and a root, node or block that was made in an epoch that some living view has seen is copied
// before its next change, once. When no view lives, nothing is copied.

import (
	"bytes"
	"fmt"
	"slices"
)

// index is the writer's side. It is not safe for concurrent use.
type index struct {
	tree  *tree
	most  int    // keys at which a block is split
	fan   int    // blocks at which a node is split
	live  int64  // live keys in all blocks, an open transaction's changes included
	epoch uint64 // of blocks made now; starts at 1
	// shared is the newest epoch that a living view has seen, 0 if none lives.
	// Invariant: shared < epoch.
	shared uint64
	views  []uint64 // epochs of living views, ascending
	// attached says which keys hold which lease: see attach.go.
	attached Attachments
	probes   Probes
}

func newIndex(blockKeys int) index {
	most, fan := max(blockKeys, minBlockKeys), max(blockKeys, minBlockKeys)
	if blockKeys == 0 {
		most, fan = defaultBlockKeys, defaultFan
	}
	return index{tree: newTree(newBlock(1)), most: most, fan: fan, epoch: 1,
		attached: newAttachments()}
}

// share closes the epoch for a view and returns the view's tree and epoch.
func (ix *index) share() (*tree, uint64) {
	at := ix.epoch
	ix.views = append(ix.views, at)
	ix.shared = at
	ix.epoch++
	return ix.tree, at
}

// unshare ends a view.
func (ix *index) unshare(at uint64) {
	i, found := slices.BinarySearch(ix.views, at)
	if !found {
		panic(fmt.Sprintf("mvcc: no view of epoch %d lives", at))
	}
	ix.views = slices.Delete(ix.views, i, i+1)
	ix.shared = 0
	if n := len(ix.views); n > 0 {
		ix.shared = ix.views[n-1]
	}
}

// mutable returns it with a block that may be changed.
func (ix *index) mutable(it item) item {
	if it.epoch > ix.shared {
		return it
	}
	ix.probes[ProbeCopied]++
	it.block = it.clone(ix.epoch)
	ix.setBlock(it.low, it.block)
	return it
}

// put makes v the newest version of key.
func (ix *index) put(key []byte, v version) {
	it := ix.mutable(seek(ix.tree, key))
	i, found := it.find(key)
	ix.putAt(it, i, found, key, v)
}

// putAt is put for a mutable block and position already found.
func (ix *index) putAt(it item, i int, found bool, key []byte, v version) {
	var lease int64
	if found {
		lease = it.entries[i].lease
	}
	ix.attached.move(key, lease, v.lease)
	ix.live += int64(it.put(i, found, key, v))
	if !found && it.oversized(ix.most) {
		ix.split(it, i)
	}
}

// split halves a block. When the newest key is the last one, keys probably come in order, and then
// the left part stays nearly full, since nothing more will land there.
func (ix *index) split(it item, newest int) {
	n := len(it.entries)
	at := n / 2
	ix.probes[ProbeSplit]++
	if newest == n-1 {
		at = n - max(n/16, 1)
	}
	left, right := it.part(0, at, ix.epoch), it.part(at, n, ix.epoch)
	ix.setBlock(it.low, left)
	ix.addBlock(bytes.Clone(right.key(0)), right)
}

// join removes an empty block, and merges a small one with the next when both fit well together.
// It returns the block that now covers it.low.
func (ix *index) join(it item) item {
	if len(it.entries) >= ix.most/4 {
		return it
	}
	next, ok := following(ix.tree, it.low)
	if len(it.entries) == 0 && len(it.low) > 0 {
		ix.probes[ProbeEmptied]++
		ix.dropBlock(it.low)
		return seek(ix.tree, it.low)
	}
	if !ok || len(it.entries)+len(next.entries) > ix.most*5/8 ||
		it.keyBytes+next.keyBytes > blockBytes/2 {
		return it
	}
	ix.probes[ProbeMerged]++
	merged := it.part(0, len(it.entries), ix.epoch)
	merged.take(next.block, 0, len(next.entries))
	it.block = merged
	ix.setBlock(it.low, merged)
	ix.dropBlock(next.low)
	return it
}

// Bounds turns a query's key and range end into a half-open interval; a nil end is infinity. The
// interval is empty when ok is false. Whoever asks what a request is about asks here, so that a
// right is read as the request that leans on it is executed.
func Bounds(key, end []byte) (from, to []byte, ok bool) {
	switch {
	case len(end) == 0:
		to = append(key[:len(key):len(key)], 0)
		return key, to, true
	case len(end) == 1 && end[0] == 0:
		return key, nil, true
	}
	return key, end, bytes.Compare(key, end) < 0
}

// span calls visit for the entries [lo, hi) of every block that meets [from, to), in key order,
// until it returns false. A nil to is infinity. Inner blocks are passed whole and untouched, so a
// count costs a few nanoseconds per block.
func span(t *tree, from, to []byte, visit func(b *block, lo, hi int) bool) {
	first := seek(t, from)
	lo, _ := first.find(from)
	var last *block
	if to != nil {
		last = seek(t, to).block
	}
	more := true
	t.ascend(first.low, func(it item) bool {
		b, hi := it.block, len(it.entries)
		if b == last {
			hi, _ = b.find(to)
		}
		if lo < hi {
			more = visit(b, lo, hi)
		}
		lo = 0
		return more && b != last
	})
}

// lookup returns the version of key that is the newest at rev; ok is false when it does not live.
func lookup(t *tree, key []byte, rev Revision) (v version, ok bool) {
	it := seek(t, key)
	i, found := it.find(key)
	if !found {
		return version{}, false
	}
	return it.liveAt(i, rev)
}
