// New voters: a voter that was just added is not there yet, so it does not count yet.
//
// Raft uses a configuration as soon as it is in the log. Counted at once, a second voter would have
// to acknowledge its own addition, and the process that could do that is started when the addition
// has succeeded. So a new voter enters raft's configuration as a learner, and the leader makes it
// a voter by a change of its own when it has nearly caught up (dissertation 4.2.1). To clients it
// is a voter from the beginning: it serves everything, and it is listed as one.
package kv

import (
	"github.com/detcd/detcd/raft"
)

// voterLag is how many entries a new voter may lack when it begins to count.
const voterLag = 1000

// tickVoters lets the leader count the voters that have caught up, several at once if there are.
func (n *Node) tickVoters() {
	if n.role != raft.Leader || len(n.state.config.Learners) == 0 ||
		!n.raft.ChangeableAt(n.applied) || n.proposing(raft.EntryConfig) {
		return
	}
	var change raft.ConfigChange
	for _, id := range n.state.config.Learners {
		m := n.state.member(id)
		p, known := n.raft.Progress(id)
		if m == nil || m.Learner == LearnerOnly || !known || !p.Active || p.Match == 0 ||
			p.Match+voterLag < n.raft.Durable() {
			continue
		}
		change.Changes = append(change.Changes, raft.Change{Kind: raft.AddVoter, Member: id})
	}
	if len(change.Changes) > 1 {
		n.probes[ProbeVotersTogether]++
	}
	if len(change.Changes) > 0 {
		n.propose(0, raft.EntryConfig, raft.EncodeChange(nil, change))
	}
}
