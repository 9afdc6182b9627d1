package raft

// Leadership transfer (dissertation 3.10). The leader stops taking proposals, brings the successor
// up to date, and tells it to campaign at once, without pre-vote, with a mark that lets the others
// vote although they hear the old leader. Until the successor wins, the leader leads; if it has not
// won after an election timeout, the transfer is given up.

// Transfer makes a leader hand leadership to a voter; it is given up after an election timeout.
// Proposals are dropped meanwhile. A wish that makes no sense (not the leader, no voter, itself)
// changes nothing.
func (r *Raft) Transfer(to MemberID) {
	c := &r.configs.current().config
	if r.role != Leader || to == r.set.ID || !c.IsVoter(to) || to == r.transferee {
		r.probes[ProbeTransferRefused]++
		return
	}
	r.transferee, r.transferElapsed = to, 0
	r.continueTransfer()
}

// continueTransfer lets the successor campaign if it has the whole log.
func (r *Raft) continueTransfer() {
	if r.role != Leader || r.transferee == 0 {
		return
	}
	p := r.peer(r.transferee)
	if p == nil || !r.configs.current().config.IsVoter(r.transferee) {
		r.transferee = 0
		return
	}
	if p.match == r.log.last {
		r.send(Message{Type: MsgTimeoutNow, To: r.transferee, Term: r.term})
	}
}

// tickTransfer gives a transfer up in time, and repeats an order that may be lost.
func (r *Raft) tickTransfer() {
	if r.transferee == 0 {
		return
	}
	r.transferElapsed++
	switch {
	case r.transferElapsed >= r.set.ElectionTicks:
		r.transferee = 0
		r.probes[ProbeTransferTimedOut]++
	case r.transferElapsed%r.set.HeartbeatTicks == 0:
		r.continueTransfer()
	}
}

// handleTimeoutNow campaigns because the leader asks for it.
func (r *Raft) handleTimeoutNow(m *Message) {
	if r.role == Follower && r.leader == m.From && r.electable() {
		r.campaign(transferCampaign)
	}
}

// resignIfRemoved ends a leadership once the entry that removed this member from the voters is
// committed; the best follower is asked to take over at once.
func (r *Raft) resignIfRemoved() {
	now := r.configs.current()
	if r.role != Leader || now.index > r.commit || now.config.IsVoter(r.set.ID) {
		return
	}
	r.probes[ProbeLeaderRemoved]++
	var best *progress
	for i := range r.peers {
		p := &r.peers[i]
		if now.config.IsVoter(p.id) && (best == nil || p.match > best.match) {
			best = p
		}
	}
	if best != nil {
		r.send(Message{Type: MsgTimeoutNow, To: best.id, Term: r.term})
	}
	r.becomeFollower(r.term, 0)
}
