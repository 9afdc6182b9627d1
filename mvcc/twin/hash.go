package twin

// HashKV by its definition: go through the rows that compaction left, in revision order, skip what
// the definition skips, hash the rest.

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/detcd/detcd/mvcc"
)

// Rows lists the changes that compaction keeps, in order, up to rev.
func (s *Store) Rows(rev mvcc.Revision) (rows []Version) {
	for _, v := range s.Events(0, rev) {
		if v.Rev.Main > s.compacted {
			rows = append(rows, v)
			continue
		}
		kept, _ := newest(s.versions[string(v.KV.Key)], s.compacted)
		if kept.Rev == v.Rev && (!v.Dead || v.Rev.Main == s.compacted) {
			rows = append(rows, v)
		}
	}
	return rows
}

// Hash is HashKV at rev (<= 0: the newest).
func (s *Store) Hash(rev mvcc.Revision) (uint32, error) {
	switch {
	case rev > s.current:
		return 0, mvcc.ErrFuture
	case rev <= 0:
		rev = s.current
	case rev < s.compacted:
		return 0, mvcc.ErrCompacted
	}
	keep := map[mvcc.Rev]bool{}
	for _, key := range s.keys {
		if v, ok := newest(s.versions[key], rev); ok && !v.Dead {
			keep[v.Rev] = true
		}
	}
	content := []byte("key")
	for _, v := range s.Rows(rev) {
		if v.Rev.Main <= s.compacted && len(keep) > 0 && !keep[v.Rev] {
			continue
		}
		if v.Rev.Main == s.compacted && v.Dead {
			continue
		}
		content = binary.BigEndian.AppendUint64(content, uint64(v.Rev.Main))
		content = append(content, '_')
		content = binary.BigEndian.AppendUint64(content, uint64(v.Rev.Sub))
		if v.Dead {
			content = append(content, 't')
		}
		content = v.KV.AppendWire(content)
	}
	return crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)), nil
}
