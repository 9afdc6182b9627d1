package revlog

// A segment is a span together with what only the log's own goroutine knows of it: how much of the
// file has been written, and which records are dead. Active segments, the outputs of reclaim and
// the files of a receiver are all built by it: records are encoded once into chunks, and the chunks
// are the data of the write operations.

import (
	"fmt"
	"math/bits"
)

const (
	minChunkBytes = 8 << 10
	maxChunkBytes = 1 << 20
)

type segment struct {
	*span
	born    uint64 // epoch in which the file was made, see pins
	issued  int64  // bytes handed out in write operations
	written int64  // bytes whose write completed. Invariant: written <= issued <= length
	sealed  bool   // nothing is added any more
	synced  bool   // the whole file is durable (its name may not be)

	dead        []uint64 // bitmap by position in the table; nil while none is dead
	deadRecords int
	deadBytes   int64
	held        []uint64 // bitmap of dead tombstones that must stay, see rewrite; nil while none
	heldBytes   int64
	rewriting   bool // source of the running reclaim
}

// newSegment starts a segment whose first record will be at first.
func newSegment(dir string, id uint64, first Rev) *segment {
	s := &segment{span: &span{
		id: id, name: segmentName(dir, first.Main, id), life: id, seed: seedOf(id),
		first: first, length: segmentStart,
	}}
	buf := make([]byte, minChunkBytes)
	putHeader(buf, kindSegment, s.life)
	s.chunks = []chunk{{0, buf}}
	return s
}

// accepts says whether a record of size bytes at rev belongs into s or into a next segment.
func (s *segment) accepts(rev Rev, size, limit int64) bool {
	return s.length+size <= limit && fits(s.first.Main, rev) || s.table.len() == 0
}

// put appends a record and returns its stored KV.
func (s *segment) put(rev Rev, kind RecordKind, step int64, parts ...[]byte) []byte {
	size := recordHeader
	for _, p := range parts {
		size += len(p)
	}
	if s.sealed || size > maxRecordBytes {
		panic(fmt.Sprintf("revlog: record of %d bytes into %s, sealed %t", size, s.name, s.sealed))
	}
	b := s.reserve(size, step)
	putRecord(b, s.seed, rev, kind, parts)
	s.table.add(rev, s.length)
	s.length += int64(size)
	s.last = rev
	s.sum = addSum(s.sum, b)
	return b[recordHeader:]
}

// reserve returns the next size bytes of memory; a record never spans chunks.
func (s *segment) reserve(size int, step int64) []byte {
	if n := len(s.chunks); n > 0 {
		c := s.chunks[n-1]
		at := int(s.length - c.off)
		if at+size <= len(c.buf) {
			return c.buf[at : at+size : at+size]
		}
	}
	room := int(min(max(s.length, minChunkBytes), step, maxChunkBytes))
	buf := make([]byte, max(room, size))
	s.chunks = append(s.chunks, chunk{s.length, buf})
	return buf[:size:size]
}

// nextWrite returns the next bytes to write, nil if there are none: a chunk that got full, or the
// rest of a sealed segment, in steps.
func (s *segment) nextWrite(step int64) (data []byte, off int64) {
	if s.issued == s.length {
		return nil, 0
	}
	i := s.chunkAt(s.issued)
	if i == len(s.chunks)-1 && !s.sealed {
		return nil, 0
	}
	c := s.chunks[i]
	end := min(s.chunkEnd(i), s.issued+step)
	return c.buf[s.issued-c.off : end-c.off : end-c.off], s.issued
}

// due is the length up to which the file could be written now.
func (s *segment) due() int64 {
	if s.sealed || len(s.chunks) == 0 {
		return s.length
	}
	return max(s.chunks[len(s.chunks)-1].off, s.written)
}

// forget releases the memory of written chunks, except the one being filled.
func (s *segment) forget() {
	n := 0
	for n < len(s.chunks)-1 && s.chunkEnd(n) <= s.written {
		n++
	}
	if n > 0 {
		s.chunks = append([]chunk(nil), s.chunks[n:]...)
	}
}

// wholly says whether the file has been written to its end.
func (s *segment) wholly() bool { return s.sealed && s.written == s.length }

// payload is the number of bytes of records.
func (s *segment) payload() int64 { return s.length - segmentStart }

func (s *segment) live() int64 { return s.payload() - s.deadBytes }

func (s *segment) isDead(i int) bool { return i/64 < len(s.dead) && s.dead[i/64]>>(i%64)&1 == 1 }

// kill marks record i and returns its size.
func (s *segment) kill(i int) (size int64) {
	if i/64 >= len(s.dead) {
		grown := make([]uint64, max((s.table.len()+63)/64, 2*len(s.dead)))
		copy(grown, s.dead)
		s.dead = grown
	}
	if s.isDead(i) {
		panic(fmt.Sprintf("revlog: record %v is dead twice", s.table.rev(i)))
	}
	s.dead[i/64] |= 1 << (i % 64)
	off, end := s.bounds(i)
	s.deadRecords++
	s.deadBytes += end - off
	return end - off
}

// isHeld says whether record i is a dead tombstone that had to be copied; it counts as live.
func (s *segment) isHeld(i int) bool { return i/64 < len(s.held) && s.held[i/64]>>(i%64)&1 == 1 }

// hold marks record i as a dead tombstone that stays.
func (s *segment) hold(i int) {
	for len(s.held) <= i/64 {
		s.held = append(s.held, 0)
	}
	s.held[i/64] |= 1 << (i % 64)
	off, end := s.bounds(i)
	s.heldBytes += end - off
}

// checkCounters compares the dead counters with the bitmap.
func (s *segment) checkCounters() error {
	records, bytes := 0, int64(0)
	for i, word := range s.dead {
		records += bits.OnesCount64(word)
		for ; word != 0; word &= word - 1 {
			off, end := s.bounds(i*64 + bits.TrailingZeros64(word))
			bytes += end - off
		}
	}
	if records != s.deadRecords || bytes != s.deadBytes {
		return fmt.Errorf("revlog: %s counts %d dead records of %d bytes, its bitmap %d of %d",
			s.name, s.deadRecords, s.deadBytes, records, bytes)
	}
	return nil
}
