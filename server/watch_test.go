package server

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// nextEvents takes n events from a watch.
func nextEvents(t *testing.T, w clientv3.WatchChan, n int) (events []*clientv3.Event) {
	late := time.After(patience)
	for len(events) < n {
		select {
		case r, ok := <-w:
			require.True(t, ok, "the watch ended")
			require.NoError(t, r.Err())
			events = append(events, r.Events...)
		case <-late:
			require.FailNow(t, "events are missing", "%d of %d", len(events), n)
		}
	}
	return events
}

func TestAClientWatches(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	_, err := cli.Put(ctx, "a/1", "old")
	require.NoError(t, err)
	now := cli.Watch(ctx, "a/", clientv3.WithPrefix(), clientv3.WithPrevKV(),
		clientv3.WithCreatedNotify())
	created := <-now
	require.True(t, created.Created)
	require.EqualValues(t, 2, created.Header.Revision)
	past := cli.Watch(ctx, "a/1", clientv3.WithRev(1))
	deletes := cli.Watch(ctx, "a/", clientv3.WithPrefix(), clientv3.WithFilterPut(),
		clientv3.WithRev(1))
	_, err = cli.Put(ctx, "a/1", "new")
	require.NoError(t, err)
	_, err = cli.Delete(ctx, "a/1")
	require.NoError(t, err)
	events := nextEvents(t, now, 2)
	require.Equal(t, "old", string(events[0].PrevKv.Value))
	require.True(t, events[0].IsModify())
	require.Equal(t, mvccpb.Event_DELETE, events[1].Type)
	require.Equal(t, "new", string(events[1].PrevKv.Value))
	require.EqualValues(t, 4, events[1].Kv.ModRevision)
	events = nextEvents(t, past, 3)
	require.True(t, events[0].IsCreate())
	require.Nil(t, events[1].PrevKv)
	require.Equal(t, mvccpb.Event_DELETE, nextEvents(t, deletes, 1)[0].Type)
	require.NoError(t, cli.RequestProgress(ctx))
	r := <-now
	require.True(t, r.IsProgressNotify())
	require.EqualValues(t, 4, r.Header.Revision)
	_, err = cli.Compact(ctx, 4)
	require.NoError(t, err)
	for r := range cli.Watch(ctx, "a/1", clientv3.WithRev(2)) {
		require.Equal(t, rpctypes.ErrCompacted, r.Err())
		require.EqualValues(t, 4, r.CompactRevision)
	}
	empty := <-cli.Watch(ctx, "b", clientv3.WithRange("a"))
	require.ErrorContains(t, empty.Err(), "watcher range is empty")
}

// rawWatch opens a stream of the protocol itself.
func rawWatch(t *testing.T, ctx context.Context, s *Server) pb.Watch_WatchClient {
	cc, _ := rawClient(t, s)
	stream, err := pb.NewWatchClient(cc).Watch(ctx)
	require.NoError(t, err)
	return stream
}

func createRequest(c *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}
}

func TestALargeRevisionComesInFragmentsToWhoAllowsIt(t *testing.T) {
	c := startCluster(t, 1, func(c *Config) { c.MaxRequestBytes = 64 << 10 })
	cli, ctx := c.client(), testContext(t)
	value := strings.Repeat("x", 20<<10)
	for i := range 40 {
		_, err := cli.Put(ctx, fmt.Sprintf("k%02d", i), value)
		require.NoError(t, err)
	}
	stream := rawWatch(t, ctx, c.servers[0])
	for _, fragment := range []bool{false, true} {
		require.NoError(t, stream.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("k"),
			RangeEnd: []byte("l"), PrevKv: true, Fragment: fragment})))
		r, err := stream.Recv()
		require.NoError(t, err)
		require.True(t, r.Created)
	}
	_, err := cli.Delete(ctx, "k", clientv3.WithPrefix())
	require.NoError(t, err)
	parts := map[int64][]*pb.WatchResponse{}
	for len(parts[0]) == 0 || len(parts[1]) == 0 || parts[1][len(parts[1])-1].Fragment {
		r, err := stream.Recv()
		require.NoError(t, err)
		parts[r.WatchId] = append(parts[r.WatchId], r)
	}
	require.Len(t, parts[0], 1)
	require.Len(t, parts[0][0].Events, 40)
	require.Len(t, parts[1], 2, "40 times 20 KiB below 576 KiB")
	require.Len(t, append(parts[1][0].Events, parts[1][1].Events...), 40)
}

func TestProgressIsNotifiedByItself(t *testing.T) {
	c := startCluster(t, 1, func(c *Config) {
		c.WatchProgressNotifyInterval = time.Millisecond // a tenth of a second, etcd's least
	})
	w := c.client().Watch(testContext(t), "a", clientv3.WithProgressNotify())
	r := <-w
	require.True(t, r.IsProgressNotify())
	require.EqualValues(t, 1, r.Header.Revision)
}

func TestAWatchStreamOutlivesItsRequestsAndEndsWithTheServer(t *testing.T) {
	c := startCluster(t, 1, nil)
	ctx := testContext(t)
	stream := rawWatch(t, ctx, c.servers[0])
	require.NoError(t, stream.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("a")})))
	require.NoError(t, stream.CloseSend())
	_, err := stream.Recv()
	require.NoError(t, err)
	_, err = c.client().Put(ctx, "a", "v")
	require.NoError(t, err)
	r, err := stream.Recv()
	require.NoError(t, err)
	require.Len(t, r.Events, 1)
	c.servers[0].Stop()
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
}

func TestAStreamThatWantsALeaderEndsWithoutOne(t *testing.T) {
	c := startCluster(t, 2, nil)
	ctx := testContext(t)
	stays := rawWatch(t, ctx, c.servers[0])
	require.NoError(t, stays.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("a")})))
	_, err := stays.Recv()
	require.NoError(t, err)
	wants := rawWatch(t, metadata.AppendToOutgoingContext(ctx, "hasleader", "true"),
		c.servers[0])
	require.NoError(t, wants.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("a")})))
	_, err = wants.Recv()
	require.NoError(t, err)
	c.servers[1].Stop()
	_, err = wants.Recv()
	require.EqualError(t, err, "rpc error: code = Unavailable desc = etcdserver: no leader")
	require.NoError(t, stays.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("b")})))
	r, err := stays.Recv()
	require.NoError(t, err)
	require.True(t, r.Created)
	_, err = rawWatch(t, metadata.AppendToOutgoingContext(ctx, "hasleader", "true"),
		c.servers[0]).Recv()
	require.EqualError(t, err, "rpc error: code = Unavailable desc = etcdserver: no leader")
}

// Somebody who reads nothing holds no more than the limit, and nobody up; when it reads at last, it
// gets everything.
func TestASlowReaderMissesNothingAndHarmsNobody(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	cc, _ := rawClient(t, c.servers[0])
	var streams []pb.Watch_WatchClient
	for range 2 {
		stream, err := pb.NewWatchClient(cc).Watch(ctx)
		require.NoError(t, err)
		require.NoError(t, stream.Send(createRequest(&pb.WatchCreateRequest{Key: []byte("a")})))
		_, err = stream.Recv()
		require.NoError(t, err)
		streams = append(streams, stream)
	}
	slow, neighbour := streams[0], streams[1]
	fast := cli.Watch(ctx, "a", clientv3.WithCreatedNotify())
	require.True(t, (<-fast).Created)
	const puts = 300
	value := strings.Repeat("x", 32<<10)
	for i := range puts {
		_, err := cli.Put(ctx, "a", fmt.Sprint(i, value))
		require.NoError(t, err)
		nextEvents(t, fast, 1)
		r, err := neighbour.Recv()
		require.NoError(t, err)
		require.Len(t, r.Events, 1, "a stream of the same connection")
	}
	for next := int64(2); next < puts+2; {
		r, err := slow.Recv()
		require.NoError(t, err)
		for _, e := range r.Events {
			require.Equal(t, next, e.Kv.ModRevision)
			next++
		}
	}
}

func TestAHundredThousandWatchesOnOneMember(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const streams, perStream = 10, 10_000
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	var all []pb.Watch_WatchClient
	for s := range streams {
		stream := rawWatch(t, ctx, c.servers[0])
		all = append(all, stream)
		sent := make(chan error, 1)
		go func() {
			for i := range perStream {
				create := &pb.WatchCreateRequest{Key: fmt.Appendf(nil, "k%d/%d", s, i%5000)}
				if err := stream.Send(createRequest(create)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for range perStream {
			r, err := stream.Recv()
			require.NoError(t, err)
			require.True(t, r.Created && !r.Canceled)
		}
		require.NoError(t, <-sent)
	}
	for s, stream := range all {
		_, err := cli.Put(ctx, fmt.Sprintf("k%d/%d", s, 4321), "v")
		require.NoError(t, err)
		for range 2 {
			r, err := stream.Recv()
			require.NoError(t, err)
			require.Len(t, r.Events, 1)
		}
		require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.
			WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}))
		r, err := stream.Recv()
		require.NoError(t, err)
		require.EqualValues(t, -1, r.WatchId)
		require.EqualValues(t, s+2, r.Header.Revision)
	}
}

var (
	watchersFlag = flag.Int("watchers", 500, "watchers of TestWatchersFollowThroughLeadersThatLeave")
	leadersFlag  = flag.Int("leaders", 2, "leaders that leave in it")
)

// Many watchers of one prefix on three members, one writer, and leaders that leave: every watcher
// gets every event once and in order.
func TestWatchersFollowThroughLeadersThatLeave(t *testing.T) {
	watchers, leaders := *watchersFlag, *leadersFlag
	if testing.Short() {
		watchers, leaders = 50, 1
	}
	c := startCluster(t, 3, nil)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var all []clientv3.WatchChan
	cli := c.client()
	for i := range watchers {
		// A context of its own gives each tenth watcher a stream of its own.
		streamed := metadata.AppendToOutgoingContext(ctx, "stream", fmt.Sprint(i/10))
		all = append(all, cli.Watch(streamed, "p/", clientv3.WithPrefix(), clientv3.WithRev(1)))
	}
	written := 0
	write := func(n int) {
		for range n {
			require.Eventually(t, func() bool {
				_, err := cli.Put(ctx, fmt.Sprintf("p/%d", written), "v")
				return err == nil
			}, patience, time.Millisecond)
			written++
		}
	}
	for range leaders {
		write(20)
		leader := c.leader()
		c.servers[leader].Stop()
		write(20)
		c.start(leader)
		c.await(c.servers[leader])
	}
	res, err := cli.Get(ctx, "p/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.EqualValues(t, written, res.Count)
	for _, w := range all {
		last := int64(0)
		seen := map[string]bool{}
		for len(seen) < written {
			for _, e := range nextEvents(t, w, 1) {
				require.Greater(t, e.Kv.ModRevision, last)
				last = e.Kv.ModRevision
				seen[string(e.Kv.Key)] = true
			}
		}
	}
}
