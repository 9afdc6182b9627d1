// Who may do what: the check of a request against the store of users and roles.
//
// A write is checked when it is applied, a read when it is served, both against the store as of
// that very index, and everything else (maintenance, changes of the membership) when it comes. The
// interval that a right is compared with is the engine's own reading of key and range end.
package kv

import (
	"math"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/kv/lease"
)

var authCodes = [auth.NumOutcomes]Code{
	auth.Done:                 OK,
	auth.RootUserMissing:      ErrRootUserMissing,
	auth.RootRoleMissing:      ErrRootRoleMissing,
	auth.UserExists:           ErrUserExists,
	auth.UserEmpty:            ErrUserEmpty,
	auth.UserNotFound:         ErrUserNotFound,
	auth.RoleExists:           ErrRoleExists,
	auth.RoleNotFound:         ErrRoleNotFound,
	auth.RoleEmpty:            ErrRoleEmpty,
	auth.PermissionMissing:    ErrPermissionMissing,
	auth.Denied:               ErrPermissionDenied,
	auth.RoleNotGranted:       ErrRoleNotGranted,
	auth.PermissionNotGranted: ErrPermissionNotGranted,
	auth.Management:           ErrAuthManagement,
	auth.Old:                  ErrAuthOld,
}

func authCode(o auth.Outcome) Code { return authCodes[o] }

// subject finds out who asks. Nobody is no error: not every request needs somebody.
func (n *Node) subject(id *Identity) (auth.Subject, Code) {
	s := &n.state.auth
	if !s.Enabled() || id == nil {
		return auth.Subject{}, OK
	}
	who := auth.Subject{User: id.User, Revision: s.Revision()}
	switch {
	case id.Token != "":
		user, known := "", false
		if n.cfg.Tokens == SimpleTokens {
			user, known = n.tokens.user(id.Token, n.mono)
		}
		if !known {
			n.probes[ProbeTokenUnknown]++
			return auth.Subject{}, ErrInvalidToken
		}
		who.User = user
	case id.User == "":
		return auth.Subject{}, OK
	case len(id.User) > math.MaxUint16:
		return auth.Subject{}, ErrInvalidToken // no user has such a name
	case id.Revision != 0:
		who.Revision = id.Revision
	}
	return who, OK
}

// authRevision is the store's revision while auth is on, else 0.
func (n *Node) authRevision() uint64 {
	if !n.state.auth.Enabled() {
		return 0
	}
	return n.state.auth.Revision()
}

// own says whether the member itself asks.
func (r *Request) own() bool { return r.Identity != nil && r.Identity.Own }

// mayAsk is the check of a request when it comes. Reads and writes pass: theirs comes later.
func (n *Node) mayAsk(r *Request) Code {
	if !n.state.auth.Enabled() || r.own() {
		return OK
	}
	switch r.Method {
	case MethodStatus, MethodLeaseGrant, MethodLeaseRevoke, MethodLeaseTimeToLive:
		return n.mustBeSomebody(r.Identity)
	case MethodAlarm:
		if action, err := parseVarint1(r.Raw); err == nil && action == 0 {
			return n.mustBeSomebody(r.Identity) // listing them
		}
	case MethodMoveLeader, MethodDefragment, MethodHash, MethodHashKV, MethodSnapshot,
		MethodMemberAdd, MethodMemberRemove, MethodMemberUpdate, MethodMemberPromote,
		MethodDowngrade, MethodCompact:
	default:
		return OK
	}
	return n.mustBeAdmin(r.Identity)
}

func (n *Node) mustBeSomebody(id *Identity) Code {
	who, code := n.subject(id)
	if code == OK && who.User == "" && n.state.auth.Enabled() && (id == nil || !id.Own) {
		return ErrUserEmpty
	}
	return code
}

func (n *Node) mustBeAdmin(id *Identity) Code {
	who, code := n.subject(id)
	if code != OK {
		return code
	}
	return authCode(n.state.auth.Admin(who))
}

// mayRead checks a read at the moment when it is served.
func (n *Node) mayRead(r *readRequest) Code {
	s := &n.state.auth
	if !s.Enabled() || r.identity != nil && r.identity.Own || r.method == MethodAuthenticate {
		return OK
	}
	who, code := n.subject(r.identity)
	if code != OK {
		return code
	}
	switch r.method {
	case MethodRange, MethodRangeStream:
		var req rangeRequest
		if parseRange(r.raw, &req) != nil {
			return ErrMalformed
		}
		return authCode(s.May(who, auth.Read, req.query.Key, req.query.End))
	case MethodTxn:
		var req txnRequest
		if parseTxn(r.raw, &req, 0) != nil {
			return ErrMalformed
		}
		if code := n.mayTxn(who, &req); code != OK {
			return code
		}
		if who.Revision != 0 && who.Revision != s.Revision() {
			return ErrAuthOld // though it may read nothing at all
		}
	case MethodUserList, MethodRoleList:
		return authCode(s.Admin(who))
	case MethodMemberAdd, MethodMemberRemove, MethodMemberUpdate, MethodMemberPromote:
		if r.token&remoteToken == 0 { // another member's client was checked there
			return authCode(s.Admin(who))
		}
	case MethodUserGet, MethodRoleGet:
		return n.mayLook(who, r)
	case MethodMemberList:
		return somebody(who)
	case MethodLeaseLeases:
		return n.mayListLeases(who)
	}
	return OK
}

func (n *Node) mayPut(who auth.Subject, p *putRequest) Code {
	s := &n.state.auth
	if o := s.May(who, auth.Write, p.key, nil); o != auth.Done {
		return authCode(o)
	}
	if p.lease != 0 {
		// Whoever could not revoke a lease must not attach anything to it.
		if code := n.mayTouchLease(who, lease.ID(p.lease), auth.Write); code != OK {
			return code
		}
	}
	if p.prevKV {
		return authCode(s.May(who, auth.Read, p.key, nil))
	}
	return OK
}

func (n *Node) mayDelete(who auth.Subject, d *deleteRequest) Code {
	s := &n.state.auth
	if o := s.May(who, auth.Write, d.key, d.end); o != auth.Done || !d.prevKV {
		return authCode(o)
	}
	return authCode(s.May(who, auth.Read, d.key, d.end))
}

// mayTxn checks everything that a transaction could do, whichever of its branches runs.
func (n *Node) mayTxn(who auth.Subject, t *txnRequest) Code {
	s := &n.state.auth
	for i := range t.compares {
		if o := s.May(who, auth.Read, t.compares[i].key, t.compares[i].end); o != auth.Done {
			return authCode(o)
		}
	}
	for _, branch := range [2][]requestOp{t.success, t.failure} {
		for i := range branch {
			if code := n.mayOp(who, &branch[i]); code != OK {
				return code
			}
		}
	}
	return OK
}

func (n *Node) mayOp(who auth.Subject, op *requestOp) Code {
	switch op.kind {
	case opRange:
		q := &op.rng.query
		return authCode(n.state.auth.May(who, auth.Read, q.Key, q.End))
	case opPut:
		return n.mayPut(who, &op.put)
	case opDelete:
		return n.mayDelete(who, &op.del)
	case opTxn:
		return n.mayTxn(who, op.txn)
	}
	return OK
}

// mayTouchLease says whether a user has an access to every key that is attached to a lease.
func (n *Node) mayTouchLease(who auth.Subject, id lease.ID, access auth.Access) Code {
	s := &n.state.auth
	if !s.Enabled() || s.Admin(who) == auth.Done {
		return OK
	}
	code := OK
	n.store.Attached(int64(id), nil, func(key []byte) bool {
		code = authCode(s.May(who, access, key, nil))
		return code == OK
	})
	return code
}

// mayListLeases says whether a user may see every key that is attached to any lease.
func (n *Node) mayListLeases(who auth.Subject) Code {
	code := somebody(who)
	n.state.leases.Visit(math.MinInt64, func(l lease.Lease) bool {
		if code == OK {
			code = n.mayTouchLease(who, l.ID, auth.Read)
		}
		return code == OK
	})
	return code
}

// mayUseLease says whether a client may renew a lease, which takes the right to end it, or ask
// about it. Ending it is checked when that is applied.
func (n *Node) mayUseLease(r *Request, id lease.ID) Code {
	if !n.state.auth.Enabled() || r.own() {
		return OK
	}
	who, code := n.subject(r.Identity)
	if code == OK {
		code = somebody(who)
	}
	switch {
	case code != OK:
	case r.Method == MethodLeaseKeepAlive:
		return n.mayTouchLease(who, id, auth.Write)
	case r.Method == MethodLeaseTimeToLive:
		if _, keys, err := parseTimeToLive(r.Raw); err == nil && keys {
			return n.mayTouchLease(who, id, auth.Read)
		}
	}
	return code
}

// somebody refuses nobody.
func somebody(who auth.Subject) Code {
	if who.User == "" {
		return ErrUserEmpty
	}
	return OK
}

// mayWatch says whether a client may watch what key and end name, from now on.
func (n *Node) mayWatch(id *Identity, key, end []byte) Code {
	if id != nil && id.Own {
		return OK
	}
	who, code := n.subject(id)
	if code != OK {
		return code
	}
	return authCode(n.state.auth.May(who, auth.Read, key, end))
}
