package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/test/compat/servers"
)

// A compaction at zero succeeds once, and etcd answers every HashKV from it then. So this is tried
// on a pair of its own.
func TestCompactionAtZero(t *testing.T) {
	dir := t.TempDir()
	programs, err := servers.Build(t.Context(), "../..", ".", dir)
	require.NoError(t, err)
	p, err := startPair(t.Context(), programs, dir, defaultLimits)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.stop()) })
	for _, revision := range []int64{0, 0, -1, 1, 0, 1} {
		var said [2]string
		for i, target := range p.targets {
			response := &pb.CompactionResponse{}
			err := target.ask(t.Context(), pb.KV_Compact_FullMethodName,
				&pb.CompactionRequest{Revision: revision}, response)
			said[i] = fmt.Sprint(response.Header.GetRevision(), errors.Unwrap(err))
		}
		require.Equal(t, said[0], said[1], revision)
	}
}

// Some requests no gRPC client sends: their headers are made by hand. Both servers must end them
// with the same status.
func TestRequestsThatNoClientSends(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	programs, err := servers.Build(ctx, "../..", ".", dir)
	require.NoError(t, err)
	p, err := startPair(ctx, programs, dir, defaultLimits)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.stop()) })
	client := &http.Client{Transport: &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(_ context.Context, network, address string,
			_ *tls.Config) (net.Conn, error) {
			return net.Dial(network, address)
		},
	}}
	message, err := proto.Marshal(&pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	for name, change := range map[string]func(http.Header){
		"ordinary":                       func(http.Header) {},
		"client version is no UTF-8":     func(h http.Header) { h.Set("client-api-version", "\xff\xfe") },
		"client version is odd":          func(h http.Header) { h.Set("client-api-version", "odd") },
		"hasleader is odd":               func(h http.Header) { h.Set("hasleader", "maybe") },
		"token while users do not count": func(h http.Header) { h.Set("token", "nonsense") },
		"unknown content type":           func(h http.Header) { h.Set("content-type", "text/plain") },
		"unknown codec": func(h http.Header) {
			h.Set("content-type", "application/grpc+nonsense")
		},
		"unknown compression": func(h http.Header) { h.Set("grpc-encoding", "nonsense") },
		"odd timeout":         func(h http.Header) { h.Set("grpc-timeout", "soon") },
		"no time at all":      func(h http.Header) { h.Set("grpc-timeout", "0n") },
	} {
		var ends [2][4]string
		for i, target := range p.targets {
			frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
			r, err := http.NewRequestWithContext(ctx, http.MethodPost,
				target.server.ClientURL+pb.KV_Range_FullMethodName, bytes.NewReader(frame))
			require.NoError(t, err)
			r.Header.Set("content-type", "application/grpc")
			r.Header.Set("te", "trailers")
			change(r.Header)
			response, err := client.Do(r)
			require.NoError(t, err, name)
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err, name)
			require.NoError(t, response.Body.Close())
			ends[i] = [4]string{response.Status, response.Header.Get("grpc-status") +
				response.Trailer.Get("grpc-status"), response.Header.Get("grpc-message") +
				response.Trailer.Get("grpc-message"), response.Header.Get("content-type")}
		}
		require.Equal(t, ends[0], ends[1], name)
	}
}
