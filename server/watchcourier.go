// Couriers: who sends what waits in the queues of watch streams.
//
// A goroutine per stream would be woken for every event, and the transport would hand each response
// to the kernel by itself. So the streams of a connection share a courier: one goroutine that goes
// through those that have got something. It wakes once per turn, and what it sends leaves in few
// writes.
//
// Sending waits when the client of a stream does not read. The others must not wait for that: a
// courier that has been at one stream for a whole tick is replaced, and ends when it comes back.
// So there are as many goroutines as connections, and one for each stream that is stuck.
package server

import (
	"sync"
	"sync/atomic"
)

// courier serves the streams of one connection.
type courier struct {
	address string
	wake    chan struct{} // capacity 1; a value may be stale
	// visits counts the streams that were gone to; seen is what it was at the last tick, and is the
	// loop's, as is called: it has something to do in this turn.
	visits atomic.Uint64
	seen   uint64
	called bool

	mu    sync.Mutex
	ready []*watchStream // have something in their queue; a stream may be there twice
	// busy says that the courier is at a stream. generation grows when it is replaced.
	busy       bool
	generation int
	streams    int // that belong to it; it ends when there are none
}

// couriers finds the courier of a connection. It belongs to the watch table and is under its lock.
type couriers struct {
	byAddress map[string]*courier
	list      []*courier
}

// join returns the courier of a connection, a new one if need be.
func (c *couriers) join(address string) *courier {
	if k := c.byAddress[address]; k != nil {
		k.mu.Lock()
		k.streams++
		k.mu.Unlock()
		return k
	}
	// It has its stream before it runs: one that finds no streams ends.
	k := &courier{address: address, wake: make(chan struct{}, 1), streams: 1}
	if c.byAddress == nil {
		c.byAddress = map[string]*courier{}
	}
	c.byAddress[address] = k
	c.list = append(c.list, k)
	go k.run(0)
	return k
}

// leave takes a stream from its courier; the last one ends it.
func (c *couriers) leave(k *courier) {
	k.mu.Lock()
	k.streams--
	last := k.streams == 0
	k.mu.Unlock()
	if !last {
		return
	}
	delete(c.byAddress, k.address)
	for i := range c.list {
		if c.list[i] == k {
			c.list[i] = c.list[len(c.list)-1]
			c.list[len(c.list)-1] = nil
			c.list = c.list[:len(c.list)-1]
			break
		}
	}
	nudge(k.wake)
}

// mind replaces couriers that are stuck.
func (c *couriers) mind() {
	for _, k := range c.list {
		visits := k.visits.Load()
		if visits != k.seen {
			k.seen = visits
			continue
		}
		k.mu.Lock()
		if k.busy && len(k.ready) > 0 {
			k.generation++
			k.busy = false
			go k.run(k.generation)
		}
		k.mu.Unlock()
	}
}

// add gives the courier a stream to go to.
func (k *courier) add(s *watchStream) {
	k.mu.Lock()
	k.ready = append(k.ready, s)
	k.mu.Unlock()
}

// next waits for a stream to go to; nil says that the courier is not needed any more.
func (k *courier) next(generation int) *watchStream {
	for {
		k.mu.Lock()
		if k.generation != generation || k.streams == 0 {
			k.mu.Unlock()
			return nil
		}
		if len(k.ready) > 0 {
			s := k.ready[0]
			k.ready[0] = nil
			if k.ready = k.ready[1:]; len(k.ready) == 0 {
				k.ready = nil
			}
			k.busy = true
			k.mu.Unlock()
			k.visits.Add(1)
			return s
		}
		k.busy = false
		k.mu.Unlock()
		<-k.wake
	}
}

func (k *courier) run(generation int) {
	for {
		s := k.next(generation)
		if s == nil {
			return
		}
		if s.deliver() == unfinished {
			k.add(s)
			nudge(k.wake) // it may not be this courier who goes on
		}
	}
}

// progress says whether a visit has emptied a stream's queue.
type progress uint8

const (
	finished progress = iota
	unfinished
)
