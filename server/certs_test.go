package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates, and takes them back.
type authority struct {
	t       *testing.T
	dir     string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	serials int64
	revoked []x509.RevocationListEntry
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir(), serials: 1}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId: []byte(name)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// file is the path of the authority's own certificate.
func (a *authority) file() string {
	name := filepath.Join(a.dir, "ca.pem")
	require.NoError(a.t, writePEM(name, "CERTIFICATE", a.cert.Raw))
	return name
}

// issue makes a certificate for both sides of a connection, and returns its files, which are named
// after file.
func (a *authority) issue(file, commonName string, hosts ...string) (cert, key string) {
	a.serials++
	c := &x509.Certificate{SerialNumber: big.NewInt(a.serials),
		Subject:   pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	signed, err := x509.CreateCertificate(rand.Reader, c, a.cert, &secret.PublicKey, a.key)
	require.NoError(a.t, err)
	hidden, err := x509.MarshalECPrivateKey(secret)
	require.NoError(a.t, err)
	cert, key = filepath.Join(a.dir, file+".pem"), filepath.Join(a.dir, file+"-key.pem")
	require.NoError(a.t, writePEM(key, "EC PRIVATE KEY", hidden))
	require.NoError(a.t, writePEM(cert, "CERTIFICATE", signed))
	return cert, key
}

// revoke takes a certificate back; revocations is the list of those that were.
func (a *authority) revoke(serial *big.Int) {
	a.revoked = append(a.revoked, x509.RevocationListEntry{SerialNumber: serial,
		RevocationTime: time.Now()})
}

func (a *authority) revocations() string {
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(int64(len(a.revoked) + 1)), ThisUpdate: time.Now(),
		NextUpdate: time.Now().Add(time.Hour), RevokedCertificateEntries: a.revoked}, a.cert, a.key)
	require.NoError(a.t, err)
	name := filepath.Join(a.dir, "crl.der")
	require.NoError(a.t, os.WriteFile(name, list, 0o600))
	return name
}

// trusting are the settings of a client that trusts the authority and shows nothing.
func (a *authority) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}

// showing are the settings of a client that shows a new certificate.
func (a *authority) showing(commonName string) *tls.Config {
	own, err := tls.LoadX509KeyPair(a.issue("client-"+commonName, commonName))
	require.NoError(a.t, err)
	c := a.trusting()
	c.Certificates = []tls.Certificate{own}
	return c
}

// serve sets a kind of port up with a certificate for this machine.
func (a *authority) serve(t *TLS, name string) {
	t.CertFile, t.KeyFile = a.issue(name, name, "127.0.0.1", "localhost")
}

// demand makes a kind of port ask for certificates.
func (a *authority) demand(t *TLS) {
	t.ClientCertAuth, t.TrustedCAFile = true, a.file()
}

// overTLS makes the URLs of clients and members secure.
func overTLS(c *Config) {
	for i := range c.ListenClientURLs {
		c.ListenClientURLs[i].Scheme = "https"
	}
	for i := range c.ListenPeerURLs {
		c.ListenPeerURLs[i].Scheme = "https"
	}
}
