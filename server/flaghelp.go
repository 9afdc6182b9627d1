// The help text: all flags, in etcd's groups.
package server

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// helpGroup is a heading and the flags below it.
type helpGroup struct{ title, flags string }

func helpGroups() []helpGroup {
	return []helpGroup{
		{"Member", "name data-dir wal-dir snapshot-count snapshot-catchup-entries max-snapshots " +
			"max-wals heartbeat-interval election-timeout initial-election-tick-advance " +
			"pre-vote listen-peer-urls listen-client-urls listen-client-http-urls " +
			"socket-reuse-port socket-reuse-address memory-mlock quota-backend-bytes " +
			"backend-bbolt-freelist-type backend-batch-interval backend-batch-limit max-txn-ops " +
			"max-request-bytes max-concurrent-streams grpc-keepalive-min-time " +
			"grpc-keepalive-interval grpc-keepalive-timeout enable-grpc-gateway " +
			"raft-read-timeout raft-write-timeout feature-gates config-file version"},
		{"Clustering", "initial-advertise-peer-urls initial-cluster initial-cluster-state " +
			"initial-cluster-token advertise-client-urls discovery-token discovery-endpoints " +
			"discovery-dial-timeout discovery-request-timeout discovery-keepalive-time " +
			"discovery-keepalive-timeout discovery-insecure-transport " +
			"discovery-insecure-skip-tls-verify discovery-cert discovery-key discovery-cacert " +
			"discovery-user discovery-password discovery-fallback discovery-srv " +
			"discovery-srv-name strict-reconfig-check max-learners auto-compaction-retention " +
			"auto-compaction-mode v2-deprecation"},
		{"Security", "cert-file key-file client-cert-auth client-cert-file client-key-file " +
			"client-crl-file client-cert-allowed-hostname trusted-ca-file auto-tls " +
			"peer-cert-file peer-key-file peer-client-cert-auth peer-client-cert-file " +
			"peer-client-key-file peer-trusted-ca-file peer-cert-allowed-cn " +
			"peer-cert-allowed-hostname peer-skip-client-san-verification peer-auto-tls " +
			"self-signed-cert-validity peer-crl-file cipher-suites cors host-whitelist " +
			"tls-min-version tls-max-version"},
		{"Auth", "auth-token bcrypt-cost auth-token-ttl"},
		{"Profiling and monitoring", "enable-pprof metrics listen-metrics-urls"},
		{"Logging", "logger log-outputs log-level log-format enable-log-rotation " +
			"log-rotation-config-json warning-apply-duration warning-unary-request-duration"},
		{"Distributed tracing", "enable-distributed-tracing distributed-tracing-address " +
			"distributed-tracing-service-name distributed-tracing-instance-id " +
			"distributed-tracing-sampling-rate"},
		{"Features", "corrupt-check-time compact-hash-check-time compaction-batch-limit " +
			"compaction-sleep-interval watch-progress-notify-interval " +
			"bootstrap-defrag-threshold-megabytes downgrade-check-time"},
		{"Unsafe features", "force-new-cluster unsafe-no-fsync"},
	}
}

// Usage says how the program is called.
func Usage() string {
	return "Usage:\n\n  detcd [flags]\n    Start a member.\n\n  detcd --version\n" +
		"    Print the version.\n\n  detcd -h | --help\n    Print all flags.\n\n" +
		"  detcd --config-file FILE\n    Start a member as a file says, in YAML or JSON: names " +
		"of flags and their values,\n    durations as whole nanoseconds. Flags and environment " +
		"are then ignored.\n"
}

// FlagHelp lists every flag with its default and its meaning.
func FlagHelp() string {
	f := &Flags{Config: DefaultConfig()}
	f.define()
	var text strings.Builder
	for _, g := range helpGroups() {
		fmt.Fprintf(&text, "\n%s:\n", g.title)
		for _, name := range strings.Fields(g.flags) {
			fl := f.set.Lookup(name)
			if fl == nil {
				panic("server: help for a flag that does not exist: " + name)
			}
			fmt.Fprintf(&text, "  --%s '%s'\n    %s\n", name, shown(fl), fl.Usage)
		}
	}
	return text.String()
}

// shown is the default as the help shows it.
func shown(fl *pflag.Flag) string {
	if fl.Name == "data-dir" {
		return "${name}.etcd"
	}
	return fl.DefValue
}
