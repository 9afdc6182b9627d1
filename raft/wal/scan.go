package wal

// Reading segments back. The scanner walks the records of the segments in the order of their
// positions and reports each to a visitor; it stops believing a segment at the first spot that is
// not the expected record, but goes on looking for later records, because only they can tell
// whether the spot was durable. Nothing here writes, and memory is bounded by one window and the
// longest record.

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/detcd/detcd/diskio"
)

const windowBytes = 1 << 20

// place is where a record lies.
type place struct {
	name        string
	segment     *scanned
	offset, end int64
}

// visitor takes the records in order of position. content is valid only during the call. jump says
// that the record, a segment start, does not continue what came before.
type visitor interface {
	visit(at place, h *recordHeader, content []byte, jump bool) error
}

// scanned is a segment as the scanner sees it.
type scanned struct {
	file
	header Header
	bad    error    // the header cannot be read
	first  Position // of its segment start, 0 if none can be read
	limit  Position // from here on later segments replace it
	any    bool     // holds at least one record
}

// flaw is the first spot after a contiguous run of records that is not the expected record. Every
// log ends with one. It is damage if its position was durable, else the torn or empty tail.
type flaw struct {
	file     string
	offset   int64
	position Position // expected there
	reason   string
	soft     bool  // nothing there looks like a record: so far, just the end
	bytes    int64 // to the end of the last record recognised after it, in its file
}

type scanner struct {
	disk     diskio.Reader
	dir      string
	segments []*scanned
	other    []file // files in preparation when the log last stopped
	buf      []byte
	bufFile  string
	bufAt    int64

	synced Position // highest `synced` seen anywhere
	oldest uint64   // highest seen in a record that counts; nothing before it is needed
	next   Position // expected
	start  uint64   // segment from which positions are contiguous
	flaw   *flaw    // at the end of what was visited
	gap    *flaw    // before segment start; harmless if recovery needs nothing before it
}

// newScanner lists the directory and reads each segment's header and first record.
func newScanner(disk diskio.Reader, dir string) (*scanner, error) {
	s := &scanner{disk: disk, dir: dir}
	infos, err := disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("wal: list %s: %w", dir, err)
	}
	for _, info := range infos {
		seq, suffix, ok := parseName(info.Name)
		f := file{sequence: seq, name: fileName(dir, seq, suffix), size: info.Size}
		switch {
		case !ok:
		case suffix == suffixNew:
			s.other = append(s.other, f)
		default:
			s.segments = append(s.segments, &scanned{file: f})
		}
	}
	for _, seg := range s.segments {
		if err := s.readStart(seg); err != nil {
			return nil, err
		}
	}
	limit := ^Position(0)
	for i := len(s.segments) - 1; i >= 0; i-- {
		seg := s.segments[i]
		seg.limit = limit
		if seg.first != 0 {
			limit = min(limit, seg.first)
		}
	}
	return s, nil
}

// readStart reads a segment's header and the position of its first record.
func (s *scanner) readStart(seg *scanned) error {
	name := seg.name
	data, err := s.window(&seg.file, 0, headerSize)
	if err != nil {
		return err
	}
	seg.header, err = DecodeHeader(data)
	var format *FormatError
	var damage *DamageError
	switch {
	case errors.As(err, &format):
		format.File = name
		return format
	case errors.As(err, &damage):
		damage.File = name
		seg.bad = damage
		return nil
	case seg.header.Sequence != seg.sequence:
		seg.bad = &DamageError{File: name, Reason: fmt.Sprintf(
			"header is of segment %016x", seg.header.Sequence)}
		return nil
	}
	h, content, _, err := s.record(seg, int64(seg.header.Sector))
	if err == nil && content != nil && h.kind == RecordStart && h.synced == h.position-1 {
		seg.first = h.position
		s.oldest = max(s.oldest, h.oldest)
	}
	return err
}

// window returns n bytes of a file from off on, fewer at its end. The result is valid until the
// next call.
func (s *scanner) window(f *file, off, n int64) ([]byte, error) {
	if off >= f.size {
		return nil, nil
	}
	n = min(n, f.size-off)
	name := f.name
	have := s.bufAt + int64(len(s.buf))
	if s.bufFile == name && off >= s.bufAt && off+n <= have {
		return s.buf[off-s.bufAt:][:n], nil
	}
	length := min(max(n, windowBytes), f.size-off)
	if int64(cap(s.buf)) < length || cap(s.buf) > 4*windowBytes && length <= windowBytes {
		s.buf = make([]byte, length)
	}
	s.buf = s.buf[:length]
	s.bufFile, s.bufAt = name, off
	got, err := s.disk.ReadAt(name, s.buf, off)
	if err != nil && !errors.Is(err, io.EOF) && length > n {
		s.buf = s.buf[:n]
		got, err = s.disk.ReadAt(name, s.buf, off)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.bufFile = ""
		return nil, &DamageError{File: name, Offset: off, Reason: "unreadable: " + err.Error()}
	}
	s.buf = s.buf[:got]
	return s.buf[:min(n, int64(got))], nil
}

// record reads the record at off. ok says that its header is one; content is nil unless all of it
// is in the file and matches its checksum.
func (s *scanner) record(
	seg *scanned, off int64,
) (h recordHeader, content []byte, ok bool, err error) {
	data, err := s.window(&seg.file, off, recordHeaderSize)
	if err != nil {
		return h, nil, false, err
	}
	if h, ok = getRecordHeader(data, seg.header.Life); !ok {
		return h, nil, false, nil
	}
	if h.position <= h.synced || h.position < seg.header.Position {
		return h, nil, false, nil
	}
	size := recordHeaderSize + int64(h.length)
	if data, err = s.window(&seg.file, off, size); err != nil {
		return h, nil, false, err
	}
	if int64(len(data)) < size || checksum(seg.header.Life, data[recordHeaderSize:]) != h.crc {
		return h, nil, true, nil
	}
	return h, data[recordHeaderSize:size:size], true, nil
}

// run walks all segments that recovery may need. It does not judge: see verdict.
func (s *scanner) run(v visitor) error {
	lowest := s.oldest
	for _, seg := range s.segments {
		if seg.sequence < lowest {
			continue
		}
		if err := s.walk(seg, v); err != nil {
			return err
		}
	}
	return nil
}

// walk visits the records of one segment up to the first flaw. Behind it only headers matter:
// their `synced` decides what the flaw means.
func (s *scanner) walk(seg *scanned, v visitor) error {
	if replaced := max(seg.first, s.next) >= seg.limit; seg.bad != nil || replaced {
		return nil
	}
	sector := int64(seg.header.Sector)
	if seg.first == 0 {
		s.spoil(seg, sector, "no segment start", true)
		return s.hunt(seg, sector, s.furthest(seg))
	}
	s.join(seg)
	name := seg.name
	for off := sector; off+recordHeaderSize <= seg.size && s.next < seg.limit; {
		h, content, ok, err := s.record(seg, off)
		if err != nil {
			return err
		}
		end := off + recordHeaderSize + int64(h.length)
		switch {
		case !ok:
			s.spoil(seg, off, "no record", true)
			return s.hunt(seg, off, s.next)
		case h.position != s.next:
			s.spoil(seg, off, fmt.Sprintf("%v at position %d", h.kind, h.position), false)
			return s.hunt(seg, off, s.next)
		case content == nil:
			s.spoil(seg, off, fmt.Sprintf("content of the %v does not match its checksum",
				h.kind), false)
			return s.hunt(seg, off, s.next)
		}
		seg.any = true
		s.synced = max(s.synced, h.synced)
		jump := off == sector && seg.sequence == s.start
		if err := v.visit(place{name, seg, off, end}, &h, content, jump); err != nil {
			return &DamageError{File: name, Offset: off, Reason: fmt.Sprintf(
				"%v at position %d: %v", h.kind, h.position, err)}
		}
		s.oldest, s.next = max(s.oldest, h.oldest), h.position+1
		if off = end; h.flags&flagLastOfWrite != 0 {
			off = alignUp(end, sector)
		}
	}
	return nil
}

// join connects a segment to the ones before it, or starts anew with it.
func (s *scanner) join(seg *scanned) {
	if s.next != seg.first {
		if s.next != 0 {
			s.spoil(seg, int64(seg.header.Sector), "segment start", false)
			s.flaw.reason += fmt.Sprintf(" (the next readable segment, %016x, starts with "+
				"position %d)", seg.sequence, seg.first)
		}
		s.gap, s.start, s.next = s.flaw, seg.sequence, seg.first
	}
	s.flaw = nil
}

// spoil notes a flaw, unless an earlier one is known already.
func (s *scanner) spoil(seg *scanned, off int64, reason string, soft bool) {
	if s.flaw == nil {
		s.flaw = &flaw{file: seg.name, offset: off, position: s.next, reason: reason,
			soft: soft}
	}
}

// furthest bounds the position that the first record of a segment without a readable start can
// have: the header tells how far the log had come when the file was prepared, and between then and
// its use the log filled files no larger than what there is.
func (s *scanner) furthest(seg *scanned) Position {
	var size int64
	for _, each := range s.segments {
		size += each.size
	}
	return max(s.next, seg.header.Position) + Position(size/recordHeaderSize)
}

// hunt looks for records after a flaw at from. It meets the inside of values too, and what looks
// like a record there is not one: the life, which no client knows, tells that. And no more records
// are believed than bytes are there to hold them, from one at position first on.
func (s *scanner) hunt(seg *scanned, from int64, first Position) error {
	sector := int64(seg.header.Sector)
	for off := from; off+recordHeaderSize <= seg.size; {
		h, _, ok, err := s.record(seg, off)
		if err != nil {
			return err
		}
		end := off + 1
		highest := first + Position((off-from)/recordHeaderSize)
		if ok && h.position >= s.next && h.position < seg.limit && h.position <= highest {
			seg.any = true
			s.synced = max(s.synced, h.synced)
			end = off + recordHeaderSize + int64(h.length)
			s.flaw.found(seg.name, sector, end)
			if h.flags&flagLastOfWrite == 0 {
				off = end
				continue
			}
		}
		off = s.afterZeros(seg, alignUp(end, sector))
	}
	return nil
}

// afterZeros skips the zero sectors from off on that are in memory already: a file that was made
// long enough in advance is zeros to its end.
func (s *scanner) afterZeros(seg *scanned, off int64) int64 {
	sector := int(seg.header.Sector)
	if s.bufFile != seg.name || off < s.bufAt || off >= s.bufAt+int64(len(s.buf)) {
		return off
	}
	for b := s.buf[off-s.bufAt:]; len(b) >= sector && b[0] == 0 &&
		bytes.Equal(b[:sector-1], b[1:sector]); b = b[sector:] {
		off += int64(sector)
	}
	return off
}

// verdict judges the flaws that run found, once all that could be known is known.
func (s *scanner) verdict() error {
	readable := s.start != 0
	for _, seg := range s.segments {
		if seg.bad != nil && (seg.sequence >= s.oldest || !readable) {
			return seg.bad
		}
	}
	if len(s.segments) > 0 && !readable {
		return &DamageError{File: s.segments[0].name, Offset: int64(
			s.segments[0].header.Sector), Reason: "no segment of the log starts with a record"}
	}
	if f := s.gap; f != nil && s.start > s.oldest {
		return f.damage(s.synced)
	}
	if s.start > s.oldest {
		return &DamageError{File: fileName(s.dir, s.oldest, suffixSegment), Reason: fmt.Sprintf(
			"the segment is missing, the log reads from segment %016x on", s.start)}
	}
	if f := s.flaw; f != nil && f.position <= s.synced {
		return f.damage(s.synced)
	}
	return nil
}

// found tells f of a record up to end after it. The flaw of a segment without a readable start lies
// there, not at the end of the segment before.
func (f *flaw) found(file string, start, end int64) {
	if f.soft && f.file != file {
		f.file, f.offset, f.reason = file, start, "no segment start"
	}
	if f.soft = false; f.file == file {
		f.bytes = end - f.offset
	}
}

func (f *flaw) damage(synced Position) error {
	return &DamageError{File: f.file, Offset: f.offset, Reason: fmt.Sprintf(
		"%s, expected position %d; the log is durable up to position %d at least",
		f.reason, f.position, synced)}
}
