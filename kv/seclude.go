// Seclusion: the survivor of a lost quorum becomes the only member of its cluster, when an operator
// demands it at a start (--force-new-cluster).
//
// All that this member holds stays: its data, its id, the cluster's id, the ids that never come
// back, to which the other members' are added. So a member that was believed lost and returns is
// told that it was removed, and stops; its machine may join anew under another id. What only the
// others held is lost: that is why nothing but an operator's word leads here.
//
// Invariant: once the changes are applied, members and configuration name this member alone, and
// it votes.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/raft"
)

// seclude appends the changes that leave this member alone. They take effect as they are applied,
// after everything that the log held before them, which may be this member's own addition.
func (n *Node) seclude() error {
	if n.applied == 0 {
		return n.nothingToSeclude()
	}
	used, err := n.raft.Seclude()
	if err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	if used > 0 {
		n.proposals.next = used + 1
		n.secluded = n.raft.Status().ConfigIndex
	}
	return nil
}

func (n *Node) nothingToSeclude() error {
	return fmt.Errorf("kv: member %s belongs to no cluster whose state it has: nothing could be "+
		"kept of it", n.cfg.Member)
}

// checkSeclusion demands that the last of the changes has left this member alone.
func (n *Node) checkSeclusion(at raft.Index) {
	if n.secluded == 0 || at != n.secluded {
		return
	}
	s := &n.state
	if len(s.members) != 1 || s.members[0].ID != n.cfg.Member ||
		s.members[0].Learner != Voting || len(s.config.Members()) != 1 ||
		!s.config.IsVoter(n.cfg.Member) || s.wasRemoved(n.cfg.Member) {
		panic(fmt.Sprintf("kv: member %s is alone after entry %d, but the state knows %v and %v",
			n.cfg.Member, at, s.members, s.config))
	}
	n.note(Warn, "this member is the only one of its cluster now",
		Field{"local-member-id", n.cfg.Member.String()})
}
