package raft

import "fmt"

// The follower's side of replication. An append is compared with the log: what agrees stays, what
// conflicts is cut, what is missing is added, and nothing else is touched, so that a late and
// shorter append removes nothing.
//
// An acknowledgement is a promise, so it names only what is durable here, and it goes only to the
// leader and term whose entries were compared: match starts from zero in each term. A rejection
// promises nothing and leaves at once, with a hint that lets the leader skip whole terms.

// following is what a follower knows in its current term.
type following struct {
	joined bool  // the logs were compared and found to agree up to match, be it 0
	match  Index // the log is known to equal the leader's up to here
	acked  Index // the leader was told of everything up to here
	ackDue bool  // the leader waits for an answer even if it brings nothing new
}

// hear notes a sign of life from the leader of the current term.
func (r *Raft) hear(leader MemberID) {
	if r.role == Leader || (r.leader != 0 && r.leader != leader) {
		panic(fmt.Sprintf("raft: member %v hears leader %v in term %d, but the leader is %v",
			r.set.ID, leader, r.term, r.leader))
	}
	if r.role != Follower {
		if r.role == Candidate {
			r.probes[ProbeCandidateYields]++
		}
		r.becomeFollower(r.term, leader)
	}
	r.setLeader(leader)
	r.elapsed, r.sinceLeader = 0, 0
}

// handleAppend takes in entries of the leader of the current term.
func (r *Raft) handleAppend(m *Message) {
	r.hear(m.From)
	if r.blank() {
		r.rejectAppend(m)
		return
	}
	prev, entries := m.Index, m.Entries
	if prev < r.commit {
		// Every leader has what is committed, so the logs agree up to there.
		skip := min(int(r.commit-prev), len(entries))
		prev, entries = r.commit, entries[skip:]
	} else if !r.log.matches(prev, m.LogTerm) {
		r.rejectAppend(m)
		return
	}
	if len(entries) > 0 && r.swamped() {
		r.probes[ProbeSwamped]++
		return
	}
	if !r.acceptEntries(entries) {
		return
	}
	last := prev + Index(len(entries))
	if !r.following.joined {
		r.following.joined, r.following.acked = true, min(prev, r.disk.durable)
	}
	r.following.match = max(r.following.match, last)
	r.following.ackDue = true
	r.commitTo(min(m.Commit, last))
}

// blank says that this member was started to join a cluster and knows no configuration. The log
// alone cannot tell it who the first members were, so it takes no entries before it got a state.
func (r *Raft) blank() bool {
	return r.log.last == 0 && len(r.configs.current().config.Voters) == 0
}

// acceptEntries adds entries that follow a matching one. It is false, and nothing is changed, if
// they cannot be right.
func (r *Raft) acceptEntries(entries []Entry) bool {
	for len(entries) > 0 && r.log.matches(entries[0].Index, entries[0].Term) {
		entries = entries[1:]
	}
	for i := range entries {
		if entries[i].Type == EntryConfig {
			if _, err := DecodeChange(entries[i].Data); err != nil {
				return false
			}
		}
	}
	if len(entries) == 0 {
		return true
	}
	if first := entries[0].Index; first <= r.log.last {
		r.cut(first - 1)
	}
	for i := range entries {
		r.add(&entries[i])
	}
	return true
}

// cut removes a tail that conflicts with the leader's log.
func (r *Raft) cut(last Index) {
	if last < r.commit || last < r.following.match {
		panic(fmt.Sprintf("raft: log would be cut to %d, but commit is %d and %d matches term %d",
			last, r.commit, r.following.match, r.term))
	}
	r.noteCut(last)
	r.log.truncate(last)
	r.disk.overwrite(last + 1)
	r.rollBack(last)
}

// add appends one entry, and adopts the configuration that it makes.
func (r *Raft) add(e *Entry) {
	r.log.push(e)
	r.lastTime = max(r.lastTime, e.Time)
	if e.Type != EntryConfig {
		return
	}
	next, err := r.configAfter(e)
	if err != nil {
		panic(fmt.Sprintf("raft: configuration entry %d of term %d does not apply to %v: %v",
			e.Index, e.Term, r.configs.current().config, err))
	}
	r.adopt(e.Index, next)
}

// commitTo moves the commit index, never back.
func (r *Raft) commitTo(i Index) {
	if i <= r.commit {
		return
	}
	if i > r.log.last {
		panic(fmt.Sprintf("raft: commit index %d beyond the last index %d", i, r.log.last))
	}
	r.commit = i
}

// rejectAppend says that the logs differ at m.Index, and where they may join.
func (r *Raft) rejectAppend(m *Message) {
	hint, hintTerm, ok := r.log.joinAt(m.Index, m.LogTerm)
	if !ok || hint < r.commit {
		hint = r.commit
		hintTerm, _ = r.log.term(hint)
	} else if hint < min(m.Index, r.log.last) {
		r.probes[ProbeFollowerSkips]++
	}
	r.send(Message{
		Type: MsgAppendResp, To: m.From, Term: r.term, Reject: true,
		Index: m.Index, Hint: hint, HintTerm: hintTerm,
	})
}

// sendAck acknowledges to the leader what is durable, if that is news or an answer is due.
func (r *Raft) sendAck() {
	f := &r.following
	if r.role != Follower || r.leader == 0 || !f.joined || !r.disk.promiseKept() {
		return
	}
	held := min(f.match, r.disk.durable)
	answer := f.ackDue && held == f.match
	if held <= f.acked && !answer {
		return
	}
	f.acked = max(f.acked, held)
	if answer {
		f.ackDue = false
	}
	r.send(Message{Type: MsgAppendResp, To: r.leader, Term: r.term, Index: held})
}

// handleHeartbeat notes that the leader lives. The commit index in it may be used only up to where
// the logs were compared in this term. Round 0 wants no answer.
func (r *Raft) handleHeartbeat(m *Message) {
	if m.Commit > r.following.match {
		r.probes[ProbeCommitBeyondMatch]++
	}
	r.hear(m.From)
	r.commitTo(min(m.Commit, r.following.match))
	if m.Round != 0 {
		r.send(Message{Type: MsgHeartbeatResp, To: m.From, Term: r.term, Round: m.Round})
	}
}

// WantsSnapshot says whether a snapshot offered at (index, term) would bring this member forward.
// A log that already holds that entry needs no snapshot: replacing it would drop what follows, and
// that may have been acknowledged.
func (r *Raft) WantsSnapshot(index Index, term Term) bool {
	return index > r.commit && !r.log.matches(index, term)
}

// Restore tells that the state machine has durably installed s (which WantsSnapshot wanted): the
// log is replaced, commit and applied move to s.Index, and an Append with the marker leaves. The
// leader hears of it once that ticket is durable.
//
// If the log has caught up with s since it was wanted, the log stays as it is; its owner may even
// have become the leader.
func (r *Raft) Restore(s Snapshot) {
	if s.Index <= r.applied {
		panic(fmt.Sprintf("raft: state at %d restored over %d", s.Index, r.applied))
	}
	r.applyFetch, r.fetched = 0, nil
	if s.Term > r.term {
		r.becomeFollower(s.Term, 0) // the state can come faster than its leader's messages
	}
	if r.log.matches(s.Index, s.Term) {
		r.probes[ProbeStateCovered]++
		r.commitTo(s.Index)
		r.applied = s.Index
		r.evict()
		return
	}
	if r.role == Leader {
		panic(fmt.Sprintf("raft: leader of term %d restores a state at %d", r.term, s.Index))
	}
	if s.Index <= r.commit {
		panic(fmt.Sprintf("raft: snapshot (%d, term %d) contradicts the log committed to %d",
			s.Index, s.Term, r.commit))
	}
	// The disk still has the old log until the marker is durable; of it only what was committed is
	// sure to be in the new state too.
	r.disk.overwrite(r.commit + 1)
	r.following.acked = r.disk.durable
	r.log.reset(s.Index, s.Term)
	r.commit, r.applied = s.Index, s.Index
	r.configs = configHistory{{index: s.Index, config: s.Config.Clone()}}
	r.configChanged()
	r.following.joined, r.following.ackDue = true, true
	r.following.match = max(r.following.match, s.Index)
	ticket := r.disk.issue(s.Index, r.commit)
	r.out.Appends = append(r.out.Appends, Append{
		Ticket: ticket, Hard: r.hardState(), Snapshot: s, MustSync: true,
	})
}
