package server

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/status"

	lpb "github.com/detcd/detcd/server/v3lockpb"
)

// over is a client that speaks TLS.
func (c *cluster) over(settings *tls.Config) *clientv3.Client {
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, "https://"+s.ClientAddrs()[0])
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
		TLS: settings})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// requireServed demands that all members answer to such clients.
func (c *cluster) requireServed(settings *tls.Config) {
	cli := c.over(settings)
	ctx := testContext(c.t)
	_, err := cli.Put(ctx, "k", "v")
	require.NoError(c.t, err)
	for _, e := range cli.Endpoints() {
		st, err := cli.Status(ctx, e)
		require.NoError(c.t, err)
		require.NotZero(c.t, st.Leader)
	}
}

// requireRefused demands that no connection comes about. The client's library dials again and
// again, so the handshake is asked alone; with TLS 1.3 the refusal comes with the first byte.
func requireRefused(t *testing.T, addr string, settings *tls.Config) {
	settings = settings.Clone()
	settings.NextProtos = []string{protocolHTTP1}
	require.Error(t, handshake(t, addr, settings))
}

func handshake(t *testing.T, addr string, settings *tls.Config) error {
	conn, err := tls.Dial("tcp", addr, settings)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it may have been closed by the other side
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte("GET /version HTTP/1.0\r\n\r\n"))
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// watched lets a test read a member's log.
func watched(c *Config) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.InfoLevel)
	c.Log = zap.New(core)
	return logs
}

func TestTLSOnAllPorts(t *testing.T) {
	a, stranger := newAuthority(t, "own"), newAuthority(t, "other")
	for _, tc := range []struct {
		name   string
		change func(*Config)
		good   *tls.Config
		bad    []*tls.Config
	}{
		{"certificates", func(c *Config) {
			a.serve(&c.ClientTLS, "client-port")
			a.serve(&c.PeerTLS, "peer-port")
			c.PeerTLS.TrustedCAFile = a.file()
		}, a.trusting(), []*tls.Config{stranger.trusting()}},
		{"certificates that are made", func(c *Config) {
			c.ClientTLS.Auto, c.PeerTLS.Auto = true, true
		}, &tls.Config{InsecureSkipVerify: true}, []*tls.Config{a.trusting()}},
		{"certificates on both sides", func(c *Config) {
			a.serve(&c.ClientTLS, "client-port")
			a.demand(&c.ClientTLS)
			a.serve(&c.PeerTLS, "peer-port")
			a.demand(&c.PeerTLS)
		}, a.showing("somebody"), []*tls.Config{a.trusting(), stranger.showing("somebody")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			c := startCluster(t, 3, func(c *Config) {
				overTLS(c)
				tc.change(c)
				logs = watched(c)
			})
			c.requireServed(tc.good)
			addr := c.servers[2].ClientAddrs()[0]
			for _, bad := range tc.bad {
				requireRefused(t, addr, bad)
			}
			_, err := http.Get("http://" + addr + "/version")
			require.Error(t, err)
			require.Len(t, logs.FilterMessage("serving client traffic securely").All(), 1)
			require.Eventually(t, func() bool {
				return logs.FilterMessage("rejected connection on client endpoint").Len() > 0
			}, patience, time.Millisecond)
		})
	}
}

// Browsers, curl and programs that speak gRPC through a general HTTP client offer HTTP/1 as well.
func TestHTTPAndGRPCShareATLSPort(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
		c.HostWhitelist = []string{"nobody"} // holds without TLS only
	})
	addr := c.servers[0].ClientAddrs()[0]
	for _, protocol := range []string{protocolHTTP1, protocolHTTP2, ""} {
		transport := &http.Transport{TLSClientConfig: a.trusting()}
		want := 1
		if protocol != "" {
			transport.TLSClientConfig.NextProtos = []string{protocol, protocolHTTP1}
		}
		if protocol == protocolHTTP2 {
			transport.ForceAttemptHTTP2, want = true, 2
		}
		client := &http.Client{Transport: transport}
		resp, err := client.Get("https://" + addr + "/version")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, want, resp.ProtoMajor)
		require.Contains(t, string(body), `"etcdserver":"3.7.1"`)
		resp, err = client.Post("https://"+addr+"/v3/kv/put", "", strings.NewReader(`{"key":"YQ=="}`))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
		peerAddr := c.servers[0].peerIn[0].Addr().String()
		resp, err = client.Get("https://" + peerAddr + "/members")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
		client.CloseIdleConnections()
	}
	both := a.trusting()
	both.NextProtos = []string{protocolHTTP2, protocolHTTP1}
	requireCallThroughHTTP(t, addr, both)
}

// requireCallThroughHTTP makes a gRPC call, byte by byte, with a client of net/http.
func requireCallThroughHTTP(t *testing.T, addr string, settings *tls.Config) {
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	body := "\x00\x00\x00\x00\x03\x0a\x01a" // a RangeRequest for the key a
	r, err := http.NewRequest(http.MethodPost, "https://"+addr+"/etcdserverpb.KV/Range",
		strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	resp, err := (&http.Client{Transport: transport}).Do(r)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "0", resp.Trailer.Get("Grpc-Status"))
	require.Greater(t, len(got), 5)
}

func TestTheCommonNameIsTheUser(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		cheap(c)
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.demand(&c.ClientTLS)
		a.serve(&c.PeerTLS, "peer-port")
	})
	c.protect(c.over(a.showing("root")))
	ctx := testContext(t)
	user := c.over(a.showing("a"))
	_, err := user.Put(ctx, "a1", "v")
	require.NoError(t, err)
	_, err = user.Put(ctx, "x", "v")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	for range user.Watch(ctx, "x") {
		break // refused in words, which the client takes for the end
	}
	_, err = user.UserList(ctx)
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = c.over(a.showing("root")).UserList(ctx)
	require.NoError(t, err)
	_, err = c.over(a.showing("")).Put(ctx, "a1", "v")
	require.Equal(t, rpctypes.ErrUserEmpty, err)
	_, err = c.over(a.showing("unknown")).Put(ctx, "a1", "v")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)

	// A lock is a recipe of other calls, made in the name of its caller.
	locks := lpb.NewLockClient(user.ActiveConnection())
	held, err := locks.Lock(ctx, &lpb.LockRequest{Name: []byte("a")})
	require.NoError(t, err)
	_, err = locks.Unlock(ctx, &lpb.UnlockRequest{Key: held.GetKey()})
	require.NoError(t, err)
	_, err = locks.Lock(ctx, &lpb.LockRequest{Name: []byte("x")})
	require.Equal(t, "etcdserver: permission denied", status.Convert(err).Message())

	// A token counts more than the certificate.
	login, err := user.Authenticate(ctx, "a", "apw")
	require.NoError(t, err)
	settings := a.showing("root")
	withToken, err := clientv3.New(clientv3.Config{Endpoints: user.Endpoints(), Logger: zap.NewNop(),
		TLS: settings, Username: "a", Password: "apw"})
	require.NoError(t, err)
	defer func() { require.NoError(t, withToken.Close()) }()
	_, err = withToken.Put(ctx, "x", "v")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)

	// The gateway knows tokens only, and refuses who could be taken for somebody.
	base := "https://" + c.servers[0].ClientAddrs()[0]
	post := func(settings *tls.Config, header, value string) (int, string) {
		r, err := http.NewRequest(http.MethodPost, base+"/v3/kv/put",
			strings.NewReader(`{"key":"`+b64("a1")+`"}`))
		require.NoError(t, err)
		r.Header.Set(header, value)
		transport := &http.Transport{TLSClientConfig: settings}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Do(r)
		require.NoError(t, err)
		said, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(said)
	}
	code, said := post(settings, "Authorization", login.Token)
	require.Equal(t, 400, code)
	require.Contains(t, said, "CommonName of client sending a request against gateway will be "+
		"ignored and not used as expected")
	code, _ = post(a.showing(""), "Authorization", login.Token)
	require.Equal(t, 200, code)
	code, said = post(a.showing(""), "Grpc-Metadata-Token", "")
	require.Equal(t, 401, code, said)
}

func TestTheCommonNameNeedsClientCertAuth(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		cheap(c)
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		c.ClientTLS.TrustedCAFile = a.file() // demands certificates, and makes nobody a user
		a.serve(&c.PeerTLS, "peer-port")
	})
	c.protect(c.over(a.showing("root")))
	_, err := c.over(a.showing("root")).Put(testContext(t), "a1", "v")
	require.Equal(t, rpctypes.ErrUserEmpty, err)
	requireRefused(t, c.servers[0].ClientAddrs()[0], a.trusting())
}

func TestOnlyAllowedHostsAreServed(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.demand(&c.ClientTLS)
		c.ClientTLS.AllowedHostnames = []string{"one.example", "two.example"}
		a.serve(&c.PeerTLS, "peer-port")
	})
	shown := func(host string) *tls.Config {
		own, err := tls.LoadX509KeyPair(a.issue("host", "x", host))
		require.NoError(t, err)
		s := a.trusting()
		s.Certificates = []tls.Certificate{own}
		return s
	}
	c.requireServed(shown("two.example"))
	requireRefused(t, c.servers[0].ClientAddrs()[0], shown("three.example"))
	requireRefused(t, c.servers[0].ClientAddrs()[0], a.showing("one.example"))
}

func TestARevokedCertificateIsRefused(t *testing.T) {
	a := newAuthority(t, "own")
	settings := a.showing("gone")
	leaf, err := x509.ParseCertificate(settings.Certificates[0].Certificate[0])
	require.NoError(t, err)
	a.revoke(big.NewInt(12345))
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.demand(&c.ClientTLS)
		c.ClientTLS.CRLFile = a.revocations()
		a.serve(&c.PeerTLS, "peer-port")
	})
	c.requireServed(settings)
	a.revoke(leaf.SerialNumber)
	a.revocations()
	addr := c.servers[0].ClientAddrs()[0]
	require.Eventually(t, func() bool { return handshake(t, addr, settings) != nil }, patience,
		time.Millisecond)
	c.requireServed(a.showing("still-here"))
}

func TestTLSVersionsAndSuites(t *testing.T) {
	a := newAuthority(t, "own")
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
		c.TLSMaxVersion = "TLS1.2"
		c.CipherSuites = []string{tls.CipherSuiteName(suite)}
	})
	addr := c.servers[0].ClientAddrs()[0]
	settings := a.trusting()
	require.NoError(t, handshake(t, addr, settings))
	settings.MinVersion = tls.VersionTLS13
	require.Error(t, handshake(t, addr, settings))
	settings = a.trusting()
	settings.MaxVersion = tls.VersionTLS12
	settings.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	require.Error(t, handshake(t, addr, settings))
	settings.CipherSuites = append(settings.CipherSuites, suite)
	require.NoError(t, handshake(t, addr, settings))
}

func TestPlainAndSecurePortsSideBySide(t *testing.T) {
	a := newAuthority(t, "own")
	file := filepath.Join(t.TempDir(), "localhost") // clients take it for the name of the host
	plain := listenLoopback(t)
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
		socket, err := net.Listen("unix", file)
		require.NoError(t, err)
		more, err := types.NewURLs([]string{"http://" + plain.Addr().String()})
		require.NoError(t, err)
		c.ListenClientURLs = append(c.ListenClientURLs, more...)
		more, err = types.NewURLs([]string{"unixs://" + file})
		require.NoError(t, err)
		c.ListenClientURLs = append(c.ListenClientURLs, more...)
		c.ClientListeners = append(c.ClientListeners, plain, socket)
	})
	c.requireServed(a.trusting())
	for _, cfg := range []clientv3.Config{
		{Endpoints: []string{plain.Addr().String()}},
		{Endpoints: []string{"unixs://" + file}, TLS: a.trusting()},
	} {
		cfg.Logger, cfg.DialTimeout = zap.NewNop(), patience
		cli, err := clientv3.New(cfg)
		require.NoError(t, err)
		_, err = cli.Put(testContext(t), "k", "v")
		require.NoError(t, err)
		require.NoError(t, cli.Close())
	}
}

func TestHTTPOnSecurePortsOfItsOwn(t *testing.T) {
	a := newAuthority(t, "own")
	urls, err := types.NewURLs([]string{"https://127.0.0.1:0"})
	require.NoError(t, err)
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
		c.ListenClientHTTPURLs, c.ListenMetricsURLs = urls, urls
	})
	c.requireServed(a.trusting())
	web, metrics := c.servers[0].WebAddrs()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: a.trusting()}}
	defer client.CloseIdleConnections()
	for _, addr := range []string{web[0], metrics[0]} {
		resp, err := client.Get("https://" + addr + "/health")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
}

// Silence on a TLS port costs its own connection and nobody else's.
func TestAHandshakeThatNeverComesHoldsUpNobody(t *testing.T) {
	a := newAuthority(t, "own")
	c := startCluster(t, 1, func(c *Config) {
		overTLS(c)
		a.serve(&c.ClientTLS, "client-port")
		a.serve(&c.PeerTLS, "peer-port")
	})
	for range 50 {
		conn, err := net.Dial("tcp", c.servers[0].ClientAddrs()[0])
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
	}
	c.requireServed(a.trusting())
	c.servers[0].Stop() // does not wait for them either
}

func TestMadeCertificatesLast(t *testing.T) {
	cfg := testConfig(t.TempDir())
	s := &Server{cfg: cfg, log: zap.NewNop()}
	made := TLS{Auto: true}
	require.NoError(t, s.selfCertify(&made, "client", cfg.ListenClientURLs))
	before, err := os.ReadFile(made.CertFile)
	require.NoError(t, err)
	again := TLS{Auto: true}
	require.NoError(t, s.selfCertify(&again, "client", cfg.ListenClientURLs))
	after, err := os.ReadFile(again.CertFile)
	require.NoError(t, err)
	require.Equal(t, before, after)
	given := TLS{Auto: true, CertFile: "x", KeyFile: "y"}
	require.NoError(t, s.selfCertify(&given, "client", nil))
	require.Equal(t, "x", given.CertFile)
}
