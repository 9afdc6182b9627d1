// Package etcdwal reads the log of an etcd that is stopped: what its database does not hold yet.
//
// A stopped etcd's database may lag behind its log by what was acknowledged in the last moments
// before the process ended, and by much more after a crash. Whoever takes the database alone loses
// that. The format is etcd's:
//
//	file      <sequence, 16 hex>-<first index, 16 hex>.wal, records, then zeros
//	record    8 bytes little-endian: length in the low 56 bits, top byte 0x80 | padding (or 0)
//	          protobuf {1 type, 2 CRC32C, 3 data} | padding to 8 bytes
//	types     1 metadata {1 node, 2 cluster}   2 entry {1 type, 2 term, 3 index, 4 data}
//	          3 hard state {1 term, 2 vote, 3 commit}   4 checksum   5 snapshot {1 index, 2 term}
//
// The checksum of a record continues that of the one before, through all files; a record of type 4
// begins each file with the checksum so far. An entry at or below the last index replaces that one
// and all after it.
//
// The log may end in the middle of a write. Such a tail is cut, as etcd does at its next start:
// only in the last file, and only if a whole sector of the record is zeros or the file ends in it,
// which is what a write that was cut short looks like. Everything else is damage.
//
// It does not handle etcd's database, nor the log's encryption or repair.
package etcdwal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The types of record.
const (
	typeMetadata = 1
	typeEntry    = 2
	typeState    = 3
	typeChecksum = 4
	typeSnapshot = 5
)

const (
	suffix      = ".wal"
	frameBytes  = 8
	sectorBytes = 512
	// maxRecord bounds a record; etcd refuses requests that are nearly as long.
	maxRecord = 1 << 28
)

// EntryNormal is the type of entries that hold a request; others change the membership.
const EntryNormal = 0

// Entry is an entry of etcd's log.
type Entry struct {
	Term, Index uint64
	Type        uint64
	Data        []byte
}

// Log is what a log holds beyond an index.
type Log struct {
	Node, Cluster uint64
	// Commit is the highest index that the log itself knows to be committed.
	Commit uint64
	// Entries are consecutive and begin right after the index that was asked for.
	Entries []Entry
	// TornBytes is the length of the tail that was cut.
	TornBytes int64
}

// DamageError says what is wrong, where.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

// Error says what is wrong.
func (e *DamageError) Error() string {
	return fmt.Sprintf("etcdwal: damaged log file %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Read reads the log in a directory, from the entry after index on. It is an error if that entry
// has been there and is gone.
func Read(dir string, after uint64) (*Log, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	r := &reader{log: &Log{}, after: after}
	for i, name := range names {
		r.last = i == len(names)-1
		if err := r.file(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if r.gap != 0 {
		return nil, fmt.Errorf("etcdwal: the log goes on after index %d, the database ends at %d: "+
			"start etcd once, and stop it, to bring them together", r.gap, after)
	}
	return r.log, nil
}

// files lists the log's files in order.
func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	var sequences []uint64
	for _, e := range entries {
		var sequence, index uint64
		base, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok {
			continue // a file in preparation, or foreign
		}
		n, err := fmt.Sscanf(base, "%016x-%016x", &sequence, &index)
		if err != nil || n != 2 || len(base) != 33 {
			continue
		}
		names, sequences = append(names, e.Name()), append(sequences, sequence)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("etcdwal: %s holds no log", dir)
	}
	for i := 1; i < len(sequences); i++ {
		if sequences[i] != sequences[i-1]+1 {
			return nil, fmt.Errorf("etcdwal: a log file is missing between %s and %s", names[i-1],
				names[i])
		}
	}
	return names, nil
}

// reader follows the records through the files.
type reader struct {
	log   *Log
	after uint64
	crc   uint32
	seen  bool // a record of this log, so that crc means something
	last  bool // no file follows
	index uint64
	// gap is where the entries go on when some after the index that was asked for are missing.
	gap uint64
}

func (r *reader) file(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return r.records(filepath.Base(path), f, info.Size())
}

// records reads one file.
func (r *reader) records(name string, in io.ReaderAt, size int64) error {
	var buf []byte
	for off := int64(0); off+frameBytes <= size; {
		var frame [frameBytes]byte
		if _, err := in.ReadAt(frame[:], off); err != nil {
			return err
		}
		word := binary.LittleEndian.Uint64(frame[:])
		if word == 0 {
			return nil // room that was prepared
		}
		length, padding := int64(word&(1<<56-1)), int64(0)
		if top := byte(word >> 56); top&0x80 != 0 {
			padding = int64(top & 7)
		}
		end := off + frameBytes + length + padding
		if length > maxRecord || end > size {
			return r.torn(name, off, size, length <= maxRecord, fmt.Sprintf("record of %d bytes",
				length))
		}
		if int64(cap(buf)) < length {
			buf = make([]byte, length)
		}
		buf = buf[:length]
		if _, err := in.ReadAt(buf, off+frameBytes); err != nil {
			return err
		}
		if reason := r.record(buf); reason != "" {
			return r.torn(name, off, end, hasZeroSector(buf, off+frameBytes), reason)
		}
		off = end
	}
	return nil
}

// torn judges a record that cannot be read.
func (r *reader) torn(name string, off, end int64, cutShort bool, reason string) error {
	if r.last && cutShort {
		r.log.TornBytes = end - off
		return nil
	}
	return &DamageError{File: name, Offset: off, Reason: reason}
}

// hasZeroSector says whether a sector that the record touches holds nothing of it.
func hasZeroSector(record []byte, off int64) bool {
	for len(record) > 0 {
		n := min(sectorBytes-off%sectorBytes, int64(len(record)))
		if !slices.ContainsFunc(record[:n], func(b byte) bool { return b != 0 }) {
			return true
		}
		record, off = record[n:], off+n
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record takes one record; the reason says why it cannot be one.
func (r *reader) record(raw []byte) (reason string) {
	var kind, sum uint64
	var data []byte
	err := fields(raw, func(number protowire.Number, v uint64, b []byte) {
		switch number {
		case 1:
			kind = v
		case 2:
			sum = v
		case 3:
			data = b
		}
	})
	if err != nil {
		return err.Error()
	}
	if kind == typeChecksum {
		if r.seen && r.crc != uint32(sum) {
			return fmt.Sprintf("the file continues checksum %08x, the log has %08x", sum, r.crc)
		}
		r.crc, r.seen = uint32(sum), true
		return ""
	}
	crc := crc32.Update(r.crc, castagnoli, data)
	if crc != uint32(sum) {
		return fmt.Sprintf("checksum %08x, expected %08x", crc, sum)
	}
	r.crc, r.seen = crc, true
	switch kind {
	case typeMetadata:
		err = fields(data, func(number protowire.Number, v uint64, _ []byte) {
			switch number {
			case 1:
				r.log.Node = v
			case 2:
				r.log.Cluster = v
			}
		})
	case typeEntry:
		err = r.entry(data)
	case typeState:
		err = fields(data, func(number protowire.Number, v uint64, _ []byte) {
			if number == 3 {
				r.log.Commit = v
			}
		})
	case typeSnapshot:
		err = r.snapshot(data)
	default:
		return fmt.Sprintf("record of unknown type %d", kind)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// entry takes an entry; those up to the index that was asked for are passed.
func (r *reader) entry(data []byte) error {
	var e Entry
	err := fields(data, func(number protowire.Number, v uint64, b []byte) {
		switch number {
		case 1:
			e.Type = v
		case 2:
			e.Term = v
		case 3:
			e.Index = v
		case 4:
			e.Data = slices.Clone(b)
		}
	})
	switch {
	case err != nil:
		return err
	case e.Index == 0 || e.Term == 0:
		return fmt.Errorf("entry %d of term %d", e.Index, e.Term)
	case r.index != 0 && e.Index > r.index+1:
		return fmt.Errorf("entry %d after entry %d", e.Index, r.index)
	}
	r.index = e.Index
	if e.Index <= r.after {
		r.log.Entries, r.gap = nil, 0
		return nil
	}
	at := e.Index - r.after - 1
	if at > uint64(len(r.log.Entries)) {
		r.gap = e.Index
		return nil
	}
	r.log.Entries = append(r.log.Entries[:at], e)
	return nil
}

// snapshot takes a marker: entries up to it may be missing, they are in the database.
func (r *reader) snapshot(data []byte) error {
	var index uint64
	err := fields(data, func(number protowire.Number, v uint64, _ []byte) {
		if number == 1 {
			index = v
		}
	})
	if index > r.index {
		r.index = index
		if index > r.after {
			r.gap = index
		}
	}
	return err
}

var errFields = errors.New("not a protobuf message")

// fields visits the fields of a message that are numbers or bytes.
func fields(raw []byte, visit func(number protowire.Number, v uint64, b []byte)) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return errFields
		}
		raw = raw[n:]
		var v uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return errFields
		}
		visit(number, v, b)
		raw = raw[n:]
	}
	return nil
}
