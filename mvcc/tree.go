package mvcc

// The tree holds the blocks in the order of their bounds: low, the lowest key that a block may
// hold. It has two levels: nodes of some dozens of blocks, and the list of nodes. A million keys
// are some 5,000 blocks and 60 nodes, a hundred million some 6,000 nodes, whose list is still
// copied within a fraction of a millisecond.
//
// It is not a general B-tree because a lookup's price is its cache misses. Bounds are searched by
// their heads (see heads.go), and by the next 8 bytes where these are equal: keys of one kind in
// many namespaces tie in the first 8. Only if those are equal too, bounds themselves are compared.
//
// Views share nodes like they share blocks (see index.go): a root or node of an epoch that a living
// view has seen is copied before it is changed.
//
// Example, nodes of up to 4 blocks, bounds only:
//
//	root     ""            "m"
//	nodes    "" "c" "f"    "m" "t"
//
// Invariants: bounds ascend strictly; the first one is the empty key; the root's are those of its
// nodes' first blocks; no node is empty.

import (
	"bytes"
	"slices"
)

// defaultFan is the number of blocks in a node at which it is split. More makes the copy of a node
// after a view dearer, fewer makes the root longer.
const defaultFan = 128

// level is a sorted list of bounds. The search never looks at the first one: whoever searches here
// knows that the key is not less.
type level struct {
	epoch  uint64   // the index's epoch when this copy was made
	prefix []byte   // what all bounds but the first begin with; a copy, never changed
	heads  []uint64 // of all bounds but the first, the 8 bytes behind the prefix
	nexts  []uint64 // and the 8 bytes behind those
	lows   [][]byte // the bytes are never changed
}

// find returns the position of the last bound that is not greater than key.
func (l *level) find(key []byte) int {
	if !bytes.HasPrefix(key, l.prefix) {
		if bytes.Compare(key, l.prefix) < 0 {
			return 0
		}
		return len(l.lows) - 1
	}
	rest := key[len(l.prefix):]
	lo, hi := ties(l.heads, headOf(rest))
	if lo == hi {
		return lo
	}
	nlo, nhi := ties(l.nexts[lo:hi], headOf(rest[min(8, len(rest)):]))
	lo, hi = lo+nlo, lo+nhi
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if bytes.Compare(l.lows[mid+1], key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// rehead derives prefix, heads and nexts from the bounds.
func (l *level) rehead() {
	l.prefix, l.heads, l.nexts = nil, l.heads[:0], l.nexts[:0]
	n := len(l.lows)
	if n < 2 {
		return
	}
	l.prefix = bytes.Clone(l.lows[1][:commonPrefix(l.lows[1], l.lows[n-1])])
	for _, low := range l.lows[1:] {
		rest := low[len(l.prefix):]
		l.heads = append(l.heads, headOf(rest))
		l.nexts = append(l.nexts, headOf(rest[min(8, len(rest)):]))
	}
}

// insert adds a bound at position i > 0.
func (l *level) insert(i int, low []byte) {
	l.lows = slices.Insert(l.lows, i, low)
	if len(l.lows) == 2 || !bytes.HasPrefix(low, l.prefix) {
		l.rehead()
		return
	}
	rest := low[len(l.prefix):]
	l.heads = slices.Insert(l.heads, i-1, headOf(rest))
	l.nexts = slices.Insert(l.nexts, i-1, headOf(rest[min(8, len(rest)):]))
}

// remove drops the bound at position i.
func (l *level) remove(i int) {
	l.lows = slices.Delete(l.lows, i, i+1)
	if len(l.heads) > 0 {
		at := max(i-1, 0)
		l.heads = slices.Delete(l.heads, at, at+1)
		l.nexts = slices.Delete(l.nexts, at, at+1)
	}
}

// replace gives position i another bound between its neighbours.
func (l *level) replace(i int, low []byte) {
	l.lows[i] = low
	if i > 0 {
		l.rehead()
	}
}

func (l *level) clone(epoch uint64) level {
	return level{epoch: epoch, prefix: l.prefix, heads: slices.Clone(l.heads),
		nexts: slices.Clone(l.nexts), lows: slices.Clone(l.lows)}
}

type node struct {
	level
	blocks []*block
}

// tree is the root.
type tree struct {
	level
	nodes []*node
}

// newTree makes a tree with one block, for all keys.
func newTree(b *block) *tree {
	n := &node{level{epoch: b.epoch, lows: [][]byte{nil}}, []*block{b}}
	return &tree{level{epoch: b.epoch, lows: [][]byte{nil}}, []*node{n}}
}

// item is a block with its bound.
type item struct {
	low []byte // never changed
	*block
}

func (n *node) item(i int) item { return item{n.lows[i], n.blocks[i]} }

// seek returns the block whose range holds key.
func seek(t *tree, key []byte) item {
	n := t.nodes[t.find(key)]
	return n.item(n.find(key))
}

// following returns the first block whose bound is greater than low.
func following(t *tree, low []byte) (it item, ok bool) {
	at := t.find(low)
	n := t.nodes[at]
	if i := n.find(low) + 1; i < len(n.blocks) {
		return n.item(i), true
	}
	if at+1 < len(t.nodes) {
		return t.nodes[at+1].item(0), true
	}
	return item{}, false
}

// ascend calls visit for each block from the one on whose range holds key, until it returns false.
func (t *tree) ascend(key []byte, visit func(it item) bool) {
	at := t.find(key)
	for i := t.nodes[at].find(key); at < len(t.nodes); i, at = 0, at+1 {
		n := t.nodes[at]
		for ; i < len(n.blocks); i++ {
			if !visit(n.item(i)) {
				return
			}
		}
	}
}

// own returns the position of the node for key, after root and node were copied if a view sees
// them.
func (ix *index) own(key []byte) int {
	if ix.tree.epoch <= ix.shared {
		ix.tree = &tree{ix.tree.clone(ix.epoch), slices.Clone(ix.tree.nodes)}
	}
	at := ix.tree.find(key)
	if n := ix.tree.nodes[at]; n.epoch <= ix.shared {
		ix.tree.nodes[at] = &node{n.clone(ix.epoch), slices.Clone(n.blocks)}
	}
	return at
}

// setBlock puts a block in the place of the one with bound low.
func (ix *index) setBlock(low []byte, b *block) {
	n := ix.tree.nodes[ix.own(low)]
	n.blocks[n.find(low)] = b
}

// addBlock adds a block whose bound is new.
func (ix *index) addBlock(low []byte, b *block) {
	at := ix.own(low)
	t, n := ix.tree, ix.tree.nodes[at]
	i := n.find(low) + 1
	n.insert(i, low)
	n.blocks = slices.Insert(n.blocks, i, b)
	if len(n.blocks) < ix.fan {
		return
	}
	half := len(n.blocks) / 2
	if i == len(n.blocks)-1 { // as in index.split
		half = i - i/16
	}
	right := &node{level{epoch: ix.epoch, lows: slices.Clone(n.lows[half:])},
		slices.Clone(n.blocks[half:])}
	left := &node{level{epoch: ix.epoch, lows: slices.Clone(n.lows[:half])},
		slices.Clone(n.blocks[:half])}
	left.rehead()
	right.rehead()
	t.nodes[at] = left
	t.nodes = slices.Insert(t.nodes, at+1, right)
	t.insert(at+1, right.lows[0])
}

// dropBlock removes the block with bound low, which is not the empty one; the one before it takes
// its range.
func (ix *index) dropBlock(low []byte) {
	at := ix.own(low)
	t, n := ix.tree, ix.tree.nodes[at]
	i := n.find(low)
	n.remove(i)
	n.blocks = slices.Delete(n.blocks, i, i+1)
	if len(n.blocks) == 0 {
		t.remove(at)
		t.nodes = slices.Delete(t.nodes, at, at+1)
		return
	}
	if i == 0 {
		t.replace(at, n.lows[0])
	}
	if len(n.blocks) >= ix.fan/4 || at+1 == len(t.nodes) {
		return
	}
	if next := t.nodes[at+1]; len(n.blocks)+len(next.blocks) <= ix.fan*5/8 {
		n.lows = append(n.lows, next.lows...)
		n.blocks = append(n.blocks, next.blocks...)
		n.rehead()
		t.remove(at + 1)
		t.nodes = slices.Delete(t.nodes, at+1, at+2)
	}
}
