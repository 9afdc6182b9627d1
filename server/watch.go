// Watch streams: a goroutine that turns a client's messages into inputs, and a handler that waits
// for the end. What the node lets out is sent by couriers (watchcourier.go).
//
// Nothing is decoded or encoded here. A response's bytes are made once by the node and shared by
// all streams that get it; only the watch id in front of them differs.
//
// Memory is bounded from two sides. The node lets out no events while a stream's unconsumed ones
// have reached their limit, which is why it is told what was sent. Answers to requests are not held
// back by that, so no further request is received while many answers wait.
package server

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	caller "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/server/metrics"
)

// parcel is one response in a stream's queue.
type parcel struct {
	id     int64
	body   mem.BufferSlice // all but the watch id; shared
	charge int
	events int
}

// watchStream is one open stream.
type watchStream struct {
	id          kv.WatchStream
	stream      grpc.ServerStream
	inbox       *inbox
	courier     *courier
	metrics     *metrics.Set
	limit       int // bytes that may wait before no more requests are received
	wantsLeader bool
	// touched is the loop's: the stream has got something in this turn.
	touched bool
	// ended gets a value when the handler has to look, room when a waiting reader may go on; both
	// have capacity 1 and may hold a stale value.
	ended, room chan struct{}

	mu      sync.Mutex
	queue   []parcel
	waiting int  // charged bytes in the queue or being sent
	asked   int  // bytes of requests that no turn has taken yet
	sending bool // a courier is here, and nobody else may send
	cause   error
	// over says that the handler is leaving: nothing may be sent, nor come to the node, any more.
	over bool

	// The courier's.
	message  watchMessage
	spare    []parcel
	consumed int // sent and not yet reported
}

// watchMessage is what the codec reads into and writes from.
type watchMessage struct {
	raw []byte
	out mem.BufferSlice
}

// requestCost is what a waiting request counts.
func requestCost(raw []byte) int { return len(raw) + 128 }

// watch serves one stream.
func (s *service) watch(_ any, stream grpc.ServerStream) error {
	ctx := stream.Context()
	if err := s.checkMetadata(ctx, manyMessages); err != nil {
		return err
	}
	if s.loop.learns() {
		return s.statuses[kv.ErrNotLearner]
	}
	w := &watchStream{stream: stream, inbox: s.loop.inbox, metrics: s.metrics,
		limit: s.loop.limits.WatchBytes, wantsLeader: wantsLeader(ctx),
		ended: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	address := ""
	if p, ok := caller.FromContext(ctx); ok {
		address = p.Addr.String()
	}
	table := &s.loop.watches.table
	table.open(w, address)
	gone := context.AfterFunc(ctx, func() { w.end(status.FromContextError(ctx.Err()).Err()) })
	go s.receiveWatches(ctx, w)
	err := w.wait()
	gone()
	table.close(w)
	s.loop.inbox.put(kv.Input{Kind: kv.InputWatch,
		Watch: &kv.WatchInput{Stream: w.id, Event: kv.WatchEnded}})
	return err
}

// wait waits until the stream has to end and no courier is at it.
func (w *watchStream) wait() error {
	for {
		w.mu.Lock()
		cause, sending := w.cause, w.sending
		if w.over = cause != nil; w.over && !sending {
			w.queue = nil
		}
		w.mu.Unlock()
		if cause != nil && !sending {
			return cause
		}
		<-w.ended
	}
}

// end lets the stream end; the first reason counts.
func (w *watchStream) end(why error) {
	w.mu.Lock()
	if w.cause == nil {
		w.cause = why
	}
	w.mu.Unlock()
	nudge(w.ended)
}

// receiveWatches turns messages into inputs until the client has no more to say, which does not end
// the stream, or something is wrong, which does.
func (s *service) receiveWatches(ctx context.Context, w *watchStream) {
	for w.awaitRoom(ctx) {
		var m watchMessage
		err := w.stream.RecvMsg(&m)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = s.statuses[kv.ValidateWatch(m.raw)]
		} else if ctx.Err() == nil {
			s.metrics.Requests.StreamFailed(metrics.Receiving, "watch")
		}
		if err != nil {
			w.end(err)
			return
		}
		if !w.ask(m.raw, s.identity(ctx)) {
			return
		}
	}
}

// ask hands a request to the loop. It says false when the stream is over: nothing may come to the
// node behind a stream's end.
func (w *watchStream) ask(raw []byte, who *kv.Identity) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.asked += requestCost(raw)
	w.inbox.put(kv.Input{Kind: kv.InputWatch,
		Watch: &kv.WatchInput{Stream: w.id, Event: kv.WatchAsked, Raw: raw, Identity: who}})
	return true
}

// awaitRoom waits until the next request may be received; false says that the stream has ended.
func (w *watchStream) awaitRoom(ctx context.Context) bool {
	for {
		w.mu.Lock()
		free := w.waiting < 2*w.limit && w.asked < w.limit
		w.mu.Unlock()
		if free {
			return ctx.Err() == nil
		}
		select {
		case <-w.room:
		case <-ctx.Done():
			return false
		}
	}
}

// put queues a response for some of the stream's watchers.
func (w *watchStream) put(to []kv.WatchRecipient, body mem.BufferSlice, d *kv.WatchDelivery) {
	w.mu.Lock()
	for i := range to {
		w.queue = append(w.queue, parcel{to[i].ID, body, d.Charge, d.Events})
	}
	w.waiting += d.Charge * len(to)
	w.mu.Unlock()
}

// deliver sends what the queue holds. Whoever finds another courier at it leaves: that one looks at
// the queue once more before it goes.
func (w *watchStream) deliver() progress {
	w.mu.Lock()
	if w.sending || w.over || len(w.queue) == 0 {
		w.mu.Unlock()
		return finished
	}
	w.sending = true
	queue := w.queue
	w.queue = w.spare[:0]
	w.mu.Unlock()
	sum, events := 0, 0
	var failed error
	began := time.Now()
	for i := range queue {
		if failed = w.send(&queue[i]); failed != nil {
			break
		}
		sum += queue[i].charge
		events += queue[i].events
	}
	w.measure(time.Since(began), len(queue), events, failed)
	clear(queue)
	w.spare = queue[:0]
	if cap(queue) > keptParcels {
		w.spare = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sending = false
	w.waiting -= sum
	nudge(w.room)
	if w.cause == nil {
		w.cause = failed
	}
	if w.cause != nil {
		nudge(w.ended)
		return finished
	}
	if len(w.queue) > 0 {
		return unfinished
	}
	return finished
}

// measure counts a visit that took so long.
func (w *watchStream) measure(took time.Duration, responses, events int, failed error) {
	m := &w.metrics.Watch
	switch {
	case failed != nil && w.stream.Context().Err() == nil:
		w.metrics.Requests.StreamFailed(metrics.Sending, "watch")
	case failed != nil:
	case events == 0:
		m.Control.Observe(took.Seconds())
	default:
		m.Send.Observe(took.Seconds())
		m.PerEvent.Observe(took.Seconds() / float64(responses))
	}
}

// keptParcels is the room that an empty queue may keep.
const keptParcels = 64

// send sends one response. The node hears of what was sent in large steps: what it does not know of
// is less than a quarter of what may be unconsumed.
func (w *watchStream) send(p *parcel) error {
	w.message.out = p.body
	if p.id != 0 {
		w.message.out = make(mem.BufferSlice, 0, len(p.body)+1)
		w.message.out = append(w.message.out, mem.SliceBuffer(kv.AppendWatchID(nil, p.id)))
		w.message.out = append(w.message.out, p.body...)
	}
	if err := w.stream.SendMsg(&w.message); err != nil {
		return err
	}
	if w.consumed += p.charge; w.consumed >= w.limit/4 {
		w.inbox.put(kv.Input{Kind: kv.InputWatch, Watch: &kv.WatchInput{Stream: w.id,
			Event: kv.WatchConsumed, Consumed: w.consumed}})
		w.consumed = 0
	}
	return nil
}

// learns says whether this member does not vote, as of the last tick.
func (l *loop) learns() bool {
	s := l.state.Load()
	for i := range s.Members {
		if s.Members[i].ID == s.Raft.ID {
			return s.Members[i].Learner == kv.LearnerOnly
		}
	}
	return true
}
