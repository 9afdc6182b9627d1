package sim

import (
	"github.com/detcd/detcd/diskio/keyed"
)

// Fork lets a run go on differently from one event on: whatever is drawn then comes from another
// seed. The plan's faults stay what they are, so forks explore the surroundings of one moment: how
// close was it? What the members draw themselves, such as election timeouts, is keyed by their
// configuration and stays too.
type Fork struct {
	Event uint64 // the first event with other draws
	Seed  uint64 // 0 is no fork
}

// fork changes the seed of all draws that the world makes from now on.
func (w *world) fork() {
	p := *w.plan
	p.Seed = keyed.Hash(p.Seed, w.plan.Fork.Event, w.plan.Fork.Seed)
	w.plan = &p
	w.net.Reseed(p.Seed)
	for _, m := range w.members {
		m.disk.Reseed(m.diskOptions().Seed)
	}
	for _, c := range w.clients {
		c.die = newDie(p.Seed, entityClient, uint64(c.index))
	}
	for _, c := range w.watchers {
		c.die = newDie(p.Seed, entityWatcher, uint64(c.index))
	}
}
