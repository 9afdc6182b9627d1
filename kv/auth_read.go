package kv

import (
	"math"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
)

// mayLook says whether a user may look at a user or a role: at itself, at what it holds, and as an
// administrator at all.
func (n *Node) mayLook(who auth.Subject, r *readRequest) Code {
	s := &n.state.auth
	refused := s.Admin(who)
	if refused == auth.Done {
		return OK
	}
	name, err := parseText1(r.raw)
	if err != nil {
		return ErrMalformed
	}
	if r.method == MethodUserGet && name == who.User { // nobody, too, may ask for nobody
		return OK
	}
	if u := s.User(who.User); r.method == MethodRoleGet && u != nil && u.Holds(name) {
		return OK
	}
	return authCode(refused)
}

// authBody answers a question about users and roles.
func (n *Node) authBody(r *readRequest) ([][]byte, Code) {
	s := &n.state.auth
	b := appendHeader(nil, n.header())
	name, err := parseText1(r.raw)
	if err != nil {
		return nil, ErrMalformed
	}
	switch r.method {
	case MethodAuthStatus:
		b = appendBool(b, 2, s.Enabled())
		b = appendVarint(b, 3, s.Revision())
	case MethodUserList:
		for i := range s.Users() {
			b = appendBytes(b, 2, []byte(s.Users()[i].Name))
		}
	case MethodRoleList:
		for i := range s.Roles() {
			b = appendBytes(b, 2, []byte(s.Roles()[i].Name))
		}
	case MethodUserGet:
		u := s.User(name)
		if u == nil {
			return nil, ErrUserNotFound
		}
		for _, role := range u.Roles {
			b = appendBytes(b, 2, []byte(role))
		}
	case MethodRoleGet:
		role := s.Role(name)
		if role == nil {
			return nil, ErrRoleNotFound
		}
		for _, p := range rolePermissions(role) {
			b = appendBytes(b, 2, appendPermission(nil, &p))
		}
	}
	return [][]byte{b}, OK
}

// rolePermissions is what a role shows: that of root is not its list.
func rolePermissions(r *auth.Role) []auth.Permission {
	if r.Name == auth.Root {
		return []auth.Permission{{End: []byte{0}, Access: auth.ReadWrite}}
	}
	return r.Permissions
}

func appendPermission(b []byte, p *auth.Permission) []byte {
	b = appendVarint(b, 1, uint64(p.Access))
	if len(p.Key) > 0 {
		b = appendBytes(b, 2, p.Key)
	}
	if len(p.End) > 0 {
		b = appendBytes(b, 3, p.End)
	}
	return b
}

// validateAuth checks a request about users and roles as far as that needs no state.
func validateAuth(method Method, raw []byte) Code {
	var m proto.Message
	switch method {
	case MethodUserAdd:
		m = &pb.AuthUserAddRequest{}
	case MethodUserDelete:
		m = &pb.AuthUserDeleteRequest{}
	case MethodUserChangePassword:
		m = &pb.AuthUserChangePasswordRequest{}
	case MethodUserGrantRole:
		m = &pb.AuthUserGrantRoleRequest{}
	case MethodUserRevokeRole:
		m = &pb.AuthUserRevokeRoleRequest{}
	case MethodRoleAdd:
		m = &pb.AuthRoleAddRequest{}
	case MethodRoleDelete:
		m = &pb.AuthRoleDeleteRequest{}
	case MethodRoleGrantPermission:
		m = &pb.AuthRoleGrantPermissionRequest{}
	case MethodRoleRevokePermission:
		m = &pb.AuthRoleRevokePermissionRequest{}
	case MethodAuthenticate:
		m = &pb.AuthenticateRequest{}
	case MethodUserGet:
		m = &pb.AuthUserGetRequest{}
	case MethodRoleGet:
		m = &pb.AuthRoleGetRequest{}
	default: // the message has no fields
		m = &pb.AuthEnableRequest{}
	}
	if proto.Unmarshal(raw, m) != nil {
		return ErrMalformed
	}
	if add, ok := m.(*pb.AuthUserAddRequest); ok && len(add.GetName()) > math.MaxUint16 {
		return ErrRequestTooLarge // a seal could not hold it
	}
	if passwordTooLong(m) {
		return ErrPasswordTooLong
	}
	return OK
}

// passwordTooLong says whether a password is to be hashed of which bcrypt would see a part only. A
// login with one is just wrong.
func passwordTooLong(m proto.Message) bool {
	switch m := m.(type) {
	case *pb.AuthUserAddRequest:
		return len(m.GetPassword()) > maxPassword && !m.GetOptions().GetNoPassword()
	case *pb.AuthUserChangePasswordRequest:
		return len(m.GetPassword()) > maxPassword
	}
	return false
}

// aboutAuth says whether a method is about users, roles and tokens.
func aboutAuth(method Method) bool {
	return changesAuth(method) || slices.Contains([]Method{MethodAuthStatus, MethodUserGet,
		MethodUserList, MethodRoleGet, MethodRoleList}, method)
}
