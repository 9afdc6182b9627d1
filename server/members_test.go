package server

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
)

// newcomer prepares the configuration of a member that will be added, and its peer URL.
func (c *cluster) newcomer() (Config, string) {
	cfg := testConfig(c.t.TempDir())
	cfg.Name = fmt.Sprintf("m%d", len(c.configs))
	cfg.HeartbeatMillis, cfg.ElectionMillis = 20, 200
	client, peer := listenLoopback(c.t), listenLoopback(c.t)
	cfg.ListenClientURLs = mustURLs("http://" + client.Addr().String())
	cfg.ListenPeerURLs = mustURLs("http://" + peer.Addr().String())
	cfg.AdvertiseClientURLs, cfg.AdvertisePeerURLs = cfg.ListenClientURLs, cfg.ListenPeerURLs
	cfg.ClientListeners, cfg.PeerListeners = []net.Listener{client}, []net.Listener{peer}
	cfg.InitialClusterState = ClusterStateExisting
	return cfg, cfg.ListenPeerURLs[0].String()
}

// enter starts a member that was added, with the list that the addition returned.
func (c *cluster) enter(cfg Config, id uint64, members []*pb.Member) *Server {
	var pairs []string
	for _, m := range members {
		name := m.Name
		if m.ID == id {
			name = cfg.Name
		}
		for _, u := range m.PeerURLs {
			pairs = append(pairs, name+"="+u)
		}
	}
	cfg.InitialCluster = strings.Join(pairs, ",")
	c.configs = append(c.configs, cfg)
	c.servers = append(c.servers, nil)
	c.start(len(c.configs) - 1)
	s := c.servers[len(c.servers)-1]
	c.await(s)
	return s
}

func TestAClusterGrowsAndShrinks(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(0), testContext(t)
	for i := range 50 {
		_, err := cli.Put(ctx, fmt.Sprint("k", i), "v")
		require.NoError(t, err)
	}
	cfg, url := c.newcomer()
	added, err := cli.MemberAddAsLearner(ctx, []string{url})
	require.NoError(t, err)
	require.Len(t, added.Members, 2)
	_, err = cli.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
	require.Equal(t, rpctypes.ErrTooManyLearners, err)
	_, err = cli.MemberPromote(ctx, added.Member.ID)
	require.Equal(t, rpctypes.ErrMemberLearnerNotReady, err)
	learner := c.enter(cfg, added.Member.ID, added.Members)
	_, err = c.client(1).Get(ctx, "k1")
	require.ErrorContains(t, err, "etcdserver: rpc not supported for learner")
	got, err := c.client(1).Get(ctx, "k1", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	// What the learner has, its leader hears a little later.
	require.Eventually(t, func() bool {
		_, err := cli.MemberPromote(ctx, added.Member.ID)
		if err != nil {
			require.Equal(t, rpctypes.ErrMemberLearnerNotReady, err)
		}
		return err == nil
	}, patience, 10*time.Millisecond)

	// The promoted member hears of it a little later than whom it was asked of.
	require.Eventually(t, func() bool { return !c.servers[1].loop.learns() }, patience,
		10*time.Millisecond)

	// The third needs two that have known each other for five seconds.
	cfg, url = c.newcomer()
	require.Eventually(t, func() bool {
		third, err := c.client(1).MemberAdd(ctx, []string{url})
		if err != nil {
			require.Equal(t, rpctypes.ErrUnhealthy, err)
			return false
		}
		c.enter(cfg, third.Member.ID, third.Members)
		return true
	}, patience, 100*time.Millisecond)
	_, err = c.client(2).Put(ctx, "from the third", "v")
	require.NoError(t, err)

	listed, err := c.client(2).MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, listed.Members, 3)
	require.Zero(t, listed.Header.Revision)

	// The founder leaves.
	founder := c.servers[0]
	require.Eventually(t, func() bool {
		_, err := c.client(2).MemberRemove(ctx, uint64(founder.State().Raft.ID))
		if err != nil {
			require.Equal(t, rpctypes.ErrUnhealthy, err)
		}
		return err == nil
	}, patience, 100*time.Millisecond)
	select {
	case <-founder.Halted():
		require.Equal(t, kv.Removed, founder.Reason())
	case <-time.After(patience):
		t.Fatal("the removed member goes on")
	}
	_, err = c.client(2).MemberRemove(ctx, uint64(founder.State().Raft.ID))
	require.Equal(t, rpctypes.ErrMemberNotFound, err)
	_, err = c.client(1).Put(ctx, "without the founder", "v")
	require.NoError(t, err)
	require.NotZero(t, learner.State().Applied)
}

func TestAMemberMovesToAnotherURL(t *testing.T) {
	c := startCluster(t, 3, func(cfg *Config) { cfg.StrictReconfigCheck = false })
	ctx := testContext(t)
	moving := (c.leader() + 1) % 3
	id := uint64(c.servers[moving].State().Raft.ID)
	c.servers[moving].Stop()
	peer := listenLoopback(t)
	url := "http://" + peer.Addr().String()
	_, err := c.client(c.leader()).MemberUpdate(ctx, id, []string{url})
	require.NoError(t, err)
	c.configs[moving].ListenPeerURLs = mustURLs(url)
	c.configs[moving].PeerListeners = []net.Listener{peer}
	c.start(moving)
	c.await(c.servers[moving])
	_, err = c.client(moving).Put(ctx, "k", "v")
	require.NoError(t, err)
}

func TestAJoiningMemberMustKnowTheClusterAsItIs(t *testing.T) {
	c := startCluster(t, 1, nil)
	ctx := testContext(t)
	cfg, url := c.newcomer()
	listed, err := c.client().MemberList(ctx)
	require.NoError(t, err)
	founder := "m0=" + listed.Members[0].PeerURLs[0]
	start := func(cluster string) error {
		trial := cfg
		trial.InitialCluster = cluster
		s, err := Start(trial)
		if err == nil {
			s.Stop()
		}
		trial.ClientListeners, trial.PeerListeners = nil, nil
		cfg.ClientListeners, cfg.PeerListeners = nil, nil
		return err
	}
	require.ErrorContains(t, start(founder+","+cfg.Name+"="+url), "member count is unequal")
	added, err := c.client().MemberAdd(ctx, []string{url})
	require.NoError(t, err)
	require.ErrorContains(t, start("m0=http://127.0.0.1:1,"+cfg.Name+"="+url),
		"cannot fetch cluster info from peer urls: could not retrieve cluster information from "+
			"the given URLs")
	cfg.AdvertisePeerURLs = mustURLs("http://127.0.0.1:1")
	require.ErrorContains(t, start(founder+","+cfg.Name+"=http://127.0.0.1:1"),
		"PeerURLs: no match found for existing member")
	c.enter(cfg, added.Member.ID, added.Members)
}

func TestAlarmsAndAutoCompactionOnTheWire(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) {
		cfg.QuotaBytes, cfg.AutoCompactionRetention = 64<<10, "1s"
	})
	cli, ctx := c.client(), testContext(t)
	var err error
	for i := 0; err == nil; i++ {
		_, err = cli.Put(ctx, fmt.Sprint(i), strings.Repeat("v", 4096))
	}
	require.Equal(t, rpctypes.ErrNoSpace, err)
	var alarms *clientv3.AlarmResponse
	require.Eventually(t, func() bool {
		alarms, err = cli.AlarmList(ctx)
		return err == nil && len(alarms.Alarms) == 1
	}, patience, 10*time.Millisecond)
	_, err = cli.Delete(ctx, "", clientv3.WithFromKey())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.servers[0].State().Compacted > 1 }, patience,
		10*time.Millisecond)
	_, err = cli.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarms.Alarms[0]))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = cli.Put(ctx, "k", "v")
		return err == nil
	}, patience, 100*time.Millisecond)
}

// freeURL is a place where nobody listens at this moment.
func freeURL(t *testing.T) string {
	l := listenLoopback(t)
	defer func() { require.NoError(t, l.Close()) }()
	return "http://" + l.Addr().String()
}

// process is one member as a process of its own.
type process struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string
	ended chan struct{}
}

func (p *process) follow(lines *bufio.Scanner) {
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
	}
	close(p.ended)
}

func (p *process) said(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.lines, "\n"), what)
}

func (p *process) awaitReady(t *testing.T) {
	require.Eventually(t, func() bool { return p.said("ready to serve client requests") },
		patience, 20*time.Millisecond)
}

func startProcess(t *testing.T, dir, name, client, peer, cluster, state string) *process {
	cmd, lines := program(t, "--name", name, "--data-dir", filepath.Join(dir, name),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", cluster, "--initial-cluster-state", state,
		"--heartbeat-interval=20", "--election-timeout=200", "--strict-reconfig-check=false")
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go p.follow(lines)
	return p
}

// Members are replaced one after the other, as real processes, while a client writes.
func TestEveryMemberIsReplacedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	names, clients, peers := []string{"a", "b", "c"}, make([]string, 3), make([]string, 3)
	procs := make([]*process, 3)
	var pairs []string
	for i := range names {
		clients[i], peers[i] = freeURL(t), freeURL(t)
		pairs = append(pairs, names[i]+"="+peers[i])
	}
	for i := range names {
		procs[i] = startProcess(t, dir, names[i], clients[i], peers[i],
			strings.Join(pairs, ","), "new")
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: clients, Logger: zap.NewNop(),
		DialTimeout: patience})
	require.NoError(t, err)
	defer func() { _ = cli.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	for _, p := range procs {
		p.awaitReady(t)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	acknowledged := writeUntil(ctx, cli, stop, done)

	for i := range names {
		listed, err := cli.MemberList(ctx)
		require.NoError(t, err)
		for _, m := range listed.Members {
			if m.Name == names[i] {
				require.Eventually(t, func() bool {
					_, err := cli.MemberRemove(ctx, m.ID)
					return err == nil || err == rpctypes.ErrMemberNotFound
				}, patience, 100*time.Millisecond)
			}
		}
		select {
		case <-procs[i].ended:
		case <-time.After(patience):
			t.Fatal("the removed member goes on")
		}
		require.NoError(t, procs[i].cmd.Wait(), "a removed member exits with 0")
		require.True(t, procs[i].said(`"msg":"`+kv.Removed+`"`))
		require.True(t, procs[i].said("data-dir used by this member must be removed"))
		names[i] += "2"
		peers[i] = freeURL(t)
		var added *clientv3.MemberAddResponse
		require.Eventually(t, func() bool {
			added, err = cli.MemberAdd(ctx, []string{peers[i]})
			return err == nil
		}, patience, 100*time.Millisecond)
		pairs = pairs[:0]
		for k := range names {
			pairs = append(pairs, names[k]+"="+peers[k])
		}
		require.Len(t, added.Members, 3)
		procs[i] = startProcess(t, dir, names[i], clients[i], peers[i],
			strings.Join(pairs, ","), "existing")
		procs[i].awaitReady(t)
	}
	close(stop)
	<-done
	require.NotEmpty(t, *acknowledged)
	got, err := cli.Get(ctx, "w", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	require.NoError(t, err)
	held := map[string]bool{}
	for _, pair := range got.Kvs {
		held[string(pair.Key)] = true
	}
	for _, key := range *acknowledged {
		require.True(t, held[key], "acknowledged write %s is lost", key)
	}
	for _, p := range procs {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		<-p.ended
	}
}

// writeUntil writes keys one after the other, and lists those that were acknowledged.
func writeUntil(ctx context.Context, cli *clientv3.Client, stop, done chan struct{}) *[]string {
	var acknowledged []string
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			default:
			}
			key := fmt.Sprintf("w%06d", i)
			once, cancel := context.WithTimeout(ctx, time.Second)
			if _, err := cli.Put(once, key, "v"); err == nil {
				acknowledged = append(acknowledged, key)
			}
			cancel()
		}
	}()
	return &acknowledged
}
