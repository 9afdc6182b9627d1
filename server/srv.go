// Finding the other members of a new cluster in DNS: each SRV record of the service is a member's
// peer address.
//
//	_etcd-server-ssl._tcp.example.org  SRV 0 0 2380 m1.example.org.  https://m1.example.org:2380
//	_etcd-server._tcp.example.org      SRV 0 0 2380 m1.example.org.  http://m1.example.org:2380
//
// A record that leads to this member's own address is this member, under its name; the others have
// numbers for names, which nobody but the configuration ever sees. A record whose name cannot be
// resolved is an error: whoever left it out would found another cluster than the rest.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// srvService is one of the services that are looked for.
type srvService struct{ scheme, name string }

// resolver is who looks DNS records up.
func (c *Config) resolver() *net.Resolver {
	if c.Resolver != nil {
		return c.Resolver
	}
	return net.DefaultResolver
}

// clusterFromSRV is the initial cluster that the records describe.
func (c *Config) clusterFromSRV(ctx context.Context, log *zap.Logger) (string, error) {
	suffix := ""
	if c.DiscoverySRVName != "" {
		suffix = "-" + c.DiscoverySRVName
	}
	own, err := c.ownAddresses(ctx)
	if err != nil {
		return "", err
	}
	var pairs []string
	var failed error
	for _, service := range []srvService{{"https", "etcd-server-ssl" + suffix},
		{"http", "etcd-server" + suffix}} {
		_, records, err := c.resolver().LookupSRV(ctx, service.name, "tcp", c.DiscoverySRV)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("error querying DNS SRV records for _%s %w",
				service.name, err))
			continue
		}
		for _, record := range records {
			pair, err := c.srvMember(ctx, service, record, own, len(pairs))
			if err != nil {
				return "", err
			}
			log.Info("got bootstrap from DNS", zap.String("service", service.name),
				zap.String("member", pair))
			pairs = append(pairs, pair)
		}
	}
	if len(pairs) == 0 {
		return "", errors.Join(errors.New("incorrect discovery-srv: no record was found"), failed)
	}
	return strings.Join(pairs, ","), nil
}

// srvMember turns a record into name=URL.
func (c *Config) srvMember(ctx context.Context, service srvService, record *net.SRV,
	own []string, number int) (string, error) {
	host := net.JoinHostPort(strings.TrimSuffix(record.Target, "."),
		strconv.Itoa(int(record.Port)))
	addresses, err := resolveHostPort(ctx, c.resolver(), host)
	if err != nil {
		return "", fmt.Errorf("bootstrap at %s from DNS: %w", host, err)
	}
	name := strconv.Itoa(number)
	if slices.ContainsFunc(addresses, func(a string) bool { return slices.Contains(own, a) }) {
		name = c.Name
		if !c.advertisesScheme(service.scheme) {
			return "", fmt.Errorf("bootstrap at %s from DNS for %s has scheme mismatch with "+
				"expected peer %s", host, service.name, c.AdvertisePeerURLs)
		}
	}
	return fmt.Sprintf("%s=%s://%s", name, service.scheme, host), nil
}

func (c *Config) advertisesScheme(scheme string) bool {
	return slices.ContainsFunc(c.AdvertisePeerURLs, func(u url.URL) bool {
		return u.Scheme == scheme
	})
}

// ownAddresses is where this member's peer URLs lead.
func (c *Config) ownAddresses(ctx context.Context) (own []string, err error) {
	for i := range c.AdvertisePeerURLs {
		some, err := resolveHostPort(ctx, c.resolver(), c.AdvertisePeerURLs[i].Host)
		if err != nil {
			return nil, err
		}
		own = append(own, some...)
	}
	return own, nil
}

// resolveHostPort returns all addresses of a host, with its port.
func resolveHostPort(ctx context.Context, r *net.Resolver, hostPort string) ([]string, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	addresses, err := r.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	for i := range addresses {
		addresses[i] = net.JoinHostPort(addresses[i], port)
	}
	return addresses, nil
}
