package revlog

// Reading the history in the order in which it was made: what a watcher that is behind needs.

import (
	"fmt"
	"sort"
)

// forwardBytes bounds one read from a file.
const forwardBytes = 256 << 10

// Forward calls visit for the records from a revision on, up to main revision last, in order, at
// most `most` of them and about maxBytes, until it returns false; that record counts as not
// visited. KV is valid only during the call. It returns the revision of the next record, the
// first change of last+1 when there is none.
func (l *Log) Forward(from Rev, last Revision, most int, maxBytes int64,
	visit func(rev Rev, kv []byte) bool) (next Rev, err error) {
	end := Rev{Main: last + 1}
	for {
		s, i := l.firstFrom(from)
		if s == nil {
			return end, nil
		}
		from = s.table.rev(i)
		if from.Main > last {
			return end, nil
		}
		if most <= 0 || maxBytes <= 0 {
			return from, nil
		}
		run := s.runFrom(i, last, most, min(maxBytes, forwardBytes))
		n, err := l.visitRun(s, i, run, visit)
		if err != nil {
			return from, err
		}
		if n > 0 {
			start, _ := s.bounds(i)
			_, stop := s.bounds(i + n - 1)
			most, maxBytes = most-n, maxBytes-(stop-start)
			from = s.table.rev(i + n - 1)
			from.Sub++
		}
		if n < run {
			if s, i = l.firstFrom(from); s == nil {
				panic(fmt.Sprintf("revlog: the record that was refused at %v is gone", from))
			}
			return s.table.rev(i), nil
		}
	}
}

// firstFrom finds the first record at or after rev; s is nil when there is none.
func (l *Log) firstFrom(rev Rev) (s *span, i int) {
	if k := spanOf(l.spans, rev); k < len(l.spans) {
		s = l.spans[k]
	} else if l.active != nil {
		s = l.active.span
	} else {
		return nil, 0
	}
	if i = s.table.from(rev); i == s.table.len() {
		return nil, 0
	}
	return s, i
}

// from returns the position of the first record that is not before rev.
func (t *table) from(rev Rev) int {
	return sort.Search(t.len(), func(i int) bool { return !t.rev(i).Less(rev) })
}

// runFrom counts the records from position i on that can be read together: all in memory, or all
// in the file; one at least.
func (s *span) runFrom(i int, last Revision, most int, maxBytes int64) (n int) {
	limit := s.length
	start, _ := s.bounds(i)
	if len(s.chunks) > 0 && start < s.chunks[0].off {
		limit = s.chunks[0].off
	}
	for n = 1; n < most && i+n < s.table.len() && s.table.rev(i+n).Main <= last; n++ {
		if _, stop := s.bounds(i + n); stop > limit || stop-start > maxBytes {
			break
		}
	}
	return n
}

// visitRun visits a run of records and returns how many visit has taken.
func (l *Log) visitRun(s *span, i, run int, visit func(rev Rev, kv []byte) bool) (n int,
	err error) {
	start, stop := s.bounds(i)
	var buf []byte
	if s.inMemory(start, stop) == nil {
		_, stop = s.bounds(i + run - 1)
		if int64(cap(l.passing)) < stop-start {
			l.passing = make([]byte, stop-start)
		}
		buf = l.passing[:stop-start]
		if err := s.fetch(l.disk, buf, start); err != nil {
			return 0, err
		}
	}
	for ; n < run; n++ {
		off, end := s.bounds(i + n)
		var kv []byte
		if buf == nil {
			kv = s.inMemory(off, end)[recordHeader:]
		} else if kv, err = s.verify(i+n, buf[off-start:end-start]); err != nil {
			return n, err
		}
		if !visit(s.table.rev(i+n), kv) {
			return n, nil
		}
	}
	return n, nil
}
