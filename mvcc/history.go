package mvcc

// A history is all that a backup has to hold of a view: every record that compaction keeps, the
// superseded ones above the compacted revision and the tombstones included, in revision order. So a
// store that is built from it answers every question as this one does, HashKV included.
//
// The index says which records those are, in key order; the log's selection puts them into revision
// order (see package revlog). Records that compaction has dropped, but not yet trimmed from the
// index or reclaimed from the files, are left out.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// Record is one change of a key.
type Record = revlog.Record

// History is the kept records of a view. It is valid until the view is released, and belongs to one
// goroutine.
type History struct {
	kept      *revlog.Selection
	rev       Revision
	compacted Revision
}

// History finds the view's kept records; it costs a fraction of a microsecond for each.
func (v *View) History() *History {
	h := &History{kept: v.snap.Select(), rev: v.rev, compacted: v.compacted}
	span(v.tree, nil, nil, func(b *block, lo, hi int) bool {
		for i := lo; i < hi; i++ {
			h.keep(b, i)
		}
		return true
	})
	return h
}

// keep adds the kept versions of key i: everything above the compacted revision, and what was the
// newest there.
func (h *History) keep(b *block, i int) {
	e := &b.entries[i]
	if e.past != 0 {
		p := &b.pasts[e.past-1]
		above := p.count(h.compacted)
		if above > 0 && e.main > h.compacted {
			h.keepNewest(p.at(above - 1))
		}
		for visible := p.count(h.rev); above < visible; above++ {
			h.add(p.at(above))
		}
	}
	switch {
	case e.main > h.rev: // of an open transaction
	case e.main > h.compacted:
		h.add(e.version())
	default:
		h.keepNewest(e.version())
	}
}

// keepNewest adds what was the newest version at the compacted revision, if that is kept: a
// tombstone stays only if it was made at that very revision.
func (h *History) keepNewest(v version) {
	if !v.dead() || v.main == h.compacted {
		h.add(v)
	}
}

func (h *History) add(v version) {
	kind := PutRecord
	if v.dead() {
		kind = TombstoneRecord
	}
	h.kept.Add(v.rev(), kind)
}

// Len is the number of records.
func (h *History) Len() int64 { return h.kept.Len() }

// Sizes calls visit for each record, in order, with the length of its KeyValue in wire form. It
// reads no file.
func (h *History) Sizes(visit func(rev Rev, kind RecordKind, size int)) { h.kept.Sizes(visit) }

// Read calls visit for each record, in order, verified. The record's KV is valid only during the
// call. An error of visit ends the reading and is returned as it is or wrapped.
func (h *History) Read(visit func(r Record) error) error {
	if err := h.kept.Read(visit); err != nil {
		return fmt.Errorf("mvcc: read the history of revision %d: %w", h.rev, err)
	}
	return nil
}
