package mvcc

// The digest is a rolling hash over everything that was ever applied. Two members that applied the
// same log have the same digest, and one that diverged once never has it again, which makes
// divergence visible at the price of one fast hash per change, long before a HashKV is computed.
// It is no defence against an adversary, and it is not etcd's hash: see hash.go for that one.

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

type digest uint64

// The kinds of event that a digest covers, beyond the kinds of record.
const digestCompact = 255

// roll folds one event in: d is a hash over itself and the event.
func (d *digest) roll(kind uint8, rev Rev, content uint64) {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(*d))
	binary.LittleEndian.PutUint64(b[8:], uint64(rev.Main))
	binary.LittleEndian.PutUint32(b[16:], uint32(rev.Sub))
	b[20] = kind
	binary.LittleEndian.PutUint64(b[24:], content)
	*d = digest(xxhash.Sum64(b[:]))
}

// change folds in one change, its KeyValue in wire form: key, value, lease and all.
func (d *digest) change(kind uint8, rev Rev, kv []byte) { d.roll(kind, rev, xxhash.Sum64(kv)) }

func (d *digest) compaction(rev Revision) { d.roll(digestCompact, Rev{Main: rev}, 0) }
