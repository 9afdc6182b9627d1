// Reconfigure: clients add, remove, change and promote members.
//
// A change goes through raft's own kind of entry, which is in force as soon as it is in the log, so
// whether it may be made is decided before it gets there, three times. The member that is asked
// looks whether the quorum would stand it (strict.go). Then it waits for a read index, so that it
// knows every change made so far, and looks whether the change makes sense: whether the id is new,
// the URLs are nobody else's. The leader looks again when it appends, which it does only when it
// has applied all changes in its log; so no two members ever make changes of each other's past. A
// change that has become senseless meanwhile is answered with etcd's word for that.
//
// A change that was proposed may be in the log all the same when its proposer learns that it makes
// no sense any more. So its name is given to a void one, an update of the proposer that changes
// nothing: whichever comes first decides, because a leader that has applied all changes in its log
// takes no name that was applied.
//
// A new voter does not count before it has caught up (voters.go), so nobody waits for a process
// that is yet to be started.
//
//	client     member                                  leader
//	add x  ->  quorum? read index; x new?
//	           propose (m, 7) add x             ->     (m, 7) not applied, x new? append
//	           apply (m, 7): answer OK          <-
package kv

import (
	"fmt"

	"github.com/detcd/detcd/raft"
)

// requestChange takes a client's wish for another membership.
func (n *Node) requestChange(r *Request) {
	if code := n.admitWrite(r); code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	c, err := parseChange(r)
	if err != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	if r.Method == MethodMemberPromote {
		n.askLeader(r) // only a leader knows how far a learner is
		return
	}
	if code := n.mayReconfigure(r.Method, c); code != OK {
		n.probes[ProbeChangeUnsafe]++
		n.note(Warn, "rejecting a change of the membership",
			Field{"member", c.Member.String()}, Field{"error", code.Text()})
		n.answer(r.Token, code, nil, 0)
		return
	}
	n.read(r)
}

// parseChange reads what a request of one of the four methods wants changed. The id of a member to
// be added is still 0.
func parseChange(r *Request) (raft.Change, error) {
	if r.Method == MethodMemberRemove || r.Method == MethodMemberPromote {
		id, err := parseVarint1(r.Raw)
		kind := raft.RemoveMember
		if r.Method == MethodMemberPromote {
			kind = raft.AddVoter
		}
		return raft.Change{Kind: kind, Member: raft.MemberID(id)}, err
	}
	var m Member
	kind := raft.AddLearner
	err := parseMember(r, &m)
	if r.Method == MethodMemberUpdate {
		kind = raft.UpdateMember
	}
	return raft.Change{Kind: kind, Member: m.ID, Context: encodeMember(&m)}, err
}

// reconfigure proposes a change, if it makes sense by now; all earlier ones are applied here.
func (n *Node) reconfigure(r *readRequest) {
	c, err := parseChange(&Request{Method: r.method, Raw: r.raw})
	if err != nil {
		n.answer(r.token, ErrMalformed, nil, 0)
		return
	}
	if r.method == MethodMemberAdd {
		m, err := decodeMember(c.Context)
		if err != nil {
			panic(fmt.Sprintf("kv: a member encoded here does not decode: %v", err))
		}
		m.ID = newMemberID(m.PeerURLs, n.wall)
		c.Member, c.Context = m.ID, encodeMember(&m)
	}
	code := n.admitWrite(&Request{Method: r.method})
	if code == OK {
		code = n.mayReconfigure(r.method, c)
	}
	if code == OK {
		code = n.judgeChange(&c)
	}
	if m := n.state.member(c.Member); code == OK && r.method == MethodMemberPromote &&
		m.Learner != LearnerOnly {
		code = ErrNotALearner // a voter that is catching up is nobody's to promote
	}
	if code != OK {
		n.answer(r.token, code, nil, 0)
		return
	}
	change := raft.ConfigChange{Changes: []raft.Change{c}}
	n.propose(r.token, raft.EntryConfig, raft.EncodeChange(nil, change))
	pr := &n.proposals.queue[len(n.proposals.queue)-1]
	pr.deadline = min(pr.deadline, r.deadline)
}

// judgeChange says whether a change makes sense to the applied state.
func (n *Node) judgeChange(c *raft.Change) Code {
	old := n.state.member(c.Member)
	switch {
	case n.state.wasRemoved(c.Member):
		return ErrMemberNotFound
	case c.Kind == raft.RemoveMember && old == nil, c.Kind == raft.UpdateMember && old == nil:
		return ErrMemberNotFound
	case c.Kind == raft.RemoveMember:
		return OK
	case isVoid(c):
		return OK
	case len(c.Context) == 0: // a promotion
		return n.judgePromotion(c, old)
	}
	m, err := decodeMember(c.Context)
	if err != nil || m.ID != c.Member {
		return ErrMalformed
	}
	if c.Kind != raft.UpdateMember && old != nil {
		return ErrMemberExists
	}
	learners := 0
	for i := range n.state.members {
		other := &n.state.members[i]
		if other.Learner == LearnerOnly {
			learners++
		}
		if other.ID != c.Member && shareURL(other.PeerURLs, m.PeerURLs) {
			return ErrPeerURLExists
		}
	}
	if c.Kind != raft.UpdateMember && m.Learner == LearnerOnly &&
		learners >= n.cfg.Limits.MaxLearners {
		return ErrTooManyLearners
	}
	return OK
}

func (n *Node) judgePromotion(c *raft.Change, old *Member) Code {
	switch {
	case old == nil:
		return ErrMemberNotFound
	case c.Kind != raft.AddVoter || !n.state.config.IsLearner(c.Member):
		return ErrNotALearner
	}
	return OK
}

// judgeEntry says whether a proposed configuration entry makes sense to the applied state.
func (n *Node) judgeEntry(data []byte) Code {
	change, err := raft.DecodeChange(data)
	if err != nil || len(change.Changes) == 0 {
		return ErrMalformed
	}
	for i := range change.Changes {
		if code := n.judgeChange(&change.Changes[i]); code != OK {
			return code
		}
	}
	return OK
}

// vetChanges looks at the changes that wait to be proposed: at most one may go now, and what makes
// no sense any more is refused.
func (n *Node) vetChanges() {
	p := &n.proposals
	p.change = 0
	for i := range p.queue {
		pr := &p.queue[i]
		if pr.typ != raft.EntryConfig || pr.status != proposalWaiting {
			continue
		}
		if code := n.judgeEntry(pr.data); code != OK && pr.refusal == OK {
			n.refuseChange(pr, code)
		} else if p.change == 0 && (n.role != raft.Leader || n.raft.ChangeableAt(n.applied)) {
			p.change = pr.sequence
		}
	}
	p.trim()
}

// refuseChange answers a change that makes no sense any more, at once if nobody has seen it, else
// when it is certain that it will never be made.
func (n *Node) refuseChange(pr *proposal, code Code) {
	if pr.sent != 0 {
		n.probes[ProbeChangeVoided]++
		void := raft.Change{Kind: raft.UpdateMember, Member: n.cfg.Member}
		n.proposals.bytes -= int64(len(pr.data))
		pr.data = raft.EncodeChange(nil, raft.ConfigChange{Changes: []raft.Change{void}})
		n.proposals.bytes += int64(len(pr.data))
		pr.refusal = code
		return
	}
	n.answer(pr.token, code, nil, 0)
	n.proposals.close(pr)
}

func isVoid(c *raft.Change) bool { return c.Kind == raft.UpdateMember && len(c.Context) == 0 }

// answerChange answers the client whose change, or the void one in its place, was applied.
func (n *Node) answerChange(e *raft.Entry, c *raft.Change, token Token) {
	if token == 0 {
		return
	}
	if isVoid(c) {
		n.answer(token, n.proposals.find(e.Sequence).refusal, nil, e.Index)
		return
	}
	n.answer(token, OK, n.changeBody(e, c), e.Index)
}

// admitChanges drops from a forwarded batch the changes that may not be made, or not now; their
// proposer repeats what still makes sense.
func (n *Node) admitChanges(entries []raft.Entry) []raft.Entry {
	if n.role != raft.Leader {
		return entries
	}
	open := n.raft.ChangeableAt(n.applied)
	kept := entries[:0:0]
	for i := range entries {
		e := &entries[i]
		if e.Type != raft.EntryConfig {
			kept = append(kept, *e)
			continue
		}
		if !open || n.judgeEntry(e.Data) != OK || n.state.taken(e) {
			n.probes[ProbeChangeNotNow]++
			continue
		}
		kept, open = append(kept, *e), false
	}
	return kept
}

// taken says whether the name of an entry is used up.
func (s *replicated) taken(e *raft.Entry) bool {
	i, found := s.windowAt(e.Proposer)
	return s.member(e.Proposer) == nil ||
		found && s.windows[i].applied(e.Incarnation, e.Sequence)
}

// changeBody writes the response to the change that an entry made: the members as of it, and for an
// addition the new one.
func (n *Node) changeBody(e *raft.Entry, c *raft.Change) [][]byte {
	h := n.header()
	h.Revision, h.Term = 0, e.Term
	b := appendHeader(nil, h)
	list := fieldMembers
	if c.Kind != raft.RemoveMember && c.Kind != raft.UpdateMember && len(c.Context) > 0 {
		b = appendBytes(b, fieldMember, appendMember(nil, n.state.member(c.Member)))
		list = fieldMembersAdded
	}
	for i := range n.state.members {
		b = appendBytes(b, list, appendMember(nil, &n.state.members[i]))
	}
	return [][]byte{b}
}
