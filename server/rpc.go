// Counting RPCs. Handlers are wrapped when they are registered, so each has its counters at hand.
//
// A method of one message each way needs no look at its messages: the request is there, or the
// handler would not run for long, and the answer is sent unless there is an error. A stream's are
// counted by a wrapper around it.
package server

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/server/metrics"
)

// registrar registers services whose calls are counted.
type registrar struct {
	server *grpc.Server
	rpcs   *metrics.RPCs
}

// recipes are the services whose series appear when they are first called; all others begin at
// zero. That is how etcd has it.
func recipes(service string) bool {
	return strings.HasPrefix(service, "v3lockpb.") || strings.HasPrefix(service, "v3electionpb.")
}

func (r registrar) of(kind metrics.Kind, service, method string) func() *metrics.RPC {
	if recipes(service) {
		return r.rpcs.Later(kind, service, method)
	}
	rpc := r.rpcs.Method(kind, service, method)
	return func() *metrics.RPC { return rpc }
}

// RegisterService implements grpc.ServiceRegistrar.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	counted := *desc
	counted.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		rpc := r.of(metrics.Unary, desc.ServiceName, m.MethodName)
		counted.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName,
			Handler: countUnary(m.Handler, rpc)}
	}
	counted.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, m := range desc.Streams {
		kind := kindOf(&m)
		rpc := r.of(kind, desc.ServiceName, m.StreamName)
		if kind == metrics.Unary {
			m.Handler = countMessage(m.Handler, rpc())
		} else {
			m.Handler = countStream(m.Handler, rpc)
		}
		counted.Streams[i] = m
	}
	r.server.RegisterService(&counted, impl)
}

func kindOf(desc *grpc.StreamDesc) metrics.Kind {
	switch {
	case desc.ClientStreams && desc.ServerStreams:
		return metrics.BidiStream
	case desc.ServerStreams:
		return metrics.ServerStream
	case desc.ClientStreams:
		return metrics.ClientStream
	}
	return metrics.Unary
}

// rpcTimer times a call if somebody wants to know.
type rpcTimer struct {
	rpc   *metrics.RPC
	began time.Time
}

func begin(rpc *metrics.RPC) rpcTimer {
	rpc.Begun()
	t := rpcTimer{rpc: rpc}
	if rpc.Timed() {
		t.began = time.Now()
	}
	return t
}

func (t rpcTimer) end(err error) {
	var took time.Duration
	if t.rpc.Timed() {
		took = time.Since(t.began)
	}
	t.rpc.Ended(status.Code(err), took)
}

// countMessage wraps a handler of ours that takes one message and sends one.
func countMessage(h grpc.StreamHandler, rpc *metrics.RPC) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		t := begin(rpc)
		rpc.Received()
		err := h(srv, stream)
		if err == nil {
			rpc.Sent()
		}
		t.end(err)
		return err
	}
}

func countUnary(h grpc.MethodHandler, rpc func() *metrics.RPC) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error,
		interceptor grpc.UnaryServerInterceptor) (any, error) {
		t := begin(rpc())
		t.rpc.Received()
		answer, err := h(srv, ctx, decode, interceptor)
		if err == nil {
			t.rpc.Sent()
		}
		t.end(err)
		return answer, err
	}
}

func countStream(h grpc.StreamHandler, rpc func() *metrics.RPC) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		t := begin(rpc())
		err := h(srv, &countedStream{stream, t.rpc})
		t.end(err)
		return err
	}
}

// countedStream counts the messages of a stream.
type countedStream struct {
	grpc.ServerStream
	rpc *metrics.RPC
}

// SendMsg sends a message.
func (s *countedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.rpc.Sent()
	}
	return err
}

// RecvMsg receives a message.
func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.rpc.Received()
	}
	return err
}
