package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
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
	p, err := startPair(t.Context(), programs, dir, 0)
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
	p, err := startPair(ctx, programs, dir, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.stop()) })
	message, err := proto.Marshal(&pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	for name, headers := range map[string]map[string]string{
		"ordinary":                       {},
		"client version is no UTF-8":     {"client-api-version": "\xff\xfe"},
		"client version is odd":          {"client-api-version": "odd"},
		"hasleader is odd":               {"hasleader": "maybe"},
		"token while users do not count": {"token": "nonsense"},
		"unknown content type":           {"content-type": "text/plain"},
		"unknown codec":                  {"content-type": "application/grpc+nonsense"},
		"unknown compression":            {"grpc-encoding": "nonsense"},
		"odd timeout":                    {"grpc-timeout": "soon"},
		"no time at all":                 {"grpc-timeout": "0n"},
	} {
		var ends [2]ending
		for i, target := range p.targets {
			ends[i], err = target.sendByHand(ctx, pb.KV_Range_FullMethodName, message, headers)
			require.NoError(t, err, name)
		}
		require.Equal(t, ends[0], ends[1], name)
	}
}
