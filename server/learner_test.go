package server

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	epb "github.com/detcd/detcd/server/v3electionpb"
	lpb "github.com/detcd/detcd/server/v3lockpb"
)

// A learner refuses every kind of call but the few that it may serve, and says over HTTP that it is
// healthy and not ready.
func TestWhatALearnerServes(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(0), testContext(t)
	cfg, url := c.newcomer()
	added, err := cli.MemberAddAsLearner(ctx, []string{url})
	require.NoError(t, err)
	learner := c.enter(cfg, added.Member.ID, added.Members)
	cc, kvc := rawClient(t, learner)
	health := grpc_health_v1.NewHealthClient(cc)
	for name, call := range map[string]func() error{
		"range": func() error {
			_, err := kvc.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			return err
		},
		"range stream": func() error {
			_, _, err := stream(ctx, kvc, &pb.RangeRequest{Key: []byte("k"), Serializable: true})
			return err
		},
		"health check": func() error {
			_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		},
		"health list": func() error {
			_, err := health.List(ctx, &grpc_health_v1.HealthListRequest{})
			return err
		},
		"health watch": func() error {
			w, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		},
		"lock": func() error {
			_, err := lpb.NewLockClient(cc).Lock(ctx, &lpb.LockRequest{Name: []byte("n")})
			return err
		},
		"observe": func() error {
			o, err := epb.NewElectionClient(cc).Observe(ctx, &epb.LeaderRequest{Name: []byte("n")})
			if err == nil {
				_, err = o.Recv()
			}
			return err
		},
	} {
		err := call()
		require.Equal(t, codes.FailedPrecondition, status.Code(err), "%s: %v", name, err)
		require.Equal(t, "etcdserver: rpc not supported for learner",
			status.Convert(err).Message(), name)
	}
	base := cfg.ListenClientURLs[0].String()
	for path, want := range map[string]int{
		"/health": 200, "/health?serializable=true": 200, "/livez": 200,
		"/readyz/linearizable_read": 200, "/readyz/non_learner": 503,
	} {
		code, body := httpGet(t, base+path)
		require.Equal(t, want, code, "%s: %s", path, body)
	}
	code, body := httpGet(t, base+"/readyz")
	require.Equal(t, 503, code)
	require.Contains(t, body, "[-]non_learner failed: not supported for learner\n")
	require.Contains(t, body, "[+]linearizable_read ok\n")
}
