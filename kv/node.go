package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// Observed says whether a node lists what it applies in its effects.
type Observed uint8

// The choices.
const (
	Unobserved Observed = iota
	ObserveApplied
)

// Config is everything a node is told about itself. It is plain data and never changes.
type Config struct {
	Cluster uint64
	Member  raft.MemberID
	// Members is the initial cluster, this member included; used only when the disk is empty.
	Members []Member
	// Name and ClientURLs are this member's attributes, published through the log.
	Name       string
	ClientURLs []string
	// Seed keys all randomness; TickNanos is the time between ticks; HeartbeatTicks and
	// ElectionTicks are raft's.
	Seed           uint64
	TickNanos      int64
	HeartbeatTicks int
	ElectionTicks  int
	Version        string // the server version in Status, "3.7.1"
	Limits         Limits
	Observed       Observed
}

// Limits bounds what a node holds. DefaultLimits are production's; the simulator draws tiny ones.
type Limits struct {
	MaxRequestBytes  int   // of one request in the log
	MaxTxnOps        int   // etcd's budget per level
	QuotaBytes       int64 // of all retained revisions; < 0 is none
	MaxPending       int   // requests waiting for apply, per member
	MaxBacklog       int   // committed minus applied entries before refusal
	CheckpointBytes  int64 // log bytes between checkpoints
	CheckpointCount  int64 // applied entries between checkpoints
	CatchUpEntries   int64 // entries kept behind the older checkpoint for slow followers
	LogSegmentBytes  int64
	DataSegmentBytes int64
	LogMemoryBytes   int // entries kept in memory
	CacheBytes       int64
	MessageBytes     int // entries of one append message
	InflightBytes    int // unacknowledged per follower
	InflightMessages int
	ChunkBytes       int // of a shipped snapshot
	StepUnits        int // background work and apply per step, about a microsecond each
}

// DefaultLimits are the limits of a production member.
func DefaultLimits() Limits { panic("todo") }

// Member is one member as clients see it.
type Member struct {
	ID         raft.MemberID
	Name       string // empty until it has published itself
	PeerURLs   []string
	ClientURLs []string
	Learner    Learning
}

// Learning says whether a member votes.
type Learning uint8

// The choices.
const (
	Voting Learning = iota
	LearnerOnly
)

// Node is one member of the cluster: plain data and one deterministic function. It is not safe for
// concurrent use.
type Node struct{ TODO int }

// Open reads what the disk holds and returns a node ready for its first step. An error names what
// is wrong with the disk; a *wal.DamageError or *mvcc.DamageError says exactly what is damaged.
// Nothing is written: what must be is in the effects of the first step.
func Open(cfg Config, disk diskio.Reader) (*Node, error) { panic("todo") }

// Step takes one turn: every input that waited, then the effects. It does about a millisecond of
// work and asks for more through Effects.Again.
func (n *Node) Step(turn []Input, out *Effects) { panic("todo") }

// Validate checks a request as far as that needs no state, on any goroutine. Codes are etcd's;
// ErrMalformed says that raw is not a message of the method's type.
func Validate(method Method, raw []byte, lim *Limits) Code { panic("todo") }

// Run evaluates the read. It may take long and runs on any goroutine.
func (r *Read) Run() Answer { panic("todo") }

// State is a copy of what observers compare: people, metrics, oracles.
type State struct {
	Raft      raft.Status
	Applied   raft.Index
	Revision  mvcc.Revision
	Compacted mvcc.Revision
	Digest    uint64 // of all replicated state; equal at equal Applied
	Keys      int64
	FileBytes int64
	Pending   int // requests waiting for apply
	Members   []Member
	Version   string // cluster version, empty until decided
	Ready     bool   // recovery is durable, a leader is known, and this member has published itself
}

// State returns the current state; it costs some microseconds.
func (n *Node) State() State { panic("todo") }

// Check verifies the invariants of the node and of all that it holds; it may take long.
func (n *Node) Check() error { panic("todo") }

// MemberIDFor is etcd's member id: the first 8 bytes, big-endian, of the SHA-1 of the sorted peer
// URLs followed by the cluster token.
func MemberIDFor(peerURLs []string, token string) raft.MemberID { panic("todo") }

// ClusterIDFor is etcd's cluster id: the first 8 bytes of the SHA-1 of the members' ids, 8 bytes
// big-endian each, ascending.
func ClusterIDFor(ids []raft.MemberID) uint64 { panic("todo") }
