package simdisk

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/diskio"
)

// rig is a disk with verbs.
type rig struct {
	*Disk
	t require.TestingT
}

func newRig(t require.TestingT, sector int) rig {
	return rig{Disk: New(Options{Seed: 9, Sector: sector}), t: t}
}

func (r rig) do(op diskio.Op) diskio.Completion {
	r.Submit(op)
	_, ok := r.Begin(op.Lane)
	require.True(r.t, ok)
	c := r.Finish(op.Lane)
	require.NoError(r.t, r.Check())
	return c
}

func (r rig) ok(ops ...diskio.Op) {
	for _, op := range ops {
		c := r.do(op)
		require.Equal(r.t, diskio.OK, c.Status, "%v: %s", op, c.Detail)
	}
}

func write(file string, off int64, data string) diskio.Op {
	return diskio.Op{Kind: diskio.Write, File: file, Offset: off, Data: []byte(data)}
}

func sync(file string) diskio.Op { return diskio.Op{Kind: diskio.Sync, File: file} }

func syncDir(dir string) diskio.Op { return diskio.Op{Kind: diskio.SyncDir, File: dir} }

// content is all of a file, or "missing".
func content(t require.TestingT, r diskio.Reader, file string) string {
	size, err := r.Size(file)
	if err != nil {
		require.ErrorIs(t, err, diskio.ErrNotFound)
		return "missing"
	}
	p := make([]byte, size)
	n, err := r.ReadAt(file, p, 0)
	if err != io.EOF {
		require.NoError(t, err)
	}
	require.EqualValues(t, size, n)
	return string(p)
}

func sectors(pattern string, sector int) string {
	var b strings.Builder
	for _, c := range pattern {
		b.WriteString(strings.Repeat(string(c), sector))
	}
	return b.String()
}

// durableFile makes a file of a's, one per sector of the pattern, that is durable by name and
// content.
func (r rig) durableFile(file, pattern string) {
	r.ok(write(file, 0, sectors(pattern, r.opt.Sector)), sync(file), syncDir(parent(file)))
}

func TestSyncedDataSurvivesEveryCrash(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		base := newRig(t, sector)
		base.durableFile("f", "abcdefghijkl")
		base.ok(write("f", int64(12*sector), "unsynced"), write("g", 0, "unsynced too"))
		want := sectors("abcdefghijkl", sector)
		for seed := range uint64(300) {
			for _, kind := range []CrashKind{ProcessCrash, PowerLoss} {
				after := base.Clone()
				after.Crash(kind, seed)
				require.NoError(t, after.Check())
				require.Equal(t, want, content(t, after, "f")[:len(want)])
			}
		}
	}
}

// All three outcomes of an unsynced sector must occur, each on its own, and neighbours that were
// not rewritten must stay.
func TestUnsyncedSectorsAreOldNewOrGarbage(t *testing.T) {
	const sector = 512
	base := newRig(t, sector)
	base.durableFile("f", strings.Repeat("o", 24))
	base.ok(write("f", 8*sector, sectors("nnnn", sector)), write("f", 20*sector+100, "one byte more"))
	seen := make(map[string]bool)
	for seed := range uint64(500) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		got := content(t, after, "f")
		require.Len(t, got, 24*sector)
		pattern := ""
		for i := range 24 {
			part := got[i*sector : (i+1)*sector]
			rewritten := i >= 8 && i < 12 || i == 20
			switch {
			case part == sectors("o", sector):
				pattern += "o"
			case !rewritten:
				t.Fatalf("seed %d: sector %d was not rewritten and changed", seed, i)
			case part == sectors("n", sector):
				pattern += "n"
			default:
				pattern += "g"
			}
		}
		seen[pattern[8:12]] = true
	}
	for _, all := range []string{"oooo", "nnnn", "nnoo", "nono"} {
		require.True(t, seen[all], all)
	}
	garbled := 0
	for pattern := range seen {
		if strings.Contains(pattern, "g") {
			garbled++
		}
	}
	require.Greater(t, garbled, 10)
}

func TestProcessCrashKeepsTheCacheAndTearsAtPages(t *testing.T) {
	base := newRig(t, 512)
	base.ok(write("f", 0, "cached"))
	data := strings.Repeat("x", 4*pageSize)
	base.Submit(write("f", 100, data))
	base.Submit(write("never", 0, "queued"))
	_, ok := base.Begin(diskio.LaneLog)
	require.True(t, ok)
	_, ok = base.Begin(diskio.LaneLog)
	require.False(t, ok, "the device is busy")
	sizes := make(map[int]bool)
	for seed := range uint64(200) {
		after := base.Clone()
		report := after.Crash(ProcessCrash, seed)
		require.Equal(t, 1, report.Lost)
		require.Equal(t, 1, report.InFlight)
		require.Equal(t, "missing", content(t, after, "never"))
		got := content(t, after, "f")
		require.True(t, strings.HasPrefix(got, "cached"))
		sizes[len(got)] = true
	}
	for _, size := range []int{6, pageSize, 2 * pageSize, 4 * pageSize, 100 + 4*pageSize} {
		require.True(t, sizes[size], "%d in %v", size, sizes)
	}
}

func TestCrashFindsSyncInFlightDoneOrNot(t *testing.T) {
	base := newRig(t, 512)
	base.durableFile("f", "o")
	base.ok(write("f", 0, sectors("n", 512)))
	base.Submit(sync("f"))
	base.Begin(diskio.LaneLog)
	seen := make(map[string]bool)
	for seed := range uint64(100) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		seen[content(t, after, "f")] = true
	}
	require.True(t, seen[sectors("o", 512)])
	require.True(t, seen[sectors("n", 512)])
}

func TestFailedSyncForgetsAndLaterSyncDoesNotRepair(t *testing.T) {
	r := newRig(t, 512)
	r.durableFile("f", strings.Repeat("o", 16))
	r.ok(write("f", 0, sectors(strings.Repeat("n", 16), 512)))
	r.Arm(SyncFails, "f")
	require.Equal(t, diskio.Failed, r.do(sync("f")).Status)
	require.Equal(t, sectors(strings.Repeat("n", 16), 512), content(t, r, "f"), "reads see the cache")
	r.ok(sync("f"))
	require.False(t, r.Durable("f", 0, 16*512))
	require.Equal(t, sectors(strings.Repeat("n", 16), 512), content(t, r, "f"))
	evicted := r.Clone()
	evicted.Evict("f")
	require.NoError(t, evicted.Check())
	lost := r.Clone()
	report := lost.Crash(PowerLoss, 1)
	require.Positive(t, report.Forgotten)
	require.Contains(t, content(t, lost, "f"), sectors("o", 512))
	require.Equal(t, content(t, lost, "f"), content(t, evicted, "f"))
	require.Equal(t, content(t, lost, "f"), content(t, r.MediaReader(Pristine), "f"))
	require.EqualValues(t, 1, r.Counts().Felt[SyncFails])

	// Writing the sectors again is the only repair.
	r.ok(write("f", 0, sectors(strings.Repeat("r", 16), 512)), sync("f"))
	require.True(t, r.Durable("f", 0, 16*512))
}

func TestLyingSyncLeavesDataVolatile(t *testing.T) {
	r := newRig(t, 512)
	r.durableFile("f", "oooo")
	r.SetRate(SyncLies, Million)
	r.ok(write("f", 0, sectors("nnnn", 512)), sync("f"))
	require.False(t, r.Durable("f", 0, 1))
	require.Equal(t, sectors("oooo", 512), content(t, r.MediaReader(Pristine), "f"))
	felt := 0
	for seed := range uint64(50) {
		after := r.Clone()
		after.Crash(PowerLoss, seed)
		if after.Counts().Felt[SyncLies] > 0 {
			felt++
			require.NotEqual(t, sectors("nnnn", 512), content(t, after, "f"))
		} else {
			require.Equal(t, sectors("nnnn", 512), content(t, after, "f"))
		}
	}
	require.Positive(t, felt)
	require.Less(t, felt, 50)
	r.Quiet()
	r.ok(sync("f"))
	require.True(t, r.Durable("f", 0, 2048))
}

func TestNamesAreVolatileUntilTheirDirectoryIsSynced(t *testing.T) {
	base := newRig(t, 512)
	base.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"}, syncDir(""))
	base.durableFile("d/current", "o")
	base.durableFile("d/doomed", "x")
	base.ok(write("d/tmp", 0, sectors("n", 512)), sync("d/tmp"),
		diskio.Op{Kind: diskio.Rename, File: "d/tmp", To: "d/current"},
		diskio.Op{Kind: diskio.Remove, File: "d/doomed"},
		write("d/fresh", 0, "f"), sync("d/fresh"))
	require.False(t, base.Durable("d/current", 0, 512))
	require.False(t, base.Durable("d/fresh", 0, 1))
	seen := make(map[string]int)
	for seed := range uint64(400) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		require.NoError(t, after.Check())
		current := content(t, after, "d/current")
		require.Contains(t, []string{sectors("o", 512), sectors("n", 512)}, current)
		seen["current is "+current[:1]]++
		seen["doomed is "+content(t, after, "d/doomed")[:1]]++
		seen["fresh is "+content(t, after, "d/fresh")[:1]]++
	}
	for _, each := range []string{"current is o", "current is n", "doomed is x", "doomed is m",
		"fresh is f", "fresh is m"} {
		require.Greater(t, seen[each], 40, each)
	}
	base.ok(syncDir("d"))
	for seed := range uint64(50) {
		after := base.Clone()
		require.Zero(t, after.Crash(PowerLoss, seed).NamesLost)
		require.Equal(t, sectors("n", 512), content(t, after, "d/current"))
		require.Equal(t, "missing", content(t, after, "d/doomed"))
		require.Equal(t, "f", content(t, after, "d/fresh"))
	}
}

func TestUnsyncedDirectoryTakesItsFilesAlong(t *testing.T) {
	base := newRig(t, 512)
	base.ok(diskio.Op{Kind: diskio.MakeDir, File: "d"}, write("d/f", 0, "x"), sync("d/f"),
		syncDir("d"))
	lost := 0
	for seed := range uint64(100) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		require.NoError(t, after.Check())
		if content(t, after, "d/f") == "missing" {
			lost++
		}
	}
	require.Greater(t, lost, 20)
	require.Less(t, lost, 80)
}

func TestSizesAreVolatileUntilSynced(t *testing.T) {
	base := newRig(t, 512)
	base.durableFile("long", "oooooooo")
	base.durableFile("short", "o")
	base.ok(diskio.Op{Kind: diskio.Truncate, File: "long", Length: 512},
		diskio.Op{Kind: diskio.Allocate, File: "short", Length: 16 * 512})
	require.Equal(t, sectors("oooooooo", 512), content(t, base.MediaReader(Pristine), "long"))
	sizes := make(map[string]int)
	for seed := range uint64(300) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		require.NoError(t, after.Check())
		long, short := content(t, after, "long"), content(t, after, "short")
		require.True(t, strings.HasPrefix(sectors("oooooooo", 512), long))
		require.True(t, strings.HasPrefix(short, sectors("o", 512)))
		sizes[fmt.Sprintf("long %d", len(long)/512)]++
		sizes[fmt.Sprintf("short %d", len(short)/512)]++
	}
	for _, each := range []string{"long 1", "long 8", "short 1", "short 16", "short 9"} {
		require.Positive(t, sizes[each], "%s in %v", each, sizes)
	}
}

func TestTruncatedContentMayComeBackOnlyAsAWhole(t *testing.T) {
	base := newRig(t, 512)
	base.durableFile("f", "oooooooo")
	base.ok(diskio.Op{Kind: diskio.Truncate, File: "f", Length: 1024},
		diskio.Op{Kind: diskio.Truncate, File: "f", Length: 4096})
	require.Equal(t, sectors("oo", 512)+strings.Repeat("\x00", 3072), content(t, base, "f"))
	for seed := range uint64(100) {
		after := base.Clone()
		after.Crash(PowerLoss, seed)
		got := content(t, after, "f")
		if got != sectors("oooooooo", 512) {
			require.Equal(t, sectors("oo", 512), got[:1024])
			require.Empty(t, strings.Trim(got[1024:], "\x00"))
		}
	}
	base.ok(sync("f"))
	base.Crash(PowerLoss, 1)
	require.Equal(t, sectors("oo", 512)+strings.Repeat("\x00", 3072), content(t, base, "f"))
}

func TestExhaustiveImagesAreExactlyTheLegalOnes(t *testing.T) {
	base := newRig(t, 512)
	base.durableFile("f", "ooo")
	base.ok(write("f", 512, sectors("nn", 512)), write("g", 0, "g"), sync("g"))
	images := make(map[string]bool)
	walk := base.Images()
	n := 0
	for image, ok := walk.Next(); ok; image, ok = walk.Next() {
		n++
		require.NoError(t, image.Check())
		got := content(t, image, "f")
		pattern := ""
		for i := range 3 {
			switch got[i*512 : (i+1)*512] {
			case sectors("o", 512):
				pattern += "o"
			case sectors("n", 512):
				pattern += "n"
			default:
				pattern += "g"
			}
		}
		images[pattern+content(t, image, "g")[:1]] = true
	}
	require.Equal(t, 18, n)
	require.Len(t, images, 18)
	for _, pattern := range []string{"ooog", "ooom", "onnm", "oggg", "ongm"} {
		require.True(t, images[pattern], pattern)
	}
	require.Equal(t, sectors("onn", 512), content(t, base, "f"), "the disk itself goes on")
}

func TestEarlierUnsyncedContentMaySurvive(t *testing.T) {
	seen := false
	for i := range 20 {
		base := newRig(t, 512)
		name := fmt.Sprintf("f%d", i)
		base.durableFile(name, "o")
		base.ok(write(name, 0, sectors("1", 512)), write(name, 0, sectors("2", 512)))
		for seed := range uint64(50) {
			after := base.Clone()
			seen = after.Crash(PowerLoss, seed).Older > 0 &&
				content(t, after, name) == sectors("1", 512) || seen
		}
	}
	require.True(t, seen)
}

// dump is everything that can be read, errors included.
func dump(r diskio.Reader, names []string) string {
	var b bytes.Buffer
	for _, name := range names {
		size, err := r.Size(name)
		fmt.Fprintln(&b, name, size, err)
		p := make([]byte, size)
		n, err := r.ReadAt(name, p, 0)
		fmt.Fprintln(&b, n, err, p[:n])
	}
	return b.String()
}

var names = []string{"a", "b", "d/a", "d/b"}

func drawOp(t *rapid.T) diskio.Op {
	op := diskio.Op{
		Kind: rapid.SampledFrom([]diskio.Kind{diskio.Write, diskio.Write, diskio.Write,
			diskio.Sync, diskio.Sync, diskio.Allocate, diskio.Truncate, diskio.Rename,
			diskio.Remove, diskio.SyncDir, diskio.Read}).Draw(t, "kind"),
		File: rapid.SampledFrom(names).Draw(t, "file"),
		Lane: diskio.Lane(rapid.IntRange(0, int(diskio.NumLanes)-1).Draw(t, "lane")),
	}
	switch op.Kind {
	case diskio.Write:
		op.Offset = rapid.Int64Range(0, 9000).Draw(t, "offset")
		op.Data = bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")},
			rapid.IntRange(0, 6000).Draw(t, "size"))
	case diskio.Allocate, diskio.Truncate, diskio.Read:
		op.Length = rapid.Int64Range(0, 12000).Draw(t, "length")
	case diskio.Rename:
		op.To = rapid.SampledFrom(names).Draw(t, "to")
	case diskio.SyncDir:
		op.File = rapid.SampledFrom([]string{"", "d"}).Draw(t, "dir")
	}
	return op
}

type step struct {
	op    diskio.Op
	act   int
	seed  uint64
	crash CrashKind
}

func drawStep(t *rapid.T) step {
	s := step{op: drawOp(t), act: rapid.IntRange(0, 30).Draw(t, "act")}
	if s.act < 2 {
		s.seed = rapid.Uint64().Draw(t, "seed")
		s.crash = CrashKind(rapid.IntRange(0, 1).Draw(t, "crash"))
	}
	return s
}

// play runs steps and returns all that could be seen, with every fault switched on.
func play(t *rapid.T, d *Disk, steps []step) string {
	var seen bytes.Buffer
	for _, s := range steps {
		d.Submit(s.op)
		if _, ok := d.Begin(s.op.Lane); ok && s.act > 6 {
			fmt.Fprintln(&seen, d.Finish(s.op.Lane))
		} else if !ok && s.act > 3 {
			fmt.Fprintln(&seen, d.Finish(s.op.Lane))
		}
		switch s.act {
		case 0, 1:
			fmt.Fprintln(&seen, d.Crash(s.crash, s.seed))
		case 2:
			id, ok := d.Strike(BitRot, "", s.seed)
			fmt.Fprintln(&seen, id, ok)
		case 3:
			d.Evict(s.op.File)
		}
		require.NoError(t, d.Check())
	}
	fmt.Fprintln(&seen, d.Counts(), d.Overlays())
	return seen.String() + dump(d, names) + dump(d.MediaReader(Pristine), names)
}

func faultyDisk(t *rapid.T) *Disk {
	d := New(Options{Seed: rapid.Uint64().Draw(t, "disk"), Capacity: 40000,
		Sector: rapid.SampledFrom([]int{512, 4096}).Draw(t, "sector")})
	for k := range NumFaults {
		d.SetRate(k, rapid.Uint32Range(0, 100_000).Draw(t, "rate"))
	}
	d.Submit(diskio.Op{Kind: diskio.MakeDir, File: "d"})
	d.Begin(0)
	d.Finish(0)
	return d
}

// The same seed and the same steps give the same disk, on a clone as well as from scratch, and
// what happens to a clone is never seen by the original.
func TestDeterministicAndCloneIsIndependent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := faultyDisk(t)
		before := rapid.SliceOfN(rapid.Custom(drawStep), 0, 30).Draw(t, "before")
		after := rapid.SliceOfN(rapid.Custom(drawStep), 0, 30).Draw(t, "after")
		play(t, a, before)
		b, c := a.Clone(), a.Clone()
		first := play(t, a, after)
		require.Equal(t, first, play(t, b, after))
		require.Equal(t, first, play(t, c.Clone(), after))
		require.Equal(t, first, play(t, c, after))
	})
}

// ledger is the obvious twin of durability: what each file held at its last sync, by sector, minus
// what was written since.
type ledger struct {
	content string
	sure    []bool // by sector
}

// Whatever is reported Durable is found by every power loss, and the media agree with it.
func TestDurableMeansDurable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := faultyDisk(t)
		for k := LatentSector; k < NumFaults; k++ {
			d.SetRate(k, 0)
		}
		d.SetRate(ReadFails, 0)
		play(t, d, rapid.SliceOfN(rapid.Custom(drawStep), 1, 40).Draw(t, "steps"))
		for _, o := range d.Overlays() {
			d.Disable(o.ID)
		}
		promised := make(map[string]ledger)
		for _, name := range names {
			l := ledger{content: content(t, d, name)}
			for off := 0; off+512 <= len(l.content); off += 512 {
				l.sure = append(l.sure, d.Durable(name, int64(off), 512))
			}
			promised[name] = l
		}
		media := d.MediaReader(Pristine)
		for seed := range uint64(8) {
			after := d.Clone()
			after.Crash(PowerLoss, seed)
			require.NoError(t, after.Check())
			for _, name := range names {
				l := promised[name]
				for i, sure := range l.sure {
					if !sure {
						continue
					}
					want := l.content[i*512 : (i+1)*512]
					got, durable := make([]byte, 512), make([]byte, 512)
					_, err := after.ReadAt(name, got, int64(i)*512)
					if err != io.EOF {
						require.NoError(t, err)
					}
					require.Equal(t, want, string(got))
					_, err = media.ReadAt(name, durable, int64(i)*512)
					if err != io.EOF {
						require.NoError(t, err)
					}
					require.Equal(t, want, string(durable))
				}
			}
		}
	})
}
