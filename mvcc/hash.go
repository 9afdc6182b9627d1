package mvcc

// HashKV, the hash by which etcd's members and tools compare stores: equal for equal histories,
// byte for byte etcd's own. It is CRC32C over the ASCII word key, and then for every kept record at
// or below the revision, in revision order, over the record's row key and its KeyValue. A row key
// is main and sub revision, 8 bytes big-endian each, with '_' between them, and a 't' behind a
// tombstone's.
//
// Kept means: above the compacted revision C everything; at or below C what is the newest version
// of its key at the hashed revision, and no tombstone. When no key lives at the hashed revision,
// it is instead what compaction at C keeps, less tombstones: then rows below C are not compared
// against the living ones.
//
// Hashing reads every record, so it goes in steps: the list of revisions is made first (16 bytes
// each), and a step reads as many as it is told.

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Hashing is a HashKV under way.
type Hashing struct {
	view *View
	at   Revision
	revs []Rev // still to be hashed, in order
	sum  uint32
}

// rowKeySize is the length of a put's row key.
const rowKeySize = 17

// Hash is etcd's HashKV at revision rev (<= 0: the newest), all at once.
func (v *View) Hash(rev Revision) (hash uint32, at Revision, err error) {
	h, err := v.StartHash(rev)
	if err != nil {
		return 0, 0, err
	}
	for more := true; more; {
		if more, err = h.Step(1024); err != nil {
			return 0, 0, err
		}
	}
	return h.Sum(), h.Revision(), nil
}

// HashOfNothing is the HashKV of no record at all.
func HashOfNothing() uint32 { return crc32.Checksum([]byte("key"), castagnoli) }

// StartHash begins a HashKV at revision rev (<= 0: the newest).
func (v *View) StartHash(rev Revision) (*Hashing, error) {
	at, err := v.at(rev)
	if err != nil {
		return nil, err
	}
	h := &Hashing{view: v, at: at, sum: HashOfNothing()}
	alive := v.count([]byte{0}, []byte{0}, at) > 0
	newest := at // below the compacted revision, what is newest here counts
	if !alive {
		newest = v.compacted
	}
	span(v.tree, nil, nil, func(b *block, lo, hi int) bool {
		for i := lo; i < hi; i++ {
			h.revs = appendHashed(h.revs, b, i, at, newest, v.compacted)
		}
		return true
	})
	slices.SortFunc(h.revs, func(a, b Rev) int {
		return cmp.Or(cmp.Compare(a.Main, b.Main), cmp.Compare(a.Sub, b.Sub))
	})
	return h, nil
}

// appendHashed appends the revisions of key i that a hash at revision at covers.
func appendHashed(revs []Rev, b *block, i int, at, newest, compacted Revision) []Rev {
	if v, ok := b.liveAt(i, newest); ok && v.main <= compacted {
		revs = append(revs, v.rev())
	}
	e := &b.entries[i]
	if e.past != 0 {
		p := &b.pasts[e.past-1]
		for k := p.count(compacted); k < p.len() && p.main(k) <= at; k++ {
			revs = append(revs, p.rev(k))
		}
	}
	if e.main > compacted && e.main <= at {
		revs = append(revs, Rev{Main: e.main, Sub: e.sub})
	}
	return revs
}

// Step hashes up to n more records and says whether some remain.
func (h *Hashing) Step(n int) (more bool, err error) {
	n = min(n, len(h.revs))
	kvs := make([][]byte, n)
	if err := readBatch(h.view.snap, h.revs[:n], kvs); err != nil {
		return false, err
	}
	for i, kv := range kvs {
		var row [rowKeySize + 1]byte
		h.sum = crc32.Update(h.sum, castagnoli, appendRowKey(row[:0], h.revs[i], kv))
		h.sum = crc32.Update(h.sum, castagnoli, kv)
	}
	h.revs = h.revs[n:]
	return len(h.revs) > 0, nil
}

// appendRowKey appends the key of a record's row in etcd's store.
func appendRowKey(dst []byte, rev Rev, kv []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(rev.Main))
	dst = append(dst, '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(rev.Sub))
	if parsed := mustParse(kv); parsed.Mod == 0 {
		dst = append(dst, 't')
	}
	return dst
}

// Sum is the hash, once Step has said that nothing remains.
func (h *Hashing) Sum() uint32 { return h.sum }

// Revision is the revision that is hashed.
func (h *Hashing) Revision() Revision { return h.at }
