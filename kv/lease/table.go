// Package lease holds the leases of a cluster, and their leader's idea of when they end.
//
// The two are kept apart, because one is replicated and the other is not. A Table says which leases
// exist and what was granted; it is the same on every member at equal applied index, knows no time,
// and is all that apply looks at. A Schedule is made by a member that comes to lead and thrown away
// when it leads no longer; it says when each lease of the table would end, on the leader's clock.
// So whoever applies an entry cannot even ask what time it is.
//
// Not here: which keys hold a lease (the engine knows), and the log, through which every end of a
// lease goes.
package lease

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/btree"
)

// ID names a lease. Clients choose them or let the store; 0 is none.
type ID int64

// Seconds is a time to live.
type Seconds int64

// MaxTTL is the longest time to live that is granted.
const MaxTTL Seconds = 9_000_000_000

// Lease is what is replicated of a lease.
type Lease struct {
	ID  ID
	TTL Seconds // granted, at least 1
	// Remaining is what was left when that was last written down, 0 for all of TTL. A new leader
	// goes on from there. Invariant: 0 <= Remaining <= TTL.
	Remaining Seconds
	// Granted is the index of the entry that granted it, 0 if a restore did. An ID may be granted
	// again after its end; the index tells the one life from the other.
	Granted uint64
}

// Left is what a new leader gives the lease.
func (l *Lease) Left() Seconds {
	if l.Remaining > 0 {
		return l.Remaining
	}
	return l.TTL
}

func byID(a, b Lease) bool { return a.ID < b.ID }

const degree = 32

// Table is the set of leases, ordered by ID. The zero value is not ready: see NewTable.
type Table struct {
	leases *btree.BTreeG[Lease]
}

// NewTable returns a table without leases.
func NewTable() *Table { return &Table{leases: btree.NewG(degree, byID)} }

// Len is the number of leases.
func (t *Table) Len() int { return t.leases.Len() }

// Get returns a lease.
func (t *Table) Get(id ID) (Lease, bool) { return t.leases.Get(Lease{ID: id}) }

// Has says whether a lease exists.
func (t *Table) Has(id ID) bool { return t.leases.Has(Lease{ID: id}) }

// Grant adds a lease that does not exist.
func (t *Table) Grant(l Lease) {
	if l.ID == 0 || l.TTL < 1 || l.TTL > MaxTTL {
		panic(fmt.Sprintf("lease: grant of %+v", l))
	}
	if old, existed := t.leases.ReplaceOrInsert(l); existed {
		panic(fmt.Sprintf("lease: grant of %+v, which exists as %+v", l, old))
	}
}

// Revoke removes a lease and says whether it existed.
func (t *Table) Revoke(id ID) bool {
	_, existed := t.leases.Delete(Lease{ID: id})
	return existed
}

// Lived says whether a lease exists that was granted at an index or before it. What was decided at
// that index about an ID is meant for no later life of it.
func (t *Table) Lived(id ID, at uint64) bool {
	l, ok := t.Get(id)
	return ok && l.Granted <= at
}

// Checkpoint writes down what is left of a lease, 0 for all of its time to live, as decided at an
// index, and says whether the lease existed then.
func (t *Table) Checkpoint(id ID, remaining Seconds, at uint64) bool {
	if !t.Lived(id, at) {
		return false
	}
	l, _ := t.Get(id)
	l.Remaining = min(max(remaining, 0), l.TTL)
	t.leases.ReplaceOrInsert(l)
	return true
}

// Visit calls visit for the leases in order of ID, from one on, until it returns false.
func (t *Table) Visit(from ID, visit func(l Lease) bool) {
	t.leases.AscendGreaterOrEqual(Lease{ID: from}, visit)
}

// encodedSize is the length of a lease in a state file.
const encodedSize = 4 * 8

// Append writes the table: a count, and each lease as ID, TTL, remaining time and grant.
func (t *Table) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Len()))
	t.leases.Ascend(func(l Lease) bool {
		b = binary.LittleEndian.AppendUint64(b, uint64(l.ID))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.TTL))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.Remaining))
		b = binary.LittleEndian.AppendUint64(b, l.Granted)
		return true
	})
	return b
}

var errEncoding = errors.New("lease: not a table of leases")

// Read takes a table that Append wrote off the front of b.
func Read(b []byte) (t *Table, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errEncoding
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if uint64(len(b)) < n*encodedSize {
		return nil, nil, errEncoding
	}
	t = NewTable()
	var last Lease
	for i := range n {
		l := Lease{
			ID:        ID(binary.LittleEndian.Uint64(b)),
			TTL:       Seconds(binary.LittleEndian.Uint64(b[8:])),
			Remaining: Seconds(binary.LittleEndian.Uint64(b[16:])),
			Granted:   binary.LittleEndian.Uint64(b[24:]),
		}
		b = b[encodedSize:]
		if l.ID == 0 || i > 0 && l.ID <= last.ID || l.TTL < 1 || l.TTL > MaxTTL ||
			l.Remaining < 0 || l.Remaining > l.TTL {
			return nil, nil, fmt.Errorf("%w: %+v after %+v", errEncoding, l, last)
		}
		last = l
		t.leases.ReplaceOrInsert(l)
	}
	return t, b, nil
}

// Check verifies the invariants of every lease.
func (t *Table) Check() error {
	var err error
	t.leases.Ascend(func(l Lease) bool {
		if l.ID == 0 || l.TTL < 1 || l.TTL > MaxTTL || l.Remaining < 0 || l.Remaining > l.TTL {
			err = fmt.Errorf("lease: the table holds %+v", l)
		}
		return err == nil
	})
	return err
}
