package raft

import "fmt"

// The leader's side of replication. Proposals only extend the log; Take turns what has gathered
// into one append per follower (more only where the limits on a message ask for it), sent ahead of
// the answers, in the same Output that hands the entries to the own disk. The leader's disk is one
// voter's disk among others: an index is committed when a quorum has it durably, with or without
// the leader, and only if its entry is of the leader's own term (the paper's figure 8); what comes
// before it is committed with it.

// batch is what one proposal added to the uncommitted tail.
type batch struct {
	last  Index
	bytes int
}

// Propose asks for entries (Type, Proposer, Incarnation, Sequence and Data are set) to be
// appended: a leader appends them as one batch, a follower forwards them to its leader, and what
// cannot be taken comes back in Output.Dropped. An EntryConfig is refused while another one is
// uncommitted, and before the leader has committed an entry of its own term.
func (r *Raft) Propose(entries []Entry) {
	if r.role == Leader {
		taken := r.proposeHere(entries)
		r.out.Dropped = append(r.out.Dropped, entries[taken:]...)
		return
	}
	for i := range entries {
		size := entries[i].Size()
		full := len(r.forward) > 0 && r.forwardBytes+size > r.set.MaxUncommittedBytes
		if r.leader == 0 || full {
			r.out.Dropped = append(r.out.Dropped, entries[i:]...)
			return
		}
		r.forward = append(r.forward, entries[i])
		r.forwardBytes += size
	}
}

// proposeHere appends entries as the leader, in order, until one cannot be taken; it returns how
// many were.
func (r *Raft) proposeHere(entries []Entry) (taken int) {
	if r.transferee != 0 {
		r.probes[ProbeProposalInTransfer]++
		return 0
	}
	bytes := 0
	for taken < len(entries) {
		e := entries[taken]
		size := e.Size()
		limit := r.uncommitted+bytes > 0 &&
			r.uncommitted+bytes+size > r.set.MaxUncommittedBytes
		if limit || r.swamped() || e.Type == 0 || e.Type == EntryEmpty {
			r.probes[ProbeProposalOverLimit]++
			break
		}
		if e.Type == EntryConfig {
			if _, ok := r.planChange(&e); !ok {
				break
			}
		}
		r.appendOwn(&e)
		bytes += size
		taken++
	}
	if taken > 0 {
		r.pendingBatches = append(r.pendingBatches, batch{last: r.log.last, bytes: bytes})
		r.uncommitted += bytes
	}
	return taken
}

// appendOwn gives e its place in the log.
func (r *Raft) appendOwn(e *Entry) {
	e.Term, e.Index = r.term, r.log.last+1
	e.Time = max(r.now, r.lastTime)
	r.add(e)
}

// sendForwards passes proposals on to the leader.
func (r *Raft) sendForwards() {
	if len(r.forward) == 0 {
		return
	}
	entries := r.forward
	r.forward, r.forwardBytes = nil, 0
	switch {
	case r.role == Leader:
		taken := r.proposeHere(entries)
		r.out.Dropped = append(r.out.Dropped, entries[taken:]...)
	case r.leader == 0:
		r.out.Dropped = append(r.out.Dropped, entries...)
	default:
		r.send(Message{Type: MsgPropose, To: r.leader, Term: r.term, Entries: entries})
	}
}

// advanceCommit moves the commit index to what a quorum holds durably.
func (r *Raft) advanceCommit() {
	i := Index(r.quorumReached(quantityMatch))
	if i <= r.commit || i < r.termStart {
		if i > r.commit {
			r.probes[ProbeCommitHeldBack]++
		}
		return // every entry from termStart on is of the own term, and none before it
	}
	r.commitTo(i)
	n := 0
	for n < len(r.pendingBatches) && r.pendingBatches[n].last <= i {
		r.uncommitted -= r.pendingBatches[n].bytes
		n++
	}
	r.pendingBatches = append(r.pendingBatches[:0], r.pendingBatches[n:]...)
}

// handleAppendResponse learns how far a follower is.
func (r *Raft) handleAppendResponse(p *progress, m *Message) {
	if m.Reject {
		r.handleRejection(p, m)
		return
	}
	if m.Index > r.log.last {
		return // nobody can have matched what does not exist
	}
	p.acknowledged(m.Index)
	if p.state == stateProbe {
		p.becomeReplicate()
	}
	r.advanceCommit()
	if p.id == r.transferee {
		r.continueTransfer()
	}
}

// handleRejection steps back to where the logs may join. A rejection of something already
// acknowledged, or of a probe that is not the one under way, is late and means nothing.
func (r *Raft) handleRejection(p *progress, m *Message) {
	switch {
	case p.state == stateProbe && p.next == 1 && m.Index == 0:
		// All logs agree before their first entry: this member wants a state, not a log.
		r.shipState(p)
		return
	case p.state == stateSnapshot || m.Index <= p.match:
		return
	case p.state == stateProbe && m.Index != p.next-1:
		return
	}
	join, _, ok := r.log.joinAt(min(m.Hint, m.Index-1), m.HintTerm)
	if !ok && p.match < r.log.prev {
		r.shipState(p)
		return
	}
	if join < min(m.Hint, m.Index-1) {
		r.probes[ProbeLeaderSkips]++
	}
	p.becomeProbe(max(min(join+1, m.Index), r.log.first()))
}

// shipState asks for a state transfer, once.
func (r *Raft) shipState(p *progress) {
	p.becomeSnapshot()
	r.probes[ProbeStateNeeded]++
	r.out.Snapshots = append(r.out.Snapshots, p.id)
}

// SnapshotSent reports the end of a transfer to a member, which installed the state at index, or
// failed if index is 0. Until then the member is sent no entries.
func (r *Raft) SnapshotSent(to MemberID, index Index) {
	p := r.peer(to)
	if r.role != Leader || p == nil || p.state != stateSnapshot {
		return
	}
	if index == 0 {
		r.probes[ProbeStateFailed]++
	}
	next := p.match + 1
	if index <= r.log.last {
		next = max(next, index+1)
	}
	p.becomeProbe(next)
}

// handleHeartbeatResponse confirms read rounds, and finds out about lost messages: a probe is
// repeated, and a follower that lags is asked where it stands by an empty append behind what was
// sent; if some of that is missing there, the answer is a rejection.
func (r *Raft) handleHeartbeatResponse(p *progress, m *Message) {
	if m.Round > p.round && m.Round <= r.reads.round {
		p.round = m.Round
		r.confirmRounds()
	}
	p.waiting = false
	if p.state == stateReplicate && p.match < p.next-1 {
		p.poke = true
	}
}

// replicate sends p what it lacks, as far as the limits allow.
func (r *Raft) replicate(p *progress) {
	if p.next < r.log.first() {
		// The entries were compacted away. If the follower has what the log starts after, it can
		// go on from there; if not, it will say so.
		if p.state == stateReplicate || p.state == stateProbe {
			p.becomeProbe(r.log.first())
		}
	}
	switch p.state {
	case stateProbe:
		if !p.waiting {
			entries := r.log.slice(p.next, r.log.last, r.set.MaxMessageBytes)
			r.sendAppend(p, entries)
			p.waiting = true
		}
	case stateReplicate:
		for p.next <= r.log.last && !p.full(&r.set) {
			entries := r.log.slice(p.next, r.log.last, r.set.MaxMessageBytes)
			if len(entries) == 0 {
				r.fetchFor(p)
				break
			}
			r.sendAppend(p, entries)
			p.sent(entries[len(entries)-1].Index, sizeOf(entries))
			p.poke = false
		}
		if p.next <= r.log.last {
			r.noteFull(p)
		}
		if p.poke {
			r.sendAppend(p, nil)
			p.poke = false
		}
	}
}

func sizeOf(entries []Entry) (bytes int) {
	for i := range entries {
		bytes += entries[i].Size()
	}
	return bytes
}

// sendAppend sends the entries from p.next on.
func (r *Raft) sendAppend(p *progress, entries []Entry) {
	prev := p.next - 1
	t, ok := r.log.term(prev)
	if !ok {
		panic(fmt.Sprintf("raft: append after %d, whose term is unknown; the log is %d..%d",
			prev, r.log.first(), r.log.last))
	}
	r.send(Message{
		Type: MsgAppend, To: p.id, Term: r.term, Index: prev, LogTerm: t,
		Entries: entries, Commit: r.commit,
	})
	if p.state == stateReplicate {
		p.told = max(p.told, min(r.commit, prev+Index(len(entries))))
	}
}

// tellCommit sends news of the commit index that no append carried.
func (r *Raft) tellCommit(p *progress) {
	c := min(p.match, r.commit)
	if p.state != stateReplicate || c <= p.told {
		return
	}
	p.told = c
	r.send(Message{Type: MsgHeartbeat, To: p.id, Term: r.term, Commit: c})
}

// sendHeartbeats keeps followers from campaigning and carries the newest read round. The commit
// index is clamped to what the follower is known to match.
func (r *Raft) sendHeartbeats() {
	c := &r.configs.current().config
	for i := range r.peers {
		p := &r.peers[i]
		if r.heartbeatDue || (r.roundDue && c.IsVoter(p.id)) {
			commit := min(p.match, r.commit)
			p.told = max(p.told, commit)
			r.send(Message{
				Type: MsgHeartbeat, To: p.id, Term: r.term, Commit: commit, Round: r.reads.round,
			})
		}
	}
	r.heartbeatDue, r.roundDue = false, false
}
