package revlog

// When the disk gets its space back, and what keeps it.

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func (l *Log) killAll(from, to Revision) {
	for m := from; m <= to; m++ {
		l.Dead(Rev{m, 0})
	}
}

// What no checkpoint has named goes when it was copied, without a checkpoint.
func TestReclaimFreesWhatNoGenerationNames(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 100, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 100})
	fill(l, 101, 1000, 100)
	settle(t, d, l)
	before, _ := l.Size()
	l.killAll(101, 900)
	settle(t, d, l)
	files, _ := l.Size()
	require.Less(t, files, before/2)
	require.Zero(t, l.Superseded())
	require.NoError(t, l.Check())
	settle(t, d, l)
	_, _, records := mustOpen(t, d.crash(1), testOptions())
	require.Len(t, records, 99)
}

// What a checkpoint has named stays for two more, and is counted until then; a start counts the same.
func TestSupersededFilesAreCounted(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 1000, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 1000})
	require.Zero(t, l.Superseded())
	before, _ := l.Size()
	l.killAll(2, 900)
	settle(t, d, l)
	kept := l.Superseded()
	require.Greater(t, kept, before/2)
	require.NoError(t, l.Check())
	checkpoint(t, d, l, Checkpoint{Applied: 2, Current: 1000})
	require.Equal(t, kept, l.Superseded())

	again, _, _ := mustOpen(t, d.clone(), testOptions())
	require.Equal(t, kept, again.Superseded())
	require.NoError(t, again.Check())

	checkpoint(t, d, l, Checkpoint{Applied: 3, Current: 1000})
	require.Zero(t, l.Superseded())
	files, _ := l.Size()
	require.Less(t, files, before/2)
	require.NoError(t, l.Check())
}

// Whoever appends can see that the disk does not keep up.
func TestUnwrittenFollowsTheDisk(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 500, 100)
	open := l.active.length - l.active.due() // of the chunk that no write can take yet
	require.Equal(t, l.inUse+int64(len(l.segments)+1)*segmentStart-open, l.Unwritten())
	settle(t, d, l)
	require.Zero(t, l.Unwritten())
	require.Equal(t, l.active.length-open, l.active.written)
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 500})
	require.Zero(t, l.Unwritten())
}

// The older generation is whole, for a person who moves a damaged newest manifest away.
func TestTheOlderGenerationCanBeLoaded(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 500, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 500})
	l.killAll(2, 400)
	settle(t, d, l)
	fill(l, 501, 600, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 2, Current: 600})
	manifests := d.find(manifestSuffix)
	require.Len(t, manifests, 2)
	delete(d.names, manifests[1])
	_, loaded, records := mustOpen(t, d, testOptions())
	require.Equal(t, uint64(1), loaded.Checkpoint.Applied)
	require.Len(t, records, 499)
}
