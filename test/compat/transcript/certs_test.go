package transcript

// The certificates for TLS: an authority, the server's, and a client's whose name is a user's.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/detcd/detcd/test/compat/servers"
)

// speaksTLS says whether a program takes certificates at all.
func speaksTLS(ctx context.Context, p servers.Program) bool {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.Binary, "--cert-file", "missing", "--data-dir",
		os.DevNull).CombinedOutput()
	return err != nil && !strings.Contains(string(out), "not supported yet")
}

func secureAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// secureFlags have a server listen for TLS beside its plain address.
func secureFlags(certs, address string) []string {
	return []string{"--listen-client-urls", "$CLIENT,https://" + address,
		"--cert-file", filepath.Join(certs, "server.pem"),
		"--key-file", filepath.Join(certs, "server-key.pem"),
		"--trusted-ca-file", filepath.Join(certs, "ca.pem"), "--client-cert-auth"}
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
