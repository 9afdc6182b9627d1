package revlog

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What recovery refuses, the examination finds, in the file that was damaged; what recovery does
// not need may be found as well, and says so.
func TestExamineFindsWhatRecoveryRefuses(t *testing.T) {
	whole := shipped(t).disk.(*testDisk)
	flaws, err := Examine(whole, testOptions().Dir)
	require.NoError(t, err)
	require.Empty(t, flaws)
	names := sortedNames(whole.names)
	rapid.Check(t, func(t *rapid.T) {
		d := whole.clone()
		name := rapid.SampledFrom(names).Draw(t, "file")
		data := d.names[name].data
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "cut") {
			d.names[name].data = data[:at]
		} else {
			data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		_, _, refused := load(d)
		flaws, err := Examine(d, testOptions().Dir)
		require.NoError(t, err)
		newest := false
		for _, f := range flaws {
			require.Equal(t, name, f.File)
			newest = newest || f.Newest
		}
		require.Equal(t, refused != nil, newest, "%v: %v", refused, flaws)
	})
}

func TestExamineTellsEveryDamagedRecordAndItsRevisions(t *testing.T) {
	d := shipped(t).disk.(*testDisk)
	g, err := readManifest(d, testOptions().Dir, newestManifest(t, d))
	require.NoError(t, err)
	var s *span
	for _, each := range g.spans {
		if s == nil || records(&g, each) > records(&g, s) {
			s = each
		}
	}
	var hit []Rev
	count := 0
	_, err = walk(d, s, records(&g, s), nil, func(r Record, off int64) error {
		if count++; count%2 == 0 && len(r.KV) > 0 {
			d.names[s.name].data[off+recordHeader] ^= 1
			hit = append(hit, r.Rev)
		}
		return nil
	})
	require.NoError(t, err, "it had read the file before")
	require.Greater(t, len(hit), 1)
	flaws, err := Examine(d, testOptions().Dir)
	require.NoError(t, err)
	require.Len(t, flaws, len(hit))
	for i, f := range flaws {
		require.Equal(t, s.name, f.File)
		require.Equal(t, FlawedRecords, f.What)
		require.False(t, hit[i].Less(f.First), "%v of %v", hit[i], f)
		require.False(t, f.Last.Less(hit[i]), "%v of %v", hit[i], f)
	}
}

func newestManifest(t *testing.T, d *testDisk) uint64 {
	f, err := list(d, testOptions().Dir)
	require.NoError(t, err)
	return f.manifests[len(f.manifests)-1]
}

func records(g *readGeneration, s *span) int {
	for i := range g.spans {
		if g.spans[i] == s {
			return int(g.lines[i].records)
		}
	}
	return 0
}
