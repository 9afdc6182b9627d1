package revlog

// A segment's offset table: from a revision to the place of its record. It has no pointers, so the
// collector never walks it, and costs 8 bytes per record (12 once a sub-revision other than 0 is
// in the segment). Invariant: entries are in strictly ascending order of (main, sub). Columns are
// append-only, so a copy of the struct stays valid while the original grows.

import (
	"math"
	"sort"
)

type table struct {
	base  Revision // main revision that mains count from
	mains []uint32 // main - base
	subs  []uint32 // nil while every sub-revision is 0
	offs  []uint32 // offset of the record in the file
}

func (t *table) len() int { return len(t.mains) }

// fits says whether rev can be added to a table that starts at base.
func fits(base Revision, rev Rev) bool { return rev.Main-base <= math.MaxUint32 }

func (t *table) add(rev Rev, off int64) {
	if len(t.mains) == 0 {
		t.base = rev.Main
	}
	if rev.Sub != 0 && t.subs == nil {
		t.subs = make([]uint32, len(t.mains), len(t.mains)+16)
	}
	if t.subs != nil {
		t.subs = append(t.subs, uint32(rev.Sub))
	}
	t.mains = append(t.mains, uint32(rev.Main-t.base))
	t.offs = append(t.offs, uint32(off))
}

// room makes place for n records.
func (t *table) room(n int) {
	t.mains = make([]uint32, 0, n)
	t.offs = make([]uint32, 0, n)
}

func (t *table) rev(i int) Rev {
	r := Rev{Main: t.base + Revision(t.mains[i])}
	if t.subs != nil {
		r.Sub = int32(t.subs[i])
	}
	return r
}

// compare orders entry i against (main, sub).
func (t *table) compare(i int, main, sub uint32) int {
	if t.mains[i] != main {
		if t.mains[i] < main {
			return -1
		}
		return 1
	}
	have := uint32(0)
	if t.subs != nil {
		have = t.subs[i]
	}
	if have == sub {
		return 0
	}
	if have < sub {
		return -1
	}
	return 1
}

// find returns the position of rev, or -1. A segment that nothing was dropped from and whose
// transactions have one change each holds main m at position m-base: that guess comes first. The
// second guess is the place if revisions are spread evenly; a binary search does the rest.
func (t *table) find(rev Rev) int {
	n := len(t.mains)
	if n == 0 || rev.Main < t.base || !fits(t.base, rev) {
		return -1
	}
	main, sub := uint32(rev.Main-t.base), uint32(rev.Sub)
	lo, hi := 0, n
	guess := int(main)
	if guess >= n {
		guess = int(uint64(main) * uint64(n-1) / max(uint64(t.mains[n-1]), 1))
	}
	for range 2 {
		if guess < lo || guess >= hi {
			break
		}
		switch t.compare(guess, main, sub) {
		case 0:
			return guess
		case -1:
			lo = guess + 1
		default:
			hi = guess
		}
		guess = int(uint64(main) * uint64(n-1) / max(uint64(t.mains[n-1]), 1))
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch t.compare(mid, main, sub) {
		case 0:
			return mid
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}

// after returns the position of the first record at or after off.
func (t *table) after(off int64) int {
	return sort.Search(len(t.offs), func(i int) bool { return int64(t.offs[i]) >= off })
}
