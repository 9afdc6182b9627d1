// Health over HTTP: what load balancers, the kubelet and people ask.
//
// /health is one verdict in JSON: no alarm, a leader, a read that goes through. /livez and /readyz
// are lists of named checks: a member lives when its own store answers, and is ready when the
// cluster does too. Reads are made without anybody's identity, so a probe needs no user.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
)

func (s *Server) addProbes(mux *http.ServeMux) {
	mux.HandleFunc("/health", s.serveHealth)
	local := check{"serializable_read", s.checkLocalRead}
	s.addChecks(mux, "livez", []check{local})
	s.addChecks(mux, "readyz", []check{
		{"data_corruption", s.checkCorruption},
		local,
		{"linearizable_read", s.checkRead},
		{"non_learner", s.checkVotes},
	})
}

// healthJSON is the body of /health.
type healthJSON struct {
	Health string `json:"health"`
	Reason string `json:"reason"`
}

// serveHealth says whether this member can serve. With serializable=true only the local store is
// asked; exclude=NAME leaves an alarm aside.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	query := r.URL.Query()
	reason := s.illness(r.Context(), query["exclude"], query.Get("serializable") == "true")
	h := healthJSON{Health: "true", Reason: reason}
	if reason != "" {
		h.Health = "false"
	}
	body, err := json.Marshal(h)
	if err != nil {
		panic("server: " + err.Error())
	}
	if reason != "" {
		s.metrics.Health.Failures.Inc()
		s.log.Warn("/health error", zap.String("output", string(body)))
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	s.metrics.Health.Success.Inc()
	s.write(w, string(body))
}

// illness is why this member cannot serve, empty if it can.
func (s *Server) illness(ctx context.Context, excluded []string, serializable bool) string {
	for _, name := range s.alarms() {
		if !slices.Contains(excluded, name) {
			return "ALARM " + name
		}
	}
	if _, known := s.loop.leads(); !known && !serializable {
		return "RAFT NO LEADER"
	}
	if code := s.probe(ctx, serializable); code != kv.OK {
		return "RANGE ERROR:" + code.Text()
	}
	return ""
}

// alarms are the names of the alarms that are raised, by any member.
func (s *Server) alarms() (names []string) {
	for _, a := range s.State().Alarms {
		name := "UNKNOWN"
		if a.Kind == kv.AlarmNoSpace || a.Kind == kv.AlarmCorrupt {
			name = a.Kind.String()
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// probe reads one key that nobody writes.
func (s *Server) probe(ctx context.Context, serializable bool) kv.Code {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout())
	defer cancel()
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

// check is one named question; its error is the answer that fails it.
type check struct {
	name string
	ask  func(context.Context) error
}

// addChecks serves all checks below the root under a name, and each of them below that.
func (s *Server) addChecks(mux *http.ServeMux, name string, all []check) {
	mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
		if !allowGet(w, r) {
			return
		}
		excluded := r.URL.Query()["exclude"]
		for _, name := range excluded {
			known := slices.ContainsFunc(all, func(c check) bool { return c.name == name })
			if name != "" && !known {
				s.log.Warn("some health checks cannot be excluded",
					zap.String("missing-health-check", name))
			}
		}
		asked := slices.DeleteFunc(slices.Clone(all), func(c check) bool {
			return slices.Contains(excluded, c.name)
		})
		s.serveChecks(w, r, name, asked)
	})
	for i := range all {
		mux.HandleFunc("/"+name+"/"+all[i].name, func(w http.ResponseWriter, r *http.Request) {
			if allowGet(w, r) {
				s.serveChecks(w, r, name, all[i:i+1])
			}
		})
	}
}

func (s *Server) serveChecks(w http.ResponseWriter, r *http.Request, kind string,
	asked []check) {
	var lines strings.Builder
	failed := false
	for _, c := range asked {
		err := c.ask(r.Context())
		s.metrics.Health.Check("/"+kind, c.name, err)
		if err != nil {
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", c.name, err)
			failed = true
			continue
		}
		fmt.Fprintf(&lines, "[+]%s ok\n", c.name)
	}
	if failed {
		s.log.Warn("Health check error", zap.String("path", r.URL.Path),
			zap.String("reason", lines.String()))
		http.Error(w, lines.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, verbose := r.URL.Query()["verbose"]; !verbose {
		lines.Reset()
	}
	s.write(w, lines.String()+"ok\n")
}

func (s *Server) checkLocalRead(ctx context.Context) error { return failure(s.probe(ctx, true)) }

func (s *Server) checkRead(ctx context.Context) error { return failure(s.probe(ctx, false)) }

// failure is the error of an outcome, nil if it is none.
func failure(code kv.Code) error {
	if code == kv.OK {
		return nil
	}
	return errors.New(code.Text())
}

const corruptAlarm = "CORRUPT"

func (s *Server) checkCorruption(context.Context) error {
	if slices.Contains(s.alarms(), corruptAlarm) {
		return errors.New("alarm activated: " + corruptAlarm)
	}
	return nil
}

func (s *Server) checkVotes(context.Context) error {
	if s.loop.learns() {
		return errors.New("not supported for learner")
	}
	return nil
}

// write sends a body; a client that is gone is nobody's trouble.
func (s *Server) write(w http.ResponseWriter, body string) {
	if _, err := w.Write([]byte(body)); err != nil {
		s.log.Debug("failed to answer an HTTP request", zap.Error(err))
	}
}
