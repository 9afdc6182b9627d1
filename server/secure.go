// TLS on a port: the handshake, who is let in, and which protocol a connection speaks.
//
// The handshake itself says what follows it. A client that offers HTTP/2 and nothing else speaks
// gRPC, which grpc-go then reads from the TLS connection by itself; members offer a name of their
// own; whoever offers HTTP/1 too (browsers, curl, programs that speak gRPC through a general HTTP
// client) gets net/http, which hands gRPC requests to grpc-go one by one. No byte is looked at, and
// none is copied, between TLS and either of them.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
	caller "google.golang.org/grpc/peer"
)

// secured decides by the TLS handshake.
type secured struct {
	log     *zap.Logger
	keys    *keyring
	refusal string // the log's line about a connection that is refused
	// fromNamed demands that a certificate names the address that its owner calls from.
	fromNamed bool
	// members gets the members' own protocol, calls HTTP/2 from clients that speak nothing else,
	// people the rest. Each may be nil.
	members, calls, people *handedListener
}

func (s *secured) decide(ctx context.Context, conn net.Conn) (*handedListener, net.Conn, error) {
	var offered []string
	t := tls.Server(conn, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			offered = h.SupportedProtos
			current := s.keys.current()
			if s.members != nil && slices.Contains(offered, protocolMembers) {
				return current.members, nil
			}
			return current.server, nil
		},
	})
	err := t.HandshakeContext(ctx)
	if err == nil && s.fromNamed {
		err = checkOrigin(ctx, t)
	}
	if err != nil {
		s.logRefused(t, err)
		return nil, nil, err
	}
	switch protocol := t.ConnectionState().NegotiatedProtocol; {
	case protocol == protocolMembers:
		return s.members, t, nil
	case s.people == nil,
		s.calls != nil && protocol == protocolHTTP2 && !slices.Contains(offered, protocolHTTP1):
		return s.calls, t, nil
	}
	return s.people, t, nil
}

// logRefused writes etcd's line. A client that just goes away is not worth one.
func (s *secured) logRefused(t *tls.Conn, err error) {
	log := s.log.Warn
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		log = s.log.Debug
	}
	state := t.ConnectionState()
	fields := []zap.Field{zap.Stringer("remote-addr", t.RemoteAddr()),
		zap.String("server-name", state.ServerName)}
	if len(state.PeerCertificates) > 0 {
		c := state.PeerCertificates[0]
		fields = append(fields, zap.Stringers("ip-addresses", c.IPAddresses),
			zap.Strings("dns-names", c.DNSNames))
	}
	log(s.refusal, append(fields, zap.Error(err))...)
}

// checkOrigin demands that the certificate that was shown, if it names hosts at all, names the one
// that it came from: as an address, or by a name that the address resolves to or that resolves to
// the address.
func checkOrigin(ctx context.Context, t *tls.Conn) error {
	shown := t.ConnectionState().PeerCertificates
	if len(shown) == 0 || len(shown[0].IPAddresses) == 0 && len(shown[0].DNSNames) == 0 {
		return nil
	}
	c := shown[0]
	host, _, err := net.SplitHostPort(t.RemoteAddr().String())
	if err != nil {
		return err
	}
	if len(c.IPAddresses) > 0 {
		err := c.VerifyHostname(host)
		if err == nil || len(c.DNSNames) == 0 {
			return err
		}
	}
	if err := named(ctx, c, host); err != nil {
		return fmt.Errorf("tls: %q does not match any of DNSNames %q (%w)", host, c.DNSNames, err)
	}
	return nil
}

var errNotNamed = errors.New("no name leads to the address")

// named looks whether one of the certificate's names belongs to an address.
func named(ctx context.Context, c *x509.Certificate, address string) error {
	resolver := net.DefaultResolver
	// Not every address has a name; the certificate's names may still lead to it.
	known, reverseErr := resolver.LookupAddr(ctx, address)
	for _, name := range c.DNSNames {
		domain, isWildcard := strings.CutPrefix(name, "*.")
		for _, k := range known {
			k = strings.TrimSuffix(k, ".")
			if k == name || isWildcard && strings.HasSuffix(k, "."+domain) {
				return nil
			}
		}
	}
	failed := []error{errNotNamed, reverseErr}
	for _, name := range c.DNSNames {
		if strings.HasPrefix(name, "*.") {
			continue
		}
		addresses, err := resolver.LookupHost(ctx, name)
		if slices.Contains(addresses, address) {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// clientInfo is what gRPC keeps of a connection: who is at its other end.
type clientInfo struct {
	credentials.CommonAuthInfo
	name string // the common name of a verified certificate
}

// AuthType names the kind of this information.
func (clientInfo) AuthType() string { return "detcd" }

// portCredentials tell gRPC who is at the other end of a connection that has been handed to it, and
// do nothing: what had to be done was done before.
type portCredentials struct{}

// ServerHandshake looks at the connection.
func (portCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	who := clientInfo{CommonAuthInfo: credentials.CommonAuthInfo{
		SecurityLevel: credentials.NoSecurity}}
	switch c := conn.(type) {
	case *tls.Conn:
		state := c.ConnectionState()
		who.SecurityLevel, who.name = credentials.PrivacyAndIntegrity, commonName(&state)
	case *innerConn:
		who.SecurityLevel, who.name = credentials.PrivacyAndIntegrity, c.name
	}
	return conn, who, nil
}

// ClientHandshake is not used: nobody dials with these.
func (portCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn,
	credentials.AuthInfo, error) {
	return nil, nil, errors.New("server: a port's credentials do not dial")
}

// Info says what these credentials are.
func (portCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "detcd"}
}

// Clone returns a copy.
func (p portCredentials) Clone() credentials.TransportCredentials { return p }

// OverrideServerName has no meaning here.
func (portCredentials) OverrideServerName(string) error { return nil }

// commonName is that of the verified certificate, empty without one.
func commonName(state *tls.ConnectionState) string {
	for _, chain := range state.VerifiedChains {
		if len(chain) > 0 {
			return chain[0].Subject.CommonName
		}
	}
	return ""
}

// callerName is the common name in the certificate of whoever makes a call.
func callerName(ctx context.Context) string {
	p, ok := caller.FromContext(ctx)
	if !ok {
		return ""
	}
	switch who := p.AuthInfo.(type) {
	case clientInfo:
		return who.name
	case credentials.TLSInfo: // through net/http
		return commonName(&who.State)
	}
	return ""
}

// withCalls hands gRPC requests that come to a TLS port through net/http to the gRPC server.
func (s *Server) withCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := r.Header.Get("Content-Type")
		if r.ProtoMajor == 2 && strings.HasPrefix(content, "application/grpc") {
			s.grpc.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
