package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The durable and wire form of an entry: a header of 64 bytes, then the data. All numbers are
// little-endian. The checksum covers everything after itself, so that an entry found on disk or in
// a message is either the one that its leader created, or recognizably not.
//
//	offset  0        4        8               16              24              32
//	        | CRC32C | length | term          | index         | proposer      |
//	       32              40              48              56      57     58           64
//	        | incarnation   | sequence      | time          | type  | form | 0 0 0 0 0 0 | data
//
// length counts the data only. form is the version of this layout. A proposal under way has term
// and index 0.

const (
	entryHeaderSize = 64
	entryForm       = 1
)

// crcTable is read-only.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// The ways in which an encoding can be wrong; each is wrapped with the place.
var (
	errShort    = errors.New("raft: input ends too early")
	errTrailing = errors.New("raft: input goes on after the end")
	errChecksum = errors.New("raft: checksum differs")
	errForm     = errors.New("raft: unknown form")
	errReserved = errors.New("raft: reserved bytes are not zero")
	errRange    = errors.New("raft: value out of range")
)

// EncodeEntry appends e's durable and wire form to buf: a fixed header of 64 bytes (term, index,
// type, proposer, incarnation, sequence, time, data length, CRC32C of header and data), then the
// data.
func EncodeEntry(buf []byte, e *Entry) []byte {
	if uint64(len(e.Data)) > 1<<32-1 {
		panic(fmt.Sprintf("raft: entry %d of %d bytes", e.Index, len(e.Data)))
	}
	start := len(buf)
	le := binary.LittleEndian
	buf = le.AppendUint32(buf, 0)
	buf = le.AppendUint32(buf, uint32(len(e.Data)))
	for _, v := range [...]uint64{
		uint64(e.Term), uint64(e.Index), uint64(e.Proposer), uint64(e.Incarnation),
		uint64(e.Sequence), uint64(e.Time),
	} {
		buf = le.AppendUint64(buf, v)
	}
	buf = append(buf, byte(e.Type), entryForm, 0, 0, 0, 0, 0, 0)
	buf = append(buf, e.Data...)
	le.PutUint32(buf[start:], crc32.Checksum(buf[start+4:], crcTable))
	return buf
}

// DecodeEntry reads one entry from the start of buf and returns the rest. The entry's Data aliases
// buf.
func DecodeEntry(buf []byte) (e Entry, rest []byte, err error) {
	if len(buf) < entryHeaderSize {
		return Entry{}, nil, errShort
	}
	le := binary.LittleEndian
	size := uint64(le.Uint32(buf[4:]))
	if size > uint64(len(buf)-entryHeaderSize) {
		return Entry{}, nil, errShort
	}
	end := entryHeaderSize + int(size)
	if le.Uint32(buf) != crc32.Checksum(buf[4:end], crcTable) {
		return Entry{}, nil, errChecksum
	}
	if buf[57] != entryForm {
		return Entry{}, nil, errForm
	}
	if le.Uint64(buf[56:])>>16 != 0 {
		return Entry{}, nil, errReserved
	}
	if buf[56] == 0 {
		return Entry{}, nil, errRange
	}
	e = Entry{
		Term:        Term(le.Uint64(buf[8:])),
		Index:       Index(le.Uint64(buf[16:])),
		Proposer:    MemberID(le.Uint64(buf[24:])),
		Incarnation: Incarnation(le.Uint64(buf[32:])),
		Sequence:    Sequence(le.Uint64(buf[40:])),
		Time:        int64(le.Uint64(buf[48:])),
		Type:        EntryType(buf[56]),
	}
	if size > 0 {
		e.Data = buf[entryHeaderSize:end:end]
	}
	return e, buf[end:], nil
}
