package revlog

// The bytes of headers and records, and nothing that reads or writes files. All integers are
// little-endian. Invariant: a decoder looks at no byte beyond what it was given, allocates nothing
// that depends on an unchecked number, and says in words what is wrong.
//
// Header of every file (64 bytes; a segment's is padded with zeros to 512):
//
//	 0        8         12     13      16       20       24        40     48       60    64
//	 +--------+---------+------+-------+--------+--------+---------+------+--------+-----+
//	 | magic  | version | kind | zeros | cipher | key id | nonce   | life | zeros  | crc |
//	 +--------+---------+------+-------+--------+--------+---------+------+--------+-----+
//
// The header's checksum comes before its version is believed, so that a flipped bit is damage and
// never "written by a newer version". Its layout up to the version, and its checksum, are fixed
// for all versions.
//
// Record (in segments and in the chunks of a shipment):
//
//	 0     4        8      16    20     21
//	 +-----+--------+------+-----+------+----------+
//	 | crc | length | main | sub | kind | KeyValue |
//	 +-----+--------+------+-----+------+----------+
//
// length is the KeyValue's; crc is CRC32C over everything after it, seeded with the file's life,
// so that a record of another file (or of a former life of this one) never verifies. Records
// follow each other without padding up to the end of the file.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	formatVersion = 1
	cipherNone    = 0
	magic         = "detcdrev"
	headerBytes   = 64
	segmentStart  = 512 // offset of a segment's first record
	recordHeader  = 21
)

// fileKind tells the files apart, so that one copied over the other is noticed.
type fileKind byte

const (
	kindSegment  fileKind = 'S'
	kindState    fileKind = 'T'
	kindManifest fileKind = 'M'
)

// castagnoli is read only.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// seedOf is the value that a file's checksums start from.
func seedOf(life uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], life)
	return checksum(0, b[:])
}

// putHeader fills the first headerBytes of b, which must be zero.
func putHeader(b []byte, kind fileKind, life uint64) {
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	b[12] = byte(kind)
	binary.LittleEndian.PutUint32(b[16:], cipherNone)
	binary.LittleEndian.PutUint64(b[40:], life)
	binary.LittleEndian.PutUint32(b[60:], checksum(0, b[:60]))
}

// parseHeader returns the life of a file, or *DamageError, or *FormatError.
func parseHeader(file string, b []byte, kind fileKind) (life uint64, err error) {
	if len(b) < headerBytes {
		return 0, &DamageError{file, int64(len(b)), "file ends inside its header"}
	}
	if string(b[:8]) != magic {
		return 0, &DamageError{file, 0, "no magic number"}
	}
	if have, want := checksum(0, b[:60]), binary.LittleEndian.Uint32(b[60:]); have != want {
		return 0, &DamageError{file, 60, fmt.Sprintf("header checksum %08x, want %08x", have, want)}
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return 0, &FormatError{file, "format version", v, formatVersion}
	}
	if c := binary.LittleEndian.Uint32(b[16:]); c != cipherNone {
		return 0, &FormatError{file, "cipher", c, cipherNone}
	}
	if fileKind(b[12]) != kind {
		return 0, &DamageError{file, 12, fmt.Sprintf("file of kind %q, want %q", b[12], byte(kind))}
	}
	return binary.LittleEndian.Uint64(b[40:]), nil
}

// putRecord encodes a record into b, which has exactly its size.
func putRecord(b []byte, seed uint32, rev Rev, kind RecordKind, parts [][]byte) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-recordHeader))
	binary.LittleEndian.PutUint64(b[8:], uint64(rev.Main))
	binary.LittleEndian.PutUint32(b[16:], uint32(rev.Sub))
	b[20] = byte(kind)
	at := recordHeader
	for _, p := range parts {
		at += copy(b[at:], p)
	}
	binary.LittleEndian.PutUint32(b, checksum(seed, b[4:]))
}

// addSum continues a segment's sum, CRC32C over the checksums of all records, with a record.
func addSum(sum uint32, record []byte) uint32 { return checksum(sum, record[:4]) }

// recordSize is the size of the record whose header b starts with; b has at least recordHeader
// bytes. It is not yet verified.
func recordSize(b []byte) int64 {
	return recordHeader + int64(binary.LittleEndian.Uint32(b[4:]))
}

// parseRecord verifies the record that b holds, no more and no less. reason is empty when it is
// good. The record's KV aliases b.
func parseRecord(b []byte, seed uint32) (r Record, reason string) {
	if len(b) < recordHeader || recordSize(b) != int64(len(b)) {
		return r, "record's length does not fit"
	}
	crc := checksum(seed, b[4:])
	if want := binary.LittleEndian.Uint32(b); crc != want {
		return r, fmt.Sprintf("record checksum %08x, want %08x", crc, want)
	}
	r.Rev.Main = Revision(binary.LittleEndian.Uint64(b[8:]))
	r.Rev.Sub = int32(binary.LittleEndian.Uint32(b[16:]))
	r.Kind = RecordKind(b[20])
	r.KV = b[recordHeader:len(b):len(b)]
	if r.Rev.Main < 0 || r.Rev.Sub < 0 || r.Kind > Tombstone {
		return r, fmt.Sprintf("impossible record: revision %v, kind %d", r.Rev, r.Kind)
	}
	return r, ""
}
