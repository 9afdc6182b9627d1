package raft

// A disk that stands still. Replication goes on without it: entries are committed by the disks of
// the others, so neither the quorum nor a follower would ever object to a leader that can keep
// nothing, votes for nobody, and holds in memory all that its disk has not taken. Two rules end
// that:
//
//   - A leader hands leadership over when its oldest write of entries has been under way for
//     stallTimeouts election timeouts, and a quorum has committed meanwhile without it. If the
//     others do not commit either, nobody is known to be better off, and it stays.
//   - Nobody takes entries beyond what fits into memory: a leader drops proposals, a follower takes
//     the append for a heartbeat, and is sent the entries again.

// stallTimeouts is how many election timeouts a write may take before its leader gives way.
const stallTimeouts = 2

// tick counts how long the oldest write of entries has been under way.
func (d *durability) tick() {
	switch {
	case len(d.pending) == 0:
		d.waited = 0
	case d.pending[0].ticket != d.awaited:
		d.awaited, d.waited = d.pending[0].ticket, 0
	default:
		d.waited++
	}
}

// giveWay lets a leader whose disk stands still hand over to the voter that is furthest along. A
// transfer that fails is tried again after the same time.
func (r *Raft) giveWay() {
	if r.disk.waited < stallTimeouts*r.set.ElectionTicks || r.transferee != 0 ||
		r.commit <= r.disk.durable {
		return
	}
	var best *progress
	for i := range r.peers {
		p := &r.peers[i]
		if p.active && p.match > r.disk.durable && r.configs.current().config.IsVoter(p.id) &&
			(best == nil || p.match > best.match) {
			best = p
		}
	}
	if best != nil {
		r.disk.waited = 0
		r.probes[ProbeGaveWay]++
		r.Transfer(best.id)
	}
}

// swamped says whether entries that are not durable fill the memory that they may take.
func (r *Raft) swamped() bool {
	return r.log.bytes > r.set.MaxLogBytes+r.set.MaxUncommittedBytes
}
