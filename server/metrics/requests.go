package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/kv"
)

// later is an observer whose series appears with its first value.
type later = func() prometheus.Observer

// byOutcome are the series of success and failure.
type byOutcome [2]later

func (b *byOutcome) of(code kv.Code) prometheus.Observer {
	if code == kv.OK {
		return b[0]()
	}
	return b[1]()
}

// Requests are the times of what clients ask for.
type Requests struct {
	whole    [kv.NumMethods]*byOutcome
	readOnly *byOutcome // transactions that do
	ranges   *byOutcome
	applied  [kv.NumOperations]*byOutcome

	SlowApplies prometheus.Counter
	promoted    prometheus.Counter
	unpromoted  *prometheus.CounterVec
	failures    *prometheus.CounterVec
}

func newRequests(m maker) Requests {
	whole := m.histogramVec("etcd_server_request_duration_seconds",
		"Time from a request's arrival to its outcome, by kind.", coarse, "type", "success")
	ranges := m.histogramVec("etcd_server_range_duration_seconds",
		"Time that a list or a single read takes, from when it may be read.", fine, "success")
	applied := m.histogramVec("etcd_server_apply_duration_seconds",
		"Time to apply an entry: its share of the turn in which it took effect.", fine,
		"version", "op", "success")
	r := Requests{
		readOnly: outcomes(whole, "ReadonlyTxn"),
		ranges:   outcomes(ranges),
		SlowApplies: m.counter("etcd_server_slow_apply_total",
			"Requests that took longer to apply, or to read, than --warning-apply-duration."),
		promoted: m.counter("etcd_server_learner_promote_successes",
			"Promotions of learners that this member was asked for and that succeeded."),
		unpromoted: m.counterVec("etcd_server_learner_promote_failures",
			"Promotions of learners that this member was asked for and that failed.", "Reason"),
		failures: m.counterVec("etcd_network_server_stream_failures_total",
			"Streams that ended with an error that is not their client's.", "Type", "API"),
	}
	for op, name := range operations {
		if name == "" {
			continue
		}
		r.applied[op] = outcomes(applied, "v3", name)
		if op < int(kv.NumMethods) {
			r.whole[op] = outcomes(whole, name)
		}
	}
	// The families are there before anybody has asked for anything.
	for _, method := range []kv.Method{kv.MethodRange, kv.MethodPut, kv.MethodDeleteRange,
		kv.MethodTxn} {
		r.whole[method].of(kv.OK)
	}
	r.applied[kv.MethodPut].of(kv.OK)
	return r
}

// outcomes prepares the two series of v that differ in their last label, success.
func outcomes(v *prometheus.HistogramVec, labels ...string) *byOutcome {
	var b byOutcome
	for i, success := range [...]string{"true", "false"} {
		all := append(labels[:len(labels):len(labels)], success)
		b[i] = sync.OnceValue(func() prometheus.Observer { return v.WithLabelValues(all...) })
	}
	return &b
}

// Request counts a request's outcome; it is nothing for methods that etcd does not time.
func (r *Requests) Request(method kv.Method, code kv.Code, took time.Duration) {
	if b := r.whole[method]; b != nil {
		b.of(code).Observe(took.Seconds())
	}
}

// ReadOnlyTxn counts a transaction that was answered from a view.
func (r *Requests) ReadOnlyTxn(code kv.Code, took time.Duration) {
	r.readOnly.of(code).Observe(took.Seconds())
}

// Range counts a read.
func (r *Requests) Range(code kv.Code, took time.Duration) {
	r.ranges.of(code).Observe(took.Seconds())
}

// Applied counts n entries of a kind that took each so long.
func (r *Requests) Applied(op kv.Operation, code kv.Code, n uint64, each time.Duration) {
	b := r.applied[op]
	if b == nil || n == 0 {
		return
	}
	h, seconds := b.of(code), each.Seconds()
	for range n {
		h.Observe(seconds)
	}
}

// Promoted counts the outcome of a promotion.
func (r *Requests) Promoted(code kv.Code) {
	if code == kv.OK {
		r.promoted.Inc()
		return
	}
	r.unpromoted.WithLabelValues(code.Text()).Inc()
}

// Way is which way a stream's message was on when it failed.
type Way string

// The ways.
const (
	Receiving Way = "receive"
	Sending   Way = "send"
)

// StreamFailed counts a stream that an error ended.
func (r *Requests) StreamFailed(way Way, api string) {
	r.failures.WithLabelValues(string(way), api).Inc()
}

// operations are etcd's names of what is applied; what it does not time has none.
var operations = [kv.NumOperations]string{
	kv.MethodRange:                "Range",
	kv.MethodPut:                  "Put",
	kv.MethodDeleteRange:          "DeleteRange",
	kv.MethodTxn:                  "Txn",
	kv.MethodCompact:              "Compaction",
	kv.MethodLeaseGrant:           "LeaseGrant",
	kv.MethodLeaseRevoke:          "LeaseRevoke",
	kv.MethodAlarm:                "Alarm",
	kv.MethodDowngrade:            "DowngradeInfoSet",
	kv.MethodAuthEnable:           "AuthEnable",
	kv.MethodAuthDisable:          "AuthDisable",
	kv.MethodAuthStatus:           "AuthStatus",
	kv.MethodAuthenticate:         "Authenticate",
	kv.MethodUserAdd:              "AuthUserAdd",
	kv.MethodUserGet:              "AuthUserGet",
	kv.MethodUserList:             "AuthUserList",
	kv.MethodUserDelete:           "AuthUserDelete",
	kv.MethodUserChangePassword:   "AuthUserChangePassword",
	kv.MethodUserGrantRole:        "AuthUserGrantRole",
	kv.MethodUserRevokeRole:       "AuthUserRevokeRole",
	kv.MethodRoleAdd:              "AuthRoleAdd",
	kv.MethodRoleGet:              "AuthRoleGet",
	kv.MethodRoleList:             "AuthRoleList",
	kv.MethodRoleDelete:           "AuthRoleDelete",
	kv.MethodRoleGrantPermission:  "AuthRoleGrantPermission",
	kv.MethodRoleRevokePermission: "AuthRoleRevokePermission",
	kv.OperationMember:            "ClusterMemberAttrSet",
	kv.OperationVersion:           "ClusterVersionSet",
	kv.OperationCheckpoint:        "LeaseCheckpoint",
}
