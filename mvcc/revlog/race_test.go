package revlog

import (
	"sync"
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lockedDisk is a test disk that several goroutines may read, as the machine's is.
type lockedDisk struct {
	mu sync.Mutex
	*testDisk
}

func (d *lockedDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.testDisk.ReadAt(file, p, off)
}

func (d *lockedDisk) perform(t *testing.T, l *Log) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, op := range l.Flush(nil) {
		d.Submit(op)
	}
	for len(d.queue) > 0 {
		require.NoError(t, l.Complete(d.step()))
	}
}

// TestSnapshotsAreReadWhileTheLogGoesOn is for the race detector: views on other goroutines meet
// appends, sealing, released memory and reclaim.
func TestSnapshotsAreReadWhileTheLogGoesOn(t *testing.T) {
	d := &lockedDisk{testDisk: newTestDisk()}
	l, _, err := Open(d, testOptions())
	require.NoError(t, err)
	var readers sync.WaitGroup
	next := Revision(2)
	for range 40 {
		fill(l, next, next+50, 100)
		next += 51
		for m := next - 51; m < next; m += 2 {
			if m%3 > 0 {
				l.Dead(Rev{m, 0})
			}
		}
		s, newest := l.Snapshot(), next-1
		readers.Go(func() {
			var revs []Rev
			for m := newest; m > max(1, newest-30); m-- {
				revs = append(revs, Rev{m, 0})
			}
			kvs := make([][]byte, len(revs))
			assert.NoError(t, s.ReadBatch(revs, kvs))
			for i, rev := range revs {
				assert.Equal(t, kvOf(rev, 100), kvs[i])
				kv, err := s.Read(rev)
				assert.NoError(t, err)
				assert.Equal(t, kvs[i], kv)
			}
		})
		if !l.Checkpointing() {
			l.StartCheckpoint(Checkpoint{Applied: uint64(next), Current: newest})
		}
		d.perform(t, l)
		l.Work(500)
	}
	readers.Wait()
	require.NoError(t, l.Check())
}

var _ diskio.Reader = (*lockedDisk)(nil)
