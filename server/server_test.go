package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// cluster is some members in this process.
type cluster struct {
	t       *testing.T
	configs []Config
	servers []*Server
}

// prepareCluster writes the configurations of members that do not run yet.
func prepareCluster(t *testing.T, n int, change func(*Config)) *cluster {
	c := &cluster{t: t, configs: make([]Config, n), servers: make([]*Server, n)}
	var pairs []string
	for i := range c.configs {
		cfg := testConfig(t.TempDir())
		cfg.Name = fmt.Sprintf("m%d", i)
		cfg.HeartbeatMillis, cfg.ElectionMillis = 20, 200
		client, peer := listenLoopback(t), listenLoopback(t)
		cfg.ListenClientURLs = mustURLs("http://" + client.Addr().String())
		cfg.ListenPeerURLs = mustURLs("http://" + peer.Addr().String())
		cfg.AdvertiseClientURLs, cfg.AdvertisePeerURLs = cfg.ListenClientURLs, cfg.ListenPeerURLs
		cfg.ClientListeners, cfg.PeerListeners = []net.Listener{client}, []net.Listener{peer}
		if change != nil {
			change(&cfg)
		}
		pairs = append(pairs, cfg.initialClusterFromName())
		c.configs[i] = cfg
	}
	for i := range c.configs {
		c.configs[i].InitialCluster = strings.Join(pairs, ",")
	}
	return c
}

func startCluster(t *testing.T, n int, change func(*Config)) *cluster {
	c := prepareCluster(t, n, change)
	c.launch()
	for _, s := range c.servers {
		c.await(s)
	}
	return c
}

// launch starts all members, and stops them when the test ends.
func (c *cluster) launch() {
	for i := range c.configs {
		c.start(i)
	}
	c.t.Cleanup(func() {
		for _, s := range c.servers {
			s.Stop()
		}
	})
}

func listenLoopback(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func (c *cluster) start(i int) {
	s, err := Start(c.configs[i])
	require.NoError(c.t, err)
	c.servers[i] = s
	// A restart listens on the URLs, which name the same ports.
	c.configs[i].ClientListeners, c.configs[i].PeerListeners = nil, nil
}

func (c *cluster) await(s *Server) {
	select {
	case <-s.Ready():
	case <-s.Halted():
		c.t.Fatal(s.Reason())
	case <-time.After(patience):
		c.t.Fatalf("not ready: %+v", s.State())
	}
}

func (c *cluster) client(members ...int) *clientv3.Client {
	var endpoints []string
	for i := range c.servers {
		if len(members) == 0 || members[0] == i {
			endpoints = append(endpoints, c.servers[i].ClientAddrs()...)
		}
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
		DialTimeout: patience})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// leader waits until one member knows itself as the leader.
func (c *cluster) leader() int {
	found := -1
	require.Eventually(c.t, func() bool {
		for i, s := range c.servers {
			if s.leading() {
				found = i
			}
		}
		return found >= 0
	}, patience, time.Millisecond)
	return found
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestAClientDoesItsWork(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)

	put, err := cli.Put(ctx, "a", "1")
	require.NoError(t, err)
	require.EqualValues(t, 2, put.Header.Revision)
	require.NotZero(t, put.Header.ClusterId)
	put, err = cli.Put(ctx, "a", "2", clientv3.WithPrevKV())
	require.NoError(t, err)
	require.Equal(t, "1", string(put.PrevKv.Value))

	get, err := cli.Get(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, 1, get.Count)
	require.Equal(t, "2", string(get.Kvs[0].Value))
	require.EqualValues(t, 2, get.Kvs[0].Version)
	old, err := cli.Get(ctx, "a", clientv3.WithRev(2), clientv3.WithSerializable())
	require.NoError(t, err)
	require.Equal(t, "1", string(old.Kvs[0].Value))

	txn, err := cli.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("a"), "=", 3)).
		Then(clientv3.OpPut("b", "x"), clientv3.OpGet("a")).Commit()
	require.NoError(t, err)
	require.True(t, txn.Succeeded)
	require.Len(t, txn.Responses, 2)

	del, err := cli.Delete(ctx, "a", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, 1, del.Deleted)
	_, err = cli.Compact(ctx, 5, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	_, err = cli.Get(ctx, "a", clientv3.WithRev(3))
	require.Equal(t, rpctypes.ErrCompacted, err)

	hash, err := cli.HashKV(ctx, cli.Endpoints()[0], 0)
	require.NoError(t, err)
	require.EqualValues(t, 5, hash.HashRevision)
	require.EqualValues(t, 5, hash.CompactRevision)
	st, err := cli.Status(ctx, cli.Endpoints()[0])
	require.NoError(t, err)
	require.Equal(t, "3.7.1", st.Version)
	require.Equal(t, st.Header.MemberId, st.Leader)
	require.Empty(t, st.Errors)
	members, err := cli.MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, members.Members, 1)
	require.Equal(t, "m0", members.Members[0].Name)
	require.Equal(t, cli.Endpoints(), []string{strings.TrimPrefix(
		members.Members[0].ClientURLs[0], "http://")})
	alarms, err := cli.AlarmList(ctx)
	require.NoError(t, err)
	require.Empty(t, alarms.Alarms)
	require.EqualValues(t, 5, alarms.Header.Revision)
}

func rawClient(t *testing.T, s *Server) (*grpc.ClientConn, pb.KVClient) {
	cc, err := grpc.NewClient(s.ClientAddrs()[0],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(16<<20)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return cc, pb.NewKVClient(cc)
}

func TestErrorsHaveEtcdsCodeAndText(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, kvc := rawClient(t, c.servers[0])
	ctx := testContext(t)
	put := func(r *pb.PutRequest) error { _, err := kvc.Put(ctx, r); return err }
	get := func(r *pb.RangeRequest) error { _, err := kvc.Range(ctx, r); return err }
	maintenance, clusters := pb.NewMaintenanceClient(cc), pb.NewClusterClient(cc)
	_, moveErr := maintenance.MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: 5})
	_, addErr := clusters.MemberAdd(ctx, &pb.MemberAddRequest{})
	for _, e := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{put(&pb.PutRequest{}), codes.InvalidArgument, "etcdserver: key is not provided"},
		{get(&pb.RangeRequest{}), codes.InvalidArgument, "etcdserver: key is not provided"},
		{put(&pb.PutRequest{Key: []byte("k"), IgnoreValue: true}), codes.InvalidArgument,
			"etcdserver: key not found"},
		{put(&pb.PutRequest{Key: []byte("k"), Lease: 5}), codes.NotFound,
			"etcdserver: requested lease not found"},
		{get(&pb.RangeRequest{Key: []byte("k"), Revision: 99}), codes.OutOfRange,
			"etcdserver: mvcc: required revision is a future revision"},
		{get(&pb.RangeRequest{Key: []byte("k"), SortOrder: 7}), codes.InvalidArgument,
			"etcdserver: invalid sort option"},
		{put(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 1700<<10)}),
			codes.InvalidArgument, "etcdserver: request is too large"},
		{put(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 3<<20)}),
			codes.ResourceExhausted,
			"grpc: received message larger than max (3145736 vs. 2097152)"},
		{moveErr, codes.FailedPrecondition, "etcdserver: bad leader transferee"},
		{addErr, codes.InvalidArgument, "etcdserver: given member URLs are invalid"},
	} {
		require.Equal(t, e.code, status.Code(e.err), "%v", e.err)
		require.Equal(t, e.text, status.Convert(e.err).Message())
	}
}

func TestHealthServiceKnowsOnlyTheWholeServer(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, _ := rawClient(t, c.servers[0])
	health, ctx := grpc_health_v1.NewHealthClient(cc), testContext(t)
	resp, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, resp.Status)
	_, err = health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "x"})
	require.Equal(t, "unknown service", status.Convert(err).Message())
	require.Equal(t, codes.NotFound, status.Code(err))
}

func httpGet(t *testing.T, url string) (int, string) {
	resp, err := http.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(body)
}

func TestPlainHTTPOnBothPorts(t *testing.T) {
	c := startCluster(t, 1, nil)
	client := c.configs[0].ListenClientURLs[0].String()
	peer := c.configs[0].ListenPeerURLs[0].String()
	code, body := httpGet(t, client+"/health")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"health":"true","reason":""}`, body)
	code, _ = httpGet(t, client+"/health?serializable=true")
	require.Equal(t, 200, code)
	code, body = httpGet(t, client+"/version")
	require.Equal(t, 200, code)
	require.Contains(t, body, `"etcdserver":"3.7.1"`)
	code, _ = httpGet(t, client+"/nothing")
	require.Equal(t, 404, code)
	code, _ = httpGet(t, client+"/debug/pprof/")
	require.Equal(t, 404, code)
	resp, err := http.Post(client+"/health", "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "GET", resp.Header.Get("Allow"))
	code, body = httpGet(t, peer+"/members")
	require.Equal(t, 200, code)
	require.Contains(t, body, `"name":"m0"`)
	code, body = httpGet(t, peer+"/version")
	require.Equal(t, 200, code)
	require.Contains(t, body, "3.7.1")
}

func TestGarbageOnTheClientPortHarmsNobody(t *testing.T) {
	c := startCluster(t, 1, nil)
	for _, garbage := range []string{"\x00\x01\x02\n\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish",
		"PRIVATE\r\n\r\n", "\x16\x03\x01\x02\x00\x01\n\n"} {
		conn, err := net.Dial("tcp", c.servers[0].ClientAddrs()[0])
		require.NoError(t, err)
		_, err = conn.Write([]byte(garbage + strings.Repeat("\xff\n", 1000)))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, conn)
		require.NoError(t, conn.Close())
	}
	_, err := c.client().Put(testContext(t), "k", "v")
	require.NoError(t, err)
}

func TestThreeMembersAgreeAndSurviveALeaderThatLeaves(t *testing.T) {
	c := startCluster(t, 3, nil)
	ctx := testContext(t)
	for i := range 3 {
		_, err := c.client(i).Put(ctx, fmt.Sprintf("k%d", i), "v")
		require.NoError(t, err)
	}
	for i := range 3 {
		got, err := c.client(i).Get(ctx, "k", clientv3.WithPrefix())
		require.NoError(t, err)
		require.Len(t, got.Kvs, 3)
	}
	leader := c.leader()
	next := (leader + 1) % 3
	_, err := c.client(leader).MoveLeader(ctx, uint64(c.servers[next].State().Raft.ID))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.leader() == next }, patience, time.Millisecond)
	leader = next
	c.servers[leader].Stop()
	survivor := c.client((leader + 1) % 3)
	_, err = survivor.Put(ctx, "after", "v")
	require.NoError(t, err)

	c.start(leader)
	c.await(c.servers[leader])
	got, err := c.client(leader).Get(ctx, "after")
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
}

func TestARestartFindsEverythingAgain(t *testing.T) {
	c := startCluster(t, 1, nil)
	ctx := testContext(t)
	_, err := c.client().Put(ctx, "k", "v")
	require.NoError(t, err)
	second := c.configs[0]
	second.ListenClientURLs = mustURLs("http://127.0.0.1:0")
	second.ListenPeerURLs = second.ListenClientURLs
	_, err = Start(second)
	require.ErrorContains(t, err, "in use by another process")
	before := c.servers[0].State()
	c.servers[0].Stop()
	c.configs[0].InitialCluster = "ignored=http://127.0.0.1:1"
	c.start(0)
	c.await(c.servers[0])
	got, err := c.client().Get(ctx, "k")
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	require.Equal(t, before.Raft.ID, c.servers[0].State().Raft.ID)
}

func TestAMemberWithoutItsDataIsNotFoundedAgain(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.servers[0].Stop()
	require.NoError(t, os.RemoveAll(c.configs[0].Dir))
	_, err := Start(c.configs[0])
	require.ErrorContains(t, err, "has already been bootstrapped")
}

func TestNoQuorumEndsInTime(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.servers[0].Stop()
	c.servers[1].Stop()
	cli := c.client(2)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := cli.Put(ctx, "k", "v")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	got, err := cli.Get(testContext(t), "k", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Empty(t, got.Kvs)
	require.Eventually(t, func() bool {
		_, err := cli.Put(clientv3.WithRequireLeader(testContext(t)), "k", "v")
		return err == rpctypes.ErrNoLeader
	}, patience, 50*time.Millisecond)
}
