package sim

import (
	"fmt"

	"github.com/detcd/detcd/raft"
)

// Oracle names a rule that a run may break.
type Oracle string

// The oracles.
const (
	OracleRaft    Oracle = "RAFT"    // the protocol's invariants
	OracleDurable Oracle = "DURABLE" // promises are on durable media when they are made
	OracleHash    Oracle = "HASH"    // equal logs make equal states
	OracleModel   Oracle = "MODEL"   // an applied request does what the reference model says
	OracleLin     Oracle = "LIN"     // what clients saw is linearizable
	OracleLive    Oracle = "LIVE"    // progress within a bound once faults end
	OraclePanic   Oracle = "PANIC"   // nothing stops, refuses or panics without a fault behind it
	OracleHalt    Oracle = "HALT"    // a failed sync stops the node
	OracleCodec   Oracle = "CODEC"   // the wire form says the same as the value
	OracleCheck   Oracle = "CHECK"   // the node's own invariants
	OracleBound   Oracle = "BOUND"   // what a node holds in memory stays within its limits
	OracleWatch   Oracle = "WATCH"   // watchers get everything once, in order, and nothing else
	// OracleUndecided fails a run whose history a checker could not judge: no verdict is no pass.
	OracleUndecided Oracle = "UNDECIDED"
)

// Failure is what an oracle objects to.
type Failure struct {
	Oracle  Oracle
	Message string
	At      int64  // virtual nanoseconds
	Event   uint64 // number of the event during which it was seen
	About   Subject
}

// Subject is what a failure is about, as far as its oracle can say; zero is nothing.
type Subject struct {
	Call   uint64 // the call whose answer nothing explains
	Stream uint32 // of a watcher that saw what cannot be, or lacks something
	Watch  int64  // its id on the stream
}

// String is one line for people.
func (f *Failure) String() string {
	return fmt.Sprintf("%s at %s, event %d: %s", f.Oracle, clockTime(f.At), f.Event, f.Message)
}

// fail records the first objection, which ends the run.
func (w *world) fail(o Oracle, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{
			Oracle: o, Message: fmt.Sprintf(format, args...), At: w.now, Event: w.trace.events,
		}
	}
}

// failAbout is fail for an oracle that knows what it is about.
func (w *world) failAbout(s Subject, o Oracle, format string, args ...any) {
	if w.failure == nil {
		w.fail(o, format, args...)
		w.failure.About = s
	}
}

// oracles watch every event. They know the truth of the whole world at once, which no member does.
type oracles struct {
	world      *world
	ledger     ledger
	wire       wireOracle
	commit     commitOracle
	leases     leaseOracle
	membership memberOracle
	auth       authOracle
}

func newOracles(w *world) oracles {
	return oracles{world: w, ledger: newLedger(w), wire: newWireOracle(),
		commit: newCommitOracle(), leases: newLeaseOracle(), membership: newMemberOracle(w.plan),
		auth: newAuthOracle()}
}

// started looks at a process that has just opened its disk.
func (o *oracles) started(m *member) {
	s := m.driver.Node.State()
	o.ledger.reopened(m, &s)
	o.commit.stateAt(o.world, m, &s)
}

// stepped looks at what the node's step applied. It runs before anything else of the turn is
// performed, so that answers and messages are judged by what is known with them; the doors call it,
// and it does its work once per turn.
func (o *oracles) stepped(m *member) {
	if m.judged == o.world.counts.Turns {
		return
	}
	m.judged = o.world.counts.Turns
	if err := m.driver.Node.Held().Check(&m.config.Limits); err != nil {
		o.world.fail(OracleBound, "member %d: %v", m.index, err)
		return
	}
	o.givesWay(m)
	at := m.driver.Node.Applied()
	if at < m.reached {
		o.world.fail(OracleRaft, "member %d went back from index %d to %d", m.index, m.reached, at)
		return
	}
	m.reached = at
	applied := m.driver.Effects().Applied
	if len(applied) == 0 {
		return
	}
	for i := range applied {
		e := &applied[i]
		if e.Index != m.applied+1 && e.Index <= m.applied {
			o.world.fail(OracleRaft, "member %d applies index %d after %d", m.index, e.Index,
				m.applied)
			return
		}
		if e.Index > m.applied+1 {
			o.world.counts.Installs++
			m.learned = e.Index - 1
		}
		m.applied = e.Index
		o.commit.applied(o.world, m, e)
		if o.world.failure != nil {
			return
		}
	}
	s := m.driver.Node.State()
	o.commit.stateAt(o.world, m, &s)
}

// entryMark identifies an entry's content.
type entryMark struct {
	term raft.Term
	hash uint64
}

func markEntry(e *raft.Entry) entryMark {
	h := fold(uint64(e.Type), uint64(e.Proposer))
	h = fold(h, uint64(e.Incarnation))
	h = fold(h, uint64(e.Sequence))
	return entryMark{term: e.Term, hash: foldBytes(h, e.Data)}
}

// position names an entry of the cluster: no two entries of one term share an index.
type position struct {
	term  raft.Term
	index raft.Index
}
