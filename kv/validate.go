// What can be said of a request without knowing the store: etcd's checks, in etcd's order.
package kv

import (
	"github.com/detcd/detcd/mvcc"
)

// Validate checks a request as far as that needs no state, on any goroutine. Codes are etcd's;
// ErrMalformed says that raw is not a message of the method's type.
func Validate(method Method, raw []byte, lim *Limits) Code {
	switch method {
	case MethodRange, MethodRangeStream:
		return validateRead(method, raw)
	case MethodPut:
		var p putRequest
		if parsePut(raw, &p) != nil {
			return ErrMalformed
		}
		if code := validatePut(&p); code != OK {
			return code
		}
	case MethodDeleteRange:
		var d deleteRequest
		if parseDelete(raw, &d) != nil {
			return ErrMalformed
		}
		if len(d.key) == 0 {
			return ErrEmptyKey
		}
	case MethodTxn:
		var t txnRequest
		if parseTxn(raw, &t, 0) != nil {
			return ErrMalformed
		}
		if code := validateTxn(&t, lim.MaxTxnOps); code != OK {
			return code
		}
		if t.isReadOnly() {
			return OK
		}
	case MethodCompact:
		var c compactRequest
		if parseCompact(raw, &c) != nil {
			return ErrMalformed
		}
	case MethodLeaseGrant, MethodLeaseRevoke, MethodLeaseKeepAlive, MethodLeaseTimeToLive:
		return validateLease(method, raw, lim)
	case MethodMemberAdd, MethodMemberUpdate:
		if code := validateMember(method, raw); code != OK {
			return code
		}
	case MethodAlarm:
		if code := validateAlarm(raw); code != OK {
			return code
		}
	case MethodDowngrade:
		if _, err := parseDowngrade(raw); err != nil {
			return ErrMalformed
		}
	case MethodMemberList, MethodHashKV, MethodMoveLeader, MethodMemberRemove,
		MethodMemberPromote:
		if _, err := parseVarint1(raw); err != nil {
			return ErrMalformed
		}
		return OK
	default:
		if !aboutAuth(method) {
			return OK
		}
		if code := validateAuth(method, raw); code != OK {
			return code
		}
	}
	if len(raw)+requestOverhead > lim.MaxRequestBytes {
		return ErrRequestTooLarge
	}
	return OK
}

// requestOverhead is what the log adds to a request, counted against the limit as etcd counts its
// own envelope.
const requestOverhead = 64

func validateRead(method Method, raw []byte) Code {
	var r rangeRequest
	if parseRange(raw, &r) != nil {
		return ErrMalformed
	}
	code := validateRange(&r.query)
	if code == OK && method == MethodRangeStream {
		code = validateStream(&r.query)
	}
	return code
}

func validateRange(q *mvcc.Query) Code {
	if len(q.Key) == 0 {
		return ErrEmptyKey
	}
	if q.Order < mvcc.NoOrder || q.Order > mvcc.Descend ||
		q.Target < mvcc.ByKey || q.Target > mvcc.ByValue {
		return ErrInvalidSortOption
	}
	return OK
}

func validatePut(p *putRequest) Code {
	switch {
	case len(p.key) == 0:
		return ErrEmptyKey
	case p.ignoreValue && len(p.value) != 0:
		return ErrValueProvided
	case p.ignoreLease && p.lease != 0:
		return ErrLeaseProvided
	}
	return OK
}

func validateTxn(t *txnRequest, budget int) Code {
	if code := validateOps(t, budget); code != OK {
		return code
	}
	if _, _, ok := checkIntervals(t.success); !ok {
		return ErrDuplicateKey
	}
	if _, _, ok := checkIntervals(t.failure); !ok {
		return ErrDuplicateKey
	}
	return OK
}

// validateOps checks sizes and single operations of a transaction, nested ones included.
func validateOps(t *txnRequest, budget int) Code {
	ops := max(len(t.compares), len(t.success), len(t.failure))
	if ops > budget {
		return ErrTooManyOps
	}
	for i := range t.compares {
		if len(t.compares[i].key) == 0 {
			return ErrEmptyKey
		}
	}
	for _, branch := range [2][]requestOp{t.success, t.failure} {
		for i := range branch {
			if code := validateOp(&branch[i], budget-ops); code != OK {
				return code
			}
		}
	}
	return OK
}

func validateOp(op *requestOp, budget int) Code {
	switch op.kind {
	case opRange:
		return validateRange(&op.rng.query)
	case opPut:
		return validatePut(&op.put)
	case opDelete:
		if len(op.del.key) == 0 {
			return ErrEmptyKey
		}
		return OK
	case opTxn:
		return validateOps(op.txn, budget)
	}
	return ErrKeyNotFound
}

// disjoint says whether none of keys is in puts or inside one of dels.
func disjoint(keys, puts map[string]struct{}, dels intervals) bool {
	//detcd:allow maprange: whether any key collides is the same in any order
	for k := range keys {
		if _, ok := puts[k]; ok || dels.contain([]byte(k)) {
			return false
		}
	}
	return true
}

// checkIntervals refuses two puts of one key, and a put inside a delete, among all operations that
// can execute together: this branch and one branch of every nested transaction. It returns the
// puts and deletes of ops.
func checkIntervals(ops []requestOp) (puts map[string]struct{}, dels intervals, ok bool) {
	puts = make(map[string]struct{})
	for i := range ops {
		if ops[i].kind == opDelete {
			dels = append(dels, deleted(&ops[i].del))
		}
	}
	dels = dels.merged()
	for i := range ops {
		if ops[i].kind != opTxn {
			continue
		}
		putsThen, delsThen, ok := checkIntervals(ops[i].txn.success)
		if !ok {
			return nil, nil, false
		}
		putsElse, delsElse, ok := checkIntervals(ops[i].txn.failure)
		if !ok {
			return nil, nil, false
		}
		// The two branches never run together, so they may share keys with each other, but not
		// with what came before them.
		if !disjoint(putsThen, puts, dels) || !disjoint(putsElse, puts, dels) {
			return nil, nil, false
		}
		puts = union(union(puts, putsThen), putsElse)
		dels = append(append(dels, delsThen...), delsElse...).merged()
	}
	for i := range ops {
		if ops[i].kind != opPut {
			continue
		}
		key := ops[i].put.key
		if _, twice := puts[string(key)]; twice || dels.contain(key) {
			return nil, nil, false
		}
		puts[string(key)] = struct{}{}
	}
	return puts, dels, true
}

// union adds the smaller set to the larger one.
func union(a, b map[string]struct{}) map[string]struct{} {
	if len(a) < len(b) {
		a, b = b, a
	}
	//detcd:allow maprange: a union of sets is the same in any order
	for k := range b {
		a[k] = struct{}{}
	}
	return a
}
