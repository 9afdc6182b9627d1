// Outcomes on the wire: the gRPC code and the text that etcd's clients compare. The texts are kv's;
// the codes are here, because only the edge knows gRPC. What has no code of its own goes out as
// Unknown, as with etcd; two that look wrong are among them and are right: too many requests, and
// not enough started members.
package server

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
)

// grpcCode is the gRPC code of an outcome.
func grpcCode(c kv.Code) codes.Code {
	switch c {
	case kv.OK:
		return codes.OK
	case kv.ErrEmptyKey, kv.ErrKeyNotFound, kv.ErrValueProvided, kv.ErrLeaseProvided,
		kv.ErrTooManyOps, kv.ErrDuplicateKey, kv.ErrInvalidSortOption, kv.ErrRequestTooLarge,
		kv.ErrBadPeerURLs, kv.ErrWrongVersionFormat, kv.ErrInvalidVersion, kv.ErrUserEmpty,
		kv.ErrRoleEmpty, kv.ErrAuthFailed, kv.ErrPermissionMissing, kv.ErrAuthManagement,
		kv.ErrAuthOld:
		return codes.InvalidArgument
	case kv.ErrCompacted, kv.ErrFutureRev, kv.ErrLeaseTTLTooLarge:
		return codes.OutOfRange
	case kv.ErrNoSpace:
		return codes.ResourceExhausted
	case kv.ErrLeaseNotFound, kv.ErrMemberNotFound:
		return codes.NotFound
	case kv.ErrNoLeader, kv.ErrLeaderChanged, kv.ErrStopped, kv.ErrTimeout,
		kv.ErrTimeoutLeaderFail, kv.ErrTimeoutConnLost, kv.ErrTimeoutApplied, kv.ErrUnhealthy:
		return codes.Unavailable
	case kv.ErrNotLeader, kv.ErrNotLearner, kv.ErrBadTransferee, kv.ErrLeaseExists,
		kv.ErrMemberExists, kv.ErrPeerURLExists, kv.ErrNotALearner, kv.ErrLearnerNotReady,
		kv.ErrTooManyLearners, kv.ErrVersionUnknown, kv.ErrDowngrading, kv.ErrRootUserMissing,
		kv.ErrRootRoleMissing, kv.ErrUserExists, kv.ErrUserNotFound, kv.ErrRoleExists,
		kv.ErrRoleNotFound, kv.ErrRoleNotGranted, kv.ErrPermissionNotGranted, kv.ErrAuthDisabled:
		return codes.FailedPrecondition
	case kv.ErrDeadline:
		return codes.DeadlineExceeded
	case kv.ErrDamaged, kv.ErrCorrupt:
		return codes.DataLoss
	case kv.ErrMalformed:
		return codes.Internal
	case kv.ErrPermissionDenied:
		return codes.PermissionDenied
	case kv.ErrInvalidToken:
		return codes.Unauthenticated
	case kv.ErrSortUnsupported, kv.ErrFilterUnsupported:
		return codes.Unimplemented
	}
	return codes.Unknown
}

// statuses holds the error of every outcome, made once: errors are as hot as answers when a
// cluster is overloaded.
type statuses [kv.NumCodes]error

func newStatuses() *statuses {
	var s statuses
	for c := kv.OK + 1; c < kv.NumCodes; c++ {
		s[c] = status.Error(grpcCode(c), c.Text())
	}
	return &s
}

// The errors that have no kv.Code: they arise at the edge.
type edgeErrors struct {
	clientVersion error // the client-api-version in the metadata is no UTF-8
}

func newEdgeErrors() edgeErrors {
	return edgeErrors{
		clientVersion: status.Error(codes.InvalidArgument,
			"etcdserver: invalid client api version"),
	}
}
