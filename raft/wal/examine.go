package wal

// Examining a damaged log, for people: not where recovery stops, which is the first flaw, but every
// spot that is not what was written, and what was lost with it. Records before and behind a spot
// tell its positions, and batches the entries; a header that is whole under a content that is not
// tells the kind of record, and term and vote.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// Flaw is a spot of a log that is not what was written there.
type Flaw struct {
	File   string
	Offset int64
	Reason string
	// Type is the record's, 0 when not even its header can be read.
	Type RecordType
	Hard raft.HardState // in force after the record, if Type is known
	// First and Last are the positions of the records that are lost; Last is 0 when nothing behind
	// the spot tells how many there were.
	First, Last Position
	// FirstEntry and LastEntry are the entries that are lost; FirstEntry is 0 when none need be,
	// LastEntry when nothing tells where they end.
	FirstEntry, LastEntry raft.Index
	// Durable says that later records vouch for what is lost: it had been synced, and others may
	// rely on it. What is not durable is a torn tail, and is cut at the next start.
	Durable bool
}

// Examine finds all flaws in the log in dir. An error says that something else than damage keeps it
// from being read.
func Examine(disk diskio.Reader, dir string) ([]Flaw, error) {
	s, err := newScanner(disk, dir)
	if err != nil {
		return nil, err
	}
	x := &examiner{scan: s}
	for _, seg := range s.segments {
		if err := x.segment(seg); err != nil {
			return nil, err
		}
	}
	kept := x.flaws[:0]
	for _, f := range x.flaws {
		f.Durable = f.First <= s.synced
		if f.Durable || f.Type != 0 || f.Last != 0 {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// examiner goes through the segments in order.
type examiner struct {
	scan  *scanner
	flaws []Flaw
	open  int        // flaws before this one have their ends; those from it on wait for a record
	next  Position   // expected
	last  raft.Index // of the last batch that could be read
	known bool       // last is known
}

func (x *examiner) add(f Flaw) {
	f.First = x.next
	if f.Type != 0 {
		f.Last = x.next
	}
	if x.known {
		f.FirstEntry = x.last + 1
	}
	if x.noted() {
		x.flaws = x.flaws[:len(x.flaws)-1] // the end of a file, and the log went on in this one
	}
	x.flaws = append(x.flaws, f)
}

// noted says whether a flaw is known where the log stopped being readable.
func (x *examiner) noted() bool {
	n := len(x.flaws)
	return n > x.open && x.flaws[n-1].Last == 0 && x.flaws[n-1].First == x.next
}

func (x *examiner) segment(seg *scanned) error {
	if seg.sequence < x.scan.oldest {
		return nil // recovery needs nothing of it
	}
	if seg.bad != nil {
		x.add(Flaw{File: seg.name, Reason: "the header of the file: " + seg.bad.Error()})
		return nil
	}
	sector := int64(seg.header.Sector)
	if seg.first != 0 && (x.next == 0 || seg.first < x.next) {
		x.next = seg.first // the first one, or one that replaces the end of that before
	}
	if x.next == 0 {
		x.next = max(seg.header.Position, 1)
	}
	return x.records(seg, sector)
}

// records examines one segment's records.
func (x *examiner) records(seg *scanned, sector int64) error {
	inside := false // of a flaw that is noted already
	for off := sector; off+recordHeaderSize <= seg.size && x.next < seg.limit; {
		h, content, ok, err := x.scan.record(seg, off)
		unreadable := (*DamageError)(nil)
		if errors.As(err, &unreadable) {
			x.add(Flaw{File: seg.name, Offset: off, Reason: unreadable.Reason})
			off, inside = alignUp(off+1, sector), true
			continue
		} else if err != nil {
			return err
		}
		if !ok || h.position < x.next || h.position >= seg.limit {
			if !inside {
				x.add(Flaw{File: seg.name, Offset: off, Reason: "no record"})
			}
			off, inside = x.scan.afterZeros(seg, alignUp(off+1, sector)), true
			continue
		}
		if h.position > x.next && !inside && !x.noted() {
			x.add(Flaw{File: seg.name, Offset: off, Reason: fmt.Sprintf("%v at position %d",
				h.kind, h.position)})
		}
		x.scan.synced = max(x.scan.synced, h.synced)
		x.next = h.position
		if content == nil {
			x.close(h.position, 0)
			x.add(Flaw{File: seg.name, Offset: off, Type: h.kind, Hard: h.hard, Reason: fmt.Sprintf(
				"content of the %v does not match its checksum", h.kind)})
		} else if err := x.take(seg, off, &h, content); err != nil {
			return err
		}
		x.next, inside = h.position+1, false
		if off += recordHeaderSize + int64(h.length); h.flags&flagLastOfWrite != 0 {
			off = alignUp(off, sector)
		}
	}
	return nil
}

// take follows a record that is whole.
func (x *examiner) take(seg *scanned, off int64, h *recordHeader, content []byte) error {
	r, err := decodeContent(seg.header.Life, h, content, nil)
	if err != nil {
		x.close(h.position, 0)
		x.add(Flaw{File: seg.name, Offset: off, Type: h.kind, Hard: h.hard, Reason: err.Error()})
		return nil
	}
	switch {
	case len(r.Entries) > 0:
		x.close(h.position, r.Entries[0].Index)
		x.last, x.known = r.Entries[len(r.Entries)-1].Index, true
	case r.Type == RecordStart:
		x.close(h.position, r.Last+1)
		x.last, x.known = r.Last, true
	case r.Type == RecordSnapshot:
		x.close(h.position, 0)
		x.last, x.known = r.Snapshot.Index, true
	default:
		x.close(h.position, 0)
	}
	x.scan.oldest = max(x.scan.oldest, h.oldest)
	return nil
}

// close gives the flaws that wait for it their ends: a record at position at was found, and the
// entry first in it, 0 if it holds none.
func (x *examiner) close(at Position, first raft.Index) {
	x.flaws = append(x.flaws[:x.open], slices.DeleteFunc(x.flaws[x.open:], func(f Flaw) bool {
		return at <= f.First // it was the end of a file, and nothing is missing
	})...)
	for i := x.open; i < len(x.flaws); i++ {
		f := &x.flaws[i]
		if f.Last == 0 {
			f.Last = max(f.First, at-1)
		}
		switch {
		case first == 0:
		case first <= f.FirstEntry:
			f.FirstEntry = 0 // none is missing
		case f.FirstEntry != 0:
			f.LastEntry = first - 1
		}
	}
	if first != 0 {
		x.open = len(x.flaws)
	}
}
