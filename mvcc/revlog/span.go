package revlog

// A span is what is needed to read one segment: where the file is, where its records are, and the
// parts of it that are still in memory. Snapshots on other goroutines share spans with the log, so
// a sealed span never changes; the log replaces it by a copy. The span of a segment that is being
// written grows in place, and a snapshot takes a copy of the struct: it looks only below its own
// length, where nothing is written any more.

import (
	"fmt"
	"sort"

	"github.com/detcd/detcd/diskio"
)

// chunk is a part of a segment in memory, whole records. buf is as long as it was made; bytes from
// the next chunk's off (or the span's length) on are unused.
type chunk struct {
	off int64
	buf []byte
}

type span struct {
	id          uint64
	name        string
	life        uint64
	seed        uint32
	first, last Rev
	length      int64  // bytes of the file, header included
	sum         uint32 // CRC32C over the checksums of all records
	table       table
	chunks      []chunk // in order; they cover the file from chunks[0].off to length
}

// bounds returns where record i starts and ends.
func (s *span) bounds(i int) (off, end int64) {
	off, end = int64(s.table.offs[i]), s.length
	if i+1 < s.table.len() {
		end = int64(s.table.offs[i+1])
	}
	return off, end
}

// inMemory returns the bytes [off, end) of whole records of one chunk, nil if they were released.
func (s *span) inMemory(off, end int64) []byte {
	if len(s.chunks) == 0 || off < s.chunks[0].off {
		return nil
	}
	i := s.chunkAt(off)
	c := s.chunks[i]
	return c.buf[off-c.off : end-c.off : end-c.off]
}

// chunkAt returns the chunk that holds off, which must not be below the first one.
func (s *span) chunkAt(off int64) int {
	lo, hi := 0, len(s.chunks)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s.chunks[mid].off <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// chunkEnd returns the file offset at which the used bytes of chunk i end.
func (s *span) chunkEnd(i int) int64 {
	if i+1 < len(s.chunks) {
		return s.chunks[i+1].off
	}
	return s.length
}

// memory is the number of bytes that the chunks take.
func (s *span) memory() (n int64) {
	for _, c := range s.chunks {
		n += int64(len(c.buf))
	}
	return n
}

// verify returns the KV of record i, whose bytes from a file b holds.
func (s *span) verify(i int, b []byte) (kv []byte, err error) {
	r, reason := parseRecord(b, s.seed)
	if want := s.table.rev(i); reason == "" && r.Rev != want {
		reason = fmt.Sprintf("record of revision %d.%d where %d.%d belongs", r.Rev.Main, r.Rev.Sub,
			want.Main, want.Sub)
	}
	if reason != "" {
		return nil, s.damage(int64(s.table.offs[i]), reason)
	}
	return r.KV, nil
}

func (s *span) damage(off int64, reason string) error {
	return &DamageError{s.name, off, reason}
}

// fetch fills p from the file. The bytes are known to exist, so that fewer are damage.
func (s *span) fetch(disk diskio.Reader, p []byte, off int64) error {
	n, err := disk.ReadAt(s.name, p, off)
	if n == len(p) {
		return nil
	}
	return s.damage(off+int64(n), fmt.Sprintf("read %d of %d bytes: %v", n, len(p), err))
}

// read returns the KV of record i, from memory or the file.
func (s *span) read(disk diskio.Reader, i int) (kv []byte, err error) {
	off, end := s.bounds(i)
	if b := s.inMemory(off, end); b != nil {
		return b[recordHeader:], nil
	}
	b := make([]byte, end-off)
	if err := s.fetch(disk, b, off); err != nil {
		return nil, err
	}
	return s.verify(i, b)
}

// spanOf returns the position of the span that holds rev if any does.
func spanOf(spans []*span, rev Rev) int {
	return sort.Search(len(spans), func(i int) bool { return !spans[i].last.Less(rev) })
}
