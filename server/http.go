// The HTTP/1 side of all ports: what people, load balancers and tools read with a plain GET.
//
//	client port, or the one of --listen-client-http-urls
//	                 /version, /health, /livez, /readyz, /metrics, /debug/vars, the JSON gateway
//	                 below /v3/, with --enable-pprof /debug/pprof/, at log level debug also
//	                 /debug/requests and /debug/events
//	metrics port     /health, /livez, /readyz, /metrics
//	peer port        /version, /members, /members/hashkv
//
// Everything else is not found.
package server

import (
	"encoding/json"
	"expvar"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/trace"

	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
)

const (
	httpHeaderTimeout = 10 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpHeaderBytes   = 64 << 10
)

func newHTTP(log *zap.Logger, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: httpHeaderTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpHeaderBytes,
		ErrorLog:          quietHTTPLog(log),
	}
}

// clientHTTP is the handler of the client port. gateway is nil when it is turned off.
func (s *Server) clientHTTP(gateway http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", s.serveVersion)
	mux.HandleFunc("/debug/vars", s.serveVars)
	mux.Handle("/metrics", s.metrics.Handler())
	s.addProbes(mux)
	if gateway != nil {
		mux.Handle(gatewayPrefix, gateway)
	}
	if s.cfg.EnablePprof || s.cfg.LogLevel == "debug" {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	if s.cfg.LogLevel == "debug" {
		mux.HandleFunc("/debug/requests", func(w http.ResponseWriter, r *http.Request) {
			trace.Render(w, r, true)
		})
		mux.HandleFunc("/debug/events", func(w http.ResponseWriter, r *http.Request) {
			trace.RenderEvents(w, r, true)
		})
	}
	nameless := func() bool {
		return gateway != nil && s.cfg.ClientTLS.ClientCertAuth && s.loop.state.Load().AuthEnabled
	}
	return &access{log: s.log, origins: s.cfg.CORS, hosts: s.cfg.HostWhitelist, nameless: nameless,
		next: mux}
}

// metricsHTTP is the handler of the metrics port, which monitoring and the kubelet may reach where
// clients' traffic is closed to them.
func (s *Server) metricsHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.metrics.Handler())
	s.addProbes(mux)
	return mux
}

// peerHTTP is the handler of the peer port.
func (s *Server) peerHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", s.serveVersion)
	mux.HandleFunc("/members", s.serveMembers)
	mux.HandleFunc(hashPath, s.serveHash)
	return mux
}

func allowGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	w.Header().Set("Allow", http.MethodGet)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

// versionJSON is the body of /version.
type versionJSON struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
	Storage string `json:"storage"`
}

func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	v := versionJSON{Server: Version, Cluster: "not_decided", Storage: "unknown"}
	if decided := s.loop.state.Load().Version; decided != "" {
		v.Cluster, v.Storage = decided, s.loop.state.Load().Storage
	}
	s.writeJSON(w, http.StatusOK, v)
}

// memberJSON is one member in the body of /members, as etcd prints it.
type memberJSON struct {
	ID         uint64   `json:"id"`
	PeerURLs   []string `json:"peerURLs"`
	IsLearner  bool     `json:"isLearner,omitempty"`
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

func (s *Server) serveMembers(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	members := []memberJSON{}
	for _, m := range s.loop.state.Load().Members {
		members = append(members, memberJSON{
			ID:         uint64(m.ID),
			PeerURLs:   m.PeerURLs,
			IsLearner:  m.Learner == kv.LearnerOnly,
			Name:       m.Name,
			ClientURLs: m.ClientURLs,
		})
	}
	w.Header().Set("X-Etcd-Cluster-ID", strconv.FormatUint(s.loop.cluster, 16))
	s.writeJSON(w, http.StatusOK, members)
	s.write(w, "\n") // some read line by line
}

// serveVars prints what the process counts about itself, in the shape of package expvar.
func (s *Server) serveVars(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	limit, err := osdisk.OpenFiles()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status, err := json.Marshal(s.loop.state.Load().Raft)
	if err != nil {
		panic("server: " + err.Error())
	}
	vars := []string{
		fmt.Sprintf("%q: %d", "file_descriptor_limit", limit),
		fmt.Sprintf("%q: %s", "raft.status", status),
	}
	expvar.Do(func(v expvar.KeyValue) {
		vars = append(vars, fmt.Sprintf("%q: %s", v.Key, v.Value))
	})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	s.write(w, "{\n"+strings.Join(vars, ",\n")+"\n}\n")
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("server: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("failed to answer an HTTP request", zap.Error(err))
	}
}
