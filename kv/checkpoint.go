// Checkpoints bound what a restart replays, and with it what the log must keep.
//
// A checkpoint covers the state at one applied index. It is begun between entries, and only at an
// index that is durable in this member's own log, so that a manifest never runs ahead of the log
// but through a snapshot's installation. When it is durable, the log is kept from the older of
// the two checkpoints on, plus some entries for slow followers, and minus nothing that a snapshot
// under way promised to its receiver.
package kv

import (
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// checkpoint describes the state as of now.
func (n *Node) checkpoint() mvcc.Checkpoint {
	return mvcc.Checkpoint{Applied: uint64(n.applied), Term: uint64(n.appliedTerm),
		State: n.state.encode()}
}

// checkpointDue says whether enough was applied since the last one.
func (n *Node) checkpointDue() bool {
	lim := &n.cfg.Limits
	return (n.checkpointBytes >= lim.CheckpointBytes ||
		int64(n.applied-n.checkpointApplied) >= lim.CheckpointCount) && !n.store.Checkpointing()
}

// checkpointNow begins a checkpoint unless the applied index is not durable here yet; then apply
// waits for it, at most the length of a log sync.
func (n *Node) checkpointNow() bool {
	if n.applied > n.raft.Durable() {
		return false
	}
	n.store.StartCheckpoint(n.checkpoint())
	n.checkpointBytes, n.checkpointApplied = 0, n.applied
	return true
}

// compactLog drops what no checkpoint, follower or receiver needs of raft's log.
func (n *Node) compactLog() {
	_, older := n.store.Durable()
	keep := raft.Index(older)
	for i := range n.shipping {
		keep = min(keep, n.shipping[i].index)
	}
	catchUp := raft.Index(n.cfg.Limits.CatchUpEntries)
	if keep <= catchUp || keep-catchUp <= n.compacted {
		return
	}
	n.compacted = keep - catchUp
	n.raft.Compact(n.compacted)
	n.log.Compact(n.compacted)
}
