package mvcc

// Which keys hold which lease: one ordered set of (lease, key). A lease's end finds its keys in key
// order, without a look at any other key, and a start rebuilds the set together with the index, so
// nothing is ever scanned for leases.
//
// The set follows the newest version of each key, changes of an open transaction included: whoever
// needs the visible state asks while none is open. A key without a lease costs one comparison.

import (
	"bytes"
	"fmt"

	"github.com/google/btree"
)

// attachment says that a key's newest version holds a lease. The key is a copy: the index moves its
// own.
type attachment struct {
	lease int64
	key   []byte
}

func attachmentLess(a, b attachment) bool {
	if a.lease != b.lease {
		return a.lease < b.lease
	}
	return bytes.Compare(a.key, b.key) < 0
}

// attachDegree makes nodes of up to 63 attachments, 2 kB.
const attachDegree = 32

// Attachments is the set at some moment: the engine's own, which changes, or a copy that stays.
type Attachments struct {
	set *btree.BTreeG[attachment]
}

func newAttachments() Attachments {
	return Attachments{set: btree.NewG(attachDegree, attachmentLess)}
}

// move lets a key hold another lease; 0 is none.
func (a *Attachments) move(key []byte, from, to int64) {
	if from == to {
		return
	}
	if from != 0 {
		if _, found := a.set.Delete(attachment{from, key}); !found {
			panic(fmt.Sprintf("mvcc: key %q held lease %x, but was not attached", key, from))
		}
	}
	if to != 0 {
		a.set.ReplaceOrInsert(attachment{to, bytes.Clone(key)})
	}
}

// Visit calls visit for the keys that hold a lease, in order, from a key on (nil: all), until it
// returns false. The keys are immutable; visit must not change the engine.
func (a *Attachments) Visit(lease int64, from []byte, visit func(key []byte) bool) {
	a.set.AscendGreaterOrEqual(attachment{lease, from}, func(t attachment) bool {
		return t.lease == lease && visit(t.key)
	})
}

// Len is the number of keys that hold any lease.
func (a *Attachments) Len() int { return a.set.Len() }

// Attached calls visit for the keys that hold a lease, in order, from a key on (nil: all), until it
// returns false. The changes of an open transaction count.
func (e *Engine) Attached(lease int64, from []byte, visit func(key []byte) bool) {
	e.index.attached.Visit(lease, from, visit)
}

// Attachments is a copy of the set as it is now. It is made in no time: the two share what neither
// changes.
func (e *Engine) Attachments() Attachments {
	return Attachments{set: e.index.attached.set.Clone()}
}

// DeleteAttached writes tombstones for the keys that hold a lease, in key order, at most budget of
// them. The caller repeats it until it is done: what is deleted is not attached any more.
func (t *Txn) DeleteAttached(lease int64, budget int) (deleted int, done bool) {
	t.mustBeOpen()
	e := t.engine
	for deleted < max(budget, 1) {
		var key []byte
		e.Attached(lease, nil, func(first []byte) bool {
			key = first
			return false
		})
		if key == nil {
			return deleted, true
		}
		it := e.index.mutable(seek(e.index.tree, key))
		i, found := it.find(key)
		if !found || it.entries[i].lease != lease {
			panic(fmt.Sprintf("mvcc: key %q is attached to lease %x, but does not hold it", key,
				lease))
		}
		t.tombstone(it, i)
		deleted++
	}
	return deleted, false
}

// checkAttached compares the set with what the keys hold.
func (e *Engine) checkAttached() error {
	held := 0
	var err error
	e.index.tree.ascend(nil, func(it item) bool {
		for i := range it.entries {
			lease := it.entries[i].lease
			if lease == 0 {
				continue
			}
			held++
			if !e.index.attached.set.Has(attachment{lease, it.key(i)}) {
				err = fmt.Errorf("mvcc: key %q holds lease %x, but is not attached", it.key(i),
					lease)
				return false
			}
		}
		return true
	})
	if n := e.index.attached.Len(); err == nil && n != held {
		err = fmt.Errorf("mvcc: %d keys are attached to leases, %d hold one", n, held)
	}
	return err
}
