package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest/observer"
)

// lonely starts a cluster of which one member has other certificates, and demands that the rest
// serves and the one is refused; it returns the logs of one of the rest, and of the one.
func lonely(t *testing.T, common, odd func(*TLS)) (others, own *observer.ObservedLogs) {
	var all []*observer.ObservedLogs
	c := prepareCluster(t, 3, func(cfg *Config) {
		overTLS(cfg)
		cfg.ClientTLS.Auto = true
		common(&cfg.PeerTLS)
		if all = append(all, watched(cfg)); len(all) == 3 {
			odd(&cfg.PeerTLS)
		}
	})
	c.launch()
	c.await(c.servers[0])
	c.await(c.servers[1])
	require.Eventually(t, func() bool {
		return all[2].FilterMessage("no connection with remote peer").Len() > 1
	}, patience, time.Millisecond)
	select {
	case <-c.servers[2].Ready():
		t.Fatal("the odd member has joined")
	default:
	}
	return all[0], all[2]
}

func TestPeersVerifyEachOther(t *testing.T) {
	a, stranger := newAuthority(t, "own"), newAuthority(t, "other")
	refused := func(logs *observer.ObservedLogs) bool {
		return logs.FilterMessage("rejected connection on peer endpoint").Len() > 0
	}
	common := func(p *TLS) {
		a.serve(p, "peer-port")
		a.demand(p)
	}
	for _, tc := range []struct {
		name string
		both bool // the dialling member is refused, and refuses itself whom it dials
		all  func(*TLS)
		odd  func(*TLS)
	}{
		{"another authority", true, common, func(p *TLS) {
			stranger.serve(p, "stranger")
			stranger.demand(p)
		}},
		{"a name that is not allowed", false, func(p *TLS) {
			p.CertFile, p.KeyFile = a.issue("member", "member", "127.0.0.1")
			a.demand(p)
			p.AllowedCNs = []string{"member"}
		}, func(p *TLS) {
			p.CertFile, p.KeyFile = a.issue("odd", "somebody", "127.0.0.1")
		}},
		{"a host that is not allowed", false, func(p *TLS) {
			p.CertFile, p.KeyFile = a.issue("member", "m", "127.0.0.1", "member.example")
			a.demand(p)
			p.AllowedHostnames = []string{"member.example"}
		}, func(p *TLS) {
			p.CertFile, p.KeyFile = a.issue("odd", "m", "127.0.0.1", "odd.example")
		}},
		{"from where its certificate does not say", false, common, func(p *TLS) {
			p.ClientCertFile, p.ClientKeyFile = a.issue("elsewhere", "m", "192.0.2.1")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			others, own := lonely(t, tc.all, tc.odd)
			require.Eventually(t, func() bool { return refused(others) }, patience,
				time.Millisecond)
			if tc.both {
				require.Eventually(t, func() bool { return refused(own) }, patience,
					time.Millisecond)
			}
		})
	}
}

// Where a certificate comes from may be left out of account.
func TestPeersMayCallFromElsewhere(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 3, func(c *Config) {
		overTLS(c)
		c.ClientTLS.Auto = true
		a.serve(&c.PeerTLS, "peer-port")
		a.demand(&c.PeerTLS)
		c.PeerTLS.ClientCertFile, c.PeerTLS.ClientKeyFile = a.issue("elsewhere", "m", "192.0.2.1")
		c.PeerTLS.SkipClientSANVerify = true
	})
	c.leader()
}

// A new member asks over the same TLS as it later talks.
func TestAMemberJoinsOverTLS(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
		a.demand(&c.PeerTLS)
	})
	cli := c.over(a.trusting())
	cfg, url := c.newcomer()
	overTLS(&cfg)
	cfg.AdvertisePeerURLs = cfg.ListenPeerURLs
	cfg.ClientTLS, cfg.PeerTLS = c.configs[0].ClientTLS, c.configs[0].PeerTLS
	url = "https" + url[len("http"):]
	added, err := cli.MemberAdd(testContext(t), []string{url})
	require.NoError(t, err)
	s := c.enter(cfg, added.Member.ID, added.Members)
	require.Len(t, s.State().Members, 2)
}
