package mvcc

import (
	"errors"

	"github.com/detcd/detcd/mvcc/revlog"
)

// Revision counts the changing transactions of the store; a virgin store is at revision 1.
type Revision = revlog.Revision

// Rev names one change: the Main revision and the position inside it, from 0.
type Rev = revlog.Rev

// DamageError says that stored bytes are not what was written. The node stops; it never becomes an
// answer.
type DamageError = revlog.DamageError

// RecordKind tells a put from a tombstone.
type RecordKind = revlog.RecordKind

// The kinds of record.
const (
	PutRecord       = revlog.Put
	TombstoneRecord = revlog.Tombstone
)

// The errors of reads and compactions; all are about what the caller asked for.
var (
	ErrCompacted = errors.New("mvcc: required revision has been compacted")
	ErrFuture    = errors.New("mvcc: required revision is a future revision")
)

// Order is the direction of a sort; it has etcd's numbers.
type Order int32

// The orders.
const (
	NoOrder Order = iota
	Ascend
	Descend
)

// Target is what a sort looks at; it has etcd's numbers.
type Target int32

// The sort targets.
const (
	ByKey Target = iota
	ByVersion
	ByCreate
	ByMod
	ByValue
)

// Query is a range read with every option of etcd's RangeRequest; see the contract there. End is
// empty for the single key, one zero byte for everything from Key on.
type Query struct {
	Key, End             []byte
	Rev                  Revision // <= 0: the newest visible
	Limit                int64    // <= 0: none
	Order                Order
	Target               Target
	KeysOnly             bool
	CountOnly            bool
	MinMod, MaxMod       Revision // 0: unset
	MinCreate, MaxCreate Revision // 0: unset
}

// Result is the answer to a Query. KVs are KeyValues in protobuf wire form, immutable.
type Result struct {
	KVs   [][]byte
	Count int64
	More  bool
}

// Meta is what the index knows of one version of a key without touching its record.
type Meta struct {
	Create  Revision
	Mod     Rev
	Version int64
	Lease   int64
}
