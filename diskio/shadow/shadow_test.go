package shadow

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/conformance"
	"github.com/detcd/detcd/diskio/osdisk"
)

type subject struct {
	*Disk
	under *osdisk.Disk
	done  []diskio.Completion
}

func cover(t *testing.T, dir string) *subject {
	under, err := osdisk.Open(dir, osdisk.Options{}, func(diskio.Completion) {})
	require.NoError(t, err)
	s := &subject{under: under}
	s.Disk = New(under, func(c diskio.Completion) { s.done = append(s.done, c) })
	return s
}

func (s *subject) Await(n int) []diskio.Completion {
	done := s.done[:n:n]
	s.done = s.done[n:]
	return done
}

func (s *subject) Close() { _ = s.under.Close() }

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Subject { return cover(t, t.TempDir()) })
}

// What lies under the shadow is read through it, and stays as it is whatever happens above.
func TestWhatLiesUnderIsReadAndKept(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 3*pageBytes+100)
	for i := range content {
		content[i] = byte(i * 7)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	for _, name := range []string{"d/a", "d/b", "d/c"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	s := cover(t, dir)
	defer s.Close()
	want := append([]byte(nil), content...)
	copy(want[pageBytes-2:], "across")
	for _, op := range []diskio.Op{
		{Kind: diskio.Write, File: "d/a", Offset: pageBytes - 2, Data: []byte("across")},
		{Kind: diskio.Rename, File: "d/a", To: "d/z"},
		{Kind: diskio.Truncate, File: "d/b", Length: pageBytes + 5},
		{Kind: diskio.Allocate, File: "d/b", Length: 2 * pageBytes},
		{Kind: diskio.Remove, File: "d/c"},
		{Kind: diskio.Write, File: "d/new", Data: []byte("x")},
	} {
		s.Submit(op)
		require.Equal(t, diskio.OK, s.Await(1)[0].Status, op)
	}
	got := make([]byte, len(want))
	_, err := s.ReadAt("d/z", got, 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	cut := make([]byte, 2*pageBytes)
	_, err = s.ReadAt("d/b", cut, 0)
	require.NoError(t, err)
	require.Equal(t, content[:pageBytes+5], cut[:pageBytes+5])
	require.Equal(t, make([]byte, pageBytes-5), cut[pageBytes+5:])
	listed, err := s.List("d")
	require.NoError(t, err)
	require.Equal(t, []diskio.FileInfo{{Name: "b", Size: 2 * pageBytes}, {Name: "new", Size: 1},
		{Name: "z", Size: int64(len(content))}}, listed)
	for _, name := range []string{"d/a", "d/b", "d/c"} {
		kept, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, content, kept)
	}
}
