// Who asks, in the log.
//
// While auth is enabled a request enters the log together with its user and the auth revision at
// which the user was known. Apply opens the seal, refuses what was sealed at another revision, and
// checks the user's rights, so all members decide alike, and a right that was revoked while the
// request was on its way is gone. What the node itself proposes has entry types of its own and is
// not checked. A client's request without a seal, from before auth was enabled, is nobody's.
//
//	sealed request   u16 n | n bytes user name | u64 auth revision | request message
//	type             entrySealed + method
//
// An Authenticate exists in this form only: the request message is the token's letters, so the log
// holds no password.
package kv

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

// requestMethod is the method of a client's request in the log, sealed or not.
func requestMethod(typ raft.EntryType) (Method, bool) {
	if typ >= entrySealed && typ < entrySealed+raft.EntryType(NumMethods) {
		return Method(typ - entrySealed), true
	}
	return Method(typ - entryRequest),
		typ >= entryRequest && typ < entryRequest+raft.EntryType(NumMethods)
}

// seal returns the form in which a client's write, as data, enters the log.
func (n *Node) seal(r *Request, data []byte) (raft.EntryType, []byte, Code) {
	if !n.state.auth.Enabled() {
		return entryRequest + raft.EntryType(r.Method), data, OK
	}
	who, code := n.subject(r.Identity)
	switch {
	case code != OK:
		return 0, nil, code
	case who.Revision == 0 || who.User == "":
		return 0, nil, ErrUserEmpty
	}
	typ, inside := sealed(r.Method, who, data)
	return typ, inside, OK
}

// doubt keeps a write by somebody who is not known here until this member is sure to be up to date:
// auth may have been disabled, or the client have logged in, without its having heard of it. A
// stranger's write takes no place in the log.
func (n *Node) doubt(r *Request) bool {
	if !n.state.auth.Enabled() || n.mustBeSomebody(r.Identity) == OK || !r.writes() {
		return false
	}
	before := len(n.reads.fresh)
	n.read(r)
	if len(n.reads.fresh) > before {
		n.reads.fresh[before].doubted = true
		n.probes[ProbeWriteDoubted]++
	}
	return true
}

// writes says whether a client's request enters the log under its own name.
func (r *Request) writes() bool {
	switch r.Method {
	case MethodPut, MethodDeleteRange, MethodCompact:
		return true
	case MethodTxn:
		var t txnRequest
		return parseTxn(r.Raw, &t, 0) == nil && !t.isReadOnly()
	}
	return changesAuth(r.Method) && r.Method != MethodAuthenticate
}

// undoubt takes up a doubted write at the moment when its read is confirmed.
func (n *Node) undoubt(r *readRequest) {
	if code := n.mustBeSomebody(r.identity); code != OK {
		n.answer(r.token, n.alarmsFirst(r.method, r.raw, code), nil, 0)
		return
	}
	n.probes[ProbeDoubtSettled]++
	n.request(&Request{Token: r.token, Method: r.method, Raw: r.raw, Identity: r.identity,
		Random: r.random})
	n.out.Again = true
}

func sealed(method Method, who auth.Subject, raw []byte) (raft.EntryType, []byte) {
	if len(who.User) > math.MaxUint16 {
		panic(fmt.Sprintf("kv: a user name of %d bytes was let in", len(who.User)))
	}
	data := make([]byte, 0, 2+len(who.User)+8+len(raw))
	data = binary.LittleEndian.AppendUint16(data, uint16(len(who.User)))
	data = append(data, who.User...)
	data = binary.LittleEndian.AppendUint64(data, who.Revision)
	return entrySealed + raft.EntryType(method), append(data, raw...)
}

// unseal returns the request in an entry and who asks; it is the entry itself when it has no seal.
// ok is false when the seal is malformed.
func unseal(e *raft.Entry) (inner raft.Entry, who auth.Subject, ok bool) {
	inner = *e
	if e.Type < entrySealed || e.Type >= entrySealed+raft.EntryType(NumMethods) {
		return inner, who, true
	}
	if len(e.Data) < 2 {
		return inner, who, false
	}
	name := int(binary.LittleEndian.Uint16(e.Data))
	rest := e.Data[2:]
	if name == 0 || len(rest) < name+8 {
		return inner, who, false
	}
	who.User, rest = string(rest[:name]), rest[name:]
	who.Revision = binary.LittleEndian.Uint64(rest)
	inner.Type, inner.Data = e.Type-entrySealed+entryRequest, rest[8:]
	return inner, who, true
}

// validRequest says whether a forwarded request may enter the log.
func (n *Node) validRequest(method Method, e *raft.Entry) bool {
	inner, _, ok := unseal(e)
	switch {
	case !ok:
		return false
	case method == MethodAuthenticate:
		return e.Type >= entrySealed && len(inner.Data) == tokenLetters
	case changesAuth(method), method == MethodPut, method == MethodDeleteRange,
		method == MethodTxn, method == MethodCompact, method == MethodLeaseRevoke,
		method == MethodAlarm:
		return Validate(method, inner.Data, &n.cfg.Limits) == OK
	case method == MethodDowngrade:
		return Validate(method, inner.Data, &n.cfg.Limits) == OK &&
			checkDowngrade(inner.Data) == OK
	}
	return method == MethodLeaseGrant && n.validGrant(inner.Data)
}

// mayApply opens an entry and says whether the alarms let it pass, and its user may do what it asks
// for. Alarms and downgrades were checked when they came: members raise alarms by themselves.
func (n *Node) mayApply(e *raft.Entry) (raft.Entry, Code) {
	inner, who, ok := unseal(e)
	if !ok {
		panic(fmt.Sprintf("kv: entry %d has a malformed seal, though it was validated", e.Index))
	}
	method, isRequest := requestMethod(e.Type)
	if !isRequest {
		return inner, OK
	}
	if code := n.alarmsAllow(method, inner.Data); code != OK {
		n.probes[ProbeAlarmRefused]++
		n.decide(uint64(code))
		return inner, code
	}
	switch {
	case method == MethodAuthenticate:
		return *e, OK // its seal says whom the token is for
	case !n.state.auth.Enabled():
		return inner, OK
	}
	code := n.mayWrite(method, who, &inner)
	if code != OK {
		n.state.digest = mix(n.state.digest, uint64(code))
	}
	return inner, code
}

// mayWrite says whether a user may do what a write asks for.
func (n *Node) mayWrite(method Method, who auth.Subject, e *raft.Entry) (code Code) {
	var err error
	switch method {
	case MethodPut:
		var req putRequest
		err = parsePut(e.Data, &req)
		code = n.mayPut(who, &req)
	case MethodDeleteRange:
		var req deleteRequest
		err = parseDelete(e.Data, &req)
		code = n.mayDelete(who, &req)
	case MethodTxn:
		var req txnRequest
		err = parseTxn(e.Data, &req, 0)
		code = n.mayTxn(who, &req)
	case MethodLeaseRevoke:
		var id uint64
		id, err = parseVarint1(e.Data)
		if code = somebody(who); code == OK {
			code = n.mayTouchLease(who, lease.ID(id), auth.Write)
		}
	case MethodLeaseGrant:
		code = somebody(who)
	default:
		if changesAuth(method) || method == MethodCompact {
			code = authCode(n.state.auth.Admin(who))
		}
	}
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not what method %d asks for, though it was "+
			"validated: %v", e.Index, method, err))
	}
	if code == ErrAuthOld {
		n.probes[ProbeAuthOld]++
	}
	return code
}

// changesAuth says whether a method changes users, roles, or who is known.
func changesAuth(method Method) bool {
	switch method {
	case MethodAuthEnable, MethodAuthDisable, MethodAuthenticate, MethodUserAdd,
		MethodUserDelete, MethodUserChangePassword, MethodUserGrantRole, MethodUserRevokeRole,
		MethodRoleAdd, MethodRoleDelete, MethodRoleGrantPermission, MethodRoleRevokePermission:
		return true
	}
	return false
}

// applyAuth changes the store of users and roles.
func (n *Node) applyAuth(method Method, e *raft.Entry, token Token) {
	if method == MethodAuthenticate {
		n.applyAuthenticate(e, token)
		return
	}
	code := n.changeAuth(method, e)
	n.state.digest = mix(n.state.digest, uint64(code))
	if code != OK {
		n.answer(token, code, nil, e.Index)
		return
	}
	h := n.header()
	h.Term = e.Term
	n.answer(token, OK, headerBody(h), e.Index)
}

func (n *Node) changeAuth(method Method, e *raft.Entry) Code {
	s := &n.state.auth
	switch method {
	case MethodAuthEnable:
		return authCode(s.Enable())
	case MethodAuthDisable:
		n.tokens.forgetAll()
		return authCode(s.Disable())
	case MethodUserAdd, MethodUserDelete, MethodUserChangePassword, MethodUserGrantRole,
		MethodUserRevokeRole:
		return n.changeUser(method, e)
	}
	return n.changeRole(method, e)
}

func (n *Node) changeUser(method Method, e *raft.Entry) Code {
	s := &n.state.auth
	switch method {
	case MethodUserAdd:
		var r pb.AuthUserAddRequest
		decodeEntry(e, &r)
		u := auth.User{Name: r.GetName(), NoPassword: r.GetOptions().GetNoPassword()}
		if !u.NoPassword {
			hash, err := base64.StdEncoding.DecodeString(r.GetHashedPassword())
			if err != nil && u.Name != "" && s.User(u.Name) == nil {
				return ErrNoPasswordUser
			}
			u.Hash = hash
		}
		return authCode(s.AddUser(u))
	case MethodUserDelete:
		var r pb.AuthUserDeleteRequest
		decodeEntry(e, &r)
		return n.forgetting(r.GetName(), s.DeleteUser(r.GetName()))
	case MethodUserChangePassword:
		var r pb.AuthUserChangePasswordRequest
		decodeEntry(e, &r)
		hash, err := base64.StdEncoding.DecodeString(r.GetHashedPassword())
		if u := s.User(r.GetName()); err != nil && u != nil && !u.NoPassword {
			return ErrNoPasswordUser
		}
		return n.forgetting(r.GetName(), s.ChangePassword(r.GetName(), hash))
	case MethodUserGrantRole:
		var r pb.AuthUserGrantRoleRequest
		decodeEntry(e, &r)
		return authCode(s.GrantRole(r.GetUser(), r.GetRole()))
	}
	var r pb.AuthUserRevokeRoleRequest
	decodeEntry(e, &r)
	return authCode(s.RevokeRole(r.GetName(), r.GetRole()))
}

// forgetting ends a user's tokens after a change that makes them void.
func (n *Node) forgetting(user string, done auth.Outcome) Code {
	if done == auth.Done {
		n.tokens.forget(user)
	}
	return authCode(done)
}

func (n *Node) changeRole(method Method, e *raft.Entry) Code {
	s := &n.state.auth
	switch method {
	case MethodRoleAdd:
		var r pb.AuthRoleAddRequest
		decodeEntry(e, &r)
		return authCode(s.AddRole(r.GetName()))
	case MethodRoleDelete:
		var r pb.AuthRoleDeleteRequest
		decodeEntry(e, &r)
		return authCode(s.DeleteRole(r.GetRole()))
	case MethodRoleGrantPermission:
		var r pb.AuthRoleGrantPermissionRequest
		decodeEntry(e, &r)
		var granted *auth.Permission
		if p := r.GetPerm(); p != nil {
			granted = &auth.Permission{Key: p.GetKey(), End: p.GetRangeEnd(),
				Access: auth.Access(p.GetPermType())}
		}
		return authCode(s.GrantPermission(r.GetName(), granted))
	case MethodRoleRevokePermission:
		var r pb.AuthRoleRevokePermissionRequest
		decodeEntry(e, &r)
		return authCode(s.RevokePermission(r.GetRole(), r.GetKey(), r.GetRangeEnd()))
	}
	panic(fmt.Sprintf("kv: entry %d changes no role: method %d", e.Index, method))
}

// decodeEntry reads the request in an entry, which was validated before it entered the log.
func decodeEntry(e *raft.Entry, into proto.Message) {
	if err := proto.Unmarshal(e.Data, into); err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a request of its type, though it was validated: %v",
			e.Index, err))
	}
}
