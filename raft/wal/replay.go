package wal

// What the records say, one after the other. A batch that starts at or below the last index cuts
// the tail: what was overwritten must not come back. A snapshot marker starts the log anew.

import (
	"errors"
	"fmt"
	"sort"

	"github.com/detcd/detcd/raft"
)

// replay follows the records. It is the visitor of recovery.
type replay struct {
	scan    *scanner
	state   state // after everything replayed
	first   raft.Index
	runs    []raft.TermRun
	configs []raft.Entry
	// tail are the records above the highest `synced` so far; base and index hold what the
	// records before them made.
	tail    []tailRecord
	base    state
	index   index
	scratch []raft.Entry
}

// tailRecord is a record that may not be durable.
type tailRecord struct {
	at       place
	position Position
	meta     meta
	snapshot raft.Snapshot
}

func (r *replay) visit(at place, h *recordHeader, content []byte, jump bool) error {
	rec, err := decodeContent(at.segment.header.Life, h, content, r.scratch[:0])
	if err != nil {
		return err
	}
	if rec.Entries != nil {
		r.scratch = rec.Entries
	}
	if jump {
		*r = replay{scan: r.scan, scratch: r.scratch, first: rec.Last + 1}
		r.state = state{hard: rec.Hard, incarnation: rec.Incarnation, snapshot: rec.Snapshot,
			last: rec.Last, lastTerm: rec.LastTerm}
		r.base = r.state
		return nil
	}
	if err := r.follow(&rec); err != nil {
		return err
	}
	t := tailRecord{at: at, position: h.position, snapshot: rec.Snapshot,
		meta: meta{kind: h.kind, hard: h.hard, incarnation: rec.Incarnation}}
	if n := len(rec.Entries); n > 0 {
		t.meta.first = rec.Entries[0].Index
		t.meta.last, t.meta.lastTerm = rec.Entries[n-1].Index, rec.Entries[n-1].Term
	}
	r.tail = append(r.tail, t)
	r.settleTo(r.scan.synced)
	return nil
}

// follow moves the state over a record.
func (r *replay) follow(rec *Record) error {
	s := &r.state
	if rec.Hard.Term < s.hard.Term {
		return fmt.Errorf("term %d after term %d", rec.Hard.Term, s.hard.Term)
	}
	switch rec.Type {
	case RecordStart:
		if rec.Last != s.last || rec.LastTerm != s.lastTerm ||
			rec.Snapshot.Index != s.snapshot.Index || rec.Incarnation != s.incarnation {
			return fmt.Errorf("it continues incarnation %d, snapshot %d, entry %d of term %d, "+
				"the log has %d, %d, %d and %d", rec.Incarnation, rec.Snapshot.Index, rec.Last,
				rec.LastTerm, s.incarnation, s.snapshot.Index, s.last, s.lastTerm)
		}
	case RecordBatch:
		if err := r.extend(rec.Entries); err != nil {
			return err
		}
	case RecordIncarnation:
		if rec.Incarnation <= s.incarnation {
			return fmt.Errorf("incarnation %d after %d", rec.Incarnation, s.incarnation)
		}
		s.incarnation = rec.Incarnation
	case RecordSnapshot:
		s.snapshot = rec.Snapshot
		s.last, s.lastTerm = s.snapshot.Index, s.snapshot.Term
		r.first, r.runs, r.configs = s.last+1, nil, nil
	}
	s.hard = rec.Hard
	return nil
}

// extend cuts the log before entries and adds them.
func (r *replay) extend(entries []raft.Entry) error {
	s := &r.state
	first := entries[0].Index
	if first > s.last+1 {
		return fmt.Errorf("entry %d after entry %d", first, s.last)
	}
	if first <= s.snapshot.Index {
		return errors.New("entry at or before the snapshot that the log starts after")
	}
	r.first = min(r.first, first)
	r.runs = r.runs[:sort.Search(len(r.runs), func(k int) bool {
		return r.runs[k].First >= first
	})]
	r.configs = r.configs[:sort.Search(len(r.configs), func(k int) bool {
		return r.configs[k].Index >= first
	})]
	for i := range entries {
		e := entries[i]
		n := len(r.runs)
		if n > 0 && e.Term < r.runs[n-1].Term {
			return fmt.Errorf("entry %d of term %d after term %d", e.Index, e.Term,
				r.runs[n-1].Term)
		}
		if n == 0 || e.Term != r.runs[n-1].Term {
			r.runs = append(r.runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == raft.EntryConfig {
			e.Data = append([]byte(nil), e.Data...)
			r.configs = append(r.configs, e)
		}
	}
	s.last, s.lastTerm = entries[len(entries)-1].Index, entries[len(entries)-1].Term
	return nil
}

// settleTo counts the records up to p as durable.
func (r *replay) settleTo(p Position) {
	n := 0
	for ; n < len(r.tail) && r.tail[n].position <= p; n++ {
		t := &r.tail[n]
		r.base.hard = t.meta.hard
		switch t.meta.kind {
		case RecordBatch:
			r.index.add(t.at.segment.sequence, t.at.offset, t.at.end, t.meta.first, t.meta.last)
			r.base.last, r.base.lastTerm = t.meta.last, t.meta.lastTerm
		case RecordIncarnation:
			r.base.incarnation = t.meta.incarnation
		case RecordSnapshot:
			r.index.reset()
			r.base.snapshot = t.snapshot
			r.base.last, r.base.lastTerm = t.snapshot.Index, t.snapshot.Term
		}
	}
	r.tail = append(r.tail[:0], r.tail[n:]...)
}

// settle ends the replay: what only obsolete segments hold is forgotten.
func (r *replay) settle() {
	r.settleTo(r.scan.synced)
	if r.scan.start == r.scan.oldest {
		return
	}
	r.index.dropBefore(r.scan.oldest)
	first := r.base.last + 1
	if len(r.index.regions) > 0 {
		first = r.index.regions[0].first
	}
	for i := range r.tail {
		if m := &r.tail[i].meta; m.kind == RecordBatch {
			first = min(first, m.first)
		}
	}
	if first <= r.first {
		return
	}
	r.first = first
	n := sort.Search(len(r.runs), func(k int) bool { return r.runs[k].First > first })
	if n > 0 {
		r.runs = r.runs[n-1:]
		r.runs[0].First = first
	}
	if first > r.state.last {
		r.runs = nil
	}
	r.configs = r.configs[sort.Search(len(r.configs), func(k int) bool {
		return r.configs[k].Index >= first
	}):]
}
