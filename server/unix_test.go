package server

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A socket file serves as a port does; one that a killed process left behind is in nobody's way.
func TestClientsComeThroughASocketFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	left, err := net.Listen("unix", name) // by a process that was killed
	require.NoError(t, err)
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, left.Close())
	urls, err := types.NewURLs([]string{"unix://" + name})
	require.NoError(t, err)
	c := startCluster(t, 1, func(cfg *Config) {
		for _, l := range cfg.ClientListeners {
			require.NoError(t, l.Close())
		}
		cfg.ClientListeners = nil
		cfg.ListenClientURLs, cfg.AdvertiseClientURLs = urls, urls
	})
	require.Equal(t, []string{name}, c.servers[0].ClientAddrs())
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + name},
		Logger: zap.NewNop(), DialTimeout: patience})
	require.NoError(t, err)
	defer func() { require.NoError(t, cli.Close()) }()
	_, err = cli.Put(testContext(t), "k", "v")
	require.NoError(t, err)
	_, err = c.configs[0].listen(&urls[0])
	require.ErrorContains(t, err, "in use", "somebody listens there")
	c.servers[0].Stop()
	require.NoFileExists(t, name)
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	_, err = c.configs[0].listen(&urls[0])
	require.Error(t, err, "what is no socket is not removed")
	require.FileExists(t, name)
}
