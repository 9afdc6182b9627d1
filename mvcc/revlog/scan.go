package revlog

// Reading whole segments, record by record, with one buffer. It is how a log comes up, and how it
// is checked.

import (
	"fmt"
	"slices"

	"github.com/detcd/detcd/diskio"
)

const scanBytes = 1 << 20

// walk reads segment s from its file, verifies everything that its manifest line promises, and
// calls visit for each record, with its offset. buf is working space that is returned
// for the next call.
func walk(disk diskio.Reader, s *span, records int, buf []byte,
	visit func(r Record, off int64) error) ([]byte, error) {
	var (
		have  []byte // unparsed bytes of buf
		at    int64  // file offset of have
		sum   uint32
		count int
		last  Rev
	)
	if want := max(min(scanBytes, s.length), segmentStart); int64(len(buf)) < want {
		buf = make([]byte, want)
	}
	head := buf[:headerBytes]
	if err := s.fetch(disk, head, 0); err != nil {
		return buf, err
	}
	life, err := parseHeader(s.name, head, kindSegment)
	if err != nil {
		return buf, err
	}
	if life != s.life {
		return buf, s.damage(40, fmt.Sprintf("life %d, want %d", life, s.life))
	}
	for at = segmentStart; at < s.length; {
		size := int64(recordHeader)
		if len(have) >= recordHeader {
			size = recordSize(have)
		}
		if at+size > s.length {
			return buf, s.damage(at, fmt.Sprintf("record of %d bytes reaches beyond the end", size))
		}
		if int64(len(have)) < size {
			if have, buf, err = refill(disk, s, have, buf, at, size); err != nil {
				return buf, err
			}
			continue
		}
		r, reason := parseRecord(have[:size:size], s.seed)
		if reason == "" && count > 0 && !last.Less(r.Rev) {
			reason = fmt.Sprintf("revision %v follows %v", r.Rev, last)
		}
		if reason == "" && count == 0 && r.Rev != s.first {
			reason = fmt.Sprintf("first revision %v, want %v", r.Rev, s.first)
		}
		if reason != "" {
			return buf, s.damage(at, reason)
		}
		if err := visit(r, at); err != nil {
			return buf, err
		}
		sum, last, count = addSum(sum, have), r.Rev, count+1
		have, at = have[size:], at+size
	}
	if count != records || sum != s.sum || last != s.last {
		return buf, s.damage(at, fmt.Sprintf("%d records up to %v with checksum %08x, want %d up "+
			"to %v with %08x", count, last, sum, records, s.last, s.sum))
	}
	return buf, nil
}

// refill moves have to the start of buf, which grows if size needs it, and reads on behind it.
func refill(disk diskio.Reader, s *span, have, buf []byte, at, size int64) (more, b []byte,
	err error) {
	if int64(len(buf)) < size {
		buf = make([]byte, size)
	}
	n := copy(buf, have)
	end := n + int(min(int64(len(buf)-n), s.length-at-int64(n)))
	if err := s.fetch(disk, buf[n:end], at+int64(n)); err != nil {
		return nil, buf, err
	}
	return buf[:end], buf, nil
}

// Scan calls visit for every record loaded by Open, in revision order, verifying each. KV is valid
// only during the call. It may be called once, before anything is appended.
func (l *Log) Scan(visit func(r Record) error) error {
	if l.newest == nil || l.scanned {
		if l.scanned && l.newest == nil && len(l.segments) == 0 && l.active == nil {
			return nil
		}
		panic("revlog: Scan twice, or after something was appended")
	}
	var buf []byte
	var err error
	for _, s := range l.newest.spans {
		t := &s.table
		buf, err = walk(l.disk, s, cap(t.mains), buf, func(r Record, off int64) error {
			if !fits(s.first.Main, r.Rev) {
				return s.damage(off, fmt.Sprintf("revision %v is too far from the first", r.Rev))
			}
			t.add(r.Rev, off)
			return visit(r)
		})
		if err != nil {
			return err
		}
		l.segments = append(l.segments, &segment{span: s, issued: s.length, written: s.length,
			sealed: true, synced: true})
		l.spans = append(l.spans, s)
		l.last = s.last
		l.inUse += s.length - segmentStart
	}
	l.scanned = true
	l.consider = true
	l.renew = newPublisher(l.opt.Dir, &generation{number: l.home.newGeneration(),
		previous: l.newest.previous, check: l.newest.check}, slices.Clone(l.segments))
	return nil
}
