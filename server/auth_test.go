package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// cheap makes hashing as cheap as it can be.
func cheap(c *Config) { c.BcryptCost = 4 }

// as is a client that logs in.
func (c *cluster) as(user, password string) *clientv3.Client {
	cli, err := c.dialAs(user, password)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = cli.Close() })
	return cli
}

func (c *cluster) dialAs(user, password string) (*clientv3.Client, error) {
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, s.ClientAddrs()...)
	}
	return clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
		DialTimeout: patience, Username: user, Password: password})
}

// protect makes root and a user a, who may read and write [a, b), and enables auth as etcdctl does.
func (c *cluster) protect(cli *clientv3.Client) {
	ctx := testContext(c.t)
	_, err := cli.AuthEnable(ctx)
	require.Equal(c.t, rpctypes.ErrRootUserNotExist, err)
	_, err = cli.UserAdd(ctx, "root", "rootpw")
	require.NoError(c.t, err)
	_, err = cli.AuthEnable(ctx)
	require.Equal(c.t, rpctypes.ErrRootRoleNotExist, err)
	_, err = cli.RoleAdd(ctx, "root")
	require.NoError(c.t, err)
	_, err = cli.UserGrantRole(ctx, "root", "root")
	require.NoError(c.t, err)
	_, err = cli.UserAdd(ctx, "a", "apw")
	require.NoError(c.t, err)
	_, err = cli.RoleAdd(ctx, "ra")
	require.NoError(c.t, err)
	_, err = cli.RoleGrantPermission(ctx, "ra", "a", "b",
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(c.t, err)
	_, err = cli.UserGrantRole(ctx, "a", "ra")
	require.NoError(c.t, err)
	_, err = cli.AuthEnable(ctx)
	require.NoError(c.t, err)
}

func TestUsersWorkWithinTheirRights(t *testing.T) {
	c := startCluster(t, 3, cheap)
	anybody := c.client()
	c.protect(anybody)
	ctx := testContext(t)

	_, err := anybody.Put(ctx, "a1", "")
	require.Equal(t, rpctypes.ErrUserEmpty, err)
	_, err = c.dialAs("a", "wrong")
	require.Equal(t, rpctypes.ErrAuthFailed, err)
	st, err := anybody.AuthStatus(ctx)
	require.NoError(t, err)
	require.True(t, st.Enabled)
	require.EqualValues(t, 8, st.AuthRevision)

	root, a := c.as("root", "rootpw"), c.as("a", "apw")
	_, err = a.Put(ctx, "a1", "x")
	require.NoError(t, err)
	_, err = root.Put(ctx, "b1", "x")
	require.NoError(t, err)
	_, err = a.Put(ctx, "b1", "y")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	got, err := a.Get(ctx, "a", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Count)
	_, err = a.Get(ctx, "a", clientv3.WithFromKey())
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = a.Txn(ctx).If(clientv3.Compare(clientv3.Version("b1"), "=", 1)).Commit()
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = a.Compact(ctx, 1)
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = a.UserList(ctx)
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = a.HashKV(ctx, a.Endpoints()[0], 0)
	require.ErrorContains(t, err, rpctypes.ErrPermissionDenied.Error())
	mine, err := a.UserGet(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, []string{"ra"}, mine.Roles)
	_, err = a.UserGet(ctx, "root")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	role, err := a.RoleGet(ctx, "ra")
	require.NoError(t, err)
	require.Equal(t, "a", string(role.Perm[0].Key))
	require.Equal(t, "b", string(role.Perm[0].RangeEnd))
	require.EqualValues(t, clientv3.PermReadWrite, role.Perm[0].PermType)
	all, err := root.RoleGet(ctx, "root")
	require.NoError(t, err)
	require.Equal(t, "\x00", string(all.Perm[0].RangeEnd))
	users, err := root.UserList(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "root"}, users.Users)
	roles, err := root.RoleList(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"ra", "root"}, roles.Roles)

	// Clients whose tokens are void, or whose rights have moved, go on by themselves.
	_, err = root.UserChangePassword(ctx, "a", "apw") // ends a's tokens
	require.NoError(t, err)
	_, err = a.Put(ctx, "a1", "y")
	require.NoError(t, err)
	_, err = root.RoleGrantPermission(ctx, "ra", "b1", "", clientv3.PermissionType(
		clientv3.PermRead))
	require.NoError(t, err)
	_, err = a.Get(ctx, "b1")
	require.NoError(t, err)
	_, err = root.UserDelete(ctx, "root")
	require.Equal(t, rpctypes.ErrInvalidAuthMgmt, err)
	_, err = root.UserRevokeRole(ctx, "a", "ra")
	require.NoError(t, err)
	_, err = a.Get(ctx, "b1")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = root.RoleRevokePermission(ctx, "ra", "a", "c")
	require.Equal(t, rpctypes.ErrPermissionNotGranted, err)
	_, err = root.RoleDelete(ctx, "ra")
	require.NoError(t, err)
	_, err = root.AuthDisable(ctx)
	require.NoError(t, err)
	_, err = anybody.Put(ctx, "b1", "z")
	require.NoError(t, err)
}

func TestAuthErrorsHaveEtcdsCodeAndText(t *testing.T) {
	c := startCluster(t, 1, cheap)
	c.protect(c.client())
	cc, kvc := rawClient(t, c.servers[0])
	ctx := testContext(t)
	auths := pb.NewAuthClient(cc)
	with := func(name, token string) context.Context {
		return metadata.AppendToOutgoingContext(ctx, name, token)
	}
	put := func(ctx context.Context) error {
		_, err := kvc.Put(ctx, &pb.PutRequest{Key: []byte("a1")})
		return err
	}
	login, err := auths.Authenticate(ctx, &pb.AuthenticateRequest{Name: "a", Password: "apw"})
	require.NoError(t, err)
	require.NotZero(t, login.Header.ClusterId)
	require.Regexp(t, `^[a-zA-Z]{16}\.[0-9]+$`, login.Token)
	require.NoError(t, put(with("token", login.Token)))
	require.NoError(t, put(with("authorization", login.Token)))
	require.NoError(t, put(with("authorization", "Bearer "+login.Token)))
	long := make([]byte, 73)
	for i := range long {
		long[i] = 'p'
	}
	_, tooLong := auths.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "x", Password: string(long)})
	_, nobody := auths.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "x", Password: "p"})
	_, wrong := auths.Authenticate(ctx, &pb.AuthenticateRequest{Name: "a", Password: "x"})
	_, denied := kvc.Range(with("token", login.Token), &pb.RangeRequest{Key: []byte("b")})
	_, status1 := pb.NewMaintenanceClient(cc).Status(ctx, &pb.StatusRequest{})
	for _, e := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{put(ctx), codes.InvalidArgument, "etcdserver: user name is empty"},
		{put(with("token", "")), codes.Unauthenticated, "etcdserver: invalid auth token"},
		{put(with("token", "x.1")), codes.Unauthenticated, "etcdserver: invalid auth token"},
		{tooLong, codes.Unknown, "bcrypt: password length exceeds 72 bytes"},
		{nobody, codes.InvalidArgument, "etcdserver: user name is empty"},
		{wrong, codes.InvalidArgument,
			"etcdserver: authentication failed, invalid user ID or password"},
		{denied, codes.PermissionDenied, "etcdserver: permission denied"},
		{status1, codes.InvalidArgument, "etcdserver: user name is empty"},
	} {
		require.Equal(t, e.code, status.Code(e.err), "%v", e.err)
		require.Equal(t, e.text, status.Convert(e.err).Message())
	}
	res, err := http.Get("http://" + c.servers[0].ClientAddrs()[0] + "/health")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode, "a health check is nobody's")
}

// A watch that is refused does not end its stream, and says why as etcd does.
func TestWatchesAreRefusedInWords(t *testing.T) {
	c := startCluster(t, 1, cheap)
	c.protect(c.client())
	cc, _ := rawClient(t, c.servers[0])
	ctx := testContext(t)
	login, err := pb.NewAuthClient(cc).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: "a", Password: "apw"})
	require.NoError(t, err)
	watch := func(ctx context.Context, key, end string) (pb.Watch_WatchClient, string) {
		stream, err := pb.NewWatchClient(cc).Watch(ctx)
		require.NoError(t, err)
		return stream, create(t, stream, key, end)
	}
	stream, reason := watch(metadata.AppendToOutgoingContext(ctx, "token", login.Token), "b", "")
	require.Equal(t, "rpc error: code = PermissionDenied desc = etcdserver: permission denied", reason)
	require.Empty(t, create(t, stream, "a", "b"), "the stream lives on")
	require.NotEmpty(t, create(t, stream, "a", "\x00"))
	_, reason = watch(ctx, "a", "")
	require.Equal(t, "rpc error: code = InvalidArgument desc = etcdserver: user name is empty", reason)
	_, reason = watch(metadata.AppendToOutgoingContext(ctx, "token", "x.1"), "a", "")
	require.Equal(t, "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", reason)

	a := c.as("a", "apw")
	watched, cancel := context.WithCancel(ctx)
	defer cancel()
	events := a.Watch(watched, "a1")
	_, err = a.Put(ctx, "a1", "x")
	require.NoError(t, err)
	got := <-events
	require.NoError(t, got.Err())
	require.Equal(t, "a1", string(got.Events[0].Kv.Key))
}

// create asks for a watch and returns why it was refused, if it was.
func create(t *testing.T, stream pb.Watch_WatchClient, key, end string) string {
	require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte(end)}}}))
	got, err := stream.Recv()
	require.NoError(t, err)
	require.True(t, got.Created)
	require.Equal(t, got.Canceled, got.WatchId == -1)
	return got.CancelReason
}

// keyFiles writes a new pair of keys.
func keyFiles(t *testing.T) (private, public string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	open, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path,
			pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
		return path
	}
	return write("private.pem", "EC PRIVATE KEY", secret), write("public.pem", "PUBLIC KEY", open)
}

func TestSignedTokens(t *testing.T) {
	private, public := keyFiles(t)
	c := startCluster(t, 1, func(c *Config) {
		cheap(c)
		c.AuthToken = "jwt,sign-method=ES256,ttl=1m,pub-key=" + public + ",priv-key=" + private
	})
	c.protect(c.client())
	ctx := testContext(t)
	root, a := c.as("root", "rootpw"), c.as("a", "apw")
	_, err := a.Put(ctx, "a1", "x")
	require.NoError(t, err)
	_, err = a.Put(ctx, "b1", "x")
	require.Equal(t, rpctypes.ErrPermissionDenied, err)

	cc, kvc := rawClient(t, c.servers[0])
	login, err := pb.NewAuthClient(cc).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: "a", Password: "apw"})
	require.NoError(t, err)
	put := func(token string) string {
		_, err := kvc.Put(metadata.AppendToOutgoingContext(ctx, "token", token),
			&pb.PutRequest{Key: []byte("a1")})
		return status.Convert(err).Message()
	}
	require.Empty(t, put(login.Token))
	require.Equal(t, "etcdserver: invalid auth token", put(login.Token[:len(login.Token)-3]))
	_, err = root.RoleAdd(ctx, "more")
	require.NoError(t, err)
	require.Equal(t, "etcdserver: revision of auth store is old", put(login.Token))
	_, err = a.Put(ctx, "a1", "y") // the client has got a new one
	require.NoError(t, err)

	other, _ := keyFiles(t)
	forger, err := newTokenMaker(zap.NewNop(), "jwt,sign-method=ES256,priv-key="+other)
	require.NoError(t, err)
	forged, err := forger.sign("root", 9)
	require.NoError(t, err)
	require.Equal(t, "etcdserver: invalid auth token", put(forged))
	aged, err := newTokenMaker(zap.NewNop(), "jwt,sign-method=ES256,ttl=-1s,priv-key="+private)
	require.NoError(t, err)
	old, err := aged.sign("root", 9)
	require.NoError(t, err)
	require.Equal(t, "etcdserver: invalid auth token", put(old))
}

func TestTokenOptions(t *testing.T) {
	private, public := keyFiles(t)
	other, _ := keyFiles(t)
	for _, c := range []struct {
		spec string
		want error
	}{
		{"simple", nil},
		{"", nil},
		{"magic", ErrAuthOptions},
		{"simple,a", ErrAuthOptions},
		{"jwt", ErrAuthOptions},
		{"jwt,sign-method=XS256,priv-key=" + private, ErrAuthOptions},
		{"jwt,sign-method=ES256", ErrAuthKeyMissing},
		{"jwt,sign-method=HS256,pub-key=" + public, ErrAuthKeyMissing},
		{"jwt,sign-method=HS256,priv-key=" + private, nil},
		{"jwt,sign-method=ES256,priv-key=/nowhere", ErrAuthOptions},
		{"jwt,sign-method=ES256,ttl=x,priv-key=" + private, ErrAuthOptions},
		{"jwt,sign-method=ES256,sign-method=ES256,priv-key=" + private, ErrAuthOptions},
		{"jwt,sign-method=ES256,priv-key=" + private + ",pub-key=" + public, nil},
		{"jwt,sign-method=ES256,priv-key=" + other + ",pub-key=" + public, ErrAuthKeyMismatch},
	} {
		_, err := newTokenMaker(zap.NewNop(), c.spec)
		require.Equal(t, c.want, err, c.spec)
	}
	_, err := newTokenMaker(zap.NewNop(), "jwt,sign-method=none,priv-key="+private)
	require.ErrorContains(t, err, "unsupported signing method")
	reader, err := newTokenMaker(zap.NewNop(), "jwt,sign-method=ES256,pub-key="+public)
	require.NoError(t, err)
	_, err = reader.sign("root", 1)
	require.ErrorIs(t, err, errVerifyOnly)
	maker, err := newTokenMaker(zap.NewNop(), "jwt,sign-method=ES256,priv-key="+private)
	require.NoError(t, err)
	token, err := maker.sign("root", 7)
	require.NoError(t, err)
	id := reader.verify(token)
	require.Equal(t, "root", id.User)
	require.EqualValues(t, 7, id.Revision)
	require.Equal(t, 5*time.Minute, maker.ttl)

	cfg := testConfig(t.TempDir())
	cfg.AuthToken = "magic"
	_, err = Start(cfg)
	require.Equal(t, ErrAuthOptions, err)
}
