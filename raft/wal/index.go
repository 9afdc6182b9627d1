package wal

// The index says in which bytes of which segment an entry lies, sparsely: one region per run of
// records of about regionBytes. It holds durable records only. A region starts and ends at record
// boundaries and its entries are consecutive, so that reading whole regions is reading whole,
// checkable records.

import (
	"fmt"
	"sort"

	"github.com/detcd/detcd/raft"
)

const regionBytes = 16 << 10

// region is a run of records with consecutive entries.
//
// Invariant: regions are ordered by sequence and offset, and their entries first..last follow one
// another without a gap.
type region struct {
	sequence    uint64
	offset, end int64
	first, last raft.Index
	cut         bool // overwritten entries follow, in its bytes or before the next region's
}

type index struct{ regions []region }

// add records that the bytes offset..end of a segment hold the entries first..last, which end the
// log: whatever had an index from first on is overwritten.
func (x *index) add(sequence uint64, offset, end int64, first, last raft.Index) {
	x.cutFrom(first)
	n := len(x.regions)
	if n > 0 {
		r := &x.regions[n-1]
		if r.last+1 != first {
			panic(fmt.Sprintf("wal: entries %d..%d do not follow %d", first, last, r.last))
		}
		if !r.cut && r.sequence == sequence && end-r.offset <= regionBytes {
			r.end, r.last = end, last
			return
		}
	}
	x.regions = append(x.regions, region{sequence: sequence, offset: offset, end: end,
		first: first, last: last})
}

// cutFrom forgets the entries from i on.
func (x *index) cutFrom(i raft.Index) {
	n := len(x.regions)
	for n > 0 && x.regions[n-1].first >= i {
		n--
	}
	popped := n < len(x.regions)
	x.regions = x.regions[:n]
	if n > 0 && (popped || x.regions[n-1].last >= i) {
		r := &x.regions[n-1]
		r.last, r.cut = min(r.last, i-1), true
	}
}

// dropBefore forgets what lies in segments older than sequence.
func (x *index) dropBefore(sequence uint64) {
	n := sort.Search(len(x.regions), func(k int) bool {
		return x.regions[k].sequence >= sequence
	})
	x.regions = append(x.regions[:0], x.regions[n:]...)
}

// reset forgets everything.
func (x *index) reset() { x.regions = x.regions[:0] }

// firstSegment returns the sequence of the oldest segment that holds an entry above i, ok false if
// there is none.
func (x *index) firstSegment(i raft.Index) (sequence uint64, ok bool) {
	n := x.find(i + 1)
	if n == len(x.regions) {
		return 0, false
	}
	return x.regions[n].sequence, true
}

// find returns the first region that holds an entry at or above i.
func (x *index) find(i raft.Index) int {
	return sort.Search(len(x.regions), func(k int) bool { return x.regions[k].last >= i })
}

// span returns the adjoining regions, as one piece of one file, that hold entries from lo on, up
// to about maxBytes of file or the entry hi.
func (x *index) span(lo, hi raft.Index, maxBytes int64) (r region, ok bool) {
	n := x.find(lo)
	if n == len(x.regions) || x.regions[n].first > lo {
		return region{}, false
	}
	r = x.regions[n]
	for _, next := range x.regions[n+1:] {
		if r.cut || next.sequence != r.sequence || r.last >= hi || r.end-r.offset >= maxBytes {
			break
		}
		r.end, r.last, r.cut = next.end, next.last, next.cut
	}
	r.last = min(r.last, hi)
	return r, true
}
