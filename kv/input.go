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
}

// Method is a request's RPC.
type Method uint8

// The methods. Reads are Range, read-only Txn, MemberList, HashKV, Hash and Status.
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
}

// ViewID names a granted view.
type ViewID uint64
