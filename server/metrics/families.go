package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/diskio/osdisk"
)

// addServer adds what etcd says of the member and the log. Some are gauges in spite of their names.
func (c *stateCollector) addServer() {
	const server = "etcd_server_"
	c.gauge(server+"has_leader", "1 if a leader is known.", hasLeader)
	c.gauge(server+"is_leader", "1 if this member leads.", isLeader)
	c.gauge(server+"is_learner", "1 if this member does not vote.", isLearner)
	c.counter(server+"leader_changes_seen_total", "Leaders that were heard of.",
		func(s *Snapshot) float64 { return float64(s.Counters.LeaderChanges) })
	c.gauge(server+"proposals_committed_total", "The last index known to be committed.",
		func(s *Snapshot) float64 { return float64(s.Raft.Commit) })
	c.gauge(server+"proposals_applied_total", "The last index that is applied.",
		func(s *Snapshot) float64 { return float64(s.Applied) })
	c.gauge(server+"proposals_pending", "Writes that are not answered.",
		func(s *Snapshot) float64 { return float64(s.Figures.Proposals) })
	c.counter(server+"proposals_failed_total", "Writes that were given up.",
		func(s *Snapshot) float64 { return float64(s.Counters.ProposalsFailed) })
	c.counter(server+"slow_read_indexes_total", "Rounds of reads that had to be asked again.",
		func(s *Snapshot) float64 { return float64(s.Counters.ReadsSlow) })
	c.counter(server+"read_indexes_failed_total", "Reads that were given up.",
		func(s *Snapshot) float64 { return float64(s.Counters.ReadsFailed) })
	c.gauge(server+"quota_backend_bytes", "The limit of retained data; 0 is none.",
		func(s *Snapshot) float64 { return float64(max(s.Quota, 0)) })
	c.gauge(server+"snapshot_apply_in_progress_total", "1 while a snapshot is being installed.",
		func(s *Snapshot) float64 { return number(s.Figures.Installing) })
	c.gauge("etcd_disk_defrag_inflight", "1 while a Defragment is under way.",
		func(s *Snapshot) float64 { return number(s.Figures.Defragmenting > 0) })
	c.gauge("etcd_debugging_auth_revision", "The revision of users and roles.",
		func(s *Snapshot) float64 { return float64(s.AuthRevision) })
	c.counter("etcd_debugging_server_lease_expired_total", "Leases whose time was over.",
		func(s *Snapshot) float64 { return float64(s.Leases.Expired) })
	c.counter("etcd_debugging_lease_granted_total", "Leases granted.",
		func(s *Snapshot) float64 { return float64(s.Leases.Granted) })
	c.counter("etcd_debugging_lease_renewed_total", "Leases renewed by this member as the leader.",
		func(s *Snapshot) float64 { return float64(s.Leases.Renewed) })
	c.counter("etcd_debugging_lease_revoked_total", "Leases that ended.",
		func(s *Snapshot) float64 { return float64(s.Leases.Ended) })
}

// addStore adds what etcd says of the keys.
func (c *stateCollector) addStore() {
	const mvcc, debugging = "etcd_mvcc_", "etcd_debugging_mvcc_"
	c.gauge(mvcc+"db_total_size_in_bytes", "Bytes of the engine's files.",
		func(s *Snapshot) float64 { return float64(s.FileBytes) })
	c.gauge(mvcc+"db_total_size_in_use_in_bytes", "Bytes of records that are not dropped.",
		func(s *Snapshot) float64 { return float64(s.Figures.InUseBytes) })
	c.gauge(mvcc+"db_open_read_transactions", "States that reads hold.",
		func(s *Snapshot) float64 { return float64(s.Figures.OpenViews) })
	c.counter(mvcc+"put_total", "Puts applied.",
		func(s *Snapshot) float64 { return float64(s.Counters.Puts) })
	c.counter(mvcc+"delete_total", "Keys deleted.",
		func(s *Snapshot) float64 { return float64(s.Counters.Deletes) })
	c.counter(mvcc+"range_total", "Reads of keys.",
		func(s *Snapshot) float64 { return float64(s.Counters.Ranges) })
	c.counter(mvcc+"txn_total", "Transactions of more than one operation applied.",
		func(s *Snapshot) float64 { return float64(s.Counters.Txns) })
	c.gauge(debugging+"current_revision", "The newest revision.",
		func(s *Snapshot) float64 { return float64(s.Revision) })
	c.gauge(debugging+"compact_revision", "The last compacted revision, -1 for none.",
		func(s *Snapshot) float64 { return float64(s.Compacted) })
	c.counter(debugging+"db_compaction_keys_total", "Versions that compactions have dropped.",
		func(s *Snapshot) float64 { return float64(s.Figures.Trimmed) })
	c.gauge(debugging+"db_compaction_last", "When the store was last compacted, 0 for never.",
		func(s *Snapshot) float64 { return float64(s.CompactedAt) })
	c.gauge(debugging+"keys_total", "Keys that live.",
		func(s *Snapshot) float64 { return float64(s.Keys) })
	c.gauge(debugging+"total_put_size_in_bytes", "Bytes of keys and values put.",
		func(s *Snapshot) float64 { return float64(s.Counters.PutBytes) })
	c.gauge(debugging+"watcher_total", "Watchers.",
		func(s *Snapshot) float64 { return float64(s.Watchers) })
	c.gauge(debugging+"watch_stream_total", "Streams of watchers.",
		func(s *Snapshot) float64 { return float64(s.WatchStreams) })
	c.gauge(debugging+"slow_watcher_total", "Watchers that have not got all there is for them.",
		func(s *Snapshot) float64 { return float64(s.SlowWatchers) })
}

// addOwn adds what etcd has no family for.
func (c *stateCollector) addOwn() {
	c.gauge("detcd_pending_requests", "Reads and writes that wait for the cluster.",
		func(s *Snapshot) float64 { return float64(s.Pending) })
	c.gauge("detcd_apply_lag_entries", "Entries committed and not applied.",
		func(s *Snapshot) float64 { return float64(s.Raft.Commit - s.Applied) })
	c.gauge("detcd_log_bytes", "Bytes of the log's files.",
		func(s *Snapshot) float64 { return float64(s.LogBytes) })
	c.gauge("detcd_log_memory_bytes", "Bytes of the log in memory.",
		func(s *Snapshot) float64 { return float64(s.Figures.Log) })
	c.gauge("detcd_unwritten_bytes", "Applied bytes that wait to be written to the engine's files.",
		func(s *Snapshot) float64 { return float64(s.Figures.Unwritten) })
	c.gauge("detcd_pending_bytes", "Bytes of requests that wait for apply.",
		func(s *Snapshot) float64 { return float64(s.Figures.Pending) })
	c.gauge("detcd_reclaimable_bytes", "Bytes of files beyond the records that are in use.",
		func(s *Snapshot) float64 { return float64(max(s.FileBytes-s.Figures.InUseBytes, 0)) })
	c.gauge("detcd_replaced_bytes", "Bytes of files that the next checkpoints will give back.",
		func(s *Snapshot) float64 { return float64(s.Figures.ReplacedBytes) })
	c.gauge("detcd_disk_free_bytes", "Bytes that the file system has left, -1 while unknown.",
		func(s *Snapshot) float64 { return float64(s.Figures.FreeBytes) })
	c.gauge("detcd_read_rounds", "Rounds of linearizable reads under way.",
		func(s *Snapshot) float64 { return float64(s.Figures.Rounds) })
	c.gauge("detcd_leases", "Leases that exist.",
		func(s *Snapshot) float64 { return float64(s.Leases.Live) })
	c.gauge("detcd_watch_lag_revisions", "Revisions that the watcher being caught up is behind.",
		func(s *Snapshot) float64 { return float64(s.Figures.WatchLag) })
	c.counter("detcd_checkpoints_total", "Checkpoints begun.",
		func(s *Snapshot) float64 { return float64(s.Figures.Checkpoints) })
	c.counter("detcd_snapshots_installed_total", "Snapshots of other members installed.",
		func(s *Snapshot) float64 { return float64(s.Counters.Installs) })

	queue := func(name, help string, read func(*Queues) int) {
		c.queues = append(c.queues, queueReading{describe(name, help), read})
	}
	queue("detcd_inbox_requests", "Requests that wait for a turn of the loop.",
		func(q *Queues) int { return q.Requests })
	queue("detcd_inbox_request_bytes", "Bytes of the requests that wait for a turn.",
		func(q *Queues) int { return q.RequestBytes })
	queue("detcd_inbox_messages", "Messages of members that wait for a turn.",
		func(q *Queues) int { return q.Messages })
	queue("detcd_watch_queue_bytes", "Bytes that wait to be sent to watch streams.",
		func(q *Queues) int { return q.ResponseBytes })
	queue("etcd_debugging_mvcc_pending_events_total",
		"Responses that wait to be sent to watch streams.",
		func(q *Queues) int { return q.Responses })

	lane := func(name, help string, kind prometheus.ValueType,
		read func(*osdisk.LaneStats) float64) {
		c.lanes = append(c.lanes, laneReading{describe(name, help, "lane"), kind, read})
	}
	lane("detcd_disk_queue", "Operations of a lane that are not done.", prometheus.GaugeValue,
		func(l *osdisk.LaneStats) float64 { return float64(l.Outstanding) })
	lane("detcd_disk_written_bytes_total", "Bytes that a lane has written.",
		prometheus.CounterValue,
		func(l *osdisk.LaneStats) float64 { return float64(l.WriteBytes) })
	lane("detcd_disk_failures_total", "Operations of a lane that failed.",
		prometheus.CounterValue,
		func(l *osdisk.LaneStats) float64 { return float64(l.Failures) })
}
