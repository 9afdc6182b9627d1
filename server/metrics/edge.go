package metrics

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
)

// Disk is the time of system calls, and of what consists of them.
type Disk struct {
	walSync, walWrite          prometheus.Histogram
	commit, commitWrite        prometheus.Histogram
	snapSync, receiveSync      prometheus.Histogram
	syncs, writes              [diskio.NumLanes]prometheus.Observer
	receiving                  *atomic.Bool
	Defragment, Backup         prometheus.Histogram
	Receive                    prometheus.Histogram
	Hash, HashRevision         prometheus.Histogram
	Compaction                 prometheus.Histogram // milliseconds
	Checkpoint, checkpointSave prometheus.Histogram
}

// laneNames are the values of the label lane.
var laneNames = [diskio.NumLanes]string{diskio.LaneLog: "log", diskio.LaneEngine: "engine",
	diskio.LaneBulk: "bulk"}

func newDisk(m maker) Disk {
	d := Disk{
		receiving: &atomic.Bool{},
		walSync: m.histogram("etcd_disk_wal_fsync_duration_seconds",
			"Time of a sync of the log.", coarse),
		walWrite: m.histogram("etcd_disk_wal_write_duration_seconds",
			"Time of a write to the log.", coarse),
		commit: m.histogram("etcd_disk_backend_commit_duration_seconds",
			"Time of a sync of the engine's segments.", coarse),
		commitWrite: m.histogram("etcd_debugging_disk_backend_commit_write_duration_seconds",
			"Time of a write to the engine's files.", coarse),
		snapSync: m.histogram("etcd_snap_fsync_duration_seconds",
			"Time of a sync of a checkpoint's state or manifest.", coarse),
		receiveSync: m.histogram("etcd_snap_db_fsync_duration_seconds",
			"Time of a sync of the engine's segments while a snapshot comes in.", coarse),
		Receive: m.histogram("etcd_snap_db_save_total_duration_seconds",
			"Time to receive and install a snapshot of another member.", slow),
		Defragment: m.histogram("etcd_disk_backend_defrag_duration_seconds",
			"Time of a Defragment, which stops nothing.", buckets{0.1, 13}),
		Backup: m.histogram("etcd_disk_backend_snapshot_duration_seconds",
			"Time to send a backup to a client.", buckets{0.01, 17}),
		Hash: m.histogram("etcd_mvcc_hash_duration_seconds",
			"Time of a Hash.", buckets{0.01, 15}),
		HashRevision: m.histogram("etcd_mvcc_hash_rev_duration_seconds",
			"Time of a HashKV.", buckets{0.01, 15}),
		Compaction: m.histogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
			"Time from a compaction to the end of its reclaim.", buckets{100, 14}),
		Checkpoint: m.histogram("detcd_checkpoint_duration_seconds",
			"Time from a checkpoint's begin until it is durable.", coarse),
		checkpointSave: m.histogram("etcd_debugging_snap_save_total_duration_seconds",
			"Time from a checkpoint's begin until it is durable.", coarse),
	}
	syncs := m.histogramVec("detcd_disk_sync_duration_seconds", "Time of a sync, by lane.", fine,
		"lane")
	writes := m.histogramVec("detcd_disk_write_duration_seconds", "Time of a write, by lane.",
		fine, "lane")
	for lane, name := range laneNames {
		d.syncs[lane], d.writes[lane] = syncs.WithLabelValues(name), writes.WithLabelValues(name)
	}
	return d
}

// Observe takes what a lane has timed. It runs on the lane's goroutine.
func (d *Disk) Observe(o osdisk.Observation) {
	seconds := o.Duration.Seconds()
	switch o.Kind {
	case diskio.Write:
		d.writes[o.Lane].Observe(seconds)
		switch o.Lane {
		case diskio.LaneLog:
			d.walWrite.Observe(seconds)
		case diskio.LaneEngine:
			d.commitWrite.Observe(seconds)
		}
	case diskio.Sync, diskio.SyncDir:
		d.syncs[o.Lane].Observe(seconds)
		switch {
		case o.Lane == diskio.LaneLog:
			d.walSync.Observe(seconds)
		case o.Lane != diskio.LaneEngine:
		case !strings.HasSuffix(o.File, ".seg"):
			d.snapSync.Observe(seconds)
		case d.receiving.Load():
			d.receiveSync.Observe(seconds)
		default:
			d.commit.Observe(seconds)
		}
	}
}

// CheckpointDurable counts a checkpoint that took so long.
func (d *Disk) CheckpointDurable(took time.Duration) {
	d.Checkpoint.Observe(took.Seconds())
	d.checkpointSave.Observe(took.Seconds())
}

// Receiving says whether syncs of segments are of a snapshot that comes in.
func (d *Disk) Receiving(members int) { d.receiving.Store(members > 0) }

// Loop is the time of the one goroutine that owns the node.
type Loop struct {
	Turns    prometheus.Histogram // of one turn: the node's step and its effects
	Inputs   prometheus.Histogram // in number
	LateBeat prometheus.Counter
}

func newLoop(m maker) Loop {
	l := Loop{
		Turns: m.histogram("detcd_loop_turn_seconds",
			"Time of a turn of the loop: the node's step and carrying out its effects.",
			buckets{0.000016, 20}),
		LateBeat: m.counter("etcd_server_heartbeat_send_failures_total",
			"Times that a leader was too late to send its heartbeats."),
		Inputs: m.histogram("detcd_loop_inputs", "Inputs of a turn of the loop.", buckets{1, 13}),
	}
	return l
}

// Watch is what watch streams get.
type Watch struct {
	Events prometheus.Counter
	// Send is the time of a visit to a stream, PerEvent the same by response, Control that of
	// responses that carry no events.
	Send, PerEvent, Control, Progress prometheus.Histogram
}

func newWatch(m maker) Watch {
	const send = "etcd_debugging_server_watch_send_loop_"
	return Watch{
		Events: m.counter("etcd_debugging_mvcc_events_total", "Events let out to watchers."),
		Send: m.histogram(send+"watch_stream_duration_seconds",
			"Time to send what waits for a stream.", coarse),
		PerEvent: m.histogram(send+"watch_stream_duration_per_event_seconds",
			"Time to send a response of events, on average of a visit to its stream.", coarse),
		Control: m.histogram(send+"control_stream_duration_seconds",
			"Time to send what waits for a stream when it is answers only.", coarse),
		Progress: m.histogram(send+"progress_duration_seconds",
			"Time to send progress notices; they go with the answers here.", coarse),
	}
}

// Health counts what probes were told.
type Health struct {
	Success, Failures prometheus.Counter
	last              *prometheus.GaugeVec
	checks            *prometheus.CounterVec
}

func newHealth(m maker) Health {
	return Health{
		Success:  m.counter("etcd_server_health_success", "Answers of /health that were good."),
		Failures: m.counter("etcd_server_health_failures", "Answers of /health that were bad."),
		last: m.gaugeVec("etcd_server_healthcheck", "The last result of a check, 1 if good.",
			"type", "name"),
		checks: m.counterVec("etcd_server_healthchecks_total", "Results of checks.", "type", "name",
			"status"),
	}
}

// Check counts the result of one check of /livez or /readyz.
func (h *Health) Check(path, name string, err error) {
	status := "success"
	if err != nil {
		status = "error"
	}
	h.last.WithLabelValues(path, name).Set(number(err == nil))
	h.checks.WithLabelValues(path, name, status).Inc()
}
