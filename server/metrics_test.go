package server

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// scraped is what a member tells Prometheus, by family.
type scraped map[string]*dto.MetricFamily

func scrape(t *testing.T, base string) scraped {
	status, body := httpGet(t, base+"/metrics")
	require.Equal(t, 200, status)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	return found
}

// sum adds up the series of a family with these labels: values, or numbers of samples.
func (s scraped) sum(name string, pairs ...string) (total float64) {
	for _, m := range s[name].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		same := true
		for i := 0; i < len(pairs); i += 2 {
			same = same && labels[pairs[i]] == pairs[i+1]
		}
		if same {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return total
}

// A member that has just begun to serve shows every family that etcd shows then.
func TestMetricsOfAFreshMember(t *testing.T) {
	text, err := os.ReadFile("metrics/testdata/families.txt")
	require.NoError(t, err)
	c := startCluster(t, 1, func(cfg *Config) { cfg.Metrics = "extensive" })
	base := c.configs[0].ListenClientURLs[0].String()
	require.Eventually(t, func() bool { // the version is decided a moment after the start
		return scrape(t, base).sum("etcd_cluster_version", "cluster_version", "3.7") == 1
	}, patience, 10*time.Millisecond)
	m := scrape(t, base)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if !strings.HasPrefix(line, "#") && (f[2] == "fresh" || f[2] == "extensive") {
			require.Contains(t, m, f[0])
		}
	}
	// Of every method but those of locks and elections, every outcome.
	const methods, outcomes = 45, 17
	require.Len(t, m["grpc_server_started_total"].GetMetric(), methods)
	require.Len(t, m["grpc_server_handled_total"].GetMetric(), methods*outcomes)
	require.Zero(t, m.sum("grpc_server_handled_total"))
}

func TestMetricsOfACluster(t *testing.T) {
	c := startCluster(t, 3, func(cfg *Config) { cfg.Metrics = "extensive" })
	leader := c.leader()
	cli, ctx := c.client(leader), testContext(t)
	const puts = 20
	for range puts {
		_, err := cli.Put(ctx, "key", "value")
		require.NoError(t, err)
	}
	_, err := cli.Get(ctx, "key")
	require.NoError(t, err)
	_, err = cli.Txn(ctx).Then(clientv3.OpPut("a", "1"), clientv3.OpPut("b", "2")).Commit()
	require.NoError(t, err)
	_, err = cli.Delete(ctx, "a")
	require.NoError(t, err)
	lease, err := cli.Grant(ctx, 100)
	require.NoError(t, err)
	_, err = cli.Revoke(ctx, lease.ID)
	require.NoError(t, err)
	_, err = cli.MemberPromote(ctx, 12345)
	require.Error(t, err)
	watched, stop := context.WithCancel(ctx)
	<-cli.Watch(watched, "key", clientv3.WithRev(2))
	stop()
	base := c.configs[leader].ListenClientURLs[0].String()
	status, _ := httpGet(t, base+"/health")
	require.Equal(t, 200, status)

	// What is state is a tick old at most.
	var m scraped
	require.Eventually(t, func() bool {
		m = scrape(t, base)
		return m.sum("etcd_debugging_lease_revoked_total") == 1
	}, patience, 10*time.Millisecond)
	id := c.servers[leader].State().Raft.ID
	for name, want := range map[string]float64{
		"etcd_server_has_leader": 1, "etcd_server_is_leader": 1, "etcd_server_is_learner": 0,
		"etcd_mvcc_put_total": puts + 2, "etcd_mvcc_delete_total": 1, "etcd_mvcc_txn_total": 1,
		"etcd_debugging_mvcc_keys_total": 2, "etcd_debugging_lease_granted_total": 1,
		"etcd_debugging_lease_ttl_total": 1, "etcd_server_health_success": 1,
		"etcd_network_known_peers": 3, "etcd_network_active_peers": 2,
		"etcd_debugging_mvcc_current_revision": puts + 3,
		"etcd_server_quota_backend_bytes":      2 << 30,
	} {
		require.Equal(t, want, m.sum(name), name)
	}
	count := func(want float64, name string, pairs ...string) {
		require.Equal(t, want, m.sum(name, pairs...), "%s %v", name, pairs)
	}
	put := []string{"grpc_service", "etcdserverpb.KV", "grpc_method", "Put"}
	for _, name := range []string{"grpc_server_started_total", "grpc_server_msg_sent_total",
		"grpc_server_msg_received_total", "grpc_server_handling_seconds"} {
		count(puts, name, put...)
	}
	count(puts, "grpc_server_handled_total", append(put, "grpc_code", "OK")...)
	count(1, "grpc_server_handled_total", "grpc_method", "MemberPromote", "grpc_code", "NotFound")
	count(1, "grpc_server_started_total", "grpc_method", "Watch", "grpc_type", "bidi_stream")
	count(puts, "etcd_server_request_duration_seconds", "type", "Put", "success", "true")
	count(puts, "etcd_server_apply_duration_seconds", "op", "Put", "success", "true")
	count(1, "etcd_server_range_duration_seconds", "success", "true")
	count(1, "etcd_server_learner_promote_failures", "Reason", "etcdserver: member not found")
	count(1, "etcd_server_id", "server_id", id.String())
	for _, name := range []string{"etcd_disk_wal_fsync_duration_seconds",
		"etcd_disk_wal_write_bytes_total", "etcd_network_client_grpc_received_bytes_total",
		"etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total",
		"etcd_network_peer_round_trip_time_seconds", "etcd_debugging_mvcc_events_total",
		"etcd_server_leader_changes_seen_total", "detcd_loop_turn_seconds"} {
		require.Positive(t, m.sum(name), name)
	}
}

// A member that is gone shows in what the others cannot send.
func TestMetricsOfALostMember(t *testing.T) {
	c := startCluster(t, 3, nil)
	leader := c.leader()
	lost := (leader + 1) % 3
	to := c.servers[lost].State().Raft.ID.String()
	base := c.configs[leader].ListenClientURLs[0].String()
	before := scrape(t, base).sum("etcd_network_peer_sent_failures_total", "To", to)
	c.servers[lost].Stop()
	require.Eventually(t, func() bool {
		m := scrape(t, base)
		return m.sum("etcd_network_peer_sent_failures_total", "To", to) > before+2 &&
			m.sum("etcd_network_active_peers", "Remote", to) == 0 &&
			m.sum("etcd_network_disconnected_peers_total", "Remote", to) > 0
	}, patience, 10*time.Millisecond)
}

// The log says where the time of a request went.
func TestSlowRequestsAreLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	c := startCluster(t, 1, func(cfg *Config) {
		cfg.Log = zap.New(core)
		cfg.WarningApplyDuration = time.Hour
		cfg.WarningUnaryRequestDuration = 0 // every request is slow
	})
	cli, ctx := c.client(0), testContext(t)
	_, err := cli.Put(ctx, "name", "secret")
	require.NoError(t, err)
	lines := logs.FilterMessage("request stats").FilterField(
		zap.String("response type", "/etcdserverpb.KV/Put")).All()
	require.Len(t, lines, 1)
	fields := lines[0].ContextMap()
	require.Contains(t, fields["request content"], "name")
	require.NotContains(t, fields["request content"], "secret")
	require.Contains(t, fields["request content"], "value_size:6")
	sum := time.Duration(0)
	for _, phase := range []string{"queue", "sync", "quorum", "apply", "send"} {
		took := fields[phase].(time.Duration)
		require.GreaterOrEqual(t, took, time.Duration(0), phase)
		sum += took
	}
	require.Equal(t, fields["time spent"], sum, "the phases are the whole")
	require.Empty(t, logs.FilterMessage("apply request took too long").All())
}

func TestSlowApplyIsLoggedAsEtcdDoes(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	c := startCluster(t, 1, func(cfg *Config) {
		cfg.Log, cfg.WarningApplyDuration = zap.New(core), 0
	})
	cli, ctx := c.client(0), testContext(t)
	_, err := cli.Get(ctx, "key")
	require.NoError(t, err)
	lines := logs.FilterMessage("apply request took too long").All()
	require.Len(t, lines, 1)
	require.Equal(t, zap.WarnLevel, lines[0].Level)
	fields := lines[0].ContextMap()
	require.Equal(t, "read-only range ", fields["prefix"])
	require.Contains(t, fields["request"], "key")
	for _, name := range []string{"took", "expected-duration", "response", "queue", "quorum"} {
		require.Contains(t, fields, name)
	}
	base := c.configs[0].ListenClientURLs[0].String()
	require.Equal(t, 1.0, scrape(t, base).sum("etcd_server_slow_apply_total"))
}

// An index is found at the first mark that shows it, and spans are no longer than they are.
func TestMarksFindWhenAnIndexWasReached(t *testing.T) {
	var m marks
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	p := func(durable, committed raft.Index) kv.Progress {
		return kv.Progress{Durable: durable, Committed: committed}
	}
	for i := range 10 * markCount {
		m.add(at(6*i), p(1, 1))
	}
	end := 6 * 10 * markCount
	m.add(at(end+10), p(5, 1))
	m.add(at(end+30), p(5, 5))
	m.add(at(end+60), p(9, 9))
	durable, committed := m.find(5, at(end), at(end+100))
	require.Equal(t, at(end+10), durable)
	require.Equal(t, at(end+30), committed)
	durable, committed = m.find(9, at(end), at(end+100))
	require.Equal(t, [2]time.Duration{at(end + 60), at(end + 60)}, [2]time.Duration{durable, committed})
	durable, committed = m.find(10, at(end), at(end+100))
	require.Equal(t, [2]time.Duration{at(end + 100), at(end + 100)},
		[2]time.Duration{durable, committed}, "not marked yet")
	m.add(at(end+62), p(12, 9))
	durable, _ = m.find(12, at(end), at(end+100))
	require.Equal(t, at(end+62), durable, "within a span the newest counts")
}

func TestPhasesAreTheWhole(t *testing.T) {
	c := &call{turn: 10, served: 70, durable: 30, committed: 50, answer: kv.Answer{Index: 1}}
	p := phasesOf(c, 4, 80, 95)
	require.Equal(t, phases{came: 4, taken: 10, durable: 30, committed: 50, answered: 80, sent: 95}, p)
	c.durable = 60 // the others were faster
	p = phasesOf(c, 4, 80, 95)
	require.Equal(t, time.Duration(50), p.durable)
	require.Equal(t, time.Duration(30), p.apply())
	c = &call{turn: 10, served: 40} // a read
	p = phasesOf(c, 4, 80, 95)
	require.Equal(t, phases{came: 4, taken: 10, durable: 10, committed: 40, answered: 80, sent: 95}, p)
}

// spans is a collector that remembers the names of what it got.
type spans struct {
	collector.UnimplementedTraceServiceServer
	names chan string
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error) {
	for _, resource := range r.ResourceSpans {
		service := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				select {
				case s.names <- service + " " + span.Name:
				default:
				}
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestSpansReachTheCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, got := grpc.NewServer(), &spans{names: make(chan string, 1024)}
	collector.RegisterTraceServiceServer(server, got)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	c := startCluster(t, 1, func(cfg *Config) {
		cfg.Tracing = TracingConfig{Enabled: true, Address: l.Addr().String(),
			ServiceName: "mine", InstanceID: "one", SamplesPerMillion: million}
	})
	_, err = c.client(0).Put(testContext(t), "k", "v")
	require.NoError(t, err)
	c.servers[0].Stop() // what is left is sent then
	server.GracefulStop()
	close(got.names)
	var all []string
	for name := range got.names {
		all = append(all, name)
	}
	require.Contains(t, all, "mine etcdserverpb.KV/Put")
}

func TestTracingIsRefusedWithAnImpossibleRate(t *testing.T) {
	for rate, want := range map[int]error{-1: ErrSamplingNegative, million + 1: ErrSamplingTooHigh,
		0: nil, million: nil} {
		cfg := testConfig(t.TempDir())
		cfg.Tracing.Enabled, cfg.Tracing.SamplesPerMillion = true, rate
		require.Equal(t, want, cfg.Validate(), rate)
	}
}

func TestTheLogFileIsLimited(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.EnableLogRotation = true
	cfg.LogRotationJSON = `{"maxsize": 1, "maxbackups": 3}`
	for want, outputs := range map[string][]string{
		"--log-outputs requires a single file path when --log-rotate-config-json is defined": {
			"stderr"},
		"": {dir + "/log", "stderr"},
	} {
		cfg.LogOutputs = outputs
		err := cfg.validateLogging()
		if want != "" {
			require.EqualError(t, err, want)
		} else {
			require.NoError(t, err)
		}
	}
	for words, bad := range map[string]string{
		"improperly formatted log rotation config: ": `{`,
		"invalid log rotation config: ":              `{"maxsize": "1"}`,
	} {
		other := cfg
		other.LogOutputs, other.LogRotationJSON = []string{dir + "/log"}, bad
		require.ErrorContains(t, other.validateLogging(), words)
	}
	cfg.LogOutputs = []string{dir + "/log"}
	log, err := NewLogger(&cfg)
	require.NoError(t, err)
	for range 12 {
		log.Info(strings.Repeat("x", 100<<10))
	}
	files := filesIn(t, dir)
	require.Len(t, files, 2, "%v", files)
}

func TestDebugLevelServesTraces(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) { cfg.LogLevel = "debug" })
	base := c.configs[0].ListenClientURLs[0].String()
	for _, path := range []string{"/debug/requests", "/debug/events", "/debug/pprof/"} {
		status, _ := httpGet(t, base+path)
		require.Equal(t, 200, status, path)
	}
	plain := startCluster(t, 1, nil)
	for _, path := range []string{"/debug/requests", "/debug/events", "/debug/pprof/"} {
		status, _ := httpGet(t, plain.configs[0].ListenClientURLs[0].String()+path)
		require.Equal(t, 404, status, path)
	}
}

// A client that does not wait leaves a line all the same.
func TestAbandonedRequestsAreLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	c := startCluster(t, 3, func(cfg *Config) {
		cfg.Log, cfg.WarningUnaryRequestDuration = zap.New(core), 0
	})
	leader := c.leader()
	cli, ctx := c.client(leader), testContext(t)
	_, err := cli.Put(ctx, "name", "v") // the connection is there then
	require.NoError(t, err)
	for i, s := range c.servers {
		if i != leader {
			s.Stop()
		}
	}
	require.Eventually(t, func() bool { // again, if it was too hasty to arrive
		hasty, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if _, err := cli.Put(hasty, "abandoned", "v"); err == nil {
			return false
		}
		for _, line := range logs.FilterMessage("request stats").All() {
			fields := line.ContextMap()
			text, _ := fields["request content"].(string)
			if strings.Contains(text, "abandoned") && fields["error"] != nil {
				return true
			}
		}
		return false
	}, patience, 10*time.Millisecond)
}

func filesIn(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
