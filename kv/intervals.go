package kv

import (
	"bytes"
	"slices"

	"github.com/detcd/detcd/mvcc"
)

// interval is the keys from from up to but not including to; to nil has no end.
type interval struct{ from, to []byte }

// intervals, once merged, is sorted and free of overlaps, so that a key is found by bisection: a
// request may hold tens of thousands of deletes and puts.
type intervals []interval

// deleted is the interval of a DeleteRange. An inverted one is empty.
func deleted(d *deleteRequest) interval {
	from, to, _ := mvcc.Bounds(d.key, d.end)
	return interval{from, to}
}

// merged sorts the intervals and joins those that touch; empty ones vanish.
func (list intervals) merged() intervals {
	list = slices.DeleteFunc(list, func(iv interval) bool {
		return iv.to != nil && bytes.Compare(iv.from, iv.to) >= 0
	})
	slices.SortFunc(list, func(a, b interval) int { return bytes.Compare(a.from, b.from) })
	out := list[:0]
	for _, iv := range list {
		if n := len(out); n > 0 && out[n-1].reaches(iv.from) {
			last := &out[n-1]
			if last.to != nil && (iv.to == nil || bytes.Compare(iv.to, last.to) > 0) {
				last.to = iv.to
			}
			continue
		}
		out = append(out, iv)
	}
	return out
}

// reaches says whether key lies before or at the interval's end.
func (iv interval) reaches(key []byte) bool {
	return iv.to == nil || bytes.Compare(key, iv.to) <= 0
}

// contain says whether one of the merged intervals holds key.
func (list intervals) contain(key []byte) bool {
	i, found := slices.BinarySearchFunc(list, key, func(iv interval, key []byte) int {
		return bytes.Compare(iv.from, key)
	})
	if found {
		return true
	}
	return i > 0 && (list[i-1].to == nil || bytes.Compare(key, list[i-1].to) < 0)
}
