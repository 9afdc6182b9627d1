// The open watch streams, as the loop sees them: it puts what the node lets out into their queues,
// calls their couriers at the turn's end, and ends them when the member stops or has no leader.
package server

import (
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/kv"
)

// watchTable finds the stream of an id. An id is a slot and a number that is used once, so that
// what comes too late finds nothing.
type watchTable struct {
	mu       sync.Mutex
	slots    []*watchStream
	free     []uint32
	next     uint32
	couriers couriers
	closed   error // why no stream may be open any more, nil while they may
}

func (t *watchTable) open(s *watchStream, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n uint32
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
	} else {
		n = uint32(len(t.slots))
		t.slots = append(t.slots, nil)
	}
	t.next++
	s.id = kv.WatchStream(uint64(t.next)<<32 | uint64(n))
	s.courier = t.couriers.join(address)
	t.slots[n] = s
	if t.closed != nil {
		s.end(t.closed)
	}
}

// find must be called with the table locked.
func (t *watchTable) find(id kv.WatchStream) *watchStream {
	if n := uint32(id); int(n) < len(t.slots) {
		if s := t.slots[n]; s != nil && s.id == id {
			return s
		}
	}
	return nil
}

func (t *watchTable) close(s *watchStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := uint32(s.id)
	t.slots[n] = nil
	t.free = append(t.free, n)
	t.couriers.leave(s.courier)
}

// end ends all streams, or those that want a leader.
func (t *watchTable) end(why error, which whichStreams) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if which == allStreams {
		t.closed = why
	}
	for _, s := range t.slots {
		if s != nil && (which == allStreams || s.wantsLeader) {
			s.end(why)
		}
	}
}

type whichStreams uint8

const (
	allStreams whichStreams = iota
	thoseThatWantALeader
)

// watchDesk is what the loop keeps of watch streams.
type watchDesk struct {
	table    watchTable
	touched  []*watchStream // have got something in this turn
	called   []*courier     // have something to do
	election time.Duration
	// leaderless is for how long no leader was known.
	leaderless time.Duration
	statuses   *statuses
}

// Watch puts a response into the queues of those who get it. Neighbours of one stream share a lock.
func (l *loop) Watch(d *kv.WatchDelivery) {
	body := make(mem.BufferSlice, 0, len(d.Body))
	for _, piece := range d.Body {
		body = append(body, mem.SliceBuffer(piece))
	}
	if d.Events > 0 {
		l.metrics.Watch.Events.Add(float64(d.Events * len(d.To)))
	}
	w := &l.watches
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	for i := 0; i < len(d.To); {
		id, j := d.To[i].Stream, i+1
		for j < len(d.To) && d.To[j].Stream == id {
			j++
		}
		if s := w.table.find(id); s != nil {
			s.put(d.To[i:j], body, d)
			if !s.touched {
				s.touched = true
				w.touched = append(w.touched, s)
			}
		}
		i = j
	}
}

// callCouriers lets the couriers of all streams that have got something in the turn go.
func (l *loop) callCouriers() {
	w := &l.watches
	for i, s := range w.touched {
		s.touched = false
		s.courier.add(s)
		if !s.courier.called {
			s.courier.called = true
			w.called = append(w.called, s.courier)
		}
		w.touched[i] = nil
	}
	for i, k := range w.called {
		k.called = false
		nudge(k.wake)
		w.called[i] = nil
	}
	w.touched, w.called = w.touched[:0], w.called[:0]
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watchesTaken notes that a turn takes the requests of streams: their readers may go on.
func (l *loop) watchesTaken(inputs []kv.Input) {
	for i := range inputs {
		if inputs[i].Kind != kv.InputWatch || inputs[i].Watch.Event != kv.WatchAsked {
			continue
		}
		l.watches.table.mu.Lock()
		s := l.watches.table.find(inputs[i].Watch.Stream)
		l.watches.table.mu.Unlock()
		if s == nil {
			continue
		}
		s.mu.Lock()
		s.asked -= requestCost(inputs[i].Watch.Raw)
		s.mu.Unlock()
		nudge(s.room)
	}
}

// mindWatches does at every tick what nobody is woken for.
func (l *loop) mindWatches() {
	w := &l.watches
	w.table.mu.Lock()
	w.table.couriers.mind()
	w.table.mu.Unlock()
	if isClosed(l.draining) {
		w.table.end(w.statuses[kv.ErrStopped], allStreams)
	}
	if _, known := l.leads(); known {
		w.leaderless = 0
		return
	}
	if w.leaderless += l.tick; w.leaderless >= leaderMisses*w.election {
		w.table.end(w.statuses[kv.ErrNoLeader], thoseThatWantALeader)
		w.leaderless = 0
	}
}
