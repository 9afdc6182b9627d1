package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// family is a line of testdata/families.txt.
type family struct {
	name, kind, when string
	labels           []string
}

func families(t *testing.T) (all []family) {
	text, err := os.ReadFile("testdata/families.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		require.Len(t, f, 4, line)
		one := family{f[0], f[1], f[2], nil}
		if f[3] != "-" {
			one.labels = strings.Split(f[3], ",")
		}
		all = append(all, one)
	}
	return all
}

func scrape(t *testing.T, s *Set) map[string]*dto.MetricFamily {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code, w.Body.String())
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)
	return found
}

// populated is a set of which every family has something to say.
func populated() *Set {
	snapshot := &Snapshot{
		State: kv.State{Raft: raft.Status{ID: 0xa, Leader: 0xa, Role: raft.Leader, Commit: 9},
			Applied: 8, Version: "3.7.0", Members: []kv.Member{{ID: 0xa}, {ID: 0xb}},
			Alarms: []kv.Alarm{{Member: 0xb, Kind: kv.AlarmNoSpace}}, FileBytes: 100},
		Counters: kv.Counters{Transfers: []kv.Transfer{{Peer: 0xb, Sent: 1, SendFailed: 2,
			Received: 3, ReceiveFailed: 4, SendingNow: 1}}, LeaseTTLSum: 5},
		Figures: kv.Figures{InUseBytes: 60},
		Quota:   -1,
	}
	snapshot.Counters.LeaseTTLs[2] = 1
	s := New(&Options{Mode: Extensive, Version: "3.7.1", Gates: []Gate{{"One", "BETA", true}},
		Source: Source{
			Snapshot: func() *Snapshot { return snapshot },
			Queues:   func() Queues { return Queues{Requests: 3, Responses: 4} },
			Lane: func(l diskio.Lane) osdisk.LaneStats {
				return osdisk.LaneStats{WriteBytes: 10 + uint64(l)}
			},
		}})
	rpc := s.RPCs.Method(Unary, "etcdserverpb.KV", "Put")
	rpc.Begun()
	rpc.Ended(codes.Unavailable, time.Second)
	s.Clients.Unary("3.7")
	s.Clients.Stream("")
	s.Requests.Range(kv.OK, time.Millisecond)
	s.Requests.Request(kv.MethodPut, kv.ErrNoSpace, time.Millisecond)
	s.Requests.Applied(kv.Operation(kv.MethodPut), kv.OK, 3, time.Millisecond)
	s.Requests.Promoted(kv.ErrLearnerNotReady)
	s.Requests.StreamFailed(Sending, "watch")
	p := s.Peers.Peer(0xa, 0xb)
	p.Up()
	p.Asked(time.Second)
	p.Answered(3 * time.Second)
	p.Answered(4 * time.Second) // nobody has asked
	s.Peers.Sent(0xb, time.Second)
	s.Peers.Received(0xb, time.Second)
	s.Health.Check("/livez", "serializable_read", errors.New("no"))
	return s
}

// Every family of etcd is there, under its name, of its type, with its labels.
func TestFamiliesOfEtcd(t *testing.T) {
	found := scrape(t, populated())
	all := families(t)
	require.Greater(t, len(all), 150)
	for _, f := range all {
		got := found[f.name]
		if f.when == "never" {
			require.Nil(t, got, f.name)
			continue
		}
		require.NotNil(t, got, "%s is missing", f.name)
		require.Equal(t, strings.ToUpper(f.kind), got.GetType().String(), f.name)
		require.NotEmpty(t, got.GetMetric(), f.name)
		var labels []string
		for _, l := range got.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		require.Equal(t, f.labels, labels, f.name)
	}
	for name, f := range found {
		known := slices.ContainsFunc(all, func(f family) bool { return f.name == name })
		require.True(t, known || strings.HasPrefix(name, "detcd_"), "%s is nobody's", name)
		require.NotEmpty(t, f.GetHelp(), name)
	}
}

// value is that of the one series with these labels.
func value(t *testing.T, found map[string]*dto.MetricFamily, name string, pairs ...string) float64 {
	f := found[name]
	require.NotNil(t, f, name)
	for _, m := range f.GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		same := true
		for i := 0; i < len(pairs); i += 2 {
			same = same && labels[pairs[i]] == pairs[i+1]
		}
		switch {
		case !same:
		case m.GetHistogram() != nil:
			return float64(m.GetHistogram().GetSampleCount())
		default:
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("%s has no series with %v", name, pairs)
	return 0
}

func TestValuesOfState(t *testing.T) {
	s := populated()
	found := scrape(t, s)
	for name, want := range map[string]float64{
		"etcd_server_has_leader": 1, "etcd_server_is_leader": 1, "etcd_server_is_learner": 0,
		"etcd_server_proposals_committed_total": 9, "etcd_server_proposals_applied_total": 8,
		"etcd_server_quota_backend_bytes": 0, "etcd_disk_wal_write_bytes_total": 10,
		"etcd_mvcc_db_total_size_in_bytes": 100, "etcd_mvcc_db_total_size_in_use_in_bytes": 60,
		"detcd_reclaimable_bytes": 40, "detcd_apply_lag_entries": 1, "detcd_inbox_requests": 3,
		"etcd_debugging_mvcc_pending_events_total": 4, "etcd_debugging_lease_ttl_total": 1,
	} {
		require.Equal(t, want, value(t, found, name), name)
	}
	require.Equal(t, 1.0, value(t, found, "etcd_cluster_version", "cluster_version", "3.7"))
	require.Equal(t, 1.0, value(t, found, "etcd_network_known_peers", "Local", "a", "Remote", "b"))
	require.Equal(t, 3.0, value(t, found, "etcd_network_snapshot_receive_success", "From", "b"))
	require.Equal(t, 1.0, value(t, found, "etcd_debugging_server_alarms", "server_id", "b",
		"alarm_type", "NOSPACE"))
	require.Equal(t, 3.0, value(t, found, "etcd_server_apply_duration_seconds", "op", "Put",
		"success", "true", "version", "v3"))
	require.Equal(t, 1.0, value(t, found, "grpc_server_handled_total", "grpc_method", "Put",
		"grpc_code", "Unavailable"))
	require.Equal(t, 0.0, value(t, found, "grpc_server_handled_total", "grpc_method", "Put",
		"grpc_code", "OK"))
	require.Equal(t, 1.0, value(t, found, "etcd_server_client_requests_total", "type", "stream",
		"client_api_version", "unknown"))
	require.Equal(t, 1.0, value(t, found, "etcd_network_peer_round_trip_time_seconds", "To", "b"))

	basic := scrape(t, New(&Options{Mode: Basic, Source: Source{
		Snapshot: func() *Snapshot { return nil }}}))
	require.NotContains(t, basic, "grpc_server_handling_seconds")
	require.NotContains(t, basic, "etcd_server_has_leader", "before there is a node")
	require.Contains(t, basic, "etcd_disk_wal_fsync_duration_seconds")
}

// Clients may claim any version; not every claim gets series of its own.
func TestClaimedVersionsAreBounded(t *testing.T) {
	s := populated()
	for i := range 10 * maxVersions {
		s.Clients.Unary(fmt.Sprint("claim", i))
	}
	found := scrape(t, s)
	require.LessOrEqual(t, len(found["etcd_server_client_requests_total"].GetMetric()),
		2*(maxVersions+1))
	require.Equal(t, float64(9*maxVersions+2), value(t, found, "etcd_server_client_requests_total",
		"type", "unary", "client_api_version", otherVersions))
}

func TestSyncsCountWhereTheyBelong(t *testing.T) {
	s := populated()
	observe := func(lane diskio.Lane, kind diskio.Kind, file string) {
		s.Disk.Observe(osdisk.Observation{Lane: lane, Kind: kind, File: file,
			Duration: time.Millisecond})
	}
	observe(diskio.LaneLog, diskio.Sync, "log/1.wal")
	observe(diskio.LaneLog, diskio.Write, "log/1.wal")
	observe(diskio.LaneEngine, diskio.Sync, "data/1.seg")
	observe(diskio.LaneEngine, diskio.Sync, "data/1.state")
	observe(diskio.LaneEngine, diskio.SyncDir, "data")
	observe(diskio.LaneBulk, diskio.Sync, "log/2.wal")
	s.Disk.Receiving(1)
	observe(diskio.LaneEngine, diskio.Sync, "data/2.seg")
	found := scrape(t, s)
	for name, want := range map[string]float64{
		"etcd_disk_wal_fsync_duration_seconds":      1,
		"etcd_disk_wal_write_duration_seconds":      1,
		"etcd_disk_backend_commit_duration_seconds": 1,
		"etcd_snap_fsync_duration_seconds":          2,
		"etcd_snap_db_fsync_duration_seconds":       1,
	} {
		require.Equal(t, want, value(t, found, name), name)
	}
	require.Equal(t, 4.0, value(t, found, "detcd_disk_sync_duration_seconds", "lane", "engine"))
}
