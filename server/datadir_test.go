package server

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree lists a directory with the content of its files, to see that nothing was touched.
func tree(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if !d.IsDir() {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			all[path] = string(content)
		} else {
			all[path] = "directory"
		}
		return nil
	}))
	return all
}

func testConfig(dir string) Config {
	c := DefaultConfig()
	c.Dir = dir
	c.ListenClientURLs = mustURLs("http://127.0.0.1:0")
	c.ListenPeerURLs = mustURLs("http://127.0.0.1:0")
	c.LogOutputs = []string{os.DevNull}
	return c
}

func TestForeignDataDirectoriesAreRefusedUntouched(t *testing.T) {
	newer := append([]byte(identityMagic), 0, 0, 0, 3)
	damaged := append([]byte(identityMagic), 0, 0, 0, 2)
	for _, c := range []struct {
		file    string
		content string
		want    string
	}{
		{"member/snap/db", "bolt", "detcdutl migrate --from"},
		{"member/wal/0000000000000000-0000000000000000.wal", "etcd", "detcdutl migrate --from"},
		{"member/identity", string(newer), "format version 3"},
		{"member/identity", string(damaged), "is damaged"},
		{"member/identity", "something", "not an identity file"},
		{"member/log/1", "entries", "holds a member's files but no identity"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(c.content), 0o600))
		before := tree(t, dir)
		_, err := Start(testConfig(dir))
		require.ErrorContains(t, err, c.want)
		require.Equal(t, before, tree(t, dir))
	}
}

func TestIdentityIsReadBackAndItsDamageFound(t *testing.T) {
	dir := t.TempDir()
	id := settleIn(identity{cluster: 0x1122334455667788, member: 0x99})
	_, err := readIdentity(dir)
	require.ErrorIs(t, err, errFresh)
	require.NoError(t, os.Mkdir(filepath.Join(dir, memberDir), 0o700))
	require.NoError(t, writeIdentity(dir, id))
	got, err := readIdentity(dir)
	require.NoError(t, err)
	require.Equal(t, id, got)

	path := filepath.Join(dir, memberDir, identityFile)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, content, identityBytes)
	require.Equal(t, uint64(0x99), binary.BigEndian.Uint64(content[20:]))
	require.Equal(t, id.secret, binary.BigEndian.Uint64(content[28:]))
	content[15] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err = readIdentity(dir)
	require.ErrorContains(t, err, "is damaged")
}

// What keys a member's log and its elections is nothing that an answer's header shows, differs
// from member to member, and stays what it is for the life of the directory.
func TestTheSeedIsTheMembersSecret(t *testing.T) {
	seeds := map[uint64]bool{}
	for range 3 {
		c := testConfig(t.TempDir())
		var seed uint64
		for range 2 {
			s := &Server{cfg: c, dial: &peerDialer{}}
			start, err := s.takeDataDir()
			require.NoError(t, err)
			n := s.nodeConfig(start)
			require.NotContains(t, []uint64{0, n.Cluster, uint64(n.Member)}, n.Seed)
			require.Contains(t, []uint64{0, n.Seed}, seed)
			seed = n.Seed
			require.NoError(t, s.unlock())
		}
		seeds[seed] = true
	}
	require.Len(t, seeds, 3)
}

func TestBootstrapRefusals(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Name = "other" },
			`couldn't find local name "other" in the initial cluster configuration`},
		{func(c *Config) { c.InitialCluster = "default=http://10.0.0.1:2380" },
			"--initial-cluster has default=http://10.0.0.1:2380 but missing from " +
				"--initial-advertise-peer-urls=http://localhost:2380"},
		{func(c *Config) { c.AdvertisePeerURLs = mustURLs(DefaultPeerURL, "http://10.0.0.1:1") },
			"--initial-advertise-peer-urls has default=http://10.0.0.1:1 but missing from " +
				"--initial-cluster=http://localhost:2380"},
		{func(c *Config) { c.InitialCluster += ",b=http://localhost:2380" }, "has duplicate url"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		_, err := newBootstrap(&cfg)
		require.ErrorContains(t, err, c.want)
	}
	cfg := DefaultConfig()
	cfg.AdvertisePeerURLs = mustURLs("http://127.0.0.1:23800")
	cfg.InitialCluster = cfg.initialClusterFromName()
	b, err := newBootstrap(&cfg)
	require.NoError(t, err)
	require.Len(t, b.members, 1)
	require.Equal(t, b.members[0].ID, b.identity.member)
}
