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

// checkpointDue says whether enough was applied since the last one, or somebody waits for one.
func (n *Node) checkpointDue() bool {
	lim := &n.cfg.Limits
	since := int64(n.applied - n.checkpointApplied)
	asked := since > 0 && len(n.defragments) > 0 &&
		n.defragments[len(n.defragments)-1].index > n.checkpointApplied
	return (asked || n.checkpointBytes >= lim.CheckpointBytes || since >= lim.CheckpointCount) &&
		!n.store.Checkpointing()
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

// defragment hurries what goes on anyway: a checkpoint of all that is applied, and the reclaim of
// what compactions have dropped. Nothing stops meanwhile.
func (n *Node) defragment(r *Request) {
	n.defragments = append(n.defragments, waiter{token: r.Token, index: n.applied})
	n.out.Again = true
}

// answerDefragments answers those whose checkpoint is durable once nothing is left to reclaim.
func (n *Node) answerDefragments() {
	newest, _ := n.store.Durable()
	for len(n.defragments) > 0 && n.defragments[0].index <= raft.Index(newest) &&
		!n.store.Compacting() {
		n.answer(n.defragments[0].token, OK, [][]byte{}, 0)
		n.defragments = n.defragments[1:]
	}
}
