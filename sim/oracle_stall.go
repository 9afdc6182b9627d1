package sim

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// A leader whose log stands still, while the others commit without it, has to give way: it can keep
// nothing and vote for nobody, and its memory fills. The rule is judged only where nothing else
// disturbs the cluster, because a transfer needs the others and the network.

// stalledLead is what is known of a leader whose log stands still.
type stalledLead struct {
	run     uint32
	term    raft.Term
	durable raft.Index
	since   int64
}

// trouble notes that something other than a stalled log disturbs the cluster.
func (w *world) trouble(f *Fault) {
	if f.Kind != FaultStall || f.Amount != stallLane(diskio.LaneLog) {
		w.troubled = max(w.troubled, w.now+f.For)
	}
}

// givesWay checks that a leader whose log stands still does not lead for ever.
func (o *oracles) givesWay(m *member) {
	w, l := o.world, &m.stalledLead
	if m.disk.stalls[diskio.LaneLog] == 0 {
		l.run = 0
		return
	}
	s := m.driver.Node.State().Raft
	if s.Role != raft.Leader || s.Commit <= s.Durable {
		l.run = 0
		return
	}
	if l.run != m.run || l.term != s.Term || l.durable != s.Durable {
		*l = stalledLead{run: m.run, term: s.Term, durable: s.Durable, since: w.now}
	}
	for _, other := range w.members {
		if other.life != up || other != m && other.disk.stalls[diskio.LaneLog] > 0 {
			w.troubled = max(w.troubled, w.now)
		}
	}
	patience := 20*w.plan.ElectionNanos() + second
	if lasted := w.now - max(l.since, w.troubled); lasted > patience {
		w.fail(OracleLive, "member %d leads term %d although its log has stood still at index %d "+
			"for %s, and %d is committed", m.index, s.Term, s.Durable, clockTime(lasted), s.Commit)
	}
}
