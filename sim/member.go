package sim

import (
	"fmt"
	"runtime" //detcd:allow import: the place of a panic, which ends the run and decides nothing
	"strings"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// member is one machine with one process of the store on it. The process is kv.Driver and
// kv.Node, as in production; the machine is the world's.
//
// A process may stop at any operation that it gives to the disk: dying is then set in the middle
// of a turn, and the doors swallow what the driver still performs, as if it had never come to it.
type member struct {
	world  *world
	index  int
	id     raft.MemberID
	config kv.Config
	clock  clock
	disk   disk

	driver *kv.Driver // nil while down
	run    uint32     // number of the process, from 1; events of earlier ones are void
	life   lifeState
	inbox  []kv.Input
	spare  []kv.Input // the inbox of the last turn, used again
	// turnDue says that an eventTurn is scheduled; tickDue that an InputTick waits in the inbox.
	turnDue, tickDue bool
	turns            uint64 // over all processes, keys the draws
	again            bool

	pauses    int // active pauses; the process is frozen while it is above 0
	heldReads []uint32
	dying     bool
	downUntil int64
	crash     armedCrash
	// waiting are the calls that this process owes an answer, in the order of their arrival.
	waiting []owed
	applied raft.Index
	sought  *call      // asks last for the addition of a member at this machine
	reached raft.Index // the index that the node was at after its last turn
	// before is applied at the beginning of the turn; learned is the index of the last state that
	// the process was given whole, at its start or by a snapshot.
	before, learned raft.Index
	judged          uint64 // the turn that the oracles have looked at last
	conduct         conduct
	// resuming are the range streams that wait for a view.
	resuming []*openStream
	// damaged says that stored bytes were altered by a fault, or could not be read, which excuses a
	// refusal or a halt. liar says that the disk has reported as durable what it did not keep: then
	// nothing that the member lacks is its own mistake, and what lacks something counts as lost.
	damaged, liar bool
	// failing is the number of syncs and writes that were made to fail and not yet seen to: each
	// demands a halt. reboots says that the next failure takes the whole machine down.
	failing    int
	failedBy   int // index of the latest such fault
	reboots    bool
	haltReason string
	// metDamage says that a read of this process met damage: its next turn has to be the last.
	metDamage   bool
	stalledLead stalledLead
	absent      bool  // it stays down while the others recover
	lastPower   power // of the process that ended last
}

// owed is a request that a process has accepted and not yet answered.
type owed struct {
	token    kv.Token
	call     uint64
	endpoint netsim.Endpoint
}

// lifeState says whether a process runs.
type lifeState uint8

const (
	down lifeState = iota // a restart is scheduled or will be
	up
	gone // its stored state is damaged: it stays down for good
)

func newMember(w *world, index int) *member {
	p := w.plan
	m := &member{world: w, index: index, id: memberID(index)}
	m.clock = clock{drift: p.Machines[index].DriftPPM, offset: p.Machines[index].WallOffset}
	m.disk = newDisk(m)
	m.config = kv.Config{
		Cluster: 0xdec0de, Member: m.id, Name: fmt.Sprintf("m%d", index),
		ClientURLs: []string{fmt.Sprintf("http://10.0.0.%d:2379", index+1)},
		Seed:       keyed.Hash(p.Seed, 0x5ec7e7, uint64(index)), TickNanos: p.TickNanos,
		HeartbeatTicks: p.HeartbeatTicks, ElectionTicks: p.ElectionTicks,
		Version: "3.7.1", LeaseCheckpointNanos: p.LeaseNanos, Limits: p.Limits,
		Observed: kv.ObserveApplied, ProgressNotifyNanos: p.NotifyNanos,
	}
	m.config.Strictness = p.Strictness
	if own := &p.Machines[index]; own.CheckpointCount > 0 {
		m.config.Limits.CheckpointCount = own.CheckpointCount
		m.config.Limits.CatchUpEntries = own.CatchUpEntries
	}
	if index >= p.Founders {
		m.outside()
		return m
	}
	for i := range p.Founders {
		m.config.Members = append(m.config.Members, kv.Member{
			ID: memberID(i), PeerURLs: []string{machineURL(i)},
		})
	}
	return m
}

// start opens what the disk holds and begins the loop.
func (m *member) start() {
	w := m.world
	m.run++
	m.clock.boot(w.now)
	var node *kv.Node
	var err error
	if failed := guard(func() { node, err = kv.Open(m.config, &m.disk) }); failed != "" {
		w.fail(OraclePanic, "member %d: panic while it starts: %s", m.index, failed)
		return
	}
	if err != nil {
		m.refused(err)
		return
	}
	state := node.State()
	w.oracle.ledger.members[m.index].found = state.Applied
	if m.damaged && w.oracle.ledger.remembers(m, &state) == forgets {
		w.counts.Refusals++
		w.probes.forgets(node)
		m.life, m.haltReason = gone, "the damaged end of its log looks like a torn write"
		return
	}
	m.life, m.dying = up, false
	m.driver = &kv.Driver{Node: node, Disk: &m.disk, Network: m, Edge: m}
	m.applied, m.reached = node.Applied(), node.Applied()
	m.before, m.learned = m.applied, m.applied
	w.counts.Starts++
	w.oracle.started(m)
	m.input(kv.Input{Kind: kv.InputTick})
	m.tickDue = true
	w.schedule(event{at: m.clock.nextTick(w.now, w.plan.TickNanos), kind: eventTick,
		node: uint8(m.index), slot: m.run})
}

// guard runs f and returns the words of a panic with the place where it happened.
func guard(f func()) (failed string) {
	defer func() {
		if r := recover(); r != nil {
			failed = fmt.Sprintf("%v at %s", r, panicPlace())
		}
	}()
	f()
	return ""
}

// panicPlace names the functions of ours that were running when the panic began, innermost first.
func panicPlace() string {
	var pcs [48]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var places []string
	for {
		f, more := frames.Next()
		if i := strings.Index(f.Function, "detcd/detcd/"); i >= 0 {
			name := f.Function[i+len("detcd/detcd/"):]
			if strings.HasPrefix(name, "sim.") {
				break
			}
			file := f.File[strings.LastIndexByte(f.File, '/')+1:]
			places = append(places, fmt.Sprintf("%s (%s:%d)", name, file, f.Line))
		}
		if !more || len(places) == 6 {
			break
		}
	}
	return strings.Join(places, " < ")
}

// refused judges a start that ended in an error.
func (m *member) refused(err error) {
	w := m.world
	if !m.damaged {
		w.fail(OraclePanic, "member %d refuses to start without a fault that explains it: %v",
			m.index, err)
		return
	}
	w.counts.Refusals++
	w.probes.refused(err)
	m.life, m.haltReason = gone, err.Error()
}

func (m *member) input(in kv.Input) {
	m.inbox = append(m.inbox, in)
	m.wake()
}

// wake makes sure that the loop takes its inbox soon. How long the inbox may fill is drawn, so
// that some turns take one input and others a whole batch.
func (m *member) wake() {
	if m.turnDue || m.life != up || m.pauses > 0 {
		return
	}
	m.turnDue = true
	m.turns++
	d := newDie(m.world.plan.Seed, entityTurn, uint64(m.index)<<48|m.turns)
	m.world.schedule(event{at: m.world.now + d.below(m.world.plan.TurnDelay), kind: eventTurn,
		node: uint8(m.index), slot: m.run})
}

func (m *member) tick(e *event) {
	if e.slot != m.run || m.life != up {
		return
	}
	w := m.world
	w.schedule(event{at: m.clock.nextTick(w.now, w.plan.TickNanos), kind: eventTick, node: e.node,
		slot: e.slot})
	if !m.tickDue { // a ticker that nobody reads drops its ticks
		m.tickDue = true
		m.input(kv.Input{Kind: kv.InputTick})
		m.disk.report()
	}
}

func (m *member) receive(msg *raft.Message) {
	if m.life == up {
		m.input(kv.Input{Kind: kv.InputMessage, Message: msg})
	}
}

// turn lets the driver take the inbox.
func (m *member) turn(e *event) {
	if e.slot != m.run || m.life != up {
		return
	}
	m.turnDue = false
	if m.pauses > 0 {
		return
	}
	w := m.world
	turn := m.inbox
	m.inbox = m.spare[:0]
	if m.again {
		m.again = false
		turn = append(turn, kv.Input{Kind: kv.InputAgain})
	}
	mono, wall := m.clock.read(w.now)
	m.conduct.heard = 0
	for i := range turn {
		switch turn[i].Kind {
		case kv.InputTick:
			turn[i].Mono, turn[i].Wall = mono, wall
			m.tickDue = false
		case kv.InputMessage:
			w.oracle.hears(m, turn[i].Message)
		}
	}
	w.counts.Turns++
	w.trace.add(uint64(len(turn)))
	m.before = m.applied
	var again, halted bool
	if failed := guard(func() { again, halted = m.driver.Turn(turn) }); failed != "" {
		w.fail(OraclePanic, "member %d: %s", m.index, failed)
		return
	}
	clear(turn)
	m.spare = turn[:0]
	m.traceEffects()
	w.oracle.stepped(m)
	if len(w.waiting) > 0 && m.driver.Node.Stage().Owing {
		w.halfApplied(m)
	}
	m.poison()
	switch {
	case w.failure != nil:
	case m.dying:
		m.die()
	case halted:
		m.halted()
	case m.disk.failureSeen:
		w.fail(OracleHalt, "member %d goes on after a sync or a write failed", m.index)
	case m.metDamage:
		w.fail(OracleHalt, "member %d goes on after a read met damage", m.index)
	default:
		m.again = again
		if again || len(m.inbox) > 0 {
			m.wake()
		}
	}
}

// traceEffects folds what the node wanted done into the trace.
func (m *member) traceEffects() {
	t, e := &m.world.trace, m.driver.Effects()
	t.add(uint64(len(e.Disk))<<48 | uint64(len(e.Sends))<<32 | uint64(len(e.Answers))<<16 |
		uint64(len(e.Reads)))
	for i := range e.Disk {
		op := &e.Disk[i]
		t.add(uint64(op.Ticket) ^ uint64(op.Kind)<<40 ^ uint64(op.Offset)<<20)
		t.addBytes(op.Data)
	}
	for i := range e.Sends {
		s := &e.Sends[i]
		t.add(uint64(s.Type)<<56 ^ uint64(s.To)<<40 ^ uint64(s.Index)<<20 ^ uint64(s.Commit))
		t.add(s.Round ^ uint64(s.Read)<<32)
	}
	for i := range e.Answers {
		t.add(uint64(e.Answers[i].Token)<<8 | uint64(e.Answers[i].Code))
	}
	for i := range e.Watch {
		d := &e.Watch[i]
		t.add(uint64(len(d.To))<<32 | uint64(d.Charge))
		for _, to := range d.To {
			t.add(uint64(to.Stream)<<32 ^ uint64(to.ID))
		}
	}
	for i := range e.Passwords {
		t.add(e.Passwords[i].ID)
	}
}

// poison overwrites the lists of the last turn: they are lent, and whoever kept one of them reads
// nonsense from now on.
func (m *member) poison() {
	e := m.driver.Effects()
	for i := range e.Disk {
		e.Disk[i] = diskio.Op{Kind: 0xff, File: "poison"}
	}
	for i := range e.Sends {
		e.Sends[i] = raft.Message{Type: 0xff}
	}
	for i := range e.Answers {
		e.Answers[i] = kv.Answer{Code: kv.NumCodes}
	}
	for i := range e.Applied {
		e.Applied[i] = raft.Entry{Type: 0xff}
	}
	clear(e.Watch)
	clear(e.Reads)
	clear(e.Passwords)
	clear(e.Notes)
}

// halted judges a node that stopped by itself.
func (m *member) halted() {
	w := m.world
	if m.haltReason == kv.Removed {
		m.expelled()
		return
	}
	if m.failing == 0 && !m.damaged {
		w.fail(OraclePanic, "member %d halts without a fault that explains it: %s", m.index,
			m.haltReason)
		return
	}
	w.counts.Halts++
	w.probes.halted(m)
	excusedBySync := m.failing > 0 && m.disk.failureSeen
	if excusedBySync {
		m.failing--
		w.faults[m.failedBy].felt++
	}
	if m.reboots {
		m.stop(powerLost)
	} else {
		m.stop(powerStays)
	}
	m.reboots = false
	if !excusedBySync {
		m.life = gone
		return
	}
	m.scheduleRestart(w.now + second/2)
}
