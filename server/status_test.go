package server

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
)

// wellKnown are the errors that etcd's clients know by their text.
func wellKnown() []error {
	return []error{
		rpctypes.ErrGRPCEmptyKey, rpctypes.ErrGRPCKeyNotFound, rpctypes.ErrGRPCValueProvided,
		rpctypes.ErrGRPCLeaseProvided, rpctypes.ErrGRPCTooManyOps, rpctypes.ErrGRPCDuplicateKey,
		rpctypes.ErrGRPCInvalidClientAPIVersion, rpctypes.ErrGRPCInvalidSortOption,
		rpctypes.ErrGRPCCompacted, rpctypes.ErrGRPCFutureRev, rpctypes.ErrGRPCNoSpace,
		rpctypes.ErrGRPCLeaseNotFound, rpctypes.ErrGRPCLeaseExist,
		rpctypes.ErrGRPCLeaseTTLTooLarge, rpctypes.ErrGRPCWatchCanceled,
		rpctypes.ErrGRPCMemberExist, rpctypes.ErrGRPCPeerURLExist,
		rpctypes.ErrGRPCMemberNotEnoughStarted, rpctypes.ErrGRPCMemberBadURLs,
		rpctypes.ErrGRPCMemberNotFound, rpctypes.ErrGRPCMemberNotLearner,
		rpctypes.ErrGRPCLearnerNotReady, rpctypes.ErrGRPCTooManyLearners,
		rpctypes.ErrGRPCClusterIDMismatch,
		rpctypes.ErrGRPCRequestTooLarge, rpctypes.ErrGRPCRequestTooManyRequests,
		rpctypes.ErrGRPCRootUserNotExist, rpctypes.ErrGRPCRootRoleNotExist,
		rpctypes.ErrGRPCUserAlreadyExist, rpctypes.ErrGRPCUserEmpty,
		rpctypes.ErrGRPCUserNotFound, rpctypes.ErrGRPCRoleAlreadyExist,
		rpctypes.ErrGRPCRoleNotFound, rpctypes.ErrGRPCRoleEmpty, rpctypes.ErrGRPCAuthFailed,
		rpctypes.ErrGRPCPermissionNotGiven, rpctypes.ErrGRPCPermissionDenied,
		rpctypes.ErrGRPCRoleNotGranted, rpctypes.ErrGRPCPermissionNotGranted,
		rpctypes.ErrGRPCAuthNotEnabled, rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCInvalidAuthMgmt, rpctypes.ErrGRPCAuthOldRevision,
		rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNotLeader, rpctypes.ErrGRPCLeaderChanged,
		rpctypes.ErrGRPCNotCapable, rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCTimeout,
		rpctypes.ErrGRPCTimeoutDueToLeaderFail, rpctypes.ErrGRPCTimeoutDueToConnectionLost,
		rpctypes.ErrGRPCTimeoutWaitAppliedIndex, rpctypes.ErrGRPCUnhealthy,
		rpctypes.ErrGRPCCorrupt, rpctypes.ErrGRPCNotSupportedForLearner,
		rpctypes.ErrGRPCBadLeaderTransferee, rpctypes.ErrGRPCWrongDowngradeVersionFormat,
		rpctypes.ErrGRPCInvalidDowngradeTargetVersion, rpctypes.ErrGRPCClusterVersionUnavailable,
		rpctypes.ErrGRPCDowngradeInProcess, rpctypes.ErrGRPCNoInflightDowngrade,
		rpctypes.ErrGRPCCanceled, rpctypes.ErrGRPCDeadlineExceeded,
	}
}

// Every well-known error has an outcome with the very text and code, but for those that etcd's
// server sends with another code than its library declares, and those that no call here ends with.
func TestOutcomesAreEtcdsErrors(t *testing.T) {
	sentAsUnknown := []error{rpctypes.ErrGRPCRequestTooManyRequests,
		rpctypes.ErrGRPCMemberNotEnoughStarted}
	elsewhere := []error{
		rpctypes.ErrGRPCInvalidClientAPIVersion, // the edge's own
		rpctypes.ErrGRPCWatchCanceled,           // plain "context canceled"
		rpctypes.ErrGRPCClusterIDMismatch,       // peers refuse each other in their own protocol
		rpctypes.ErrGRPCNotCapable,              // of clusters of old releases
		rpctypes.ErrGRPCNoInflightDowngrade,     // cancelling none is no error
		rpctypes.ErrGRPCCanceled,                // plain "context canceled"
		rpctypes.ErrGRPCDeadlineExceeded,        // plain "context deadline exceeded"
	}
	byText := map[string]error{}
	for _, err := range newStatuses() {
		if err != nil {
			byText[status.Convert(err).Message()] = err
		}
	}
	require.Len(t, wellKnown(), 63)
	for _, want := range wellKnown() {
		text := status.Convert(want).Message()
		got, ok := byText[text]
		if slices.Contains(elsewhere, want) {
			require.False(t, ok, text)
			continue
		}
		require.True(t, ok, text)
		code := status.Code(want)
		if slices.Contains(sentAsUnknown, want) {
			code = codes.Unknown
		}
		require.Equal(t, code, status.Code(got), text)
	}
	require.Equal(t, newEdgeErrors().clientVersion.Error(),
		rpctypes.ErrGRPCInvalidClientAPIVersion.Error())
	for c := kv.OK + 1; c < kv.NumCodes; c++ {
		require.NotEmpty(t, c.Text(), "code %d", c)
	}
}
