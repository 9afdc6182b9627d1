package server

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
)

// stream reads a stream to its end and merges its chunks.
func stream(ctx context.Context, c pb.KVClient, r *pb.RangeRequest) (merged *pb.RangeResponse,
	chunks int, err error) {
	s, err := c.RangeStream(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	merged = &pb.RangeResponse{}
	for {
		chunk, err := s.Recv()
		if err == io.EOF {
			return merged, chunks, nil
		}
		if err != nil {
			return nil, chunks, err
		}
		if merged.Header != nil {
			return nil, chunks, fmt.Errorf("chunk %d follows the last one", chunks)
		}
		proto.Merge(merged, chunk.GetRangeResponse())
		chunks++
	}
}

func TestRangeStreamIsRangeInPieces(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	for i := range 600 {
		size := 10
		if i%3 == 0 {
			size = 4000
		}
		_, err := cli.Put(ctx, fmt.Sprintf("k%04d", i*37%600), strings.Repeat("v", size))
		require.NoError(t, err)
	}
	_, kvc := rawClient(t, c.servers[0])
	for name, r := range map[string]*pb.RangeRequest{
		"everything":   {Key: []byte{0}, RangeEnd: []byte{0}},
		"limited":      {Key: []byte("k"), RangeEnd: []byte("l"), Limit: 333},
		"old":          {Key: []byte("k"), RangeEnd: []byte("l"), Revision: 200},
		"keys":         {Key: []byte("k"), RangeEnd: []byte("l"), KeysOnly: true},
		"count":        {Key: []byte("k"), RangeEnd: []byte("l"), CountOnly: true},
		"single":       {Key: []byte("k0001")},
		"none":         {Key: []byte("x"), RangeEnd: []byte("z")},
		"no limit":     {Key: []byte("k"), RangeEnd: []byte("l"), Limit: -1},
		"serializable": {Key: []byte("k"), RangeEnd: []byte("l"), Serializable: true},
	} {
		want, err := kvc.Range(ctx, r)
		require.NoError(t, err)
		got, chunks, err := stream(ctx, kvc, r)
		require.NoError(t, err)
		require.True(t, proto.Equal(want, got), name)
		if name == "everything" {
			require.Greater(t, chunks, 2)
		}
		if name == "count" || name == "none" || name == "no limit" {
			require.Equal(t, 1, chunks, name)
		}
	}
	// The client library's own way to read a stream.
	chunks, err := cli.GetStream(ctx, "k", clientv3.WithPrefix())
	require.NoError(t, err)
	merged, err := clientv3.GetStreamToGetResponse(chunks)
	require.NoError(t, err)
	require.Len(t, merged.Kvs, 600)
	require.EqualValues(t, 600, merged.Count)
	for _, e := range []struct {
		request *pb.RangeRequest
		code    codes.Code
		text    string
	}{
		{&pb.RangeRequest{}, codes.InvalidArgument, "etcdserver: key is not provided"},
		{&pb.RangeRequest{Key: []byte("k"), SortOrder: 7}, codes.InvalidArgument,
			"etcdserver: invalid sort option"},
		{&pb.RangeRequest{Key: []byte("k"), SortOrder: 2}, codes.Unimplemented,
			"RangeStream does not support custom sort orders"},
		{&pb.RangeRequest{Key: []byte("k"), MinModRevision: 2}, codes.Unimplemented,
			"RangeStream does not support revision filters"},
		{&pb.RangeRequest{Key: []byte("k"), Revision: 9999}, codes.OutOfRange,
			"etcdserver: mvcc: required revision is a future revision"},
	} {
		_, _, err := stream(ctx, kvc, e.request)
		require.Equal(t, e.code, status.Code(err), "%v", err)
		require.Equal(t, e.text, status.Convert(err).Message())
	}
}

// A client that does not read costs a few chunks, and everybody else is served.
func TestAStreamThatNobodyReads(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	for i := range 24 {
		_, err := cli.Put(ctx, fmt.Sprintf("k%02d", i), strings.Repeat("v", 1<<20))
		require.NoError(t, err)
	}
	_, kvc := rawClient(t, c.servers[0])
	lazy, err := kvc.RangeStream(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	require.NoError(t, err)
	_, err = lazy.Recv()
	require.NoError(t, err)
	_, err = cli.Delete(ctx, "k", clientv3.WithPrefix())
	require.NoError(t, err)
	got := 1
	for {
		chunk, err := lazy.Recv()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		got += len(chunk.GetRangeResponse().GetKvs())
	}
	require.Equal(t, 24, got, "the stream shows what was there when it began")
}

func TestALentViewIsGivenBackOnce(t *testing.T) {
	ends := func(b *inbox) (ids []kv.ViewID) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i := range b.waiting.inputs {
			ids = append(ids, b.waiting.inputs[i].View)
		}
		return ids
	}
	b := newInbox()
	l := newLentView(b, 1, time.Hour)
	l.rest()
	require.True(t, l.back())
	require.Empty(t, ends(b))
	l.patience = time.Millisecond
	l.rest()
	require.Eventually(t, func() bool { return len(ends(b)) == 1 }, patience, time.Millisecond)
	require.False(t, l.back())
	l.renew(2)
	l.rest()
	l.expire()
	l.expire()
	require.False(t, l.back())
	l.renew(3)
	l.expire() // late: the view is being read
	l.end()
	l.end()
	l.rest()
	require.Equal(t, []kv.ViewID{1, 2, 3}, ends(b))
}
