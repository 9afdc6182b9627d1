package linearizability

import (
	"bytes"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// The errors of users and roles, by their text on the wire.
const (
	ErrRootUserMissing      = "etcdserver: root user does not exist"
	ErrRootRoleMissing      = "etcdserver: root user does not have root role"
	ErrUserExists           = "etcdserver: user name already exists"
	ErrUserEmpty            = "etcdserver: user name is empty"
	ErrUserNotFound         = "etcdserver: user name not found"
	ErrRoleExists           = "etcdserver: role name already exists"
	ErrRoleNotFound         = "etcdserver: role name not found"
	ErrRoleEmpty            = "etcdserver: role name is empty"
	ErrPermissionMissing    = "etcdserver: permission not given"
	ErrPermissionDenied     = "etcdserver: permission denied"
	ErrRoleNotGranted       = "etcdserver: role is not granted to the user"
	ErrPermissionNotGranted = "etcdserver: permission is not granted to the role"
	ErrAuthManagement       = "etcdserver: invalid auth management"
	ErrAuthOld              = "etcdserver: revision of auth store is old"
)

// Rights is the reference model of users, roles and permissions, in the most obvious form: lists
// that are searched from end to end, and a question about an interval answered point by point. A
// Rights is immutable; a change makes another one.
type Rights struct {
	Enabled  bool
	Revision uint64
	users    []rightsUser
	roles    []rightsRole
}

type rightsUser struct {
	name  string
	roles []string
}

type rightsRole struct {
	name        string
	permissions []*authpb.Permission
}

// NewRights is the model of a virgin cluster.
func NewRights() *Rights { return &Rights{Revision: 1} }

func (r *Rights) user(name string) int {
	return slices.IndexFunc(r.users, func(u rightsUser) bool { return u.name == name })
}

func (r *Rights) role(name string) int {
	return slices.IndexFunc(r.roles, func(o rightsRole) bool { return o.name == name })
}

// Holds says whether a user has a role.
func (r *Rights) Holds(user, role string) bool {
	i := r.user(user)
	return i >= 0 && slices.Contains(r.users[i].roles, role)
}

// copied is r with everything that a change may touch copied.
func (r *Rights) copied() *Rights {
	next := &Rights{Enabled: r.Enabled, Revision: r.Revision}
	for _, u := range r.users {
		next.users = append(next.users, rightsUser{u.name, slices.Clone(u.roles)})
	}
	for _, o := range r.roles {
		next.roles = append(next.roles, rightsRole{o.name, slices.Clone(o.permissions)})
	}
	return next
}

// Change executes one request about users and roles. On an error nothing changes.
func (r *Rights) Change(request proto.Message) (*Rights, string) {
	next := r.copied()
	err, bumps := next.change(request)
	if err != "" {
		return r, err
	}
	if bumps {
		next.Revision++
	}
	return next, ""
}

func (r *Rights) change(request proto.Message) (err string, bumps bool) {
	switch q := request.(type) {
	case *pb.AuthEnableRequest:
		return r.enable(), false
	case *pb.AuthDisableRequest:
		was := r.Enabled
		r.Enabled = false
		return "", was
	case *pb.AuthUserAddRequest:
		switch {
		case q.Name == "":
			return ErrUserEmpty, false
		case r.user(q.Name) >= 0:
			return ErrUserExists, false
		}
		r.users = append(r.users, rightsUser{name: q.Name})
		return "", true
	case *pb.AuthUserDeleteRequest:
		i := r.user(q.Name)
		switch {
		case r.Enabled && q.Name == "root":
			return ErrAuthManagement, false
		case i < 0:
			return ErrUserNotFound, false
		}
		r.users = slices.Delete(r.users, i, i+1)
		return "", true
	case *pb.AuthUserChangePasswordRequest:
		if r.user(q.Name) < 0 {
			return ErrUserNotFound, false
		}
		return "", true
	case *pb.AuthUserGrantRoleRequest:
		return r.grantRole(q)
	case *pb.AuthUserRevokeRoleRequest:
		return r.revokeRole(q)
	}
	return r.changeRole(request)
}

func (r *Rights) enable() string {
	switch {
	case r.Enabled:
	case r.user("root") < 0:
		return ErrRootUserMissing
	case !r.Holds("root", "root"):
		return ErrRootRoleMissing
	}
	r.Enabled = true
	return ""
}

func (r *Rights) grantRole(q *pb.AuthUserGrantRoleRequest) (err string, bumps bool) {
	i := r.user(q.User)
	switch {
	case i < 0:
		return ErrUserNotFound, false
	case q.Role != "root" && r.role(q.Role) < 0:
		return ErrRoleNotFound, false
	case r.Holds(q.User, q.Role):
		return "", false
	}
	r.users[i].roles = append(r.users[i].roles, q.Role)
	return "", true
}

func (r *Rights) revokeRole(q *pb.AuthUserRevokeRoleRequest) (err string, bumps bool) {
	i := r.user(q.Name)
	switch {
	case r.Enabled && q.Name == "root" && q.Role == "root":
		return ErrAuthManagement, false
	case i < 0:
		return ErrUserNotFound, false
	case !r.Holds(q.Name, q.Role):
		return ErrRoleNotGranted, false
	}
	r.takeRole(i, q.Role)
	return "", true
}

func (r *Rights) takeRole(user int, role string) {
	u := &r.users[user]
	u.roles = slices.DeleteFunc(u.roles, func(name string) bool { return name == role })
}

func (r *Rights) changeRole(request proto.Message) (err string, bumps bool) {
	switch q := request.(type) {
	case *pb.AuthRoleAddRequest:
		switch {
		case q.Name == "":
			return ErrRoleEmpty, false
		case r.role(q.Name) >= 0:
			return ErrRoleExists, false
		}
		r.roles = append(r.roles, rightsRole{name: q.Name})
	case *pb.AuthRoleDeleteRequest:
		i := r.role(q.Role)
		switch {
		case r.Enabled && q.Role == "root":
			return ErrAuthManagement, false
		case i < 0:
			return ErrRoleNotFound, false
		}
		r.roles = slices.Delete(r.roles, i, i+1)
		for u := range r.users {
			r.takeRole(u, q.Role)
		}
	case *pb.AuthRoleGrantPermissionRequest:
		return r.grantPermission(q)
	case *pb.AuthRoleRevokePermissionRequest:
		i := r.role(q.Role)
		if i < 0 {
			return ErrRoleNotFound, false
		}
		before := len(r.roles[i].permissions)
		r.dropPermission(i, q.Key, q.RangeEnd)
		if len(r.roles[i].permissions) == before {
			return ErrPermissionNotGranted, false
		}
	default:
		panic("linearizability: a request that is not about users or roles")
	}
	return "", true
}

func (r *Rights) dropPermission(role int, key, end []byte) {
	o := &r.roles[role]
	o.permissions = slices.DeleteFunc(o.permissions, func(p *authpb.Permission) bool {
		return bytes.Equal(p.Key, key) && bytes.Equal(p.RangeEnd, end)
	})
}

func (r *Rights) grantPermission(q *pb.AuthRoleGrantPermissionRequest) (err string, bumps bool) {
	i := r.role(q.Name)
	switch {
	case q.Perm == nil:
		return ErrPermissionMissing, false
	case len(q.Perm.Key) == 0 || !contains(q.Perm.Key, q.Perm.RangeEnd, q.Perm.Key):
		return ErrAuthManagement, false
	case i < 0:
		return ErrRoleNotFound, false
	}
	r.dropPermission(i, q.Perm.Key, q.Perm.RangeEnd)
	r.roles[i].permissions = append(r.roles[i].permissions, q.Perm)
	return "", true
}

// Admin says why a user may not administer the cluster; empty when he may.
func (r *Rights) Admin(user string) string {
	switch {
	case !r.Enabled:
		return ""
	case user == "":
		return ErrUserEmpty
	case r.user(user) < 0:
		return ErrUserNotFound
	case !r.Holds(user, "root"):
		return ErrPermissionDenied
	}
	return ""
}

// May says why a user, known as such at a revision, may not read, or write, all of an interval;
// empty when he may.
func (r *Rights) May(user string, revision uint64, want authpb.Permission_Type,
	key, end []byte) string {
	switch {
	case !r.Enabled:
		return ""
	case revision == 0:
		return ErrUserEmpty
	case revision != r.Revision:
		return ErrAuthOld
	case r.Holds(user, "root"):
		return ""
	}
	if !covered(r.granted(user, want), key, end) {
		return ErrPermissionDenied
	}
	return ""
}

// granted lists a user's permissions of a kind.
func (r *Rights) granted(user string, want authpb.Permission_Type) (out []*authpb.Permission) {
	for _, o := range r.roles {
		if !r.Holds(user, o.name) {
			continue
		}
		for _, p := range o.permissions {
			if p.PermType == want || p.PermType == authpb.Permission_READWRITE {
				out = append(out, p)
			}
		}
	}
	return out
}

// covered says whether every key of an interval lies in a permission. It is enough to look where a
// gap could begin: at the interval's beginning, and where a permission ends inside of it.
func covered(list []*authpb.Permission, key, end []byte) bool {
	held := func(k []byte) bool {
		return slices.ContainsFunc(list, func(p *authpb.Permission) bool {
			return contains(p.Key, p.RangeEnd, k)
		})
	}
	if !held(key) {
		return false
	}
	if !contains(key, end, key) { // no key at all
		return true
	}
	for _, p := range list {
		if at := endOf(p); at != nil && contains(key, end, at) && !held(at) {
			return false
		}
	}
	return true
}

// endOf is the first key behind a permission, nil when it has no end.
func endOf(p *authpb.Permission) []byte {
	switch {
	case len(p.RangeEnd) == 0:
		return after(p.Key)
	case string(p.RangeEnd) == "\x00":
		return nil
	}
	return p.RangeEnd
}

// after is the key right after another one.
func after(key []byte) []byte { return append(slices.Clone(key), 0) }
