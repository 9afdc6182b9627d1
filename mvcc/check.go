package mvcc

// Check is the engine's self-examination, for users and for tests: the index against its own rules,
// and the index against the records. It reads everything.

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/detcd/detcd/mvcc/revlog"
)

// Check verifies the engine's invariants, index against segments; for users and tests. It may take
// long.
func (e *Engine) Check() error {
	newest := e.current
	if e.txn.open {
		newest++
	}
	if e.compacted > e.current {
		return fmt.Errorf("mvcc: compacted %d is above current %d", e.compacted, e.current)
	}
	if err := e.index.tree.check(); err != nil {
		return err
	}
	c := checker{newest: newest, compacted: e.compacted}
	e.index.tree.ascend(nil, func(it item) bool {
		c.err = c.block(it, e.index.epoch)
		if c.err == nil {
			c.err = e.checkRecords(it.block)
		}
		return c.err == nil
	})
	if c.err != nil {
		return c.err
	}
	if c.live != e.index.live {
		return fmt.Errorf("mvcc: %d live keys, the index counts %d", c.live, e.index.live)
	}
	if !e.txn.open && e.keys != e.index.live {
		return fmt.Errorf("mvcc: %d visible keys, the index counts %d", e.keys, e.index.live)
	}
	if err := e.checkAttached(); err != nil {
		return err
	}
	if err := e.log.Check(); err != nil {
		return fmt.Errorf("mvcc: %w", err)
	}
	return nil
}

// check verifies the invariants of root and nodes.
func (t *tree) check() error {
	if len(t.nodes) != len(t.lows) {
		return fmt.Errorf("mvcc: %d nodes with %d bounds", len(t.nodes), len(t.lows))
	}
	if err := t.level.check(); err != nil {
		return err
	}
	for i, n := range t.nodes {
		if len(n.blocks) == 0 || len(n.blocks) != len(n.lows) ||
			!bytes.Equal(n.lows[0], t.lows[i]) {
			return fmt.Errorf("mvcc: node %q has %d blocks with bounds %q", t.lows[i],
				len(n.blocks), n.lows)
		}
		if err := n.level.check(); err != nil {
			return err
		}
		if i+1 < len(t.nodes) && bytes.Compare(n.lows[len(n.lows)-1], t.lows[i+1]) >= 0 {
			return fmt.Errorf("mvcc: node %q reaches beyond %q", t.lows[i], t.lows[i+1])
		}
	}
	return nil
}

// check verifies that the bounds ascend and match what is derived from them.
func (l *level) check() error {
	if len(l.heads) != len(l.lows)-1 || len(l.nexts) != len(l.heads) {
		return fmt.Errorf("mvcc: %d bounds, %d and %d heads", len(l.lows), len(l.heads),
			len(l.nexts))
	}
	for i, low := range l.lows[1:] {
		if bytes.Compare(l.lows[i], low) >= 0 {
			return fmt.Errorf("mvcc: bound %q follows %q", low, l.lows[i])
		}
		if rest, ok := bytes.CutPrefix(low, l.prefix); !ok || headOf(rest) != l.heads[i] ||
			headOf(rest[min(8, len(rest)):]) != l.nexts[i] {
			return fmt.Errorf("mvcc: bound %q does not match prefix %q and heads %x, %x", low,
				l.prefix, l.heads[i], l.nexts[i])
		}
	}
	return nil
}

// checker goes through the blocks in order.
type checker struct {
	newest    Revision
	compacted Revision
	blocks    int
	last      []byte // the greatest key so far
	live      int64
	err       error
}

func (c *checker) block(it item, epoch uint64) error {
	b := it.block
	if c.blocks == 0 != (len(it.low) == 0) {
		return fmt.Errorf("mvcc: block %d has bound %q", c.blocks, it.low)
	}
	c.blocks++
	if b.epoch > epoch {
		return fmt.Errorf("mvcc: block %q is of epoch %d, now is %d", it.low, b.epoch, epoch)
	}
	if len(b.heads) != len(b.entries) {
		return fmt.Errorf("mvcc: block %q has %d heads of %d keys", it.low, len(b.heads),
			len(b.entries))
	}
	want := block{garbage: noGarbage}
	pasts := 0
	for i := range b.entries {
		key := b.key(i)
		if bytes.Compare(key, it.low) < 0 || c.last != nil && bytes.Compare(key, c.last) <= 0 {
			return fmt.Errorf("mvcc: key %q in block %q after %q", key, it.low, c.last)
		}
		c.last = key
		if !bytes.HasPrefix(key, b.prefix) || headOf(key[len(b.prefix):]) != b.heads[i] {
			return fmt.Errorf("mvcc: block %q: key %q does not match prefix %q and head %x", it.low,
				key, b.prefix, b.heads[i])
		}
		if err := c.versions(b, i); err != nil {
			return fmt.Errorf("mvcc: key %q: %w", key, err)
		}
		if b.entries[i].create != 0 {
			want.live++
		}
		if b.entries[i].past != 0 {
			pasts++
		}
		want.garbage = min(want.garbage, b.garbageOf(i))
		want.liveChanged = max(want.liveChanged, lifeChanged(b, i, c.compacted))
		want.keyBytes += len(key)
		if b.entries[i].main > b.changed {
			return fmt.Errorf("mvcc: block %q changed at %d, its key %q at %d", it.low, b.changed,
				key, b.entries[i].main)
		}
	}
	if want.live != b.live || want.garbage != b.garbage || want.keyBytes != b.keyBytes ||
		pasts != len(b.pasts) {
		return fmt.Errorf("mvcc: block %q: live %d, garbage %d, key bytes %d, pasts %d; "+
			"its entries say %d, %d, %d, %d", it.low, b.live, b.garbage, b.keyBytes, len(b.pasts),
			want.live, want.garbage, want.keyBytes, pasts)
	}
	if want.liveChanged > b.liveChanged {
		return fmt.Errorf("mvcc: the live keys of block %q changed at %d, it says %d", it.low,
			want.liveChanged, b.liveChanged)
	}
	c.live += int64(b.live)
	return nil
}

// lifeChanged is the newest revision above the compacted one at which key i began or ceased to
// live.
func lifeChanged(b *block, i int, compacted Revision) (at Revision) {
	alive := false
	for _, v := range allVersions(b, i) {
		if v.dead() == alive && v.main > compacted {
			at = v.main
		}
		alive = !v.dead()
	}
	return at
}

// versions checks the versions of key i, oldest to newest.
func (c *checker) versions(b *block, i int) error {
	var last version
	for k, v := range allVersions(b, i) {
		if k > 0 && !last.rev().Less(v.rev()) {
			return fmt.Errorf("version %d.%d after %d.%d", v.main, v.sub, last.main, last.sub)
		}
		if v.main < 1 || v.main > c.newest {
			return fmt.Errorf("version of revision %d, newest is %d", v.main, c.newest)
		}
		if !v.dead() && (v.create > v.main || v.number < 1 || v.number == 1 && v.create != v.main) {
			return fmt.Errorf("version %d of revision %d created at %d", v.number, v.main, v.create)
		}
		// After a restart some versions below the compacted revision may be back, because not all
		// files were rewritten yet. They are garbage, and may have gaps.
		if k > 0 && !v.dead() && v.main > c.compacted {
			continues := !last.dead() && v.create == last.create && v.number == last.number+1
			begins := last.dead() && v.create == v.main && v.number == 1
			if !continues && !begins {
				return fmt.Errorf("version %d (created %d) follows version %d (created %d)",
					v.number, v.create, last.number, last.create)
			}
		}
		last = v
	}
	if v := b.entries[i].version(); v.dead() != (v.number == 0) {
		return fmt.Errorf("version number %d, created %d", v.number, v.create)
	}
	return nil
}

// allVersions walks over the versions of key i, oldest first.
func allVersions(b *block, i int) iter.Seq2[int, version] {
	return func(yield func(int, version) bool) {
		e, n := &b.entries[i], 0
		if e.past != 0 {
			p := &b.pasts[e.past-1]
			for ; n < p.len(); n++ {
				if !yield(n, p.at(n)) {
					return
				}
			}
		}
		yield(n, e.version())
	}
}

// checkRecords compares a block's versions with their records.
func (e *Engine) checkRecords(b *block) error {
	for i := range b.entries {
		for _, v := range allVersions(b, i) {
			record, err := e.log.Read(v.rev())
			if err != nil {
				return fmt.Errorf("mvcc: %w", err)
			}
			want := KeyValue{Key: b.key(i), Create: v.create, Version: v.number, Lease: v.lease}
			kind := revlog.Tombstone
			if !v.dead() {
				want.Mod, kind = v.main, revlog.Put
			}
			got, err := ParseKeyValue(record)
			if err != nil {
				return fmt.Errorf("mvcc: record %d.%d: %w", v.main, v.sub, err)
			}
			got.Value = nil
			if !bytes.Equal(got.AppendWire(nil), want.AppendWire(nil)) {
				return fmt.Errorf("mvcc: record %d.%d (kind %d) is of %q, created %d, version %d, "+
					"lease %d; the index says %q, %d, %d, %d", v.main, v.sub, kind, got.Key,
					got.Create, got.Version, got.Lease, want.Key, want.Create, want.Version,
					want.Lease)
			}
		}
	}
	return nil
}
