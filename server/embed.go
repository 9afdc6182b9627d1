// A member inside another program: Start, Ready, Client, Stop. Nothing of it needs a socket of its
// own; a member that founds a cluster alone needs no port at all.
package server

import (
	"context"
	"math"
	"net"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Client returns etcd's client, talking to this member over a connection in memory. What matters of
// cfg is who asks and how: Username, Password, Context, Logger, timeouts. Its endpoints and its TLS
// are replaced, because there is nothing to dial. The first call waits until the member serves; see
// Ready. Whoever asked closes the client, before Stop or after it.
func (s *Server) Client(cfg clientv3.Config) (*clientv3.Client, error) {
	cfg.Endpoints, cfg.TLS = []string{"passthrough:///inner"}, nil
	cfg.DialOptions = append(cfg.DialOptions[:len(cfg.DialOptions):len(cfg.DialOptions)],
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return s.inner.connect(ctx, "")
		}))
	if cfg.MaxCallRecvMsgSize == 0 {
		cfg.MaxCallRecvMsgSize = math.MaxInt32
	}
	return clientv3.New(cfg)
}
