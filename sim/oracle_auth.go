package sim

import (
	"bytes"
	"encoding/binary"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/raft"
)

// authOracle replays users and rights beside the store: what an entry does is checked against the
// rights as of that entry, and what a read answers, or is refused with, against the rights as of
// some index that the member was at when it answered.
type authOracle struct {
	rights *linearizability.Rights
	// passwords are the users' at the last entry.
	passwords map[string]string
	tokens    map[string]tokenFact // by text
	logins    map[string]*call     // by the letters of the token that they would make
	ends      []tokensEnd          // in order of index
}

// tokenFact is a token that an entry made.
type tokenFact struct {
	user  string
	index raft.Index
}

// tokensEnd is an entry that made tokens void: a user's, or everybody's if user is empty.
type tokensEnd struct {
	index raft.Index
	user  string
}

func newAuthOracle() authOracle {
	return authOracle{rights: linearizability.NewRights(), passwords: map[string]string{},
		tokens: map[string]tokenFact{}, logins: map[string]*call{}}
}

// firstSealed is the type of the first sealed request, see the log entries of the node.
const firstSealed = raft.EntryApplication + 120

// openSeal returns a client's request as an entry of its own, and who made it; ok is false for
// other entries.
func openSeal(e *raft.Entry) (inner raft.Entry, who linearizability.Asker, ok bool) {
	inner = *e
	if e.Type >= firstSealed && e.Type < firstSealed+raft.EntryType(kv.NumMethods) {
		n := int(binary.LittleEndian.Uint16(e.Data))
		who.User = string(e.Data[2 : 2+n])
		who.Revision = binary.LittleEndian.Uint64(e.Data[2+n:])
		inner.Type, inner.Data = raft.EntryApplication+e.Type-firstSealed, e.Data[2+n+8:]
	}
	return inner, who, inner.Type >= raft.EntryApplication &&
		inner.Type < raft.EntryApplication+raft.EntryType(kv.NumMethods)
}

// lettersOf is the form of a token's letters, worked out apart from the node.
func lettersOf(random [2]uint64) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b []byte
	for i := range 16 {
		b = append(b, alphabet[random[i/8]%52])
		random[i/8] /= 52
	}
	return string(b)
}

// sameRequest says whether an entry holds what the client sent. A password is the exception: the
// log must hold its hash instead.
func (k *call) sameRequest(raw []byte) bool {
	switch sent := k.request.auth.(type) {
	case *pb.AuthUserAddRequest:
		var got pb.AuthUserAddRequest
		return proto.Unmarshal(raw, &got) == nil && got.Name == sent.Name &&
			!bytes.Contains(raw, []byte(sent.Password))
	case *pb.AuthUserChangePasswordRequest:
		var got pb.AuthUserChangePasswordRequest
		return proto.Unmarshal(raw, &got) == nil && got.Name == sent.Name &&
			!bytes.Contains(raw, []byte(sent.Password))
	}
	return string(k.request.raw) == string(raw)
}

// refuses says why an entry must be refused by the rights before it.
func (a *authOracle) refuses(k *call, who linearizability.Asker,
	state *linearizability.State) string {
	if k.request.auth != nil {
		return a.rights.Admin(who.User)
	}
	return a.rights.Refuses(who, &k.request.modelled, state)
}

// changed replays a change of users and rights.
func (a *authOracle) changed(k *call, index raft.Index) {
	var err string
	a.rights, err = a.rights.Change(k.request.auth)
	k.expectedErr = err
	if err != "" {
		return
	}
	switch r := k.request.auth.(type) {
	case *pb.AuthUserAddRequest:
		a.passwords[r.Name] = r.Password
	case *pb.AuthUserChangePasswordRequest:
		a.passwords[r.Name] = r.Password
		a.ends = append(a.ends, tokensEnd{index, r.Name})
	case *pb.AuthUserDeleteRequest:
		a.ends = append(a.ends, tokensEnd{index, r.Name})
	case *pb.AuthDisableRequest:
		a.ends = append(a.ends, tokensEnd{index, ""})
	}
}

// loggedIn replays an entry that makes a token.
func (c *commitOracle) loggedIn(w *world, e *raft.Entry, letters []byte,
	who linearizability.Asker) {
	a := &w.oracle.auth
	k := a.logins[string(letters)]
	if k == nil {
		w.fail(OracleRaft, "the entry at index %d makes a token that nobody asked for", e.Index)
		return
	}
	if !c.admit(w, e) {
		return
	}
	k.effective, k.expectedErr, k.appliedAt = e.Index, "", w.now
	k.revision = c.state.Revision()
	asked := k.request.auth.(*pb.AuthenticateRequest)
	switch {
	case asked.Name != who.User:
		w.fail(OracleModel, "the entry at index %d makes a token for %q, asked by %q", e.Index,
			who.User, asked.Name)
	case !a.rights.Enabled:
		k.expectedErr = kv.ErrAuthDisabled.Text()
	case who.Revision != a.rights.Revision:
		k.expectedErr = linearizability.ErrAuthOld
	case a.passwords[asked.Name] != asked.Password:
		w.fail(OracleModel, "call %d logs in as %q with password %q, which is %q", k.number,
			asked.Name, asked.Password, a.passwords[asked.Name])
	default:
		text := string(letters) + "." + strconv.FormatUint(uint64(e.Index), 10)
		a.tokens[text] = tokenFact{user: who.User, index: e.Index}
	}
}

// void says whether a token was ended by an entry up to an index.
func (a *authOracle) void(t tokenFact, at raft.Index) bool {
	for _, end := range a.ends {
		if end.index > t.index && end.index <= at && (end.user == "" || end.user == t.user) {
			return true
		}
	}
	return false
}

// judgeAccess checks an answer that rests on no entry: whether the client had the right to it, or
// was refused with reason, at an index of those that the member was at.
func (o *oracles) judgeAccess(m *member, k *call, a *kv.Answer, from, to raft.Index) {
	w := o.world
	leader := k.request.method == kv.MethodLeaseKeepAlive ||
		k.request.method == kv.MethodLeaseTimeToLive // checked here, answered there and later
	if k.request.method == kv.MethodMoveLeader {
		from = min(from, k.accepted) // checked when asked, answered when it is over
	}
	if !w.plan.Auth.on() || a.Index != 0 || k.request.method == kv.MethodAuthenticate ||
		leader && a.Code == kv.OK {
		return
	}
	if s := m.driver.Node.State(); s.Applied > m.applied && to == m.applied {
		to, m.learned = s.Applied, s.Applied // a state was installed in this turn
	}
	var verdicts []string
	for i := from; i <= to; i++ {
		rights, state := linearizability.NewRights(), linearizability.NewState()
		if e := o.commit.at(i); e != nil {
			rights, state = e.rights, e.state
		}
		verdict := o.auth.verdict(k, rights, state, i)
		if verdict == a.Code.Text() {
			return
		}
		verdicts = append(verdicts, verdict)
	}
	switch a.Code {
	case kv.OK:
		w.fail(OracleModel, "member %d answers call %d of user %q at index %d to %d, the model "+
			"says %q: %s", m.index, k.number, k.user, from, to, verdicts, k.describe())
	case kv.ErrPermissionDenied, kv.ErrAuthOld, kv.ErrUserEmpty, kv.ErrUserNotFound:
		w.fail(OracleModel, "member %d refuses call %d of user %q (%q) at index %d to %d, the "+
			"model says %q: %s", m.index, k.number, k.user, a.Code.Text(), from, to, verdicts,
			k.describe())
	case kv.ErrInvalidToken:
		o.judgeToken(m, k, from, to)
	}
}

// verdict is what a member at an index has to say of a call that is not written into the log.
func (a *authOracle) verdict(k *call, rights *linearizability.Rights,
	state *linearizability.State, at raft.Index) string {
	who := linearizability.Asker{User: k.user, Revision: rights.Revision}
	if k.identity == nil {
		who.Revision = 0
	} else if t, known := a.tokens[k.identity.Token]; rights.Enabled && (!known || t.index > at ||
		a.void(t, at)) {
		return kv.ErrInvalidToken.Text()
	}
	refused := ""
	nobody := rights.Enabled && who.Revision == 0
	switch k.request.method {
	case kv.MethodHashKV, kv.MethodMoveLeader, kv.MethodDefragment, kv.MethodSnapshot,
		kv.MethodMemberAdd, kv.MethodMemberRemove, kv.MethodMemberUpdate,
		kv.MethodMemberPromote, kv.MethodAlarm:
		refused = rights.Admin(who.User)
	case kv.MethodStatus, kv.MethodMemberList:
	case kv.MethodLeaseLeases:
		refused = rights.RefusesLeases(who, state)
	default:
		if k.request.auth != nil {
			refused = rights.Admin(who.User)
		} else {
			refused = rights.Refuses(who, &k.request.modelled, state)
			nobody = nobody && !k.request.modelled.ReadOnly()
		}
	}
	if nobody {
		refused = linearizability.ErrUserEmpty
	}
	if refused == "" {
		return kv.OK.Text()
	}
	return refused
}

// judgeToken checks that a member does not disown a token that it must know: one that it learned
// in this process, after the last state that was installed, and that nothing has ended.
func (o *oracles) judgeToken(m *member, k *call, from, to raft.Index) {
	if k.identity == nil {
		o.world.fail(OracleModel, "member %d calls a token of call %d invalid, which has none",
			m.index, k.number)
		return
	}
	t, known := o.auth.tokens[k.identity.Token]
	if known && t.index > m.learned && t.index <= from && !o.auth.void(t, to) {
		o.world.fail(OracleModel, "member %d at index %d does not know the token that user %q got "+
			"at index %d", m.index, to, t.user, t.index)
	}
}
