package wal

// What a record says, as a value, and the decoder of one write. The decoder is all that an
// observer of the disk needs to keep a ledger of promises: with the life from the header's write,
// each later write of the file tells which entries, terms and votes became durable with it.

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/detcd/detcd/raft"
)

// Record is one decoded record. Byte fields alias the data it was decoded from.
type Record struct {
	Type     RecordType
	Position Position
	Synced   Position       // everything up to it was durable when the record was issued
	Hard     raft.HardState // in force after this record
	Oldest   uint64         // sequence of the oldest segment that recovery needs
	// Incarnation is set in RecordIncarnation and RecordStart.
	Incarnation raft.Incarnation
	// Snapshot is set in RecordSnapshot and RecordStart (there it may be zero).
	Snapshot raft.Snapshot
	// Last and LastTerm are the last entry before the segment, in RecordStart.
	Last     raft.Index
	LastTerm raft.Term
	// Entries are those of a RecordBatch, consecutive, at least one.
	Entries []raft.Entry
}

// errIncomplete says that a write ends inside a record.
var errIncomplete = errors.New("wal: incomplete record")

// DecodeBatch decodes the records of one write into a segment file whose header named life, and
// calls visit for each in order. data is the whole write; the write at offset 0 is a header
// (DecodeHeader) instead. The record and what it refers to alias data and are valid only during
// the call.
func DecodeBatch(life uint64, data []byte, visit func(Record) error) error {
	var scratch []raft.Entry
	for off := 0; off < len(data); {
		h, ok := getRecordHeader(data[off:], life)
		if !ok {
			return fmt.Errorf("wal: no record of life %d at byte %d of the write", life, off)
		}
		end := off + recordHeaderSize + h.length
		if h.length > len(data)-off-recordHeaderSize {
			return fmt.Errorf("%w at byte %d of the write", errIncomplete, off)
		}
		r, err := decodeContent(life, &h, data[off+recordHeaderSize:end], scratch[:0])
		if err != nil {
			return fmt.Errorf("wal: %v at position %d: %w", h.kind, h.position, err)
		}
		if err := visit(r); err != nil {
			return err
		}
		scratch = r.Entries
		if h.flags&flagLastOfWrite != 0 {
			return nil
		}
		off = end
	}
	return errIncomplete
}

// decodeContent checks and decodes the content of a record. Entries are appended to scratch.
func decodeContent(
	life uint64, h *recordHeader, content []byte, scratch []raft.Entry,
) (Record, error) {
	r := Record{Type: h.kind, Position: h.position, Synced: h.synced, Hard: h.hard,
		Oldest: h.oldest}
	if got := checksum(life, content); got != h.crc {
		return r, fmt.Errorf("content has checksum %08x, expected %08x", got, h.crc)
	}
	var err error
	le := binary.LittleEndian
	switch h.kind {
	case RecordStart:
		if len(content) < startContentSize {
			return r, fmt.Errorf("content has %d bytes, expected at least %d", len(content),
				startContentSize)
		}
		r.Incarnation = raft.Incarnation(le.Uint64(content))
		r.Last = raft.Index(le.Uint64(content[8:]))
		r.LastTerm = raft.Term(le.Uint64(content[16:]))
		r.Snapshot, err = decodeSnapshot(content[24:])
	case RecordBatch:
		r.Entries, err = decodeEntries(content, scratch)
	case RecordIncarnation:
		if len(content) != 8 {
			return r, fmt.Errorf("content has %d bytes, expected 8", len(content))
		}
		r.Incarnation = raft.Incarnation(le.Uint64(content))
	case RecordSnapshot:
		if r.Snapshot, err = decodeSnapshot(content); err == nil && r.Snapshot.Index == 0 {
			err = errors.New("snapshot at index 0")
		}
	case RecordHardState, RecordMark:
		if len(content) != 0 {
			err = fmt.Errorf("content has %d bytes, expected none", len(content))
		}
	}
	return r, err
}

func decodeEntries(content []byte, into []raft.Entry) ([]raft.Entry, error) {
	if len(content) == 0 {
		return into, errors.New("batch without entries")
	}
	for rest := content; len(rest) > 0; {
		var e raft.Entry
		var err error
		if e, rest, err = raft.DecodeEntry(rest); err != nil {
			return into, err
		}
		if n := len(into); n > 0 && e.Index != into[n-1].Index+1 {
			return into, fmt.Errorf("entry %d follows entry %d", e.Index, into[n-1].Index)
		}
		if e.Index == 0 {
			return into, errors.New("entry with index 0")
		}
		into = append(into, e)
	}
	return into, nil
}

func encodeSnapshot(buf []byte, s *raft.Snapshot) []byte {
	buf = binary.LittleEndian.AppendUint64(buf, uint64(s.Index))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(s.Term))
	if s.Index == 0 {
		return buf
	}
	return raft.EncodeConfig(buf, s.Config)
}

func decodeSnapshot(content []byte) (s raft.Snapshot, err error) {
	if len(content) < 16 {
		return s, fmt.Errorf("snapshot has %d bytes, expected at least 16", len(content))
	}
	s.Index = raft.Index(binary.LittleEndian.Uint64(content))
	s.Term = raft.Term(binary.LittleEndian.Uint64(content[8:]))
	switch {
	case s.Index != 0:
		s.Config, err = raft.DecodeConfig(content[16:])
	case s.Term != 0 || len(content) != 16:
		err = errors.New("snapshot at index 0 is not empty")
	}
	return s, err
}
