package revlog

// A view is an immutable set of spans; a Snapshot is one with a pin, so that the files stay. It has
// no state of its own that a read would change, and so may be used by several goroutines at once.

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

type view struct {
	disk   diskio.Reader
	spans  []*span
	active span // its table is empty if there was no active segment
}

// locate returns the span that holds rev and the position in it; it panics if none does.
func (v *view) locate(rev Rev) (k, i int) {
	if k = len(v.spans); v.active.table.len() == 0 || rev.Less(v.active.first) {
		k = spanOf(v.spans, rev)
	}
	if i = -1; k <= len(v.spans) {
		i = v.span(k).table.find(rev)
	}
	if i < 0 {
		panic(fmt.Sprintf("revlog: no record at %v in the snapshot", rev))
	}
	return k, i
}

// span returns span k; the active one has the number after the last sealed one.
func (v *view) span(k int) *span {
	if k == len(v.spans) {
		return &v.active
	}
	return v.spans[k]
}

// Snapshot is an immutable set of records. Its methods are safe for concurrent use.
type Snapshot struct {
	view     view
	epoch    uint64
	released bool // only the log's goroutine looks at it
}

// Snapshot pins what exists now for a reader on another goroutine.
func (l *Log) Snapshot() *Snapshot {
	return &Snapshot{view: l.view(), epoch: l.home.pins.take()}
}

// Read is Log.Read for the records that existed when the snapshot was taken.
func (s *Snapshot) Read(rev Rev) (kv []byte, err error) {
	k, i := s.view.locate(rev)
	return s.view.span(k).read(s.view.disk, i)
}

// ReadBatch reads many records, filling kvs[i] for revs[i]; it coalesces reads of neighbouring
// records whatever the order of revs. It is the fast way for lists.
func (s *Snapshot) ReadBatch(revs []Rev, kvs [][]byte) error { return s.view.readBatch(revs, kvs) }

// Release unpins s; on the log's goroutine, once.
func (l *Log) Release(s *Snapshot) {
	if s.released {
		panic("revlog: snapshot released twice")
	}
	s.released = true
	l.home.pins.drop(s.epoch)
}
