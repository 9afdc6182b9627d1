package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/net/dns/dnsmessage"
)

// seekers prepares members that have to find each other.
func seekers(t *testing.T, n int, change func(*Config)) *cluster {
	c := &cluster{t: t, servers: make([]*Server, n)}
	for i := range n {
		cfg, _ := c.newcomer()
		cfg.InitialClusterState, cfg.InitialCluster = ClusterStateNew, ""
		cfg.Name = fmt.Sprint("m", i)
		change(&cfg)
		c.configs = append(c.configs, cfg)
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			if s != nil {
				s.Stop()
			}
		}
	})
	return c
}

// startAll starts all members at once, because each start waits for the others.
func (c *cluster) startAll() {
	errs := make([]error, len(c.configs))
	var starting sync.WaitGroup
	for i := range c.configs {
		starting.Go(func() { c.servers[i], errs[i] = Start(c.configs[i]) })
	}
	starting.Wait()
	for i, s := range c.servers {
		require.NoError(c.t, errs[i])
		c.await(s)
	}
}

func TestMembersFindEachOtherThroughAnotherCluster(t *testing.T) {
	service := startCluster(t, 1, nil)
	cli, ctx := service.client(), testContext(t)
	const prefix = "/_etcd/registry/token"
	c := seekers(t, 3, func(cfg *Config) {
		cfg.Discovery.Token, cfg.Discovery.Endpoints = "token", service.servers[0].ClientAddrs()
	})
	_, err := Start(c.configs[0])
	require.ErrorIs(t, err, errNoSize)
	_, err = cli.Put(ctx, prefix+"/_config/size", "many")
	require.NoError(t, err)
	_, err = Start(listening(t, c.configs[0]))
	require.ErrorIs(t, err, errDiscoverySize)
	_, err = cli.Put(ctx, prefix+"/_config/size", "3")
	require.NoError(t, err)
	c.configs[0] = listening(t, c.configs[0])
	c.startAll()
	_, err = c.client().Put(ctx, "k", "v")
	require.NoError(t, err)
	listed, err := c.client(1).MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, listed.Members, 3)

	late := seekers(t, 1, func(cfg *Config) {
		cfg.Discovery = c.configs[0].Discovery
	})
	_, err = Start(late.configs[0])
	require.ErrorIs(t, err, errClusterFull)

	// Whoever has lived needs no service.
	c.servers[0].Stop()
	service.servers[0].Stop()
	c.configs[0].ClientListeners, c.configs[0].PeerListeners = nil, nil
	c.start(0)
	c.await(c.servers[0])
}

// listening gives a configuration whose start has failed its listeners back.
func listening(t *testing.T, cfg Config) Config {
	for _, l := range []struct {
		into *[]net.Listener
		at   string
	}{{&cfg.ClientListeners, cfg.ListenClientURLs[0].Host},
		{&cfg.PeerListeners, cfg.ListenPeerURLs[0].Host}} {
		opened, err := net.Listen("tcp", l.at)
		require.NoError(t, err)
		*l.into = []net.Listener{opened}
	}
	return cfg
}

func TestAStartThatWaitsForOthersCanBeGivenUp(t *testing.T) {
	service := startCluster(t, 1, nil)
	cli, ctx := service.client(), testContext(t)
	_, err := cli.Put(ctx, "/_etcd/registry/t/_config/size", "2")
	require.NoError(t, err)
	starting, cancel := context.WithCancel(ctx)
	c := seekers(t, 1, func(cfg *Config) {
		cfg.Discovery.Token, cfg.Discovery.Endpoints = "t", service.servers[0].ClientAddrs()
		cfg.Starting = starting
	})
	failed := make(chan error, 1)
	go func() {
		_, err := Start(c.configs[0])
		failed <- err
	}()
	for registered := int64(0); registered == 0; {
		got, err := cli.Get(ctx, "/_etcd/registry/t/members/", clientv3.WithPrefix())
		require.NoError(t, err)
		registered = got.Count
	}
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
}

// nameServer answers DNS questions on a loopback port: SRV records, and localhost for every name.
type nameServer struct {
	conn    net.PacketConn
	service string
	ports   []uint16
}

func serveNames(t *testing.T, service string, ports []uint16) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &nameServer{conn: conn, service: service, ports: ports}
	done := make(chan struct{})
	go func() { defer close(done); n.run(t) }()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *nameServer) run(t *testing.T) {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		n.answer(&m)
		packed, err := m.Pack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := n.conn.WriteTo(packed, from); err != nil {
			return
		}
	}
}

func (n *nameServer) answer(m *dnsmessage.Message) {
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	switch {
	case q.Type == dnsmessage.TypeSRV && strings.HasPrefix(q.Name.String(), n.service+"."):
		for _, port := range n.ports {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head,
				Body: &dnsmessage.SRVResource{Port: port,
					Target: dnsmessage.MustNewName("localhost.")}})
		}
	case q.Type == dnsmessage.TypeA && q.Name.String() == "localhost.":
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head,
			Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
	case q.Type == dnsmessage.TypeSRV:
		m.RCode = dnsmessage.RCodeNameError
	}
}

func TestMembersFindEachOtherInDNS(t *testing.T) {
	for _, suffix := range []string{"", "blue"} {
		t.Run(suffix, func(t *testing.T) {
			c := seekers(t, 3, func(cfg *Config) {
				cfg.DiscoverySRV, cfg.DiscoverySRVName = "example.org", suffix
			})
			var ports []uint16
			for i := range c.configs {
				port, err := strconv.ParseUint(c.configs[i].ListenPeerURLs[0].Port(), 10, 16)
				require.NoError(t, err)
				ports = append(ports, uint16(port))
			}
			service := "_etcd-server"
			if suffix != "" {
				service += "-" + suffix
			}
			names := serveNames(t, service+"._tcp", ports)
			for i := range c.configs {
				c.configs[i].Resolver = names
			}
			c.startAll()
			_, err := c.client().Put(testContext(t), "k", "v")
			require.NoError(t, err)
			listed, err := c.client(2).MemberList(testContext(t))
			require.NoError(t, err)
			require.Len(t, listed.Members, 3)
			require.Contains(t, listed.Members[0].PeerURLs[0], "http://localhost:")
		})
	}
}

func TestADomainWithoutRecordsIsRefused(t *testing.T) {
	c := seekers(t, 1, func(cfg *Config) { cfg.DiscoverySRV = "example.org" })
	c.configs[0].Resolver = serveNames(t, "_other", nil)
	_, err := Start(c.configs[0])
	require.ErrorContains(t, err, "error querying DNS SRV records for _etcd-server")
}
