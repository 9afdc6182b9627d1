package kv

import (
	"math"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// Inspection is a copy of what a node holds beside its State, for people who look into it.
type Inspection struct {
	Phase       string
	Incarnation raft.Incarnation
	Mono, Wall  int64 // nanoseconds, as of the last tick
	// Entries are those in memory, and Runs the terms of the whole log.
	Entries []raft.Entry
	Runs    []raft.TermRun
	Peers   []Peer // of a leader
	Leases  []SeenLease
	Watched []watch.Seen
	Queues  []Queue
	Rounds  []Round
	// Checkpoint is the applied index of the newest durable checkpoint, and Older of the one
	// before; 0 is none.
	Checkpoint, Older raft.Index
	Checkpointing     bool
	HalfApplied       raft.Index // the entry that takes more than one step, 0 for none
}

// Peer is how far a leader knows another member to be.
type Peer struct {
	Member raft.MemberID
	raft.Progress
}

// SeenLease is a lease with what is left of it on this member's clock; Left is -1 on a member that
// does not lead, which does not know.
type SeenLease struct {
	lease.Lease
	Left lease.Seconds
}

// Queue is how much waits in one place of a node.
type Queue struct {
	Name  string
	Count int64
}

// Round is a set of reads that wait for one read index, or, when that is known, for it to be
// applied.
type Round struct {
	ID    raft.ReadID // the newest name under which it was asked
	Index raft.Index  // 0 until confirmed
	Reads int
}

// Inspect looks into the node. It takes as long as there is much to see.
func (n *Node) Inspect() Inspection {
	s := Inspection{
		Phase:       [...]string{"loading", "recovering", "running", "halted"}[n.phase],
		Incarnation: n.incarnation, Mono: n.mono, Wall: n.wall,
		Entries: n.raft.Window(), Runs: n.raft.Runs(), Watched: n.watching.hub.Watched(),
		Checkpointing: n.store.Checkpointing(),
	}
	newest, older := n.store.Durable()
	s.Checkpoint, s.Older = raft.Index(newest), raft.Index(older)
	if n.apply != nil {
		s.HalfApplied = n.apply.entry.Index
	}
	config := n.raft.Status().Config
	for _, m := range config.Members() {
		if p, ok := n.raft.Progress(m); ok {
			s.Peers = append(s.Peers, Peer{m, p})
		}
	}
	n.state.leases.Visit(math.MinInt64, func(l lease.Lease) bool {
		left := lease.Seconds(-1)
		if n.leases.schedule != nil {
			left = n.leases.schedule.Left(l.ID, n.leases.clock)
		}
		s.Leases = append(s.Leases, SeenLease{l, left})
		return true
	})
	for i := range n.reads.rounds {
		r := &n.reads.rounds[i]
		s.Rounds = append(s.Rounds, Round{r.ids[len(r.ids)-1], r.index, len(r.reads)})
	}
	s.Queues = n.queues()
	return s
}

func (n *Node) queues() []Queue {
	viewed := 0
	oldest := mvcc.Revision(0)
	for i := range n.views.open {
		viewed += n.views.open[i].reads
		if i == 0 {
			oldest = n.views.open[i].view.Revision()
		}
	}
	transfers := int64(len(n.shipping))
	arriving := int64(0)
	if n.receiving != nil {
		arriving = 1
	}
	return []Queue{
		{"proposals open", int64(len(n.proposals.queue))},
		{"proposals unanswered", int64(n.proposals.unanswered)},
		{"proposals bytes", n.proposals.bytes},
		{"reads fresh", int64(len(n.reads.fresh))},
		{"reads confirmed and held", int64(len(n.reads.held))},
		{"views open", int64(len(n.views.open))},
		{"views read", int64(viewed)},
		{"views oldest revision", int64(oldest)},
		{"questions to the leader", int64(len(n.asks.open))},
		{"fetches of old entries", int64(len(n.fetches))},
		{"passwords being hashed", int64(len(n.passwords.open))},
		{"requests before running", int64(len(n.early))},
		{"snapshots leaving", transfers},
		{"snapshots arriving", arriving},
		{"unwritten engine bytes", n.store.Unwritten()},
		{"entries in memory bytes", n.raft.MemoryBytes()},
	}
}

// Glance is the part of a State that is cheap enough to be looked at after every step.
type Glance struct {
	Role                           raft.Role
	Term                           raft.Term
	Leader                         raft.MemberID
	Commit, Applied, Durable, Last raft.Index
	Revision                       mvcc.Revision
}

// Glance looks at the node.
func (n *Node) Glance() Glance {
	g := Glance{Commit: n.raft.CommitIndex(), Applied: n.applied, Durable: n.raft.Durable(),
		Last: n.raft.LastIndex(), Revision: n.store.Revision()}
	g.Leader, g.Term, g.Role = n.raft.Leadership()
	return g
}
