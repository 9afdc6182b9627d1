package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Kind is how many messages an RPC has each way.
type Kind string

// The kinds, under the names that gRPC's metrics have for them.
const (
	Unary        Kind = "unary"
	ClientStream Kind = "client_stream"
	ServerStream Kind = "server_stream"
	BidiStream   Kind = "bidi_stream"
)

// numCodes is the number of gRPC's status codes.
const numCodes = int(codes.Unauthenticated) + 1

// RPCs are the families of grpc_server_*.
type RPCs struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec // nil unless extensive
}

func newRPCs(m maker, mode Mode) RPCs {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	r := RPCs{
		started: m.counterVec("grpc_server_started_total", "RPCs begun.", labels...),
		handled: m.counterVec("grpc_server_handled_total", "RPCs ended, by outcome.",
			append(labels[:len(labels):len(labels)], "grpc_code")...),
		received: m.counterVec("grpc_server_msg_received_total", "Messages received.", labels...),
		sent:     m.counterVec("grpc_server_msg_sent_total", "Messages sent.", labels...),
	}
	if mode == Extensive {
		r.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "Time from an RPC's begin to its end.",
			Buckets: prometheus.DefBuckets}, labels)
		m.registry.MustRegister(r.seconds)
	}
	return r
}

// RPC counts the calls of one method.
type RPC struct {
	started, received, sent prometheus.Counter
	handled                 [numCodes]prometheus.Counter
	seconds                 prometheus.Observer // nil unless extensive
}

// Method returns what counts a method, with all its series at zero.
func (r *RPCs) Method(kind Kind, service, method string) *RPC {
	labels := []string{string(kind), service, method}
	out := &RPC{
		started:  r.started.WithLabelValues(labels...),
		received: r.received.WithLabelValues(labels...),
		sent:     r.sent.WithLabelValues(labels...),
	}
	for c := range out.handled {
		out.handled[c] = r.handled.WithLabelValues(append(labels[:3:3], codes.Code(c).String())...)
	}
	if r.seconds != nil {
		out.seconds = r.seconds.WithLabelValues(labels...)
	}
	return out
}

// Later returns what counts a method whose series appear when it is first called.
func (r *RPCs) Later(kind Kind, service, method string) func() *RPC {
	return sync.OnceValue(func() *RPC { return r.Method(kind, service, method) })
}

// Begun counts a call.
func (r *RPC) Begun() { r.started.Inc() }

// Received counts a message from the client.
func (r *RPC) Received() { r.received.Inc() }

// Sent counts a message to the client.
func (r *RPC) Sent() { r.sent.Inc() }

// Timed says whether Ended wants to know how long a call took.
func (r *RPC) Timed() bool { return r.seconds != nil }

// Ended counts the end of a call that took so long.
func (r *RPC) Ended(code codes.Code, took time.Duration) {
	if int(code) >= numCodes {
		code = codes.Unknown
	}
	r.handled[code].Inc()
	if r.seconds != nil {
		r.seconds.Observe(took.Seconds())
	}
}

// Bytes counts messages as they are on the wire, but for gRPC's frame around them.
type Bytes struct{ Received, Sent prometheus.Counter }

func newBytes(m maker) Bytes {
	return Bytes{
		Received: m.counter("etcd_network_client_grpc_received_bytes_total",
			"Bytes of clients' messages."),
		Sent: m.counter("etcd_network_client_grpc_sent_bytes_total",
			"Bytes of messages to clients."),
	}
}
