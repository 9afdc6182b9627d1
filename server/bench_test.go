package server

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/server/metrics"
)

// What a put and a get cost a process that holds one member and its clients: processor time, which
// waiting for the disk does not count.
func BenchmarkPut(b *testing.B) {
	benchmarkCalls(b, func(ctx context.Context, kv pb.KVClient, n int64) error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "key%06d", n%10_000),
			Value: make([]byte, 256)})
		return err
	})
}

func BenchmarkGet(b *testing.B) {
	benchmarkCalls(b, func(ctx context.Context, kv pb.KVClient, n int64) error {
		_, err := kv.Range(ctx, &pb.RangeRequest{Key: fmt.Appendf(nil, "key%06d", n%10_000),
			Serializable: true})
		return err
	})
}

func benchmarkCalls(b *testing.B, call func(context.Context, pb.KVClient, int64) error) {
	client := benchmarkMember(b)
	var count atomic.Int64
	b.SetParallelism(128)
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := call(context.Background(), client, count.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func benchmarkMember(b *testing.B) pb.KVClient {
	cfg := testConfig(b.TempDir())
	client, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	cfg.ListenClientURLs = mustURLs("http://" + client.Addr().String())
	cfg.ListenPeerURLs = mustURLs("http://" + peer.Addr().String())
	cfg.AdvertiseClientURLs, cfg.AdvertisePeerURLs = cfg.ListenClientURLs, cfg.ListenPeerURLs
	cfg.ClientListeners, cfg.PeerListeners = []net.Listener{client}, []net.Listener{peer}
	cfg.InitialCluster = cfg.initialClusterFromName()
	s, err := Start(cfg)
	require.NoError(b, err)
	b.Cleanup(s.Stop)
	<-s.Ready()
	conn, err := grpc.NewClient(client.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return pb.NewKVClient(conn)
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What counting and timing add to an RPC, alone.
func BenchmarkMeasuredRPC(b *testing.B) {
	for _, mode := range []metrics.Mode{metrics.Basic, metrics.Extensive} {
		b.Run(string(mode), func(b *testing.B) { benchmarkMeasuring(b, mode) })
	}
}

func benchmarkMeasuring(b *testing.B, mode metrics.Mode) {
	set := metrics.New(&metrics.Options{Mode: mode})
	s := &service{metrics: set, slow: slowness{log: zap.NewNop(), apply: time.Hour, whole: time.Hour},
		loop: newLoop(zap.NewNop(), &kv.Config{}, time.Second, set)}
	c := s.loop.calls.take()
	handler := countMessage(func(_ any, stream grpc.ServerStream) error {
		came := s.loop.now()
		set.Clients.Unary("3.7")
		set.Bytes.Received.Add(100)
		answered := s.loop.now()
		set.Bytes.Sent.Add(100)
		s.measure(stream, kv.MethodRange, c, came, answered, nil)
		return nil
	}, set.RPCs.Method(metrics.Unary, "etcdserverpb.KV", "Range"))
	b.ReportAllocs()
	for b.Loop() {
		if err := handler(nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// What measuring adds to a turn of the loop.
func BenchmarkMeasuredTurn(b *testing.B) {
	set := metrics.New(&metrics.Options{})
	var m marks
	start := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		began := time.Since(start)
		took := time.Since(start) - began
		set.Loop.Turns.Observe(took.Seconds())
		set.Loop.Inputs.Observe(3)
		m.add(began, kv.Progress{})
	}
}
