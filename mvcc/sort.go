package mvcc

// Sorting of answers. Ties keep the order of the keys, in both directions: etcd promises nothing
// about them, and we need the same answer from every member.

import (
	"bytes"
	"cmp"
	"slices"
)

// sortHits sorts by anything but the value.
func sortHits(q *Query, hits []hit) {
	if q.Target == ByKey {
		if q.Order == Descend {
			slices.Reverse(hits)
		}
		return
	}
	direction := 1
	if q.Order == Descend {
		direction = -1
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		return direction * compareHits(q.Target, &a, &b)
	})
}

func compareHits(target Target, a, b *hit) int {
	switch target {
	case ByVersion:
		return cmp.Compare(a.number, b.number)
	case ByCreate:
		return cmp.Compare(a.create, b.create)
	default:
		return cmp.Compare(a.main, b.main)
	}
}

// sortByValue sorts records by their values.
func sortByValue(q *Query, records [][]byte) {
	type valued struct{ value, record []byte }
	list := make([]valued, len(records))
	for i, record := range records {
		kv := mustParse(record)
		list[i] = valued{kv.Value, record}
	}
	direction := 1
	if q.Order == Descend {
		direction = -1
	}
	slices.SortStableFunc(list, func(a, b valued) int {
		return direction * bytes.Compare(a.value, b.value)
	})
	for i := range list {
		records[i] = list[i].record
	}
}
