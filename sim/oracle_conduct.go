package sim

import "github.com/detcd/detcd/raft"

// Conduct: what a process may say after what it has said and heard itself. The other oracles judge
// a message by the state of the world; these rules need only the process's own past, and see
// mistakes that do harm much later or only to the cluster's peace.

// conduct is what one process has said and heard.
type conduct struct {
	run   uint32 // the process that the rest is about
	term  raft.Term
	acked raft.Index // highest index acknowledged in term
	heard raft.Term  // of the leader that spoke in the messages of this turn, 0 if none did
}

// hears notes a turn's messages. Only the word of a leader whose process still runs counts: one of
// an earlier process is rightly ignored.
func (o *oracles) hears(m *member, msg *raft.Message) {
	if msg.Type != raft.MsgAppend && msg.Type != raft.MsgHeartbeat {
		return
	}
	from := o.world.machineOf(msg.From)
	if from < 0 || o.world.members[from].life != up ||
		o.world.members[from].driver.Node.Incarnation() != msg.FromIncarnation {
		return
	}
	m.conduct.heard = max(m.conduct.heard, msg.Term)
}

// canvasses checks that a member does not ask for votes while a sign of life from the leader of its
// term waits to be read: who was frozen reads first.
func (o *oracles) canvasses(m *member, msg *raft.Message) {
	if m.conduct.heard != 0 && msg.Term == m.conduct.heard+1 {
		o.world.fail(OracleLive, "member %d asks for votes in term %d, though a message from the "+
			"leader of term %d had arrived", m.index, msg.Term, m.conduct.heard)
	}
}

// repeats checks that what a process acknowledges never shrinks within a term.
func (o *oracles) repeats(m *member, msg *raft.Message) {
	c := &m.conduct
	if c.run != m.run || c.term != msg.Term {
		c.run, c.term, c.acked = m.run, msg.Term, 0
	}
	if msg.Index < c.acked {
		o.world.fail(OracleRaft, "member %d acknowledges index %d in term %d after %d", m.index,
			msg.Index, msg.Term, c.acked)
	}
	c.acked = max(c.acked, msg.Index)
}
