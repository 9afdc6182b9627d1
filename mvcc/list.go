package mvcc

// A list writes a range read as it goes over the wire: KeyValues as fields of a message, gathered
// into buffers of a size that suits a transport. Keys come in key order, their records lie in the
// order of their revisions; reading record by record, or piece by piece, would cost a system call
// per key once keys were written in another order than theirs. But a record's length is known
// without reading it. So the answer's place for each record is laid out first, and then files are
// read once, front to back, through one buffer: each record is verified and copied to its place.
//
// A list goes in windows, so that what it needs beside the answer stays small. That, and the
// answer's memory, it may borrow: clearing and collecting a list's memory costs as much as reading
// its records.

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/detcd/detcd/mvcc/revlog"
)

// listWindow is the number of keys that are laid out at a time; each takes about 60 bytes then.
const listWindow = 1 << 17

// spareBytes are left unused at the end of a list's last piece, for what the caller adds.
const spareBytes = 32

// Lists says whether List can answer q: Walk could, and records are wanted.
func (q *Query) Lists() bool { return q.Walks() && !q.KeysOnly && len(q.End) > 0 }

// lentBytes is the size from which a piece of an answer is worth borrowing.
const lentBytes = 8 << 10

// Buffers lends memory for the pieces of answers.
type Buffers interface {
	// Take returns a slice without content that has room for size bytes at least. It belongs to
	// the answer; whoever has sent that may use it again.
	Take(size int) []byte
}

// Scratch is what lists borrow: working space that one List after the other uses, and buffers for
// their answers. The zero value works; Buffers nil means that answers get memory of their own. Only
// one List may use it at a time.
type Scratch struct {
	Buffers Buffers

	lent    bool // something was borrowed since Lent was asked
	hits    []hit
	revs    []Rev
	lengths []uint32
	spots   []spot
	records revlog.Scratch
}

// Lent says whether anything was borrowed since it was asked last. All pieces of such an answer are
// the answer's alone; any other answer may consist of what is stored.
func (s *Scratch) Lent() bool {
	lent := s.lent
	s.lent = false
	return lent
}

// room returns an empty slice for size bytes of an answer.
func (s *Scratch) room(size int) []byte {
	if s.Buffers != nil && size >= lentBytes {
		s.lent = true
		return s.Buffers.Take(size)
	}
	return make([]byte, 0, size)
}

// spot is where a record belongs in a list's answer.
type spot struct {
	piece uint32
	off   uint32
}

// List returns q's answer as fields with the given tag (one byte: number and wire type), in pieces
// of about pieceBytes; no field spans two. The first piece starts with head, and the last one has
// room for a few bytes more. It panics if q does not List.
func (v *View) List(q *Query, tag byte, head []byte, pieceBytes int, scratch *Scratch) (
	pieces [][]byte, count int64, more bool, err error) {
	return v.list(q, tag, head, pieceBytes, listWindow, scratch)
}

func (v *View) list(q *Query, tag byte, head []byte, pieceBytes, window int, scratch *Scratch) (
	pieces [][]byte, count int64, more bool, err error) {
	if !q.Lists() {
		panic(fmt.Sprintf("mvcc: list of a query with order %d, target %d", q.Order, q.Target))
	}
	rev, err := v.at(q.Rev)
	if err != nil {
		return nil, 0, false, err
	}
	l := list{pieces: [][]byte{head}, tag: tag, pieceBytes: pieceBytes, scratch: scratch}
	from, to, ok := Bounds(q.Key, q.End)
	for rest := q.Limit; ok; {
		most := window
		if q.Limit > 0 {
			most = int(min(rest, int64(window)))
		}
		revs := scratch.revs[:0]
		ok = false
		span(v.tree, from, to, func(b *block, lo, hi int) bool {
			for i := lo; i < hi; i++ {
				found, live := b.liveAt(i, rev)
				if !live {
					continue
				}
				if len(revs) == most {
					from, ok = b.key(i), true
					return false
				}
				revs = append(revs, found.rev())
			}
			return true
		})
		scratch.revs = revs
		if _, _, err := l.window(v, math.MaxInt64); err != nil {
			return nil, 0, false, err
		}
		if rest -= int64(len(revs)); q.Limit > 0 && rest == 0 {
			break
		}
	}
	count = v.count(q.Key, q.End, rev)
	return l.pieces, count, q.Limit > 0 && count > q.Limit, nil
}

// list is an answer in the making.
type list struct {
	pieces     [][]byte // the last one is open until the next window
	tag        byte
	pieceBytes int
	scratch    *Scratch // its lists are those of the current window
}

// window adds the records at scratch.revs: the first ones, as many as have no more than room bytes,
// but one at least. It says how many that are, and their bytes.
func (l *list) window(v *View, room int64) (n int, bytes int64, err error) {
	s := l.scratch
	all := len(s.revs)
	if cap(s.lengths) < all {
		s.lengths, s.spots = make([]uint32, all), make([]spot, all)
	}
	s.lengths = s.lengths[:all]
	batch := v.snap.Batch(s.revs, s.lengths, &s.records)
	for ; n < all && (n == 0 || bytes+int64(s.lengths[n]) <= room); n++ {
		bytes += int64(s.lengths[n])
	}
	batch.Cut(n)
	s.lengths, s.spots = s.lengths[:n], s.spots[:n]
	l.layOut()
	err = batch.Read(func(i int, kv []byte) {
		at := s.spots[i]
		copy(l.pieces[at.piece][at.off:], kv)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("mvcc: list %d records: %w", n, err)
	}
	return n, bytes, nil
}

// layOut makes the pieces for the window, writes what stands before each record, and notes where
// the records belong.
func (l *list) layOut() {
	open, lengths, spots := len(l.pieces)-1, l.scratch.lengths, l.scratch.spots
	piece := l.pieces[open]
	for i := 0; i < len(lengths); {
		// As many fields as fit into one piece, at least one.
		size, end := len(piece), i
		for ; end < len(lengths); end++ {
			field := bytesSize(int(lengths[end]))
			if size+field > l.pieceBytes && (end > i || size > 0) {
				break
			}
			size += field
		}
		if size > cap(piece) {
			piece = append(l.scratch.room(size+spareBytes), piece...)
		}
		for ; i < end; i++ {
			piece = append(piece, l.tag)
			piece = binary.AppendUvarint(piece, uint64(lengths[i]))
			spots[i] = spot{uint32(open), uint32(len(piece))}
			piece = piece[:len(piece)+int(lengths[i])]
		}
		l.pieces[open] = piece
		if i < len(lengths) {
			l.pieces, open, piece = append(l.pieces, nil), open+1, nil
		}
	}
}
