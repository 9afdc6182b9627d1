// Package conformance judges every implementation of the disk door by one suite.
//
// A simulated device that drifts from the real one makes every run of the simulator worthless in
// silence: the code under test never meets what it will meet in production. So whatever the store
// may rely on, short of crashes, is written down here once and run against both. What only a crash
// can show is tested where crashes can be had, in package simdisk.
package conformance

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
)

// Subject is a disk under test.
type Subject interface {
	diskio.Disk
	// Await returns the next n completions of the whole disk, in the order of their delivery.
	Await(n int) []diskio.Completion
	// Close ends the subject's life.
	Close()
}

// Run runs the suite. Each call of newDisk returns a new, empty disk.
func Run(t *testing.T, newDisk func(*testing.T) Subject) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"lane keeps order", laneKeepsOrder},
		{"lanes all answer", lanesAllAnswer},
		{"completion names its operation", completionNamesOp},
		{"write extends and overwrites", writeExtends},
		{"gap reads as zeros", gapReadsZeros},
		{"adjacent writes arrive whole", adjacentWrites},
		{"read stops at the end", readStopsAtEnd},
		{"reader reports the end", readerReportsEnd},
		{"allocate writes zeros", allocateZeros},
		{"truncate cuts", truncateCuts},
		{"rename replaces", renameReplaces},
		{"rename keeps unsynced writes", renameKeepsWrites},
		{"removed name is free again", removeFrees},
		{"missing files are reported", missingFiles},
		{"list is sorted and flat", listSorted},
		{"directories", directories},
		{"names stay inside", namesStayInside},
		{"nonsense is refused", nonsense},
		{"reading while files come and go", readingWhileRemoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			subject := newDisk(t)
			t.Cleanup(subject.Close)
			c.test(t, &bench{T: t, Subject: subject})
		})
	}
	t.Run("behaves as the model", func(t *testing.T) { behavesAsModel(t, newDisk) })
}

// bench is a disk with verbs for telling stories about it.
type bench struct {
	*testing.T
	Subject
}

// do performs one operation in the log's lane and returns its completion.
func (b *bench) do(op diskio.Op) diskio.Completion {
	b.Helper()
	b.Submit(op)
	return b.Await(1)[0]
}

func (b *bench) ok(op diskio.Op) {
	b.Helper()
	c := b.do(op)
	require.Equal(b.T, diskio.OK, c.Status, "%v: %s", op, c.Detail)
}

func (b *bench) fails(want diskio.Status, op diskio.Op) {
	b.Helper()
	c := b.do(op)
	require.Equal(b.T, want, c.Status, "%v: %s", op, c.Detail)
	require.NotEmpty(b.T, c.Detail)
	require.Nil(b.T, c.Data)
}

func (b *bench) write(file string, off int64, data string) {
	b.Helper()
	b.ok(write(file, off, data))
}

func write(file string, off int64, data string) diskio.Op {
	return diskio.Op{Kind: diskio.Write, File: file, Offset: off, Data: []byte(data)}
}

func (b *bench) holds(file, want string) {
	b.Helper()
	size, err := b.Size(file)
	require.NoError(b.T, err)
	require.EqualValues(b.T, len(want), size)
	got := make([]byte, size)
	n, err := b.ReadAt(file, got, 0)
	if err != nil {
		require.Equal(b.T, io.EOF, err)
	}
	require.Equal(b.T, want, string(got[:n]))
	c := b.do(diskio.Op{Kind: diskio.Read, File: file, Length: size + 100})
	require.Equal(b.T, diskio.OK, c.Status, c.Detail)
	require.Equal(b.T, want, string(c.Data))
}

func (b *bench) gone(file string) {
	b.Helper()
	_, err := b.Size(file)
	require.ErrorIs(b.T, err, diskio.ErrNotFound)
	_, err = b.ReadAt(file, make([]byte, 1), 0)
	require.ErrorIs(b.T, err, diskio.ErrNotFound)
}

func laneKeepsOrder(t *testing.T, b *bench) {
	const n = 100
	for i := range n {
		op := write("a", 0, string(rune('A'+i%26)))
		op.Ticket = diskio.Ticket(2 * i)
		b.Submit(op)
		b.Submit(diskio.Op{Kind: diskio.Read, File: "a", Length: 1, Ticket: op.Ticket + 1})
	}
	for i, c := range b.Await(2 * n) {
		require.Equal(t, diskio.Ticket(i), c.Ticket)
		if c.Kind == diskio.Read {
			require.Equal(t, string(rune('A'+i/2%26)), string(c.Data))
		}
	}
}

func lanesAllAnswer(t *testing.T, b *bench) {
	const n = 30
	for i := range n {
		op := write("lane"+string(rune('0'+i%int(diskio.NumLanes))), int64(i), "x")
		op.Lane, op.Ticket = diskio.Lane(i%int(diskio.NumLanes)), diskio.Ticket(i)
		b.Submit(op)
	}
	var last [diskio.NumLanes]int
	for _, c := range b.Await(n) {
		require.Equal(t, diskio.OK, c.Status, c.Detail)
		require.EqualValues(t, c.Ticket%diskio.Ticket(diskio.NumLanes), c.Lane)
		require.GreaterOrEqual(t, int(c.Ticket), last[c.Lane])
		last[c.Lane] = int(c.Ticket)
	}
}

func completionNamesOp(t *testing.T, b *bench) {
	op := write("named", 0, "x")
	op.Lane, op.Ticket = diskio.LaneBulk, 77
	require.Equal(t, diskio.Completion{Ticket: 77, Lane: diskio.LaneBulk, Kind: diskio.Write,
		File: "named"}, b.do(op))
}

func writeExtends(t *testing.T, b *bench) {
	b.write("f", 0, "hello")
	b.write("f", 5, " world")
	b.write("f", 4, "0 W")
	b.holds("f", "hell0 World")
	b.ok(diskio.Op{Kind: diskio.Sync, File: "f"})
	b.holds("f", "hell0 World")
	b.write("empty", 0, "")
	b.holds("empty", "")
	b.write("f", 100, "")
	b.holds("f", "hell0 World")
}

func gapReadsZeros(t *testing.T, b *bench) {
	b.write("f", 9000, "end")
	b.holds("f", strings.Repeat("\x00", 9000)+"end")
}

func adjacentWrites(t *testing.T, b *bench) {
	var want strings.Builder
	const n = 700
	for i := range n {
		part := strings.Repeat(string(rune('a'+i%26)), i*37%3000)
		b.Submit(write("f", int64(want.Len()), part))
		want.WriteString(part)
	}
	b.Submit(write("g", int64(want.Len()), "another file"))
	b.Submit(write("f", 0, "start"))
	for _, c := range b.Await(n + 2) {
		require.Equal(t, diskio.OK, c.Status, c.Detail)
	}
	b.holds("f", "start"+want.String()[5:])
}

func readStopsAtEnd(t *testing.T, b *bench) {
	b.write("f", 0, strings.Repeat("x", 4097))
	for _, c := range []struct {
		off, length int64
		want        int
	}{{0, 10, 10}, {4090, 7, 7}, {4090, 100, 7}, {4097, 1, 0}, {1 << 40, 5, 0}, {0, 0, 0},
		{3, 1 << 60, 4094}} {
		got := b.do(diskio.Op{Kind: diskio.Read, File: "f", Offset: c.off, Length: c.length})
		require.Equal(t, diskio.OK, got.Status, got.Detail)
		require.Len(t, got.Data, c.want)
	}
}

func readerReportsEnd(t *testing.T, b *bench) {
	b.write("f", 0, "0123456789")
	p := make([]byte, 6)
	n, err := b.ReadAt("f", p, 0)
	require.NoError(t, err)
	require.Equal(t, "012345", string(p[:n]))
	n, err = b.ReadAt("f", p, 7)
	require.Equal(t, io.EOF, err)
	require.Equal(t, "789", string(p[:n]))
	n, err = b.ReadAt("f", p, 10)
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
	n, err = b.ReadAt("f", p, 1<<40)
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
}

func allocateZeros(t *testing.T, b *bench) {
	allocate := func(n int64) { b.ok(diskio.Op{Kind: diskio.Allocate, File: "f", Length: n}) }
	allocate(5000)
	b.holds("f", strings.Repeat("\x00", 5000))
	b.write("f", 4998, "abcd")
	allocate(1<<20 + 7)
	b.holds("f", strings.Repeat("\x00", 4998)+"abcd"+strings.Repeat("\x00", 1<<20+7-5002))
	allocate(1<<20 + 7)
	allocate(5000) // the length is as said, shorter too
	b.holds("f", strings.Repeat("\x00", 4998)+"ab")
}

func truncateCuts(t *testing.T, b *bench) {
	truncate := func(n int64) { b.ok(diskio.Op{Kind: diskio.Truncate, File: "f", Length: n}) }
	b.write("f", 0, strings.Repeat("x", 10000))
	truncate(4100)
	b.holds("f", strings.Repeat("x", 4100))
	truncate(6000) // what was cut off does not come back
	b.holds("f", strings.Repeat("x", 4100)+strings.Repeat("\x00", 1900))
	truncate(0)
	b.holds("f", "")
	b.write("f", 2, "y")
	b.holds("f", "\x00\x00y")
}

func renameReplaces(t *testing.T, b *bench) {
	b.write("new", 0, "new content")
	b.write("old", 0, "old content")
	b.holds("old", "old content")
	b.ok(diskio.Op{Kind: diskio.Rename, File: "new", To: "old"})
	b.gone("new")
	b.holds("old", "new content")
	b.ok(diskio.Op{Kind: diskio.Rename, File: "old", To: "old"})
	b.holds("old", "new content")
	b.write("new", 0, "again")
	b.holds("old", "new content")
	b.holds("new", "again")
}

func renameKeepsWrites(t *testing.T, b *bench) {
	b.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"})
	b.write("f", 0, "one")
	b.ok(diskio.Op{Kind: diskio.Rename, File: "f", To: "d/g"})
	b.write("d/g", 3, " two")
	b.ok(diskio.Op{Kind: diskio.Sync, File: "d/g"})
	b.ok(diskio.Op{Kind: diskio.SyncDir, File: "d"})
	b.ok(diskio.Op{Kind: diskio.SyncDir, File: "."})
	b.holds("d/g", "one two")
	b.gone("f")
}

func removeFrees(t *testing.T, b *bench) {
	b.write("f", 0, "first")
	b.holds("f", "first")
	b.ok(diskio.Op{Kind: diskio.Remove, File: "f"})
	b.gone("f")
	b.ok(diskio.Op{Kind: diskio.Remove, File: "f"})
	b.write("f", 1, "x")
	b.holds("f", "\x00x")
}

func missingFiles(t *testing.T, b *bench) {
	b.gone("f")
	b.gone("d/f")
	for _, kind := range []diskio.Kind{diskio.Sync, diskio.Truncate, diskio.Read, diskio.SyncDir} {
		b.fails(diskio.NotFound, diskio.Op{Kind: kind, File: "f"})
		b.fails(diskio.NotFound, diskio.Op{Kind: kind, File: "d/f"})
	}
	b.fails(diskio.NotFound, diskio.Op{Kind: diskio.Rename, File: "f", To: "g"})
	b.fails(diskio.NotFound, write("d/f", 0, "no such directory"))
	b.fails(diskio.NotFound, diskio.Op{Kind: diskio.Allocate, File: "d/f", Length: 1})
	b.fails(diskio.NotFound, diskio.Op{Kind: diskio.MakeDir, File: "d/e"})
	b.write("f", 0, "x")
	b.fails(diskio.NotFound, diskio.Op{Kind: diskio.Rename, File: "f", To: "d/g"})
	b.holds("f", "x")
}

func listSorted(t *testing.T, b *bench) {
	list := func(dir string) []diskio.FileInfo {
		infos, err := b.List(dir)
		require.NoError(t, err)
		return infos
	}
	require.Empty(t, list(""))
	require.Empty(t, list("nowhere"))
	b.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"})
	b.ok(diskio.Op{Kind: diskio.MakeDir, File: "d/e"})
	for _, name := range []string{"d/b", "d/a", "d/e/c", "d.x", "z", "d/c", "d/a-"} {
		b.write(name, 0, name)
	}
	b.ok(diskio.Op{Kind: diskio.Remove, File: "d/c"})
	require.Equal(t, []diskio.FileInfo{{Name: "a", Size: 3}, {Name: "a-", Size: 4},
		{Name: "b", Size: 3}}, list("d"))
	require.Equal(t, []diskio.FileInfo{{Name: "c", Size: 5}}, list("d/e"))
	require.Equal(t, []diskio.FileInfo{{Name: "d.x", Size: 3}, {Name: "z", Size: 1}}, list(""))
	require.Equal(t, list(""), list("."))
}

func directories(t *testing.T, b *bench) {
	b.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"})
	b.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"})
	b.ok(diskio.Op{Kind: diskio.SyncDir, File: "d"})
	b.ok(diskio.Op{Kind: diskio.SyncDir, File: ""})
	b.write("f", 0, "x")
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.MakeDir, File: "f"})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.SyncDir, File: "f"})
	b.fails(diskio.Failed, write("d", 0, "x"))
	b.fails(diskio.Failed, write("f/g", 0, "x"))
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Read, File: "d", Length: 1})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Remove, File: "d"})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Rename, File: "d", To: "e"})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Rename, File: "f", To: "d"})
	_, err := b.Size("d")
	require.ErrorIs(t, err, diskio.ErrFailed)
	_, err = b.List("f")
	require.ErrorIs(t, err, diskio.ErrFailed)
}

func namesStayInside(t *testing.T, b *bench) {
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../../x", "a/", "a//b", "a/./b",
		"a\x00b", `a\b`, strings.Repeat("x", 5000)} {
		for _, kind := range []diskio.Kind{diskio.Write, diskio.Sync, diskio.Allocate,
			diskio.Truncate, diskio.Remove, diskio.Read, diskio.Rename} {
			b.fails(diskio.Failed, diskio.Op{Kind: kind, File: name, To: "f"})
		}
		_, err := b.Size(name)
		require.ErrorIs(t, err, diskio.ErrFailed)
		_, err = b.ReadAt(name, make([]byte, 1), 0)
		require.ErrorIs(t, err, diskio.ErrFailed)
		if name != "" && name != "." {
			b.fails(diskio.Failed, diskio.Op{Kind: diskio.MakeDir, File: name})
			b.fails(diskio.Failed, diskio.Op{Kind: diskio.SyncDir, File: name})
			_, err = b.List(name)
			require.ErrorIs(t, err, diskio.ErrFailed)
		}
	}
	b.write("f", 0, "x")
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Rename, File: "f", To: "../f"})
	b.holds("f", "x")
}

func nonsense(t *testing.T, b *bench) {
	b.write("f", 0, "x")
	b.fails(diskio.Failed, write("f", -1, "y"))
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Read, File: "f", Offset: -1, Length: 1})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Read, File: "f", Length: -1})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Truncate, File: "f", Length: -1})
	b.fails(diskio.Failed, diskio.Op{Kind: diskio.Allocate, File: "f", Length: -1})
	b.fails(diskio.Failed, diskio.Op{Kind: 200, File: "f"})
	_, err := b.ReadAt("f", make([]byte, 1), -1)
	require.ErrorIs(t, err, diskio.ErrFailed)
	require.Contains(t, []int{512, 4096}, b.SectorSize())
	b.holds("f", "x")
}

// A file disappears and comes back between reads that never wait for it: each read sees one whole
// content or none, and after the last completion no read sees a file that is gone.
func readingWhileRemoved(t *testing.T, b *bench) {
	const rounds = 60
	whole := []string{strings.Repeat("a", 3000), strings.Repeat("b", 3000)}
	submitted := 0
	for i := range rounds {
		for _, op := range []diskio.Op{
			write("tmp", 0, whole[i%2]),
			{Kind: diskio.Rename, File: "tmp", To: "f"},
		} {
			b.Submit(op)
			submitted++
		}
		if i%3 == 2 {
			b.Submit(diskio.Op{Kind: diskio.Remove, File: "f"})
			submitted++
		}
		p := make([]byte, 3000)
		n, err := b.ReadAt("f", p, 0)
		if errors.Is(err, diskio.ErrNotFound) {
			continue
		}
		require.NoError(t, err)
		require.Contains(t, whole, string(p[:n]))
	}
	for _, c := range b.Await(submitted) {
		require.Equal(t, diskio.OK, c.Status, c.Detail)
	}
	b.gone("f")
	b.write("f", 0, "the last one")
	b.holds("f", "the last one")
}
