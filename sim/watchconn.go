package sim

import (
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
)

// A watch stream through the simulated network. The network loses and reorders messages, a
// connection does not: what comes out of order waits for what is missing, and what is lost breaks
// the connection, which either end notices some time later.
//
// The edge of a member sends as many responses ahead as its window allows; the client acknowledges
// a response when it reads it, so that a client which reads slowly fills the window, then the
// queue, and then the limit that the node keeps for the stream.

// watchConn is one stream of one client to one process of one member.
type watchConn struct {
	number   uint32 // from 1; also the stream's id
	client   int
	member   int
	run      uint32 // of the member's process
	broken   bool
	opened   bool // the member has heard of it
	up, down pipe
	// The member's edge: responses that wait, those sent and not acknowledged, and the charge of
	// acknowledged ones that the node has not been told of.
	queue    []parcel
	unread   []int
	consumed int
	// asked are the watches that the member has not answered, in order; kept in runs with users.
	asked []watchAsked
}

// pipe is one direction of a connection.
type pipe struct {
	sent, taken uint64
	early       []watchLetter // came before their turn
}

// watchLetter is what travels on a connection.
type watchLetter struct {
	conn     uint32
	sequence uint64
	number   uint64 // of the message on its link
	recorded uint32 // its name in the record, 0 for none
	request  []byte // up: a WatchRequest; nil acknowledges a response
	response []byte // down: a WatchResponse
}

// parcel is a response that waits at a member's edge.
type parcel struct {
	response []byte
	charge   int
}

// take returns the letters whose turn has come, now that l is here.
func (p *pipe) take(l watchLetter) (ready []watchLetter) {
	for i := range p.early {
		if p.early[i].sequence == l.sequence {
			return nil // a second copy
		}
	}
	if l.sequence < p.taken {
		return nil
	}
	p.early = append(p.early, l)
	for found := true; found; {
		found = false
		for i := range p.early {
			if p.early[i].sequence == p.taken {
				ready = append(ready, p.early[i])
				p.early = append(p.early[:i], p.early[i+1:]...)
				p.taken++
				found = true
				break
			}
		}
	}
	return ready
}

// watchEndpoint is the place of a watching client in the network, behind the other clients.
func (w *world) watchEndpoint(client int) netsim.Endpoint {
	return netsim.Endpoint(w.plan.Members + len(w.plan.Scripts) + 2 + client)
}

func (w *world) openConn(client, member int) *watchConn {
	c := &watchConn{number: uint32(len(w.conns) + 1), client: client, member: member,
		run: w.members[member].run}
	w.conns = append(w.conns, c)
	return c
}

// sendUp sends a request, or an acknowledgement, to the member.
func (w *world) sendUp(c *watchConn, request []byte) {
	l := watchLetter{conn: c.number, sequence: c.up.sent, request: request}
	c.up.sent++
	w.sendWatch(c, eventWatchUp, w.watchEndpoint(c.client), netsim.Endpoint(c.member), l)
}

func (w *world) sendDown(c *watchConn, response []byte) {
	l := watchLetter{conn: c.number, sequence: c.down.sent, response: response}
	c.down.sent++
	w.sendWatch(c, eventWatchDown, netsim.Endpoint(c.member), w.watchEndpoint(c.client), l)
}

func (w *world) sendWatch(c *watchConn, kind eventKind, from, to netsim.Endpoint, l watchLetter) {
	if c.broken {
		return
	}
	fate := w.net.Send(from, to, 0)
	if fate.Copies == 0 {
		w.breakConn(c)
	}
	l.number = fate.Number
	if w.record != nil {
		l.recorded = w.record.sentWatch(kind, from, to, &l, &fate)
	}
	for i := range fate.Copies {
		w.schedule(event{at: w.now + fate.Delays[i], kind: kind, slot: w.watchLetters.put(l)})
	}
}

// arriveWatch takes a letter from the network.
func (w *world) arriveWatch(e *event) {
	l := w.watchLetters.take(e.slot)
	c := w.conns[l.conn-1]
	client, member := w.watchEndpoint(c.client), netsim.Endpoint(c.member)
	w.trace.add(uint64(l.conn)<<32 | l.sequence)
	if e.kind == eventWatchUp {
		if !w.net.Arrive(client, member, 0, l.number) {
			w.arrived(l.recorded, Refused)
			w.breakConn(c)
			return
		}
		w.arrived(l.recorded, Delivered)
		for _, each := range c.up.take(l) {
			w.members[c.member].watchRequest(c, each.request)
		}
		return
	}
	w.trace.addBytes(l.response)
	if !w.net.Arrive(member, client, 0, l.number) {
		w.arrived(l.recorded, Refused)
		w.breakConn(c)
		return
	}
	w.arrived(l.recorded, Delivered)
	for _, each := range c.down.take(l) {
		w.watchers[c.client].receive(c, each.response)
	}
}

// breakConn ends a connection; both ends notice in their own time.
func (w *world) breakConn(c *watchConn) {
	if c.broken {
		return
	}
	c.broken = true
	w.counts.BrokenStreams++
	d := newDie(w.plan.Seed, entityConn, uint64(c.number))
	w.schedule(event{at: w.now + d.spread(1, 3000)*millisecond, kind: eventWatchBreak, arg: 0,
		slot: c.number})
	w.schedule(event{at: w.now + d.spread(1, 5000)*millisecond, kind: eventWatchBreak, arg: 1,
		slot: c.number})
}

// noticeBreak lets one end know that its connection is broken.
func (w *world) noticeBreak(e *event) {
	c := w.conns[e.slot-1]
	if e.arg == 0 {
		w.watchers[c.client].lost(c)
		return
	}
	w.members[c.member].watchGone(c)
}

// watchRequest takes what a client says on a stream.
func (m *member) watchRequest(c *watchConn, request []byte) {
	w := m.world
	if c.broken {
		return
	}
	if m.life != up || c.run != m.run {
		w.breakConn(c)
		return
	}
	if request == nil {
		m.acknowledged(c)
		return
	}
	if code := kv.ValidateWatch(request); code != kv.OK {
		w.fail(OracleCodec, "member %d refuses a watch request of client %d: %s", m.index,
			c.client, code.Text())
		return
	}
	c.opened = true
	var identity *kv.Identity
	if w.plan.Auth.on() {
		identity = m.asksToWatch(c, request)
	}
	m.input(kv.Input{Kind: kv.InputWatch, Watch: &kv.WatchInput{
		Stream: kv.WatchStream(c.number), Event: kv.WatchAsked, Raw: request,
		Identity: identity}})
}

// acknowledged notes that the client has read a response.
func (m *member) acknowledged(c *watchConn) {
	c.consumed += c.unread[0]
	c.unread = c.unread[1:]
	if c.consumed >= max(m.config.Limits.WatchBytes/4, 1) {
		m.input(kv.Input{Kind: kv.InputWatch, Watch: &kv.WatchInput{
			Stream: kv.WatchStream(c.number), Event: kv.WatchConsumed, Consumed: c.consumed}})
		c.consumed = 0
	}
	m.sendParcels(c)
}

// watchGone ends a stream at the member, if its process still knows of it.
func (m *member) watchGone(c *watchConn) {
	if m.life == up && c.run == m.run && c.opened {
		m.input(kv.Input{Kind: kv.InputWatch, Watch: &kv.WatchInput{
			Stream: kv.WatchStream(c.number), Event: kv.WatchEnded}})
	}
	c.queue = nil
}

// Watch implements kv.Edge.
func (m *member) Watch(d *kv.WatchDelivery) {
	w := m.world
	if m.dying {
		return
	}
	w.oracle.stepped(m)
	for _, to := range d.To {
		if to.Stream == 0 || uint64(to.Stream) > uint64(len(w.conns)) {
			w.fail(OracleWatch, "member %d answers stream %d, which nobody opened", m.index,
				to.Stream)
			return
		}
		c := w.conns[to.Stream-1]
		if c.broken || c.run != m.run || c.member != m.index {
			continue
		}
		body := kv.AppendWatchID(nil, to.ID)
		for _, piece := range d.Body {
			body = append(body, piece...)
		}
		if w.plan.Auth.on() {
			w.oracle.judgeWatch(m, c, body)
		}
		c.queue = append(c.queue, parcel{response: body, charge: d.Charge})
		m.sendParcels(c)
	}
}

// sendParcels sends what the window allows.
func (m *member) sendParcels(c *watchConn) {
	w := m.world
	for len(c.queue) > 0 && len(c.unread) < w.plan.Watchers[c.client].Window && !c.broken {
		p := c.queue[0]
		c.queue = c.queue[1:]
		c.unread = append(c.unread, p.charge)
		w.sendDown(c, p.response)
	}
}

// breakStreams breaks all connections to the member's process, which ends.
func (m *member) breakStreams() {
	for _, c := range m.world.conns {
		if c.member == m.index && c.run == m.run {
			m.world.breakConn(c)
		}
	}
}
