package revlog

// Reclaim: neighbouring sealed segments are copied, without their dead records, into one segment of
// the same range. The sources are read by operations, verified when they arrive, and copied within
// the budget of Work; the output is written, synced, and then takes the sources' place in the list.
// The sources' files stay while a generation or a pin refers to them, so nobody who reads notices.
// A checkpoint that started before refers to the sources, the next one to the output.
//
// Records that die while the copy runs are marked in the source as ever and, if they have been
// copied already, in the output too: so the output's counters are right when it takes over.
//
// A dead tombstone is dropped only when no older segment still has a dead record in its file. Which
// records are dead is known in memory only: a restart rebuilds the index from all that the files
// hold, and an older version of the key whose tombstone is gone would live again. A tombstone that
// must stay is held: it counts as live, and is looked at again when its segment is rewritten. When
// too many are held, a purge goes through all segments; see purge.go.

import (
	"fmt"
	"slices"

	"github.com/detcd/detcd/diskio"
)

const (
	deadPercent   = 40 // of a run's bytes, from which copying the rest is worth it
	smallDivisor  = 8  // segments whose live part is below SegmentBytes/smallDivisor may be joined
	smallRun      = 4  // at least so many of them
	nanosRecord   = 150
	bytesPerNano  = 4
	nanosPerUnit  = 1000
	maxRewriteRun = 64
)

func mostlyDead(dead, all int64) bool { return dead*100 >= all*deadPercent }

type rewrite struct {
	dir    string
	from   []*segment
	at     int // source being copied
	record int // first record of it that is not copied
	out    *segment
	copied Rev // records up to it are decided

	data     []byte // verified records [record, until) of the source, waiting for Work
	start    int64  // file offset of data
	until    int
	reading  bool
	asked    int64 // bytes of the read in flight
	wantSync bool
	before   past
	purge    bool  // what is held has nothing left to hide
	held     int64 // bytes of tombstones newly held, less those held before and dropped
	ticket   diskio.Ticket
	home     *household
}

// candidate says whether a segment may take part in a run.
func (l *Log) candidate(s *segment) bool {
	return s.wholly() &&
		(mostlyDead(s.deadBytes, s.payload()) || s.live() < l.opt.SegmentBytes/smallDivisor)
}

// choose looks for the first run that is worth rewriting.
func (l *Log) choose() (run []*segment) {
	for i := range l.segments {
		var live, dead, all, largest int64
		for j := i; j < len(l.segments) && j < i+maxRewriteRun; j++ {
			s := l.segments[j]
			if !l.candidate(s) || !fits(l.segments[i].first.Main, s.last) ||
				live+s.live() > l.opt.SegmentBytes-segmentStart && j > i {
				break
			}
			live, dead, all = live+s.live(), dead+s.deadBytes, all+s.payload()
			largest = max(largest, s.live())
			if mostlyDead(dead, all) || j-i+1 >= smallRun && largest*2 <= live {
				run = l.segments[i : j+1]
			}
		}
		if run != nil {
			return slices.Clone(run)
		}
	}
	return nil
}

// Work does up to budget units (about a microsecond each) of background work (choosing and copying
// for reclaim) and says whether more remains that needs no I/O to finish first.
func (l *Log) Work(budget int) (more bool) {
	if l.err != nil || l.retired || l.paused || !l.scanned {
		return false
	}
	if l.rewrite == nil && l.consider {
		l.consider = false
		run := l.purgeNext()
		if run == nil {
			run = l.choose()
		}
		if run != nil {
			for _, s := range run {
				s.rewriting = true
			}
			l.rewrite = &rewrite{dir: l.opt.Dir, from: run, home: l.home,
				before: l.before(run[0]), purge: l.purge.running}
			l.consider = true
		}
	}
	w := l.rewrite
	if w == nil {
		return false
	}
	had := w.out
	left := w.copy(int64(budget)*nanosPerUnit, l.opt.StepBytes)
	if w.out != had {
		l.files = append(l.files, file{id: w.out.id, name: w.out.name, born: w.out.born})
	}
	if w.empty() {
		l.swap()
		return l.consider
	}
	return left
}

// past says what the segments before a run hold. While the run is rewritten they stay what they
// are, but that more of their records may die: Dead notes that.
type past uint8

const (
	pastClean past = iota // no dead record
	pastDirty             // dead records that a restart would read
)

// before says what the segments before s hold.
func (l *Log) before(s *segment) past {
	for _, older := range l.segments {
		if older == s {
			break
		}
		if older.deadRecords > 0 {
			return pastDirty
		}
	}
	return pastClean
}

// older says what lies before the record to be copied next: in the output are records that died
// after they were copied.
func (w *rewrite) older() past {
	if w.out != nil && w.out.deadRecords > 0 {
		return pastDirty
	}
	return w.before
}

// copy decides the records that were read, within the budget.
func (w *rewrite) copy(nanos, step int64) (more bool) {
	before := w.older()
	if w.reading {
		return false
	}
	if w.data == nil {
		w.skip(before)
		return false
	}
	s := w.from[w.at]
	for ; w.record < w.until && nanos > 0; w.record++ {
		off, end := s.bounds(w.record)
		nanos -= nanosRecord
		w.copied = s.table.rev(w.record)
		b := w.data[off-w.start : end-w.start]
		kind := RecordKind(b[20])
		held := s.isHeld(w.record)
		obsolete := held || s.isDead(w.record)
		if obsolete && (kind != Tombstone || before == pastClean || held && w.purge) {
			if held {
				w.held -= end - off
			}
			continue
		}
		if w.out == nil {
			w.out = newSegment(w.dir, w.home.newID(), w.copied)
			w.out.born = w.home.pins.epoch
		}
		w.out.put(w.copied, kind, step, b[recordHeader:])
		if obsolete {
			w.out.hold(w.out.table.len() - 1)
			if s.isDead(w.record) {
				w.held += end - off
			}
		}
		nanos -= (end - off) / bytesPerNano
	}
	if w.record < w.until {
		return true
	}
	w.data = nil
	w.skip(before)
	return false
}

// skip moves on to the next record that may have to be copied.
func (w *rewrite) skip(before past) {
	for ; w.at < len(w.from); w.at, w.record = w.at+1, 0 {
		s := w.from[w.at]
		for ; w.record < s.table.len(); w.record++ {
			if before == pastDirty || !s.isDead(w.record) {
				return
			}
			w.copied = s.table.rev(w.record)
		}
	}
	if w.out != nil {
		w.out.sealed = true
	}
}

// empty says that everything was dead, so that there is nothing to write.
func (w *rewrite) empty() bool { return w.at == len(w.from) && w.out == nil && w.ticket == 0 }

// died notes that the record at rev of a source is dead.
func (w *rewrite) died(rev Rev) {
	if w.out == nil || w.copied.Less(rev) {
		return
	}
	if i := w.out.table.find(rev); i >= 0 && !w.out.isDead(i) {
		w.out.kill(i)
	}
}

// next returns the operation to issue now, if any.
func (w *rewrite) next(step int64) (op diskio.Op, ok bool) {
	if w.out != nil {
		if data, off := w.out.nextWrite(step); data != nil {
			w.out.issued = off + int64(len(data))
			return diskio.Op{Kind: diskio.Write, File: w.out.name, Offset: off, Data: data}, true
		}
		if w.out.wholly() {
			w.wantSync = true
			return diskio.Op{Kind: diskio.Sync, File: w.out.name}, true
		}
	}
	if w.data != nil || w.at == len(w.from) {
		return op, false
	}
	s := w.from[w.at]
	off, end := s.bounds(w.record)
	for w.until = w.record + 1; w.until < s.table.len(); w.until++ {
		_, stop := s.bounds(w.until)
		if stop-off > step {
			break
		}
		end = stop
	}
	w.start, w.asked, w.reading = off, end-off, true
	return diskio.Op{Kind: diskio.Read, File: s.name, Offset: off, Length: end - off}, true
}

// rewritten handles the completion of the reclaim's operation.
func (l *Log) rewritten(c diskio.Completion) error {
	w := l.rewrite
	switch {
	case w.reading:
		w.reading = false
		return w.accept(c.Data)
	case w.wantSync:
		w.out.synced = true
		l.swap()
	default:
		w.out.written = w.out.issued
		w.out.forget()
	}
	return nil
}

// accept verifies the records that were read.
func (w *rewrite) accept(data []byte) error {
	s := w.from[w.at]
	if int64(len(data)) != w.asked {
		return s.damage(w.start+int64(len(data)), fmt.Sprintf("read %d of %d bytes", len(data),
			w.asked))
	}
	for i := w.record; i < w.until; i++ {
		off, end := s.bounds(i)
		if _, err := s.verify(i, data[off-w.start:end-w.start]); err != nil {
			return err
		}
	}
	w.data = data
	return nil
}

// swap puts the output in the place of its sources.
func (l *Log) swap() {
	w := l.rewrite
	k := slices.Index(l.segments, w.from[0])
	if k < 0 || !slices.Equal(l.segments[k:k+len(w.from)], w.from) {
		panic("revlog: the sources of a reclaim are not neighbours any more")
	}
	l.noteSwapped(w)
	var with []*segment
	var spans []*span
	if w.out != nil {
		w.out.chunks = nil
		with, spans = []*segment{w.out}, []*span{w.out.span}
		l.bytes += w.out.length
		l.setLength(w.out)
	}
	for _, s := range w.from {
		s.rewriting = false
		l.memory -= s.memory()
		l.superseded += s.length
	}
	l.inUse += w.held
	rest := k + len(w.from)
	l.segments = slices.Concat(l.segments[:k], with, l.segments[rest:])
	l.spans = slices.Concat(l.spans[:k], spans, l.spans[rest:])
	l.rewrite = nil
	l.consider = true
	l.sweep()
}

// Reclaiming says whether dead records are still being dropped from files.
func (l *Log) Reclaiming() bool { return l.rewrite != nil || l.consider }

// Pause holds reclaim back (a log sync is slow) until Resume.
func (l *Log) Pause() { l.paused = true }

// Paused says whether reclaim is held back.
func (l *Log) Paused() bool { return l.paused }

// Resume lets reclaim go on.
func (l *Log) Resume() { l.paused = false }
