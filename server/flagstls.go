package server

import "github.com/spf13/pflag"

// defineSecurity declares what TLS and the sockets below it need to know.
func (f *Flags) defineSecurity(fs *pflag.FlagSet) {
	c := &f.Config
	t := &c.ClientTLS
	fs.StringVar(&t.CertFile, "cert-file", "", "certificate of the client port")
	fs.StringVar(&t.KeyFile, "key-file", "", "key of --cert-file")
	fs.BoolVar(&t.ClientCertAuth, "client-cert-auth", false,
		"demand certificates from clients; their common names are users")
	fs.StringVar(&t.TrustedCAFile, "trusted-ca-file", "",
		"authority that has signed the certificates of clients")
	fs.StringVar(&t.ClientCertFile, "client-cert-file", "",
		"certificate to show as a client of another member (default --cert-file)")
	fs.StringVar(&t.ClientKeyFile, "client-key-file", "", "key of --client-cert-file")
	fs.StringVar(&t.CRLFile, "client-crl-file", "", "list of clients' revoked certificates")
	fs.Var(&orderedValue{&t.AllowedHostnames}, "client-cert-allowed-hostname",
		"hosts one of which a client's certificate must name")
	fs.BoolVar(&t.Auto, "auto-tls", false, "make a certificate for the client port")
	p := &c.PeerTLS
	fs.StringVar(&p.CertFile, "peer-cert-file", "", "certificate of the peer port")
	fs.StringVar(&p.KeyFile, "peer-key-file", "", "key of --peer-cert-file")
	fs.BoolVar(&p.ClientCertAuth, "peer-client-cert-auth", false,
		"demand certificates from members")
	fs.StringVar(&p.TrustedCAFile, "peer-trusted-ca-file", "",
		"authority that has signed the certificates of members")
	fs.StringVar(&p.ClientCertFile, "peer-client-cert-file", "",
		"certificate to show when dialling members (default --peer-cert-file)")
	fs.StringVar(&p.ClientKeyFile, "peer-client-key-file", "", "key of --peer-client-cert-file")
	fs.StringVar(&p.CRLFile, "peer-crl-file", "", "list of members' revoked certificates")
	fs.Var(&orderedValue{&p.AllowedCNs}, "peer-cert-allowed-cn",
		"common names one of which a member's certificate must have")
	fs.Var(&orderedValue{&p.AllowedHostnames}, "peer-cert-allowed-hostname",
		"hosts one of which a member's certificate must name")
	fs.BoolVar(&p.SkipClientSANVerify, "peer-skip-client-san-verification", false,
		"let members call from other addresses than their certificates name")
	fs.BoolVar(&p.Auto, "peer-auto-tls", false, "make a certificate for the peer port")
	fs.UintVar(&c.SelfSignedCertValidity, "self-signed-cert-validity", c.SelfSignedCertValidity,
		"years that a certificate lasts which the member makes")
	fs.Var(&orderedValue{&c.CipherSuites}, "cipher-suites",
		"cipher suites for TLS up to 1.2, separated by commas")
	fs.StringVar(&c.TLSMinVersion, "tls-min-version", c.TLSMinVersion,
		"least version of TLS: TLS1.2 or TLS1.3")
	fs.StringVar(&c.TLSMaxVersion, "tls-max-version", c.TLSMaxVersion,
		"highest version of TLS: TLS1.2, TLS1.3, or empty for the highest there is")
	fs.BoolVar(&c.SocketReusePort, "socket-reuse-port", false,
		"share ports with other processes (SO_REUSEPORT)")
	fs.BoolVar(&c.SocketReuseAddress, "socket-reuse-address", false,
		"take ports over while connections to them end (SO_REUSEADDR)")
}
