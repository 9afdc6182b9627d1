// The inbox: everything that happened to the node since its last turn, in the order of arrival.
//
// Many goroutines put, the loop takes all of it at once by swapping slices under one short lock;
// there is no channel and no wake-up per request, only one when the loop sleeps. The more there is
// to do, the longer the turns become and the less each input costs.
//
// Invariant: what waits is bounded. Requests beyond their bound are refused, peers' messages
// beyond theirs are dropped (the protocol repeats them). Completions and ends of views answer what
// the node itself asked for and are therefore never refused.
package server

import (
	"sync"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

const (
	maxWaitingRequests     = 64 << 10
	maxWaitingRequestBytes = 256 << 20
	maxWaitingMessages     = 16 << 10
	maxWaitingMessageBytes = 128 << 20
)

// batch is what one swap takes out.
type batch struct {
	inputs []kv.Input
	calls  []*call // of the InputRequests, in their order
	closed bool
}

func (b *batch) reset() {
	clear(b.inputs)
	clear(b.calls)
	b.inputs, b.calls = b.inputs[:0], b.calls[:0]
}

type inbox struct {
	wake chan struct{} // capacity 1

	mu           sync.Mutex
	waiting      batch
	asleep       bool // the loop waits for wake
	requestBytes int
	messages     int
	messageBytes int
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// request queues a client's request. It says false when too much waits already or the member has
// stopped; then nothing is queued.
func (b *inbox) request(r *kv.Request, c *call) kv.Code {
	b.mu.Lock()
	if b.waiting.closed {
		b.mu.Unlock()
		return kv.ErrStopped
	}
	if len(b.waiting.calls) >= maxWaitingRequests ||
		b.requestBytes+len(r.Raw) > maxWaitingRequestBytes {
		b.mu.Unlock()
		return kv.ErrTooManyRequests
	}
	b.requestBytes += len(r.Raw)
	b.waiting.inputs = append(b.waiting.inputs, kv.Input{Kind: kv.InputRequest, Request: r})
	b.waiting.calls = append(b.waiting.calls, c)
	b.rouse()
	return kv.OK
}

// message queues what a peer sent; bytes is its encoded length. It says whether it was taken.
func (b *inbox) message(m *raft.Message, bytes int) bool {
	b.mu.Lock()
	if b.messages >= maxWaitingMessages || b.messageBytes+bytes > maxWaitingMessageBytes {
		b.mu.Unlock()
		return false
	}
	b.messages++
	b.messageBytes += bytes
	b.waiting.inputs = append(b.waiting.inputs, kv.Input{Kind: kv.InputMessage, Message: m})
	b.rouse()
	return true
}

func (b *inbox) completion(c diskio.Completion) {
	b.put(kv.Input{Kind: kv.InputDisk, Done: &c})
}

func (b *inbox) put(in kv.Input) {
	b.mu.Lock()
	b.waiting.inputs = append(b.waiting.inputs, in)
	b.rouse()
}

// viewEnd queues the end of a view without waking anybody: a pin that lasts until the next turn,
// a tick away at most, does no harm.
func (b *inbox) viewEnd(v kv.ViewID) {
	b.mu.Lock()
	b.waiting.inputs = append(b.waiting.inputs, kv.Input{Kind: kv.InputViewEnd, View: v})
	b.mu.Unlock()
}

// close refuses requests from now on.
func (b *inbox) close() {
	b.mu.Lock()
	b.waiting.closed = true
	b.rouse()
}

// rouse wakes the loop if it sleeps, and unlocks.
func (b *inbox) rouse() {
	sleeping := b.asleep
	b.asleep = false
	b.mu.Unlock()
	if sleeping {
		b.wake <- struct{}{}
	}
}

// swap takes everything that waits and leaves the empty spare. When nothing waits it says false:
// the caller must then wait for wake, which gets exactly one value, or call rise.
func (b *inbox) swap(spare batch, mayRest rest) (batch, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting.inputs) == 0 && mayRest == restWhenEmpty {
		b.asleep = true
		return spare, false
	}
	full := b.waiting
	spare.closed = full.closed
	b.waiting = spare
	b.requestBytes, b.messages, b.messageBytes = 0, 0, 0
	return full, true
}

// rise ends a sleep that something else than wake has ended.
func (b *inbox) rise() {
	b.mu.Lock()
	asleep := b.asleep
	b.asleep = false
	b.mu.Unlock()
	if !asleep {
		<-b.wake
	}
}

// rest says whether the loop would wait if there is nothing to do.
type rest uint8

const (
	restWhenEmpty rest = iota
	keepGoing
)
