// Package kv is the node: requests in, raft, apply, answers out.
//
// A Node is one deterministic state machine. Everything that happens to it is an Input value;
// what it wants done leaves as Effects values; a Driver performs them against the world. It owns
// three parts and lets no part know another: raft decides the order, raft/wal makes it durable,
// mvcc holds the data. The node carries values between them, in one turn at a time:
//
//	messages, completions, requests, ticks
//	   -> raft  -> entries and terms to the log, messages to the peers
//	   -> apply -> changes to the engine, answers to the clients
//	   -> disk operations of the log and the engine
//
// Invariant: nothing leaves the node that rests on something not yet durable; raft holds back what
// depends on its tickets, and the log reports a ticket only when its sync is done.
package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
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
	// Members is the initial cluster, this member included; used only when the disk is empty. For
	// a member that joins it is whom it was told about, until it has a state of its own.
	Members []Member
	// Name and ClientURLs are this member's attributes, published through the log.
	Name       string
	ClientURLs []string
	Strictness Strictness // of changes of the membership
	Start      StartMode
	// AutoCompact is what a leader compacts without being asked.
	AutoCompact AutoCompact
	// Seed keys all randomness and the log's checksums; nobody but the member may know it.
	// TickNanos is the time between ticks; HeartbeatTicks and ElectionTicks are raft's.
	Seed           uint64
	TickNanos      int64
	HeartbeatTicks int
	ElectionTicks  int
	Version        string // the server version in Status, "3.7.1"; its release is 3.7.0
	// LeaseCheckpointNanos is how much of a lease passes before what is left is written down, so
	// that it survives a change of leader; 0 is never.
	LeaseCheckpointNanos int64
	// ProgressNotifyNanos is the time between the progress notices of watches, 0 for etcd's.
	ProgressNotifyNanos int64
	Limits              Limits
	Observed            Observed
	// Tokens says what clients show to prove who they are; TokenNanos is how long a simple token
	// may go unused.
	Tokens     TokenKind
	TokenNanos int64
}

// StartMode says what a start is for. The first two matter with an empty disk only.
type StartMode uint8

// The choices.
const (
	Found   StartMode = iota // make Members the cluster, together with all of them
	Join                     // wait for the state of the cluster that this member was added to
	Seclude                  // make this member the only one of its cluster: see seclude.go
)

// Limits bounds what a node holds. DefaultLimits are production's; the simulator draws tiny ones.
type Limits struct {
	MaxRequestBytes  int   // of one request in the log
	MaxTxnOps        int   // etcd's budget per level
	QuotaBytes       int64 // of all retained revisions; < 0 is none
	MaxLearners      int
	MaxPending       int   // requests waiting for apply, per member; below half a window's span
	MaxPendingBytes  int64 // of those requests
	MaxBacklog       int   // committed minus applied entries before refusal
	UnwrittenBytes   int64 // of applied changes that wait for the disk; then apply waits
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
	ChunkBytes       int // of a shipped snapshot, a range stream, a write behind, a reclaim copy
	StepUnits        int // background work and apply per step, about a microsecond each
	WatchBytes       int // let out to a watch stream and not yet consumed
	WatchPasses      int // through the history at a time, for watchers that are behind
	WatchNear        int // revisions behind at most, for the last of these passes
	LiveChanges      int // of one revision, up to which watchers get it as it is applied
	BlockKeys        int // keys in a block of the engine's index, 0: what suits large stores
}

// DefaultLimits are the limits of a production member.
func DefaultLimits() Limits {
	return Limits{
		MaxRequestBytes:  1536 << 10,
		MaxTxnOps:        128,
		QuotaBytes:       2 << 30,
		MaxLearners:      1,
		MaxPending:       windowSpan / 2,
		MaxPendingBytes:  256 << 20,
		MaxBacklog:       5000,
		UnwrittenBytes:   64 << 20,
		CheckpointBytes:  64 << 20,
		CheckpointCount:  100_000,
		CatchUpEntries:   5000,
		LogSegmentBytes:  64 << 20,
		DataSegmentBytes: 16 << 20,
		LogMemoryBytes:   4 << 20,
		CacheBytes:       16 << 20,
		MessageBytes:     1 << 20,
		InflightBytes:    16 << 20,
		InflightMessages: 512,
		ChunkBytes:       256 << 10,
		StepUnits:        1000,
		WatchBytes:       1 << 20,
		WatchPasses:      8,
		WatchNear:        10_000,
		LiveChanges:      1024,
	}
}

// Member is one member as clients see it.
type Member struct {
	ID         raft.MemberID
	Name       string // empty until it has published itself
	PeerURLs   []string
	ClientURLs []string
	Learner    Learning
	Release    string // major.minor.0, empty until it has published itself
}

// Learning says whether a member votes.
type Learning uint8

// The choices.
const (
	Voting Learning = iota
	LearnerOnly
)

// phase says how far a start has come.
type phase uint8

const (
	loading    phase = iota // the engine's newest checkpoint is not yet known to be durable
	recovering              // what the log recovered, and the incarnation, are not yet durable
	running
	halted
)

// Node is one member of the cluster: plain data and one deterministic function. It is not safe for
// concurrent use.
type Node struct {
	cfg         Config
	disk        diskio.Reader
	incarnation raft.Incarnation
	release     string // that this program is of, see version.go
	phase       phase
	// marker begins the log anew once the checkpoint that it names is durable; it has no Snapshot
	// when the log joins.
	marker raft.Append

	raft  *raft.Raft
	log   *wal.Log
	store *mvcc.Engine
	state replicated

	// mono and wall are the last tick's clocks, in nanoseconds.
	mono, wall int64
	// applied is the last entry whose effects are complete, of term appliedTerm.
	applied     raft.Index
	appliedTerm raft.Term
	// leader, term and role are raft's at the end of the last step, to notice a change.
	leader raft.MemberID
	term   raft.Term
	role   raft.Role
	// leaderSince is when the current leader was first heard of, in mono time.
	leaderSince int64

	proposals   proposals
	reads       reads
	asks        asks
	leases      leases
	contacts    contacts
	auto        autoCompact
	expelled    int64      // mono; when this member learned that it was removed, 0 if it was not
	secluded    raft.Index // the entry that leaves this member alone, 0: this start asked for none
	views       views
	watching    watching
	tokens      tokens
	passwords   passwords
	apply       *execution // an entry that needs more than one step; nil otherwise
	fetches     []fetch    // raft's reads of old entries, on their way
	fetchSeq    uint64
	physical    []waiter // physical compactions that wait for reclaim
	defragments []defragment
	pacing      pacing
	space       space
	transfer    transfer
	shipping    []shipping // snapshots on their way to others
	receiving   *receiving // the snapshot on its way here; nil if none
	// receiverTicket is the newest disk ticket of any receiver.
	receiverTicket diskio.Ticket
	// checkpointBytes counts applied log bytes since the last checkpoint began at
	// checkpointApplied.
	checkpointBytes   int64
	checkpointApplied raft.Index
	// checkpointVersion is the cluster version in that checkpoint, storedVersion the one before.
	checkpointVersion, storedVersion string
	lowerAt                          int64      // mono; when a downgrade lowers the cluster version
	checkpoints                      uint64     // begun since the start
	compacted                        raft.Index // raft's log is dropped up to here
	// ignored names a damaged file that the start could do without, until somebody is told.
	ignored string
	// early holds requests that came before the node was running.
	early []Request
	// backups holds requests for one while an entry is half applied.
	backups []readRequest

	probes   Probes
	counters Counters
	// verdict is what the entry that is being applied was refused with, OK if it was not.
	verdict  Code
	out      *Effects    // the effects of the step that runs; nil between steps
	raftOut  raft.Output // reused
	haltedBy string
}

// waiter is a request whose answer is ready but for an event to come.
type waiter struct {
	token Token
	index raft.Index
	body  [][]byte // made when the request took effect: a later revision would not be its own
}

// State is a copy of what observers compare: people, metrics, oracles.
type State struct {
	Raft      raft.Status
	Applied   raft.Index
	Revision  mvcc.Revision
	Compacted mvcc.Revision
	Digest    uint64 // of all replicated state; equal at equal Applied
	Keys      int64
	FileBytes int64
	LogBytes  int64
	Pending   int // writes that wait for apply and reads that wait for an index
	Members   []Member
	Removed   []raft.MemberID
	Alarms    []Alarm
	Leases    LeaseCounts
	Version   string // cluster version, empty until decided
	Storage   string // cluster version of what is durable here
	// AuthEnabled and AuthRevision are of the store of users and roles.
	AuthEnabled  bool
	AuthRevision uint64
	// Watchers of all WatchStreams; SlowWatchers have not got everything that is there for them.
	Watchers, WatchStreams, SlowWatchers int
	// Ready: recovery is durable, a leader is known, and this member has published itself.
	Ready bool
}

// Applied is the index up to which the state machine is, counting states that were installed.
func (n *Node) Applied() raft.Index { return n.applied }

// State returns the current state; it costs some microseconds.
func (n *Node) State() State {
	files, _ := n.store.Size()
	s := State{
		Raft: n.raft.Status(), Applied: n.applied, Revision: n.store.Revision(),
		Compacted: n.store.Compacted(), Digest: n.digest(), Keys: n.store.Keys(),
		FileBytes: files, LogBytes: n.log.Bytes(),
		Pending: n.proposals.unanswered + n.reads.waiting() + len(n.passwords.open) +
			len(n.tokens.waiting),
		Members: append([]Member(nil), n.state.members...), Version: n.state.version,
		Storage:     n.storageVersion(),
		Leases:      n.countLeases(),
		AuthEnabled: n.state.auth.Enabled(), AuthRevision: n.state.auth.Revision(),
		Removed: append([]raft.MemberID(nil), n.state.removed...),
		Alarms:  append([]Alarm(nil), n.state.alarms...),
	}
	if n.apply != nil {
		s.Revision = n.apply.base // the applied index's, though some of the entry may be visible
	}
	hub := n.watching.hub
	s.Watchers, s.WatchStreams, s.SlowWatchers = hub.Watchers(), hub.Streams(), hub.Behind()
	s.Ready = n.phase == running && s.Raft.Leader != 0 && n.published()
	return s
}

// Incarnation is the number of this start.
func (n *Node) Incarnation() raft.Incarnation { return n.incarnation }

// digest is the digest of all replicated state: the rolling one over the entries, joined with that
// of users and roles and the engine's. While an entry is half applied it is that of the state
// before.
func (n *Node) digest() uint64 {
	if n.apply != nil && n.apply.ending != nil {
		return n.apply.ending.digest
	}
	return mix(mix(n.state.digest, n.state.auth.Digest()), n.store.Digest())
}

// mix joins two 64-bit values into one hash (the finalizer of splitmix64 over their sum).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// header is the response header as of now.
func (n *Node) header() Header {
	return Header{Cluster: n.cfg.Cluster, Member: n.cfg.Member, Revision: n.store.Revision(),
		Term: n.appliedTerm}
}

// requestTimeout is etcd's bound on a request: 5 s and two election timeouts, in nanoseconds.
func (n *Node) requestTimeout() int64 {
	return 5_000_000_000 + 2*n.electionTimeout()
}

func (n *Node) electionTimeout() int64 { return int64(n.cfg.ElectionTicks) * n.cfg.TickNanos }

// isLearner says that this member does not vote; so does nobody whom the state does not know.
func (n *Node) isLearner() bool {
	m := n.state.member(n.cfg.Member)
	return m == nil || m.Learner == LearnerOnly
}

// published says whether the cluster knows this member's name and addresses.
func (n *Node) published() bool {
	m := n.state.member(n.cfg.Member)
	return m != nil && m.Name == n.cfg.Name && m.Release == n.release &&
		equalStrings(m.ClientURLs, n.cfg.ClientURLs)
}

func equalStrings(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (n *Node) answer(token Token, code Code, body [][]byte, index raft.Index) {
	n.verdict = code
	if token == 0 {
		return // an internal request
	}
	if token&remoteToken != 0 {
		n.answerRemote(token, code, body)
		return
	}
	n.out.Answers = append(n.out.Answers, Answer{Token: token, Code: code, Body: body,
		Index: index, Revision: n.store.Revision(), Confirmed: n.reads.serving,
		Applied: n.applied})
}

func (n *Node) note(level Level, message string, fields ...Field) {
	n.out.Notes = append(n.out.Notes, Note{Level: level, Message: message, Fields: fields})
}

// halt stops the node for good. Nothing of the current step but its notes leaves.
func (n *Node) halt(reason string) {
	if n.phase == halted {
		return
	}
	n.phase, n.haltedBy = halted, reason
}
