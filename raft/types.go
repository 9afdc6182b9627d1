package raft

import "fmt"

// MemberID names a member of the cluster; 0 is no member.
type MemberID uint64

func (m MemberID) String() string { return fmt.Sprintf("%x", uint64(m)) }

// Term is a Raft term; 0 precedes every election.
type Term uint64

// Index is a position in the replicated log; the first entry has index 1.
type Index uint64

// Incarnation counts the starts of one member; the first start has incarnation 1.
type Incarnation uint64

// Sequence counts the requests of one incarnation of one member, from 1.
type Sequence uint64

// Ticket numbers what must become durable. Tickets grow by one per Append; a completed ticket
// covers every smaller one, because one lane writes them in order.
type Ticket uint64

// ReadID names one ReadIndex request to whoever asked; Raft only hands it back.
type ReadID uint64

// EntryType says how an entry's data is to be read.
type EntryType uint8

// The entry types. A member that meets an unknown type must stop.
const (
	EntryNormal EntryType = 1 // Data belongs to the state machine
	EntryEmpty  EntryType = 2 // the first entry of a leader's term; no data
	EntryConfig EntryType = 3 // Data is an encoded ConfigChange
	// EntryApplication is the first of the types that belong to the state machine, which may tell
	// its own kinds of entry apart by them. Raft treats them all as EntryNormal.
	EntryApplication EntryType = 16
)

// Entry is one position of the replicated log. An entry is immutable once created.
type Entry struct {
	Term  Term
	Index Index
	Type  EntryType
	// Proposer, Incarnation and Sequence name the request: the member that first received it, that
	// member's start, and its running number. All are 0 for an EntryEmpty.
	Proposer    MemberID
	Incarnation Incarnation
	Sequence    Sequence
	// Time is the leader's wall clock at the proposal in nanoseconds since 1970, never lower than
	// the previous entry's. For people and restores only: apply never reads it.
	Time int64
	Data []byte // immutable for ever
}

// Size is the entry's length in bytes in its encoded form, which is what every limit counts.
func (e *Entry) Size() int { return entryHeaderSize + len(e.Data) }

// HardState is what must be durable before anyone may rely on it.
type HardState struct {
	Term   Term
	Vote   MemberID // whom this member voted for in Term; 0 for nobody
	Commit Index    // a hint that shortens recovery; may lag
}

// Snapshot names a state of the state machine: everything up to Index is in it.
type Snapshot struct {
	Index  Index
	Term   Term
	Config Config
}

// MessageType is the closed set of what members say to one another.
type MessageType uint8

// The messages. The snapshot messages carry what the state machine ships, MsgAsk and MsgTell what
// its members ask one another, MsgContact that they are there; Raft itself never sees them, it only
// learns of a transfer's end through SnapshotSent and Restore.
const (
	_                MessageType = iota
	MsgPreVote                   // would you vote for me in Term (my term plus one)?
	MsgPreVoteResp               // Reject says no
	MsgVote                      // vote for me in Term
	MsgVoteResp                  // Reject says no
	MsgAppend                    // Entries follow (Index, LogTerm); Commit is the leader's
	MsgAppendResp                // Index is the match, or with Reject the rejected Index and a Hint
	MsgHeartbeat                 // Commit is clamped to what the receiver is known to match
	MsgHeartbeatResp             // Round answers the leader's
	MsgTimeoutNow                // the leader hands over: campaign at once
	MsgPropose                   // Entries forwarded to the leader, as yet without term and index
	MsgReadIndex                 // a follower asks the leader for a read index, named by Read
	MsgReadIndexResp             // Index is the read index for Read; Reject says ask again
	MsgSnapshotOffer             // state machine: header of a transfer (Index, LogTerm, Data)
	MsgSnapshotChunk             // state machine: a piece of a transfer (Data)
	MsgSnapshotAck               // state machine: how far a transfer has come, or Reject
	MsgAsk                       // state machine: a request for the leader (Read, Data)
	MsgTell                      // state machine: the answer to the MsgAsk named by Read
	MsgContact                   // state machine: a sign of life; Reject says you were removed
	NumMessageTypes
)

// Message is what one member sends to another. Which fields mean something depends on Type; the
// others are zero.
type Message struct {
	Type MessageType
	From MemberID
	To   MemberID
	// FromIncarnation is the sender's start. A message of an older incarnation than one already
	// seen from that member is dropped; a newer one resets the leader's progress for the member.
	FromIncarnation Incarnation
	// ToIncarnation is the receiver's start that the sender knows of, 0 if none: an answer that
	// was meant for an earlier start is dropped.
	ToIncarnation Incarnation
	Term          Term
	LogTerm       Term
	Index         Index
	Commit        Index
	Entries       []Entry
	Reject        bool
	Hint          Index // rejection: an index at which the logs may join
	HintTerm      Term  // rejection: the rejecting log's term at Hint
	Round         uint64
	Read          ReadID
	// Transfer, in a MsgVote: the leader asked for this campaign; do not refuse it for hearing a
	// leader.
	Transfer bool
	Data     []byte // of the state machine's messages: content; immutable for ever
}

// Append is what must go to the durable log, in this order: cut the log after the entry before
// Entries[0] (an overwritten tail is gone for good), add Entries, and record Hard. Its Ticket is
// reported back through Synced when all of it is durable.
type Append struct {
	Ticket  Ticket
	Hard    HardState
	Entries []Entry // may be empty; otherwise consecutive
	// Snapshot, when its Index is not 0, replaces the whole log: it starts anew after
	// Snapshot.Index. The state it names is already durable.
	Snapshot Snapshot
	// MustSync is false when only Hard.Commit moved: no promise depends on it, so it may be
	// written with whatever comes next.
	MustSync bool
}

// ReadReady says that everyone who asked under ID may read once the state machine has applied
// Index. Index 0 says that the attempt failed (leader lost) and must be repeated.
type ReadReady struct {
	ID    ReadID
	Index Index
}

// Fetch asks for entries Lo..Hi (both included) that have left memory, at most MaxBytes of them
// but at least one. The answer comes through Fetched with the same ID.
type Fetch struct {
	ID       uint64
	Lo, Hi   Index
	MaxBytes int
}

// Role is what a member currently is.
type Role uint8

// The roles.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "precandidate", "candidate", "leader"}[r]
}

// Output is what Raft wants done since the last Take. Slices are reused by the next Take; what
// they point to (entry data) is immutable.
type Output struct {
	Messages []Message
	Appends  []Append
	Reads    []ReadReady
	Fetches  []Fetch
	// Snapshots lists the members that need a state transfer because the log they lack is gone.
	// Each is listed once until SnapshotSent reports the transfer's end.
	Snapshots []MemberID
	// Dropped lists proposals that were not taken (no leader, full queue, refused configuration
	// change). The proposer may propose them again under the same name.
	Dropped []Entry
}
