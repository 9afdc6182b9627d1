package revlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/stretchr/testify/require"
)

func testOptions() Options {
	return Options{Dir: "engine", SegmentBytes: 8 << 10, StepBytes: 3 << 10, CacheBytes: 16 << 10,
		TicketBase: 1000}
}

func mustOpen(t require.TestingT, d *testDisk, opt Options) (*Log, Loaded, []Record) {
	l, loaded, err := Open(d, opt)
	require.NoError(t, err)
	var records []Record
	require.NoError(t, l.Scan(func(r Record) error {
		r.KV = append([]byte{}, r.KV...)
		records = append(records, r)
		return nil
	}))
	return l, loaded, records
}

func kvOf(rev Rev, size int) []byte {
	b := []byte(fmt.Sprintf("%d.%d:", rev.Main, rev.Sub))
	for len(b) < size {
		b = append(b, byte(len(b))^byte(rev.Main))
	}
	return b
}

// settle runs the log until it has nothing to do.
func settle(t require.TestingT, d *testDisk, l *Log) {
	for {
		for _, op := range l.Flush(nil) {
			d.Submit(op)
		}
		if len(d.queue) == 0 && !l.Work(1000) {
			for _, op := range l.Flush(nil) {
				d.Submit(op)
			}
			if len(d.queue) == 0 {
				return
			}
		}
		for len(d.queue) > 0 {
			require.NoError(t, l.Complete(d.step()))
		}
	}
}

func fill(l *Log, from, to Revision, size int) {
	for m := from; m <= to; m++ {
		l.Append(Rev{m, 0}, Put, kvOf(Rev{m, 0}, size))
	}
}

func checkpoint(t require.TestingT, d *testDisk, l *Log, c Checkpoint) {
	l.StartCheckpoint(c)
	settle(t, d, l)
	require.False(t, l.Checkpointing())
}

func TestWhatACheckpointCoversComesBack(t *testing.T) {
	d := newTestDisk()
	l, loaded, _ := mustOpen(t, d, testOptions())
	require.True(t, loaded.Empty)
	fill(l, 2, 300, 100)
	l.Append(Rev{301, 0}, Tombstone, []byte("a"), []byte("b"))
	l.Append(Rev{301, 1}, Put)
	c := Checkpoint{Applied: 77, Term: 3, Current: 301, Compacted: -1, Digest: 5,
		State: []byte(strings.Repeat("state", 2000))}
	checkpoint(t, d, l, c)
	fill(l, 302, 400, 100)
	settle(t, d, l)

	l, loaded, records := mustOpen(t, d.crash(1), testOptions())
	require.False(t, loaded.Empty)
	require.Equal(t, c, loaded.Checkpoint)
	require.Len(t, records, 301)
	require.Equal(t, Record{Rev{301, 0}, Tombstone, []byte("ab")}, records[299])
	require.Equal(t, Record{Rev{301, 1}, Put, []byte{}}, records[300])
	for _, r := range records {
		kv, err := l.Read(r.Rev)
		require.NoError(t, err)
		require.Equal(t, r.KV, kv)
	}
	fill(l, 302, 320, 10)
	kv, err := l.Read(Rev{310, 0})
	require.NoError(t, err)
	require.Equal(t, kvOf(Rev{310, 0}, 10), kv)
}

func TestMemoryStaysWithinTheWindow(t *testing.T) {
	d := newTestDisk()
	opt := testOptions()
	l, _, _ := mustOpen(t, d, opt)
	for m := Revision(2); m < 2000; m++ {
		l.Append(Rev{m, 0}, Put, kvOf(Rev{m, 0}, 200))
		settle(t, d, l)
		require.LessOrEqual(t, l.memory, opt.CacheBytes/2+minChunkBytes+opt.StepBytes)
	}
	for m := Revision(2); m < 2000; m++ {
		for range 3 {
			kv, err := l.Read(Rev{m, 0})
			require.NoError(t, err)
			require.Equal(t, kvOf(Rev{m, 0}, 200), kv)
		}
	}
	require.Panics(t, func() { _, _ = l.Read(Rev{2000, 0}) })
	require.Panics(t, func() { l.Append(Rev{1999, 0}, Put) })
}

func TestReclaimKeepsWhatLivesAndWhatSnapshotsSee(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 1000, 100)
	s := l.Snapshot()
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 1000})
	for m := Revision(2); m <= 1000; m++ {
		if m%3 != 0 && m < 900 {
			l.Dead(Rev{m, 0})
		}
	}
	before := len(l.segments)
	settle(t, d, l)
	require.False(t, l.Reclaiming())
	require.Less(t, len(l.segments), before/2)
	checkpoint(t, d, l, Checkpoint{Applied: 2, Current: 1000})
	checkpoint(t, d, l, Checkpoint{Applied: 3, Current: 1000})
	held := len(d.names)
	for m := Revision(2); m <= 1000; m++ {
		kv, err := s.Read(Rev{m, 0})
		require.NoError(t, err)
		require.Equal(t, kvOf(Rev{m, 0}, 100), kv)
	}
	later := l.Snapshot()
	l.Release(s)
	settle(t, d, l)
	require.Less(t, len(d.names), held/2, "a later snapshot needs none of the old files")
	l.Release(later)
	files, inUse := l.Size()
	require.Less(t, files, 2*inUse)
	newest, older := l.Durable()
	require.Equal(t, []uint64{3, 2}, []uint64{newest.Applied, older.Applied})
	_, _, records := mustOpen(t, d, testOptions())
	require.InDelta(t, 101+299, len(records), 40, "a segment that is mostly alive keeps its dead")
	require.Len(t, d.find(manifestSuffix), 2)
}

func TestBatchReadsWhatSingleReadsRead(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 1000, 100)
	settle(t, d, l)
	s := l.Snapshot()
	fill(l, 1001, 1100, 100)
	var revs []Rev
	for i := range 2000 {
		revs = append(revs, Rev{Revision(2 + i*7919%999), 0})
	}
	kvs := make([][]byte, len(revs))
	require.NoError(t, s.ReadBatch(revs, kvs))
	for i, rev := range revs {
		require.Equal(t, kvOf(rev, 100), kvs[i])
	}
}

func TestAFailedOperationStopsTheLog(t *testing.T) {
	for _, kind := range []diskio.Kind{diskio.Write, diskio.Sync, diskio.Rename, diskio.SyncDir,
		diskio.Remove} {
		d := newTestDisk()
		l, _, _ := mustOpen(t, d, testOptions())
		settle(t, d, l)
		for n := range 3 {
			fill(l, Revision(2+n*10), Revision(9+n*10), 100)
			if n == 2 {
				d.fail = kind
			}
			l.StartCheckpoint(Checkpoint{Applied: uint64(n)})
			if n < 2 {
				settle(t, d, l)
			}
		}
		var err error
		for err == nil {
			for _, op := range l.Flush(nil) {
				d.Submit(op)
			}
			require.NotEmpty(t, d.queue)
			err = l.Complete(d.step())
		}
		require.True(t, errors.Is(err, diskio.ErrFailed))
		d.queue = nil
		require.Empty(t, l.Flush(nil), "nothing may be tried again")
		require.Error(t, l.Err())
	}
}
