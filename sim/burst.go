package sim

import "github.com/detcd/detcd/netsim"

// A burst is many writes of one client that are all under way at once. Clients that wait for each
// answer leave a leader that has lost its followers with a handful of entries that nobody else has;
// real ones leave it with as many as fit its queue, and that is when the lengths of logs and their
// terms disagree most, and when bounded queues fill.

// burst sends a client's writes to the members that a fault hits.
func (w *world) burst(f *Fault, s *faultState) {
	c := w.clients[f.Ops]
	for i, m := range w.members {
		if !s.members.Has(netsim.Endpoint(i)) || m.life != up {
			continue
		}
		for range f.Amount {
			c.number++
			a := author{die: c.die, client: c.index, number: c.number, script: c.script,
				known: &c.known, limits: &w.plan.Limits}
			r := request{}
			r.modelled.Put = a.put(shapeAppend)
			c.die = a.die
			c.send(marshalled(r), i, c.script.Timeout)
			s.felt++
		}
	}
}
