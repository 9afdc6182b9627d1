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

// checkpointDue says whether enough was applied since the last one, somebody waits for one, or much
// of the disk does: files that reclaim has replaced stay until two more checkpoints. It is due at
// once when the cluster version changes: only then can a member of a lower release take over.
func (n *Node) checkpointDue() bool {
	lim := &n.cfg.Limits
	last := len(n.defragments) - 1
	return (n.checkpointBytes >= lim.CheckpointBytes ||
		int64(n.applied-n.checkpointApplied) >= lim.CheckpointCount ||
		last >= 0 && n.defragments[last].until > n.checkpoints ||
		n.muchSuperseded() || atLeastFirst(n.state.version) != n.checkpointVersion) &&
		!n.store.Checkpointing()
}

// muchSuperseded says whether a quarter of the files, and at least a whole one, waits for
// checkpoints only.
func (n *Node) muchSuperseded() bool {
	kept := n.store.Superseded()
	if kept < n.cfg.Limits.DataSegmentBytes {
		return false
	}
	files, _ := n.store.Size()
	return 4*kept >= files
}

// checkpointNow begins a checkpoint unless the applied index is not durable here yet; then apply
// waits for it, at most the length of a log sync.
func (n *Node) checkpointNow() bool {
	if n.applied > n.raft.Durable() {
		n.probes[ProbeCheckpointWaits]++
		return false
	}
	n.store.StartCheckpoint(n.checkpoint())
	n.checkpointBytes, n.checkpointApplied = 0, n.applied
	n.storedVersion, n.checkpointVersion = n.checkpointVersion, atLeastFirst(n.state.version)
	n.checkpoints++
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

// defragment is a Defragment under way. It hurries what goes on anyway: the reclaim of what
// compactions have dropped, and then the checkpoints that give its space back. Nothing stops
// meanwhile.
type defragment struct {
	token Token
	// until is how many checkpoints must have begun, the last of them being durable; 0 while there
	// is something to reclaim. Invariant: it ascends in Node.defragments.
	until uint64
}

func (n *Node) defragment(r *Request) {
	n.defragments = append(n.defragments, defragment{token: r.Token})
	n.out.Again = true
}

// advanceDefragments notes the end of the reclaim, and answers those whose checkpoints are durable:
// two if anything was reclaimed from files that checkpoints name, else one that covers all that is
// applied, which may be there already unless it was made before this start.
func (n *Node) advanceDefragments() {
	if len(n.defragments) == 0 {
		return
	}
	if !n.store.Compacting() {
		until := max(n.checkpoints, 1)
		switch {
		case n.store.Superseded() > 0:
			until = n.checkpoints + 2
		case n.applied > n.checkpointApplied:
			until = n.checkpoints + 1
		}
		for i := range n.defragments {
			d := &n.defragments[i]
			if d.until == 0 {
				d.until = until
				n.out.Again = true
			}
			until = max(until, d.until)
		}
	}
	durable := n.checkpoints
	if durable > 0 && n.store.Checkpointing() {
		durable-- // the one of a first start is not counted
	}
	for len(n.defragments) > 0 && n.defragments[0].until > 0 && n.defragments[0].until <= durable {
		n.answer(n.defragments[0].token, OK, [][]byte{}, 0)
		n.defragments = n.defragments[1:]
	}
}
