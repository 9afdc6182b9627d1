// A member's configuration: etcd's names and etcd's defaults, so that whoever knows how to start
// etcd knows how to start this server.
//
// Only what takes effect today has a field here. The remaining flags of etcd live in
// unsupported.go: their default value is accepted, any other value is refused by name, because a
// setting that is silently ignored (a certificate, a quota) is worse than a server that does not
// start.
package server

import (
	"net"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"
)

// The defaults that other code or messages refer to by name.
const (
	DefaultName           = "default"
	DefaultInitialCluster = "default=http://localhost:2380"
	DefaultPeerURL        = "http://localhost:2380"
	DefaultClientURL      = "http://localhost:2379"
	ClusterStateNew       = "new"
	ClusterStateExisting  = "existing"

	maxElectionMillis   = 50000
	defaultQuotaBytes   = 2 << 30
	suggestedQuotaBytes = 8 << 30
	suggestedRequest    = 10 << 20
	// grpcOverheadBytes is what a message may be longer than max-request-bytes on the wire, so
	// that a request slightly too large gets etcd's own error and not the transport's.
	grpcOverheadBytes = 512 << 10
)

// Version is the etcd release whose API and behaviour this server offers. Clients (Kubernetes
// among them) compare it as a plain semantic version. Only the linker changes it: members of
// different releases are tested so.
var Version = "3.7.1"

// APIVersion is the version of the API that tools name: major.minor.
func APIVersion() string {
	parts := strings.SplitN(Version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// Config is everything a member is told from outside. The zero value is not usable: start from
// DefaultConfig.
type Config struct {
	Name string
	// Dir is the data directory; empty means "<name>.etcd".
	Dir string

	ListenClientURLs types.URLs
	ListenPeerURLs   types.URLs
	// ListenClientHTTPURLs, when set, take HTTP away from ListenClientURLs, which then have gRPC
	// only.
	ListenClientHTTPURLs types.URLs
	// ListenMetricsURLs are further ports for /metrics and the health checks.
	ListenMetricsURLs   types.URLs
	AdvertiseClientURLs types.URLs // nil is refused by Validate
	AdvertisePeerURLs   types.URLs

	InitialCluster      string
	InitialClusterState string
	InitialClusterToken string

	HeartbeatMillis uint
	ElectionMillis  uint

	StrictReconfigCheck bool // changes of the membership must not take the quorum away
	MaxLearners         int

	AutoCompactionMode      string // periodic or revision
	AutoCompactionRetention string // a duration, hours, or revisions; "0" is none

	SnapshotCount          uint64 // applied entries between checkpoints
	SnapshotCatchUpEntries uint64 // entries kept behind a checkpoint for slow followers

	QuotaBytes           int64 // 0 is the default of 2 GiB, < 0 is none
	MaxTxnOps            uint
	MaxRequestBytes      uint
	MaxConcurrentStreams uint32

	KeepAliveMinTime  time.Duration
	KeepAliveInterval time.Duration
	KeepAliveTimeout  time.Duration

	Logger     string
	LogLevel   string
	LogFormat  string
	LogOutputs []string

	// WatchProgressNotifyInterval is the time between progress notices, 0 for 10 minutes.
	WatchProgressNotifyInterval time.Duration

	EnablePprof bool
	Metrics     string // basic or extensive
	// WarningApplyDuration and WarningUnaryRequestDuration are from when on applying, and a whole
	// request, is slow enough to be written down.
	WarningApplyDuration        time.Duration
	WarningUnaryRequestDuration time.Duration
	Tracing                     TracingConfig
	// EnableLogRotation limits the log file as LogRotationJSON says.
	EnableLogRotation bool
	LogRotationJSON   string
	// EnableGRPCGateway serves the JSON gateway below /v3/.
	EnableGRPCGateway bool
	// CORS are the origins that browsers are told to admit, HostWhitelist the names under which
	// the client port may be addressed without TLS; "*" in either is everything.
	CORS          []string
	HostWhitelist []string

	FeatureGates map[string]bool // those that were named

	Operations

	AuthToken    string // what clients show: see authtoken.go
	AuthTokenTTL uint   // seconds that a simple token may go unused
	BcryptCost   uint

	// ClientTLS is for the ports of clients, their HTTP and the metrics, PeerTLS for the members'.
	ClientTLS, PeerTLS     TLS
	SelfSignedCertValidity uint // years
	CipherSuites           []string
	// TLSMinVersion and TLSMaxVersion are TLS1.2, TLS1.3, or empty for Go's.
	TLSMinVersion, TLSMaxVersion string

	SocketReusePort, SocketReuseAddress bool

	// Log replaces the logger that the fields above describe. Tests set it.
	Log *zap.Logger
	// ClientListeners and PeerListeners, when set, are used instead of listening on the URLs. A
	// caller that needs free ports before the URLs are written down hands them in here.
	ClientListeners []net.Listener
	PeerListeners   []net.Listener
}

// DefaultConfig returns what the server runs with when it is told nothing.
func DefaultConfig() Config {
	return Config{
		Name:                DefaultName,
		ListenClientURLs:    mustURLs(DefaultClientURL),
		ListenPeerURLs:      mustURLs(DefaultPeerURL),
		AdvertiseClientURLs: mustURLs(DefaultClientURL),
		AdvertisePeerURLs:   mustURLs(DefaultPeerURL),
		InitialCluster:      DefaultInitialCluster,
		InitialClusterState: ClusterStateNew,
		InitialClusterToken: "etcd-cluster",
		HeartbeatMillis:     100,
		ElectionMillis:      1000,
		StrictReconfigCheck: true,
		MaxLearners:         1,

		AutoCompactionMode:      compactPeriodic,
		AutoCompactionRetention: "0",

		SnapshotCount:          10000,
		SnapshotCatchUpEntries: 5000,
		MaxTxnOps:              128,
		MaxRequestBytes:        1572864,
		MaxConcurrentStreams:   4294967295,
		KeepAliveMinTime:       5 * time.Second,
		KeepAliveInterval:      2 * time.Hour,
		KeepAliveTimeout:       20 * time.Second,
		Logger:                 "zap",
		LogLevel:               "info",
		LogFormat:              "json",
		LogOutputs:             []string{"default"},
		Metrics:                "basic",
		LogRotationJSON:        defaultRotation,
		AuthToken:              "simple",
		AuthTokenTTL:           300,
		BcryptCost:             10,
		EnableGRPCGateway:      true,
		SelfSignedCertValidity: 1,
		TLSMinVersion:          "TLS1.2",
		Operations:             defaultOperations(),
		Tracing:                defaultTracing(),

		WarningApplyDuration:        100 * time.Millisecond,
		WarningUnaryRequestDuration: 300 * time.Millisecond,

		CORS:          []string{anyone},
		HostWhitelist: []string{anyone},
	}
}

// dataDir is where the member's files live.
func (c *Config) dataDir() string {
	if c.Dir != "" {
		return c.Dir
	}
	return c.Name + ".etcd"
}

// quota is the effective limit of retained data in bytes; < 0 is none.
func (c *Config) quota() int64 {
	if c.QuotaBytes == 0 {
		return defaultQuotaBytes
	}
	return c.QuotaBytes
}

// requestTimeout bounds every request from inside: five seconds for the work and two elections.
func (c *Config) requestTimeout() time.Duration {
	return 5*time.Second + 2*time.Duration(c.ElectionMillis)*time.Millisecond
}

// jsonBytes is how long a request may be as JSON: base64 makes four bytes of three, and there are
// names around them.
func (c *Config) jsonBytes() int64 {
	return 2 * int64(c.MaxRequestBytes+grpcOverheadBytes)
}

// initialClusterFromName is the initial cluster of a member that was told its name only.
func (c *Config) initialClusterFromName() string {
	pairs := make([]string, 0, len(c.AdvertisePeerURLs))
	for _, u := range c.AdvertisePeerURLs {
		pairs = append(pairs, c.Name+"="+u.String())
	}
	return strings.Join(pairs, ",")
}

func mustURLs(raw ...string) types.URLs {
	urls := make(types.URLs, 0, len(raw))
	for _, r := range raw {
		u, err := url.Parse(r)
		if err != nil {
			panic("server: bad URL constant " + r)
		}
		urls = append(urls, *u)
	}
	return urls
}
