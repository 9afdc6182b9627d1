package wal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

// typical is a log with every type of record in several segments, idle, marked and so known to be
// durable up to its last record but the mark.
func typical(t *testing.T) *world {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	hard := raft.HardState{Term: 1, Vote: 2}
	w.append(raft.Append{Hard: hard, MustSync: true})
	w.append(raft.Append{Hard: hard, MustSync: true, Snapshot: raft.Snapshot{Index: 10, Term: 1,
		Config: raft.Config{Voters: []raft.MemberID{1, 2, 3}}}})
	for i := range raft.Index(40) {
		hard.Commit = 10 + i
		w.append(raft.Append{Hard: hard, MustSync: true, Entries: []raft.Entry{{Term: 1,
			Index: 11 + i, Type: raft.EntryNormal, Data: make([]byte, 100+10*i)}}})
		if i%5 == 0 {
			w.drain()
		}
	}
	w.drain()
	w.mark()
	return w
}

func (w *world) mark() {
	for range 3 {
		w.log.Mark()
		w.flush()
		w.drain()
	}
}

// places lists the records of the log with their type and position.
func (w *world) places() (places []Place, records []Record) {
	require.NoError(w.t, Walk(w.disk, w.opt.Dir, func(p Place, r Record) error {
		r.Entries = nil
		places, records = append(places, p), append(records, r)
		return nil
	}))
	return places, records
}

// scribble writes straight to a file, durably.
func scribble(d *simdisk.Disk, op diskio.Op) {
	for _, op := range []diskio.Op{op, {Kind: diskio.Sync, File: op.File},
		{Kind: diskio.SyncDir, File: "wal"}} {
		d.Submit(op)
		d.Begin(op.Lane)
		d.Finish(op.Lane)
	}
}

func requireDamage(t *testing.T, disk diskio.Reader, opt Options, file, what string) {
	t.Helper()
	_, _, err := Open(disk, opt)
	var damage *DamageError
	require.True(t, errors.As(err, &damage), "%s: %v", what, err)
	require.NotEmpty(t, damage.Reason)
	if file != "" {
		require.Equal(t, file, damage.File, "%s: %v", what, err)
	}
}

func TestDamageBelowSyncedIsNeverCut(t *testing.T) {
	w := typical(t)
	places, records := w.places()
	types := map[RecordType]bool{}
	for i, r := range records[:len(records)-1] {
		types[r.Type] = true
		p := places[i]
		what := fmt.Sprintf("%v at position %d in %v", r.Type, r.Position, p)

		zero := w.disk.Clone()
		scribble(zero, diskio.Op{Kind: diskio.Write, File: p.File, Offset: p.Offset / 512 * 512,
			Data: make([]byte, 512)})
		requireDamage(t, zero, w.opt, p.File, "zeroed sector: "+what)

		for _, at := range []int64{0, 5, 9, 12, 20, 30, 40, 60} {
			flip := w.disk.Clone()
			b := make([]byte, 1)
			_, err := flip.ReadAt(p.File, b, p.Offset+at)
			require.NoError(t, err)
			b[0] ^= 0x10
			scribble(flip, diskio.Op{Kind: diskio.Write, File: p.File, Offset: p.Offset + at,
				Data: b})
			requireDamage(t, flip, w.opt, p.File, fmt.Sprintf("flip at %d: %s", at, what))
		}

		gone := w.disk.Clone()
		scribble(gone, diskio.Op{Kind: diskio.Remove, File: p.File})
		if p.File != places[len(places)-1].File {
			requireDamage(t, gone, w.opt, "", "missing file: "+what)
		}

		sick := w.disk.Clone()
		_, ok := sick.StrikeSector(simdisk.LatentSector, p.File, p.Offset/512, 1)
		require.True(t, ok)
		sick.Crash(simdisk.PowerLoss, 1)
		requireDamage(t, sick, w.opt, p.File, "unreadable: "+what)
	}
	require.Len(t, types, int(numRecordTypes)-2, "a record type is not covered")
}

func TestDamagedHeaderIsDamage(t *testing.T) {
	w := typical(t)
	places, _ := w.places()
	for _, at := range []int64{0, 8, 40, 64, 92} {
		disk := w.disk.Clone()
		b := make([]byte, 1)
		_, err := disk.ReadAt(places[0].File, b, at)
		require.NoError(t, err)
		b[0] ^= 1
		scribble(disk, diskio.Op{Kind: diskio.Write, File: places[0].File, Offset: at, Data: b})
		requireDamage(t, disk, w.opt, places[0].File, "header")
	}
}

func TestForeignAndUnknownFilesAreRefused(t *testing.T) {
	w := typical(t)
	opt := w.opt
	opt.Member++
	_, _, err := Open(w.disk, opt)
	var identity *IdentityError
	require.ErrorAs(t, err, &identity)
	require.Equal(t, opt.Member, identity.WantMember)
	require.Contains(t, err.Error(), "belongs to cluster c1")

	places, _ := w.places()
	head := make([]byte, headerSize)
	_, err = w.disk.ReadAt(places[0].File, head, 0)
	require.NoError(t, err)
	h, err := DecodeHeader(head)
	require.NoError(t, err)
	h.Version = 2
	scribble(w.disk, diskio.Op{Kind: diskio.Write, File: places[0].File,
		Data: encodeHeader(nil, &h)})
	_, _, err = Open(w.disk, w.opt)
	var format *FormatError
	require.ErrorAs(t, err, &format)
	require.Equal(t, uint32(2), format.Version)
	require.Equal(t, places[0].File, format.File)
}

// The last write of a log that crashed before its mark may be torn or not; damage to it cannot be
// told from that. What must hold is that nothing before it is lost.
func TestDamageAboveSyncedIsATornTail(t *testing.T) {
	w := typical(t)
	hard := w.state().hard
	w.append(raft.Append{Hard: hard, MustSync: true, Entries: []raft.Entry{{Term: 1,
		Index: w.state().last() + 1, Type: raft.EntryNormal, Data: make([]byte, 700)}}})
	w.drain()
	places, _ := w.places()
	p := places[len(places)-1]
	scribble(w.disk, diskio.Op{Kind: diskio.Write, File: p.File, Offset: p.Offset + 100,
		Data: []byte{1, 2, 3}})
	_, rec, err := Open(w.disk, w.opt)
	require.NoError(t, err)
	require.Equal(t, w.state().last()-1, rec.Last)
	require.Equal(t, int64(64+64+700), rec.TornBytes)
}

func TestFullDiskIsMetBeforeTheReserveIsUsedUp(t *testing.T) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	require.Equal(t, reserveSegments, w.log.Reserve())
	w.disk.SetCapacity(w.disk.Used())
	hard := raft.HardState{Term: 1}
	grow := func() {
		w.append(raft.Append{Hard: hard, MustSync: true, Entries: []raft.Entry{{Term: 1,
			Index: w.state().last() + 1, Type: raft.EntryNormal, Data: make([]byte, 900)}}})
		w.drain()
	}
	for w.log.Reserve() > 0 {
		grow()
	}
	// Compacting gives the space back: the log goes on although the disk is still full.
	w.floor = w.state().last()
	w.log.Compact(w.floor)
	w.mark()
	require.Equal(t, reserveSegments, w.log.Reserve())
	for range 100 {
		grow()
		w.floor = w.state().last()
		w.log.Compact(w.floor)
		w.mark()
	}
	require.Equal(t, w.state().last(), w.log.Durable())
	require.LessOrEqual(t, w.disk.Used(), w.log.Bytes())
	w.fetchAll()
}

func TestFailedWriteAndSyncStopTheLog(t *testing.T) {
	for _, kind := range []simdisk.FaultKind{simdisk.WriteFails, simdisk.SyncFails} {
		w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
		w.drain()
		w.disk.Arm(kind, "wal/")
		w.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true})
		var failed error
		for {
			if _, ok := w.disk.Begin(diskio.LaneLog); !ok {
				break
			}
			ticket, err := w.log.Complete(w.disk.Finish(diskio.LaneLog))
			require.Zero(t, ticket)
			if err != nil {
				failed = err
			}
		}
		require.ErrorIs(t, failed, diskio.ErrFailed)
	}
}
