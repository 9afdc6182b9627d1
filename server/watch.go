// Watch streams: a goroutine that turns a client's messages into inputs, and one that sends what
// the node lets out.
//
// Nothing is decoded or encoded here. A response's bytes are made once by the node and shared by
// all streams that get it; only the watch id in front of them differs. The loop puts responses into
// the queues of their streams while it performs a turn, and wakes each stream's sender once, at the
// turn's end, however many responses there are.
//
// Memory is bounded from two sides. The node lets out no events while a stream's unconsumed ones
// have reached their limit, which is why the sender reports what it has sent. Answers to requests
// are not held back by that, so no further request is received while many answers wait.
package server

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// parcel is one response in a stream's queue.
type parcel struct {
	id     int64
	body   mem.BufferSlice // all but the watch id; shared
	charge int
}

// watchStream is one open stream.
type watchStream struct {
	id    kv.WatchStream
	limit int // bytes that may wait before no more requests are received
	// touched is the loop's: the stream has got something in this turn.
	touched bool
	// woken gets a value when the queue is not empty any more, room when a waiting reader may go
	// on; both have capacity 1 and may hold a stale value.
	woken, room chan struct{}

	mu      sync.Mutex
	queue   []parcel
	waiting int // charged bytes in the queue or being sent
	asked   int // bytes of requests that no turn has taken yet
	over    bool
}

// watchTable finds the stream of an id. An id is a slot and the slot's generation, so that what
// comes too late finds nothing.
type watchTable struct {
	mu    sync.Mutex
	slots []*watchStream
	free  []uint32
	next  uint32
}

func (t *watchTable) open(limit int) *watchStream {
	s := &watchStream{limit: limit, woken: make(chan struct{}, 1), room: make(chan struct{}, 1)}
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
	t.slots[n] = s
	return s
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
}

// Watch puts a response into the queues of those who get it. Neighbours of one stream share a lock.
func (l *loop) Watch(d *kv.WatchDelivery) {
	body := make(mem.BufferSlice, 0, len(d.Body))
	for _, piece := range d.Body {
		body = append(body, mem.SliceBuffer(piece))
	}
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	for i := 0; i < len(d.To); {
		id, j := d.To[i].Stream, i+1
		for j < len(d.To) && d.To[j].Stream == id {
			j++
		}
		if s := l.watches.find(id); s != nil {
			s.put(d.To[i:j], body, d.Charge)
			if !s.touched {
				s.touched = true
				l.touched = append(l.touched, s)
			}
		}
		i = j
	}
}

func (s *watchStream) put(to []kv.WatchRecipient, body mem.BufferSlice, charge int) {
	s.mu.Lock()
	for i := range to {
		s.queue = append(s.queue, parcel{to[i].ID, body, charge})
	}
	s.waiting += charge * len(to)
	s.mu.Unlock()
}

// wakeWatches wakes the sender of every stream that has got something in the turn.
func (l *loop) wakeWatches() {
	for i, s := range l.touched {
		s.touched = false
		nudge(s.woken)
		l.touched[i] = nil
	}
	l.touched = l.touched[:0]
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
		l.watches.mu.Lock()
		s := l.watches.find(inputs[i].Watch.Stream)
		l.watches.mu.Unlock()
		if s == nil {
			continue
		}
		s.mu.Lock()
		s.asked -= requestCost(inputs[i].Watch.Raw)
		s.mu.Unlock()
		nudge(s.room)
	}
}

// requestCost is what a waiting request counts.
func requestCost(raw []byte) int { return len(raw) + 128 }

// watchMessage is what the codec reads into and writes from.
type watchMessage struct {
	raw []byte
	out mem.BufferSlice
}

// watch serves one stream.
func (s *service) watch(_ any, stream grpc.ServerStream) error {
	ctx := stream.Context()
	if err := s.checkMetadata(ctx); err != nil {
		return err
	}
	if s.loop.learns() {
		return s.statuses[kv.ErrNotLearner]
	}
	w := s.loop.watches.open(s.loop.limits.WatchBytes)
	failed := make(chan error, 1)
	go s.receiveWatches(stream, w, failed)
	err := s.sendWatches(ctx, stream, w, failed)
	w.mu.Lock()
	w.over, w.queue = true, nil
	w.mu.Unlock()
	s.loop.watches.close(w)
	s.loop.inbox.put(kv.Input{Kind: kv.InputWatch,
		Watch: &kv.WatchInput{Stream: w.id, Event: kv.WatchEnded}})
	return err
}

// receiveWatches turns messages into inputs until the client has no more to say, which does not end
// the stream, or something is wrong, which does.
func (s *service) receiveWatches(stream grpc.ServerStream, w *watchStream, failed chan<- error) {
	ctx := stream.Context()
	for w.awaitRoom(ctx) {
		var m watchMessage
		err := stream.RecvMsg(&m)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = s.statuses[kv.ValidateWatch(m.raw)]
		}
		if err != nil {
			failed <- err
			return
		}
		if !w.ask(s.loop, m.raw, s.identity(ctx)) {
			return
		}
	}
}

// ask hands a request to the loop. It says false when the stream is over: nothing may come to the
// node behind a stream's end.
func (s *watchStream) ask(l *loop, raw []byte, who *kv.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.asked += requestCost(raw)
	l.inbox.put(kv.Input{Kind: kv.InputWatch,
		Watch: &kv.WatchInput{Stream: s.id, Event: kv.WatchAsked, Raw: raw, Identity: who}})
	return true
}

// awaitRoom waits until the next request may be received; false says that the stream has ended.
func (s *watchStream) awaitRoom(ctx context.Context) bool {
	for {
		s.mu.Lock()
		free := s.waiting < 2*s.limit && s.asked < s.limit
		s.mu.Unlock()
		if free {
			return ctx.Err() == nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return false
		}
	}
}

// sendWatches sends what comes into the queue until the stream has to end.
func (s *service) sendWatches(ctx context.Context, stream grpc.ServerStream, w *watchStream,
	failed <-chan error) error {
	leaderless := s.newLeaderWatch(ctx)
	defer leaderless.stop()
	sender := watchSender{stream: stream, loop: s.loop, watch: w}
	for {
		some, err := sender.send()
		if err != nil {
			return err
		}
		if some {
			continue
		}
		select {
		case <-w.woken:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-s.loop.draining:
			return s.statuses[kv.ErrStopped]
		case <-s.loop.halted:
			return s.statuses[kv.ErrStopped]
		case <-leaderless.ticks:
			if leaderless.tick(s.loop) {
				return s.statuses[kv.ErrNoLeader]
			}
		}
	}
}

// watchSender is the sending side of one stream.
type watchSender struct {
	stream   grpc.ServerStream
	loop     *loop
	watch    *watchStream
	message  watchMessage
	spare    []parcel
	consumed int // sent and not yet reported
}

// send sends what the queue holds and says whether there was anything.
func (s *watchSender) send() (some bool, err error) {
	w := s.watch
	w.mu.Lock()
	queue := w.queue
	w.queue = s.spare[:0]
	w.mu.Unlock()
	for i := range queue {
		p := &queue[i]
		s.message.out = p.body
		if p.id != 0 {
			s.message.out = make(mem.BufferSlice, 0, len(p.body)+1)
			s.message.out = append(s.message.out, mem.SliceBuffer(kv.AppendWatchID(nil, p.id)))
			s.message.out = append(s.message.out, p.body...)
		}
		if err := s.stream.SendMsg(&s.message); err != nil {
			return true, err
		}
		s.sent(p.charge)
	}
	clear(queue)
	s.spare = queue[:0]
	if cap(queue) > keptParcels {
		s.spare = nil
	}
	return len(queue) > 0, nil
}

// keptParcels is the room that an empty queue may keep.
const keptParcels = 64

// sent counts a response as consumed. The node hears of it in large steps: what it does not know
// of is less than a quarter of what may be unconsumed.
func (s *watchSender) sent(charge int) {
	w := s.watch
	w.mu.Lock()
	w.waiting -= charge
	w.mu.Unlock()
	nudge(w.room)
	if s.consumed += charge; s.consumed < w.limit/4 {
		return
	}
	s.loop.inbox.put(kv.Input{Kind: kv.InputWatch, Watch: &kv.WatchInput{Stream: w.id,
		Event: kv.WatchConsumed, Consumed: s.consumed}})
	s.consumed = 0
}

// leaderWatch ends streams of clients that want a leader when there is none for long.
type leaderWatch struct {
	ticker *time.Ticker
	ticks  <-chan time.Time // nil, for ever silent, when the client does not mind
	misses int
}

// leaderMisses is how many checks in a row, an election timeout apart, find no leader before the
// stream ends.
const leaderMisses = 3

func (s *service) newLeaderWatch(ctx context.Context) leaderWatch {
	v := metadata.ValueFromIncomingContext(ctx, "hasleader")
	if len(v) == 0 || v[0] != "true" {
		return leaderWatch{}
	}
	t := time.NewTicker(s.loop.election)
	return leaderWatch{ticker: t, ticks: t.C}
}

func (w *leaderWatch) stop() {
	if w.ticker != nil {
		w.ticker.Stop()
	}
}

// tick looks for the leader and says whether the stream has to end.
func (w *leaderWatch) tick(l *loop) bool {
	w.misses++
	if _, known := l.leads(); known {
		w.misses = 0
	}
	return w.misses >= leaderMisses
}

// learns says whether this member does not vote, as of the last tick.
func (l *loop) learns() bool {
	s := l.state.Load()
	for i := range s.Members {
		if s.Members[i].ID == s.Raft.ID {
			return s.Members[i].Learner == kv.LearnerOnly
		}
	}
	return s.Raft.ID != raft.MemberID(0)
}
