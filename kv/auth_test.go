package kv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// change makes one change of users and roles through member 0.
func (w *world) change(who *Identity, method Method, request proto.Message) Code {
	w.t.Helper()
	return w.askAs(who, 0, method, request, &pb.AuthRoleAddResponse{})
}

func (w *world) login(i int, user, password string) (*Identity, Code) {
	w.t.Helper()
	var res pb.AuthenticateResponse
	code := w.ask(i, MethodAuthenticate, &pb.AuthenticateRequest{Name: user, Password: password},
		&res)
	return &Identity{Token: res.GetToken()}, code
}

func permission(access authpb.Permission_Type, key, end string) *authpb.Permission {
	return &authpb.Permission{PermType: access, Key: []byte(key), RangeEnd: []byte(end)}
}

// protect makes root and a user a, who may read and write [a, b), and enables auth.
func (w *world) protect() (root, a *Identity) {
	w.t.Helper()
	for _, c := range []struct {
		method  Method
		request proto.Message
	}{
		{MethodUserAdd, &pb.AuthUserAddRequest{Name: "root", Password: "r"}},
		{MethodUserGrantRole, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}},
		{MethodUserAdd, &pb.AuthUserAddRequest{Name: "a", Password: "pa"}},
		{MethodRoleAdd, &pb.AuthRoleAddRequest{Name: "ra"}},
		{MethodRoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{Name: "ra",
			Perm: permission(authpb.Permission_READWRITE, "a", "b")}},
		{MethodUserGrantRole, &pb.AuthUserGrantRoleRequest{User: "a", Role: "ra"}},
		{MethodAuthEnable, &pb.AuthEnableRequest{}},
	} {
		require.Equal(w.t, OK, w.change(nil, c.method, c.request), "method %d", c.method)
	}
	root, code := w.login(0, "root", "r")
	require.Equal(w.t, OK, code)
	a, code = w.login(0, "a", "pa")
	require.Equal(w.t, OK, code)
	return root, a
}

func (w *world) putAs(who *Identity, i int, key string) Code {
	w.t.Helper()
	return w.askAs(who, i, MethodPut, &pb.PutRequest{Key: []byte(key)}, &pb.PutResponse{})
}

func (w *world) getAs(who *Identity, i int, key, end string) Code {
	w.t.Helper()
	return w.askAs(who, i, MethodRange, &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)},
		&pb.RangeResponse{})
}

func TestEnablingNeedsSomebodyWhoCanDisable(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	enable := func() Code { return w.change(nil, MethodAuthEnable, &pb.AuthEnableRequest{}) }
	require.Equal(t, ErrRootUserMissing, enable())
	_, code := w.login(0, "root", "r")
	require.Equal(t, ErrAuthDisabled, code)
	require.Equal(t, OK, w.change(nil, MethodUserAdd, &pb.AuthUserAddRequest{Name: "root"}))
	require.Equal(t, ErrRootRoleMissing, enable())
	require.Equal(t, OK, w.change(nil, MethodUserGrantRole,
		&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	var st pb.AuthStatusResponse
	require.Equal(t, OK, w.ask(0, MethodAuthStatus, &pb.AuthStatusRequest{}, &st))
	require.False(t, st.Enabled)
	require.EqualValues(t, 3, st.AuthRevision)
	require.Equal(t, OK, enable())
	require.Equal(t, ErrUserEmpty, enable())
	require.Equal(t, OK, w.ask(0, MethodAuthStatus, &pb.AuthStatusRequest{}, &st))
	require.True(t, st.Enabled)
	require.EqualValues(t, 3, st.AuthRevision, "enabling is no change")

	root, code := w.login(0, "root", "") // an empty password is one
	require.Equal(t, OK, code)
	require.Equal(t, OK, w.change(root, MethodAuthDisable, &pb.AuthDisableRequest{}))
	require.Equal(t, OK, w.putAs(root, 0, "k"), "a token means nothing while auth is off")
	w.agree()
}

func TestEveryPathIsChecked(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	require.Equal(t, ErrUserEmpty, w.putAs(nil, 0, "a1"))
	require.Equal(t, ErrUserEmpty, w.getAs(nil, 0, "a1", ""))
	require.Equal(t, ErrInvalidToken, w.putAs(&Identity{Token: "x"}, 0, "a1"))
	require.Equal(t, ErrInvalidToken, w.getAs(&Identity{Token: a.Token[1:]}, 0, "a1", ""))
	require.Equal(t, OK, w.putAs(a, 0, "a1"))
	require.Equal(t, OK, w.putAs(root, 0, "b1"))
	require.Equal(t, ErrPermissionDenied, w.putAs(a, 0, "b1"))
	require.Equal(t, OK, w.getAs(a, 0, "a", "b"))
	require.Equal(t, ErrPermissionDenied, w.getAs(a, 0, "a", "\x00"))
	require.Equal(t, ErrPermissionDenied, w.getAs(a, 0, "b", ""))

	del := func(key, end string) Code {
		return w.askAs(a, 0, MethodDeleteRange, &pb.DeleteRangeRequest{Key: []byte(key),
			RangeEnd: []byte(end)}, &pb.DeleteRangeResponse{})
	}
	require.Equal(t, OK, del("a1", ""))
	require.Equal(t, ErrPermissionDenied, del("a", "c"))

	get := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
	}
	put := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key)}}}
	}
	nested := func(op *pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{
			RequestTxn: &pb.TxnRequest{Failure: []*pb.RequestOp{op}}}}
	}
	compare := []*pb.Compare{{Key: []byte("b1")}}
	for i, c := range []struct {
		txn  *pb.TxnRequest
		want Code
	}{
		{&pb.TxnRequest{Success: []*pb.RequestOp{put("a1"), get("a1")}}, OK},
		{&pb.TxnRequest{Success: []*pb.RequestOp{get("a1")}}, OK},
		{&pb.TxnRequest{Compare: compare}, ErrPermissionDenied},
		{&pb.TxnRequest{Success: []*pb.RequestOp{put("a1")},
			Failure: []*pb.RequestOp{get("b1")}}, ErrPermissionDenied},
		{&pb.TxnRequest{Success: []*pb.RequestOp{nested(put("b1"))}}, ErrPermissionDenied},
		{&pb.TxnRequest{Failure: []*pb.RequestOp{get("b1")}}, ErrPermissionDenied},
		{&pb.TxnRequest{Success: []*pb.RequestOp{nested(put("a2"))}}, OK},
	} {
		require.Equal(t, c.want, w.askAs(a, 0, MethodTxn, c.txn, &pb.TxnResponse{}), "%d", i)
	}
	for _, method := range []Method{MethodCompact, MethodDefragment, MethodHash, MethodHashKV,
		MethodMoveLeader, MethodUserList, MethodRoleList, MethodAuthDisable} {
		require.Equal(t, ErrPermissionDenied, w.askAs(a, 0, method, &pb.AuthEnableRequest{},
			&pb.AuthEnableResponse{}), "method %d", method)
		require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, method, &pb.AuthEnableRequest{},
			&pb.AuthEnableResponse{}), "method %d", method)
	}
	for method, response := range map[Method]proto.Message{
		MethodStatus: &pb.StatusResponse{}, MethodMemberList: &pb.MemberListResponse{},
	} {
		require.Equal(t, OK, w.askAs(a, 0, method, &pb.StatusRequest{}, response))
		require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, method, &pb.StatusRequest{}, response))
		require.Equal(t, OK, w.askAs(&Identity{Own: true}, 0, method, &pb.StatusRequest{},
			response))
	}
	n := w.members[0].driver.Node
	require.Equal(t, OK, n.mayWatch(a, []byte("a"), []byte("b")))
	require.Equal(t, ErrPermissionDenied, n.mayWatch(a, []byte("a"), []byte{0}))
	require.Equal(t, ErrInvalidToken, n.mayWatch(&Identity{Token: "x"}, []byte("a"), nil))
	w.agree()
}

func TestPreviousValuesNeedTheRightToRead(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	require.Equal(t, OK, w.change(root, MethodRoleGrantPermission,
		&pb.AuthRoleGrantPermissionRequest{Name: "ra",
			Perm: permission(authpb.Permission_WRITE, "w", "x")}))
	put := func(prev bool) Code {
		return w.askAs(a, 0, MethodPut, &pb.PutRequest{Key: []byte("w"), PrevKv: prev},
			&pb.PutResponse{})
	}
	require.Equal(t, OK, put(false))
	require.Equal(t, ErrPermissionDenied, put(true))
	require.Equal(t, ErrPermissionDenied, w.askAs(a, 0, MethodDeleteRange,
		&pb.DeleteRangeRequest{Key: []byte("w"), PrevKv: true}, &pb.DeleteRangeResponse{}))
	require.Equal(t, ErrPermissionDenied, w.getAs(a, 0, "w", ""))
}

// A right that was revoked while a write was on its way is gone: what was sealed at another
// revision is refused at apply.
func TestAWriteOnItsWayLosesARaceWithARevocation(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, a := w.protect()
	raw := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		require.NoError(t, err)
		return b
	}
	m := w.members[0]
	m.inbox = append(m.inbox,
		Input{Kind: InputRequest, Request: &Request{Token: 1001, Method: MethodUserRevokeRole,
			Raw: raw(&pb.AuthUserRevokeRoleRequest{Name: "a", Role: "ra"}), Identity: root}},
		Input{Kind: InputRequest, Request: &Request{Token: 1002, Method: MethodPut,
			Raw: raw(&pb.PutRequest{Key: []byte("a1")}), Identity: a}})
	w.run(3)
	require.Equal(t, OK, w.answers[1001].Code)
	require.Equal(t, ErrAuthOld, w.answers[1002].Code)
	require.Equal(t, ErrPermissionDenied, w.putAs(a, 0, "a1"))
}

func TestTokensLiveAndDie(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	root, a := w.protect()
	require.Regexp(t, `^[a-zA-Z]{16}\.[0-9]+$`, a.Token)
	require.Equal(t, OK, w.putAs(a, 1, "a1"), "every member knows it")
	require.Equal(t, OK, w.putAs(a, 2, "a1"))

	_, code := w.login(1, "a", "wrong")
	require.Equal(t, ErrAuthFailed, code)
	_, code = w.login(1, "nobody", "pa")
	require.Equal(t, ErrAuthFailed, code)

	w.stop(1)
	w.start(1)
	w.run(20)
	require.Equal(t, OK, w.change(root, MethodUserChangePassword,
		&pb.AuthUserChangePasswordRequest{Name: "a", Password: "new"}))
	for i := range 3 {
		require.Equal(t, ErrInvalidToken, w.putAs(a, i, "a1"), "member %d", i)
	}
	_, code = w.login(2, "a", "pa")
	require.Equal(t, ErrAuthFailed, code)
	a, code = w.login(2, "a", "new")
	require.Equal(t, OK, code)
	require.Equal(t, OK, w.putAs(a, 0, "a1"))

	// Unused for the whole of its time it is forgotten, where it was not used.
	for range 4 {
		w.run(1000) // of 100 ms
		require.Equal(t, OK, w.putAs(a, 0, "a1"))
	}
	require.Equal(t, ErrInvalidToken, w.putAs(a, 1, "a1"))

	root, _ = w.login(0, "root", "r")
	require.Equal(t, OK, w.change(root, MethodAuthDisable, &pb.AuthDisableRequest{}))
	require.Equal(t, OK, w.change(nil, MethodAuthEnable, &pb.AuthEnableRequest{}))
	require.Equal(t, ErrInvalidToken, w.putAs(a, 0, "a1"))
	w.agree()
}

// A client may be faster than the log: the member that has not heard of its token waits for it.
func TestARequestWaitsForItsToken(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	_, _ = w.protect()
	lag := (lead + 1) % 3
	other := (lead + 2) % 3
	id := w.cfgs[lag].Member
	w.cut[id] = true
	a, code := w.login(other, "a", "pa")
	require.Equal(t, OK, code)
	w.members[lag].inbox = append(w.members[lag].inbox, Input{Kind: InputRequest,
		Request: &Request{Token: 4242, Method: MethodPut, Raw: []byte("\x0a\x02a1"), Identity: a}})
	w.run(5)
	require.NotContains(t, w.answers, Token(4242))
	delete(w.cut, id)
	w.run(60)
	require.Equal(t, OK, w.answers[4242].Code)

	_, index, _ := splitToken(a.Token)
	forged := &Identity{Token: tokenText(strings.Repeat("x", tokenLetters), index+1_000_000)}
	require.Equal(t, ErrInvalidToken, w.putAs(forged, lag, "a1"), "and not for ever")
	w.agree()
}

func TestSignedIdentities(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.cfgs[0].Tokens = SignedTokens
	w.stop(0)
	w.start(0)
	w.leader()
	for _, c := range []struct {
		method  Method
		request proto.Message
	}{
		{MethodUserAdd, &pb.AuthUserAddRequest{Name: "root", Password: "r"}},
		{MethodUserGrantRole, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}},
		{MethodAuthEnable, &pb.AuthEnableRequest{}},
	} {
		require.Equal(t, OK, w.change(nil, c.method, c.request))
	}
	got, code := w.login(0, "root", "r")
	require.Equal(t, OK, code)
	require.Empty(t, got.Token, "the edge makes it")
	require.EqualValues(t, 3, w.answers[w.token].Auth)
	require.Equal(t, OK, w.putAs(&Identity{User: "root", Revision: 3}, 0, "k"))
	require.Equal(t, OK, w.putAs(&Identity{User: "root"}, 0, "k"), "a certificate has no revision")
	require.Equal(t, OK, w.change(&Identity{User: "root", Revision: 3}, MethodRoleAdd,
		&pb.AuthRoleAddRequest{Name: "r"}))
	require.Equal(t, ErrAuthOld, w.putAs(&Identity{User: "root", Revision: 3}, 0, "k"))
	require.Equal(t, ErrAuthOld, w.getAs(&Identity{User: "root", Revision: 3}, 0, "k", ""))
	require.Equal(t, ErrAuthOld, w.askAs(&Identity{User: "root", Revision: 3}, 0, MethodTxn,
		&pb.TxnRequest{}, &pb.TxnResponse{}), "it reads nothing, and is old all the same")
	require.Equal(t, ErrInvalidToken, w.getAs(&Identity{Token: "abc"}, 0, "k", ""))
	require.Equal(t, ErrPermissionDenied, w.getAs(&Identity{User: "who"}, 0, "k", ""))
}

// A login compares the password again when the store has changed between comparison and token.
func TestALoginThatIsOvertakenBeginsAgain(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, _ := w.protect()
	n := w.members[0].driver.Node
	raw, err := proto.Marshal(&pb.AuthenticateRequest{Name: "a", Password: "pa"})
	require.NoError(t, err)
	m := w.members[0]
	m.held = []PasswordJob{}
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: 7777, Method: MethodAuthenticate, Raw: raw}})
	w.run(3)
	require.Len(t, m.held, 1)
	require.Equal(t, OK, w.change(root, MethodRoleAdd, &pb.AuthRoleAddRequest{Name: "more"}))
	job := m.held[0]
	m.held = nil
	known, jobs := len(n.tokens.list), n.passwords.nextID
	m.Password(job)
	w.run(3)
	require.Equal(t, OK, w.answers[7777].Code)
	require.Equal(t, jobs+1, n.passwords.nextID, "it was compared once more")
	require.Len(t, n.tokens.list, known+1)
	require.Empty(t, n.passwords.open)
}

func TestPasswordsAreBounded(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	n := w.members[0].driver.Node
	raw, err := proto.Marshal(&pb.AuthUserAddRequest{Name: "u", Password: "p"})
	require.NoError(t, err)
	var turn []Input
	for i := range passwordsWaiting + 3 {
		turn = append(turn, Input{Kind: InputRequest, Request: &Request{Token: Token(5000 + i),
			Method: MethodUserAdd, Raw: raw}})
	}
	var out Effects
	n.Step(turn, &out)
	require.Len(t, out.Passwords, passwordsAtOnce)
	require.Len(t, out.Answers, 3)
	require.Equal(t, ErrTooManyRequests, out.Answers[0].Code)
	for _, j := range out.Passwords {
		w.members[0].Password(j)
	}
	w.run(3)
	require.Equal(t, OK, w.answers[5000].Code)
	require.Equal(t, ErrUserExists, w.answers[5001].Code)
	require.Empty(t, n.passwords.open)
	require.Zero(t, n.passwords.given)

	long := strings.Repeat("p", maxPassword+1)
	require.Equal(t, ErrPasswordTooLong, w.change(nil, MethodUserAdd,
		&pb.AuthUserAddRequest{Name: "v", Password: long}))
	require.Equal(t, OK, w.change(nil, MethodUserAdd, &pb.AuthUserAddRequest{Name: "v",
		Password: long, Options: &authpb.UserAddOptions{NoPassword: true}}))
	for name, content := range w.members[0].disk.files {
		require.NotContains(t, string(content), long, "a password is in %s", name)
	}
}

func TestUsersAndRolesSurviveRestartsAndSnapshots(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) {
		l.CheckpointCount, l.CatchUpEntries = 10, 2
		l.LogMemoryBytes, l.CacheBytes = 2<<10, 4<<10
		l.DataSegmentBytes, l.LogSegmentBytes = 8<<10, 8<<10
	})
	lead := w.leader()
	root, _ := w.protect()
	down := (lead + 1) % 3
	w.stop(down)
	lead = w.leader()
	for i := range 40 {
		require.Equal(t, OK, w.putAs(root, lead, fmt.Sprint("k", i)))
		if i%10 == 0 {
			require.Equal(t, OK, w.askAs(root, lead, MethodRoleAdd,
				&pb.AuthRoleAddRequest{Name: fmt.Sprint("r", i)}, &pb.AuthRoleAddResponse{}))
			root, _ = w.login(lead, "root", "r")
		}
	}
	w.start(down)
	w.run(60)
	a, code := w.login(down, "a", "pa")
	require.Equal(t, OK, code)
	require.Equal(t, OK, w.putAs(a, down, "a1"))
	require.Equal(t, ErrPermissionDenied, w.putAs(a, down, "b1"))
	require.Equal(t, OK, w.putAs(a, lead, "a1"))
	w.agree()
	for i := range 3 {
		w.stop(i)
		w.start(i)
	}
	w.leader()
	w.run(20)
	require.Equal(t, ErrUserEmpty, w.putAs(nil, 0, "a1"))
	a, code = w.login(0, "a", "pa")
	require.Equal(t, OK, code)
	require.Equal(t, OK, w.putAs(a, 1, "a1"))
	w.agree()
}

// A member that has not heard that auth is disabled must not refuse whom nobody refuses any more.
func TestARefusalIsNotStale(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	root, _ := w.protect()
	lag := (lead + 1) % 3
	id := w.cfgs[lag].Member
	w.cut[id] = true
	require.Equal(t, OK, w.askAs(root, lead, MethodAuthDisable, &pb.AuthDisableRequest{},
		&pb.AuthDisableResponse{}))
	delete(w.cut, id)
	require.True(t, w.members[lag].driver.Node.state.auth.Enabled())
	require.Equal(t, OK, w.putAs(nil, lag, "a1"))
	require.Equal(t, OK, w.putAs(&Identity{Token: "x"}, lag, "a1"))
	w.agree()
}

// Whoever cannot write every key that holds a lease can neither attach to it, renew nor end it.
func TestLeasesAreAsProtectedAsTheirKeys(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	root, a := w.protect()
	grant := func(who *Identity, id int64) Code {
		return w.askAs(who, 0, MethodLeaseGrant, &pb.LeaseGrantRequest{ID: id, TTL: 100},
			&pb.LeaseGrantResponse{})
	}
	require.Equal(t, ErrUserEmpty, grant(nil, 1))
	require.Equal(t, OK, grant(a, 1))
	require.Equal(t, OK, grant(root, 2))
	put := func(who *Identity, key string, id int64) Code {
		return w.askAs(who, 1, MethodPut, &pb.PutRequest{Key: []byte(key), Lease: id},
			&pb.PutResponse{})
	}
	require.Equal(t, OK, put(a, "a1", 1))
	require.Equal(t, OK, put(root, "b1", 2))
	require.Equal(t, ErrPermissionDenied, put(a, "a2", 2))
	txn := &pb.TxnRequest{Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte("a2"), Lease: 2}}}}}
	require.Equal(t, ErrPermissionDenied, w.askAs(a, 0, MethodTxn, txn, &pb.TxnResponse{}))
	use := func(who *Identity, method Method, id int64) Code {
		switch method {
		case MethodLeaseKeepAlive:
			return w.askAs(who, 2, method, &pb.LeaseKeepAliveRequest{ID: id},
				&pb.LeaseKeepAliveResponse{})
		case MethodLeaseTimeToLive:
			return w.askAs(who, 2, method, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true},
				&pb.LeaseTimeToLiveResponse{})
		case MethodLeaseLeases:
			return w.askAs(who, 2, method, &pb.LeaseLeasesRequest{}, &pb.LeaseLeasesResponse{})
		}
		return w.askAs(who, 2, method, &pb.LeaseRevokeRequest{ID: id}, &pb.LeaseRevokeResponse{})
	}
	w.run(5)
	for _, method := range []Method{MethodLeaseKeepAlive, MethodLeaseTimeToLive,
		MethodLeaseLeases, MethodLeaseRevoke} {
		require.Equal(t, ErrUserEmpty, use(nil, method, 2), "method %d", method)
		require.Equal(t, ErrPermissionDenied, use(a, method, 2), "method %d", method)
		require.Equal(t, OK, use(root, method, 2), "method %d", method)
		if method != MethodLeaseLeases { // which is about all of them
			require.Equal(t, OK, use(a, method, 1), "method %d", method)
		}
	}
	w.run(5)
	require.Equal(t, OK, use(a, MethodLeaseLeases, 0))
	w.agree()
}

func TestABackupCarriesUsersAndRoles(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	root, _ := w.protect()
	require.Equal(t, OK, w.putAs(root, 0, "a1"))
	require.Equal(t, ErrUserEmpty, w.askAs(nil, 0, MethodSnapshot, &pb.SnapshotRequest{},
		&pb.SnapshotResponse{}))
	m := w.members[0]
	m.inbox = append(m.inbox, Input{Kind: InputRequest, Request: &Request{Token: 9999,
		Method: MethodSnapshot, Identity: root}})
	w.settle()
	require.Len(t, m.backups, 1)
	b, err := m.backups[0].Backup()
	require.NoError(t, err)
	require.True(t, b.Auth.Enabled)
	other := restored(t, 1, b)
	other.leader()
	require.Equal(t, ErrUserEmpty, other.putAs(nil, 0, "a1"))
	a, code := other.login(0, "a", "pa")
	require.Equal(t, OK, code)
	require.Equal(t, OK, other.putAs(a, 0, "a1"))
	require.Equal(t, ErrPermissionDenied, other.putAs(a, 0, "b1"))
	require.Equal(t, m.driver.Node.state.auth.Encode(nil),
		other.members[0].driver.Node.state.auth.Encode(nil))
	other.agree()
}

// Somebody whose backup waits while users begin to count has to be one by then: found by the
// simulator, where a member that lagged let nobody in and answered when it had caught up.
func TestABackupThatWaitedIsRefusedToNobody(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.protect()
	n := w.members[0].driver.Node
	n.out = &Effects{}
	n.backups = []readRequest{{token: 9003, method: MethodSnapshot}}
	n.grantBackups()
	require.Len(t, n.out.Answers, 1)
	require.Equal(t, ErrUserEmpty, n.out.Answers[0].Code)
	require.Empty(t, n.out.Reads)
	require.Empty(t, n.backups)
}
