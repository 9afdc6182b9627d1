package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// lagging makes etcd keep everything in its log and nearly nothing in its database.
func lagging() []string {
	return []string{"--backend-batch-interval=1h", "--backend-batch-limit=100000000"}
}

// kill ends a member as a power cut ends its process.
func (s *server) kill(t *testing.T) {
	require.NoError(t, s.process.Process.Kill())
	_ = s.process.Wait() // it dies of the signal
}

// restrict changes users' rights while they count, and writes with them.
func restrict(t *testing.T, s *server) {
	ctx := testContext(t)
	_, err := s.UserAdd(ctx, "root", "secret")
	require.NoError(t, err)
	_, err = s.UserGrantRole(ctx, "root", "root")
	require.NoError(t, err)
	_, err = s.AuthEnable(ctx)
	require.NoError(t, err)
	as := func(user string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint}, Username: user,
			Password: "secret", Logger: zap.NewNop(), DialTimeout: patience})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	root, jane := as("root"), as("jane")
	_, err = jane.Put(ctx, "kxx", "not hers")
	require.ErrorContains(t, err, "permission denied")
	_, err = root.RoleGrantPermission(ctx, "reader", "kx", "ky",
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	for i := range 20 {
		_, err = jane.Put(ctx, fmt.Sprint("kx", i), "hers")
		require.NoError(t, err)
		_, err = root.Put(ctx, fmt.Sprint("root's ", i), "his")
		require.NoError(t, err)
	}
	got, err := root.Get(ctx, "kx1")
	require.NoError(t, err)
	_, err = root.Compact(ctx, got.Header.Revision-30)
	require.NoError(t, err)
	_, err = root.UserChangePassword(ctx, "jane", "another")
	require.NoError(t, err)
	_, err = root.AuthDisable(ctx)
	require.NoError(t, err)
}

// An etcd that was killed has nearly everything in its log only.
func TestAKilledEtcdsDirectoryBecomesDetcds(t *testing.T) {
	all := build(t)
	dir := t.TempDir()
	at := freeAddresses(t)
	source := launch(t, all.etcd, "m", filepath.Join(dir, "source"), at, "m="+at.peer, lagging()...)
	source.await(t)
	fill(t, source)
	restrict(t, source)
	_, err := try(all.detcdutl, "migrate", "--from", source.dir, "--data-dir",
		filepath.Join(dir, "early"))
	require.ErrorContains(t, err, "is in use")
	source.kill(t)
	before := contents(t, source.dir)
	home := filepath.Join(dir, "target")
	to := freeAddresses(t)
	args := []string{"migrate", "--from", source.dir, "--data-dir", home, "--name", "m",
		"--initial-cluster", "m=" + to.peer, "--initial-advertise-peer-urls", to.peer}
	run(t, all.detcdutl, args...)
	require.Equal(t, before, contents(t, source.dir), "the source is as it was")
	left, err := filepath.Glob(filepath.Join(dir, ".detcd-migration-*"))
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = try(all.detcdutl, args...)
	require.ErrorContains(t, err, "not empty")
	target := start(t, all.detcd, home, to)
	again := start(t, all.etcd, source.dir, at)
	requireSame(t, again, target)
}

// A detcd that was killed goes back to etcd, with what its log holds.
func TestAKilledDetcdsDirectoryBecomesEtcds(t *testing.T) {
	all := build(t)
	dir := t.TempDir()
	at := freeAddresses(t)
	source := start(t, all.detcd, filepath.Join(dir, "source"), at)
	fill(t, source)
	restrict(t, source)
	file := filepath.Join(dir, "snapshot.db")
	_, err := try(all.detcdutl, "snapshot", "save", file, "--data-dir", source.dir)
	require.Error(t, err, "it is in use")
	source.kill(t)
	before := contents(t, source.dir)
	run(t, all.detcdutl, "snapshot", "save", file, "--data-dir", source.dir)
	require.Equal(t, before, contents(t, source.dir), "the source is as it was")
	_, err = try(all.detcdutl, "snapshot", "save", file, "--data-dir", source.dir)
	require.ErrorContains(t, err, "--force replaces it")
	run(t, all.detcdutl, "snapshot", "verify", file)
	target := restore(t, all.etcdutl, all.etcd, file, filepath.Join(dir, "target"))
	again := start(t, all.detcd, source.dir, at)
	requireSame(t, again, target)
}

// contents is every file of a directory, by name.
func contents(t *testing.T, dir string) map[string]string {
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() || strings.HasSuffix(path, ".tmp") {
			return nil
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		found[path] = string(b)
		return nil
	}))
	return found
}
