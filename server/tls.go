// What a port asks of TLS: the names of the files and the rules for certificates, with etcd's
// meaning of each.
//
// A trusted authority, or client-cert-auth, makes a port demand a certificate that the authority
// has signed. What is demanded beyond that (a common name, a host name, not to be revoked, to come
// from where the certificate says) only narrows it. Nothing here opens a file; keyring.go does.
package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
)

// TLS is what one kind of port, the clients' or the peers', needs to know.
type TLS struct {
	CertFile, KeyFile string
	// ClientCertFile and ClientKeyFile are shown when this member dials; empty means CertFile.
	ClientCertFile, ClientKeyFile string
	// TrustedCAFile verifies who dials, and whom this member dials; empty means the system's.
	TrustedCAFile  string
	ClientCertAuth bool
	CRLFile        string // serial numbers that are refused
	// AllowedCNs and AllowedHostnames, when set, are the only names of whoever shows a certificate.
	AllowedCNs, AllowedHostnames []string
	// SkipClientSANVerify lets a certificate come from other addresses than it names. It is about
	// the peer port; clients may come from anywhere.
	SkipClientSANVerify bool
	// Auto makes a certificate that nobody has signed, if none is given.
	Auto bool

	selfSigned bool // nobody can verify such a certificate, so nobody does
}

// given says whether there is anything to serve TLS with.
func (t *TLS) given() bool { return t.CertFile != "" || t.KeyFile != "" }

// demands says whether whoever dials must show a certificate.
func (t *TLS) demands() bool { return t.TrustedCAFile != "" || t.ClientCertAuth }

// dialledWith is the certificate to show when this member dials.
func (t *TLS) dialledWith() (cert, key string) {
	if t.ClientCertFile != "" {
		return t.ClientCertFile, t.ClientKeyFile
	}
	return t.CertFile, t.KeyFile
}

// validate finds what contradicts itself whatever the files hold.
func (t *TLS) validate() error {
	switch {
	case t.CertFile == "" || t.KeyFile == "":
		return fmt.Errorf("KeyFile and CertFile must both be present[key: %v, cert: %v]", t.KeyFile,
			t.CertFile)
	case (t.ClientCertFile == "") != (t.ClientKeyFile == ""):
		return fmt.Errorf("ClientKeyFile and ClientCertFile must both be present or both absent: "+
			"key: %v, cert: %v]", t.ClientKeyFile, t.ClientCertFile)
	case len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0:
		return fmt.Errorf("AllowedCNs and AllowedHostnames are mutually exclusive "+
			"(cns=%q, hostnames=%q)", t.AllowedCNs, t.AllowedHostnames)
	}
	return nil
}

// String names the files, for the log.
func (t *TLS) String() string {
	return fmt.Sprintf("cert = %s, key = %s, client-cert=%s, client-key=%s, trusted-ca = %s, "+
		"client-cert-auth = %v, crl-file = %s", t.CertFile, t.KeyFile, t.ClientCertFile,
		t.ClientKeyFile, t.TrustedCAFile, t.ClientCertAuth, t.CRLFile)
}

// handshakeRules are the limits of a handshake, the same on all ports.
type handshakeRules struct {
	minVersion, maxVersion uint16 // 0: Go's
	suites                 []uint16
}

func (c *Config) handshakeRules() (r handshakeRules, err error) {
	if r.minVersion, err = tlsutil.GetTLSVersion(c.TLSMinVersion); err != nil {
		return r, err
	}
	if r.maxVersion, err = tlsutil.GetTLSVersion(c.TLSMaxVersion); err != nil {
		return r, err
	}
	if r.maxVersion != 0 && r.minVersion > r.maxVersion {
		return r, fmt.Errorf("min version (%s) is greater than max version (%s)", c.TLSMinVersion,
			c.TLSMaxVersion)
	}
	if r.minVersion == tls.VersionTLS13 && len(c.CipherSuites) > 0 {
		return r, errors.New("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	if r.minVersion == 0 {
		r.minVersion = tls.VersionTLS12
	}
	r.suites, err = tlsutil.GetCipherSuites(c.CipherSuites)
	return r, err
}

// isSecure says whether a URL asks for TLS.
func isSecure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == unixsScheme }

// validateTLS finds ports that promise TLS and have nothing to serve it with, and rules that
// contradict each other.
func (c *Config) validateTLS() error {
	if _, err := c.handshakeRules(); err != nil {
		return err
	}
	for _, t := range []*TLS{&c.ClientTLS, &c.PeerTLS} {
		if !t.given() {
			continue
		}
		if err := t.validate(); err != nil {
			return err
		}
	}
	if (c.ClientTLS.Auto || c.PeerTLS.Auto) && c.SelfSignedCertValidity == 0 {
		return errors.New("selfSignedCertValidity is invalid,it should be greater than 0")
	}
	if !c.ClientTLS.given() && !c.ClientTLS.Auto {
		for _, u := range c.ListenClientURLs {
			if isSecure(&u) {
				return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for "+
					"client url %s with HTTPS scheme", u.String())
			}
		}
		for _, u := range c.ListenClientHTTPURLs {
			if isSecure(&u) {
				return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for "+
					"client url %s with HTTPS scheme", u.String())
			}
		}
		for _, u := range c.ListenMetricsURLs {
			if isSecure(&u) {
				return errors.New("client TLS key/cert (--cert-file, --key-file) must be " +
					"provided for metrics secure url")
			}
		}
	}
	for _, u := range c.ListenPeerURLs {
		if isSecure(&u) && !c.PeerTLS.given() && !c.PeerTLS.Auto {
			return fmt.Errorf("cannot listen on TLS for %s: KeyFile and CertFile are not presented",
				u.Host)
		}
	}
	return nil
}
