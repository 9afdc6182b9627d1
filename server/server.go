// Package server is the production world: it puts a kv.Node between real clients, real peers and a
// real disk.
//
// One goroutine owns the node (loop.go); everything else brings it inputs or carries out its
// effects: gRPC and HTTP for clients (grpc.go, http.go), a framed transport for peers (peers.go,
// peerlink.go), the operating system's disk behind diskio. This is the only part of the store that
// knows goroutines, sockets, clocks and flags, and it decides nothing about data: whatever could be
// wrong about a write or a read is decided in kv, where the simulator can see it.
//
// A program of one's own can have a member inside: DefaultConfig, Start, Ready, Client, Stop. See
// the example.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

// Server is one running member.
type Server struct {
	cfg Config
	log *zap.Logger
	// unlock gives the data directory back; nil while it is not ours.
	unlock func() error
	disk   *osdisk.Disk
	loop   *loop

	metrics *metrics.Set
	tracing *tracing // nil when nothing is traced

	peers     *peers
	grpc      *grpc.Server
	inner     *inner
	gateway   http.Handler // nil when it is turned off
	clients   []port
	clientWeb []port // HTTP for clients, if it has ports of its own
	metricsIn []port
	peerIn    []port

	clientKeys, peerKeys *keyring // nil without certificates
	dial                 *peerDialer

	splitters []*splitter
	https     []*http.Server
	peerConns []*handedListener
	serving   sync.WaitGroup
	stopServe chan struct{}
	served    chan struct{} // closed when clients are being served
	settled   chan struct{} // closed when it is clear whether they will be
	stopOnce  sync.Once
}

// Start opens the data directory and the ports and returns a member that is on its way to serve;
// Ready says when it does. On an error nothing is left behind: no port, no lock, no goroutine.
func Start(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, stopServe: make(chan struct{}),
		served: make(chan struct{}), settled: make(chan struct{})}
	if s.log == nil {
		lg, err := NewLogger(&cfg)
		if err != nil {
			return nil, err
		}
		s.log = lg
	}
	if err := s.open(); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// open does what can fail, in the order that leaves the least behind: ports first, then the
// directory.
func (s *Server) open() error {
	tokens, err := newTokenMaker(s.log, s.cfg.AuthToken)
	if err != nil {
		return err
	}
	if err := s.openKeys(); err != nil {
		return err
	}
	s.dial = s.dialer()
	if err := s.listen(); err != nil {
		return err
	}
	start, err := s.takeDataDir()
	if err != nil {
		return err
	}
	nodeConfig := s.nodeConfig(start)
	nodeConfig.Tokens = tokens.kind
	s.logStart(&nodeConfig)
	s.metrics = metrics.New(s.metricsOptions())
	s.loop = newLoop(s.log, &nodeConfig, s.cfg.requestTimeout(), s.metrics)
	s.loop.draining = s.stopServe
	s.loop.bcryptCost = s.cfg.bcryptCost(s.log)
	s.disk, err = osdisk.Open(filepath.Join(s.cfg.dataDir(), memberDir),
		osdisk.Options{Observe: s.metrics.Disk.Observe}, s.loop.inbox.completion)
	if err != nil {
		return err
	}
	node, err := kv.Open(nodeConfig, s.disk)
	if err != nil {
		return err
	}
	s.peers = newPeers(s.log, start.identity, s.loop.inbox, &nodeConfig.Limits,
		&s.metrics.Peers)
	s.peers.dial = s.dial
	if s.inner, err = newInner(); err != nil {
		return err
	}
	if s.cfg.EnableGRPCGateway {
		if s.gateway, err = newGateway(s.log, s.inner, s.cfg.jsonBytes()); err != nil {
			return err
		}
	}
	if len(node.State().Members) == 0 {
		if s.peers.remotes, err = s.remotes(start); err != nil {
			return err
		}
	}
	if s.tracing, err = startTracing(&s.cfg, s.log); err != nil {
		return err
	}
	s.grpc = newGRPC(&s.cfg, s.loop, s.inner, tokens, s.tracing)
	s.loop.publishFirst(node)
	go s.loop.run(node, s.disk, s.peers)
	go s.measureSpace()
	s.servePeers()
	s.serveMetrics()
	go s.serveClients()
	s.logOpen(&nodeConfig)
	return nil
}

// metricsOptions says what the metrics measure; the disk and the loop come later.
func (s *Server) metricsOptions() *metrics.Options {
	return &metrics.Options{
		Mode:    metrics.Mode(s.cfg.Metrics),
		Version: Version,
		Gates:   s.cfg.gateSettings(),
		Source: metrics.Source{
			Snapshot: func() *metrics.Snapshot { return s.loop.seen.Load() },
			Queues:   func() metrics.Queues { return s.loop.queues() },
			Lane:     func(l diskio.Lane) osdisk.LaneStats { return s.disk.Stats(l) },
		},
	}
}

// takeDataDir makes sure that the data directory is ours, locks it, and says who lives there.
func (s *Server) takeDataDir() (*bootstrap, error) {
	dir := s.cfg.dataDir()
	founded, foundErr := s.founding()
	// Everything that can be refused is refused before the directory is made, and is looked at
	// again under the lock, because another process may have been faster.
	if _, err := s.resident(founded, foundErr); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, memberDir), privateDir); err != nil {
		return nil, err
	}
	unlock, err := osdisk.Lock(dir)
	if err != nil {
		return nil, err
	}
	s.unlock = unlock
	b, err := s.resident(founded, foundErr)
	if err != nil {
		return nil, err
	}
	if _, err := readIdentity(dir); errors.Is(err, errFresh) {
		b.resident = settleIn(b.identity)
		return b, writeIdentity(dir, b.resident)
	}
	return b, nil
}

// resident says who lives in the data directory, or will. founded is what the initial-* settings
// describe; they count only until the node has written its first state.
func (s *Server) resident(founded *bootstrap, foundErr error) (*bootstrap, error) {
	dir := s.cfg.dataDir()
	if err := refuseEtcd(dir); err != nil {
		return nil, err
	}
	lived, err := readIdentity(dir)
	fresh := errors.Is(err, errFresh)
	switch {
	case err != nil && !fresh:
		return nil, err
	case !fresh && !errors.Is(refuseHeadless(dir), errFresh):
		return s.returning(lived), nil
	case foundErr != nil:
		return nil, foundErr
	case founded.start == kv.Join:
		return s.joining(founded, lived, fresh)
	case fresh && s.unlock == nil:
		return founded, founded.alreadyLived(s.dial)
	case !fresh && founded.identity != lived.identity:
		return nil, fmt.Errorf("data directory %s belongs to member %v of cluster %x, not to "+
			"member %v of cluster %x", dir, lived.identity.member, lived.identity.cluster,
			founded.identity.member, founded.identity.cluster)
	case !fresh:
		founded.resident = lived
	}
	return founded, nil
}

// founding works out what a first start founds or joins. Whoever has lived before needs none of it,
// and must not wait for others who have long forgotten how they met.
func (s *Server) founding() (*bootstrap, error) {
	_, err := readIdentity(s.cfg.dataDir())
	if err == nil && !errors.Is(refuseHeadless(s.cfg.dataDir()), errFresh) {
		return nil, errors.New("the data directory was emptied while the member started")
	}
	ctx := s.cfg.Starting
	if ctx == nil {
		ctx = context.Background()
	}
	switch {
	case s.cfg.DiscoverySRV != "":
		s.cfg.InitialCluster, err = s.cfg.clusterFromSRV(ctx, s.log)
	case len(s.cfg.Discovery.Endpoints) > 0:
		s.cfg.InitialCluster, err = s.cfg.discover(ctx, s.log)
	default:
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return newBootstrap(&s.cfg)
}

// returning is a member that has lived before.
func (s *Server) returning(lived resident) *bootstrap {
	b := &bootstrap{resident: lived}
	if s.cfg.ForceNewCluster {
		s.log.Warn("forcing restart member",
			zap.String("cluster-id", fmt.Sprintf("%x", lived.identity.cluster)),
			zap.Stringer("local-member-id", lived.identity.member))
		b.start = kv.Seclude
	}
	return b
}

// joining completes what a member that joins a cluster knows of itself: a fresh one asks, one that
// was cut short before it had files has its identity.
func (s *Server) joining(b *bootstrap, lived resident, fresh bool) (*bootstrap, error) {
	if !fresh {
		return &bootstrap{resident: lived, start: kv.Join}, nil
	}
	if b.identity.member != 0 {
		return b, nil
	}
	return b, b.adopt(s.log, &s.cfg, s.dial)
}

// ticksPerHeartbeat is how finely the node's time is divided: elections are drawn in ticks, and
// draws that are too coarse collide.
const ticksPerHeartbeat = 5

// nodeConfig translates the configuration into the node's terms.
func (s *Server) nodeConfig(b *bootstrap) kv.Config {
	c := &s.cfg
	lim := kv.DefaultLimits()
	lim.MaxRequestBytes = int(c.MaxRequestBytes)
	lim.MaxTxnOps = int(c.MaxTxnOps)
	lim.QuotaBytes = c.quota()
	lim.MaxLearners = c.MaxLearners
	if c.SnapshotCount != DefaultConfig().SnapshotCount {
		// etcd's default suits etcd's snapshots; a number that somebody chose is obeyed.
		lim.CheckpointCount = int64(c.SnapshotCount)
	}
	lim.CatchUpEntries = int64(c.SnapshotCatchUpEntries)
	tick := time.Duration(c.HeartbeatMillis) * time.Millisecond / ticksPerHeartbeat
	var checkpointLeases time.Duration
	if c.gate(gateLeaseCheckpoint) {
		checkpointLeases = leaseCheckpointInterval
	}
	return kv.Config{
		Cluster:        b.identity.cluster,
		Member:         b.identity.member,
		Members:        b.members,
		Start:          b.start,
		Strictness:     c.strictness(),
		AutoCompact:    c.autoCompact(),
		Name:           c.Name,
		ClientURLs:     c.AdvertiseClientURLs.StringSlice(),
		Seed:           b.secret,
		TickNanos:      int64(tick),
		HeartbeatTicks: ticksPerHeartbeat,
		ElectionTicks:  int(c.ElectionMillis * ticksPerHeartbeat / c.HeartbeatMillis),
		Version:        Version,
		Limits:         lim,
		TokenNanos:     int64(c.AuthTokenTTL) * int64(time.Second),

		LeaseCheckpointNanos: int64(checkpointLeases),
		ProgressNotifyNanos:  int64(c.WatchProgressNotifyInterval),
	}
}

func (s *Server) logStart(n *kv.Config) {
	c := &s.cfg
	s.log.Info("starting an etcd server",
		zap.String("etcd-version", Version),
		zap.String("git-sha", gitSHA()),
		zap.String("name", c.Name),
		zap.String("data-dir", c.dataDir()),
		zap.Stringer("local-member-id", n.Member),
		zap.String("cluster-id", fmt.Sprintf("%x", n.Cluster)),
		zap.Duration("heartbeat-interval", time.Duration(c.HeartbeatMillis)*time.Millisecond),
		zap.Duration("election-timeout", time.Duration(c.ElectionMillis)*time.Millisecond),
		zap.Uint64("snapshot-count", c.SnapshotCount),
		zap.Uint64("snapshot-catchup-entries", c.SnapshotCatchUpEntries),
		zap.Strings("initial-advertise-peer-urls", c.AdvertisePeerURLs.StringSlice()),
		zap.Strings("listen-peer-urls", addresses(s.peerIn)),
		zap.Strings("advertise-client-urls", c.AdvertiseClientURLs.StringSlice()),
		zap.Strings("listen-client-urls", addresses(s.clients)),
		zap.String("initial-cluster", c.InitialCluster),
		zap.String("initial-cluster-state", c.InitialClusterState),
		zap.String("initial-cluster-token", c.InitialClusterToken),
		zap.Bool("strict-reconfig-check", c.StrictReconfigCheck),
		zap.Int("max-learners", c.MaxLearners),
		zap.String("auto-compaction-mode", c.AutoCompactionMode),
		zap.String("auto-compaction-retention", c.AutoCompactionRetention),
		zap.Int64("quota-backend-bytes", c.quota()),
		zap.Uint("max-request-bytes", c.MaxRequestBytes),
		zap.Uint32("max-concurrent-streams", c.MaxConcurrentStreams),
		zap.Bool("pre-vote", true),
		zap.String("v2-deprecation", "write-only"))
	if c.quota() > suggestedQuotaBytes {
		s.log.Warn("quota exceeds the suggested maximum",
			zap.Int64("quota-size-bytes", c.quota()),
			zap.Int64("quota-maximum-size-bytes", suggestedQuotaBytes))
	}
	if c.MaxRequestBytes > suggestedRequest {
		s.log.Warn("exceeded recommended request limit",
			zap.Uint("max-request-bytes", c.MaxRequestBytes),
			zap.Int("recommended-request-bytes", suggestedRequest))
	}
}

// logOpen says that the member runs; whether it serves is another line.
func (s *Server) logOpen(n *kv.Config) {
	s.log.Info("now serving peer/client/metrics",
		zap.Stringer("local-member-id", n.Member),
		zap.Strings("initial-advertise-peer-urls", s.cfg.AdvertisePeerURLs.StringSlice()),
		zap.Strings("listen-peer-urls", addresses(s.peerIn)),
		zap.Strings("advertise-client-urls", s.cfg.AdvertiseClientURLs.StringSlice()),
		zap.Strings("listen-client-urls", addresses(s.clients)),
		zap.Strings("listen-client-http-urls", addresses(s.clientWeb)),
		zap.Strings("listen-metrics-urls", addresses(s.metricsIn)))
}

// Ready is closed when clients are being served: recovery is durable, a leader is known and this
// member has published itself.
func (s *Server) Ready() <-chan struct{} { return s.served }

// Halted is closed when the node has stopped by itself; Reason then says why.
func (s *Server) Halted() <-chan struct{} { return s.loop.halted }

// Reason says why the node has stopped. It is valid once Halted is closed.
func (s *Server) Reason() string { return s.loop.reason }

// State is the node's state as of the last tick.
func (s *Server) State() kv.State { return *s.loop.state.Load() }

// ClientAddrs are the addresses that clients can dial.
func (s *Server) ClientAddrs() []string {
	var out []string
	for _, l := range s.clients {
		out = append(out, l.Addr().String())
	}
	return out
}

// WebAddrs are the addresses of clients' HTTP and of the metrics, where they have ports of their
// own.
func (s *Server) WebAddrs() (clients, metrics []string) {
	for _, l := range s.clientWeb {
		clients = append(clients, l.Addr().String())
	}
	for _, l := range s.metricsIn {
		metrics = append(metrics, l.Addr().String())
	}
	return clients, metrics
}

// leading says whether this member leads a cluster that has others.
func (s *Server) leading() bool {
	st := s.loop.state.Load()
	return st.Raft.Role == raft.Leader && len(st.Raft.Config.Voters) > 1
}
