package sim

import (
	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// What faults do to connections. A reset loses what is under way, both ways, and keeps the two ends
// apart for as long as they take to connect again; a client whose request is under way sees that at
// once and never learns what became of it. Bits that change on the way are found by the checksum of
// production's frames, whose reader then gives the connection up: to the members an altered message
// is a reset. What the decoder of messages makes of such bytes, which a checksum of 32 bits may let
// pass one day, is tried in passing: it must refuse them or not, but never panic.

// reset breaks the connections that a fault concerns.
func (w *world) reset(f *Fault, s *faultState) {
	w.net.Sever(f.ID, f.Side, f.Concerned)
	w.net.Add(netsim.Rule{Fault: f.ID, From: f.Side, To: f.Concerned, Cut: true})
	w.net.Add(netsim.Rule{Fault: f.ID, From: f.Concerned, To: f.Side, Cut: true})
	between := func(a, b netsim.Endpoint) bool {
		return f.Side.Has(a) && f.Concerned.Has(b) || f.Side.Has(b) && f.Concerned.Has(a)
	}
	for _, c := range w.clients {
		if k := c.pending; k != nil && between(c.endpoint(), netsim.Endpoint(k.member)) {
			s.felt++
			c.answered(k, &reply{broken: broken, member: k.member})
		}
	}
	for _, c := range w.conns {
		if !c.broken && between(w.watchEndpoint(c.client), netsim.Endpoint(c.member)) {
			s.felt++
			w.breakConn(c)
		}
	}
}

// altered takes a message some of whose bits are wrong, by the doing of a fault.
func (w *world) altered(fault uint32, l *letter) {
	w.net.Sever(fault, netsim.Of(l.from), netsim.Of(l.to))
	wire := raft.EncodeMessage(nil, l.message)
	r := keyed.New(w.plan.Seed, uint64(entityWire), uint64(l.from)<<8|uint64(l.to), l.number)
	for range 1 + r.Uint64N(8) {
		wire[r.Uint64N(uint64(len(wire)))] ^= 1 << r.Uint64N(8)
	}
	if r.Chance(1, 4) {
		wire = wire[:r.Uint64N(uint64(len(wire)))]
	}
	var err error
	failed := guard(func() { _, err = raft.DecodeMessage(wire) })
	if failed != "" {
		w.fail(OracleCodec, "member %d: an altered message makes its decoder panic: %s", l.to,
			failed)
	}
	if err != nil {
		w.counts.Unreadable++
	}
}
