package server

import (
	"crypto/tls"
	"math/big"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// load writes over connections that stay and over new ones, until it is ended.
type load struct {
	writes, connections atomic.Int64
	failed              atomic.Pointer[error]
	stop                chan struct{}
	running             sync.WaitGroup
}

func (c *cluster) startLoad(settings *tls.Config) *load {
	l := &load{stop: make(chan struct{})}
	write := func(cli *clientv3.Client) {
		if _, err := cli.Put(testContext(c.t), "k", "v"); err != nil {
			l.failed.CompareAndSwap(nil, &err)
		}
		l.writes.Add(1)
	}
	endpoints := c.over(settings).Endpoints()
	l.running.Go(func() {
		cli := c.over(settings)
		for !isClosed(l.stop) {
			write(cli)
		}
	})
	l.running.Go(func() {
		for !isClosed(l.stop) {
			cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
				TLS: settings})
			if err != nil {
				l.failed.CompareAndSwap(nil, &err)
				return
			}
			write(cli)
			_ = cli.Close()
			l.connections.Add(1)
		}
	})
	return l
}

// pass waits for some more writes and connections.
func (l *load) pass(t *testing.T) {
	writes, connections := l.writes.Load(), l.connections.Load()
	require.Eventually(t, func() bool {
		return l.writes.Load() > writes+20 && l.connections.Load() > connections+2
	}, patience, time.Millisecond)
}

func (l *load) end(t *testing.T) {
	close(l.stop)
	l.running.Wait()
	if err := l.failed.Load(); err != nil {
		require.NoError(t, *err)
	}
}

// serial is the number of the certificate that a port shows.
func serial(t *testing.T, addr string, settings *tls.Config) int64 {
	conn, err := tls.Dial("tcp", addr, settings)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// Every file is replaced, one after the other, while clients write over old and new connections:
// no request fails, and what the new file says holds at once.
func TestFilesAreReplacedUnderLoad(t *testing.T) {
	a := newAuthority(t, "own")
	next := newAuthority(t, "next")
	var logs *observer.ObservedLogs
	c := startCluster(t, 3, func(c *Config) {
		overTLS(c)
		c.HeartbeatMillis, c.ElectionMillis = 50, 1000 // nobody is to be lost meanwhile
		a.serve(&c.ClientTLS, "client-port")
		a.demand(&c.ClientTLS)
		c.ClientTLS.CRLFile = a.revocations()
		a.serve(&c.PeerTLS, "peer-port")
		a.demand(&c.PeerTLS)
		c.PeerTLS.CRLFile = c.ClientTLS.CRLFile
		c.PeerTLS.ClientCertFile, c.PeerTLS.ClientKeyFile = a.issue("dials", "m", "127.0.0.1")
		logs = watched(c)
	})
	settings := a.showing("writer")
	l := c.startLoad(settings)
	l.pass(t)
	addr := c.servers[2].ClientAddrs()[0]
	peerAddr := c.servers[2].peerIn[0].Addr().String()

	// Certificates and keys, of both ports and of the dialling side.
	a.issue("client-port", "client-port", "127.0.0.1", "localhost")
	wanted := a.serials
	require.Eventually(t, func() bool { return serial(t, addr, settings) == wanted }, patience,
		time.Millisecond)
	a.issue("dials", "m", "127.0.0.1")
	a.issue("peer-port", "peer-port", "127.0.0.1", "localhost")
	wanted = a.serials
	require.Eventually(t, func() bool { return serial(t, peerAddr, settings) == wanted }, patience,
		time.Millisecond)
	l.pass(t)

	// A second authority is trusted beside the first.
	foreign := next.showing("writer")
	foreign.RootCAs = settings.RootCAs
	require.Error(t, handshake(t, addr, foreign))
	bundle, err := os.ReadFile(a.file())
	require.NoError(t, err)
	more, err := os.ReadFile(next.file())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.configs[0].ClientTLS.TrustedCAFile, append(bundle, more...),
		0o600))
	require.Eventually(t, func() bool { return handshake(t, addr, foreign) == nil }, patience,
		time.Millisecond)
	l.pass(t)

	// A certificate is taken back, on both ports.
	other := a.showing("other")
	require.NoError(t, handshake(t, addr, other))
	a.revoke(big.NewInt(a.serials))
	a.revocations()
	for _, port := range []string{addr, peerAddr} {
		require.Eventually(t, func() bool { return handshake(t, port, other) != nil }, patience,
			time.Millisecond)
		require.NoError(t, handshake(t, port, settings))
	}
	l.pass(t)

	// A file without sense changes nothing, and is said once.
	said := func() int { return logs.FilterMessageSnippet("the old ones stay in force").Len() }
	before, keyFile := said(), c.configs[0].ClientTLS.KeyFile
	require.NoError(t, os.WriteFile(keyFile+".new", []byte("nonsense"), 0o600))
	require.NoError(t, os.Rename(keyFile+".new", keyFile)) // at once, to be met whole
	require.Eventually(t, func() bool {
		require.NoError(t, handshake(t, addr, settings))
		return said() > before
	}, patience, time.Millisecond)
	l.pass(t)
	require.Equal(t, before+1, said())
	a.issue("client-port", "client-port", "127.0.0.1", "localhost")
	wanted = a.serials
	require.Eventually(t, func() bool { return serial(t, addr, settings) == wanted }, patience,
		time.Millisecond)

	l.pass(t)
	l.end(t)
	// The members find each other again with what they have now.
	for _, s := range c.servers {
		s.peers.hangUp()
	}
	c.requireServed(settings)
}

// hangUp ends the connections that other members have made.
func (p *peers) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}
