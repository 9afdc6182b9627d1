package metrics

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/detcd/detcd/raft"
)

// Peers are the families about connections between members. Series appear when there is something
// to say of a member.
type Peers struct {
	active                                            *prometheus.GaugeVec
	disconnected, sent, sendFailures, received, fails *prometheus.CounterVec
	roundTrip                                         *prometheus.HistogramVec
	sendTook, receiveTook                             *prometheus.HistogramVec
	table                                             *peerTable
}

// peerTable is shared by all copies of a Peers.
type peerTable struct {
	mu   sync.Mutex
	byID map[raft.MemberID]*Peer
}

func newPeers(m maker) Peers {
	const net, snapshots = "etcd_network_", "etcd_network_snapshot_"
	return Peers{
		table: &peerTable{byID: map[raft.MemberID]*Peer{}},
		active: m.gaugeVec(net+"active_peers", "Members to which a connection is up.", "Local",
			"Remote"),
		disconnected: m.counterVec(net+"disconnected_peers_total",
			"Ends of connections to members.", "Local", "Remote"),
		sent: m.counterVec(net+"peer_sent_bytes_total", "Bytes sent to a member.", "To"),
		sendFailures: m.counterVec(net+"peer_sent_failures_total",
			"Messages to a member that were dropped, and connections to it that broke.", "To"),
		received: m.counterVec(net+"peer_received_bytes_total", "Bytes received from a member.",
			"From"),
		fails: m.counterVec(net+"peer_received_failures_total",
			"Connections from a member that an error ended.", "From"),
		roundTrip: m.histogramVec(net+"peer_round_trip_time_seconds",
			"Time from a leader's heartbeat to the member's answer.", buckets{0.0001, 16}, "To"),
		sendTook: m.histogramVec(snapshots+"send_total_duration_seconds",
			"Time to send a snapshot to a member.", slow, "To"),
		receiveTook: m.histogramVec(snapshots+"receive_total_duration_seconds",
			"Time to receive a snapshot from a member.", slow, "From"),
	}
}

// hexID is how etcd writes a member's id in labels.
func hexID(id raft.MemberID) string { return fmt.Sprintf("%x", uint64(id)) }

// Peer returns what is measured of a member; local is who measures.
func (p *Peers) Peer(local, remote raft.MemberID) *Peer {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	if found := p.table.byID[remote]; found != nil {
		return found
	}
	to := hexID(remote)
	n := &Peer{
		active:       p.active.WithLabelValues(hexID(local), to),
		disconnected: p.disconnected.WithLabelValues(hexID(local), to),
		sent:         p.sent.WithLabelValues(to),
		sendFailures: p.sendFailures.WithLabelValues(to),
		received:     p.received.WithLabelValues(to),
		fails:        p.fails.WithLabelValues(to),
		roundTrip:    p.roundTrip.WithLabelValues(to),
	}
	p.table.byID[remote] = n
	return n
}

// Sent counts a snapshot that was sent in so long.
func (p *Peers) Sent(to raft.MemberID, took time.Duration) {
	p.sendTook.WithLabelValues(hexID(to)).Observe(took.Seconds())
}

// Received counts a snapshot that was received in so long.
func (p *Peers) Received(from raft.MemberID, took time.Duration) {
	p.receiveTook.WithLabelValues(hexID(from)).Observe(took.Seconds())
}

// Peer is what is measured of one member.
type Peer struct {
	active                                            prometheus.Gauge
	disconnected, sent, sendFailures, received, fails prometheus.Counter
	roundTrip                                         prometheus.Observer
	// asked is when the heartbeat left whose answer is awaited, in nanoseconds of the owner's
	// clock, 0 when none is. A heartbeat that was lost is timed by the answer to a later one.
	asked atomic.Int64
}

// Up notes that the connection is up, Down that it is up no longer.
func (p *Peer) Up() { p.active.Set(1) }

// Down notes that the connection has ended.
func (p *Peer) Down() {
	p.active.Set(0)
	p.disconnected.Inc()
	p.asked.Store(0)
}

// SentBytes counts what went out.
func (p *Peer) SentBytes(n int) { p.sent.Add(float64(n)) }

// ReceivedBytes counts what came in.
func (p *Peer) ReceivedBytes(n int) { p.received.Add(float64(n)) }

// SendFailed counts a message, or a connection, that failed.
func (p *Peer) SendFailed() { p.sendFailures.Inc() }

// ReceiveFailed counts a connection that an error ended.
func (p *Peer) ReceiveFailed() { p.fails.Inc() }

// Asked notes that a heartbeat leaves.
func (p *Peer) Asked(now time.Duration) { p.asked.CompareAndSwap(0, int64(max(now, 1))) }

// Answered notes the answer to a heartbeat.
func (p *Peer) Answered(now time.Duration) {
	if asked := p.asked.Swap(0); asked != 0 {
		p.roundTrip.Observe((now - time.Duration(asked)).Seconds())
	}
}
