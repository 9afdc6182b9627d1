// Leases on the client port. Granting, revoking and asking are ordinary methods; renewing is a
// stream, on which a client sends one message for each of its leases every few seconds.
//
// The stream's answers come in the order of its requests, but its requests do not wait for each
// other: a client with a thousand leases would otherwise pay a thousand round trips to the leader,
// one after the other. How many may be under way is bounded; beyond it the client is not read.
package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/server/metrics"
)

// renewalsInFlight is how many requests of one stream may be under way.
const renewalsInFlight = 128

// leaseCheckpointInterval is how much of a lease passes before what is left is written down, if the
// feature gate asks for it.
const leaseCheckpointInterval = 5 * time.Minute

func (s *service) leaseService() grpc.ServiceDesc {
	return grpc.ServiceDesc{
		ServiceName: "etcdserverpb.Lease",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{
			s.passing("LeaseGrant", kv.MethodLeaseGrant),
			s.passing("LeaseRevoke", kv.MethodLeaseRevoke),
			s.passing("LeaseTimeToLive", kv.MethodLeaseTimeToLive),
			s.passing("LeaseLeases", kv.MethodLeaseLeases),
			{
				StreamName: "LeaseKeepAlive", Handler: s.keepAlive,
				ServerStreams: true, ClientStreams: true,
			},
		},
		Metadata: "rpc.proto",
	}
}

// randomFor draws what a request of a method needs that nobody may guess.
func randomFor(method kv.Method) (random [2]uint64) {
	if method != kv.MethodLeaseGrant && method != kv.MethodAuthenticate {
		return random
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the process instead
	random[0] = binary.LittleEndian.Uint64(b[:])
	random[1] = binary.LittleEndian.Uint64(b[8:])
	return random
}

// renewal is a request of a stream on its way, or the error that ended the reading.
type renewal struct {
	call *call
	err  error
}

// keepAlive serves one stream until the client closes its side, or something fails.
func (s *service) keepAlive(_ any, stream grpc.ServerStream) error {
	ctx := stream.Context()
	if err := s.checkMetadata(ctx, manyMessages); err != nil {
		return err
	}
	waiting := make(chan renewal, renewalsInFlight)
	// The reader ends when the stream's context does, which is when this function returns.
	go s.readRenewals(stream, waiting)
	leader := s.newLeaderWatch(ctx)
	defer leader.stop()
	for {
		select {
		case r := <-waiting:
			if done, err := s.answerRenewal(ctx, stream, &r); done {
				return err
			}
		case <-leader.ticks:
			if leader.tick(s.loop) {
				return s.statuses[kv.ErrNoLeader]
			}
		case <-s.loop.draining:
			return s.statuses[kv.ErrStopped]
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// readRenewals hands every request of a stream to the node, in order.
func (s *service) readRenewals(stream grpc.ServerStream, waiting chan<- renewal) {
	ctx := stream.Context()
	for {
		r := renewal{call: s.loop.calls.take()}
		r.err = stream.RecvMsg(r.call)
		if r.err == nil {
			r.err = s.statuses[kv.Validate(kv.MethodLeaseKeepAlive, r.call.raw, &s.loop.limits)]
		}
		if r.err != nil {
			s.loop.calls.give(r.call)
			r.call = nil
		} else {
			request := &kv.Request{Method: kv.MethodLeaseKeepAlive, Raw: r.call.raw,
				Identity: s.identity(ctx)}
			if code := s.loop.inbox.request(request, r.call); code != kv.OK {
				r.call.answer = kv.Answer{Code: code}
				r.call.done <- struct{}{} // nobody else knows the call
			}
		}
		failed := r.err != nil
		select {
		case waiting <- r:
		case <-ctx.Done():
			return // what was handed in is left to the loop, which meets it with the answer
		}
		if failed {
			return
		}
	}
}

// answerRenewal waits for a request's outcome and sends it; done says that the stream has ended.
func (s *service) answerRenewal(ctx context.Context, stream grpc.ServerStream, r *renewal) (
	done bool, err error) {
	if errors.Is(r.err, io.EOF) {
		return true, nil
	}
	if r.err != nil {
		if ctx.Err() == nil {
			s.metrics.Requests.StreamFailed(metrics.Receiving, "lease-keepalive")
		}
		return true, r.err
	}
	c := r.call
	if !c.wait(ctx) {
		return true, status.FromContextError(ctx.Err()).Err()
	}
	if err = s.statuses[c.answer.Code]; err == nil {
		c.reply = c.answer.Body
		if err = stream.SendMsg(c); err != nil && ctx.Err() == nil {
			s.metrics.Requests.StreamFailed(metrics.Sending, "lease-keepalive")
		}
	}
	s.loop.calls.give(c)
	return err != nil, err
}
