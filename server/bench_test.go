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
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
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
