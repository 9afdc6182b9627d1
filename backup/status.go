package backup

// What tools say of a backup: etcd's numbers, computed as etcd computes them.

import (
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"github.com/detcd/detcd/mvcc"
)

// Status describes a file. Its JSON is etcd's.
type Status struct {
	// Hash is CRC32C over the names, keys and values of all buckets.
	Hash     uint32 `json:"hash"`
	Revision int64  `json:"revision"` // of the last record, 0 if there is none
	Keys     int    `json:"totalKey"` // that live
	Bytes    int64  `json:"totalSize"`
	Version  string `json:"version"` // of the storage; empty if the file does not say
}

// Status reads the whole file.
func (f *File) Status() (Status, error) {
	s := Status{Bytes: f.tx.Size(), Version: f.StorageVersion}
	live := map[string]struct{}{}
	table := crc32.MakeTable(crc32.Castagnoli)
	err := f.tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		s.Hash = crc32.Update(s.Hash, table, name)
		return b.ForEach(func(key, value []byte) error {
			s.Hash = crc32.Update(s.Hash, table, key)
			s.Hash = crc32.Update(s.Hash, table, value)
			if string(name) != bucketKey {
				return nil
			}
			rev, kind, err := parseRowKey(key)
			if err != nil {
				return err
			}
			kv, err := mvcc.ParseKeyValue(value)
			s.Revision = int64(rev.Main)
			if live[string(kv.Key)] = struct{}{}; kind == mvcc.TombstoneRecord {
				delete(live, string(kv.Key))
			}
			return err
		})
	})
	s.Keys = len(live)
	return s, err
}

// HashKV is the hash by which members compare their stores, at rev (0: the newest). It is computed
// by its definition, with a set of the keys that live then: whoever asks has time. Rows that say
// nothing are in it; to etcd they are versions of the empty key. A revision that does not exist is
// mvcc.ErrFuture or mvcc.ErrCompacted.
func (f *File) HashKV(rev mvcc.Revision) (hash uint32, at mvcc.Revision, err error) {
	switch {
	case rev > f.Revision:
		return 0, 0, mvcc.ErrFuture
	case rev <= 0:
		rev = f.Revision
	case rev < f.Compacted:
		return 0, 0, mvcc.ErrCompacted
	}
	live, err := f.live(rev)
	if err != nil {
		return 0, 0, err
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	hash = crc32.Checksum([]byte(bucketKey), table)
	err = f.all(func(r mvcc.Record) error {
		_, isLive := live[r.Rev]
		old := r.Rev.Main <= f.Compacted && len(live) > 0 && !isLive
		mark := r.Rev.Main == f.Compacted && r.Kind == mvcc.TombstoneRecord
		if r.Rev.Main > rev || old || mark {
			return nil
		}
		hash = crc32.Update(hash, table, appendRowKey(nil, r.Rev, r.Kind))
		hash = crc32.Update(hash, table, r.KV)
		return nil
	})
	return hash, rev, err
}

// live is the set of versions that keys have at rev.
func (f *File) live(rev mvcc.Revision) (map[mvcc.Rev]struct{}, error) {
	newest := map[string]mvcc.Rev{}
	err := f.all(func(r mvcc.Record) error {
		kv, err := mvcc.ParseKeyValue(r.KV)
		if err != nil || r.Rev.Main > rev {
			return err
		}
		newest[string(kv.Key)] = r.Rev
		if r.Kind == mvcc.TombstoneRecord {
			delete(newest, string(kv.Key))
		}
		return nil
	})
	live := make(map[mvcc.Rev]struct{}, len(newest))
	for _, at := range newest {
		live[at] = struct{}{}
	}
	return live, err
}
