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
	ErrLeaseExists
	ErrLeaseTTLTooLarge
	ErrNotPrimary
	ErrTimeoutApplied
	ErrMemberExists
	ErrPeerURLExists
	ErrNotEnoughStarted
	ErrBadPeerURLs
	ErrMemberNotFound
	ErrNotALearner
	ErrLearnerNotReady
	ErrTooManyLearners
	ErrUnhealthy
	ErrCorrupt
	ErrUnknownMethod
	ErrWrongVersionFormat
	ErrInvalidVersion
	ErrVersionUnknown
	ErrDowngrading
	ErrRootUserMissing
	ErrRootRoleMissing
	ErrUserExists
	ErrUserEmpty
	ErrUserNotFound
	ErrRoleExists
	ErrRoleNotFound
	ErrRoleEmpty
	ErrAuthFailed
	ErrNoPasswordUser
	ErrPasswordTooLong
	ErrPermissionMissing
	ErrPermissionDenied
	ErrRoleNotGranted
	ErrPermissionNotGranted
	ErrAuthDisabled
	ErrInvalidToken
	ErrAuthManagement
	ErrAuthOld
	ErrSortUnsupported
	ErrFilterUnsupported
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
	ErrLeaseExists:       "etcdserver: lease already exists",
	ErrLeaseTTLTooLarge:  "etcdserver: too large lease TTL",
	ErrNotPrimary:        "not a primary lessor",
	ErrTimeoutApplied: "etcdserver: request timed out, " +
		"waiting for the applied index took too long",
	ErrMemberExists:  "etcdserver: member ID already exist",
	ErrPeerURLExists: "etcdserver: Peer URLs already exists",
	ErrNotEnoughStarted: "etcdserver: re-configuration failed due to " +
		"not enough started members",
	ErrBadPeerURLs:    "etcdserver: given member URLs are invalid",
	ErrMemberNotFound: "etcdserver: member not found",
	ErrNotALearner:    "etcdserver: can only promote a learner member",
	ErrLearnerNotReady: "etcdserver: can only promote a learner member " +
		"which is in sync with leader",
	ErrTooManyLearners:    "etcdserver: too many learner members in cluster",
	ErrUnhealthy:          "etcdserver: unhealthy cluster",
	ErrCorrupt:            "etcdserver: corrupt cluster",
	ErrUnknownMethod:      "etcdserver: unknown method",
	ErrWrongVersionFormat: "etcdserver: wrong downgrade target version format",
	ErrInvalidVersion:     "etcdserver: invalid downgrade target version",
	ErrVersionUnknown:     "etcdserver: cluster version not found during downgrade",
	ErrDowngrading:        "etcdserver: cluster has a downgrade job in progress",
	ErrRootUserMissing:    "etcdserver: root user does not exist",
	ErrRootRoleMissing:    "etcdserver: root user does not have root role",
	ErrUserExists:         "etcdserver: user name already exists",
	ErrUserEmpty:          "etcdserver: user name is empty",
	ErrUserNotFound:       "etcdserver: user name not found",
	ErrRoleExists:         "etcdserver: role name already exists",
	ErrRoleNotFound:       "etcdserver: role name not found",
	ErrRoleEmpty:          "etcdserver: role name is empty",
	ErrAuthFailed:         "etcdserver: authentication failed, invalid user ID or password",
	ErrNoPasswordUser: "auth: authentication failed, " +
		"password was given for no password user",
	ErrPasswordTooLong:      "bcrypt: password length exceeds 72 bytes",
	ErrPermissionMissing:    "etcdserver: permission not given",
	ErrPermissionDenied:     "etcdserver: permission denied",
	ErrRoleNotGranted:       "etcdserver: role is not granted to the user",
	ErrPermissionNotGranted: "etcdserver: permission is not granted to the role",
	ErrAuthDisabled:         "etcdserver: authentication is not enabled",
	ErrInvalidToken:         "etcdserver: invalid auth token",
	ErrAuthManagement:       "etcdserver: invalid auth management",
	ErrAuthOld:              "etcdserver: revision of auth store is old",
	ErrSortUnsupported:      "RangeStream does not support custom sort orders",
	ErrFilterUnsupported:    "RangeStream does not support revision filters",
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
