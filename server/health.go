// The gRPC health service: it says that the process serves, not that the cluster has a quorum.
// Only the empty service name is known, as in etcd.
package server

import (
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func newHealth() grpc_health_v1.HealthServer {
	h := health.NewServer()
	h.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	return h
}
