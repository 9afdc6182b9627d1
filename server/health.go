// The gRPC health service: it says that the process serves, not that the cluster has a quorum.
// Only the empty service name is known, as in etcd.
package server

import (
	"context"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// healthServer is gRPC's own service behind the checks that all calls pass.
type healthServer struct {
	*health.Server
	s *service
}

func newHealth(log *zap.Logger, s *service) *healthServer {
	h := &healthServer{Server: health.NewServer(), s: s}
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	log.Info("grpc service status changed", zap.String("service", ""),
		zap.String("status", grpc_health_v1.HealthCheckResponse_SERVING.String()))
	return h
}

// Watch says what Check would say, and again whenever that changes. It ends when the member stops,
// which does not wait for it.
func (h *healthServer) Watch(r *grpc_health_v1.HealthCheckRequest,
	stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if err := h.s.checkCaller(stream.Context(), manyMessages); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.s.inner.over, cancel)()
	return h.s.ended(h.Server.Watch(r, &boundedWatch{stream, ctx}))
}

// boundedWatch is a stream whose context ends earlier than the transport's.
type boundedWatch struct {
	grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]
	ctx context.Context
}

// Context is the stream's context.
func (w *boundedWatch) Context() context.Context { return w.ctx }
