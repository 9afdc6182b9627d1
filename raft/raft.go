package raft

import (
	"fmt"
	"slices"
)

// Settings are the fixed parameters of one Raft instance.
type Settings struct {
	ID          MemberID
	Incarnation Incarnation // this start; strictly larger than every earlier one
	// Seed keys every random draw: a draw is hash(Seed, ID, Incarnation, purpose, counter).
	Seed uint64
	// HeartbeatTicks and ElectionTicks are measured in calls of Tick. An election timeout is drawn
	// from [ElectionTicks, 2*ElectionTicks).
	HeartbeatTicks int
	ElectionTicks  int
	// MaxMessageBytes bounds the entries of one MsgAppend, MaxInflightBytes and
	// MaxInflightMessages what is unacknowledged per follower.
	MaxMessageBytes     int
	MaxInflightBytes    int
	MaxInflightMessages int
	// MaxLogBytes bounds the entries kept in memory. Entries that are durable and applied leave
	// memory first; a follower that needs older ones is served through Fetch.
	MaxLogBytes int
	// MaxUncommittedBytes bounds what a leader accepts beyond its commit index, and, on top of
	// MaxLogBytes, what any member holds beyond what its disk has.
	MaxUncommittedBytes int
	// MaxPendingReads bounds the read rounds in flight.
	MaxPendingReads int
}

// check panics if the settings make no sense.
func (s *Settings) check() {
	switch {
	case s.ID == 0 || s.Incarnation == 0:
		panic(fmt.Sprintf("raft: member %v, incarnation %d", s.ID, s.Incarnation))
	case s.HeartbeatTicks < 1 || s.ElectionTicks <= s.HeartbeatTicks:
		panic(fmt.Sprintf("raft: heartbeat every %d ticks, election after %d",
			s.HeartbeatTicks, s.ElectionTicks))
	case min(s.MaxMessageBytes, s.MaxInflightBytes, s.MaxInflightMessages, s.MaxLogBytes,
		s.MaxUncommittedBytes, s.MaxPendingReads) < 1:
		panic(fmt.Sprintf("raft: a limit is below 1 in %+v", *s))
	}
}

// Restored is what recovery found: the durable state this instance continues from.
type Restored struct {
	Hard HardState
	// Snapshot is the state the log starts after; its Config was in force there. The state machine
	// has applied at least Snapshot.Index, and Applied says how far.
	Snapshot Snapshot
	Applied  Index
	// Last is the last index of the log and Runs the terms of everything in it: a run starts at
	// First and reaches to the next run. All of it is durable.
	Last Index
	Runs []TermRun
	// Entries is the log's suffix that is kept in memory, ending at Last; what precedes it is
	// served through Fetch.
	Entries []Entry
	// Configs holds every EntryConfig of the log after Snapshot.Index, in order.
	Configs []Entry
}

// TermRun says that the entries from First on, up to the next run, have Term.
type TermRun struct {
	First Index
	Term  Term
}

// Raft is one member's view of the consensus: plain data, no I/O, no clock, no goroutine. Its
// methods are its inputs; each does bounded work and leaves what it wants done in an Output that
// Take hands over. It is not safe for concurrent use.
//
// Invariant: log.prev <= applied <= commit <= log.last, and none of the three moves back.
type Raft struct {
	set Settings
	now int64 // wall clock of the last tick, for entry times only
	// lastTime is the largest entry time seen; entries created here are not earlier.
	lastTime int64

	term   Term
	vote   MemberID
	role   Role
	leader MemberID // 0 when unknown

	log     memLog
	disk    durability
	configs configHistory
	commit  Index
	applied Index

	// elapsed counts ticks since the election timer was restarted, sinceLeader since the leader
	// was heard of. timeout is the current draw, draws how many were made.
	elapsed, sinceLeader, timeout int
	draws                         uint64
	votes                         votes
	// grantDue waits for the answer that it has this member's vote in grantTerm.
	grantDue   MemberID
	grantStart Incarnation
	grantTerm  Term

	following following

	// peers is every other member, sorted; empty unless leading. termStart is the index of the
	// entry with which the current leadership began.
	peers            []progress
	termStart        Index
	heartbeatElapsed int
	heartbeatDue     bool // heartbeats to everyone leave with the next Take
	roundDue         bool // heartbeats to the voters leave with the next Take
	pendingBatches   []batch
	uncommitted      int // bytes proposed in this leadership and not committed
	transferee       MemberID
	transferElapsed  int

	reads        readState
	forward      []Entry // proposals on their way to the leader
	forwardBytes int
	starts       []startOf

	fetches    uint64 // number of the newest Fetch
	applyFetch uint64 // the Fetch that apply waits for, 0 if none
	fetched    []Entry

	out     Output
	scratch []uint64
	probes  Probes
}

// New returns a follower that continues from st. It panics if st contradicts itself.
func New(set Settings, st Restored) *Raft {
	set.check()
	r := &Raft{set: set, term: st.Hard.Term, vote: st.Hard.Vote}
	r.log = restoreLog(&st)
	r.disk = durability{durable: st.Last, commit: st.Hard.Commit}
	r.applied = max(st.Applied, st.Snapshot.Index)
	r.commit = max(st.Hard.Commit, r.applied)
	if st.Last == st.Snapshot.Index && st.Snapshot.Term > r.term {
		// A transferred state is newer than the term on record: power was lost before its marker
		// was written. The vote belonged to the term before.
		r.enterTerm(st.Snapshot.Term)
	}
	if r.commit > st.Last || r.log.lastTerm() > r.term || (r.vote != 0 && r.term == 0) {
		panic(fmt.Sprintf("raft: restored %+v, commit %d: beyond the log, which ends at %d of "+
			"term %d", st.Hard, r.commit, st.Last, r.log.lastTerm()))
	}
	if err := st.Snapshot.Config.Check(); err != nil {
		panic(err.Error())
	}
	r.configs = configHistory{{index: st.Snapshot.Index, config: st.Snapshot.Config.Clone()}}
	for i := range st.Configs {
		r.restoreConfig(&st.Configs[i])
	}
	for i := range st.Entries {
		r.lastTime = max(r.lastTime, st.Entries[i].Time)
	}
	r.restartElectionTimer()
	if c := &r.configs.current().config; len(c.Members()) == 1 && c.IsVoter(set.ID) {
		r.elapsed = r.timeout // there is nobody to hear from first
	}
	r.evict()
	return r
}

// restoreLog builds the log and verifies that its parts fit together.
func restoreLog(st *Restored) memLog {
	l := memLog{
		prev: st.Snapshot.Index, prevTerm: st.Snapshot.Term, last: st.Last, handed: st.Last,
		runs: slices.Clone(st.Runs), window: slices.Clip(st.Entries), bytes: sizeOf(st.Entries),
	}
	if l.last < l.prev || (len(l.runs) == 0) != (l.last == l.prev) {
		panic(fmt.Sprintf("raft: restored log after %d ends at %d with runs %v",
			l.prev, l.last, l.runs))
	}
	next, t := l.prev+1, l.prevTerm
	for i, run := range l.runs {
		ordered := (i == 0 && run.First == next) || (i > 0 && run.First >= next)
		if !ordered || run.Term < t || (i > 0 && run.Term == t) || run.First > l.last {
			panic(fmt.Sprintf("raft: restored log after (%d, term %d) has runs %v",
				l.prev, l.prevTerm, l.runs))
		}
		next, t = run.First+1, run.Term
	}
	for i := range l.window {
		e := &l.window[i]
		if e.Index != l.windowFirst()+Index(i) || !l.matches(e.Index, e.Term) {
			panic(fmt.Sprintf("raft: restored entry %d of term %d does not fit the runs %v",
				e.Index, e.Term, l.runs))
		}
	}
	if l.windowFirst() < l.first() {
		panic(fmt.Sprintf("raft: restored entries start at %d, the log at %d",
			l.windowFirst(), l.first()))
	}
	return l
}

func (r *Raft) restoreConfig(e *Entry) {
	next, err := r.configAfter(e)
	if err != nil || e.Index <= r.configs.current().index || !r.log.matches(e.Index, e.Term) {
		panic(fmt.Sprintf("raft: restored configuration entry %d of term %d after %v: %v",
			e.Index, e.Term, *r.configs.current(), err))
	}
	r.adopt(e.Index, next)
}

// Tick advances logical time by one. now is the wall clock in nanoseconds, used only to stamp
// entries that this member creates as a leader.
func (r *Raft) Tick(now int64) {
	r.now = now
	r.elapsed++
	r.sinceLeader++
	r.heartbeatElapsed++
	r.disk.tick()
	if r.heartbeatElapsed >= r.set.HeartbeatTicks {
		r.heartbeatElapsed = 0
		r.heartbeatDue = r.role == Leader
		r.disk.commitDue = true
	}
	if r.role == Leader {
		r.tickLeader()
	} else if r.elapsed >= r.timeout {
		r.restartElectionTimer()
		if r.electable() {
			r.preCampaign()
		} else {
			r.becomeFollower(r.term, 0)
		}
	}
}

func (r *Raft) tickLeader() {
	r.tickTransfer()
	r.giveWay()
	r.farewell()
	if r.elapsed < r.set.ElectionTicks {
		return
	}
	r.elapsed = 0
	quorum := r.quorumReached(quantityActive) == 1
	for i := range r.peers {
		r.peers[i].active = false
	}
	if !quorum {
		r.probes[ProbeQuorumLost]++
		r.becomeFollower(r.term, 0)
	}
}

// Take moves what is to be done since the last call into out, whose slices are reused.
func (r *Raft) Take(out *Output) {
	r.sendForwards()
	if r.role == Leader {
		r.advanceCommit()
		r.leaveJoint()
		r.startRound()
	} else {
		r.forwardReads()
	}
	r.emitAppend()
	for i := range r.peers {
		r.replicate(&r.peers[i])
	}
	if r.heartbeatDue || r.roundDue {
		r.sendHeartbeats()
	}
	for i := range r.peers {
		r.tellCommit(&r.peers[i])
	}
	r.sendAck()
	r.sendGrant()
	r.resignIfRemoved()
	*out, r.out = r.out, Output{
		Messages: out.Messages[:0], Appends: out.Appends[:0], Reads: out.Reads[:0],
		Fetches: out.Fetches[:0], Snapshots: out.Snapshots[:0], Dropped: out.Dropped[:0],
	}
}

// Status is a copy of what people and the layers above want to know.
type Status struct {
	ID          MemberID
	Role        Role
	Term        Term
	Vote        MemberID
	Leader      MemberID // 0 when unknown
	Commit      Index
	Applied     Index
	First       Index // first index in the log
	Last        Index
	Durable     Index // last index whose final write is durable here
	Config      Config
	ConfigIndex Index // index of the entry that made Config, adopted when appended
	Transferee  MemberID
}

// Status returns the current status.
func (r *Raft) Status() Status {
	c := r.configs.current()
	return Status{
		ID: r.set.ID, Role: r.role, Term: r.term, Vote: r.vote, Leader: r.leader,
		Commit: r.commit, Applied: r.applied,
		First: r.log.first(), Last: r.log.last, Durable: r.disk.durable,
		Config: c.config.Clone(), ConfigIndex: c.index, Transferee: r.transferee,
	}
}
