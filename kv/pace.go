// Pace: reclaim gives way to the log. Both share a device, and what clients wait for is the log's
// sync; reclaim can wait. But it cannot wait for ever, or a disk that is always slow would fill: so
// it is held back for an election timeout at most, then it has as long for itself.
package kv

// slowSync is how many ticks a sync of the log takes before reclaim gives way.
const slowSync = 2

// pacing is how long reclaim has been held back, or may go on without being held back, in ticks.
// Invariant: one of the two is 0.
type pacing struct{ held, free int }

// pace is called on ticks. Where space is short reclaim is what gives it back, and never waits.
func (n *Node) pace() {
	p := &n.pacing
	slow := n.log.Waited() >= slowSync && !n.space.low
	switch {
	case p.free > 0:
		p.free--
	case slow && p.held < n.cfg.ElectionTicks:
		p.held++
		n.store.Pause()
		return
	case slow:
		p.held, p.free = 0, n.cfg.ElectionTicks
	default:
		p.held = 0
	}
	n.store.Resume()
}
