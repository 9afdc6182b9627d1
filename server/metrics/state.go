package metrics

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// Snapshot is what the loop publishes of the node, at every tick.
type Snapshot struct {
	kv.State
	Counters kv.Counters
	Figures  kv.Figures
	Quota    int64 // bytes; below 0 is none
	// Compacted is when the store was last compacted, in seconds since 1970, 0 for never.
	CompactedAt int64
}

// Queues is what waits at the edge.
type Queues struct {
	Requests, RequestBytes int // for the loop's next turn
	Messages               int
	Responses              int // of watches, to be sent
	ResponseBytes          int
}

// Source is where values come from that exist as state. All may be called at any time.
type Source struct {
	Snapshot func() *Snapshot // nil until there is a node
	Queues   func() Queues
	Lane     func(diskio.Lane) osdisk.LaneStats
}

// reading is a family of one series that a snapshot holds.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*Snapshot) float64
}

// stateCollector reads state at every scrape.
type stateCollector struct {
	source                               Source
	readings                             []reading
	queues                               []queueReading
	lanes                                []laneReading
	leaseTTLs, clusterVersion, id, known *prometheus.Desc
	alarms                               *prometheus.Desc
	transfers                            []transferReading
	fdUsed, fdLimit                      *prometheus.Desc
}

type queueReading struct {
	desc *prometheus.Desc
	read func(*Queues) int
}

type laneReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*osdisk.LaneStats) float64
}

type transferReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*kv.Transfer) uint64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func newStateCollector(source Source) *stateCollector {
	c := &stateCollector{
		source: source,
		leaseTTLs: describe("etcd_debugging_lease_ttl_total",
			"Times to live of granted leases, in seconds."),
		clusterVersion: describe("etcd_cluster_version",
			"The version that the cluster has agreed on; always 1.", "cluster_version"),
		id: describe("etcd_server_id", "This member's id; always 1.", "server_id"),
		known: describe("etcd_network_known_peers", "Members of the cluster; always 1.", "Local",
			"Remote"),
		alarms: describe("etcd_debugging_server_alarms", "Alarms that are raised; always 1.",
			"server_id", "alarm_type"),
		fdUsed:  describe("os_fd_used", "File descriptors in use."),
		fdLimit: describe("os_fd_limit", "File descriptors that may be used."),
	}
	c.addServer()
	c.addStore()
	c.addOwn()
	c.addTransfers()
	return c
}

func (c *stateCollector) gauge(name, help string, read func(*Snapshot) float64) {
	c.readings = append(c.readings, reading{describe(name, help), prometheus.GaugeValue, read})
}

func (c *stateCollector) counter(name, help string, read func(*Snapshot) float64) {
	c.readings = append(c.readings, reading{describe(name, help), prometheus.CounterValue, read})
}

// Describe implements prometheus.Collector. It says nothing, so that the registry takes whatever
// comes: what there is depends on the members and the alarms.
func (c *stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	c.collectDescriptors(out)
	s := c.source.Snapshot()
	if s == nil {
		return
	}
	for i := range c.readings {
		r := &c.readings[i]
		out <- prometheus.MustNewConstMetric(r.desc, r.kind, r.read(s))
	}
	q := c.source.Queues()
	for i := range c.queues {
		out <- prometheus.MustNewConstMetric(c.queues[i].desc, prometheus.GaugeValue,
			float64(c.queues[i].read(&q)))
	}
	for lane, name := range laneNames {
		stats := c.source.Lane(diskio.Lane(lane))
		for i := range c.lanes {
			l := &c.lanes[i]
			out <- prometheus.MustNewConstMetric(l.desc, l.kind, l.read(&stats), name)
		}
		if diskio.Lane(lane) == diskio.LaneLog {
			out <- prometheus.MustNewConstMetric(walBytes, prometheus.GaugeValue,
				float64(stats.WriteBytes))
		}
	}
	c.collectMembers(out, s)
	c.collectLeases(out, s)
}

// walBytes is a gauge in etcd, in spite of its name.
var walBytes = describe("etcd_disk_wal_write_bytes_total", "Bytes written to the log.")

func (c *stateCollector) collectMembers(out chan<- prometheus.Metric, s *Snapshot) {
	one := func(d *prometheus.Desc, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, 1, labels...)
	}
	self := hexID(s.Raft.ID)
	one(c.id, self)
	for i := range s.Members {
		one(c.known, self, hexID(s.Members[i].ID))
	}
	for _, a := range s.Alarms {
		one(c.alarms, hexID(a.Member), a.Kind.String())
	}
	if s.Version != "" {
		one(c.clusterVersion, majorMinor(s.Version))
	}
	for i := range s.Counters.Transfers {
		t := &s.Counters.Transfers[i]
		for j := range c.transfers {
			r := &c.transfers[j]
			if n := r.read(t); n > 0 || r.kind == prometheus.GaugeValue {
				out <- prometheus.MustNewConstMetric(r.desc, r.kind, float64(n), hexID(t.Peer))
			}
		}
	}
}

// majorMinor cuts the patch level off a version.
func majorMinor(version string) string {
	dots := 0
	for i := range version {
		if version[i] != '.' {
			continue
		}
		if dots++; dots == 2 {
			return version[:i]
		}
	}
	return version
}

func (c *stateCollector) collectLeases(out chan<- prometheus.Metric, s *Snapshot) {
	counts := &s.Counters.LeaseTTLs
	cumulative := make(map[float64]uint64, len(counts)-1)
	sum, bound := uint64(0), 1.0
	for i := range counts {
		sum += counts[i]
		if i < len(counts)-1 {
			cumulative[bound] = sum
		}
		bound *= 2
	}
	out <- prometheus.MustNewConstHistogram(c.leaseTTLs, sum, float64(s.Counters.LeaseTTLSum),
		cumulative)
}

func (c *stateCollector) collectDescriptors(out chan<- prometheus.Metric) {
	used, limit := 0.0, 0.0
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			used = float64(len(entries))
			break
		}
	}
	if most, err := osdisk.OpenFiles(); err == nil {
		limit = float64(most)
	}
	out <- prometheus.MustNewConstMetric(c.fdUsed, prometheus.GaugeValue, used)
	out <- prometheus.MustNewConstMetric(c.fdLimit, prometheus.GaugeValue, limit)
}

func (c *stateCollector) addTransfers() {
	counter := func(name, help, label string, read func(*kv.Transfer) uint64) {
		c.transfers = append(c.transfers, transferReading{
			describe("etcd_network_snapshot_"+name, help, label), prometheus.CounterValue, read})
	}
	gauge := func(name, help, label string, read func(*kv.Transfer) uint64) {
		c.transfers = append(c.transfers, transferReading{
			describe("etcd_network_snapshot_"+name, help, label), prometheus.GaugeValue, read})
	}
	counter("send_success", "Snapshots that a member has installed.", "To",
		func(t *kv.Transfer) uint64 { return t.Sent })
	counter("send_failures", "Snapshots to a member that were given up.", "To",
		func(t *kv.Transfer) uint64 { return t.SendFailed })
	gauge("send_inflights_total", "Snapshots on their way to a member.", "To",
		func(t *kv.Transfer) uint64 { return uint64(t.SendingNow) })
	counter("receive_success", "Snapshots of a member that were installed.", "From",
		func(t *kv.Transfer) uint64 { return t.Received })
	counter("receive_failures", "Snapshots of a member that were given up.", "From",
		func(t *kv.Transfer) uint64 { return t.ReceiveFailed })
	gauge("receive_inflights_total", "Snapshots on their way from a member.", "From",
		func(t *kv.Transfer) uint64 { return uint64(t.ReceivingNow) })
}

// isLeader and its like are what the readings of booleans ask.
func isLeader(s *Snapshot) float64 { return number(s.Raft.Role == raft.Leader) }

func hasLeader(s *Snapshot) float64 { return number(s.Raft.Leader != 0) }

func isLearner(s *Snapshot) float64 {
	for i := range s.Members {
		if s.Members[i].ID == s.Raft.ID {
			return number(s.Members[i].Learner == kv.LearnerOnly)
		}
	}
	return 1
}
