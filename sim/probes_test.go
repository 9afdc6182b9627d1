package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The packages with probes of their own.
var probing = []string{"../raft", "../raft/wal", "../mvcc", "../mvcc/revlog", "../kv/watch", "../kv",
	"."}

var probeConstant = regexp.MustCompile(`(?m)^\t([Pp]robe[A-Z]\w*)( \w+ = iota)?$`)

// Every probe has a name that no other has, and a place that counts it: one that is only declared
// would fail every campaign, or, without the demand, none.
func TestEveryProbeHasANameAndAPlace(t *testing.T) {
	declared := 0
	for _, dir := range probing {
		source := shippedSource(t, dir)
		list, err := os.ReadFile(filepath.Join(dir, "probes.go"))
		require.NoError(t, err)
		constants := probesIn(string(list))
		require.NotEmpty(t, constants, dir)
		require.Empty(t, placeless(constants, source), "%s: declared, and counted nowhere", dir)
		declared += len(constants)
	}
	names := ProbeNames()
	require.Len(t, names, declared)
	known := map[string]bool{}
	for _, name := range names {
		part, what, _ := strings.Cut(name, ": ")
		require.NotEmpty(t, part)
		require.NotEmpty(t, what, "a probe of %s has no name", part)
		require.False(t, known[name], name)
		known[name] = true
	}
}

// The search for places finds a probe that has none.
func TestAProbeWithoutAPlaceIsFound(t *testing.T) {
	list := "const (\n\tProbeHere Probe = iota\n\tProbeThere\n\t// Comment.\n\tNumProbes\n)\n"
	constants := probesIn(list)
	require.Equal(t, []string{"ProbeHere", "ProbeThere"}, constants)
	require.Equal(t, []string{"ProbeThere"}, placeless(constants, list+"x.probes[ProbeHere]++"))
}

func probesIn(list string) (constants []string) {
	for _, match := range probeConstant.FindAllStringSubmatch(list, -1) {
		constants = append(constants, match[1])
	}
	return constants
}

func placeless(constants []string, source string) (missing []string) {
	for _, c := range constants {
		if !strings.Contains(source, "["+c+"]++") {
			missing = append(missing, c)
		}
	}
	return missing
}

func shippedSource(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}

// A run carries the counts of all its processes, also of those that have ended, and equal runs count
// alike.
func TestARunCountsItsProbes(t *testing.T) {
	first, second := Run(3, Options{}), Run(3, Options{})
	require.Equal(t, first.Probes, second.Probes)
	require.Len(t, first.Probes, len(ProbeNames()))
	hits := map[string]uint64{}
	for i, name := range ProbeNames() {
		hits[name] = first.Probes[i]
	}
	require.Positive(t, hits["log: sync mark written"])
	require.Positive(t, hits["raft: elected with a tail that is not known to be committed"])
	require.GreaterOrEqual(t, hits["engine: record read from its file"], uint64(1))
}

// What a crash leaves of a write is torn if it is neither all there nor all missing.
func TestTornWrites(t *testing.T) {
	const sector = 512
	want := bytes.Repeat([]byte{1, 2, 3, 4}, sector/2) // four sectors
	old := make([]byte, len(want))
	require.False(t, torn(want, want, sector))
	require.False(t, torn(old, want, sector))
	require.True(t, torn(append(bytes.Clone(want[:sector]), old[sector:]...), want, sector))
	require.True(t, torn(append(bytes.Clone(want[:100]), old[100:]...), want, sector))
	flipped := bytes.Clone(want)
	flipped[700] ^= 16
	require.True(t, torn(flipped, want, sector))
	require.False(t, torn(bytes.Repeat([]byte{7}, sector), want[:sector], sector))
}
