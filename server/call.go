// A call is one request on its way: the goroutine of its RPC fills it in, hands it to the loop and
// waits; the loop answers exactly once. Calls are pooled with their channel, so a request on the
// hot path costs no allocation here but its bytes.
//
// A client may go away while its request is under way. Then the waiting goroutine leaves the call
// behind, and the loop, which meets it with the answer, puts it back into the pool. Who was first
// is decided by one atomic exchange; the later one cleans up.
package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/kv"
)

// fate says whether a call was answered or left behind first.
type fate = uint32

const (
	undecided fate = iota
	answered
	abandoned
)

type call struct {
	fate atomic.Uint32
	// done gets one value when answer, or read with granted, is set. Capacity 1: the loop never
	// waits for a reader.
	done    chan struct{}
	answer  kv.Answer
	read    kv.Read
	granted bool  // read is to be run by whoever waits
	turn    int64 // monotonic nanoseconds when the loop took it, for the sweep
	// served is when the turn began that answered it, on the loop's clock. durable and committed
	// are set for a write that was slow; see slow.go.
	served, durable, committed time.Duration

	// raw and reply are what the codec reads and writes. raw is owned by the log once handed in.
	raw   []byte
	reply [][]byte
	// lent says that reply was made of borrowed memory, which goes back when it is written.
	lent     bool
	identity *kv.Identity // goes into the request
}

type callPool struct{ pool sync.Pool }

func newCallPool() *callPool {
	p := &callPool{}
	p.pool.New = func() any { return &call{done: make(chan struct{}, 1)} }
	return p
}

func (p *callPool) take() *call { return p.pool.Get().(*call) }

// give returns a call that nobody refers to any more: it was answered and the answer was taken, or
// it was never queued.
func (p *callPool) give(c *call) {
	if len(c.done) != 0 {
		panic("server: a call is given back with its answer untaken")
	}
	c.fate.Store(undecided)
	c.answer, c.read, c.granted, c.turn = kv.Answer{}, kv.Read{}, false, 0
	c.raw, c.reply, c.lent = nil, nil, false
	c.identity = nil
	c.served, c.durable, c.committed = 0, 0, 0
	p.pool.Put(c)
}

// settle tells whoever waits that the outcome is set. It says false when nobody waits any more;
// then the call is the caller's.
func (c *call) settle() bool {
	if !c.fate.CompareAndSwap(undecided, answered) {
		return false
	}
	c.done <- struct{}{}
	return true
}

// wait waits for the outcome. It says false when ctx has ended first; then the call is not the
// caller's any more.
func (c *call) wait(ctx context.Context) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	}
	if c.fate.CompareAndSwap(undecided, abandoned) {
		return false
	}
	<-c.done
	return true
}

// desk finds the call of a token. It belongs to the loop.
//
// A token is a slot's number and the slot's generation, so that an answer that comes twice, or
// after the sweep, meets a generation that is gone and falls on the floor. The highest bit stays
// zero: the node keeps it for itself.
type desk struct {
	slots []slot
	free  []uint32
}

type slot struct {
	call       *call
	generation uint32
}

func (d *desk) admit(c *call) kv.Token {
	var n uint32
	if len(d.free) > 0 {
		n = d.free[len(d.free)-1]
		d.free = d.free[:len(d.free)-1]
	} else {
		n = uint32(len(d.slots))
		d.slots = append(d.slots, slot{})
	}
	s := &d.slots[n]
	s.generation = (s.generation + 1) & (1<<31 - 1)
	s.call = c
	return kv.Token(uint64(s.generation)<<32 | uint64(n))
}

// leave takes the call of a token out, nil if it has left already.
func (d *desk) leave(t kv.Token) *call {
	n, generation := uint32(t), uint32(t>>32)
	if int(n) >= len(d.slots) || d.slots[n].generation != generation {
		return nil
	}
	c := d.slots[n].call
	if c == nil {
		return nil
	}
	d.slots[n].call = nil
	d.free = append(d.free, n)
	return c
}

// overdue takes out every call that was admitted before a moment.
func (d *desk) overdue(before int64) []*call {
	var out []*call
	for n := range d.slots {
		c := d.slots[n].call
		if c == nil || c.turn >= before {
			continue
		}
		d.slots[n].call = nil
		d.free = append(d.free, uint32(n))
		out = append(out, c)
	}
	return out
}
