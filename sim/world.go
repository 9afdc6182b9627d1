package sim

import (
	"fmt"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// world is one run: the plan, the events that wait, and everything that lives in between. It is
// used by one goroutine and touches nothing outside itself.
type world struct {
	plan    *Plan
	now     int64
	heap    eventHeap
	trace   trace
	net     *netsim.Network
	members []*member
	clients []*client
	// calls are all requests of all clients, by number minus one.
	calls []*call
	// watchers are the clients that watch, conns all their streams, by number minus one.
	watchers     []*watcher
	conns        []*watchConn
	watchLetters slab[watchLetter]
	letters      slab[letter]
	reads        slab[grantedRead]
	scratch      mvcc.Scratch // of all reads, one after the other
	faults       []faultState // beside plan.Faults
	waiting      []int        // faults that wait for something, by index
	disarms      int          // the operator's attempts to end an alarm
	oracle       oracles
	heal         healing
	counts       Counts
	probes       probed
	// troubled is until when the cluster is disturbed by more than a stalled log.
	troubled int64
	failure  *Failure
	budget   Verdict
	done     bool
	record   *recorder              // nil unless somebody watches
	judged   linearizability.Result // the judgement that failed the run, if one did
	// passwords are with the edge of a member.
	passwords     slab[hashingPassword]
	administrator administrator
}

// letter is what travels through the simulated network.
type letter struct {
	message  *raft.Message // between members
	from, to netsim.Endpoint
	number   uint64 // of the message on its link
	call     uint64 // client traffic: the call's number
	answer   *reply // from a member to a client
	recorded uint32 // its name in the record, 0 for none
}

// reply is what a member says to a client.
type reply struct {
	code   kv.Code
	body   []byte
	index  raft.Index
	broken brokenness
	member int
	run    uint32 // of the member's process
	// For the record: the read index, the index that the answer shows, and its revision.
	confirmed, applied raft.Index
	revision           int64
}

// brokenness says whether a reply is an answer or the sight of a connection breaking.
type brokenness uint8

const (
	intact brokenness = iota
	broken
)

// grantedRead is a read that a member handed out and that is evaluated later.
type grantedRead struct {
	read   kv.Read
	run    uint32      // of the member's process
	stream *openStream // nil for a plain read
	// viewless says that the stream has given its view back and asks for another one.
	viewless bool
}

func newWorld(plan *Plan, options *Options) *world {
	if plan.Founders == 0 {
		plan.Founders = plan.Members
	}
	w := &world{plan: plan}
	endpoints := plan.Members + len(plan.Scripts) + 2 + len(plan.Watchers)
	if plan.Auth.on() {
		endpoints++ // the administrator
	}
	w.net = netsim.New(plan.Seed, endpoints, plan.Members, plan.Peers, plan.Clients)
	w.trace.out, w.trace.from, w.trace.to = options.Trace, options.From, options.To
	w.faults = make([]faultState, len(plan.Faults))
	w.oracle = newOracles(w)
	w.probes = newProbed(w)
	for i := range plan.Members {
		w.members = append(w.members, newMember(w, i))
	}
	for i := range plan.Scripts {
		w.clients = append(w.clients, newClient(w, i, &plan.Scripts[i]))
	}
	w.clients = append(w.clients, newOperator(w), newAdmin(w))
	if plan.Auth.on() {
		w.clients = append(w.clients, newAdministrator(w))
		w.schedule(event{at: plan.Auth.Start, kind: eventIssue,
			node: uint8(len(w.clients) - 1)})
	}
	for i := range plan.Founders {
		w.schedule(event{at: int64(i) * 10 * microsecond, kind: eventRestart, node: uint8(i)})
	}
	for i, s := range plan.Scripts {
		if !s.Silent {
			w.schedule(event{at: s.Start, kind: eventIssue, node: uint8(i)})
		}
	}
	for i := range plan.Watchers {
		w.watchers = append(w.watchers, newWatcher(w, i, &plan.Watchers[i]))
		if !plan.Watchers[i].Silent {
			w.schedule(event{at: plan.Watchers[i].Start, kind: eventWatchAct, node: uint8(i)})
		}
	}
	for i := range plan.Faults {
		w.schedule(event{at: plan.Faults[i].At, kind: eventFault, slot: uint32(i)})
	}
	for i := range plan.Reshapes {
		w.schedule(event{at: plan.Reshapes[i].At, kind: eventReshape, slot: uint32(i)})
	}
	w.schedule(event{at: plan.Chaos, kind: eventPhase})
	if options.Record != nil {
		w.record = newRecorder(w, options.Record)
	}
	return w
}

func (w *world) schedule(e event) {
	if e.at < w.now {
		panic(fmt.Sprintf("sim: %s scheduled at %d, which is before %d", e.kind, e.at, w.now))
	}
	w.heap.push(e)
}

// run performs events until the run is over or an oracle objects.
func (w *world) run(limits *Options) {
	for w.step(limits.MaxEvents) {
	}
}

// step performs the next event, unless the run is over; most events bound a run, 0 is no bound.
func (w *world) step(most uint64) bool {
	if w.done || w.failure != nil {
		return false
	}
	if f := &w.plan.Fork; f.Seed != 0 && f.Event == w.trace.events {
		w.fork()
	}
	e, ok := w.heap.pop()
	if !ok {
		w.fail(OracleLive, "no event is left, and the run has not ended")
		return false
	}
	if most > 0 && w.trace.events >= most {
		w.fail(OracleLive, "the run has not ended after %d events", w.trace.events)
		return false
	}
	w.now = e.at
	w.trace.begin(&e)
	text := ""
	if w.trace.verbose() {
		text = w.describe(&e)
	}
	w.dispatch(&e)
	if w.record != nil {
		w.record.after(&e)
	}
	w.trace.end(&e, text)
	return true
}

func (w *world) dispatch(e *event) {
	switch e.kind {
	case eventTick:
		w.members[e.node].tick(e)
	case eventTurn:
		w.members[e.node].turn(e)
	case eventMessage:
		w.arriveMessage(e)
	case eventRequest:
		w.arriveRequest(e)
	case eventResponse:
		w.arriveResponse(e)
	case eventDisk:
		w.members[e.node].disk.event(e)
	case eventRead:
		w.members[e.node].evaluate(e)
	case eventIssue:
		w.clients[e.node].issue()
	case eventTimeout:
		w.clients[e.node].timeout(w.calls[e.arg-1], int(e.slot))
	case eventFault:
		w.beginFault(int(e.slot))
	case eventFaultEnd:
		w.endFault(int(e.slot))
	case eventRestart:
		w.members[e.node].restart(e)
	case eventPhase:
		w.nextPhase()
	case eventProbe:
		w.probe()
	case eventWatchAct:
		w.watchers[e.node].act()
	case eventWatchRead:
		w.watchers[e.node].readNext(e)
	case eventWatchUp, eventWatchDown:
		w.arriveWatch(e)
	case eventWatchBreak:
		w.noticeBreak(e)
	case eventPassword:
		w.members[e.node].passwordHashed(e)
	case eventReshape:
		w.reshape(int(e.slot))
	case eventDisarm:
		w.disarm()
	default:
		panic(fmt.Sprintf("sim: unknown event kind %d", e.kind))
	}
}

// send gives a letter to the network and schedules its copies.
func (w *world) send(kind eventKind, node int, class netsim.Class, l letter) {
	fate := w.net.Send(l.from, l.to, class)
	l.number = fate.Number
	if w.record != nil {
		l.recorded = w.record.sent(kind, &l, &fate)
	}
	for i := range fate.Copies {
		copied := l
		if i > 0 && l.message != nil {
			copied.message = copyMessage(l.message)
		}
		w.schedule(event{
			at: w.now + fate.Delays[i], kind: kind, node: uint8(node), slot: w.letters.put(copied),
		})
	}
}

// copyMessage makes a second copy of a message: the receiver owns what it gets.
func copyMessage(m *raft.Message) *raft.Message {
	c := *m
	c.Entries = append([]raft.Entry(nil), m.Entries...)
	return &c
}

func (w *world) arriveMessage(e *event) {
	l := w.letters.take(e.slot)
	w.trace.add(uint64(l.message.Type)<<32 | uint64(l.from))
	w.trace.add(uint64(l.message.Term)<<32 ^ uint64(l.message.Index))
	class := netsim.Class(l.message.Type)
	if !w.net.Arrive(l.from, l.to, class, l.number) {
		w.arrived(l.recorded, Refused)
		return
	}
	if fault := w.net.Alters(l.from, l.to, class, l.number); fault > 0 {
		w.arrived(l.recorded, Altered)
		w.altered(fault, &l)
		return
	}
	if w.members[e.node].life == up {
		w.arrived(l.recorded, Delivered)
	} else {
		w.arrived(l.recorded, Unheard)
	}
	w.members[e.node].receive(l.message)
}

func (w *world) arriveRequest(e *event) {
	l := w.letters.take(e.slot)
	w.trace.add(l.call)
	if w.net.Arrive(l.from, l.to, 0, l.number) {
		w.arrived(l.recorded, Delivered)
		w.members[e.node].accept(w.calls[l.call-1], l.from)
	} else {
		w.arrived(l.recorded, Refused)
	}
}

func (w *world) arriveResponse(e *event) {
	l := w.letters.take(e.slot)
	w.trace.add(l.call<<8 | uint64(l.answer.code))
	w.trace.addBytes(l.answer.body)
	if w.net.Arrive(l.from, l.to, 0, l.number) {
		w.arrived(l.recorded, Delivered)
		w.clients[e.node].answered(w.calls[l.call-1], l.answer)
	} else {
		w.arrived(l.recorded, Refused)
	}
}

// arrived lets the record know, if there is one.
func (w *world) arrived(recorded uint32, o Outcome) {
	if w.record != nil {
		w.record.arrived(recorded, o)
	}
}

// describe is the readable form of an event, taken before it is performed.
func (w *world) describe(e *event) string {
	switch e.kind {
	case eventMessage:
		return describeMessage(w.letters.items[e.slot].message)
	case eventRequest, eventResponse:
		l := &w.letters.items[e.slot]
		c := w.calls[l.call-1]
		text := fmt.Sprintf("%s of call %d client %d member %d: %s", e.kind, l.call, c.client,
			c.member, c.describe())
		if l.answer != nil {
			text += fmt.Sprintf(" -> %s index %d, %d bytes", l.answer.code.Text(), l.answer.index,
				len(l.answer.body))
		}
		return text
	case eventFault, eventFaultEnd:
		return fmt.Sprintf("%s: %s", e.kind, w.plan.Faults[e.slot])
	case eventIssue:
		return fmt.Sprintf("%s client %d", e.kind, e.node)
	case eventTimeout:
		return fmt.Sprintf("%s client %d call %d", e.kind, e.node, e.arg)
	case eventWatchUp, eventWatchDown:
		l := &w.watchLetters.items[e.slot]
		c := w.conns[l.conn-1]
		return fmt.Sprintf("%s stream %d client %d member %d letter %d: %d bytes", e.kind, l.conn,
			c.client, c.member, l.sequence, len(l.request)+len(l.response))
	case eventWatchAct, eventWatchRead, eventWatchBreak:
		return fmt.Sprintf("%s client %d stream %d", e.kind, e.node, e.slot)
	case eventReshape:
		return w.plan.Reshapes[e.slot].String()
	case eventPhase, eventProbe, eventDisarm:
		return e.kind.String()
	}
	return fmt.Sprintf("%s member %d", e.kind, e.node)
}

func describeMessage(m *raft.Message) string {
	text := fmt.Sprintf("message %s %s->%s term %d index %d logterm %d commit %d",
		messageName(m.Type),
		m.From, m.To, m.Term, m.Index, m.LogTerm, m.Commit)
	if len(m.Entries) > 0 {
		text += fmt.Sprintf(" entries %d..%d", m.Entries[0].Index,
			m.Entries[len(m.Entries)-1].Index)
	}
	if m.Reject {
		text += " reject"
	}
	return text
}

func messageName(t raft.MessageType) string {
	names := [...]string{"?", "prevote", "prevote-resp", "vote", "vote-resp", "append",
		"append-resp", "heartbeat", "heartbeat-resp", "timeout-now", "propose", "read-index",
		"read-index-resp", "snapshot-offer", "snapshot-chunk", "snapshot-ack", "ask", "tell",
		"contact"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", t)
}
