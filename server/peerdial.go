// How a member reaches the others: for the links between members, and for the few questions over
// HTTP that a new one asks.
//
// A peer URL says whether TLS is spoken there. Both sides then show their certificates, as far as
// they are demanded; the dialling side verifies that the other's is signed by the trusted authority
// and names the host of the URL, and holds it against the same lists as those that call in.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"go.uber.org/zap"
)

// peerDialer dials other members.
type peerDialer struct {
	keys  *keyring     // nil: nothing to show, and the system's authorities
	local *net.TCPAddr // where connections come from; nil is left to the system
}

// peerAddress is a peer URL that can be dialled.
type peerAddress struct {
	host   string // with its port
	secure bool
}

// peerAddresses are the peer URLs that can be dialled; others are left out.
func peerAddresses(urls []string) []peerAddress {
	var out []peerAddress
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Port() != "" {
			out = append(out, peerAddress{u.Host, isSecure(u)})
		}
	}
	return out
}

// dialer is how this member reaches the others.
func (s *Server) dialer() *peerDialer {
	d := &peerDialer{keys: s.peerKeys}
	if !s.cfg.gate(gateSetMemberLocalAddr) {
		return d
	}
	for i := range s.cfg.AdvertisePeerURLs {
		addr, err := netip.ParseAddr(s.cfg.AdvertisePeerURLs[i].Hostname())
		if err == nil && !addr.IsLoopback() && !addr.IsUnspecified() {
			s.log.Info("setting member local address from AdvertisePeerURLs",
				zap.Stringer("LocalAddr", addr))
			d.local = &net.TCPAddr{IP: addr.AsSlice()}
			return d
		}
	}
	s.log.Warn("unable to set a member local address due to lack of suitable local addresses",
		zap.Strings("advertise-peer-urls", s.cfg.AdvertisePeerURLs.StringSlice()))
	return d
}

func (d *peerDialer) plain() *net.Dialer {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if d.local != nil {
		dialer.LocalAddr = d.local
	}
	return dialer
}

// settings are those of the dialling side of TLS, the caller's own.
func (d *peerDialer) settings() *tls.Config {
	if d.keys == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return d.keys.current().client.Clone()
}

var errNoMemberThere = errors.New("the other side does not speak the members' protocol")

// dial connects to a member and, where its URL says so, begins TLS.
func (d *peerDialer) dial(ctx context.Context, to peerAddress) (net.Conn, error) {
	conn, err := d.plain().DialContext(ctx, "tcp", to.host)
	if err != nil || !to.secure {
		return conn, err
	}
	settings := d.settings()
	if settings.ServerName, _, err = net.SplitHostPort(to.host); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	settings.NextProtos = []string{protocolMembers}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	t := tls.Client(conn, settings)
	err = t.HandshakeContext(ctx)
	if err == nil && t.ConnectionState().NegotiatedProtocol != protocolMembers {
		err = errNoMemberThere
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

// http returns a client for single questions to peers.
func (d *peerDialer) http(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       d.plain().DialContext,
		TLSClientConfig:   d.settings(),
	}}
}
