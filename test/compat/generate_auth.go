package main

// Requests of the Auth service. Single ones build users and roles up as they come; now and then a
// whole arrangement is made at once, users counting at its end, because chance alone seldom gets
// there.

import (
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func roleOf(user string) string {
	if user == "root" {
		return "root"
	}
	return "role of " + user
}

func (d draw) user() string {
	if d.percent(5) {
		return pick(d, "", "stranger", "carol")
	}
	return users[1+d.below(3)]
}

func (d draw) role() string {
	if d.percent(5) {
		return pick(d, "", "no such role")
	}
	return roleOf(users[1+d.below(3)])
}

// granted is the interval of a permission. A key always comes with the same end: of two ends for
// one key etcd lists one twice, when it is granted again.
func (d draw) granted() (key, end []byte) {
	key = d.key()
	switch {
	case d.percent(20):
		return []byte{0}, []byte{0}
	case len(key) == 0 || key[0] == 0:
		return nil, nil // refused
	case d.percent(5):
		return key, key // refused
	case key[len(key)-1]%2 == 0:
		return key, prefixEnd(key)
	}
	return key, nil
}

func (d draw) permission() *authpb.Permission {
	if d.percent(3) {
		return nil
	}
	key, end := d.granted()
	p := &authpb.Permission{Key: key, RangeEnd: end,
		PermType: pick(d, authpb.READ, authpb.WRITE, authpb.READWRITE)}
	if d.percent(2) {
		p.PermType = 99
	}
	return p
}

func (d draw) userAdd() *pb.AuthUserAddRequest {
	u := &pb.AuthUserAddRequest{Name: d.user()}
	u.Password = password(u.Name)
	switch {
	case d.percent(5):
		u.Password = ""
	case d.percent(5):
		u.Password = strings.Repeat("p", 73)
	case d.percent(10):
		u.Password, u.Options = "", &authpb.UserAddOptions{NoPassword: true}
	}
	if d.percent(5) {
		u.HashedPassword = "$2a$04$notahash"
	}
	return u
}

func (d draw) changePassword() *pb.AuthUserChangePasswordRequest {
	c := &pb.AuthUserChangePasswordRequest{Name: d.user()}
	c.Password = password(c.Name)
	if c.Name != "root" && d.percent(20) {
		c.Password = pick(d, "another", strings.Repeat("p", 73), "")
	}
	if d.percent(5) {
		c.HashedPassword = "$2a$04$notahash"
	}
	return c
}

func (d draw) authenticate() *pb.AuthenticateRequest {
	a := &pb.AuthenticateRequest{Name: d.user()}
	a.Password = password(a.Name)
	if d.percent(20) {
		a.Password = pick(d, "", "wrong")
	}
	return a
}

// arrangement makes root and two users with some rights, and lets users count.
func (d draw) arrangement() []*step {
	var all []*step
	add := func(s []*step) { all = append(all, s...) }
	for _, name := range users {
		if name == "" {
			continue
		}
		add(stepOf(pb.Auth_UserAdd_FullMethodName,
			&pb.AuthUserAddRequest{Name: name, Password: password(name)}))
		add(stepOf(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: roleOf(name)}))
		add(stepOf(pb.Auth_UserGrantRole_FullMethodName,
			&pb.AuthUserGrantRoleRequest{User: name, Role: roleOf(name)}))
	}
	for range 2 + d.below(3) {
		add(stepOf(pb.Auth_RoleGrantPermission_FullMethodName, &pb.AuthRoleGrantPermissionRequest{
			Name: roleOf(pick(d, "alice", "bob")), Perm: d.permission()}))
	}
	return append(all, &step{method: pb.Auth_AuthEnable_FullMethodName,
		request: &pb.AuthEnableRequest{}})
}

func authSteps() []weighted[[]*step] {
	return append([]weighted[[]*step]{
		{4, draw.arrangement},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{})
		}},
		{3, func(d draw) []*step {
			return stepOf(pb.Auth_Authenticate_FullMethodName, d.authenticate())
		}},
	}, append(userSteps(), roleSteps()...)...)
}

func userSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{4, func(d draw) []*step { return stepOf(pb.Auth_UserAdd_FullMethodName, d.userAdd()) }},
		{2, func(d draw) []*step {
			return stepOf(pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: d.user()})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: d.user()})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_UserChangePassword_FullMethodName, d.changePassword())
		}},
		{3, func(d draw) []*step {
			return stepOf(pb.Auth_UserGrantRole_FullMethodName,
				&pb.AuthUserGrantRoleRequest{User: d.user(), Role: d.role()})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_UserRevokeRole_FullMethodName,
				&pb.AuthUserRevokeRoleRequest{Name: d.user(), Role: d.role()})
		}},
	}
}

func roleSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{3, func(d draw) []*step {
			return stepOf(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: d.role()})
		}},
		{2, func(d draw) []*step {
			return stepOf(pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: d.role()})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: d.role()})
		}},
		{3, func(d draw) []*step {
			return stepOf(pb.Auth_RoleGrantPermission_FullMethodName,
				&pb.AuthRoleGrantPermissionRequest{Name: d.role(), Perm: d.permission()})
		}},
		{1, func(d draw) []*step {
			key, end := d.granted()
			return stepOf(pb.Auth_RoleRevokePermission_FullMethodName,
				&pb.AuthRoleRevokePermissionRequest{Role: d.role(), Key: key, RangeEnd: end})
		}},
	}
}
