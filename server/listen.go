// The ports: what is listened on, and whether a connection to it begins with TLS.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"
)

// port is a listener and how its connections begin.
type port struct {
	net.Listener
	secure bool
}

// openKeys reads the certificates, making those that the member makes for itself.
func (s *Server) openKeys() error {
	c := &s.cfg
	rules, err := c.handshakeRules()
	if err != nil {
		return err
	}
	hosts := append(append(types.URLs(nil), c.ListenClientURLs...), c.ListenClientHTTPURLs...)
	s.clientKeys, err = s.keysOf(&c.ClientTLS, "client", hosts, rules)
	if err != nil {
		return err
	}
	s.peerKeys, err = s.keysOf(&c.PeerTLS, "peer", c.ListenPeerURLs, rules)
	return err
}

func (s *Server) keysOf(t *TLS, kind string, urls types.URLs, rules handshakeRules) (*keyring,
	error) {
	if err := s.selfCertify(t, kind, urls); err != nil {
		return nil, err
	}
	if !t.given() {
		if t.TrustedCAFile == "" {
			return nil, nil
		}
		return newKeyring(s.log, *t, rules)
	}
	s.log.Info("starting with "+kind+" TLS", zap.Stringer("tls-info", t),
		zap.Strings("cipher-suites", s.cfg.CipherSuites))
	for i := range urls {
		if !isSecure(&urls[i]) {
			s.log.Warn("scheme is http or unix while key and cert files are present; ignoring "+
				"key and cert files", zap.String(kind+"-url", urls[i].String()))
		}
	}
	return newKeyring(s.log, *t, rules)
}

// listen opens the ports, or takes those that the caller has opened.
func (s *Server) listen() error {
	var err error
	if s.peerIn, err = s.listenAll(s.cfg.PeerListeners, s.cfg.ListenPeerURLs); err != nil {
		return err
	}
	if s.clients, err = s.listenAll(s.cfg.ClientListeners, s.cfg.ListenClientURLs); err != nil {
		return err
	}
	if err := limitConnections(s.clients); err != nil {
		return err
	}
	if s.clientWeb, err = s.listenAll(nil, s.cfg.ListenClientHTTPURLs); err != nil {
		return err
	}
	s.metricsIn, err = s.listenAll(nil, s.cfg.ListenMetricsURLs)
	return err
}

// listenAll opens the ports of some URLs. given, in the URLs' order, are those that are open.
func (s *Server) listenAll(given []net.Listener, urls types.URLs) ([]port, error) {
	var out []port
	for i, l := range given {
		out = append(out, port{l, i < len(urls) && isSecure(&urls[i])})
	}
	if len(given) > 0 {
		return out, nil
	}
	for i := range urls {
		l, err := s.cfg.listen(&urls[i])
		if err != nil {
			for _, l := range out {
				_ = l.Close()
			}
			return nil, err
		}
		out = append(out, port{l, isSecure(&urls[i])})
	}
	return out, nil
}

// listen opens a port, or the socket file that a unix URL names. Such a file outlives a process
// that was killed; whoever may listen there may take its place.
func (c *Config) listen(u *url.URL) (net.Listener, error) {
	if u.Scheme != unixScheme && u.Scheme != unixsScheme {
		how := net.ListenConfig{Control: c.socketOptions}
		return how.Listen(context.Background(), "tcp", u.Host)
	}
	name := u.Host + u.Path
	if c, err := net.Dial("unix", name); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen unix %s: address already in use", name)
	}
	if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", name)
}

// socketOptions sets what --socket-reuse-port and --socket-reuse-address ask for.
func (c *Config) socketOptions(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		if c.SocketReusePort {
			failed = reusePort(fd)
		}
		if c.SocketReuseAddress && failed == nil {
			failed = reuseAddress(fd)
		}
	})
	return errors.Join(err, failed)
}

func addresses(ports []port) []string {
	var out []string
	for _, l := range ports {
		scheme := "http"
		switch onFile := l.Addr().Network() == unixScheme; {
		case onFile && l.secure:
			scheme = unixsScheme
		case onFile:
			scheme = unixScheme
		case l.secure:
			scheme = "https"
		}
		out = append(out, scheme+"://"+l.Addr().String())
	}
	return out
}
