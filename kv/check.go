package kv

import (
	"fmt"

	"github.com/detcd/detcd/raft"
)

// Check verifies the invariants of the node and of all that it holds; it may take long.
func (n *Node) Check() error {
	for i := 1; i < len(n.state.members); i++ {
		if n.state.members[i-1].ID >= n.state.members[i].ID {
			return fmt.Errorf("kv: members are not sorted at %d", i)
		}
	}
	for i := 1; i < len(n.state.windows); i++ {
		if n.state.windows[i-1].member >= n.state.windows[i].member {
			return fmt.Errorf("kv: windows are not sorted at %d", i)
		}
	}
	for i := range n.proposals.queue {
		pr := &n.proposals.queue[i]
		if pr.sequence != n.proposals.queue[0].sequence+raft.Sequence(i) {
			return fmt.Errorf("kv: open proposals have a gap at sequence %d", pr.sequence)
		}
	}
	if span := len(n.proposals.queue); span >= windowSpan {
		return fmt.Errorf("kv: %d open proposals exceed the window of %d", span, windowSpan)
	}
	for _, v := range n.views.open {
		if v.reads <= 0 {
			return fmt.Errorf("kv: view %d is open with %d reads", v.id, v.reads)
		}
	}
	if err := n.checkLeases(); err != nil {
		return err
	}
	if err := n.watching.hub.Check(); err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	if err := n.state.auth.Check(); err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	if err := n.raft.Check(); err != nil {
		return fmt.Errorf("kv: raft: %w", err)
	}
	if commit := n.raft.CommitIndex(); n.applied > commit {
		return fmt.Errorf("kv: applied %d is beyond commit %d", n.applied, commit)
	}
	if err := n.store.Check(); err != nil {
		return fmt.Errorf("kv: engine: %w", err)
	}
	return nil
}
