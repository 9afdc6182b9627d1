package osdisk

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/conformance"
)

// inbox is a Disk whose completions wait in a channel.
type inbox struct {
	*Disk
	t         *testing.T
	completed chan diskio.Completion
}

func open(t *testing.T, opt Options) *inbox {
	in := &inbox{t: t, completed: make(chan diskio.Completion, 10000)}
	disk, err := Open(t.TempDir(), opt, func(c diskio.Completion) { in.completed <- c })
	require.NoError(t, err)
	in.Disk = disk
	return in
}

func (in *inbox) Await(n int) []diskio.Completion {
	got := make([]diskio.Completion, n)
	for i := range got {
		got[i] = <-in.completed
	}
	return got
}

func (in *inbox) Close() { require.NoError(in.t, in.Disk.Close()) }

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Subject { return open(t, Options{}) })
}

// With room for a single open file every use of another file evicts.
func TestConformanceWithFewHandles(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Subject {
		return open(t, Options{Handles: 1})
	})
}

func TestHandlesStayBoundedOnceSynced(t *testing.T) {
	d := open(t, Options{Handles: 4})
	defer d.Close()
	for i := range 40 {
		name := "f" + strconv.Itoa(i)
		d.Submit(diskio.Op{Kind: diskio.Write, File: name, Data: []byte("x")})
		d.Submit(diskio.Op{Kind: diskio.Sync, File: name})
	}
	d.Await(80)
	require.LessOrEqual(t, d.files.recent.Len(), 4)
	for i := range 10 {
		d.Submit(diskio.Op{Kind: diskio.Write, File: "unsynced" + strconv.Itoa(i), Data: []byte("x")})
	}
	d.Await(10)
	require.GreaterOrEqual(t, d.files.recent.Len(), 10, "unsynced files stay open")
}

func TestQueuedWritesAreGathered(t *testing.T) {
	var mu sync.Mutex
	var seen []Observation
	d := open(t, Options{Observe: func(o Observation) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, o)
	}})
	// The lane's lock holds the goroutine back until all is queued.
	l := d.lanes[diskio.LaneLog]
	l.mu.Lock()
	for i := range 10 {
		l.queue = append(l.queue, diskio.Op{Kind: diskio.Write, File: "f",
			Offset: int64(i * 3), Data: []byte("abc")})
	}
	l.filled.Signal()
	l.mu.Unlock()
	d.Await(10)
	d.Submit(diskio.Op{Kind: diskio.Sync, File: "f"})
	d.Await(1)
	d.Close()
	require.EqualValues(t, 1, d.Stats(diskio.LaneLog).WriteCalls)
	require.EqualValues(t, 1, d.Stats(diskio.LaneLog).Syncs)
	require.Len(t, seen, 2)
	require.Equal(t, 10, seen[0].Ops)
	require.Equal(t, 30, seen[0].Bytes)
	require.Equal(t, diskio.Sync, seen[1].Kind)
	content, err := os.ReadFile(filepath.Join(d.dir, "f"))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("abc", 10), string(content))
}

func TestGatherStopsAtGapFileAndBound(t *testing.T) {
	write := func(file string, off int64, size int) diskio.Op {
		return diskio.Op{Kind: diskio.Write, File: file, Offset: off, Data: make([]byte, size)}
	}
	require.Equal(t, 2, gather([]diskio.Op{write("a", 0, 3), write("a", 3, 3), write("a", 7, 1)}))
	require.Equal(t, 1, gather([]diskio.Op{write("a", 0, 3), write("b", 3, 3)}))
	require.Equal(t, 1, gather([]diskio.Op{write("a", 0, gatherBytes), write("a", gatherBytes, 1)}))
	require.Equal(t, 1, gather([]diskio.Op{write("a", 0, 3), {Kind: diskio.Sync, File: "a"}}))
	require.Equal(t, 1, gather([]diskio.Op{{Kind: diskio.Sync, File: "a"}, write("a", 0, 3)}))
	many := make([]diskio.Op, 2*gatherOps)
	for i := range many {
		many[i] = write("a", int64(i), 1)
	}
	require.Equal(t, gatherOps, gather(many))
}

// Readers run while the lanes rename, remove and recreate; the race detector is the judge, and
// every read sees a whole content.
func TestConcurrentReaders(t *testing.T) {
	d := open(t, Options{Handles: 2})
	defer d.Close()
	whole := []string{strings.Repeat("a", 2000), strings.Repeat("b", 2000)}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			p := make([]byte, 2000)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n, err := d.ReadAt("f", p, 0); err == nil && string(p[:n]) != whole[0] &&
					string(p[:n]) != whole[1] {
					t.Errorf("read a mixture")
					return
				}
				if _, err := d.List(""); err != nil {
					t.Errorf("list: %v", err)
					return
				}
			}
		})
	}
	for i := range 300 {
		d.Submit(diskio.Op{Kind: diskio.Write, File: "t", Data: []byte(whole[i%2])})
		d.Submit(diskio.Op{Kind: diskio.Rename, File: "t", To: "f"})
		d.Submit(diskio.Op{Kind: diskio.Remove, File: "f"})
	}
	for _, c := range d.Await(900) {
		require.Equal(t, diskio.OK, c.Status, c.Detail)
	}
	close(stop)
	readers.Wait()
}

func TestCloseDrains(t *testing.T) {
	d := open(t, Options{})
	for i := range 200 {
		d.Submit(diskio.Op{Kind: diskio.Write, File: "f", Offset: int64(i), Data: []byte("x")})
	}
	d.Close()
	require.Len(t, d.completed, 200)
	require.Panics(t, func() { d.Submit(diskio.Op{Kind: diskio.Sync, File: "f"}) })
}

func TestLockIsExclusive(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	require.NoError(t, err)
	_, err = Lock(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, release())
	release, err = Lock(dir)
	require.NoError(t, err)
	require.NoError(t, release())
	_, err = Lock(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFreeIsPositive(t *testing.T) {
	free, err := Free(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, free)
}

func TestOpenNeedsADirectory(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "missing"), Options{}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	_, err = Open(filepath.Join(dir, "f"), Options{}, nil)
	require.Error(t, err)
}

// The full device answers every write with the error that a full file system gives.
func TestStatusOfAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no device that is always full")
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = writeAll(f, [][]byte{[]byte("a"), []byte("b")}, 0)
	require.Equal(t, diskio.NoSpace, statusOf(err))
	require.NoError(t, f.Close())
}
