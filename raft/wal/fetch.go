package wal

// Reading old entries back: one positional read of whole records, checked in full again. A segment
// that is being read is pinned, so its file is not recycled under the read.

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// pin is one fetch in flight.
type pin struct {
	ticket  diskio.Ticket
	segment uint64
	offset  int64
	length  int64
	hi      raft.Index // last entry that may be returned; a cut lowers it
}

// Fetch returns the read operation (LaneBulk) for durable entries from lo on, and ok false if the
// log no longer or not yet holds lo. Fetched decodes its completion: consecutive entries from lo,
// at most maxBytes of them but at least one, fewer when they lie in several segments. t must not
// collide with the log's own tickets or another fetch; its completion must reach Fetched.
func (l *Log) Fetch(t diskio.Ticket, lo, hi raft.Index, maxBytes int) (diskio.Op, bool) {
	if lo == 0 || hi < lo {
		panic(fmt.Sprintf("wal: fetch of entries %d..%d", lo, hi))
	}
	if lo > l.durable {
		return diskio.Op{}, false
	}
	r, ok := l.index.span(lo, min(hi, l.durable), int64(maxBytes))
	if !ok {
		return diskio.Op{}, false
	}
	seg := l.segments.find(r.sequence)
	if seg == nil {
		panic(fmt.Sprintf("wal: entry %d is indexed in segment %x, which is not live", lo,
			r.sequence))
	}
	seg.pins++
	l.pins = append(l.pins, pin{ticket: t, segment: r.sequence, offset: r.offset,
		length: r.end - r.offset, hi: r.last})
	return diskio.Op{Ticket: t, Lane: diskio.LaneBulk, Kind: diskio.Read,
		File: seg.name, Offset: r.offset, Length: r.end - r.offset}, true
}

// Fetched decodes the completion of a Fetch, whose bounds are given again. The entries alias the
// completion's data. The result is empty if the entries were overwritten meanwhile. An error, a
// *DamageError if the bytes are not what was written, means that the node must stop.
func (l *Log) Fetched(
	c diskio.Completion, lo, hi raft.Index, maxBytes int,
) ([]raft.Entry, error) {
	n := 0
	for n < len(l.pins) && l.pins[n].ticket != c.Ticket {
		n++
	}
	if n == len(l.pins) {
		panic(fmt.Sprintf("wal: completion of unknown fetch %d", c.Ticket))
	}
	p := l.pins[n]
	l.pins = append(l.pins[:n], l.pins[n+1:]...)
	seg := l.segments.find(p.segment)
	seg.pins--
	life, sector := seg.life, seg.sector
	l.release()
	if err := c.Status.Err(); err != nil {
		return nil, completionError(c, err)
	}
	if hi = min(hi, p.hi); hi < lo {
		l.probes[ProbeFetchCut]++
		return nil, nil
	}
	entries, off, err := entriesIn(c.Data, p.offset, life, sector, lo, hi, maxBytes)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("entry %d is missing", lo)
	}
	if err != nil {
		return nil, &DamageError{File: c.File, Offset: p.offset + off, Reason: err.Error()}
	}
	return entries, nil
}

// entriesIn collects the entries lo..hi from whole records that lie at base in their file. On an
// error off is where in data it was found.
func entriesIn(
	data []byte, base int64, life uint64, sector int, lo, hi raft.Index, maxBytes int,
) (entries []raft.Entry, off int64, err error) {
	var scratch []raft.Entry
	size, want := 0, lo
	for off < int64(len(data)) && want <= hi {
		h, ok := getRecordHeader(data[off:], life)
		if !ok || h.length > len(data)-int(off)-recordHeaderSize {
			return nil, off, fmt.Errorf("no record, expected entry %d in it or after it", want)
		}
		end := off + recordHeaderSize + int64(h.length)
		r, err := decodeContent(life, &h, data[off+recordHeaderSize:end], scratch[:0])
		if err != nil {
			return nil, off, fmt.Errorf("%v at position %d: %w", h.kind, h.position, err)
		}
		if len(r.Entries) > 0 {
			scratch = r.Entries
		}
		for i := range r.Entries {
			e := r.Entries[i]
			if e.Index < lo {
				continue
			}
			if e.Index != want {
				return nil, off, fmt.Errorf("entry %d, expected %d", e.Index, want)
			}
			if size += e.Size(); want > hi || size > maxBytes && len(entries) > 0 {
				return entries, off, nil
			}
			entries = append(entries, e)
			want++
		}
		if off = end; h.flags&flagLastOfWrite != 0 {
			off = alignUp(base+end, int64(sector)) - base
		}
	}
	return entries, off, nil
}
