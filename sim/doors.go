package sim

import (
	"slices"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// The doors of a member's process: its network and its edge. Both swallow everything while the
// process is dying, because a process that stopped at a disk operation never came to what follows.

// Send implements kv.Network.
func (m *member) Send(msg raft.Message) {
	w := m.world
	if m.dying {
		return
	}
	if m.crash.counts(msg.Type) {
		m.dying = true
		if m.crash.moment == Before {
			return
		}
	}
	w.oracle.stepped(m)
	w.oracle.sent(m, &msg)
	to := w.machineOf(msg.To)
	if to < 0 {
		if c := m.driver.Node.State().Raft.Config; !c.Contains(msg.To) {
			w.fail(OracleRaft, "member %d sends to %s, which is no member", m.index, msg.To)
		}
		return // added, and not started yet
	}
	sent := w.onWire(m, &msg)
	if sent == nil {
		return
	}
	w.send(eventMessage, to, netsim.Class(sent.Type), letter{
		message: sent, from: netsim.Endpoint(m.index), to: netsim.Endpoint(to),
	})
}

// counts says whether the process dies at a message of this type.
func (c *armedCrash) counts(t raft.MessageType) bool {
	if c.fault == 0 || c.classes>>t&1 == 0 {
		return false
	}
	c.after--
	return c.after <= 0
}

// onWire returns the message as the receiver will get it: most are copied, because the sender's
// lists are reused; a drawn part passes through the wire form, as all do in production.
func (w *world) onWire(m *member, msg *raft.Message) *raft.Message {
	w.counts.Messages++
	d := newDie(w.plan.Seed, entityWire, w.counts.Messages)
	if !d.chance(int64(w.plan.WirePPM)) {
		return copyMessage(msg)
	}
	w.counts.Encoded++
	wire := raft.EncodeMessage(nil, msg)
	decoded, err := raft.DecodeMessage(wire)
	if err != nil {
		w.fail(OracleCodec, "member %d sends %s, whose wire form does not decode: %v", m.index,
			describeMessage(msg), err)
		return nil
	}
	return &decoded
}

// Answer implements kv.Edge.
func (m *member) Answer(a kv.Answer) {
	if m.dying {
		return
	}
	m.world.oracle.stepped(m)
	m.reply(&a, m.before, m.applied)
}

// reply sends an answer to the client that waits for it. It was made at an index of from to to.
func (m *member) reply(a *kv.Answer, from, to raft.Index) {
	w := m.world
	owed, ok := m.settle(a.Token)
	if !ok {
		w.fail(OraclePanic, "member %d answers token %d, which nobody waits for", m.index, a.Token)
		return
	}
	var body []byte
	for _, piece := range a.Body {
		body = append(body, piece...)
	}
	call := w.calls[owed.call-1]
	w.oracle.replied(m, call, a, body)
	w.oracle.judgeAccess(m, call, a, from, to)
	r := &reply{code: a.Code, body: body, index: a.Index, member: m.index, run: m.run,
		confirmed: a.Confirmed, applied: a.Applied, revision: int64(a.Revision)}
	w.respond(m, owed, r)
}

func (w *world) respond(m *member, o owed, r *reply) {
	client := w.calls[o.call-1].client
	w.send(eventResponse, client, 0, letter{
		from: netsim.Endpoint(m.index), to: o.endpoint, call: o.call, answer: r,
	})
}

// settle removes a token from those that wait.
func (m *member) settle(t kv.Token) (owed, bool) {
	m.resuming = slices.DeleteFunc(m.resuming, func(s *openStream) bool { return s.token == t })
	for i, o := range m.waiting {
		if o.token == t {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			return o, true
		}
	}
	return owed{}, false
}

// slowReadPPM is how often a view stays open for long.
const slowReadPPM = 20_000

// Read implements kv.Edge: the read is evaluated some events later, when the store has moved on.
func (m *member) Read(r kv.Read) {
	if m.dying {
		return
	}
	w := m.world
	w.counts.Reads++
	d := newDie(w.plan.Seed, entityRead, uint64(w.counts.Reads))
	g := grantedRead{read: r, run: m.run}
	if r.Streams() {
		g.stream = m.streamOf(&r)
	}
	w.schedule(event{at: w.now + w.readDelay(&d), kind: eventRead, node: uint8(m.index),
		slot: w.reads.put(g)})
}

// readDelay is how long a view waits for whoever reads it. A few wait for a slow client.
func (w *world) readDelay(d *die) int64 {
	if w.heal.phase == chaos && d.chance(slowReadPPM) {
		return d.spread(1, 5000) * millisecond
	}
	return d.below(w.plan.ReadDelay)
}

// evaluate runs a read on the view that it was granted, and gives the view back.
func (m *member) evaluate(e *event) {
	w := m.world
	if m.pauses > 0 && w.reads.items[e.slot].run == m.run {
		m.heldReads = append(m.heldReads, e.slot)
		return
	}
	g := w.reads.take(e.slot)
	if g.run != m.run || m.life != up {
		return
	}
	if g.stream != nil {
		m.stream(g)
		return
	}
	var a kv.Answer
	failed := guard(func() {
		if g.read.IsBackup() {
			a = w.backup(m, &g.read)
		} else {
			a = g.read.Run(&w.scratch)
		}
	})
	if failed != "" {
		w.fail(OraclePanic, "member %d: panic in a read: %s", m.index, failed)
		return
	}
	if !m.reportDamage(&a) {
		return
	}
	a.Confirmed, a.Applied = g.read.Confirmed(), g.read.Applied()
	m.reply(&a, g.read.Applied(), g.read.Applied())
	m.input(kv.Input{Kind: kv.InputViewEnd, View: g.read.View})
}

// reportDamage tells the node what a read met, if a fault explains it.
func (m *member) reportDamage(a *kv.Answer) bool {
	words := a.Damage()
	if words == "" {
		return true
	}
	if !m.damaged {
		m.world.fail(OraclePanic, "member %d: a read finds damage without a fault that explains "+
			"it: %s", m.index, words)
		return false
	}
	m.metDamage = true
	m.input(kv.Input{Kind: kv.InputDamaged, Damage: words})
	return true
}

// Note implements kv.Edge.
func (m *member) Note(n kv.Note) {
	if m.world.trace.out != nil {
		m.world.trace.note(m, n)
	}
	if m.world.record != nil {
		m.world.record.note(m, &n)
	}
}

// Halt implements kv.Edge.
func (m *member) Halt(reason string) { m.haltReason = reason }

// accept takes a client's request in at the edge, as the server does: what is malformed is refused
// before the node hears of it.
func (m *member) accept(c *call, from netsim.Endpoint) {
	w := m.world
	o := owed{call: c.number, endpoint: from}
	if m.life != up {
		w.respond(m, o, &reply{broken: broken, member: m.index})
		return
	}
	if code := kv.Validate(c.request.method, c.request.raw, &m.config.Limits); code != kv.OK {
		w.respond(m, o, &reply{code: code, member: m.index})
		return
	}
	c.accepted = m.applied
	w.counts.Requests++
	o.token = kv.Token(w.counts.Requests)
	m.waiting = append(m.waiting, o)
	m.input(kv.Input{Kind: kv.InputRequest, Request: &kv.Request{
		Token: o.token, Method: c.request.method, Raw: c.request.raw, Identity: c.identity,
		Random: w.random(w.counts.Requests),
	}})
	if c.request.method == kv.MethodAuthenticate {
		w.oracle.auth.logins[lettersOf(w.random(w.counts.Requests))] = c
	}
}

// random is what the edge draws for a request.
func (w *world) random(number uint64) [2]uint64 {
	d := newDie(w.plan.Seed, entityEdge, number)
	return [2]uint64{d.rand.Uint64(), d.rand.Uint64()}
}
