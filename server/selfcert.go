// Certificates that a member makes for itself (--auto-tls, --peer-auto-tls): they encrypt, and
// prove nothing, because nobody has signed them. They stay in the data directory below fixtures, so
// that a member keeps its certificate when it starts again.
package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"
)

const (
	fixturesDir = "fixtures"
	serialBits  = 128
	yearHours   = 365 * 24
)

// selfCertify completes the settings of a kind of port that makes its own certificate.
func (s *Server) selfCertify(t *TLS, kind string, urls types.URLs) error {
	if !t.Auto {
		return nil
	}
	if t.given() {
		s.log.Warn("ignoring " + kind + " auto TLS since certs given")
		return nil
	}
	dir, err := filepath.Abs(filepath.Join(s.cfg.dataDir(), fixturesDir, kind))
	if err != nil {
		return err
	}
	t.selfSigned = true
	t.CertFile, t.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	t.ClientCertFile, t.ClientKeyFile = t.CertFile, t.KeyFile
	if exist, err := bothExist(t.CertFile, t.KeyFile); exist || err != nil {
		return err
	}
	if err := os.MkdirAll(dir, privateDir); err != nil {
		return err
	}
	var hosts []string
	for i := range urls {
		hosts = append(hosts, urls[i].Hostname())
	}
	until := time.Now().Add(time.Duration(s.cfg.SelfSignedCertValidity) * yearHours * time.Hour)
	s.log.Warn("automatically generate certificates",
		zap.Time("certificate-validity-bound-not-after", until))
	return writeSelfSigned(t, hosts, until)
}

func bothExist(files ...string) (bool, error) {
	for _, name := range files {
		_, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// writeSelfSigned makes a key and its certificate. The key is written first: without it the
// certificate would pass for one that is complete.
func writeSelfSigned(t *TLS, hosts []string, until time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"detcd"}},
		NotBefore:             time.Now(),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // a client may trust this very certificate
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else if host != "" {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	signed, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(t.KeyFile, "EC PRIVATE KEY", secret); err != nil {
		return err
	}
	return writePEM(t.CertFile, "CERTIFICATE", signed)
}

func writePEM(name, kind string, content []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	return os.WriteFile(name, text, 0o600)
}
