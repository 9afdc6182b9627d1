// Package metrics is what a member tells Prometheus: etcd's families under etcd's names, so that
// dashboards and alerts made for etcd work unchanged, and the server's own under detcd_.
//
// There are two kinds. What exists as state anyway (indexes, sizes, counters of the node) is read
// when somebody scrapes, from the snapshot that the loop published last, a tick old at most; see
// state.go. What happens at the edge and needs a clock is pushed where it happens, into objects
// that were resolved at the start: no label is looked up for a request, only added to a counter.
//
// Some families of etcd count what does not exist here, such as the commits of a B+tree. They are
// present, because tools ask for them, and empty, because nothing happens; see absent.go.
package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Mode is the value of --metrics.
type Mode string

// The modes.
const (
	Basic     Mode = "basic"
	Extensive Mode = "extensive" // RPCs' durations by method, in addition
)

// Options describe the member that is measured.
type Options struct {
	Mode    Mode
	Version string // of the server, as clients see it
	Source  Source
	Gates   []Gate
}

// Gate is a feature gate as it is set.
type Gate struct {
	Name, Stage string
	On          bool
}

// Set is all metrics of one member. Each member has its own, so that tests can run several in a
// process.
type Set struct {
	registry *prometheus.Registry

	RPCs     RPCs
	Clients  Clients
	Requests Requests
	Disk     Disk
	Loop     Loop
	Watch    Watch
	Peers    Peers
	Health   Health
	Bytes    Bytes
}

// New makes the metrics of a member.
func New(o *Options) *Set {
	s := &Set{registry: prometheus.NewRegistry()}
	m := maker{s.registry}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newStateCollector(o.Source))
	s.RPCs = newRPCs(m, o.Mode)
	s.Clients = newClients(m)
	s.Requests = newRequests(m)
	s.Disk = newDisk(m)
	s.Loop = newLoop(m)
	s.Watch = newWatch(m)
	s.Peers = newPeers(m)
	s.Health = newHealth(m)
	s.Bytes = newBytes(m)
	m.facts(o)
	m.absent()
	return s
}

// Handler answers scrapes.
func (s *Set) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(s.registry,
		promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
}

// facts are what never changes while the member runs.
func (m maker) facts(o *Options) {
	m.gaugeVec("etcd_server_version", "The version that this server offers; always 1.",
		"server_version").WithLabelValues(o.Version).Set(1)
	m.gaugeVec("etcd_server_go_version", "The Go release that built the server; always 1.",
		"server_go_version").WithLabelValues(runtime.Version()).Set(1)
	gates := m.gaugeVec("etcd_server_feature_enabled", "Whether a feature gate is on.", "name",
		"stage")
	for _, g := range o.Gates {
		gates.WithLabelValues(g.Name, g.Stage).Set(number(g.On))
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// maker registers what it makes.
type maker struct{ registry *prometheus.Registry }

func (m maker) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m maker) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m maker) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m maker) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

// buckets are count upper bounds, each twice the one before.
type buckets struct {
	first float64
	count int
}

// The buckets that etcd's families share, in seconds.
var (
	fine   = buckets{0.0001, 20}
	coarse = buckets{0.001, 14}
	slow   = buckets{0.1, 10}
)

func (b buckets) bounds() []float64 { return prometheus.ExponentialBuckets(b.first, 2, b.count) }

func (m maker) histogram(name, help string, b buckets) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help,
		Buckets: b.bounds()})
	m.registry.MustRegister(h)
	return h
}

func (m maker) histogramVec(name, help string, b buckets,
	labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help,
		Buckets: b.bounds()}, labels)
	m.registry.MustRegister(h)
	return h
}
