package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/backup"
)

// savedSnapshot fills a cluster of one member and saves it.
func savedSnapshot(t *testing.T, c *cluster) (file string, revision int64) {
	cli, ctx := c.client(), testContext(t)
	value := strings.Repeat("v", 10_000)
	for i := range 300 {
		put, err := cli.Put(ctx, fmt.Sprintf("k%03d", i%200), value)
		require.NoError(t, err)
		revision = put.Header.Revision
	}
	got, err := cli.SnapshotWithVersion(ctx)
	require.NoError(t, err)
	require.Equal(t, "3.7.0", got.Version)
	file = filepath.Join(t.TempDir(), "snapshot.db")
	out, err := os.Create(file)
	require.NoError(t, err)
	_, err = io.Copy(out, got.Snapshot)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	return file, revision
}

func TestASnapshotIsRestoredAndServed(t *testing.T) {
	c := startCluster(t, 1, nil)
	file, revision := savedSnapshot(t, c)
	ctx := testContext(t)
	source, err := c.client().HashKV(ctx, c.servers[0].ClientAddrs()[0], 0)
	require.NoError(t, err)

	cfg := testConfig(filepath.Join(t.TempDir(), "restored"))
	r := RestoreConfig{Snapshot: file, Name: cfg.Name, Dir: cfg.Dir,
		InitialCluster:      cfg.Name + "=http://127.0.0.1:0",
		InitialClusterToken: "other", AdvertisePeerURLs: []string{"http://127.0.0.1:0"}}
	require.NoError(t, Restore(&r, zap.NewNop()))
	found, err := CheckDataDir(cfg.Dir)
	require.NoError(t, err)
	require.Equal(t, revision, found.Revision)
	require.EqualValues(t, 200, found.Keys)
	require.ErrorContains(t, Restore(&r, zap.NewNop()), "not empty or could not be read")

	other := &cluster{t: t, configs: []Config{cfg}, servers: make([]*Server, 1)}
	other.start(0)
	t.Cleanup(other.servers[0].Stop)
	other.await(other.servers[0])
	require.Equal(t, found.Member, fmt.Sprintf("%x", uint64(other.servers[0].State().Raft.ID)))
	cli := other.client()
	restored, err := cli.HashKV(ctx, other.servers[0].ClientAddrs()[0], 0)
	require.NoError(t, err)
	require.Equal(t, source.Hash, restored.Hash)
	put, err := cli.Put(ctx, "k000", "after")
	require.NoError(t, err)
	require.Equal(t, revision+1, put.Header.Revision)
}

// A client that takes its time holds nobody up, and gets the state of when it asked.
func TestASnapshotStopsNoWrites(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	value := strings.Repeat("v", 100_000)
	for i := range 200 { // 20 MB: more than the transport's windows hold
		_, err := cli.Put(ctx, fmt.Sprintf("k%03d", i), value)
		require.NoError(t, err)
	}
	got, err := cli.Snapshot(ctx)
	require.NoError(t, err)
	first := make([]byte, 1)
	_, err = io.ReadFull(got, first)
	require.NoError(t, err)
	for i := range 200 {
		_, err := cli.Put(ctx, fmt.Sprintf("k%03d", i), "later")
		require.NoError(t, err)
	}
	rest, err := io.ReadAll(got)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "snapshot.db")
	require.NoError(t, os.WriteFile(file, append(first, rest...), 0o600))
	require.NoError(t, backup.VerifyHash(file))
	f, err := backup.Open(file)
	require.NoError(t, err)
	require.EqualValues(t, 201, f.Revision)
	require.NoError(t, f.Close())
	require.NoError(t, got.Close())
	requireViewsEnd(t, c.servers[0], cli)
}

// requireViewsEnd waits until a compaction's space is given back, which a view would prevent.
func requireViewsEnd(t *testing.T, s *Server, cli *clientv3.Client) {
	ctx := testContext(t)
	got, err := cli.Get(ctx, "k000")
	require.NoError(t, err)
	_, err = cli.Compact(ctx, got.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	_, err = cli.Defragment(ctx, s.ClientAddrs()[0])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.State().FileBytes < 10<<20 }, patience,
		10*time.Millisecond)
}

func TestAClientThatGoesAwayGivesTheViewBack(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	for i := range 200 {
		_, err := cli.Put(ctx, fmt.Sprintf("k%03d", i), strings.Repeat("v", 100_000))
		require.NoError(t, err)
	}
	leaving, cancel := context.WithCancel(ctx)
	got, err := cli.Snapshot(leaving)
	require.NoError(t, err)
	_, err = io.ReadFull(got, make([]byte, 1))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(got)
	require.Error(t, err)
	for i := range 200 {
		_, err := cli.Put(ctx, fmt.Sprintf("k%03d", i), "later")
		require.NoError(t, err)
	}
	requireViewsEnd(t, c.servers[0], cli)
}

func TestAClientThatTakesNothingLosesItsStream(t *testing.T) {
	s := &snapshotStream{stall: time.Millisecond, sent: make(chan struct{}, 1),
		done: make(chan error, 1)}
	err := s.watch(testContext(t))
	require.Equal(t, codes.Aborted, status.Code(err))
	s.sent <- struct{}{}
	s.done <- nil
	require.NoError(t, s.watch(testContext(t)))
}

func TestRestoresThatCannotBeAreRefused(t *testing.T) {
	dir := t.TempDir()
	good := RestoreConfig{Snapshot: filepath.Join(dir, "missing"), Name: "m",
		Dir: filepath.Join(dir, "data"), InitialCluster: "m=http://127.0.0.1:1",
		InitialClusterToken: "token", AdvertisePeerURLs: []string{"http://127.0.0.1:1"}}
	for _, c := range []struct {
		name   string
		change func(*RestoreConfig)
		want   string
	}{
		{"no file", func(*RestoreConfig) {}, "no such file"},
		{"another name", func(r *RestoreConfig) { r.Name = "n" },
			"couldn't find local name \"n\" in the initial cluster configuration"},
		{"other addresses", func(r *RestoreConfig) {
			r.AdvertisePeerURLs = []string{"http://127.0.0.1:2"}
		}, "--initial-cluster has m=http://127.0.0.1:1 but missing from"},
		{"a directory in use", func(r *RestoreConfig) { r.Dir = dir },
			"not empty or could not be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			c.change(&r)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
			require.ErrorContains(t, Restore(&r, zap.NewNop()), c.want)
			require.NoDirExists(t, good.Dir)
		})
	}
}

// Every kind of file that a stopped member has is looked at.
func TestCheckNamesWhatIsDamaged(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) { cfg.SnapshotCount = 100 })
	savedSnapshot(t, c)
	c.servers[0].Stop()
	dir := c.configs[0].Dir
	found, err := CheckDataDir(dir)
	require.NoError(t, err)
	require.Empty(t, found.Findings)
	for pattern, held := range map[string]string{"data/*.seg": "versions of keys between",
		"data/*.manifest": "the list of the files", "data/*.state": "members, leases, users",
		"log/*.wal": "; entr", "identity": ""} {
		files, err := filepath.Glob(filepath.Join(dir, memberDir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		hit := files[len(files)-1]
		if strings.HasSuffix(pattern, ".seg") {
			hit = files[0] // the last ones may be after the newest checkpoint
		}
		whole, err := os.ReadFile(hit)
		require.NoError(t, err)
		broken := append([]byte(nil), whole...)
		if strings.HasSuffix(pattern, ".wal") {
			hit = files[0]
			whole, err = os.ReadFile(hit)
			require.NoError(t, err)
			broken = append([]byte(nil), whole...)
			broken[8*4096+100] ^= 1 // inside of a record, with others behind it
		} else {
			broken[len(broken)-20] ^= 1
		}
		require.NoError(t, os.WriteFile(hit, broken, 0o600))
		found, err = CheckDataDir(dir)
		if held == "" {
			require.ErrorContains(t, err, filepath.Base(hit))
		} else {
			require.NoError(t, err)
			require.False(t, found.Whole(), pattern)
			require.Contains(t, found.Findings[0].File, filepath.Base(hit))
			require.Contains(t, found.Findings[0].Held, held)
			require.Contains(t, found.Findings[0].String(), "what to do:")
		}
		require.NoError(t, os.WriteFile(hit, whole, 0o600))
	}
	_, err = CheckDataDir(t.TempDir())
	require.ErrorContains(t, err, "nobody lives there")
}
