package kv

// Code is the closed set of outcomes of a request. The edge translates it to a gRPC status; the
// texts are etcd's.
type Code uint8

// The codes.
const (
	OK Code = iota
	ErrEmptyKey
	ErrKeyNotFound
	ErrValueProvided
	ErrLeaseProvided
	ErrTooManyOps
	ErrDuplicateKey
	ErrInvalidSortOption
	ErrCompacted
	ErrFutureRev
	ErrNoSpace
	ErrLeaseNotFound
	ErrRequestTooLarge
	ErrTooManyRequests
	ErrNoLeader
	ErrNotLeader
	ErrLeaderChanged
	ErrStopped
	ErrTimeout
	ErrTimeoutLeaderFail
	ErrTimeoutConnLost
	ErrNotLearner
	ErrBadTransferee
	ErrTransferTimeout
	ErrMalformed // not a protobuf message of the method's type
	ErrDeadline  // a write's outcome is unknown after the request timeout
	ErrDamaged   // stored bytes are damaged; the node stops
	NumCodes
)

var codeTexts = [NumCodes]string{
	OK:                   "ok",
	ErrEmptyKey:          "etcdserver: key is not provided",
	ErrKeyNotFound:       "etcdserver: key not found",
	ErrValueProvided:     "etcdserver: value is provided",
	ErrLeaseProvided:     "etcdserver: lease is provided",
	ErrTooManyOps:        "etcdserver: too many operations in txn request",
	ErrDuplicateKey:      "etcdserver: duplicate key given in txn request",
	ErrInvalidSortOption: "etcdserver: invalid sort option",
	ErrCompacted:         "etcdserver: mvcc: required revision has been compacted",
	ErrFutureRev:         "etcdserver: mvcc: required revision is a future revision",
	ErrNoSpace:           "etcdserver: mvcc: database space exceeded",
	ErrLeaseNotFound:     "etcdserver: requested lease not found",
	ErrRequestTooLarge:   "etcdserver: request is too large",
	ErrTooManyRequests:   "etcdserver: too many requests",
	ErrNoLeader:          "etcdserver: no leader",
	ErrNotLeader:         "etcdserver: not leader",
	ErrLeaderChanged:     "etcdserver: leader changed",
	ErrStopped:           "etcdserver: server stopped",
	ErrTimeout:           "etcdserver: request timed out",
	ErrTimeoutLeaderFail: "etcdserver: request timed out, possibly due to previous leader failure",
	ErrTimeoutConnLost:   "etcdserver: request timed out, possibly due to connection lost",
	ErrNotLearner:        "etcdserver: rpc not supported for learner",
	ErrBadTransferee:     "etcdserver: bad leader transferee",
	ErrTransferTimeout:   "etcdserver: request timed out, leader transfer took too long",
	ErrMalformed:         "malformed request message",
	ErrDeadline:          "context deadline exceeded",
	ErrDamaged:           "detcd: stored data is damaged",
}

// Text is the message that clients match on.
func (c Code) Text() string { return codeTexts[c] }

// Maybe says whether a write that ended with c may have taken effect, now or later.
func (c Code) Maybe() bool {
	switch c {
	case ErrDeadline, ErrTimeout, ErrTimeoutLeaderFail, ErrTimeoutConnLost, ErrStopped,
		ErrLeaderChanged:
		return true
	}
	return false
}
