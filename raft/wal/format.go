package wal

// The durable form of the log. Numbers are little-endian.
//
// A log is a directory of segment files `<sequence, 16 hex digits>.wal`. A file gets that name only
// after its header is durable, so a segment whose header does not check is damaged, never torn.
// `<sequence>.new` is a file in preparation and no part of the log.
//
//	segment file
//	+-----------------+---------------------------+---------------------------+-----
//	| header, padded  | write: record record pad  | write: record pad         | ...
//	+-----------------+---------------------------+---------------------------+-----
//	0                 sector                      k*sector                    m*sector
//
//	file header, 96 bytes, the same place and checksum in every version
//	 0 magic "detcdWAL"  8 version u32   12 cipher u32   16 key id u64   24 nonce 16 bytes
//	40 life u64         48 cluster u64   56 member u64   64 sequence u64
//	72 position u64: no record in this life of the file has a lower one
//	80 sector u32       84 zero 8 bytes  92 CRC32C of bytes 0..91
//
// The life seeds the checksums of the file's records: a recycled file gets a new life, and what
// older lives left in it can never pass for a record, nor can what a client stored. It is the
// sequence number, which is never used twice, mixed with a nonce; who reads needs the life alone.
//
//	record header, 64 bytes, followed by the content
//	 0 CRC32C of bytes 4..63, seeded   4 CRC32C of the content, seeded   8 content length u32
//	12 type u8   13 flags u8 (1: last of its write)   14 zero u16
//	16 position u64   24 synced u64
//	32 term u64   40 vote u64   48 commit u64: the hard state in force after this record
//	56 oldest u64: sequence of the oldest segment that recovery needs
//
//	type             content
//	 1 segment start  incarnation u64, last index u64, its term u64, snapshot index u64, its term
//	                  u64, encoded configuration of the snapshot (empty if there is none)
//	 2 batch          encoded entries, one after the other
//	 3 hard state     nothing
//	 4 incarnation    incarnation u64
//	 5 snapshot       index u64, term u64, encoded configuration
//	 6 sync mark      nothing
//
// Positions number the records 1, 2, 3, ... of the log. `synced` is the position up to which the
// log was known to be durable when the record was issued. So the highest `synced` found anywhere
// divides history: up to it everything must be intact, or it is damage; what follows may be torn.
//
// The first record of every segment is a segment start: with it the log can be read from that
// segment on. Its position may be lower than the end of the segment before: it then replaces
// everything from that position on (recovery does this with what it read but cannot know to be
// durable). Its `synced` is always its own position minus one.
//
// The header has its own checksum so that the length and `synced` of a record whose content is
// damaged can still be trusted, and so that looking for the next record after a damaged spot costs
// 64 bytes per sector. Writes start at sector boundaries, so that durable data never shares a
// sector with data written later, and that is where the search finds them.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/detcd/detcd/raft"
)

const (
	headerMagic      = "detcdWAL"
	headerSize       = 96
	formatVersion    = 1
	cipherNone       = 0
	recordHeaderSize = 64
	startContentSize = 40
	flagLastOfWrite  = 1

	suffixSegment = ".wal"
	suffixNew     = ".new"
)

// Position numbers the records of a log from 1.
type Position uint64

// RecordType says what a record holds.
type RecordType uint8

// The record types.
const (
	_                 RecordType = iota
	RecordStart                  // first of a segment: all that older segments had to say
	RecordBatch                  // entries; a first index at or below the last one cuts the tail
	RecordHardState              // only the hard state of the record header
	RecordIncarnation            // a start of the member
	RecordSnapshot               // the log starts anew after a snapshot
	RecordMark                   // only the `synced` of the record header
	numRecordTypes
)

// String names the type as messages do.
func (t RecordType) String() string {
	names := [...]string{"?", "segment start", "batch", "hard state", "incarnation", "snapshot",
		"sync mark"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Header is the header of a segment file.
type Header struct {
	Version  uint32
	Cipher   uint32
	KeyID    uint64
	Nonce    [16]byte
	Life     uint64
	Cluster  uint64
	Member   raft.MemberID
	Sequence uint64
	Position Position
	Sector   uint32
}

// encodeHeader appends h, padded to its sector, to buf.
func encodeHeader(buf []byte, h *Header) []byte {
	start := len(buf)
	le := binary.LittleEndian
	buf = append(buf, headerMagic...)
	buf = le.AppendUint32(buf, h.Version)
	buf = le.AppendUint32(buf, h.Cipher)
	buf = le.AppendUint64(buf, h.KeyID)
	buf = append(buf, h.Nonce[:]...)
	buf = le.AppendUint64(buf, h.Life)
	buf = le.AppendUint64(buf, h.Cluster)
	buf = le.AppendUint64(buf, uint64(h.Member))
	buf = le.AppendUint64(buf, h.Sequence)
	buf = le.AppendUint64(buf, uint64(h.Position))
	buf = le.AppendUint32(buf, h.Sector)
	buf = append(buf, make([]byte, 8)...)
	buf = le.AppendUint32(buf, checksum(0, buf[start:]))
	return append(buf, make([]byte, int(h.Sector)-headerSize)...)
}

// DecodeHeader reads the header of a segment file from the start of data: the write at offset 0 of
// a file, which tells the life that DecodeBatch needs for the later writes. The error is a
// *DamageError or *FormatError without a file name.
func DecodeHeader(data []byte) (Header, error) {
	le := binary.LittleEndian
	if len(data) < headerSize || string(data[:8]) != headerMagic {
		return Header{}, &DamageError{Reason: "no segment header"}
	}
	if got, want := checksum(0, data[:92]), le.Uint32(data[92:]); got != want {
		return Header{}, &DamageError{Reason: fmt.Sprintf(
			"segment header has checksum %08x, its content %08x", want, got)}
	}
	h := Header{
		Version:  le.Uint32(data[8:]),
		Cipher:   le.Uint32(data[12:]),
		KeyID:    le.Uint64(data[16:]),
		Nonce:    [16]byte(data[24:40]),
		Life:     le.Uint64(data[40:]),
		Cluster:  le.Uint64(data[48:]),
		Member:   raft.MemberID(le.Uint64(data[56:])),
		Sequence: le.Uint64(data[64:]),
		Position: Position(le.Uint64(data[72:])),
		Sector:   le.Uint32(data[80:]),
	}
	if h.Version != formatVersion || h.Cipher != cipherNone {
		return h, &FormatError{Version: h.Version, Cipher: h.Cipher}
	}
	if h.Sector < headerSize || h.Sector > 1<<16 || h.Sector&(h.Sector-1) != 0 {
		return h, &DamageError{Reason: fmt.Sprintf("sector size %d", h.Sector)}
	}
	return h, nil
}

// recordHeader is the fixed part of a record.
type recordHeader struct {
	crc      uint32 // of the content
	length   int    // of the content
	kind     RecordType
	flags    uint8
	position Position
	synced   Position
	hard     raft.HardState
	oldest   uint64
}

// putRecordHeader fills the first 64 bytes of a record whose content follows them.
func putRecordHeader(rec []byte, life uint64, h *recordHeader) {
	le := binary.LittleEndian
	content := rec[recordHeaderSize:]
	le.PutUint32(rec[4:], checksum(life, content))
	le.PutUint32(rec[8:], uint32(len(content)))
	rec[12], rec[13], rec[14], rec[15] = byte(h.kind), h.flags, 0, 0
	le.PutUint64(rec[16:], uint64(h.position))
	le.PutUint64(rec[24:], uint64(h.synced))
	le.PutUint64(rec[32:], uint64(h.hard.Term))
	le.PutUint64(rec[40:], uint64(h.hard.Vote))
	le.PutUint64(rec[48:], uint64(h.hard.Commit))
	le.PutUint64(rec[56:], h.oldest)
	le.PutUint32(rec[0:], checksum(life, rec[4:recordHeaderSize]))
}

// getRecordHeader reads a record header and says whether it is one of this life.
func getRecordHeader(rec []byte, life uint64) (recordHeader, bool) {
	le := binary.LittleEndian
	if len(rec) < recordHeaderSize {
		return recordHeader{}, false
	}
	kind := RecordType(rec[12])
	if kind == 0 || kind >= numRecordTypes || rec[14] != 0 || rec[15] != 0 ||
		le.Uint32(rec) != checksum(life, rec[4:recordHeaderSize]) {
		return recordHeader{}, false
	}
	return recordHeader{
		crc:      le.Uint32(rec[4:]),
		length:   int(le.Uint32(rec[8:])),
		kind:     kind,
		flags:    rec[13],
		position: Position(le.Uint64(rec[16:])),
		synced:   Position(le.Uint64(rec[24:])),
		hard: raft.HardState{
			Term:   raft.Term(le.Uint64(rec[32:])),
			Vote:   raft.MemberID(le.Uint64(rec[40:])),
			Commit: raft.Index(le.Uint64(rec[48:])),
		},
		oldest: le.Uint64(rec[56:]),
	}, true
}

// checksum is CRC32C with the life as the initial register: equal bytes of two lives never have
// equal checksums.
func checksum(life uint64, b []byte) uint32 {
	return crc32.Update(uint32(life)^uint32(life>>32), crc32.MakeTable(crc32.Castagnoli), b)
}

// nonceFor is for a cipher: another one for every life of every file of a cluster. It is drawn from
// identity and life, not from chance, because the log is deterministic.
func nonceFor(h *Header) (n [16]byte) {
	binary.LittleEndian.PutUint64(n[:], h.Cluster^uint64(h.Member)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(n[8:], h.Life)
	return n
}

func alignUp(n int64, sector int64) int64 { return (n + sector - 1) / sector * sector }

func fileName(dir string, sequence uint64, suffix string) string {
	return fmt.Sprintf("%s/%016x%s", dir, sequence, suffix)
}

// parseName splits a base name into sequence and suffix; ok is false for foreign files.
func parseName(base string) (sequence uint64, suffix string, ok bool) {
	for _, suffix := range [...]string{suffixSegment, suffixNew} {
		digits, found := strings.CutSuffix(base, suffix)
		if !found || len(digits) != 16 {
			continue
		}
		n, err := strconv.ParseUint(digits, 16, 64)
		return n, suffix, err == nil && strings.ToLower(digits) == digits && n != 0
	}
	return 0, "", false
}
