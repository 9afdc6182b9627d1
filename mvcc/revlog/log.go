package revlog

// The log's foreground: append, read, mark dead. Invariant: segments, then the active one, hold
// records in strictly ascending order of revision; spans mirrors segments and is replaced, never
// changed in place (but for appending), because snapshots share it.

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

// Log is the set of segments and the running background work on them. It performs no I/O but
// positional reads of written parts of segments. Not safe for concurrent use; a Snapshot is.
type Log struct {
	disk diskio.Reader
	opt  Options
	home *household

	segments []*segment // sealed
	spans    []*span    // segments[i].span; shared with snapshots
	active   *segment   // nil until the next Append
	last     Rev        // of the newest record ever appended or loaded
	scanned  bool       // the tables of loaded segments are filled

	queue   []*segment // to be written behind, in order; the active one is last
	memory  int64      // bytes of chunks of segments and active
	cache   cache
	passing []byte // reused by Forward
	bytes   int64  // length of all sealed files, and of those given up but not removed
	inUse   int64  // bytes of records that are not dead
	// superseded counts the bytes of files that only kept generations still refer to.
	superseded int64

	newest, older *generation // the kept generations, nil if none
	publish       *publisher  // running checkpoint
	renew         *publisher  // publishes the loaded generation once more; goes first
	known         bool        // newest is known to be durable (or there was none)
	rewrite       *rewrite    // running reclaim
	purge         purge
	consider      bool // reclaim may have something to do
	paused        bool

	files    []file  // segment files that exist or are being made
	graves   []grave // names to remove
	behind   diskio.Ticket
	removing diskio.Ticket
	freed    int64         // bytes that the removal in flight gives back
	setup    []diskio.Op   // to be done one by one before anything else, see open.go
	founding diskio.Ticket // of setup[0]
	first    diskio.Ticket // tickets below belong to a predecessor
	retired  bool          // a receiver is installing its state in this one's place
	full     bool          // the disk was full; only removals are issued
	err      error
	probes   Probes
}

// Append adds a record whose Rev is higher than every earlier one. parts, joined, are the
// KeyValue; they are copied, once, into the active segment's buffer. The stored KV is returned
// (it stays valid and immutable).
func (l *Log) Append(rev Rev, kind RecordKind, parts ...[]byte) (kv []byte) {
	if !l.scanned {
		panic("revlog: Append before Scan")
	}
	if !l.last.Less(rev) || rev.Main < 0 || rev.Sub < 0 {
		panic(fmt.Sprintf("revlog: Append %v after %v", rev, l.last))
	}
	size := int64(recordHeader)
	for _, p := range parts {
		size += int64(len(p))
	}
	if l.active != nil && !l.active.accepts(rev, size, l.opt.SegmentBytes) {
		if l.last.Main == rev.Main {
			l.probes[ProbeTxnSplit]++
		}
		l.seal()
	}
	if l.active == nil {
		if size > l.opt.SegmentBytes-segmentStart {
			l.probes[ProbeLongRecord]++
		}
		l.begin(rev)
	}
	s := l.active
	chunks := len(s.chunks)
	kv = s.put(rev, kind, l.opt.StepBytes, parts...)
	if len(s.chunks) > chunks {
		l.memory += int64(len(s.chunks[chunks].buf))
	}
	l.last = rev
	l.inUse += size
	return kv
}

func (l *Log) begin(rev Rev) {
	s := newSegment(l.opt.Dir, l.home.newID(), rev)
	s.born = l.home.pins.epoch
	l.active = s
	l.queue = append(l.queue, s)
	l.memory += s.memory()
	l.files = append(l.files, file{id: s.id, name: s.name, born: s.born})
}

// seal ends the active segment; its file is complete once it is written behind.
func (l *Log) seal() {
	s := l.active
	s.sealed = true
	l.segments = append(l.segments, s)
	l.spans = append(l.spans, s.span)
	l.active = nil
	l.bytes += s.length
	l.setLength(s)
}

// segmentOf returns the segment that holds rev and the position in it; it panics if none does.
func (l *Log) segmentOf(rev Rev) (s *segment, i int) {
	if l.active != nil && !rev.Less(l.active.first) {
		s = l.active
	} else if k := spanOf(l.spans, rev); k < len(l.segments) {
		s = l.segments[k]
	}
	if s != nil {
		if i = s.table.find(rev); i >= 0 {
			return s, i
		}
	}
	panic(fmt.Sprintf("revlog: no record at %v", rev))
}

// Read returns the KV of the record at rev, verifying its checksum if it comes from a file. The
// record must exist.
func (l *Log) Read(rev Rev) (kv []byte, err error) {
	s, i := l.segmentOf(rev)
	off, end := s.bounds(i)
	if b := s.inMemory(off, end); b != nil {
		return b[recordHeader:], nil
	}
	if b, err := l.cache.get(l.disk, s.span, off, end, &l.probes); b != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return s.verify(i, b)
	}
	l.probes[ProbeReadFromFile]++
	return s.read(l.disk, i)
}

// ReadBatch is Snapshot.ReadBatch for what exists now.
func (l *Log) ReadBatch(revs []Rev, kvs [][]byte) error {
	v := l.view()
	return v.readBatch(revs, kvs)
}

func (l *Log) view() view {
	v := view{disk: l.disk, spans: l.spans[:len(l.spans):len(l.spans)]}
	if l.active != nil {
		v.active = *l.active.span
	}
	return v
}

// Dead tells that nothing refers to the record at rev any more: it may be dropped when its segment
// is rewritten. Views that were taken earlier keep what they need through their Snapshot. It panics
// if the record is dead already.
func (l *Log) Dead(rev Rev) {
	s, i := l.segmentOf(rev)
	l.inUse -= s.kill(i)
	if s.rewriting {
		l.rewrite.died(rev)
	} else if l.rewrite != nil && s.last.Less(l.rewrite.from[0].first) {
		l.rewrite.before = pastDirty
	}
	if s.sealed && !l.consider {
		l.consider = mostlyDead(s.deadBytes, s.payload())
	}
}

// Size returns the bytes of all files, and those of records not Dead. Files that are being written
// count with what they are going to be: segments, manifests and states, the output of reclaim, and
// what a receiver has stored.
func (l *Log) Size() (files, inUse int64) {
	files = l.bytes + l.home.received
	if l.active != nil {
		files += l.active.length
	}
	if l.rewrite != nil && l.rewrite.out != nil {
		files += l.rewrite.out.length
	}
	for _, g := range [...]*generation{l.newest, l.older} {
		if g != nil {
			files += g.stateFile() + g.manifestFile()
		}
	}
	for _, p := range [...]*publisher{l.publish, l.renew} {
		if p != nil {
			files += p.gen.stateFile() + p.gen.manifestFile()
		}
	}
	return files, l.inUse
}

// Superseded returns the bytes of segment files that reclaim has replaced and that stay because
// a kept generation refers to them. Two checkpoints give them back.
func (l *Log) Superseded() int64 { return l.superseded }

// Unwritten is the number of appended bytes that wait for the disk, for flow control: it grows
// without bound while the disk stalls. What no write can take yet, because it fills the last chunk
// of the active segment, does not wait: so while this is above zero, a write is under way or due.
func (l *Log) Unwritten() (n int64) {
	for _, s := range l.queue {
		n += s.due() - s.written
	}
	return n
}

// Err returns the error after which the log does nothing any more, nil while it works.
func (l *Log) Err() error { return l.err }

// trim releases the memory of the oldest written chunks while there is more than the window.
func (l *Log) trim() {
	window := l.opt.CacheBytes / 2
	for i := 0; l.memory > window && i < len(l.segments); i++ {
		if s := l.segments[i]; len(s.chunks) > 0 {
			keep := l.surplus(s, window)
			if keep == 0 {
				return
			}
			next := *s.span
			next.chunks = append([]chunk(nil), s.chunks[keep:]...)
			s.span = &next
			l.spans = append([]*span(nil), l.spans...)
			l.spans[i] = s.span
		}
	}
	if l.memory > window && l.active != nil {
		if keep := l.surplus(l.active, window); keep > 0 {
			l.active.chunks = append([]chunk(nil), l.active.chunks[keep:]...)
		}
	}
}

// surplus returns how many of the first chunks of s are written and above the window, and takes
// them off the account.
func (l *Log) surplus(s *segment, window int64) (n int) {
	for n < len(s.chunks) && l.memory > window && s.chunkEnd(n) <= s.written {
		if n == len(s.chunks)-1 && !s.sealed {
			break
		}
		l.memory -= int64(len(s.chunks[n].buf))
		n++
	}
	return n
}
