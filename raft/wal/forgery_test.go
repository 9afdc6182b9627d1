package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

// tornBy returns the log as a power loss leaves it that hits the write of one entry: all of it
// reaches the disk but its first sector. At every sector of the file that the entry's data covers
// it holds what forge returns.
func tornBy(t *testing.T, forge func(w *world, next Position) []byte) (flatDisk, *world) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	w.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true,
		Entries: []raft.Entry{{Index: 1, Term: 1, Type: raft.EntryNormal}}})
	w.drain()
	d := flatten(t, w)
	e := raft.Entry{Index: 2, Term: 1, Type: raft.EntryNormal, Data: make([]byte, 1500)}
	lead := recordHeaderSize + e.Size() - len(e.Data)
	for at := 512; at+512 < lead+len(e.Data); at += 512 {
		copy(e.Data[at-lead:], forge(w, w.log.next))
	}
	told := len(w.issued)
	w.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true, Entries: []raft.Entry{e}})
	for _, op := range w.issued[told:] {
		if op.Kind == diskio.Write {
			copy(d[op.File][op.Offset+512:], op.Data[512:])
		}
	}
	return d, w
}

// witness is a record that claims everything before it to be durable.
func witness(life uint64, p Position) []byte {
	b := make([]byte, recordHeaderSize)
	putRecordHeader(b, life, &recordHeader{kind: RecordMark, flags: flagLastOfWrite, position: p,
		synced: p - 1})
	return b
}

func requireOnlyTorn(t *testing.T, d flatDisk, w *world) {
	_, rec, err := Open(d, w.opt)
	require.NoError(t, err)
	require.Equal(t, raft.Index(1), rec.Last)
}

// Clients choose values, and know everything that a log counts: a value with what a record would
// look like must not make a torn write look like damage.
func TestRecordsInsideAValueAreNotBelieved(t *testing.T) {
	d, w := tornBy(t, func(w *world, next Position) []byte {
		return witness(w.log.segments.active().sequence, next+2)
	})
	requireOnlyTorn(t, d, w)
}

// Even whoever knew the life could not claim more records than fit into the bytes.
func TestImpossiblePositionsAreNotBelieved(t *testing.T) {
	d, w := tornBy(t, func(w *world, next Position) []byte {
		return witness(w.log.segments.active().life, next+1000)
	})
	requireOnlyTorn(t, d, w)
}

// The same log writes other lives under another nonce, and in another incarnation.
func TestLivesFollowTheNonce(t *testing.T) {
	lives := map[uint64]bool{}
	for nonce := range uint64(3) {
		opt := smallOptions()
		opt.Nonce = nonce
		w := newWorld(t, opt, simdisk.Options{Seed: 7, Sector: 512})
		w.drain()
		for range 3 {
			for _, seg := range append(w.log.segments.spares, *w.log.segments.active()) {
				require.NotEqual(t, seg.sequence, seg.life)
				lives[seg.life] = true
			}
			w.open()
			w.drain()
		}
	}
	require.Len(t, lives, 3*3*3)
}
