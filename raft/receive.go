package raft

// The door for messages. Anything may arrive, in any order, any number of times. What is malformed
// is dropped; what belongs to an earlier start of its sender or its receiver is dropped; then the
// terms are compared; only then does the message reach the part that it is meant for.

// maxStrangers bounds how many starts are remembered of members outside the configuration.
const maxStrangers = 64

// startOf is the newest start seen of a member.
type startOf struct {
	id    MemberID
	start Incarnation
}

// Receive handles a message of another member. Anything may arrive, in any order, any number of
// times; a malformed message is dropped.
func (r *Raft) Receive(m Message) {
	if !wellFormed(&m) || m.To != r.set.ID || m.From == r.set.ID || !r.admitStart(&m) {
		return
	}
	if r.settleTerm(&m) {
		r.dispatch(&m)
	}
}

// wellFormed checks what every honest sender keeps to.
func wellFormed(m *Message) bool {
	if m.From == 0 || m.FromIncarnation == 0 || m.LogTerm > m.Term ||
		m.Type == 0 || m.Type > MsgReadIndexResp {
		return false
	}
	if m.Type == MsgPropose {
		return len(m.Entries) > 0
	}
	if len(m.Entries) > 0 && m.Type != MsgAppend {
		return false
	}
	i, t := m.Index, m.LogTerm
	for k := range m.Entries {
		e := &m.Entries[k]
		if e.Index != i+1 || e.Term < t || e.Term == 0 || e.Term > m.Term || e.Type == 0 {
			return false
		}
		i, t = e.Index, e.Term
	}
	return m.Term > 0
}

// answers says whether a message answers one of ours.
func (t MessageType) answers() bool {
	switch t {
	case MsgPreVoteResp, MsgVoteResp, MsgAppendResp, MsgHeartbeatResp, MsgReadIndexResp:
		return true
	}
	return false
}

// admitStart refuses messages from before a restart of the sender, and answers to what was asked
// before a restart of ours. Requests that name an earlier start of ours are welcome: their sender
// just does not know yet, and the answer tells.
func (r *Raft) admitStart(m *Message) bool {
	if m.Type.answers() && m.ToIncarnation != r.set.Incarnation {
		r.probes[ProbeOldAnswer]++
		return false
	}
	known := r.knownStart(m.From)
	if known == nil {
		r.rememberStart(m.From, m.FromIncarnation)
		return true
	}
	if m.FromIncarnation < known.start {
		r.probes[ProbeOldStart]++
		return false
	}
	if m.FromIncarnation > known.start {
		known.start = m.FromIncarnation
		if p := r.peer(m.From); p != nil {
			p.restarted()
			r.probes[ProbeMemberRestarted]++
		}
	}
	return true
}

func (r *Raft) knownStart(m MemberID) *startOf {
	for i := range r.starts {
		if r.starts[i].id == m {
			return &r.starts[i]
		}
	}
	return nil
}

func (r *Raft) rememberStart(m MemberID, start Incarnation) {
	c := &r.configs.current().config
	if strangers := len(r.starts) - len(c.Members()); strangers >= maxStrangers {
		for i := range r.starts {
			if !c.Contains(r.starts[i].id) {
				r.starts = append(r.starts[:i], r.starts[i+1:]...)
				break
			}
		}
	}
	r.starts = append(r.starts, startOf{id: m, start: start})
}

// restarted forgets what an earlier start of the member said: it is asked again. A state transfer
// under way stays so until its end is reported.
func (p *progress) restarted() {
	next := min(p.next, p.match+1)
	p.match, p.told, p.round = 0, 0, 0
	snapshot := p.state == stateSnapshot
	p.becomeProbe(next)
	if snapshot {
		p.state = stateSnapshot
	}
}

// settleTerm compares the terms. It is true if the message is for the current term, or for none.
func (r *Raft) settleTerm(m *Message) bool {
	switch {
	case m.Type == MsgPreVote:
		r.handleVoteRequest(m)
		return false
	case m.Type == MsgPreVoteResp && !m.Reject:
		return true // it names the term that was asked for, which nobody has entered
	case m.Term == r.term:
		return true
	case m.Term < r.term:
		return r.answerStale(m)
	case m.Type == MsgVote && r.leaderIsFresh() && !m.Transfer:
		r.handleVoteRequest(m)
		return false
	}
	if m.Type == MsgVote && r.leaderIsFresh() {
		r.probes[ProbeVoteOrdered]++
	}
	leader := MemberID(0)
	if m.Type == MsgAppend || m.Type == MsgHeartbeat {
		leader = m.From
	}
	r.becomeFollower(m.Term, leader)
	return true
}

// answerStale lets a sender with a smaller term know ours where it would otherwise go on in vain.
// Wishes of a follower that is behind are served all the same.
func (r *Raft) answerStale(m *Message) bool {
	switch m.Type {
	case MsgVote:
		r.handleVoteRequest(m)
	case MsgAppend:
		r.send(Message{
			Type: MsgAppendResp, To: m.From, Term: r.term, Reject: true, Index: m.Index,
		})
	case MsgHeartbeat:
		r.send(Message{Type: MsgHeartbeatResp, To: m.From, Term: r.term})
	case MsgPropose, MsgReadIndex:
		return true
	}
	return false
}

// dispatch hands a message of the current term to its handler.
func (r *Raft) dispatch(m *Message) {
	switch m.Type {
	case MsgVote:
		r.handleVoteRequest(m)
	case MsgPreVoteResp, MsgVoteResp:
		r.handleVoteResponse(m)
	case MsgAppend:
		r.handleAppend(m)
	case MsgHeartbeat:
		r.handleHeartbeat(m)
	case MsgAppendResp, MsgHeartbeatResp:
		r.handleFollowerResponse(m)
	case MsgTimeoutNow:
		r.handleTimeoutNow(m)
	case MsgPropose:
		if r.role == Leader {
			r.proposeHere(m.Entries)
		} else {
			r.probes[ProbeProposalStray]++
		}
	case MsgReadIndex:
		r.handleReadIndex(m)
	case MsgReadIndexResp:
		r.handleReadIndexResponse(m)
	}
}

func (r *Raft) handleFollowerResponse(m *Message) {
	p := r.peer(m.From)
	if r.role != Leader || p == nil {
		return
	}
	p.active = true
	if m.Type == MsgAppendResp {
		r.handleAppendResponse(p, m)
	} else {
		r.handleHeartbeatResponse(p, m)
	}
}

// send adds what every message carries.
func (r *Raft) send(m Message) {
	m.From, m.FromIncarnation = r.set.ID, r.set.Incarnation
	if m.ToIncarnation == 0 {
		if s := r.knownStart(m.To); s != nil {
			m.ToIncarnation = s.start
		}
	}
	r.out.Messages = append(r.out.Messages, m)
}
