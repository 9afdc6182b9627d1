package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// maxVersions bounds the versions that get series of their own: clients may claim any.
const maxVersions = 64

// otherVersions stands for those beyond the bound.
const otherVersions = "other"

// unknownVersion is etcd's word for a client that does not say.
const unknownVersion = "unknown"

// Clients counts requests by the API version that their clients name.
type Clients struct {
	requests *prometheus.CounterVec
	known    *knownVersions
}

// knownVersions is shared by all copies of a Clients. The list is replaced, never changed.
type knownVersions struct {
	list atomic.Pointer[[]*versionCount]
	mu   sync.Mutex // of who adds to the list
}

type versionCount struct {
	version       string
	unary, stream prometheus.Counter
}

func newClients(m maker) Clients {
	c := Clients{
		requests: m.counterVec("etcd_server_client_requests_total",
			"Requests by the API version that the client names.", "type", "client_api_version"),
		known: &knownVersions{},
	}
	c.known.list.Store(&[]*versionCount{})
	return c
}

// Unary counts a request of a client of this version; none is empty.
func (c *Clients) Unary(version string) { c.find(version).unary.Inc() }

// Stream counts a stream.
func (c *Clients) Stream(version string) { c.find(version).stream.Inc() }

func (c *Clients) find(version string) *versionCount {
	if version == "" {
		version = unknownVersion
	}
	for _, v := range *c.known.list.Load() {
		if v.version == version {
			return v
		}
	}
	return c.add(version)
}

func (c *Clients) add(version string) *versionCount {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	list := *c.known.list.Load()
	if len(list) >= maxVersions {
		version = otherVersions
	}
	for _, v := range list {
		if v.version == version {
			return v
		}
	}
	v := &versionCount{version, c.requests.WithLabelValues("unary", version),
		c.requests.WithLabelValues("stream", version)}
	more := append(append([]*versionCount(nil), list...), v)
	c.known.list.Store(&more)
	return v
}
