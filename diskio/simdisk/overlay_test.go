package simdisk

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
)

func TestDamageIsSeenListedSwitchedOffAndHealed(t *testing.T) {
	for _, kind := range []FaultKind{LatentSector, BitRot, ZeroedSector, Misdirected} {
		r := newRig(t, 512)
		r.durableFile("f", "abcdefgh")
		whole := sectors("abcdefgh", 512)
		id, ok := r.StrikeSector(kind, "f", 3, 5)
		require.True(t, ok)
		r.ok(diskio.Op{Kind: diskio.Rename, File: "f", To: "g"})
		listed := r.Overlays()
		require.Len(t, listed, 1)
		require.Equal(t, id, listed[0].ID)
		require.Equal(t, "g", listed[0].File)
		require.EqualValues(t, 3, listed[0].Sector)

		p := make([]byte, 4096)
		n, err := r.ReadAt("g", p, 0)
		if kind == LatentSector {
			require.ErrorIs(t, err, diskio.ErrFailed)
			require.Equal(t, 3*512, n)
			require.Equal(t, diskio.Failed,
				r.do(diskio.Op{Kind: diskio.Read, File: "g", Length: 4096}).Status)
		} else {
			require.NoError(t, err)
			require.Equal(t, whole[:3*512], string(p[:3*512]))
			require.NotEqual(t, whole[3*512:4*512], string(p[3*512:4*512]))
			require.Equal(t, whole[4*512:], string(p[4*512:]))
		}
		require.Positive(t, r.Overlays()[0].Felt)
		require.Positive(t, r.Counts().Felt[kind])
		require.EqualValues(t, 1, r.Counts().Injected[kind])
		n, err = r.ReadAt("g", p[:512*3], 0)
		require.NoError(t, err, "sectors beside it are well")
		require.Equal(t, 512*3, n)

		require.True(t, r.Disable(id))
		require.Equal(t, whole, content(t, r, "g"))
		require.True(t, r.Enable(id))
		media := r.MediaReader(Damaged)
		r.ok(syncDir(""))
		_, err = media.ReadAt("g", p, 0)
		require.True(t, err != nil || string(p) != whole, "the damage is on the media")
		require.Equal(t, whole, content(t, r.MediaReader(Pristine), "g"))

		crashed := r.Clone()
		crashed.Crash(PowerLoss, 3)
		require.Len(t, crashed.Overlays(), 1, "damage survives a crash")
		r.ok(write("g", 3*512, sectors("x", 512)), sync("g"))
		require.Empty(t, r.Overlays(), "rewriting a sector heals it")
		require.False(t, r.Disable(id))
		require.Equal(t, sectors("abcxefgh", 512), content(t, r, "g"))
		require.Len(t, crashed.Overlays(), 1)
	}
}

// A partial read of a damaged sector shows the same bytes as a whole one.
func TestDamageIsTheSameForEveryRead(t *testing.T) {
	for _, kind := range []FaultKind{BitRot, ZeroedSector, Misdirected} {
		r := newRig(t, 512)
		r.durableFile("f", "abcd")
		_, ok := r.StrikeSector(kind, "f", 1, 99)
		require.True(t, ok)
		whole := content(t, r, "f")
		for off := 0; off < 2048; off += 37 {
			for _, size := range []int{1, 20, 700} {
				p := make([]byte, min(size, 2048-off))
				_, err := r.ReadAt("f", p, int64(off))
				require.NoError(t, err)
				require.Equal(t, whole[off:off+len(p)], string(p))
			}
		}
	}
}

func TestLostWriteReturnsTheOldContent(t *testing.T) {
	r := newRig(t, 512)
	r.durableFile("f", "oooo")
	r.Arm(LostWrite, "")
	r.ok(write("f", 512, sectors("nn", 512)), sync("f"))
	require.Len(t, r.Overlays(), 1)
	got := content(t, r, "f")
	require.Contains(t, []string{sectors("oono", 512), sectors("onoo", 512)}, got)
	require.Equal(t, sectors("onno", 512), content(t, r.MediaReader(Pristine), "f"))
	require.True(t, r.Disable(r.Overlays()[0].ID))
	require.Equal(t, sectors("onno", 512), content(t, r, "f"))
}

func TestMisdirectedWriteHarmsTwoSectors(t *testing.T) {
	r := newRig(t, 512)
	r.durableFile("f", "abcd")
	r.Arm(Misdirected, "f")
	r.ok(write("f", 512, sectors("n", 512)), sync("f"))
	overlays := r.Overlays()
	require.Len(t, overlays, 2)
	require.EqualValues(t, 1, overlays[0].Source)
	require.EqualValues(t, 1, overlays[1].Sector)
	got := content(t, r, "f")
	require.Equal(t, sectors("b", 512), got[512:1024], "the sector it was meant for stays old")
	target := overlays[0].Sector
	require.NotEqual(t, int64(1), target)
	require.Equal(t, sectors("n", 512), got[target*512:(target+1)*512])
}

func TestRatesDamageWhatIsSynced(t *testing.T) {
	r := newRig(t, 512)
	r.SetRate(BitRot, 100_000)
	r.durableFile("f", strings.Repeat("x", 400))
	rotten := len(r.Overlays())
	require.Greater(t, rotten, 20)
	require.Less(t, rotten, 60)
	r.Quiet()
	r.durableFile("f", strings.Repeat("x", 400))
	require.Empty(t, r.Overlays())
}

func TestStrikeFindsATargetWithin(t *testing.T) {
	r := newRig(t, 512)
	_, ok := r.Strike(BitRot, "", 1)
	require.False(t, ok, "there is nothing to damage")
	r.ok(diskio.Op{Kind: diskio.MakeDir, File: "wal"})
	r.durableFile("wal/1", "abcd")
	r.durableFile("other", strings.Repeat("x", 100))
	sectors := make(map[int64]bool)
	for key := range uint64(60) {
		id, ok := r.Strike(BitRot, "wal/", key)
		require.True(t, ok)
		o := r.Overlays()[id-1]
		require.Equal(t, "wal/1", o.File)
		sectors[o.Sector] = true
	}
	require.Len(t, sectors, 4)
}

func TestErrorsOfReadsAndWrites(t *testing.T) {
	r := newRig(t, 512)
	r.durableFile("f", "oooo")
	r.Arm(ReadFails, "f")
	_, err := r.ReadAt("f", make([]byte, 1), 0)
	require.ErrorIs(t, err, diskio.ErrFailed)
	require.Equal(t, sectors("oooo", 512), content(t, r, "f"))
	r.Arm(ReadFails, "f")
	require.Equal(t, diskio.Failed, r.do(diskio.Op{Kind: diskio.Read, File: "f", Length: 1}).Status)
	r.Arm(WriteFails, "f")
	require.Equal(t, diskio.Failed, r.do(write("f", 0, sectors("nnnn", 512))).Status)
	got := content(t, r, "f")
	n := strings.Count(got, "n")
	require.Equal(t, strings.Repeat("n", n)+strings.Repeat("o", 2048-n), got)
	require.EqualValues(t, 2, r.Counts().Felt[ReadFails])
	require.EqualValues(t, 1, r.Counts().Injected[WriteFails])
}

func TestFullDisk(t *testing.T) {
	r := newRig(t, 512)
	r.SetCapacity(4096)
	r.ok(write("f", 0, strings.Repeat("x", 3000)))
	require.Equal(t, diskio.NoSpace, r.do(write("g", 0, strings.Repeat("y", 1097))).Status)
	require.Equal(t, diskio.NoSpace,
		r.do(diskio.Op{Kind: diskio.Allocate, File: "g", Length: 2000}).Status)
	r.ok(write("f", 0, strings.Repeat("z", 3000)), write("g", 0, strings.Repeat("y", 1096)))
	require.EqualValues(t, 4096, r.Used())
	require.Equal(t, diskio.NoSpace, r.do(write("g", 1096, "1")).Status)
	r.ok(diskio.Op{Kind: diskio.Remove, File: "f"}, write("g", 1096, "1"))
	require.EqualValues(t, 1097, r.Used())
	r.SetCapacity(0)
	r.Arm(DiskFull, "g")
	require.Equal(t, diskio.NoSpace, r.do(write("g", 1097, "1")).Status)
	r.ok(write("g", 1097, "1"))
	require.EqualValues(t, 4, r.Counts().Felt[DiskFull])
}

// A fault that is drawn depends on its file's own history only.
func TestDrawsOfOneFileIgnoreOtherFiles(t *testing.T) {
	failures := func(disturb bool) []int {
		r := newRig(t, 512)
		r.SetRate(SyncFails, 200_000)
		var failed []int
		for i := range 100 {
			if disturb && i%3 == 0 {
				r.do(write("other", 0, "x"))
				r.do(sync("other"))
			}
			r.ok(write("f", 0, "x"))
			if r.do(sync("f")).Status != diskio.OK {
				failed = append(failed, i)
			}
		}
		return failed
	}
	quiet := failures(false)
	require.NotEmpty(t, quiet)
	require.Equal(t, quiet, failures(true))
}

func TestFailedDirectorySyncForgetsNames(t *testing.T) {
	r := newRig(t, 512)
	r.ok(write("f", 0, "x"), sync("f"))
	r.Arm(SyncFails, "")
	require.Equal(t, diskio.Failed, r.do(syncDir("")).Status)
	r.ok(syncDir(""))
	require.Equal(t, "x", content(t, r, "f"))
	require.False(t, r.Durable("f", 0, 1))
	r.Crash(PowerLoss, 1)
	_, err := r.Size("f")
	require.True(t, errors.Is(err, diskio.ErrNotFound))
}

// A later sync of a neighbour in the same page does not carry forgotten sectors along.
func TestForgottenSectorsStayForgottenBesideOthers(t *testing.T) {
	r := newRig(t, 512)
	r.ok(write("f", 0, sectors("abcd", 512)))
	r.Arm(SyncFails, "f")
	require.Equal(t, diskio.Failed, r.do(sync("f")).Status)
	r.ok(write("f", 512, sectors("n", 512)), sync("f"), syncDir(""))
	require.True(t, r.Durable("f", 512, 512))
	require.False(t, r.Durable("f", 0, 512))
	require.False(t, r.Durable("f", 1024, 1))
	r.Crash(PowerLoss, 1)
	zero := strings.Repeat("\x00", 512)
	require.Equal(t, zero+sectors("n", 512)+zero+zero, content(t, r, "f"))
}

func TestOperationsInFlightEndangerWhatTheyTouch(t *testing.T) {
	for _, c := range []struct {
		op   diskio.Op
		sure string // of the four sectors, those that stay durable
	}{
		{write("f", 600, "x"), "y-yy"},
		{write("f", 511, "xy"), "--yy"},
		{write("f", 4096, "x"), "yyyy"},
		{write("other", 0, "x"), "yyyy"},
		{diskio.Op{Kind: diskio.Truncate, File: "f", Length: 1025}, "yy--"},
		{diskio.Op{Kind: diskio.Truncate, File: "f", Length: 4096}, "yyyy"},
		{diskio.Op{Kind: diskio.Allocate, File: "f", Length: 4096}, "yyyy"},
		{diskio.Op{Kind: diskio.Allocate, File: "f", Length: 512}, "y---"},
		{diskio.Op{Kind: diskio.Rename, File: "f", To: "g"}, "----"},
		{diskio.Op{Kind: diskio.Rename, File: "g", To: "f"}, "----"},
		{diskio.Op{Kind: diskio.Remove, File: "f"}, "----"},
		{sync("f"), "yyyy"},
	} {
		r := newRig(t, 512)
		r.durableFile("f", "abcd")
		r.Submit(c.op)
		_, ok := r.Begin(c.op.Lane)
		require.True(t, ok)
		sure := ""
		for i := range 4 {
			if r.Durable("f", int64(i)*512, 512) {
				sure += "y"
			} else {
				sure += "-"
			}
		}
		require.Equal(t, c.sure, sure, "%v", c.op)
	}
}

// A file that is made again under an old name must not meet the old one's fate again.
func TestRecreatedFileHasItsOwnDraws(t *testing.T) {
	r := newRig(t, 512)
	r.SetRate(SyncFails, 500_000)
	failed := 0
	for range 100 {
		r.ok(write("tmp", 0, "x"))
		if r.do(sync("tmp")).Status != diskio.OK {
			failed++
		}
		r.ok(diskio.Op{Kind: diskio.Remove, File: "tmp"})
	}
	require.Greater(t, failed, 25)
	require.Less(t, failed, 75)
}

// Growing a file inside its last page dirties a page that both layers share.
func TestSharedPageIsNotRecycled(t *testing.T) {
	r := newRig(t, 512)
	r.ok(write("f", 0, "content"), sync("f"),
		diskio.Op{Kind: diskio.Allocate, File: "f", Length: 1000}, sync("f"),
		write("g", 0, sectors("g", 4096)))
	require.Equal(t, "content"+strings.Repeat("\x00", 993), content(t, r, "f"))
}
