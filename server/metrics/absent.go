package metrics

// Families of etcd that count what does not happen here. They are present, because tools ask for
// them, and stay empty.

// absent registers them.
func (m maker) absent() {
	for _, name := range []string{
		"etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
		"etcd_debugging_disk_backend_commit_spill_duration_seconds",
	} {
		m.histogram(name, "Empty: there is no B+tree.", coarse)
	}
	m.histogram("etcd_debugging_snap_save_marshalling_duration_seconds",
		"Empty: a checkpoint is written as the store is held.", coarse)
	m.histogram("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
		"Empty: compaction stops nothing.", buckets{1, 13})
	m.histogram("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
		"Empty: compaction stops nothing.", buckets{0.5, 14})

	const v2 = "Empty: there is no store of version 2."
	m.counter("etcd_debugging_store_expires_total", v2)
	m.counter("etcd_debugging_store_watch_requests_total", v2)
	m.gauge("etcd_debugging_store_watchers", v2)

	const proxy = "Empty: this process is no proxy."
	for _, name := range []string{"cache_hits_total", "cache_keys_total", "cache_misses_total",
		"watchers_coalescing_total"} {
		m.gauge("etcd_grpc_proxy_"+name, proxy)
	}
	m.counter("etcd_grpc_proxy_events_coalescing_total", proxy)
}
