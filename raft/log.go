package raft

import (
	"fmt"
	"sort"
)

// memLog is what a member knows of its log: the terms of all of it, as runs, and a window of
// entries that ends at the last index. Entries that are durable may leave the window from the
// front, so its bytes are bounded while the log on disk is long; their terms stay known.
//
//	         prev  first        windowFirst           last
//	snapshot  |    |                 |                 |
//	..........4 || 5  6  7  8  9  10 | 11  12  13  14  15
//	               \__ disk only __/   \__ in memory __/
//	runs:          (5, term 2)  (8, term 3)     (14, term 6)
//
// The term of an index outside prev..last is unknown, and says so: it never reads as zero, because
// two zeros would match each other.
//
// Invariant: a slot of the window that was written is never written again. Slices of the window
// are handed out (to the disk, into messages) and may be read later by others; a truncation
// therefore makes the next append move to fresh memory. For the same reason an evicted entry's data
// is released only with the next such move, so up to twice the bound may be held for a while.
type memLog struct {
	prev     Index // the position before the first entry
	prevTerm Term
	last     Index     // prev when the log is empty
	runs     []TermRun // ascending in First and in Term; the first run starts at prev+1
	window   []Entry   // consecutive, ends at last
	bytes    int       // sum of the sizes of window
	handed   Index     // entries up to here were given out in an Append
}

func (l *memLog) first() Index       { return l.prev + 1 }
func (l *memLog) windowFirst() Index { return l.last + 1 - Index(len(l.window)) }

func (l *memLog) lastTerm() Term {
	if n := len(l.runs); n > 0 {
		return l.runs[n-1].Term
	}
	return l.prevTerm
}

// runOf returns the position of the run that holds i, which must lie in first..last.
func (l *memLog) runOf(i Index) int {
	if n := len(l.runs) - 1; i >= l.runs[n].First {
		return n
	}
	return sort.Search(len(l.runs), func(k int) bool { return l.runs[k].First > i }) - 1
}

// term returns the term at i; ok is false if the log does not know it.
func (l *memLog) term(i Index) (t Term, ok bool) {
	switch {
	case i == l.prev:
		return l.prevTerm, true
	case i < l.prev || i > l.last:
		return 0, false
	}
	return l.runs[l.runOf(i)].Term, true
}

// matches says whether the log is known to hold an entry (or its snapshot's end) at (i, t).
func (l *memLog) matches(i Index, t Term) bool {
	mine, ok := l.term(i)
	return ok && mine == t
}

// joinAt returns the largest index up to i whose term is at most t: where a log that has term t at
// i may join this one. ok is false if that lies before prev.
func (l *memLog) joinAt(i Index, t Term) (Index, Term, bool) {
	i = min(i, l.last)
	if i < l.prev {
		return 0, 0, false
	}
	for i > l.prev {
		run := l.runs[l.runOf(i)]
		if run.Term <= t {
			return i, run.Term, true
		}
		i = run.First - 1
	}
	return l.prev, l.prevTerm, l.prevTerm <= t
}

// slice returns entries from lo to at most hi, at most maxBytes of them but at least one. It is
// empty if lo has left memory or does not exist yet.
func (l *memLog) slice(lo, hi Index, maxBytes int) []Entry {
	start := l.windowFirst()
	if lo < start || lo > hi {
		return nil
	}
	from := int(lo - start)
	end, bytes := from, 0
	for end < len(l.window) && l.window[end].Index <= hi {
		bytes += l.window[end].Size()
		if bytes > maxBytes && end > from {
			break
		}
		end++
	}
	return l.window[from:end:end]
}

// push appends one entry, whose term and index are set.
func (l *memLog) push(e *Entry) {
	if e.Index != l.last+1 || e.Term < l.lastTerm() {
		panic(fmt.Sprintf("raft: entry %d of term %d pushed after %d of term %d",
			e.Index, e.Term, l.last, l.lastTerm()))
	}
	if e.Term != l.lastTerm() || len(l.runs) == 0 {
		l.runs = append(l.runs, TermRun{First: e.Index, Term: e.Term})
	}
	if n := len(l.window); n == cap(l.window) {
		// Entries leave at the front, so the window moves on through its memory and must move to
		// fresh memory now and then: the more room, the more rarely.
		l.window = append(make([]Entry, 0, max(64, 2*n)), l.window...)
	}
	l.window = append(l.window, *e)
	l.bytes += e.Size()
	l.last = e.Index
}

// truncate removes everything after i.
func (l *memLog) truncate(i Index) {
	if i < l.prev || i > l.last {
		panic(fmt.Sprintf("raft: log %d..%d truncated to %d", l.first(), l.last, i))
	}
	if start := l.windowFirst(); i < start {
		l.window, l.bytes = nil, 0
	} else {
		keep := int(i + 1 - start)
		for k := keep; k < len(l.window); k++ {
			l.bytes -= l.window[k].Size()
		}
		l.window = l.window[:keep:keep]
	}
	for n := len(l.runs); n > 0 && l.runs[n-1].First > i; n-- {
		l.runs = l.runs[:n-1]
	}
	l.last = i
	l.handed = min(l.handed, i)
}

// evict lets entries up to i leave memory, oldest first, until at most maxBytes are held.
func (l *memLog) evict(i Index, maxBytes int) {
	n := 0
	for l.bytes > maxBytes && n < len(l.window) && l.window[n].Index <= i {
		l.bytes -= l.window[n].Size()
		n++
	}
	l.window = l.window[n:]
}

// compact forgets everything up to i, whose term stays known.
func (l *memLog) compact(i Index) {
	t, ok := l.term(i)
	if !ok {
		panic(fmt.Sprintf("raft: log %d..%d compacted to %d", l.first(), l.last, i))
	}
	n := 0
	for n < len(l.window) && l.window[n].Index <= i {
		l.bytes -= l.window[n].Size()
		n++
	}
	l.window = l.window[n:]
	keep := 0
	for keep+1 < len(l.runs) && l.runs[keep+1].First <= i+1 {
		keep++
	}
	l.runs = append(l.runs[:0], l.runs[keep:]...)
	l.prev, l.prevTerm = i, t
	if i == l.last {
		l.runs = l.runs[:0]
	} else {
		l.runs[0].First = i + 1
	}
}

// reset starts the log anew after (i, t).
func (l *memLog) reset(i Index, t Term) {
	*l = memLog{prev: i, prevTerm: t, last: i, handed: i}
}
