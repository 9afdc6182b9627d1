package revlog

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// countingDisk counts reads.
type countingDisk struct {
	*testDisk
	reads int
	bytes int
}

func (d *countingDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	d.reads++
	d.bytes += len(p)
	return d.testDisk.ReadAt(file, p, off)
}

// cacheOptions make files larger than a block and a cache of few blocks.
func cacheOptions() Options {
	return Options{Dir: "engine", SegmentBytes: 256 << 10, StepBytes: 64 << 10,
		CacheBytes: 8 * blockBytes}
}

// storedOn returns a log whose n records of varied sizes are all in files.
func storedOn(t require.TestingT, n Revision, size func(m Revision) int) (*Log, *countingDisk) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, cacheOptions())
	for m := Revision(2); m < n; m++ {
		l.Append(Rev{m, 0}, Put, kvOf(Rev{m, 0}, size(m)))
	}
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: n - 1})
	counting := &countingDisk{testDisk: d}
	l, _, err := Open(counting, cacheOptions())
	require.NoError(t, err)
	require.NoError(t, l.Scan(func(Record) error { return nil }))
	counting.reads, counting.bytes = 0, 0
	return l, counting
}

func TestColdReadsAreExactAndHotOnesComeFromMemory(t *testing.T) {
	l, d := storedOn(t, 5000, func(Revision) int { return 500 })
	for m := Revision(2); m < 5000; m += 100 { // spread over all blocks
		_, err := l.Read(Rev{m, 0})
		require.NoError(t, err)
	}
	require.Equal(t, 50, d.reads)
	require.Equal(t, 50*(500+recordHeader), d.bytes)
	for range earned {
		_, err := l.Read(Rev{77, 0})
		require.NoError(t, err)
	}
	d.reads = 0
	for m := Revision(70); m < 77; m++ {
		_, err := l.Read(Rev{m, 0})
		require.NoError(t, err)
	}
	require.Zero(t, d.reads, "the neighbours of a hot record are in its block")
	for m := Revision(2); m < 5000; m += 37 { // a pass over the store
		_, err := l.Read(Rev{m, 0})
		require.NoError(t, err)
	}
	d.reads = 0
	_, err := l.Read(Rev{77, 0})
	require.NoError(t, err)
	require.Zero(t, d.reads, "a pass over the store evicts nothing hot")
}

func TestCachedReadsEqualWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 30, 1000, 5000, 17 << 10, 70 << 10}), 20,
			60).Draw(t, "sizes")
		size := func(m Revision) int { return sizes[m%Revision(len(sizes))] }
		n := Revision(rapid.IntRange(10, 150).Draw(t, "records"))
		l, _ := storedOn(t, n, size)
		hot := Revision(rapid.IntRange(2, int(n)-1).Draw(t, "hot"))
		for range 400 {
			m := hot
			if rapid.Bool().Draw(t, "any") {
				m = Revision(rapid.IntRange(2, int(n)-1).Draw(t, "record"))
			}
			kv, err := l.Read(Rev{m, 0})
			require.NoError(t, err)
			require.Equal(t, string(kvOf(Rev{m, 0}, size(m))), string(kv))
		}
		checkCache(t, &l.cache)
	})
}

// checkCache compares the cache's account with its slots.
func checkCache(t require.TestingT, c *cache) {
	bytes := int64(0)
	require.Len(t, c.where, len(c.slots))
	for i, s := range c.slots {
		bytes += int64(len(s.data))
		require.Equal(t, int32(i), c.where[s.key])
	}
	require.Equal(t, bytes, c.bytes)
	require.LessOrEqual(t, bytes, c.limit)
}
