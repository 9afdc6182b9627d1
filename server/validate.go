// What makes a configuration impossible, in etcd's words: operators and tools know the texts.
//
// Nothing here touches the disk or the network; what depends on either is found when the member
// starts.
package server

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

// ErrAdvertiseClientURLs says that a member listens for clients at a place of its own without
// telling anybody where that is.
var ErrAdvertiseClientURLs = errors.New(
	"--advertise-client-urls is required when --listen-client-urls is set explicitly")

// unixScheme is the scheme of URLs that name a socket file by their host and path.
const (
	unixScheme  = "unix"
	unixsScheme = "unixs" // with TLS
)

// Validate checks the configuration as far as that needs neither disk nor network.
func (c *Config) Validate() error {
	if err := c.validateLogging(); err != nil {
		return err
	}
	for _, urls := range []types.URLs{c.ListenPeerURLs, c.ListenClientURLs, c.ListenClientHTTPURLs,
		c.ListenMetricsURLs} {
		if err := checkBindable(urls); err != nil {
			return err
		}
	}
	if err := c.validateAdvertised(); err != nil {
		return err
	}
	for i := range c.ListenClientHTTPURLs {
		for j := range c.ListenClientURLs {
			if u := c.ListenClientHTTPURLs[i].String(); u == c.ListenClientURLs[j].String() {
				return fmt.Errorf("cannot bind both --listen-client-urls and "+
					"--listen-client-http-urls on the same url %s", u)
			}
		}
	}
	for _, u := range slices.Concat(c.ListenPeerURLs, c.AdvertisePeerURLs) {
		if u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("%s: members reach each other over http and https only", u.String())
		}
	}
	if c.HeartbeatMillis == 0 {
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", c.HeartbeatMillis)
	}
	if c.ElectionMillis == 0 {
		return fmt.Errorf("--election-timeout must be >0 (set to %dms)", c.ElectionMillis)
	}
	if 5*c.HeartbeatMillis > c.ElectionMillis {
		return fmt.Errorf("--election-timeout[%vms] should be at least as 5 times as "+
			"--heartbeat-interval[%vms]", c.ElectionMillis, c.HeartbeatMillis)
	}
	if c.ElectionMillis > maxElectionMillis {
		return fmt.Errorf("--election-timeout[%vms] is too long, and should be set less than %vms",
			c.ElectionMillis, maxElectionMillis)
	}
	if _, err := c.retention(); err != nil {
		return err
	}
	if len(c.ListenClientURLs) > 0 && len(c.AdvertiseClientURLs) == 0 {
		return ErrAdvertiseClientURLs
	}
	if err := c.validateOperations(); err != nil {
		return err
	}
	if err := c.Tracing.validate(); err != nil {
		return err
	}
	if err := c.validateGates(); err != nil {
		return err
	}
	return c.validateTLS()
}

func (c *Config) validateLogging() error {
	switch c.Logger {
	case "zap":
	case "capnslog":
		return errors.New("--logger=capnslog is removed in v3.5")
	default:
		return fmt.Errorf("unknown logger option %q", c.Logger)
	}
	if c.LogFormat != "json" && c.LogFormat != "console" {
		return fmt.Errorf("unknown log format: %s, supported values json, console", c.LogFormat)
	}
	if _, err := parseLogLevel(c.LogLevel); err != nil {
		return err
	}
	if len(c.LogOutputs) > 1 && slices.Contains(c.LogOutputs, "default") {
		return errors.New(`multi logoutput for "default" is not supported yet`)
	}
	if c.EnableLogRotation {
		_, err := c.rotation()
		return err
	}
	return nil
}

// checkBindable refuses names: what a name resolves to may change, what is listened on may not.
func checkBindable(urls types.URLs) error {
	for i := range urls {
		u := &urls[i]
		if u.Scheme == unixScheme || u.Scheme == unixsScheme {
			continue
		}
		host, _, err := net.SplitHostPort(u.Host)
		if err != nil {
			return err
		}
		if host != "localhost" && net.ParseIP(host) == nil {
			return fmt.Errorf("expected IP in URL for binding (%s)", u.String())
		}
	}
	return nil
}

// validateAdvertised demands that what others are told can be dialled.
func (c *Config) validateAdvertised() error {
	if err := checkHosts(c.AdvertisePeerURLs); err != nil {
		return fmt.Errorf(`--initial-advertise-peer-urls %q must be "host:port" (%w)`,
			strings.Join(c.AdvertisePeerURLs.StringSlice(), ","), err)
	}
	if err := checkHosts(c.AdvertiseClientURLs); err != nil {
		return fmt.Errorf(`--advertise-client-urls %q must be in the format "host:port", `+
			`"unix:/path/to/socket" or "unixs:/path/to/socket" (%w)`,
			strings.Join(c.AdvertiseClientURLs.StringSlice(), ","), err)
	}
	return nil
}

func checkHosts(urls types.URLs) error {
	for i := range urls {
		u := &urls[i]
		if u.Scheme == unixScheme || u.Scheme == unixsScheme {
			continue
		}
		host, _, err := net.SplitHostPort(u.Host)
		if err != nil {
			return err
		}
		if host == "" {
			return fmt.Errorf("unexpected empty host (%s)", u.String())
		}
	}
	return nil
}
