// How one RPC runs: metadata, validation, the node, the outcome.
//
// The methods are described to gRPC as streams with one message each way. That is what gRPC makes
// of a unary method anyway, and it lets the handler bring its own pooled buffers.
package server

import (
	"context"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
)

// passing describes a method whose request bytes go to the node as they are.
func (s *service) passing(name string, method kv.Method) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName: name,
		Handler: func(_ any, stream grpc.ServerStream) error {
			return s.pass(stream, method)
		},
	}
}

func (s *service) pass(stream grpc.ServerStream, method kv.Method) error {
	c := s.loop.calls.take()
	if err := stream.RecvMsg(c); err != nil {
		s.loop.calls.give(c)
		return err
	}
	came := s.loop.now()
	ctx := stream.Context()
	err := s.checkMetadata(ctx, oneMessage)
	if err == nil {
		err = s.statuses[kv.Validate(method, c.raw, &s.loop.limits)]
	}
	if err != nil {
		s.loop.calls.give(c)
		return err
	}
	c.identity = s.identity(ctx)
	raw := c.raw
	if !s.loop.do(ctx, method, c) { // the client has left, and the call is the loop's
		err = status.FromContextError(ctx.Err()).Err()
		took := s.loop.now() - came
		s.metrics.Requests.Request(method, kv.ErrTimeout, took)
		if took > s.slow.whole {
			s.slow.abandoned(stream, requestText(method, raw), took, err)
		}
		return err
	}
	answered := s.loop.now()
	err = s.statuses[c.answer.Code]
	if err == nil && method == kv.MethodAuthenticate {
		err = s.sign(c)
	}
	if err == nil {
		c.reply = c.answer.Body
		err = stream.SendMsg(c)
	}
	s.measure(stream, method, c, came, answered, err)
	s.loop.calls.give(c)
	return err
}

// measure counts a request's outcome and times, and has it written down if it was slow.
func (s *service) measure(stream grpc.ServerStream, method kv.Method, c *call,
	came, answered time.Duration, err error) {
	requests, code, took := &s.metrics.Requests, c.answer.Code, answered-came
	switch {
	case method == kv.MethodTxn && c.granted:
		requests.ReadOnlyTxn(code, took)
	case method == kv.MethodRange:
		requests.Range(code, answered-c.served)
		requests.Request(method, code, took)
	case method == kv.MethodMemberPromote:
		requests.Promoted(code)
	case method == kv.MethodDefragment && code == kv.OK:
		s.metrics.Disk.Defragment.Observe(took.Seconds())
	case method == kv.MethodHash:
		s.metrics.Disk.Hash.Observe(took.Seconds())
	case method == kv.MethodHashKV:
		s.metrics.Disk.HashRevision.Observe(took.Seconds())
	default:
		requests.Request(method, code, took)
	}
	if sent := s.loop.now(); sent-came > s.slow.least() {
		p := phasesOf(c, came, answered, sent)
		if s.slow.report(stream, method, c, &p, err) {
			requests.SlowApplies.Inc()
		}
	}
}

// callKind tells a call of one message each way from a stream.
type callKind uint8

const (
	oneMessage callKind = iota
	manyMessages
)

// checkMetadata honours what a client says beside its request.
func (s *service) checkMetadata(ctx context.Context, kind callKind) error {
	version := ""
	for i, v := range metadata.ValueFromIncomingContext(ctx, "client-api-version") {
		if !utf8.ValidString(v) {
			return s.edge.clientVersion
		}
		if i == 0 {
			version = v
		}
	}
	if kind == oneMessage {
		s.metrics.Clients.Unary(version)
	} else {
		s.metrics.Clients.Stream(version)
	}
	// A client's wish for a leader matters only when there is none, which is cheaper to ask first.
	if _, known := s.loop.leads(); known {
		return nil
	}
	if v := metadata.ValueFromIncomingContext(ctx, "hasleader"); len(v) > 0 && v[0] == "true" {
		return s.statuses[kv.ErrNoLeader]
	}
	return nil
}

// checkCaller is what every call passes that does not go to the node: a learner serves none of
// them, and the metadata must be in order.
func (s *service) checkCaller(ctx context.Context, kind callKind) error {
	if s.loop.learns() {
		return s.statuses[kv.ErrNotLearner]
	}
	return s.checkMetadata(ctx, kind)
}

// checkUnary checks the callers of the services whose handlers are generated: health, locks,
// elections. All other methods are streams to gRPC, and check by themselves.
func (s *service) checkUnary(ctx context.Context, request any, _ *grpc.UnaryServerInfo,
	handler grpc.UnaryHandler) (any, error) {
	if err := s.checkCaller(ctx, oneMessage); err != nil {
		return nil, err
	}
	return handler(ctx, request)
}
