// Package snapshot_test takes backups from one store to the other: what detcd saves is restored by
// etcd's own etcdutl and served by etcd, what etcd saves is restored by detcdutl and served by
// detcd, and each time both servers have to agree on everything that a client can ask.
package snapshot_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestBackupsTravelBetweenDetcdAndEtcd(t *testing.T) {
	all := build(t)
	t.Run("from detcd to etcd", func(t *testing.T) {
		travel(t, all, all.detcd, all.etcdutl, all.etcd)
	})
	t.Run("from etcd to detcd", func(t *testing.T) {
		travel(t, all, all.etcd, all.detcdutl, all.detcd)
	})
	t.Run("from detcd to detcd", func(t *testing.T) {
		travel(t, all, all.detcd, all.detcdutl, all.detcd)
	})
	t.Run("from etcd to three members of detcd", func(t *testing.T) { found(t, all) })
	t.Run("from etcd's stopped directory to detcd", func(t *testing.T) { migrate(t, all) })
}

func travel(t *testing.T, all tools, from, tool, to string) {
	dir := t.TempDir()
	source := start(t, from, filepath.Join(dir, "source"), freeAddresses(t))
	fill(t, source)
	file := filepath.Join(dir, "snapshot.db")
	run(t, all.detcdctl, "--endpoints", source.endpoint, "snapshot", "save", file)
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	requireSameWords(t, all, file)

	target := restore(t, tool, to, file, filepath.Join(dir, "target"))
	requireSame(t, source, target)
	_, err = target.Put(testContext(t), "after", "the restore")
	require.NoError(t, err)

	bumped := restore(t, tool, to, file, filepath.Join(dir, "bumped"), "--bump-revision",
		"1000", "--mark-compacted")
	requireBumped(t, source, bumped)
	again := filepath.Join(dir, "again.db")
	run(t, all.detcdctl, "--endpoints", bumped.endpoint, "snapshot", "save", again)
	requireSameWords(t, all, again)
	twice := restore(t, all.detcdutl, all.detcd, again, filepath.Join(dir, "twice"))
	newest, err := bumped.Get(testContext(t), "after")
	require.NoError(t, err)
	requireSameKeys(t, bumped, twice, newest.Header.Revision)

	whole[5*4096+3000] ^= 1
	require.NoError(t, os.WriteFile(file, whole, 0o600))
	_, err = try(tool, restoreArgs(file, filepath.Join(dir, "damaged"), freeAddresses(t))...)
	require.ErrorContains(t, err, "expected sha256 [")
}

// migrate restores from the database in the data directory of an etcd that was stopped.
func migrate(t *testing.T, all tools) {
	dir := t.TempDir()
	at := freeAddresses(t)
	source := start(t, all.etcd, filepath.Join(dir, "source"), at)
	fill(t, source)
	source.stop(t)
	_, err := try(all.detcd, "--name", "m", "--data-dir", source.dir, "--initial-cluster",
		"m="+at.peer, "--initial-advertise-peer-urls", at.peer)
	require.Error(t, err)
	file := filepath.Join(source.dir, "member", "snap", "db")
	_, err = try(all.detcdutl, restoreArgs(file, filepath.Join(dir, "no"), at)...)
	require.ErrorContains(t, err, "snapshot missing hash but --skip-hash-check=false")
	target := restore(t, all.detcdutl, all.detcd, file, filepath.Join(dir, "target"),
		"--skip-hash-check")
	again := start(t, all.etcd, source.dir, at)
	requireSame(t, again, target)
}

// found restores one file three times, for the members of a new cluster.
func found(t *testing.T, all tools) {
	dir := t.TempDir()
	source := start(t, all.etcd, filepath.Join(dir, "source"), freeAddresses(t))
	fill(t, source)
	file := filepath.Join(dir, "snapshot.db")
	run(t, all.detcdctl, "--endpoints", source.endpoint, "snapshot", "save", file)
	var at []addresses
	var pairs []string
	for i := range 3 {
		at = append(at, freeAddresses(t))
		pairs = append(pairs, fmt.Sprintf("m%d=%s", i, at[i].peer))
	}
	cluster := strings.Join(pairs, ",")
	var members []*server
	for i := range at {
		name := fmt.Sprint("m", i)
		home := filepath.Join(dir, name)
		run(t, all.detcdutl, "snapshot", "restore", file, "--data-dir", home, "--name", name,
			"--initial-cluster", cluster, "--initial-advertise-peer-urls", at[i].peer)
		members = append(members, launch(t, all.detcd, name, home, at[i], cluster))
	}
	for _, m := range members {
		m.await(t)
		requireSame(t, source, m)
	}
	_, err := members[1].Put(testContext(t), "after", "the restore")
	require.NoError(t, err)
	got, err := members[2].Get(testContext(t), "after")
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Count)
}

func restoreArgs(file, dir string, at addresses, more ...string) []string {
	return append([]string{"snapshot", "restore", file, "--data-dir", dir, "--name", "m",
		"--initial-cluster", "m=" + at.peer, "--initial-advertise-peer-urls", at.peer,
		"--initial-cluster-token", "another-cluster"}, more...)
}

func restore(t *testing.T, tool, program, file, dir string, more ...string) *server {
	t.Helper()
	at := freeAddresses(t)
	run(t, tool, restoreArgs(file, dir, at, more...)...)
	if strings.HasSuffix(tool, "detcdutl") {
		require.Contains(t, run(t, tool, "check", "--data-dir", dir), "whole")
	}
	return start(t, program, dir, at)
}

// fill writes what a store can hold: versions, deletions, transactions, a compaction, large values,
// leases, users.
func fill(t *testing.T, s *server) {
	ctx := testContext(t)
	put := func(key, value string, opts ...clientv3.OpOption) {
		_, err := s.Put(ctx, key, value, opts...)
		require.NoError(t, err)
	}
	for i := range 400 {
		put(fmt.Sprintf("k%02d", i%37), strings.Repeat(fmt.Sprint(i), i%50))
		if i%41 == 0 {
			_, err := s.Delete(ctx, fmt.Sprintf("k%02d", i%37))
			require.NoError(t, err)
		}
	}
	put("large", strings.Repeat("x", 1<<20))
	put("empty", "")
	_, err := s.Txn(ctx).Then(clientv3.OpPut("t1", "a"), clientv3.OpPut("t2", "b"),
		clientv3.OpDelete("k0", clientv3.WithRange("k1"))).Commit()
	require.NoError(t, err)
	_, err = s.Delete(ctx, "t2")
	require.NoError(t, err)
	last, err := s.Get(ctx, "t2")
	require.NoError(t, err)
	// A compaction right at a deletion keeps its tombstone.
	_, err = s.Compact(ctx, last.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	for i := range 200 {
		put(fmt.Sprintf("k%02d", i%23), fmt.Sprint("later ", i))
	}
	_, err = s.Delete(ctx, "k03")
	require.NoError(t, err)
	if lease, err := s.Grant(ctx, 3600); !unimplemented(t, err) {
		put("leased", "1", clientv3.WithLease(lease.ID))
		put("leased too", "2", clientv3.WithLease(lease.ID))
		_, err = s.Grant(ctx, 7200)
		require.NoError(t, err)
	}
	addUsers(t, s)
}

func addUsers(t *testing.T, s *server) {
	ctx := testContext(t)
	if _, err := s.RoleAdd(ctx, "reader"); unimplemented(t, err) {
		return
	}
	_, err := s.RoleGrantPermission(ctx, "reader", "k", "l",
		clientv3.PermissionType(clientv3.PermRead))
	require.NoError(t, err)
	_, err = s.UserAdd(ctx, "jane", "secret")
	require.NoError(t, err)
	_, err = s.UserGrantRole(ctx, "jane", "reader")
	require.NoError(t, err)
}

// unimplemented says that a part of the API is not served.
func unimplemented(t *testing.T, err error) bool {
	if status.Code(err) == codes.Unimplemented {
		t.Log(err)
		return true
	}
	require.NoError(t, err)
	return false
}

// requireSameWords compares what both tools say of a file.
func requireSameWords(t *testing.T, all tools, file string) {
	for _, form := range []string{"simple", "json", "fields", "table"} {
		require.Equal(t, run(t, all.etcdutl, "-w", form, "snapshot", "status", file),
			run(t, all.detcdutl, "-w", form, "snapshot", "status", file))
	}
	// etcdutl opens the file for writing, and changes it.
	copied := filepath.Join(t.TempDir(), "copy.db")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(copied, whole, 0o600))
	require.Equal(t, run(t, all.etcdutl, "-w", "json", "hashkv", copied),
		run(t, all.detcdutl, "-w", "json", "hashkv", file))
	var said struct{ HashRevision, CompactRevision int64 }
	require.NoError(t, json.Unmarshal([]byte(run(t, all.detcdutl, "-w", "json", "hashkv", file)),
		&said))
	at := fmt.Sprint((said.HashRevision + said.CompactRevision) / 2)
	require.Equal(t, run(t, all.etcdutl, "hashkv", copied, "--rev", at),
		run(t, all.detcdutl, "hashkv", file, "--rev", at))
}

// requireSame compares two servers at every revision that both have.
func requireSame(t *testing.T, a, b *server) {
	ctx := testContext(t)
	hashA, err := a.HashKV(ctx, a.endpoint, 0)
	require.NoError(t, err)
	hashB, err := b.HashKV(ctx, b.endpoint, 0)
	require.NoError(t, err)
	require.Equal(t, hashA.Header.Revision, hashB.Header.Revision)
	require.Equal(t, hashA.CompactRevision, hashB.CompactRevision)
	require.Equal(t, hashA.Hash, hashB.Hash)
	for rev := hashA.CompactRevision; rev <= hashA.Header.Revision; rev += 7 {
		requireSameKeys(t, a, b, rev)
		if rev == hashA.CompactRevision {
			continue // etcd answers with what it computed before the compaction
		}
		at, err := a.HashKV(ctx, a.endpoint, rev)
		require.NoError(t, err)
		of, err := b.HashKV(ctx, b.endpoint, rev)
		require.NoError(t, err)
		require.Equal(t, at.Hash, of.Hash, "revision %d", rev)
	}
	for _, s := range []*server{a, b} {
		_, err := s.Get(ctx, "k00", clientv3.WithRev(hashA.CompactRevision-1))
		require.ErrorContains(t, err, "compacted")
	}
	requireSameLeases(t, a, b)
	requireSameUsers(t, a, b)
}

func requireSameKeys(t *testing.T, a, b *server, rev int64) {
	var lists [2][]*mvccpb.KeyValue
	for i, s := range []*server{a, b} {
		got, err := s.Get(testContext(t), "", clientv3.WithPrefix(), clientv3.WithRev(rev))
		require.NoError(t, err)
		lists[i] = got.Kvs
	}
	require.Equal(t, len(lists[0]), len(lists[1]), "revision %d", rev)
	for i := range lists[0] {
		require.True(t, proto.Equal(lists[0][i], lists[1][i]), "revision %d: %v and %v", rev,
			lists[0][i].Key, lists[1][i].Key)
	}
}

func requireSameLeases(t *testing.T, a, b *server) {
	ctx := testContext(t)
	of, err := a.Leases(ctx)
	if unimplemented(t, err) {
		return
	}
	also, err := b.Leases(ctx)
	if unimplemented(t, err) {
		return
	}
	require.ElementsMatch(t, of.Leases, also.Leases)
	for _, lease := range of.Leases {
		one, err := a.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
		require.NoError(t, err)
		other, err := b.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
		require.NoError(t, err)
		require.Equal(t, one.GrantedTTL, other.GrantedTTL)
		require.Positive(t, other.TTL)
		require.ElementsMatch(t, one.Keys, other.Keys)
	}
}

func requireSameUsers(t *testing.T, a, b *server) {
	ctx := testContext(t)
	of, err := a.UserList(ctx)
	if unimplemented(t, err) {
		return
	}
	also, err := b.UserList(ctx)
	if unimplemented(t, err) {
		return
	}
	require.Equal(t, of.Users, also.Users)
	for _, user := range of.Users {
		one, err := a.UserGet(ctx, user)
		require.NoError(t, err)
		other, err := b.UserGet(ctx, user)
		require.NoError(t, err)
		require.Equal(t, one.Roles, other.Roles)
	}
	roles, err := a.RoleList(ctx)
	require.NoError(t, err)
	for _, role := range roles.Roles {
		one, err := a.RoleGet(ctx, role)
		require.NoError(t, err)
		other, err := b.RoleGet(ctx, role)
		require.NoError(t, err)
		require.Equal(t, len(one.Perm), len(other.Perm))
		for i := range one.Perm {
			require.True(t, proto.Equal(one.Perm[i], other.Perm[i]))
		}
	}
	one, err := a.AuthStatus(ctx)
	require.NoError(t, err)
	other, err := b.AuthStatus(ctx)
	require.NoError(t, err)
	require.Equal(t, one.AuthRevision, other.AuthRevision)
	require.Equal(t, one.Enabled, other.Enabled)
}

// requireBumped demands that no revision of the source exists any more, and that its newest state
// does.
func requireBumped(t *testing.T, source, s *server) {
	ctx := testContext(t)
	before, err := source.Get(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	got, err := s.Get(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Equal(t, before.Header.Revision+1000, got.Header.Revision)
	require.Equal(t, before.Count, got.Count)
	for i := range before.Kvs {
		require.True(t, proto.Equal(before.Kvs[i], got.Kvs[i]))
	}
	_, err = s.Get(ctx, "k00", clientv3.WithRev(before.Header.Revision))
	require.ErrorContains(t, err, "compacted")
	after, err := s.Put(ctx, "after", "the bump")
	require.NoError(t, err)
	require.Equal(t, got.Header.Revision+1, after.Header.Revision)
}
