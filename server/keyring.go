// The certificates, keys, authorities and revocation lists of one kind of port, read from files
// that may be replaced at any time.
//
// Every handshake asks for the current state. At most ten times a second the files are read again
// for that, and a new state is built when one of them has changed; connections that exist stay as
// they are. When none can be built (a key does not fit yet, because only one of two files has been
// replaced; a file is gone), the log says so once, and the old state stays in force until the files
// fit again.
//
// Sessions are never resumed: a resumed one would be let in on the word of an authority, or of a
// revocation list, that is not in force any more. Connections of a store live long.
package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// rereadInterval is the least time between two looks at the files.
const rereadInterval = 100 * time.Millisecond

// The protocols that TLS tells apart by name.
const (
	protocolHTTP1   = "http/1.1"
	protocolHTTP2   = "h2"
	protocolMembers = "detcd-peer"
)

// keyring holds the current state of one kind of port. It is safe for concurrent use.
type keyring struct {
	log   *zap.Logger
	spec  TLS
	rules handshakeRules

	state atomic.Pointer[keys]

	// mu is held by whoever looks at the files; nobody waits for it.
	mu        sync.Mutex
	looked    time.Time
	content   certFiles // of state
	complaint string    // why state is not what the files hold; empty when it is
}

// keys are the two sides of TLS as of one reading of the files. They never change.
type keys struct {
	server  *tls.Config
	members *tls.Config // for who offers the members' own protocol
	client  *tls.Config // without the name of the server
}

// certFiles is what the files hold; a file that is not named has no bytes.
type certFiles struct {
	cert, key, clientCert, clientKey, authority, revoked []byte
}

func (a *certFiles) equal(b *certFiles) bool {
	return bytes.Equal(a.cert, b.cert) && bytes.Equal(a.key, b.key) &&
		bytes.Equal(a.clientCert, b.clientCert) && bytes.Equal(a.clientKey, b.clientKey) &&
		bytes.Equal(a.authority, b.authority) && bytes.Equal(a.revoked, b.revoked)
}

// newKeyring reads the files for the first time; what is wrong with them then is an error.
func newKeyring(log *zap.Logger, spec TLS, rules handshakeRules) (*keyring, error) {
	k := &keyring{log: log, spec: spec, rules: rules, looked: time.Now()}
	content, err := spec.read()
	if err != nil {
		return nil, err
	}
	state, err := k.build(content)
	if err != nil {
		return nil, err
	}
	k.content = *content
	k.state.Store(state)
	return k, nil
}

// current returns the state that is in force.
func (k *keyring) current() *keys {
	if k.mu.TryLock() {
		defer k.mu.Unlock()
		if now := time.Now(); now.Sub(k.looked) >= rereadInterval {
			k.looked = now
			k.reread()
		}
	}
	return k.state.Load()
}

// reread builds a new state if the files have changed. k.mu is held.
func (k *keyring) reread() {
	content, err := k.spec.read()
	if err == nil && content.equal(&k.content) {
		k.complaint = ""
		return
	}
	var state *keys
	if err == nil {
		state, err = k.build(content)
	}
	if err != nil {
		if text := err.Error(); text != k.complaint {
			k.complaint = text
			k.log.Warn("failed to read the certificates again; the old ones stay in force",
				zap.Stringer("tls-info", &k.spec), zap.Error(err))
		}
		return
	}
	k.content, k.complaint = *content, ""
	k.state.Store(state)
	k.log.Info("certificates were replaced", zap.Stringer("tls-info", &k.spec))
}

// read reads all files that are named.
func (t *TLS) read() (*certFiles, error) {
	f := &certFiles{}
	for _, each := range []struct {
		name string
		into *[]byte
	}{
		{t.CertFile, &f.cert}, {t.KeyFile, &f.key}, {t.ClientCertFile, &f.clientCert},
		{t.ClientKeyFile, &f.clientKey}, {t.TrustedCAFile, &f.authority}, {t.CRLFile, &f.revoked},
	} {
		if each.name == "" {
			continue
		}
		var err error
		if *each.into, err = os.ReadFile(each.name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// parsed is what the files say. Without a certificate there is only a side that dials.
type parsed struct {
	own, shown  tls.Certificate
	authorities *x509.CertPool // nil: the system's
	revoked     map[string]bool
}

func (t *TLS) parse(f *certFiles) (*parsed, error) {
	p := &parsed{}
	var err error
	if t.given() {
		if p.own, err = tls.X509KeyPair(f.cert, f.key); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", t.CertFile, t.KeyFile, err)
		}
	}
	p.shown = p.own
	if t.ClientCertFile != "" {
		if p.shown, err = tls.X509KeyPair(f.clientCert, f.clientKey); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", t.ClientCertFile, t.ClientKeyFile, err)
		}
	}
	if t.TrustedCAFile != "" {
		if p.authorities, err = parseAuthorities(f.authority); err != nil {
			return nil, fmt.Errorf("%s: %w", t.TrustedCAFile, err)
		}
	}
	if t.CRLFile != "" {
		if p.revoked, err = parseRevoked(f.revoked); err != nil {
			return nil, fmt.Errorf("%s: %w", t.CRLFile, err)
		}
	}
	return p, nil
}

// build makes both sides of TLS of what the files hold.
func (k *keyring) build(f *certFiles) (*keys, error) {
	p, err := k.spec.parse(f)
	if err != nil {
		return nil, err
	}
	base := tls.Config{
		MinVersion:             k.rules.minVersion,
		MaxVersion:             k.rules.maxVersion,
		CipherSuites:           k.rules.suites,
		SessionTicketsDisabled: true,
		// Records of full size from the first one on: each is a call of the system.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return k.spec.admits(&s, p.revoked)
		},
	}
	server, client := base.Clone(), base.Clone()
	server.Certificates = []tls.Certificate{p.own}
	server.ClientCAs = p.authorities
	if k.spec.demands() {
		server.ClientAuth = tls.RequireAndVerifyClientCert
	}
	server.NextProtos = []string{protocolHTTP2, protocolHTTP1}
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &p.shown, nil // whatever authorities the other side names, as etcd does
	}
	client.RootCAs = p.authorities
	client.InsecureSkipVerify = k.spec.selfSigned
	members := server.Clone()
	members.NextProtos = []string{protocolMembers}
	return &keys{server: server, members: members, client: client}, nil
}

// admits judges a certificate whose signature has been verified, or that nobody asked for.
func (t *TLS) admits(s *tls.ConnectionState, revoked map[string]bool) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	for _, c := range s.PeerCertificates {
		if serial := c.SerialNumber.Bytes(); revoked[string(serial)] {
			return fmt.Errorf("transport: certificate serial %x revoked", serial)
		}
	}
	if len(t.AllowedCNs) == 0 && len(t.AllowedHostnames) == 0 {
		return nil
	}
	for _, chain := range s.VerifiedChains {
		if len(chain) > 0 && t.allows(chain[0]) {
			return nil
		}
	}
	return errors.New("client certificate authentication failed")
}

func (t *TLS) allows(c *x509.Certificate) bool {
	if len(t.AllowedCNs) > 0 {
		return slices.Contains(t.AllowedCNs, c.Subject.CommonName)
	}
	return slices.ContainsFunc(t.AllowedHostnames, func(name string) bool {
		return c.VerifyHostname(name) == nil
	})
}

func parseAuthorities(bundle []byte) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
		found = true
	}
	if !found {
		return nil, errors.New("no certificate found")
	}
	return pool, nil
}

// parseRevoked reads a revocation list, binary or as PEM, into the serial numbers it names.
func parseRevoked(list []byte) (map[string]bool, error) {
	if block, _ := pem.Decode(list); block != nil {
		list = block.Bytes
	}
	parsed, err := x509.ParseRevocationList(list)
	if err != nil {
		return nil, err
	}
	revoked := map[string]bool{}
	for _, entry := range parsed.RevokedCertificateEntries {
		revoked[string(entry.SerialNumber.Bytes())] = true
	}
	return revoked, nil
}
