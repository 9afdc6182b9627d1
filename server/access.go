// What every HTTP request on the client port passes before anybody answers it.
//
// A page in a browser may send requests to any address. Two things keep it from speaking to a
// member in its reader's name: the names under which the member may be addressed without TLS (a
// name that an attacker points at this machine is none of them), and the origins that a browser is
// told to admit.
//
// The gateway asks on behalf of nobody but a token, so where names in certificates are users, a
// request that shows one is refused there: its sender would be taken for somebody it is not.
package server

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// anyone in a list of hosts or origins admits all.
const anyone = "*"

// access guards a handler.
type access struct {
	log     *zap.Logger
	origins []string
	hosts   []string
	// nameless says whether the gateway must refuse who shows a name, at the moment.
	nameless func() bool
	next     http.Handler
}

// ServeHTTP implements http.Handler.
func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v3beta/"); ok {
		r.URL.Path = "/v3/" + rest
	}
	if host := hostOf(r); r.TLS == nil && !admits(a.hosts, host) {
		a.log.Warn("rejecting HTTP request to prevent DNS rebinding attacks",
			zap.String("host", host))
		http.Error(w, unknownHost(host), http.StatusMisdirectedRequest)
		return
	}
	if r.TLS != nil && strings.HasPrefix(r.URL.Path, gatewayPrefix) && commonName(r.TLS) != "" &&
		a.nameless() {
		http.Error(w, "CommonName of client sending a request against gateway will be ignored "+
			"and not used as expected", http.StatusBadRequest)
		return
	}
	switch origin := r.Header.Get("Origin"); {
	case admits(a.origins, anyone):
		allowOrigin(w.Header(), anyone)
	case admits(a.origins, origin):
		allowOrigin(w.Header(), origin)
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	a.next.ServeHTTP(w, r)
}

// admits says whether a list has a name; an empty list has all.
func admits(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, anyone) || slices.Contains(list, name)
}

func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		return r.Host
	}
	return host
}

func allowOrigin(h http.Header, origin string) {
	h.Add("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Add("Access-Control-Allow-Origin", origin)
	h.Add("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

func unknownHost(host string) string {
	return fmt.Sprintf("the Host header %q is not one that this member is addressed by: use TLS, "+
		"or add the name with --host-whitelist (see CVE-2018-5702, DNS rebinding)\n", host)
}
