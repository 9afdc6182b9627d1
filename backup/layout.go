package backup

// The layout of a database: which rows lie in which leaf, which branches are above them, and which
// page each of them is. It needs the keys and the sizes of values only.
//
//	pages   0, 1    meta          then, bucket by bucket in the order of their names:
//	        2       freelist          the leaves, in key order
//	        3       root bucket       the branches, lowest level first; the last one is the root
//
// A leaf is about 32 KiB, eight pages: an extent in memory is some 50 bytes, so a store of 100 GB
// takes 150 MB here; leaves of one page would take a gigabyte.
//
// Invariants: rows ascend by key; every branch has at least two children; a branch's keys are
// exactly its children's first keys, because bbolt finds a page's entry in its parent by that key
// when it changes the page.

import (
	"bytes"
	"fmt"
)

const (
	leafBytes   = 32 << 10
	branchBytes = pageBytes

	freelistPage = 2
	rootPage     = 3
	firstPage    = 4 // of the buckets
)

// extent is one leaf or branch.
type extent struct {
	key   []byte // the first one
	count int    // elements
	size  int    // bytes used
	page  uint64 // where it starts
}

// tree is the layout of one bucket.
type tree struct {
	leaves   []extent
	branches [][]extent // by level, lowest first
	last     []byte     // the newest key
	rows     int64
}

// add lays out the next row. It panics if keys do not ascend.
func (t *tree) add(key []byte, value int) {
	if t.rows > 0 && bytes.Compare(t.last, key) >= 0 {
		panic(fmt.Sprintf("backup: row %x follows %x", key, t.last))
	}
	t.last = append(t.last[:0], key...)
	t.rows++
	size := leafSize(len(key), value)
	if n := len(t.leaves); n > 0 {
		leaf := &t.leaves[n-1]
		if leaf.size+size <= leafBytes && leaf.count < maxElements {
			leaf.size, leaf.count = leaf.size+size, leaf.count+1
			return
		}
	}
	t.leaves = append(t.leaves, extent{key: bytes.Clone(key), count: 1, size: pageHeader + size})
}

// place gives every extent its page, from next on, and returns the page after the last one.
func (t *tree) place(next uint64) uint64 {
	next = placeAll(t.leaves, next)
	for level := t.leaves; len(level) > 1; {
		level = group(level)
		next = placeAll(level, next)
		t.branches = append(t.branches, level)
	}
	return next
}

// root is the page of the tree's root, 0 for an empty tree. The tree must have been placed.
func (t *tree) root() uint64 {
	switch {
	case len(t.leaves) == 0:
		return 0
	case len(t.branches) == 0:
		return t.leaves[0].page
	}
	return t.branches[len(t.branches)-1][0].page
}

func placeAll(level []extent, next uint64) uint64 {
	for i := range level {
		level[i].page = next
		next += pagesFor(level[i].size)
	}
	return next
}

// group makes the branches above a level. One that would have a single child goes to its
// neighbour.
func group(level []extent) (branches []extent) {
	for _, child := range level {
		size := branchSize(len(child.key))
		n := len(branches)
		if n > 0 && (branches[n-1].size+size <= branchBytes || branches[n-1].count < 2) {
			branches[n-1].size += size
			branches[n-1].count++
			continue
		}
		branches = append(branches, extent{key: child.key, count: 1, size: pageHeader + size})
	}
	if n := len(branches); n > 1 && branches[n-1].count == 1 {
		branches[n-2].count++
		branches[n-2].size += branches[n-1].size - pageHeader
		branches = branches[:n-1]
	}
	return branches
}
