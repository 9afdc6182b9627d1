// Who a client is, as far as the edge can tell: a token from the request's metadata, or else the
// common name of the certificate that it had to show. A simple token is handed to the node, which
// knows whose it is; a signed one is verified here, on the goroutine of its RPC. Whether any of
// that matters, because auth is enabled, only the node decides.
package server

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
)

// noToken stands for a token that cannot be one, where the client sent nothing or nonsense.
const noToken = "-"

// identity is what the client says or has proved of itself; nil when it said nothing.
func (s *service) identity(ctx context.Context) *kv.Identity {
	shown := metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameGRPC)
	if len(shown) == 0 {
		shown = metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameSwagger)
	}
	if len(shown) == 0 {
		if !s.certified {
			return nil
		}
		if name := callerName(ctx); name != "" {
			return &kv.Identity{User: name}
		}
		return nil
	}
	token := strings.TrimPrefix(shown[0], "Bearer ")
	if token == "" {
		token = noToken
	}
	if s.tokens.kind == kv.SignedTokens {
		return s.tokens.verify(token)
	}
	return &kv.Identity{Token: token}
}

// sign puts a signed token into the answer to an Authenticate, whose request is raw.
func (s *service) sign(c *call) error {
	if s.tokens.kind != kv.SignedTokens {
		return nil
	}
	var request pb.AuthenticateRequest
	var response pb.AuthenticateResponse
	if err := proto.Unmarshal(c.raw, &request); err != nil {
		return err
	}
	if err := proto.Unmarshal(joined(c.answer.Body), &response); err != nil {
		return err
	}
	token, err := s.tokens.sign(request.GetName(), c.answer.Auth)
	if err != nil {
		return status.Error(codes.Unknown, err.Error())
	}
	response.Token = token
	body, err := proto.Marshal(&response)
	c.answer.Body = [][]byte{body}
	return err
}

func joined(pieces [][]byte) []byte {
	var out []byte
	for _, p := range pieces {
		out = append(out, p...)
	}
	return out
}

// Password hashes or compares a password on a goroutine of its own. The node bounds how many there
// are; of these no more work at a time than half the processors, so that a flood of logins leaves
// the rest to everybody else.
func (l *loop) Password(j kv.PasswordJob) {
	go func() {
		l.hashing <- struct{}{}
		defer func() { <-l.hashing }()
		res := &kv.PasswordResult{ID: j.ID}
		if len(j.Hash) == 0 {
			hash, err := bcrypt.GenerateFromPassword(j.Password, l.bcryptCost)
			if err == nil { // the only error is a password that is too long
				res.Hash = hash
			}
		} else {
			res.Fits = bcrypt.CompareHashAndPassword(j.Hash, j.Password) == nil
		}
		l.inbox.put(kv.Input{Kind: kv.InputPassword, Password: res})
	}()
}

// authDescription describes the service of users, roles and tokens.
func (s *service) authDescription() grpc.ServiceDesc {
	return grpc.ServiceDesc{
		ServiceName: "etcdserverpb.Auth",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{
			s.passing("AuthEnable", kv.MethodAuthEnable),
			s.passing("AuthDisable", kv.MethodAuthDisable),
			s.passing("AuthStatus", kv.MethodAuthStatus),
			s.passing("Authenticate", kv.MethodAuthenticate),
			s.passing("UserAdd", kv.MethodUserAdd),
			s.passing("UserGet", kv.MethodUserGet),
			s.passing("UserList", kv.MethodUserList),
			s.passing("UserDelete", kv.MethodUserDelete),
			s.passing("UserChangePassword", kv.MethodUserChangePassword),
			s.passing("UserGrantRole", kv.MethodUserGrantRole),
			s.passing("UserRevokeRole", kv.MethodUserRevokeRole),
			s.passing("RoleAdd", kv.MethodRoleAdd),
			s.passing("RoleGet", kv.MethodRoleGet),
			s.passing("RoleList", kv.MethodRoleList),
			s.passing("RoleDelete", kv.MethodRoleDelete),
			s.passing("RoleGrantPermission", kv.MethodRoleGrantPermission),
			s.passing("RoleRevokePermission", kv.MethodRoleRevokePermission),
		},
		Metadata: "rpc.proto",
	}
}
