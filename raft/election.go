package raft

import "fmt"

// Elections. A member that hears of no leader for its election timeout asks whether it could win
// (pre-vote, dissertation 9.6) before it raises its term, so that a member that was cut off does
// not depose a working leader when it returns. A leader that does not hear of a quorum steps down
// (check quorum), and members that lately heard of a leader refuse to vote, so that neither a
// removed member nor one with a broken link disturbs the others. Only a leader's own wish for a
// successor overrides that.
//
// A pre-vote is always answered, also with a smaller term than ours: otherwise two members, each
// ahead of the other in one respect, could wait for each other for ever.
//
// One vote per term: term and vote are durable before a grant leaves. A candidate asks the others
// at once, while its own vote is being written, but it leads only when its own vote is durable,
// even if the others' suffice. Without that, it could lose power as a leader, come back without the
// memory of the term, win the very same votes again, and create different entries under the same
// term and index.

// votes is what a candidate has been told.
type votes struct {
	granted []MemberID
	refused []MemberID
}

func (v *votes) add(m MemberID, refused bool) {
	for _, list := range [...][]MemberID{v.granted, v.refused} {
		for _, have := range list {
			if have == m {
				return
			}
		}
	}
	if refused {
		v.refused = append(v.refused, m)
	} else {
		v.granted = append(v.granted, m)
	}
}

// in counts one set of voters.
func (v *votes) in(voters []MemberID) ballot {
	granted, refused := 0, 0
	for _, m := range v.granted {
		if has(voters, m) {
			granted++
		}
	}
	for _, m := range v.refused {
		if has(voters, m) {
			refused++
		}
	}
	return countBallot(len(voters), granted, refused)
}

// tally judges the votes by the configuration in force.
func (r *Raft) tally() ballot {
	c := &r.configs.current().config
	incoming := r.votes.in(c.Voters)
	if len(c.Outgoing) == 0 {
		return incoming
	}
	return joinBallots(incoming, r.votes.in(c.Outgoing))
}

// electable says whether this member may lead. A voter that is being removed still may while its
// removal is not known to be committed: it can be the only one whose log is long enough.
func (r *Raft) electable() bool {
	now := r.configs.current()
	if now.config.IsVoter(r.set.ID) {
		return true
	}
	return now.index > r.commit && r.configs.at(r.commit).config.IsVoter(r.set.ID)
}

// enterTerm moves to a larger term, without a vote.
func (r *Raft) enterTerm(t Term) {
	if t <= r.term {
		panic(fmt.Sprintf("raft: term %d entered from term %d", t, r.term))
	}
	r.term, r.vote = t, 0
	r.disk.hardDirty = true
	r.failForwardedReads()
}

// becomeFollower follows leader (0: not known) in term t, which is not smaller than ours. The vote
// survives when the term stays.
func (r *Raft) becomeFollower(t Term, leader MemberID) {
	if t < r.term {
		panic(fmt.Sprintf("raft: member %v would go back from term %d to %d", r.set.ID, r.term, t))
	}
	if t > r.term {
		r.enterTerm(t)
		r.following = following{}
	}
	r.leaveRole()
	r.role = Follower
	r.setLeader(leader)
	r.restartElectionTimer()
}

// leaveRole ends what belongs to the role until now.
func (r *Raft) leaveRole() {
	if r.role == Leader {
		if r.transferee != 0 {
			r.probes[ProbeTransferEnded]++
		}
		r.failReads()
		r.peers = nil
		r.pendingBatches, r.uncommitted = r.pendingBatches[:0], 0
		r.transferee = 0
		r.following = following{}
	}
	r.votes.granted, r.votes.refused = r.votes.granted[:0], r.votes.refused[:0]
}

// setLeader notes who leads. What was forwarded to another leader has failed.
func (r *Raft) setLeader(leader MemberID) {
	if leader != r.leader {
		r.failForwardedReads()
	}
	r.leader = leader
}

func (r *Raft) restartElectionTimer() {
	r.elapsed = 0
	r.draws++
	e := uint64(r.set.ElectionTicks)
	r.timeout = r.set.ElectionTicks + int(draw(&r.set, purposeElectionTimeout, r.draws)%e)
}

// leaderIsFresh says that a leader was heard of within the minimum election timeout; a leader that
// still passes its check of the quorum has heard of itself.
func (r *Raft) leaderIsFresh() bool {
	return r.role == Leader || (r.leader != 0 && r.sinceLeader < r.set.ElectionTicks)
}

// preCampaign asks the voters whether they would vote for this member in the next term.
func (r *Raft) preCampaign() {
	r.becomeFollower(r.term, 0)
	r.role = PreCandidate
	r.votes.add(r.set.ID, false)
	r.canvass(Message{Type: MsgPreVote, Term: r.term + 1})
	r.decideElection()
}

// ordered tells campaigns that the leader asked for from others.
type ordered uint8

const (
	ownCampaign ordered = iota
	transferCampaign
)

// campaign asks the voters for their votes in a new term.
func (r *Raft) campaign(why ordered) {
	if !r.electable() {
		panic(fmt.Sprintf("raft: member %v campaigns but is no voter", r.set.ID))
	}
	r.becomeFollower(r.term+1, 0)
	r.role = Candidate
	r.vote = r.set.ID
	r.canvass(Message{Type: MsgVote, Term: r.term, Transfer: why == transferCampaign})
	r.decideElection()
}

// canvass sends m to every other voter.
func (r *Raft) canvass(m Message) {
	m.Index, m.LogTerm = r.log.last, r.log.lastTerm()
	c := &r.configs.current().config
	for _, v := range c.Members() {
		if v != r.set.ID && c.IsVoter(v) {
			m.To = v
			r.send(m)
		}
	}
}

// decideElection acts on the votes so far.
func (r *Raft) decideElection() {
	if r.role == Candidate && r.disk.promiseKept() {
		r.votes.add(r.set.ID, false)
	}
	result := r.tally()
	switch {
	case result == ballotLost:
		r.becomeFollower(r.term, 0)
	case result == ballotOpen:
	case r.role == PreCandidate:
		r.campaign(ownCampaign)
	case r.disk.promiseKept():
		r.becomeLeader()
	default:
		r.probes[ProbeWonBeforeDurable]++
	}
}

func (r *Raft) becomeLeader() {
	if r.role != Candidate || r.vote != r.set.ID {
		panic(fmt.Sprintf("raft: a %v with vote %v would lead term %d", r.role, r.vote, r.term))
	}
	r.noteElected()
	r.role = Leader
	r.setLeader(r.set.ID)
	r.votes.granted, r.votes.refused = r.votes.granted[:0], r.votes.refused[:0]
	r.elapsed, r.heartbeatElapsed = 0, 0
	r.following = following{}
	r.uncommitted, r.pendingBatches = 0, r.pendingBatches[:0]
	r.reads.round++
	r.resetPeers()
	r.termStart = r.log.last + 1
	r.appendOwn(&Entry{Type: EntryEmpty})
	r.heartbeatDue = true
}

// handleVoteRequest answers MsgPreVote and MsgVote of any term. For a MsgVote of a larger term the
// term has been adopted already, unless the request is refused for a fresh leader.
func (r *Raft) handleVoteRequest(m *Message) {
	pre := m.Type == MsgPreVote
	kind := MsgVoteResp
	if pre {
		kind = MsgPreVoteResp
	}
	fresh := r.leaderIsFresh() && !m.Transfer
	current := m.LogTerm > r.log.lastTerm() ||
		(m.LogTerm == r.log.lastTerm() && m.Index >= r.log.last)
	if pre && m.Term > r.term && current && !fresh {
		// A grant names the term that was asked for; it changes nothing here.
		r.send(Message{Type: kind, To: m.From, Term: m.Term})
		return
	}
	free := r.vote == m.From || (r.vote == 0 && r.leader == 0)
	if !pre && m.Term == r.term && current && free && !(fresh && r.vote != m.From) {
		r.grant(m.From, m.FromIncarnation)
		return
	}
	r.noteRefusal(m, current)
	r.send(Message{Type: kind, To: m.From, Term: r.term, Reject: true})
}

// grant votes for m; the answer leaves once the vote is durable. It is meant for the start of the
// candidate whose log was compared with ours: a later start may have lost the end of that log.
func (r *Raft) grant(m MemberID, start Incarnation) {
	if r.vote != 0 && r.vote != m {
		panic(fmt.Sprintf("raft: second vote in term %d: %v after %v", r.term, m, r.vote))
	}
	if r.vote == 0 {
		r.vote = m
		r.disk.hardDirty = true
	}
	r.grantDue, r.grantTerm, r.grantStart = m, r.term, start
	r.restartElectionTimer()
}

// sendGrant answers the candidate that this member voted for, if term and vote are durable.
func (r *Raft) sendGrant() {
	if r.grantDue == 0 || !r.disk.promiseKept() {
		return
	}
	if r.grantTerm == r.term && r.grantDue == r.vote {
		r.send(Message{
			Type: MsgVoteResp, To: r.grantDue, ToIncarnation: r.grantStart, Term: r.term,
		})
	}
	r.grantDue = 0
}

// handleVoteResponse counts a vote or a pre-vote of the current attempt.
func (r *Raft) handleVoteResponse(m *Message) {
	switch {
	case m.Type == MsgPreVoteResp && r.role == PreCandidate:
		if !m.Reject && m.Term != r.term+1 {
			return
		}
	case m.Type == MsgVoteResp && r.role == Candidate:
	default:
		return
	}
	r.votes.add(m.From, m.Reject)
	r.decideElection()
}
