// Package twin is the store as one would explain it: every version of every key in a sorted list,
// nothing indexed, nothing dropped. It is slow and short, so that it can be checked by reading it.
// Tests of the engine and models of the simulator compare against it.
//
// It does not handle durability, views or bounded steps: those are the engine's business, and must
// not show in any answer.
package twin

import (
	"slices"
	"sort"

	"github.com/detcd/detcd/mvcc"
)

// Version is one change of a key.
type Version struct {
	Rev  mvcc.Rev
	Dead bool // a tombstone; KV then has only the key
	KV   mvcc.KeyValue
}

// Store is the twin. The zero value is not ready; see New.
type Store struct {
	keys      []string // sorted
	versions  map[string][]Version
	current   mvcc.Revision
	compacted mvcc.Revision
	changes   int // of the open transaction
}

// New returns a virgin store.
func New() *Store {
	return &Store{versions: map[string][]Version{}, current: 1, compacted: -1}
}

// Clone returns an independent copy.
func (s *Store) Clone() *Store {
	c := *s
	c.keys = slices.Clone(s.keys)
	c.versions = make(map[string][]Version, len(s.versions))
	for _, key := range s.keys {
		c.versions[key] = slices.Clip(s.versions[key])
	}
	return &c
}

// Revision is the newest visible revision.
func (s *Store) Revision() mvcc.Revision { return s.current }

// Compacted is the revision of the last compaction, -1 if there was none.
func (s *Store) Compacted() mvcc.Revision { return s.compacted }

// Put writes a key at the next revision; Commit makes it visible.
func (s *Store) Put(key, value []byte, lease int64) {
	kv := mvcc.KeyValue{
		Key:     slices.Clone(key),
		Value:   slices.Clone(value),
		Create:  s.current + 1,
		Mod:     s.current + 1,
		Version: 1,
		Lease:   lease,
	}
	if old, ok := s.Get(key, s.current+1); ok {
		kv.Create, kv.Version = old.Create, old.Version+1
	}
	s.add(Version{KV: kv})
}

// DeleteRange ends the lives of the keys in [key, end) and returns what they were.
func (s *Store) DeleteRange(key, end []byte) (prev []mvcc.KeyValue) {
	prev = s.live(key, end, s.current+1)
	for _, kv := range prev {
		s.add(Version{Dead: true, KV: mvcc.KeyValue{Key: kv.Key}})
	}
	return prev
}

// Attached lists the keys that hold a lease, in order.
func (s *Store) Attached(lease int64) (keys []string) {
	for _, k := range s.keys {
		if kv, ok := s.Get([]byte(k), s.current+1); ok && lease != 0 && kv.Lease == lease {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *Store) add(v Version) {
	v.Rev = mvcc.Rev{Main: s.current + 1, Sub: int32(s.changes)}
	s.changes++
	key := string(v.KV.Key)
	if _, known := s.versions[key]; !known {
		i := sort.SearchStrings(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.versions[key] = append(s.versions[key], v)
}

// Commit makes the changes since the last Commit visible, as one revision.
func (s *Store) Commit() mvcc.Revision {
	if s.changes > 0 {
		s.current++
		s.changes = 0
	}
	return s.current
}

// Compact forgets what is superseded at or before rev.
func (s *Store) Compact(rev mvcc.Revision) error {
	switch {
	case rev <= s.compacted:
		return mvcc.ErrCompacted
	case rev > s.current:
		return mvcc.ErrFuture
	}
	s.compacted = rev
	return nil
}

// Get returns the newest version of a key at rev, if it lived then.
func (s *Store) Get(key []byte, rev mvcc.Revision) (mvcc.KeyValue, bool) {
	v, ok := newest(s.versions[string(key)], rev)
	return v.KV, ok && !v.Dead
}

// newest is the last version with a main revision of at most rev.
func newest(versions []Version, rev mvcc.Revision) (found Version, ok bool) {
	for _, v := range versions {
		if v.Rev.Main <= rev {
			found, ok = v, true
		}
	}
	return found, ok
}

// live lists the keys of the interval that live at rev, in order.
func (s *Store) live(key, end []byte, rev mvcc.Revision) (kvs []mvcc.KeyValue) {
	for _, k := range s.keys {
		if !Contains(key, end, k) {
			continue
		}
		if kv, ok := s.Get([]byte(k), rev); ok {
			kvs = append(kvs, kv)
		}
	}
	return kvs
}

// Contains says whether a key lies in the interval that a request's key and range end mean.
func Contains(key, end []byte, k string) bool {
	switch {
	case len(end) == 0:
		return k == string(key)
	case string(end) == "\x00":
		return k >= string(key)
	}
	return k >= string(key) && k < string(end)
}

// Events lists all changes with from <= main <= to, in order: what a watch of everything sees.
func (s *Store) Events(from, to mvcc.Revision) (events []Version) {
	for _, k := range s.keys {
		for _, v := range s.versions[k] {
			if v.Rev.Main >= from && v.Rev.Main <= to {
				events = append(events, v)
			}
		}
	}
	slices.SortFunc(events, func(a, b Version) int {
		if a.Rev.Less(b.Rev) {
			return -1
		}
		return 1
	})
	return events
}
