package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

// The disk was full and the reserve is used up: writes wait, and that is no error. When there is
// room again, what waits for a segment gets the first one that is prepared.
func TestRoomAfterAFullDiskIsUsed(t *testing.T) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	grow := func() {
		w.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true,
			Entries: []raft.Entry{{Term: 1, Index: w.state().last() + 1, Type: raft.EntryNormal,
				Data: make([]byte, 1500)}}})
		for w.step(diskio.LaneLog) {
		}
	}
	w.disk.SetCapacity(w.disk.Used())
	for w.log.Reserve() == reserveSegments {
		grow()
	}
	w.drain()
	require.True(t, w.log.Starved())
	for w.log.flight.chunk != nil || len(w.log.queue) == 0 {
		grow()
	}
	waiting := w.log.Durable()
	for range 5 * starvedTicks {
		w.log.Mark()
		w.flush()
		w.drain()
	}
	require.True(t, w.log.Starved())
	require.Equal(t, waiting, w.log.Durable())
	require.Less(t, waiting, w.state().last())
	w.disk.SetCapacity(0)
	w.log.Retry()
	w.flush()
	told := len(w.issued)
	for range 100 {
		if !w.step(diskio.LaneLog) && !w.step(diskio.LaneBulk) {
			break
		}
	}
	require.Equal(t, w.state().last(), w.log.Durable())
	require.Equal(t, reserveSegments, w.log.Reserve())
	allocated := 0
	for _, op := range w.issued[told:] {
		if op.Kind == diskio.Allocate {
			allocated++
		}
	}
	require.LessOrEqual(t, allocated, reserveSegments+1)
	w.fetchAll()
}

// What a preparation that failed has left behind is removed before the next one asks for space:
// it may be the space that the next one needs.
func TestWhatFailedIsRemovedBeforeMoreIsAskedFor(t *testing.T) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	w.disk.SetCapacity(w.disk.Used())
	for w.log.Reserve() == reserveSegments {
		w.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true,
			Entries: []raft.Entry{{Term: 1, Index: w.state().last() + 1, Type: raft.EntryNormal,
				Data: make([]byte, 1500)}}})
		w.drain()
	}
	w.disk.SetCapacity(0)
	for range 2 * starvedTicks {
		w.log.Mark()
		w.flush()
	}
	w.drain()
	require.Equal(t, reserveSegments, w.log.Reserve())
	infos, err := w.disk.List("wal")
	require.NoError(t, err)
	for _, info := range infos {
		_, suffix, ok := parseName(info.Name)
		require.True(t, ok)
		require.Equal(t, suffixSegment, suffix, "%s is left", info.Name)
	}
}

// The name of a file that a start takes over must be durable before it is changed: when the sync
// fails, the rename behind it must not happen.
func TestFailedSyncOfTheDirectoryStopsTheStart(t *testing.T) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	before, err := w.disk.List("wal")
	require.NoError(t, err)
	log, rec, err := Open(w.disk, w.opt)
	require.NoError(t, err)
	log.Start(rec.Incarnation + 1)
	w.disk.Arm(simdisk.SyncFails, "wal")
	for _, op := range log.Flush(nil) {
		w.disk.Submit(op)
	}
	var failed error
	for {
		if _, ok := w.disk.Begin(diskio.LaneLog); !ok {
			break
		}
		if _, err := log.Complete(w.disk.Finish(diskio.LaneLog)); err != nil {
			failed = err
		}
	}
	require.ErrorIs(t, failed, diskio.ErrFailed)
	after, err := w.disk.List("wal")
	require.NoError(t, err)
	require.Equal(t, before, after)
}
