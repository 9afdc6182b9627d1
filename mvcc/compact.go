package mvcc

// Compaction forgets history. After Compact(C) reads below C are refused at once. What nobody can
// see any more is then dropped from the index in bounded steps, and each dropped version is
// reported dead to the log, which drops its record when it rewrites that segment.
//
// Of each key's versions at or below C only the newest is kept, and not even that one if it is a
// tombstone below C. A tombstone at C itself stays until the next compaction, so that a watch from
// C still sees the delete.
//
// The trimming visits blocks in key order and skips those without garbage at C, which they know
// (see block.go): its cost follows the garbage, not the store. Views that were taken earlier have
// their own blocks and a snapshot of the log, and notice nothing. After a restart the trimming
// starts again; dropping is idempotent.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// compaction is the trimming under way.
type compaction struct {
	running bool
	at      Revision // the compacted revision to trim to
	next    []byte   // the bound of the next block to visit
	trimmed uint64   // versions dropped since Open
}

func (c *compaction) start(at Revision) {
	c.running, c.at, c.next = true, at, c.next[:0]
}

// Compact forgets what is superseded at or before rev. It takes effect for readers at once; the
// index and the segments are reclaimed in bounded steps by Work. It fails with ErrCompacted at or
// below the last compaction, with ErrFuture above the visible revision.
func (e *Engine) Compact(rev Revision) error {
	if rev <= e.compacted {
		return ErrCompacted
	}
	if rev > e.current {
		return ErrFuture
	}
	if e.compact.running {
		e.index.probes[ProbeTrimOvertaken]++
	}
	e.compacted = rev
	e.digest.compaction(rev)
	e.compact.start(rev)
	return nil
}

// Compacting says whether records of the last compaction are still to be reclaimed (physical
// compactions answer when it turns false).
func (e *Engine) Compacting() bool { return e.compact.running || e.log.Reclaiming() }

// Trimmed is how many superseded versions compactions have dropped since Open.
func (e *Engine) Trimmed() uint64 { return e.compact.trimmed }

// What trimming does for one unit of work.
const (
	skipsPerUnit   = 16 // blocks without garbage
	dropsPerUnit   = 4  // versions
	entriesPerUnit = 32 // keys of a block with garbage, which is derived anew
)

// Work does up to budget units (about a microsecond each) of background work and says whether
// more remains.
func (e *Engine) Work(budget int) (more bool) {
	if budget <= 0 {
		panic(fmt.Sprintf("mvcc: work with a budget of %d", budget))
	}
	for e.compact.running && budget > 0 {
		budget -= e.trimNext(budget)
	}
	if e.compact.running {
		return true
	}
	if budget <= 0 {
		return true
	}
	return e.log.Work(budget)
}

// trimNext looks for the next block with garbage and trims it. It returns the units it used, at
// least one.
func (e *Engine) trimNext(budget int) (used int) {
	c := &e.compact
	var it item
	found, looked := false, 0
	e.index.tree.ascend(c.next, func(each item) bool {
		looked++
		it = each
		found = each.garbage <= c.at
		return !found && looked < budget*skipsPerUnit
	})
	used = 1 + looked/skipsPerUnit
	switch {
	case found:
		it, dropped := e.trimBlock(it, max(budget-used, 1)*dropsPerUnit)
		c.trimmed += uint64(dropped)
		used += dropped/dropsPerUnit + len(it.entries)/entriesPerUnit
		it = e.index.join(it)
		c.next = append(c.next[:0], it.low...)
		if it.garbage > c.at {
			e.trimAfter(it.low)
		}
	default:
		e.trimAfter(it.low)
	}
	return used
}

// trimAfter moves the cursor behind the block with bound low.
func (e *Engine) trimAfter(low []byte) {
	if it, ok := following(e.index.tree, low); ok {
		e.compact.next = append(e.compact.next[:0], it.low...)
	} else {
		e.compact.running = false
	}
}

// trimBlock drops up to most versions of a block, and the keys of which none is left.
func (e *Engine) trimBlock(it item, most int) (trimmed item, dropped int) {
	if it.epoch <= e.index.shared {
		e.index.probes[ProbeTrimShared]++
	}
	it = e.index.mutable(it)
	b, at := it.block, e.compact.at
	kept := b.entries[:0]
	for i := range b.entries {
		ent := b.entries[i]
		if dropped < most && b.garbageOf(i) <= at {
			n, gone := b.trimEntry(&ent, at, most-dropped, e.log)
			dropped += n
			if gone {
				continue
			}
		}
		kept = append(kept, ent)
	}
	b.entries = kept
	if dropped == 0 {
		panic(fmt.Sprintf("mvcc: block %q promised garbage at revision %d", it.low, at))
	}
	b.compactPasts()
	b.recount()
	if len(b.keys) > b.keyBytes+b.keyBytes/4+256 {
		whole := b.part(0, len(b.entries), e.index.epoch)
		b.keys, b.entries, b.pasts = whole.keys, whole.entries, whole.pasts
	}
	b.rehead()
	return it, dropped
}

// trimEntry drops what compaction at revision at takes from one entry, oldest first, at most most
// versions (though the last step may take one more). gone says that the key is forgotten.
func (b *block) trimEntry(e *entry, at Revision, most int, log *revlog.Log) (n int, gone bool) {
	if e.past != 0 {
		p := &b.pasts[e.past-1]
		// Superseded are all versions before the newest at or below at.
		n = p.count(at)
		if e.main > at && n > 0 {
			if newest := p.at(n - 1); !newest.dead() || newest.main == at {
				n--
			}
		}
		n = min(n, most)
		for i := range n {
			log.Dead(p.rev(i))
		}
		p.drop(n)
		if p.len() > 0 {
			return n, false
		}
	}
	if e.create == 0 && e.main < at && n < most {
		log.Dead(Rev{Main: e.main, Sub: e.sub})
		return n + 1, true
	}
	return n, false
}

// compactPasts drops the empty histories and renumbers the others.
func (b *block) compactPasts() {
	var kept []past
	for i := range b.entries {
		e := &b.entries[i]
		if e.past == 0 {
			continue
		}
		p := b.pasts[e.past-1]
		e.past = 0
		if p.len() > 0 {
			kept = append(kept, p)
			e.past = uint32(len(kept))
		}
	}
	b.pasts = kept
}
