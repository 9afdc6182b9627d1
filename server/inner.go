// The member as a client of itself: what is a recipe of other calls (locks, elections) and what
// comes in another dress (the JSON gateway) goes through the same gRPC server as everybody else's
// calls, over a connection in memory, so that no second way into the store exists.
//
// The caller's own words go along (token, wish for a leader, API version), and so does the name in
// its certificate, except through the gateway. What the inner calls are allowed to do is therefore
// what the caller is allowed to do.
package server

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/detcd/detcd/kv"
)

// innerBuffer is the room of a connection in memory, each way. Both are made when it is opened, and
// a waiting lock has one of its own.
const innerBuffer = 16 << 10

// inner is the way to ourselves.
type inner struct {
	listener *handedListener
	conn     *grpc.ClientConn // the gateway's, who has no name
	// over ends when the member stops: calls that wait for others must not hold it up.
	over context.Context
	stop context.CancelFunc
}

func newInner() (*inner, error) {
	i := &inner{listener: newHandedListener(innerAddr{})}
	var err error
	if i.conn, err = i.dial(""); err != nil {
		return nil, err
	}
	i.over, i.stop = context.WithCancel(context.Background())
	return i, nil
}

// dial returns a further connection in memory, made when it is first used, on behalf of somebody
// with a certificate of a name.
func (i *inner) dial(name string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///inner",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return i.connect(ctx, name)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32),
			grpc.MaxCallSendMsgSize(math.MaxInt32)))
}

// innerConn is the server's end of a connection in memory. The name that it was made for belongs to
// the connection, where no metadata can reach it.
type innerConn struct {
	net.Conn
	name string
}

// innerAddr is where connections in memory come from.
type innerAddr struct{}

// Network is none that exists.
func (innerAddr) Network() string { return "memory" }

// String is what logs show.
func (innerAddr) String() string { return "inner" }

// connect makes a connection in memory and hands its other end to the gRPC server.
func (i *inner) connect(ctx context.Context, name string) (net.Conn, error) {
	pair := bufconn.Listen(innerBuffer)
	defer func() { _ = pair.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if conn, err := pair.Accept(); err == nil {
			accepted <- conn
		}
	}()
	mine, err := pair.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	theirs := &innerConn{Conn: <-accepted, name: name}
	select {
	case i.listener.conns <- theirs:
		return mine, nil
	case <-i.listener.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, theirs.Close(), mine.Close())
}

// close ends all inner calls and the connection.
func (i *inner) close() error {
	i.stop()
	return errors.Join(i.listener.Close(), i.conn.Close())
}

// forwarded are the metadata that speak for the caller.
var forwarded = []string{"token", "authorization", "hasleader", "client-api-version"}

// forCaller returns a context for inner calls on behalf of an RPC. It ends with the RPC and when
// the member stops.
func (i *inner) forCaller(ctx context.Context) (context.Context, context.CancelFunc) {
	said, _ := metadata.FromIncomingContext(ctx)
	says := metadata.MD{}
	for _, key := range forwarded {
		if v := said.Get(key); len(v) > 0 {
			says.Set(key, v...)
		}
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, says))
	detach := context.AfterFunc(i.over, cancel)
	return ctx, func() {
		detach()
		cancel()
	}
}

// client returns an etcd client for the inner calls of one RPC, and what ends it with all that the
// recipes leave running. It repeats nothing: whether to repeat is up to the caller. A caller that
// leaves does not end it, because the recipes still take back then what they wrote. Its connection
// is its own: streams that wait would use up what one connection may have, and who could end their
// waiting would wait behind them.
func (i *inner) client(ctx context.Context) (*clientv3.Client, func(), error) {
	conn, err := i.dial(callerName(ctx))
	if err != nil {
		return nil, nil, err
	}
	c := clientv3.NewCtxClient(context.WithoutCancel(ctx), clientv3.WithZapLogger(zap.NewNop()))
	c.KV = clientv3.NewKVFromKVClient(pb.NewKVClient(conn), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(pb.NewLeaseClient(conn), c, time.Second)
	c.Watcher = clientv3.NewWatchFromWatchClient(pb.NewWatchClient(conn), c)
	return c, func() {
		_ = c.Close()
		_ = conn.Close()
	}, nil
}

// ended is the outcome of an RPC whose inner calls ended with err: that of the member, if it is the
// reason.
func (s *service) ended(err error) error {
	if err != nil && s.inner.over.Err() != nil {
		return s.statuses[kv.ErrStopped]
	}
	return err
}
