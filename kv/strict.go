// Strict reconfiguration: a change must not take the quorum away.
//
// Two things are counted. Started voters are those that have published themselves: a quorum of the
// new voters must have started. Healthy voters are those that this member has heard of without a
// break for 5 s: a quorum of the new voters must be among them. Learners count for nothing. The
// rules and their order are etcd's; so is that they look at what this member happens to know, which
// is why they guard the operator's hand and are no part of consensus.
package kv

import (
	"github.com/detcd/detcd/raft"
)

// Strictness says whether changes of the membership are held against the quorum.
type Strictness uint8

// The choices.
const (
	Strict Strictness = iota
	Lenient
)

// mayReconfigure says whether the quorum would stand a change.
func (n *Node) mayReconfigure(method Method, c raft.Change) Code {
	if n.cfg.Strictness == Lenient {
		return OK
	}
	switch method {
	case MethodMemberAdd:
		return n.mayAdd(c.Context)
	case MethodMemberRemove:
		return n.mayRemove(c.Member)
	case MethodMemberPromote:
		started, voters := n.startedVoters(0)
		if started+1 < quorum(voters+1) {
			return ErrNotEnoughStarted
		}
	}
	return OK
}

func quorum(voters int) int { return voters/2 + 1 }

// startedVoters counts the voters but one that have published themselves, and all but that one.
func (n *Node) startedVoters(without raft.MemberID) (started, voters int) {
	for i := range n.state.members {
		m := &n.state.members[i]
		if m.Learner == LearnerOnly || m.ID == without {
			continue
		}
		voters++
		if m.Name != "" {
			started++
		}
	}
	return started, voters
}

// mayAdd counts the newcomer as one that is not there. A lone member may always get a second one:
// that is how clusters begin, and how they are restored.
func (n *Node) mayAdd(newcomer []byte) Code {
	m, err := decodeMember(newcomer)
	if err != nil {
		return ErrMalformed
	}
	started, voters := n.startedVoters(0)
	lone := started == 1 && voters == 1
	if m.Learner == Voting && !lone && started < quorum(voters+1) {
		return ErrNotEnoughStarted
	}
	if healthy, voters := n.healthyVoters(); voters != 1 && healthy < quorum(voters+1) {
		return ErrUnhealthy
	}
	return OK
}

// mayRemove lets a voter go that is not heard of, because it is no part of the quorum that works.
func (n *Node) mayRemove(id raft.MemberID) Code {
	if m := n.state.member(id); m != nil && m.Learner == LearnerOnly {
		return OK
	}
	if started, voters := n.startedVoters(id); started < quorum(voters) {
		return ErrNotEnoughStarted
	}
	if id != n.cfg.Member && !n.reachable(id) {
		return OK
	}
	if healthy, voters := n.healthyVoters(); healthy-1 < quorum(voters-1) {
		return ErrUnhealthy
	}
	return OK
}

// readyPercent is how much of the leader's log a learner must hold to be promoted.
const readyPercent = 90

// learnerReady is the leader's word on whether a learner may be promoted.
func (n *Node) learnerReady(r *Request) Code {
	id, err := parseVarint1(r.Raw)
	if err != nil {
		return ErrMalformed
	}
	if raft.MemberID(id) == n.cfg.Member {
		return OK // no learner, as the asker will find out
	}
	p, ok := n.raft.Progress(raft.MemberID(id))
	switch {
	case !ok, n.state.member(raft.MemberID(id)) == nil: // raft may know a removed one a while
		return ErrMemberNotFound
	case p.Match*100 < n.raft.Durable()*readyPercent:
		return ErrLearnerNotReady
	}
	return OK
}
