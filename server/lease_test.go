package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// gone waits until a lease does not exist any more.
func gone(t *testing.T, cli *clientv3.Client, id clientv3.LeaseID) {
	ctx := testContext(t)
	require.Eventually(t, func() bool {
		res, err := cli.TimeToLive(ctx, id)
		require.NoError(t, err)
		return res.TTL == -1
	}, patience, 20*time.Millisecond)
}

func TestLeasesThroughTheClient(t *testing.T) {
	c := startCluster(t, 3, nil)
	ctx := testContext(t)
	follower := (c.leader() + 1) % 3
	cli := c.client(follower)

	granted, err := cli.Grant(ctx, 60)
	require.NoError(t, err)
	require.Positive(t, granted.ID)
	require.EqualValues(t, 60, granted.TTL)
	brief, err := cli.Grant(ctx, 1)
	require.NoError(t, err)
	for _, key := range []string{"b", "a"} {
		_, err = cli.Put(ctx, key, "1", clientv3.WithLease(granted.ID))
		require.NoError(t, err)
	}
	put, err := cli.Put(ctx, "brief", "1", clientv3.WithLease(brief.ID))
	require.NoError(t, err)

	left, err := cli.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, left.Keys)
	require.EqualValues(t, 60, left.GrantedTTL)
	require.Equal(t, put.Header.MemberId, left.MemberId, "the follower's own header")
	once, err := cli.KeepAliveOnce(ctx, granted.ID)
	require.NoError(t, err)
	require.EqualValues(t, 60, once.TTL)
	require.Equal(t, put.Header.MemberId, once.ResponseHeader.MemberId)
	all, err := cli.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, all.Leases, 2)

	gone(t, cli, brief.ID)
	get, err := cli.Get(ctx, "brief")
	require.NoError(t, err)
	require.Empty(t, get.Kvs)
	require.Equal(t, put.Header.Revision+1, get.Header.Revision)
	_, err = cli.KeepAliveOnce(ctx, brief.ID)
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
	_, err = cli.Put(ctx, "brief", "1", clientv3.WithLease(brief.ID))
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)

	_, err = cli.Revoke(ctx, granted.ID)
	require.NoError(t, err)
	get, err = cli.Get(ctx, "a", clientv3.WithRange("c"))
	require.NoError(t, err)
	require.Empty(t, get.Kvs)
	_, err = cli.Revoke(ctx, granted.ID)
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
}

// A session lives on a lease that the client renews; here through a follower.
func TestASessionLivesThroughAFollower(t *testing.T) {
	c := startCluster(t, 3, nil)
	ctx := testContext(t)
	cli := c.client((c.leader() + 1) % 3)
	session, err := concurrency.NewSession(cli, concurrency.WithTTL(1))
	require.NoError(t, err)
	_, err = cli.Put(ctx, "member", "alive", clientv3.WithLease(session.Lease()))
	require.NoError(t, err)
	select {
	case <-session.Done():
		t.Fatal("the session ended though its client lives")
	case <-time.After(3 * time.Second):
	}
	get, err := cli.Get(ctx, "member")
	require.NoError(t, err)
	require.Len(t, get.Kvs, 1)
	session.Orphan()
	gone(t, cli, session.Lease())
}

// Many requests of one stream are under way at once, are answered in order, and the end of the
// client's side ends the stream when all are answered.
func TestARenewalStreamAnswersInOrder(t *testing.T) {
	c := startCluster(t, 3, nil)
	ctx := testContext(t)
	cli := c.client((c.leader() + 2) % 3)
	const count = 3 * renewalsInFlight
	for i := range count {
		if i%2 == 0 {
			_, err := pb.NewLeaseClient(cli.ActiveConnection()).LeaseGrant(ctx,
				&pb.LeaseGrantRequest{ID: int64(i + 1), TTL: 100})
			require.NoError(t, err)
		}
	}
	stream, err := pb.NewLeaseClient(cli.ActiveConnection()).LeaseKeepAlive(ctx)
	require.NoError(t, err)
	for i := range count {
		require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(i + 1)}))
	}
	require.NoError(t, stream.CloseSend())
	for i := range count {
		res, err := stream.Recv()
		require.NoError(t, err)
		require.EqualValues(t, i+1, res.ID)
		require.EqualValues(t, 100-i%2*100, res.TTL)
	}
	_, err = stream.Recv()
	require.ErrorContains(t, err, "EOF")
}

// A client that asked for a leader hears when there is none; one that did not, hears it when its
// request has waited for long enough.
func TestARenewalStreamEndsWithoutALeader(t *testing.T) {
	c := startCluster(t, 3, nil)
	ctx := testContext(t)
	alive := c.leader()
	cli := c.client(alive)
	renew := pb.NewLeaseClient(cli.ActiveConnection())
	wants := metadata.AppendToOutgoingContext(ctx, "hasleader", "true")
	stream, err := renew.LeaseKeepAlive(wants)
	require.NoError(t, err)
	granted, err := cli.Grant(ctx, 60)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(granted.ID)}))
	_, err = stream.Recv()
	require.NoError(t, err)
	for i, s := range c.servers {
		if i != alive {
			s.Stop()
		}
	}
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, rpctypes.ErrGRPCNoLeader.Error(), err.Error())
	stream, err = renew.LeaseKeepAlive(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(granted.ID)}))
	_, err = stream.Recv()
	require.Equal(t, rpctypes.ErrGRPCNoLeader.Error(), err.Error())
}

func TestALeaseRequestThatIsNoMessage(t *testing.T) {
	c := startCluster(t, 1, nil)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	conn := c.client().ActiveConnection()
	for _, name := range []string{"LeaseGrant", "LeaseRevoke", "LeaseTimeToLive"} {
		in := &raw{0xff}
		err := conn.Invoke(ctx, "/etcdserverpb.Lease/"+name, in, &raw{},
			grpc.ForceCodec(rawCodec{}))
		require.Equal(t, codes.Internal, status.Code(err), name)
	}
}

// raw is a message that is bytes.
type raw []byte

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*raw), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	if _, ok := v.(*raw); !ok {
		return fmt.Errorf("not raw: %T", v)
	}
	*v.(*raw) = data
	return nil
}

func (rawCodec) Name() string { return "proto" }
