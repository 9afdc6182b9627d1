// How one RPC runs: metadata, validation, the node, the outcome.
//
// The methods are described to gRPC as streams with one message each way. That is what gRPC makes
// of a unary method anyway, and it lets the handler bring its own pooled buffers.
package server

import (
	"context"
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
	ctx := stream.Context()
	err := s.checkMetadata(ctx)
	if err == nil {
		err = s.statuses[kv.Validate(method, c.raw, &s.loop.limits)]
	}
	if err == nil {
		c.identity = s.identity(ctx)
		if !s.loop.do(ctx, method, c) {
			return status.FromContextError(ctx.Err()).Err()
		}
		err = s.statuses[c.answer.Code]
	}
	if err == nil && method == kv.MethodAuthenticate {
		err = s.sign(c)
	}
	if err == nil {
		c.reply = c.answer.Body
		err = stream.SendMsg(c)
	}
	s.loop.calls.give(c)
	return err
}

// checkMetadata honours what a client says beside its request.
func (s *service) checkMetadata(ctx context.Context) error {
	for _, v := range metadata.ValueFromIncomingContext(ctx, "client-api-version") {
		if !utf8.ValidString(v) {
			return s.edge.clientVersion
		}
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
func (s *service) checkCaller(ctx context.Context) error {
	if s.loop.learns() {
		return s.statuses[kv.ErrNotLearner]
	}
	return s.checkMetadata(ctx)
}

// checkUnary checks the callers of the services whose handlers are generated: health, locks,
// elections. All other methods are streams to gRPC, and check by themselves.
func (s *service) checkUnary(ctx context.Context, request any, _ *grpc.UnaryServerInfo,
	handler grpc.UnaryHandler) (any, error) {
	if err := s.checkCaller(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, request)
}
