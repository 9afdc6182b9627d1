package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// InputKind is the closed set of what can happen to a node.
type InputKind uint8

// The inputs.
const (
	_            InputKind = iota
	InputTick              // time is now (Mono, Wall); comes every Config.TickNanos, late ones once
	InputMessage           // Message arrived from a peer
	InputDisk              // Done: a disk operation ended
	InputRequest           // Request: a client asks
	InputViewEnd           // View: a granted view is no longer read
	InputAgain             // go on with work that did not fit into the last step
	InputLeave             // the process will stop: hand leadership over
	InputDamaged           // Damage: a view met stored bytes that are not what was written
	InputSpace             // Free: the disk has room for so much more; comes now and then
	InputWatch             // Watch: something happened to a watch stream

	InputPassword // Password: the edge has done a PasswordJob
)

// Input is one thing that happened. Only the fields of its Kind are set; what pointers lead to
// belongs to the node from then on.
type Input struct {
	Kind    InputKind
	Mono    int64 // nanoseconds of a clock that never goes back while the process lives
	Wall    int64 // nanoseconds since 1970, any value at all
	Message *raft.Message
	Done    *diskio.Completion
	Request *Request
	View    ViewID
	Damage  string // what was found, and where
	Free    int64  // bytes
	Watch   *WatchInput
	// Password is the outcome of a PasswordJob.
	Password *PasswordResult
}

// Method is a request's RPC. The numbers are part of the log's format: they never change.
type Method uint8

// The methods. Reads are Range, read-only Txn, MemberList, HashKV, Hash, Status and those of leases
// that only ask.
const (
	_ Method = iota
	MethodRange
	MethodPut
	MethodDeleteRange
	MethodTxn
	MethodCompact
	MethodMemberList
	MethodStatus
	MethodHash
	MethodHashKV
	MethodMoveLeader
	MethodDefragment
	MethodLeaseGrant
	MethodLeaseRevoke
	MethodLeaseKeepAlive
	MethodLeaseTimeToLive
	MethodLeaseLeases
	MethodMemberAdd
	MethodMemberRemove
	MethodMemberUpdate
	MethodMemberPromote
	MethodAlarm
	MethodDowngrade
	MethodRangeStream
	MethodSnapshot
	MethodAuthEnable
	MethodAuthDisable
	MethodAuthStatus
	MethodAuthenticate
	MethodUserAdd
	MethodUserGet
	MethodUserList
	MethodUserDelete
	MethodUserChangePassword
	MethodUserGrantRole
	MethodUserRevokeRole
	MethodRoleAdd
	MethodRoleGet
	MethodRoleList
	MethodRoleDelete
	MethodRoleGrantPermission
	MethodRoleRevokePermission
	NumMethods
)

// Token names a request to the edge that brought it; the node hands it back in the Answer.
type Token uint64

// Request is what a client asks: the protobuf request message in wire form, unread. Raw must have
// passed Validate and is immutable for ever.
type Request struct {
	Token  Token
	Method Method
	Raw    []byte
	// Identity is who asks, nil if the client did not say.
	Identity *Identity
	// Random is drawn by the edge for the methods that make something nobody may guess: lease IDs
	// and tokens. Zero for all others.
	Random [2]uint64
}

// Identity is what a client says, or has proved, of itself.
type Identity struct {
	// Token is a simple token as the client sent it; the node knows whose it is. Empty if the edge
	// has verified User by itself.
	Token string
	// User is a name that the edge has verified: a certificate's common name, or the subject of a
	// signed token, made at auth revision Revision (0: not from a token).
	User     string
	Revision uint64
	// Own says that the member itself asks, for a health check or an answer's header, and nobody
	// has to prove anything.
	Own bool
}

// ViewID names a granted view.
type ViewID uint64
