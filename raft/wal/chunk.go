package wal

// A chunk is what one write will hold: records encoded when they were queued, once, into one
// buffer. What is known only when the write is issued (positions, `synced`, the life that seeds the
// checksums) is filled in then, by seal. After that the buffer does not change until the write's
// completion; then the chunk is reused, so that two or three buffers serve for ever.

import (
	"encoding/binary"
	"fmt"

	"github.com/detcd/detcd/raft"
)

// state is what recovery rebuilds, without the entries: it follows the records.
type state struct {
	hard        raft.HardState
	incarnation raft.Incarnation
	snapshot    raft.Snapshot
	last        raft.Index
	lastTerm    raft.Term
}

// meta says what one encoded record does to the state.
type meta struct {
	offset      int // of the record in the buffer; it reaches to the next one
	kind        RecordType
	hard        raft.HardState
	incarnation raft.Incarnation
	first, last raft.Index // batch
	lastTerm    raft.Term  // batch
	snapshot    int        // RecordSnapshot: place in chunk.snapshots
}

type chunk struct {
	buf       []byte
	metas     []meta
	snapshots []raft.Snapshot
	length    int         // of all records, before the padding
	ticket    raft.Ticket // the highest Append that is complete with this chunk, 0 if none
	// durable is what Log.Durable becomes with this chunk's sync. A later append that cuts the
	// tail lowers it: the completion of an overwritten write says nothing about what replaces it.
	durable raft.Index
}

func (c *chunk) reset() {
	clear(c.snapshots)
	*c = chunk{buf: c.buf[:0], metas: c.metas[:0], snapshots: c.snapshots[:0]}
}

// begin starts a record; its content is appended to c.buf, then end is called.
func (c *chunk) begin(m meta) {
	m.offset = len(c.buf)
	var header [recordHeaderSize]byte
	c.buf = append(c.buf, header[:]...)
	c.metas = append(c.metas, m)
}

func (c *chunk) end(hard raft.HardState) {
	c.metas[len(c.metas)-1].hard = hard
	c.length = len(c.buf)
}

func (c *chunk) addMark(kind RecordType, hard raft.HardState) {
	c.begin(meta{kind: kind})
	c.end(hard)
}

func (c *chunk) addIncarnation(inc raft.Incarnation, hard raft.HardState) {
	c.begin(meta{kind: RecordIncarnation, incarnation: inc})
	c.buf = binary.LittleEndian.AppendUint64(c.buf, uint64(inc))
	c.end(hard)
}

func (c *chunk) addSnapshot(s raft.Snapshot, hard raft.HardState) {
	c.begin(meta{kind: RecordSnapshot, snapshot: len(c.snapshots)})
	c.snapshots = append(c.snapshots, s)
	c.durable = s.Index
	c.buf = encodeSnapshot(c.buf, &s)
	c.end(hard)
}

func (c *chunk) addStart(s *state) {
	le := binary.LittleEndian
	c.begin(meta{kind: RecordStart})
	c.buf = le.AppendUint64(c.buf, uint64(s.incarnation))
	c.buf = le.AppendUint64(c.buf, uint64(s.last))
	c.buf = le.AppendUint64(c.buf, uint64(s.lastTerm))
	c.buf = encodeSnapshot(c.buf, &s.snapshot)
	c.end(s.hard)
}

// addBatch encodes as many entries as fit into limit bytes, at least one if the chunk is empty,
// and returns the others.
func (c *chunk) addBatch(
	entries []raft.Entry, hard raft.HardState, limit int,
) (rest []raft.Entry) {
	n, size := 0, len(c.buf)+recordHeaderSize
	for n < len(entries) {
		size += entries[n].Size()
		if size > limit && (n > 0 || len(c.buf) > 0) {
			break
		}
		n++
	}
	if n == 0 {
		return entries
	}
	last := &entries[n-1]
	c.begin(meta{kind: RecordBatch, first: entries[0].Index, last: last.Index,
		lastTerm: last.Term})
	c.durable = last.Index
	for i := range entries[:n] {
		c.buf = raft.EncodeEntry(c.buf, &entries[i])
	}
	c.end(hard)
	return entries[n:]
}

// seal fills in the headers and pads the buffer to whole sectors. The first record gets position
// next; the position after the last one is returned.
func (c *chunk) seal(life uint64, next, synced Position, oldest uint64, sector int) Position {
	if len(c.metas) == 0 || synced >= next {
		panic(fmt.Sprintf("wal: seal of %d records at %d with %d synced",
			len(c.metas), next, synced))
	}
	for i := range c.metas {
		m := &c.metas[i]
		end, flags := c.length, uint8(flagLastOfWrite)
		if i+1 < len(c.metas) {
			end, flags = c.metas[i+1].offset, 0
		}
		putRecordHeader(c.buf[m.offset:end], life, &recordHeader{kind: m.kind, flags: flags,
			position: next, synced: synced, hard: m.hard, oldest: oldest})
		next++
	}
	padded := int(alignUp(int64(c.length), int64(sector)))
	for len(c.buf) < padded {
		c.buf = append(c.buf, make([]byte, padded-len(c.buf))...)
	}
	return next
}

// applyTo moves s over the chunk's records.
func (c *chunk) applyTo(s *state) {
	for i := range c.metas {
		m := &c.metas[i]
		s.hard = m.hard
		switch m.kind {
		case RecordBatch:
			s.last, s.lastTerm = m.last, m.lastTerm
		case RecordIncarnation:
			s.incarnation = m.incarnation
		case RecordSnapshot:
			s.snapshot = c.snapshots[m.snapshot]
			s.last, s.lastTerm = s.snapshot.Index, s.snapshot.Term
		}
	}
}

// valued says whether losing the chunk would lose more than knowledge about older records.
func (c *chunk) valued() bool {
	for i := range c.metas {
		if c.metas[i].kind != RecordMark {
			return true
		}
	}
	return false
}
