// The gRPC server: its options and its services.
//
// The handlers are registered by hand on etcd's method names instead of through generated code,
// because the generated ones decode every request into a struct and encode every answer from one.
// A method that is not registered answers Unimplemented with gRPC's stock text, as etcd does for
// methods it does not have.
package server

import (
	"math"
	"runtime"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/server/metrics"
	"github.com/detcd/detcd/server/v3electionpb"
	"github.com/detcd/detcd/server/v3lockpb"
)

const (
	// streamWindow and connectionWindow are large enough for a whole request of the default size,
	// so that no request waits for a window update; naming them turns the bandwidth probing off.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
	// A read buffer lasts as long as its connection, and there may be thousands; a write buffer is
	// shared and lasts as long as a write.
	readBuffer  = 16 << 10
	writeBuffer = 32 << 10

	workersPerCPU = 512
	maxWorkers    = 4096
)

func grpcOptions(c *Config, messages codec, t *tracing) []grpc.ServerOption {
	maxStreams := min(c.MaxConcurrentStreams, math.MaxUint32)
	opts := []grpc.ServerOption{
		grpc.Creds(portCredentials{}),
		grpc.ForceServerCodecV2(messages),
		grpc.MaxRecvMsgSize(int(c.MaxRequestBytes) + grpcOverheadBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(maxStreams),
		// Most handlers sleep until their write is committed, so workers are many; what finds no
		// free worker gets a goroutine of its own, whose stack must grow first.
		grpc.NumStreamWorkers(uint32(min(workersPerCPU*runtime.GOMAXPROCS(0), maxWorkers))),
		grpc.SharedWriteBuffer(true),
		grpc.WriteBufferSize(writeBuffer),
		grpc.ReadBufferSize(readBuffer),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
	}
	if c.KeepAliveMinTime > 0 {
		opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: c.KeepAliveMinTime,
		}))
	}
	if c.KeepAliveInterval > 0 && c.KeepAliveTimeout > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:    c.KeepAliveInterval,
			Timeout: c.KeepAliveTimeout,
		}))
	}
	return append(opts, t.options()...)
}

// newGRPC returns the server with every service that exists.
func newGRPC(c *Config, l *loop, i *inner, tokens *tokenMaker, t *tracing) *grpc.Server {
	svc := &service{
		loop:     l,
		inner:    i,
		statuses: newStatuses(),
		edge:     newEdgeErrors(),
		tokens:   tokens,
		metrics:  l.metrics,
		slow:     newSlowness(c, l.log),

		certified: c.ClientTLS.ClientCertAuth,
	}
	l.slow = svc.slow.least()
	s := grpc.NewServer(append(grpcOptions(c, codec{l.answers, &l.metrics.Bytes}, t),
		grpc.UnaryInterceptor(svc.checkUnary))...)
	r := registrar{s, &l.metrics.RPCs}
	for _, desc := range svc.descriptions() {
		r.RegisterService(&desc, svc)
	}
	grpc_health_v1.RegisterHealthServer(r, newHealth(l.log, svc))
	v3lockpb.RegisterLockServer(r, &lockServer{s: svc})
	v3electionpb.RegisterElectionServer(r, &electionServer{s: svc})
	return s
}

// service answers etcd's methods. It is shared by all RPCs and never changes.
type service struct {
	loop     *loop
	inner    *inner
	statuses *statuses
	edge     edgeErrors
	tokens   *tokenMaker
	metrics  *metrics.Set
	slow     slowness
	// certified says that a verified certificate's common name is a user.
	certified bool
}

func (s *service) descriptions() []grpc.ServiceDesc {
	return []grpc.ServiceDesc{
		{
			ServiceName: "etcdserverpb.KV",
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{
				s.passing("Range", kv.MethodRange),
				{StreamName: "RangeStream", Handler: s.rangeStream, ServerStreams: true},
				s.passing("Put", kv.MethodPut),
				s.passing("DeleteRange", kv.MethodDeleteRange),
				s.passing("Txn", kv.MethodTxn),
				s.passing("Compact", kv.MethodCompact),
			},
			Metadata: "rpc.proto",
		},
		s.leaseService(),
		{
			ServiceName: "etcdserverpb.Watch",
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Watch", Handler: s.watch,
				ServerStreams: true, ClientStreams: true}},
			Metadata: "rpc.proto",
		},
		{
			ServiceName: "etcdserverpb.Cluster",
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{
				s.passing("MemberAdd", kv.MethodMemberAdd),
				s.passing("MemberRemove", kv.MethodMemberRemove),
				s.passing("MemberUpdate", kv.MethodMemberUpdate),
				s.passing("MemberList", kv.MethodMemberList),
				s.passing("MemberPromote", kv.MethodMemberPromote),
			},
			Metadata: "rpc.proto",
		},
		s.authDescription(),
		{
			ServiceName: "etcdserverpb.Maintenance",
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{
				s.passing("Status", kv.MethodStatus),
				s.passing("Hash", kv.MethodHash),
				s.passing("HashKV", kv.MethodHashKV),
				s.passing("MoveLeader", kv.MethodMoveLeader),
				s.passing("Defragment", kv.MethodDefragment),
				s.passing("Alarm", kv.MethodAlarm),
				s.passing("Downgrade", kv.MethodDowngrade),
				{StreamName: "Snapshot", Handler: s.snapshot, ServerStreams: true},
			},
			Metadata: "rpc.proto",
		},
	}
}
