// Serving and stopping: which goroutine accepts what, and in which order it all ends.
package server

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
)

// http2Preface is how a client that knows it talks HTTP/2 opens a connection.
const http2Preface = "PRI"

// servePeers opens the peer port: members, and people who ask for /members or /version.
func (s *Server) servePeers() {
	for _, l := range s.peerIn {
		members := newHandedListener(l.Addr())
		people := newHandedListener(l.Addr())
		s.peerConns = append(s.peerConns, members)
		var protocol decider = routes{{framePreamble[:sniffBytes], members}, {"", people}}
		if l.secure {
			protocol = &secured{log: s.log, keys: s.peerKeys, members: members, people: people,
				refusal:   "rejected connection on peer endpoint",
				fromNamed: !s.cfg.PeerTLS.SkipClientSANVerify}
		}
		s.split(newSplitter(s.log, l, protocol))
		s.serving.Go(func() { s.peers.serve(members) })
		s.serveHTTP(people, s.peerHTTP())
		s.log.Info("serving peer traffic", zap.String("address", l.Addr().String()))
	}
}

// serveClients opens the client port as soon as the member can answer.
func (s *Server) serveClients() {
	defer close(s.settled)
	select {
	case <-s.loop.ready:
	case <-s.loop.halted:
		return
	case <-s.stopServe:
		return
	}
	if !s.guardStart() {
		return
	}
	s.compareRegularly()
	s.serveGRPC(s.inner.listener)
	handler := s.clientHTTP(s.gateway)
	for _, l := range s.clients {
		calls := newHandedListener(l.Addr())
		people := newHandedListener(l.Addr())
		switch {
		case len(s.clientWeb) > 0 && l.secure:
			s.split(newSplitter(s.log, l, s.securedClients(calls, nil)))
			s.serveGRPC(calls)
			s.logServing("grpc", l)
			continue
		case len(s.clientWeb) > 0:
			s.serveGRPC(l)
			s.logServing("grpc", l)
			continue
		case l.secure:
			s.split(newSplitter(s.log, l, s.securedClients(calls, people)))
			s.serveHTTP(people, s.withCalls(handler))
		default:
			s.split(newSplitter(s.log, l, routes{{http2Preface, calls}, {"", people}}))
			s.serveHTTP(people, handler)
		}
		s.serveGRPC(calls)
		s.logServing("grpc+http", l)
	}
	for _, l := range s.clientWeb {
		s.servePeople(l, handler)
		s.logServing("http", l)
	}
	close(s.served)
}

// securedClients decides about connections to a client port with TLS.
func (s *Server) securedClients(calls, people *handedListener) *secured {
	return &secured{log: s.log, keys: s.clientKeys, calls: calls, people: people,
		refusal: "rejected connection on client endpoint"}
}

// servePeople serves a port that has HTTP only.
func (s *Server) servePeople(l port, handler http.Handler) {
	if !l.secure {
		s.serveHTTP(l, handler)
		return
	}
	people := newHandedListener(l.Addr())
	s.split(newSplitter(s.log, l, s.securedClients(nil, people)))
	s.serveHTTP(people, handler)
}

// logServing says that a client port is open; the first line is what tools wait for.
func (s *Server) logServing(traffic string, l port) {
	s.log.Info("ready to serve client requests")
	how := "serving client traffic insecurely; this is strongly discouraged!"
	if l.secure {
		how = "serving client traffic securely"
	}
	s.log.Info(how, zap.String("traffic", traffic), zap.String("address", l.Addr().String()))
}

func (s *Server) serveGRPC(l net.Listener) {
	s.serving.Go(func() {
		if err := s.grpc.Serve(l); err != nil {
			s.log.Debug("gRPC server ended", zap.Error(err))
		}
	})
}

// serveMetrics opens the metrics port, before the member is ready: whoever waits for that asks
// there.
func (s *Server) serveMetrics() {
	for _, l := range s.metricsIn {
		s.servePeople(l, s.metricsHTTP())
		s.log.Info("serving metrics", zap.String("address", l.Addr().String()))
	}
}

func (s *Server) split(sp *splitter) {
	s.splitters = append(s.splitters, sp)
	s.serving.Go(sp.serve)
}

func (s *Server) serveHTTP(l net.Listener, handler http.Handler) {
	server := newHTTP(s.log, handler)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: int(min(s.cfg.MaxConcurrentStreams, math.MaxInt32))}
	s.https = append(s.https, server)
	s.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Debug("HTTP server ended", zap.Error(err))
		}
	})
}

// Stop ends the member in good order: leadership is handed over, no client is accepted any more,
// what runs is finished, and what was asked of the disk is done. It may be called repeatedly.
func (s *Server) Stop() {
	s.stopOnce.Do(func() {
		s.log.Info("closing etcd server", zap.String("name", s.cfg.Name),
			zap.String("data-dir", s.cfg.dataDir()))
		s.handOver()
		close(s.stopServe)
		<-s.settled
		s.drainClients()
		close(s.loop.stop)
		<-s.loop.stopped
		s.release()
		s.serving.Wait()
		s.log.Info("closed etcd server", zap.String("name", s.cfg.Name),
			zap.String("data-dir", s.cfg.dataDir()))
	})
}

// handOver makes another member the leader, if there is one that can be.
func (s *Server) handOver() {
	if isClosed(s.loop.halted) || !s.leading() {
		return
	}
	s.log.Info("leadership transfer starting")
	s.loop.inbox.put(kv.Input{Kind: kv.InputLeave})
	limit := time.NewTimer(time.Duration(s.cfg.ElectionMillis) * time.Millisecond)
	defer limit.Stop()
	poll := time.NewTicker(s.loop.tick)
	defer poll.Stop()
	for s.leading() {
		select {
		case <-limit.C:
			s.log.Warn("leadership transfer took too long")
			return
		case <-s.loop.halted:
			return
		case <-poll.C:
		}
	}
	s.log.Info("leadership transfer finished")
}

// drainClients waits for running RPCs, as long as a request may take.
func (s *Server) drainClients() {
	for _, l := range slices.Concat(s.clients, s.clientWeb) {
		_ = l.Close()
	}
	s.inner.stop()
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	limit := time.NewTimer(s.cfg.requestTimeout())
	defer limit.Stop()
	select {
	case <-done:
	case <-s.loop.halted:
		s.grpc.Stop()
		<-done
	case <-limit.C:
		s.log.Warn("client requests did not end in time")
		s.grpc.Stop()
		<-done
	}
}

// release gives back whatever has been opened so far.
func (s *Server) release() {
	for _, l := range slices.Concat(s.clients, s.clientWeb, s.metricsIn, s.peerIn) {
		_ = l.Close()
	}
	for _, sp := range s.splitters {
		sp.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
	defer cancel()
	for _, h := range s.https {
		if err := h.Shutdown(ctx); err != nil {
			_ = h.Close()
		}
	}
	if s.inner != nil {
		if err := s.inner.close(); err != nil {
			s.log.Debug("failed to close the inner connection", zap.Error(err))
		}
	}
	for _, l := range s.peerConns {
		_ = l.Close()
	}
	if s.peers != nil {
		s.peers.close()
	}
	s.tracing.stop(s.log)
	if s.disk != nil {
		if err := s.disk.Close(); err != nil {
			s.log.Warn("failed to close the disk", zap.Error(err))
		}
	}
	if s.unlock != nil {
		if err := s.unlock(); err != nil {
			s.log.Warn("failed to release the data directory", zap.Error(err))
		}
	}
}

// httpDrain bounds the wait for plain HTTP requests at the end.
const httpDrain = 500 * time.Millisecond
