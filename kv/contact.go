// Contact: how long each other member has been heard of without a break.
//
// Whoever changes the membership must not thereby lose the quorum, so a change is refused by a
// member that does not hear enough of the others. Raft's followers say nothing to one another, so
// each member says to all others that it is there, twice in an election timeout; every message of a
// member counts as a sign of life.
//
// A member that was removed, perhaps while it was down, learns it from the answer to its signs: its
// requests are refused with a MsgContact that says so. That is final, because a removed id never
// comes back.
package kv

import (
	"slices"

	"github.com/detcd/detcd/raft"
)

// contact is what this member has heard of another one.
type contact struct {
	member raft.MemberID
	since  int64 // mono; when the present series of signs began
	last   int64 // mono; the latest sign
}

type contacts struct {
	list []contact // of members, in order of their first sign
	told int64     // mono; when this member last said that it is there
}

// healthyAfter is how long a contact must last before it counts, in nanoseconds. It is etcd's.
const healthyAfter = 5_000_000_000

// silence is how long a member may say nothing before its contact is broken.
func (n *Node) silence() int64 { return 2 * n.electionTimeout() }

// hear notes a sign of life.
func (n *Node) hear(from raft.MemberID) {
	for i := range n.contacts.list {
		c := &n.contacts.list[i]
		if c.member != from {
			continue
		}
		if n.mono-c.last > n.silence() {
			c.since = n.mono
		}
		c.last = n.mono
		return
	}
	if n.state.member(from) != nil {
		n.contacts.list = append(n.contacts.list, contact{member: from, since: n.mono,
			last: n.mono})
	}
}

// tickContacts tells the others that this member is there, and forgets who has left.
func (n *Node) tickContacts() {
	k := &n.contacts
	if k.told != 0 && n.mono-k.told < n.electionTimeout()/2 {
		return
	}
	k.told = n.mono
	k.list = slices.DeleteFunc(k.list, func(c contact) bool {
		return n.state.member(c.member) == nil
	})
	others := n.state.members
	if len(others) == 0 {
		others = n.cfg.Members // a member that joins knows only whom it was told about
	}
	for i := range others {
		if to := others[i].ID; to != n.cfg.Member {
			n.send(raft.Message{Type: raft.MsgContact, To: to})
		}
	}
}

// reachable says whether a member was heard of lately.
func (n *Node) reachable(id raft.MemberID) bool {
	for _, c := range n.contacts.list {
		if c.member == id {
			return n.mono-c.last <= n.silence()
		}
	}
	return false
}

// healthyVoters counts the voters whose contact lasts, this member included, and all voters.
func (n *Node) healthyVoters() (healthy, voters int) {
	for i := range n.state.members {
		m := &n.state.members[i]
		if m.Learner == LearnerOnly {
			continue
		}
		voters++
		if m.ID == n.cfg.Member || n.lasting(m.ID) {
			healthy++
		}
	}
	return healthy, voters
}

func (n *Node) lasting(id raft.MemberID) bool {
	for _, c := range n.contacts.list {
		if c.member == id {
			return n.mono-c.last <= n.silence() && n.mono-c.since >= healthyAfter
		}
	}
	return false
}

// receiveContact takes a sign of life, or the news that this member was removed.
func (n *Node) receiveContact(m *raft.Message) {
	if m.Reject {
		n.expel()
	}
}

// refuseRemoved says whether a message comes from a removed member and asks for something: then
// the sender is told that it was removed. What answers this member, or leads it still, is let in: a
// leader that removed itself leads until others know.
func (n *Node) refuseRemoved(m *raft.Message) bool {
	switch m.Type {
	case raft.MsgPreVote, raft.MsgVote, raft.MsgPropose, raft.MsgReadIndex, raft.MsgAsk,
		raft.MsgSnapshotOffer, raft.MsgSnapshotChunk, raft.MsgContact:
	default:
		return false
	}
	if !n.state.wasRemoved(m.From) || m.Reject {
		return false
	}
	n.send(raft.Message{Type: raft.MsgContact, To: m.From, Reject: true})
	return true
}

// Removed is the reason with which a node halts that is no member any more. It is etcd's text.
const Removed = "the member has been permanently removed from the cluster"

// expel notes that this member was removed. It goes on for an election timeout, so that the others
// hear what only it may know, and then stops for good.
func (n *Node) expel() {
	if n.expelled == 0 {
		if n.proposals.unanswered > 0 {
			n.probes[ProbeRemovedWithOpen]++
		}
		n.expelled = max(n.mono, 1)
	}
}

// tickExpelled ends the node in time.
func (n *Node) tickExpelled() {
	if n.state.wasRemoved(n.cfg.Member) {
		n.expel() // found in the state of a start or of a snapshot
	}
	if n.expelled != 0 && n.mono-n.expelled >= n.electionTimeout() {
		n.halt(Removed)
	}
}
