package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	lpb "github.com/detcd/detcd/server/v3lockpb"
)

// Locks, the gateway and streams do what their caller may do, and no more; probes need nobody.
func TestRightsHoldOnEveryWayIn(t *testing.T) {
	c := startCluster(t, 1, cheap)
	c.protect(c.client())
	cc, kvc := rawClient(t, c.servers[0])
	ctx := testContext(t)
	login, err := pb.NewAuthClient(cc).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: "a", Password: "apw"})
	require.NoError(t, err)
	for _, key := range []string{"token", "authorization"} {
		user := metadata.AppendToOutgoingContext(ctx, key, login.GetToken())
		held, err := lpb.NewLockClient(cc).Lock(user, &lpb.LockRequest{Name: []byte("a")})
		require.NoError(t, err)
		_, err = lpb.NewLockClient(cc).Unlock(user, &lpb.UnlockRequest{Key: held.GetKey()})
		require.NoError(t, err)
		_, err = lpb.NewLockClient(cc).Lock(user, &lpb.LockRequest{Name: []byte("x")})
		require.Equal(t, "etcdserver: permission denied", status.Convert(err).Message())
		got, _, err := stream(user, kvc, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")})
		require.NoError(t, err)
		require.Empty(t, got.GetKvs())
		_, _, err = stream(user, kvc, &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
	}
	_, err = lpb.NewLockClient(cc).Lock(ctx, &lpb.LockRequest{Name: []byte("a")})
	require.Equal(t, "etcdserver: user name is empty", status.Convert(err).Message())
	_, _, err = stream(ctx, kvc, &pb.RangeRequest{Key: []byte("a")})
	require.Equal(t, "etcdserver: user name is empty", status.Convert(err).Message())

	base := c.configs[0].ListenClientURLs[0].String()
	ask := func(token, key string) int {
		r, err := http.NewRequest(http.MethodPost, base+"/v3/kv/put",
			strings.NewReader(`{"key":"`+b64(key)+`"}`))
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 200, ask(login.GetToken(), "a1"))
	require.Equal(t, 200, ask("Bearer "+login.GetToken(), "a1"))
	require.Equal(t, 403, ask(login.GetToken(), "x"))
	require.Equal(t, 401, ask("nonsense", "a1"))
	require.Equal(t, 400, ask("", "a1"))
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		code, body := httpGet(t, base+path)
		require.Equal(t, 200, code, body)
	}
}
