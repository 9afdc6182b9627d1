// Settings of what operators do seldom: finding the other members of a new cluster, forcing one out
// of a survivor, comparing the members' data. Flags, defaults and refusals are etcd's.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
)

// Operations is a part of Config.
type Operations struct {
	// ForceNewCluster makes the survivor of a lost quorum the only member of its cluster.
	ForceNewCluster bool

	CorruptCheckTime     time.Duration // between comparisons of the members' data; 0 is never
	CompactHashCheckTime time.Duration // between looks whether a compaction can be compared

	// DiscoverySRV is the domain whose SRV records name the initial cluster; DiscoverySRVName is
	// appended to the service's name.
	DiscoverySRV, DiscoverySRVName string
	Discovery                      Discovery
	// Resolver looks DNS records up; nil is the system's. Tests set it.
	Resolver *net.Resolver
	// Starting, when it ends, gives up a start that waits for others; nil never does.
	Starting context.Context
}

// Discovery says where the members of a new cluster find each other; unused without a token.
type Discovery struct {
	Token       string
	Endpoints   []string
	DialTimeout time.Duration
	// RequestTimeout bounds one request. The wait for the other members has no bound.
	RequestTimeout       time.Duration
	KeepAliveTime        time.Duration
	KeepAliveTimeout     time.Duration
	InsecureTransport    bool
	InsecureSkipVerify   bool
	CertFile, KeyFile    string
	CAFile               string
	User, Password       string
	Fallback             string // only exit
	initialClusterIsSaid bool   // --initial-cluster was given, too
}

func defaultOperations() Operations {
	return Operations{
		CompactHashCheckTime: time.Minute,
		Discovery: Discovery{DialTimeout: 2 * time.Second, RequestTimeout: 5 * time.Second,
			KeepAliveTime: 2 * time.Second, KeepAliveTimeout: 6 * time.Second,
			InsecureTransport: true, Fallback: fallbackExit},
	}
}

const fallbackExit = "exit"

// defineOperations declares the flags of Operations.
func (f *Flags) defineOperations(fs *pflag.FlagSet) {
	o := &f.Config.Operations
	fs.BoolVar(&o.ForceNewCluster, "force-new-cluster", o.ForceNewCluster,
		"make this member, whose cluster has lost its quorum for good, the only one; give it once")
	fs.DurationVar(&o.CorruptCheckTime, "corrupt-check-time", o.CorruptCheckTime,
		"time between comparisons of the members' data; 0 is never")
	fs.DurationVar(&o.CompactHashCheckTime, "compact-hash-check-time", o.CompactHashCheckTime,
		"time between looks for a compaction to compare, with feature gate CompactHashCheck")
	fs.StringVar(&o.DiscoverySRV, "discovery-srv", o.DiscoverySRV,
		"domain whose SRV records name the members of a new cluster")
	fs.StringVar(&o.DiscoverySRVName, "discovery-srv-name", o.DiscoverySRVName,
		"suffix of the service's name in SRV records")
	d := &o.Discovery
	fs.StringVar(&d.Token, "discovery-token", d.Token,
		"name under which the members of a new cluster find each other")
	fs.Var(&orderedValue{&d.Endpoints}, "discovery-endpoints",
		"client URLs of the cluster that keeps the list of a new one's members")
	fs.DurationVar(&d.DialTimeout, "discovery-dial-timeout", d.DialTimeout,
		"time to connect to the discovery service")
	fs.DurationVar(&d.RequestTimeout, "discovery-request-timeout", d.RequestTimeout,
		"time for a request to the discovery service")
	fs.DurationVar(&d.KeepAliveTime, "discovery-keepalive-time", d.KeepAliveTime,
		"time between pings of the discovery service")
	fs.DurationVar(&d.KeepAliveTimeout, "discovery-keepalive-timeout", d.KeepAliveTimeout,
		"time until an unanswered ping ends the connection to the discovery service")
	fs.BoolVar(&d.InsecureTransport, "discovery-insecure-transport", d.InsecureTransport,
		"talk to the discovery service without TLS")
	fs.BoolVar(&d.InsecureSkipVerify, "discovery-insecure-skip-tls-verify", d.InsecureSkipVerify,
		"do not verify the discovery service's certificate; for tests only")
	fs.StringVar(&d.CertFile, "discovery-cert", d.CertFile,
		"certificate to show to the discovery service")
	fs.StringVar(&d.KeyFile, "discovery-key", d.KeyFile, "key of --discovery-cert")
	fs.StringVar(&d.CAFile, "discovery-cacert", d.CAFile,
		"authority that has signed the discovery service's certificate")
	fs.StringVar(&d.User, "discovery-user", d.User,
		"user of the discovery service, or user:password")
	fs.StringVar(&d.Password, "discovery-password", d.Password,
		"password of --discovery-user; that is then the name alone")
	fs.Var(&choiceValue{&d.Fallback, []string{fallbackExit, "proxy"}}, "discovery-fallback",
		"what a member does that the discovery service does not admit: exit")
}

// settleDiscovery gives up the initial cluster that nobody named when another way to it is.
func (f *Flags) settleDiscovery() {
	c := &f.Config
	c.Discovery.initialClusterIsSaid = f.set.Changed("initial-cluster")
	if c.discovers() && !c.Discovery.initialClusterIsSaid {
		c.InitialCluster = ""
	}
}

// discovers says whether the initial cluster is found out instead of told.
func (c *Config) discovers() bool {
	return c.DiscoverySRV != "" || len(c.Discovery.Endpoints) > 0
}

func (c *Config) validateOperations() error {
	d := &c.Discovery
	ways := 0
	for _, used := range []bool{d.initialClusterIsSaid, len(d.Endpoints) > 0,
		c.DiscoverySRV != ""} {
		if used {
			ways++
		}
	}
	switch {
	case d.Fallback != fallbackExit:
		return errors.New("v2 proxy is deprecated, and --discovery-fallback can't be configured " +
			`as "proxy"`)
	case (d.Token == "") != (len(d.Endpoints) == 0):
		return errors.New("both --discovery-token and --discovery-endpoints must be set")
	case ways > 1:
		return errors.New("multiple discovery or bootstrap flags are set. Choose one of " +
			`"initial-cluster", "discovery-endpoints" or "discovery-srv"`)
	case c.CompactHashCheckTime <= 0:
		return fmt.Errorf("--compact-hash-check-time must be >0 (set to %v)",
			c.CompactHashCheckTime)
	}
	return nil
}
