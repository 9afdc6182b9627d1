package twin

// Range reads as etcd performs them, step by step: fetch, filter, sort, cut, strip.

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/detcd/detcd/mvcc"
)

// Answer is the answer to a query.
type Answer struct {
	KVs   []mvcc.KeyValue
	Count int64
	More  bool
}

// Range answers q at the visible state.
func (s *Store) Range(q *mvcc.Query) (Answer, error) { return s.rangeAt(q, s.current) }

// RangeOwn answers q as the open transaction sees the store.
func (s *Store) RangeOwn(q *mvcc.Query) (Answer, error) { return s.rangeAt(q, s.current+1) }

func (s *Store) rangeAt(q *mvcc.Query, newest mvcc.Revision) (Answer, error) {
	rev := q.Rev
	switch {
	case rev > s.current:
		return Answer{}, mvcc.ErrFuture
	case rev <= 0:
		rev = newest
	case rev < s.compacted:
		return Answer{}, mvcc.ErrCompacted
	}
	kvs := s.live(q.Key, q.End, rev)
	a := Answer{Count: int64(len(kvs))}
	if q.CountOnly {
		return a, nil
	}
	filtered := q.MinMod != 0 || q.MaxMod != 0 || q.MinCreate != 0 || q.MaxCreate != 0
	early := q.Order == mvcc.NoOrder || q.Order == mvcc.Ascend && q.Target == mvcc.ByKey
	if q.Limit > 0 && early && !filtered && int64(len(kvs)) > q.Limit+1 {
		kvs = kvs[:q.Limit+1]
	}
	kvs = slices.DeleteFunc(kvs, func(kv mvcc.KeyValue) bool { return !accepts(q, &kv) })
	sortKeyValues(q, kvs)
	if q.Limit > 0 && int64(len(kvs)) > q.Limit {
		kvs, a.More = kvs[:q.Limit], true
	}
	for i := range kvs {
		if q.KeysOnly {
			kvs[i].Value = nil
			if q.Target != mvcc.ByValue {
				kvs[i].Lease = 0
			}
		}
	}
	a.KVs = kvs
	return a, nil
}

func accepts(q *mvcc.Query, kv *mvcc.KeyValue) bool {
	return !(q.MinMod != 0 && kv.Mod < q.MinMod || q.MaxMod != 0 && kv.Mod > q.MaxMod ||
		q.MinCreate != 0 && kv.Create < q.MinCreate || q.MaxCreate != 0 && kv.Create > q.MaxCreate)
}

// sortKeyValues sorts by q's target; equal ones stay in the order of their keys.
func sortKeyValues(q *mvcc.Query, kvs []mvcc.KeyValue) {
	slices.SortStableFunc(kvs, func(a, b mvcc.KeyValue) int {
		c := 0
		switch q.Target {
		case mvcc.ByKey:
			c = bytes.Compare(a.Key, b.Key)
		case mvcc.ByVersion:
			c = cmp.Compare(a.Version, b.Version)
		case mvcc.ByCreate:
			c = cmp.Compare(a.Create, b.Create)
		case mvcc.ByMod:
			c = cmp.Compare(a.Mod, b.Mod)
		case mvcc.ByValue:
			c = bytes.Compare(a.Value, b.Value)
		}
		if q.Order == mvcc.Descend {
			c = -c
		}
		return c
	})
}
