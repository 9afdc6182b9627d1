package transcript

// The certificates for TLS: an authority, the server's, and a client's whose name is a user's.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

func secureAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// secureFlags have a server listen for TLS beside its plain address.
func secureFlags(certs, address string) []string {
	return append(certificateFlags(certs, ""), "--listen-client-urls", "$CLIENT,https://"+address)
}

// certificateFlags name the certificates for clients, or with a prefix those for peers.
func certificateFlags(certs, prefix string) []string {
	return []string{"--" + prefix + "cert-file", filepath.Join(certs, "server.pem"),
		"--" + prefix + "key-file", filepath.Join(certs, "server-key.pem"),
		"--" + prefix + "trusted-ca-file", filepath.Join(certs, "ca.pem"),
		"--" + prefix + "client-cert-auth"}
}

// clientVariables have etcdctl show the client's certificate wherever it connects.
func clientVariables(certs string) []string {
	return []string{"ETCDCTL_CACERT=" + filepath.Join(certs, "ca.pem"),
		"ETCDCTL_CERT=" + filepath.Join(certs, "client.pem"),
		"ETCDCTL_KEY=" + filepath.Join(certs, "client-key.pem")}
}

// clientSettings are the same for a program.
func clientSettings(certs string) (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(filepath.Join(certs, "client.pem"),
		filepath.Join(certs, "client-key.pem"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}}, nil
}

// writeCertificates writes all into a folder.
func writeCertificates(dir string) error {
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true,
		Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true}
	key, err := writeCertificate(dir, "ca", authority, authority, nil)
	if err != nil {
		return err
	}
	for i, name := range []string{"server", "client"} {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)),
			Subject: pkix.Name{CommonName: name}, NotBefore: authority.NotBefore,
			NotAfter: authority.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
				x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
		if _, err := writeCertificate(dir, name, c, authority, key); err != nil {
			return err
		}
	}
	return nil
}

// writeCertificate makes a key and has its certificate signed, by itself when there is no signer.
func writeCertificate(
	dir, name string, c, by *x509.Certificate, signer *ecdsa.PrivateKey,
) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem":     {Type: "CERTIFICATE", Bytes: der},
		name + "-key.pem": {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	return key, nil
}
