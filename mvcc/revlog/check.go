package revlog

// The check that users can run: everything that the log believes is compared with what is stored.

import "fmt"

// Check verifies the invariants: segments partition the revision space in order, offset tables
// match records, counters match contents. It reads everything.
func (l *Log) Check() error {
	all := l.segments
	if l.active != nil {
		all = append(all[:len(all):len(all)], l.active)
	}
	if len(l.spans) != len(l.segments) || !l.scanned {
		return fmt.Errorf("revlog: %d spans of %d segments, scanned %t", len(l.spans),
			len(l.segments), l.scanned)
	}
	var last Rev
	var inUse, memory, kept int64
	for i, s := range all {
		if i < len(l.spans) && l.spans[i] != s.span {
			return fmt.Errorf("revlog: span %d is not that of %s", i, s.name)
		}
		if i > 0 && !last.Less(s.first) {
			return fmt.Errorf("revlog: %s starts at %v, after %v", s.name, s.first, last)
		}
		if s.written > s.issued || s.issued > s.length || s.synced && !s.wholly() {
			return fmt.Errorf("revlog: %s of %d bytes: %d issued, %d written, synced %t", s.name,
				s.length, s.issued, s.written, s.synced)
		}
		if err := l.checkSegment(s); err != nil {
			return err
		}
		last = s.last
		inUse += s.live()
		if s.sealed {
			kept -= s.length
		}
		memory += s.memory()
	}
	for _, f := range l.files {
		kept += f.length
	}
	if kept != l.superseded {
		return fmt.Errorf("revlog: %d bytes of files are superseded, counted %d", kept,
			l.superseded)
	}
	if w := l.rewrite; w != nil && w.before != l.before(w.from[0]) {
		return fmt.Errorf("revlog: what lies before the reclaim of %v is %d, noted as %d",
			w.from[0].first, l.before(w.from[0]), w.before)
	}
	if l.last.Less(last) || inUse != l.inUse || memory != l.memory {
		return fmt.Errorf("revlog: up to %v, %d bytes in use, %d in memory; counted %v, %d, %d",
			l.last, l.inUse, l.memory, last, inUse, memory)
	}
	return nil
}

// checkSegment compares one segment's table with its records, in the file if it is written there.
func (l *Log) checkSegment(s *segment) error {
	if err := s.checkCounters(); err != nil {
		return err
	}
	next := 0
	visit := func(r Record, off int64) error {
		t := &s.table
		if next >= t.len() || t.rev(next) != r.Rev || int64(t.offs[next]) != off ||
			t.find(r.Rev) != next {
			return s.damage(off, fmt.Sprintf("record %v is not number %d of the table", r.Rev,
				next))
		}
		next++
		return nil
	}
	if s.wholly() {
		_, err := walk(l.disk, s.span, s.table.len(), nil, visit)
		return err
	}
	sum := uint32(0)
	for i := range s.table.len() {
		off, end := s.bounds(i)
		b := s.inMemory(off, end)
		if b == nil {
			b = make([]byte, end-off)
			if err := s.fetch(l.disk, b, off); err != nil {
				return err
			}
		}
		r, reason := parseRecord(b, s.seed)
		if reason != "" {
			return s.damage(off, reason)
		}
		if err := visit(r, off); err != nil {
			return err
		}
		sum = addSum(sum, b)
	}
	if sum != s.sum {
		return s.damage(s.length, fmt.Sprintf("checksum %08x, want %08x", sum, s.sum))
	}
	return nil
}
