package server

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A client that pings without need is told to go.
func TestTooManyPingsEndTheConnection(t *testing.T) {
	c := startCluster(t, 1, nil)
	conn, err := net.Dial("tcp", c.servers[0].ClientAddrs()[0])
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	f := http2.NewFramer(conn, conn)
	require.NoError(t, f.WriteSettings())
	for i := range 8 {
		require.NoError(t, f.WritePing(false, [8]byte{byte(i)}))
	}
	for {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			require.Equal(t, http2.ErrCodeEnhanceYourCalm, away.ErrCode)
			require.Equal(t, "too_many_pings", string(away.DebugData()))
			return
		}
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) { cfg.MaxConcurrentStreams = 3 })
	conn, err := net.Dial("tcp", c.servers[0].ClientAddrs()[0])
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	f := http2.NewFramer(conn, conn)
	require.NoError(t, f.WriteSettings())
	for {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			most, named := s.Value(http2.SettingMaxConcurrentStreams)
			require.True(t, named)
			require.EqualValues(t, 3, most)
			return
		}
	}
}

// What is wrong in the metadata is refused whichever kind of handler a method has.
func TestMetadataIsCheckedOnEveryKindOfCall(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, kvc := rawClient(t, c.servers[0])
	kinds := map[string]func(ctx context.Context) error{
		"passed on": func(ctx context.Context) error {
			_, err := kvc.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			return err
		},
		"stream": func(ctx context.Context) error {
			_, _, err := stream(ctx, kvc, &pb.RangeRequest{Key: []byte("k")})
			return err
		},
		"health": func(ctx context.Context) error {
			_, err := grpc_health_v1.NewHealthClient(cc).Check(ctx,
				&grpc_health_v1.HealthCheckRequest{})
			return err
		},
		"health stream": func(ctx context.Context) error {
			w, err := grpc_health_v1.NewHealthClient(cc).Watch(ctx,
				&grpc_health_v1.HealthCheckRequest{})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		},
	}
	for name, call := range kinds {
		ctx, cancel := context.WithCancel(testContext(t))
		require.NoError(t, call(metadata.AppendToOutgoingContext(ctx,
			"client-api-version", "3.7", "hasleader", "true")), name)
		cancel()
		err := call(metadata.AppendToOutgoingContext(testContext(t),
			"client-api-version", "\xff\xfe"))
		if status.Code(err) == codes.Internal {
			continue // the client's own library refuses to send it
		}
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%s: %v", name, err)
		require.Equal(t, "etcdserver: invalid client api version", status.Convert(err).Message())
	}
}

func TestHealthListsAndEndsWithTheMember(t *testing.T) {
	c := startCluster(t, 1, nil)
	cc, _ := rawClient(t, c.servers[0])
	health, ctx := grpc_health_v1.NewHealthClient(cc), testContext(t)
	list, err := health.List(ctx, &grpc_health_v1.HealthListRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetStatuses(), 1)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, list.GetStatuses()[""].GetStatus())
	w, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	now, err := w.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, now.GetStatus())
	begin := time.Now()
	c.servers[0].Stop()
	require.Less(t, time.Since(begin), 5*time.Second, "nobody waits for a watch of health")
	_, err = w.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
}
