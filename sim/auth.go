package sim

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
)

// Users in the simulated world. In some plans an administrator makes users and roles while the run
// is young, enables auth, and goes on to change rights, passwords and users as long as the chaos
// lasts. The other clients are users then: they log in, now and then with a wrong password, work
// with tokens that may be void by now, and are refused a good part of what they ask for.

// AuthPlan says whether and how a run has users.
type AuthPlan struct {
	Start int64 // when the administrator begins; 0 for a run without users
	Pause int64 // typical time between two changes
}

func (p *AuthPlan) on() bool { return p.Start > 0 }

// authPPM is the share of runs that have users.
const authPPM = 250_000

func generateAuth(seed uint64) AuthPlan {
	d := newDie(seed, entityAuth, 0)
	if !d.chance(authPPM) {
		return AuthPlan{}
	}
	return AuthPlan{Start: d.within(1, 8) * second, Pause: d.spread(100, 4000) * millisecond}
}

const (
	authUsers = 4 // beside root
	authRoles = 6
)

func authUser(i int64) string { return fmt.Sprintf("u%d", i) }

func authRole(i int64) string { return fmt.Sprintf("r%d", i) }

// clientUser is the user that a client logs in as: mostly an ordinary one, sometimes root,
// sometimes nobody.
func clientUser(seed uint64, client int) string {
	d := newDie(seed, entityAuth, 1+uint64(client))
	switch d.below(10) {
	case 0:
		return ""
	case 1, 2:
		return "root"
	}
	return authUser(d.below(authUsers))
}

// session is what a client knows of its standing.
type session struct {
	user  string
	token string
	old   string // the token before
	login bool   // it was told to say who it is
}

// administrator is the client that makes and changes users.
type administrator struct {
	setup   []proto.Message // what is still to be made, in order
	retry   proto.Message   // of unknown outcome
	version int             // numbers passwords
	// passwords are those that were asked for last.
	passwords map[string]string
}

// newAdministrator returns the administrator's client. Its script is its own.
func newAdministrator(w *world) *client {
	c := newClient(w, len(w.plan.Scripts)+2, &Script{
		Timeout: 3 * second, Think: w.plan.Auth.Pause, Keys: 1, RoamPPM: 200_000,
	})
	c.admin = asAdministrator
	c.session = session{user: "root"}
	w.administrator = administrator{passwords: map[string]string{"root": "root-0"}}
	a := &w.administrator
	a.setup = append(a.setup, &pb.AuthUserAddRequest{Name: "root", Password: "root-0"},
		&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	for i := range int64(authRoles) {
		a.setup = append(a.setup, &pb.AuthRoleAddRequest{Name: authRole(i)},
			&pb.AuthRoleGrantPermissionRequest{Name: authRole(i), Perm: c.permission(i)})
	}
	for i := range int64(authUsers) {
		name := authUser(i)
		a.passwords[name] = name + "-0"
		a.setup = append(a.setup, &pb.AuthUserAddRequest{Name: name, Password: a.passwords[name]},
			&pb.AuthUserGrantRoleRequest{User: name, Role: authRole(i)},
			&pb.AuthUserGrantRoleRequest{User: name, Role: authRole(c.die.below(authRoles))})
	}
	a.setup = append(a.setup, &pb.AuthEnableRequest{})
	return c
}

// permission is some permission: a prefix, a single key, the hot keys, everything, or an interval
// that touches others.
func (c *client) permission(kind int64) *authpb.Permission {
	d := &c.die
	p := &authpb.Permission{PermType: authpb.Permission_Type(d.below(3))}
	if d.chance(500_000) {
		p.PermType = authpb.Permission_READWRITE
	}
	switch kind {
	case 0:
		p.Key, p.RangeEnd = []byte("k"), []byte("l")
	case 1:
		p.Key = fmt.Appendf(nil, "k%d", d.below(4))
	case 2:
		p.Key, p.RangeEnd = fmt.Appendf(nil, "p%d/", d.below(8)), []byte("p8")
	case 3:
		p.Key, p.RangeEnd = []byte{0}, []byte{0}
	case 4:
		p.Key = fmt.Appendf(nil, "k%d", d.below(4))
		p.RangeEnd = fmt.Appendf(nil, "k%d", 4+d.below(5))
	default:
		p.Key, p.RangeEnd = fmt.Appendf(nil, "p%d/", d.below(8)), []byte{0}
	}
	return p
}

// administrate draws the administrator's next request.
func (c *client) administrate() request {
	a := &c.world.administrator
	m := a.retry
	if m == nil && len(a.setup) > 0 {
		m = a.setup[0]
	}
	if m == nil {
		m = c.change()
	}
	a.retry = m
	return authRequest(m)
}

// change draws a change of users and rights.
func (c *client) change() proto.Message {
	d, a := &c.die, &c.world.administrator
	user, role := authUser(d.below(authUsers)), authRole(d.below(authRoles))
	switch d.below(13) {
	case 0, 1, 2:
		return &pb.AuthUserGrantRoleRequest{User: user, Role: role}
	case 3, 4:
		return &pb.AuthUserRevokeRoleRequest{Name: user, Role: role}
	case 5, 6:
		return &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: c.permission(d.below(6))}
	case 7:
		p := c.permission(d.below(6))
		return &pb.AuthRoleRevokePermissionRequest{Role: role, Key: p.Key, RangeEnd: p.RangeEnd}
	case 8:
		a.version++
		a.passwords[user] = fmt.Sprintf("%s-%d", user, a.version)
		return &pb.AuthUserChangePasswordRequest{Name: user, Password: a.passwords[user]}
	case 9:
		a.setup = append(a.setup, &pb.AuthUserAddRequest{Name: user, Password: a.passwords[user]},
			&pb.AuthUserGrantRoleRequest{User: user, Role: role})
		return &pb.AuthUserDeleteRequest{Name: user}
	case 10:
		a.setup = append(a.setup, &pb.AuthRoleAddRequest{Name: role},
			&pb.AuthRoleGrantPermissionRequest{Name: role, Perm: c.permission(d.below(6))})
		return &pb.AuthRoleDeleteRequest{Role: role}
	case 11:
		if d.chance(300_000) {
			a.setup = append(a.setup, &pb.AuthEnableRequest{})
			return &pb.AuthDisableRequest{}
		}
	}
	return &pb.AuthEnableRequest{}
}

// administered ends a step unless nobody knows whether it was done, or it was refused for want of a
// login: then it is asked again.
func (a *administrator) administered(k *call) {
	if k.request.auth == nil || k.request.auth != a.retry || k.end == callLost ||
		k.code.Maybe() || k.code == kv.ErrUserEmpty || k.code == kv.ErrInvalidToken ||
		k.code == kv.ErrTooManyRequests {
		return
	}
	if len(a.setup) > 0 && a.setup[0] == a.retry {
		a.setup = a.setup[1:]
	}
	a.retry = nil
}

// authRequest is a request about users as a client sends it.
func authRequest(m proto.Message) request {
	raw, err := marshal(m)
	if err != nil {
		panic(err)
	}
	r := request{auth: m, raw: raw}
	switch m.(type) {
	case *pb.AuthEnableRequest:
		r.method = kv.MethodAuthEnable
	case *pb.AuthDisableRequest:
		r.method = kv.MethodAuthDisable
	case *pb.AuthenticateRequest:
		r.method = kv.MethodAuthenticate
	case *pb.AuthUserAddRequest:
		r.method = kv.MethodUserAdd
	case *pb.AuthUserDeleteRequest:
		r.method = kv.MethodUserDelete
	case *pb.AuthUserChangePasswordRequest:
		r.method = kv.MethodUserChangePassword
	case *pb.AuthUserGrantRoleRequest:
		r.method = kv.MethodUserGrantRole
	case *pb.AuthUserRevokeRoleRequest:
		r.method = kv.MethodUserRevokeRole
	case *pb.AuthRoleAddRequest:
		r.method = kv.MethodRoleAdd
	case *pb.AuthRoleDeleteRequest:
		r.method = kv.MethodRoleDelete
	case *pb.AuthRoleGrantPermissionRequest:
		r.method = kv.MethodRoleGrantPermission
	case *pb.AuthRoleRevokePermissionRequest:
		r.method = kv.MethodRoleRevokePermission
	default:
		panic(fmt.Sprintf("sim: %T is no request about users", m))
	}
	return r
}

// mustLogIn says that a client says who it is before it asks for anything else, and how.
func (c *client) mustLogIn() (request, bool) {
	s := &c.session
	if !s.login || s.user == "" {
		return request{}, false
	}
	password := c.world.administrator.passwords[s.user]
	if c.die.chance(50_000) && c.admin == asClient {
		password += "?"
	}
	return authRequest(&pb.AuthenticateRequest{Name: s.user, Password: password}), true
}

// rootLogin is how the world itself gets a token.
func (w *world) rootLogin() request {
	return authRequest(&pb.AuthenticateRequest{Name: "root",
		Password: w.administrator.passwords["root"]})
}

// identify puts what the client shows into a call: its token, rarely the one before.
func (c *client) identify(k *call) {
	s := &c.session
	token := s.token
	if s.old != "" && c.admin == asClient && c.die.chance(20_000) {
		token = s.old
	}
	if token != "" && k.request.method != kv.MethodAuthenticate {
		k.identity, k.user = &kv.Identity{Token: token}, s.user
	}
}

// noticeStanding learns from the end of a call how the client stands.
func (c *client) noticeStanding(k *call) {
	s := &c.session
	switch {
	case k.end != callAnswered:
	case k.request.method == kv.MethodAuthenticate:
		s.login = false
		if k.code == kv.OK {
			s.old, s.token = s.token, k.token
		}
	case k.code == kv.ErrUserEmpty || k.code == kv.ErrInvalidToken:
		s.login = true
	}
	if c.admin == asAdministrator {
		c.world.administrator.administered(k)
	}
}
