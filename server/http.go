// The HTTP/1 side of both ports: what people, load balancers and tools read with a plain GET.
//
// Client port: /version, /health, with --enable-pprof /debug/pprof/. Peer port: /version, /members.
// Everything else is not found.
package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"go.uber.org/zap"

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

// clientHTTP is the handler of the client port.
func (s *Server) clientHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", s.serveVersion)
	mux.HandleFunc("/health", s.serveHealth)
	if s.cfg.EnablePprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// peerHTTP is the handler of the peer port.
func (s *Server) peerHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", s.serveVersion)
	mux.HandleFunc("/members", s.serveMembers)
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
		v.Cluster, v.Storage = decided, decided
	}
	s.writeJSON(w, http.StatusOK, v)
}

// healthJSON is the body of /health.
type healthJSON struct {
	Health string `json:"health"`
	Reason string `json:"reason"`
}

// serveHealth says whether this member can serve: a leader is known and a read goes through. With
// serializable=true only the local store is asked.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	serializable := r.URL.Query().Get("serializable") == "true"
	if _, known := s.loop.leads(); !known && !serializable {
		s.writeJSON(w, http.StatusServiceUnavailable, healthJSON{"false", "RAFT NO LEADER"})
		return
	}
	if code := s.probe(r.Context(), serializable); code != kv.OK {
		s.writeJSON(w, http.StatusServiceUnavailable,
			healthJSON{"false", "RANGE ERROR:" + code.Text()})
		return
	}
	s.writeJSON(w, http.StatusOK, healthJSON{"true", ""})
}

// probe reads one key that nobody writes.
func (s *Server) probe(ctx context.Context, serializable bool) kv.Code {
	c := s.loop.calls.take()
	c.raw = []byte("\x0a\x06health") // RangeRequest.key
	if serializable {
		c.raw = append(c.raw, "\x38\x01"...) // RangeRequest.serializable
	}
	c.identity = &kv.Identity{Own: true}
	if !s.loop.do(ctx, kv.MethodRange, c) {
		return kv.ErrTimeout
	}
	code := c.answer.Code
	s.loop.calls.give(c)
	return code
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
