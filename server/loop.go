// The loop: the one goroutine that owns the node. It turns everything that waited into one step,
// performs what the step wants, and sleeps when there is nothing to do.
//
// Invariant: nothing in here waits for a device, a socket or a client. Answers go into channels
// that have room, messages into buffers that drop, disk operations into queues.
package server

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

const (
	// turnInputs bounds a turn, so that a tick is never late by more than one of them.
	turnInputs = 4096
	// sweepEvery is how often calls are looked for that the node has not answered in time.
	sweepEvery = time.Second
)

// network is the network door together with the news of who is on it.
type network interface {
	kv.Network
	follower
}

// follower is told of the membership after every turn that may have changed it.
type follower interface {
	update(members []kv.Member)
	refuse(removed []raft.MemberID)
}

type loop struct {
	log     *zap.Logger
	driver  kv.Driver
	inbox   *inbox
	calls   *callPool
	answers *answerPool
	limits  kv.Limits
	cluster uint64 // the cluster's id
	tick    time.Duration
	// overdue is how long a call may be unanswered before the loop answers it.
	overdue time.Duration
	start   time.Time // origin of the monotonic clock
	// bcryptCost is how much work hashing a password is; hashing has room for those who do it.
	bcryptCost int
	hashing    chan struct{}

	metrics *metrics.Set
	sight   sight
	// slow is from when on a request is written down.
	slow time.Duration

	desk      desk
	lastSweep time.Duration

	members follower

	watches watchDesk
	// draining is closed when streams have to end.
	draining <-chan struct{}

	// state and seen are as of the last tick or the last turn that said something; no answer is
	// ahead of a change that was said.
	state   atomic.Pointer[kv.State]
	seen    atomic.Pointer[metrics.Snapshot]
	ready   chan struct{} // closed when the node is ready to serve
	stop    chan struct{} // closed to end the loop
	stopped chan struct{} // closed when the loop has ended
	halted  chan struct{} // closed when the node has stopped by itself
	reason  string        // why; valid once halted is closed
	// published says that the state was published in this turn.
	published bool
}

func newLoop(log *zap.Logger, cfg *kv.Config, requestTimeout time.Duration,
	set *metrics.Set) *loop {
	return &loop{
		metrics: set,
		sight:   sight{transfers: map[raft.MemberID]*transferTimes{}},
		log:     log,
		inbox:   newInbox(),
		calls:   newCallPool(),
		answers: newAnswerPool(),
		limits:  cfg.Limits,
		cluster: cfg.Cluster,
		tick:    time.Duration(cfg.TickNanos),
		watches: watchDesk{
			election: time.Duration(cfg.TickNanos) * time.Duration(cfg.ElectionTicks),
			statuses: newStatuses(),
		},
		overdue: requestTimeout + requestTimeout/2,
		start:   time.Now(),
		hashing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		ready:   make(chan struct{}),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		halted:  make(chan struct{}),
	}
}

// run is the loop. node and the doors are set before; it returns when stop is closed or the node
// halts.
func (l *loop) run(node *kv.Node, disk diskio.Disk, network network) {
	defer close(l.stopped)
	l.members = network
	l.driver = kv.Driver{Node: node, Disk: disk, Network: network, Edge: l}
	l.publish()
	ticker := time.NewTicker(l.tick)
	defer ticker.Stop()
	var spare batch
	again, due := false, true
	for !l.over() {
		mayRest := restWhenEmpty
		if again || due {
			mayRest = keepGoing
		}
		// Whoever is ready to run may have an input on its way: let them go first. On a busy
		// machine that makes turns few and long, on an idle one it costs nothing.
		runtime.Gosched()
		work, some := l.inbox.swap(spare, mayRest)
		if !some {
			select {
			case <-l.inbox.wake:
			case <-ticker.C:
				l.inbox.rise()
				due = true
			case <-l.stop:
				l.inbox.rise()
			}
			continue
		}
		again, due = l.turns(&work, again, due, ticker)
		work.reset()
		spare = work
	}
	l.shut()
}

// publishFirst makes the state known before anybody can ask for it. The loop must not run yet.
func (l *loop) publishFirst(node *kv.Node) {
	l.show(l.snapshot(node))
}

// turns steps the node through a batch, in pieces when it is long. What is due goes last in each:
// a member that was paused hears its leader before it notices how late it is. It says what is
// wanted and due next.
func (l *loop) turns(work *batch, again, due bool, ticker *time.Ticker) (bool, bool) {
	l.admit(work)
	if again {
		work.inputs = append(work.inputs, kv.Input{Kind: kv.InputAgain})
	}
	inputs := work.inputs
	again = false
	for (len(inputs) > 0 || due) && !l.over() {
		n := min(len(inputs), turnInputs)
		piece := inputs[:n:n]
		inputs = inputs[n:]
		if due {
			piece = append(piece, l.tickInput())
		}
		l.watchesTaken(piece)
		l.sight.turn = l.now()
		more, _ := l.driver.Turn(piece)
		l.callCouriers()
		l.turnEnded(len(piece))
		again = more || again
		l.published = false
		if due {
			l.publish()
			l.sweep()
			l.mindWatches()
		}
		select {
		case <-ticker.C:
			due = true
		default:
			due = false
		}
		if due && len(inputs) == 0 {
			break
		}
	}
	return again, due
}

// admit gives every request its token.
func (l *loop) admit(work *batch) {
	if len(work.calls) == 0 {
		return
	}
	now := int64(l.now())
	next := 0
	for i := range work.inputs {
		if work.inputs[i].Kind != kv.InputRequest {
			continue
		}
		c := work.calls[next]
		next++
		c.turn = now
		work.inputs[i].Request.Token = l.desk.admit(c)
	}
}

func (l *loop) over() bool {
	select {
	case <-l.halted:
		return true
	case <-l.stop:
		return true
	default:
		return false
	}
}

// now is the monotonic clock in nanoseconds since the loop was made.
func (l *loop) now() time.Duration { return time.Since(l.start) }

func (l *loop) tickInput() kv.Input {
	now := time.Now()
	l.lateness(now.Sub(l.start))
	return kv.Input{Kind: kv.InputTick, Mono: int64(now.Sub(l.start)), Wall: now.UnixNano()}
}

// publish lets other goroutines see the node's state.
func (l *loop) publish() {
	s := l.snapshot(l.driver.Node)
	l.show(s)
	l.members.update(s.Members)
	l.members.refuse(s.Removed)
	if s.Ready && !isClosed(l.ready) {
		close(l.ready)
	}
}

func (l *loop) show(s *metrics.Snapshot) {
	l.seen.Store(s)
	l.state.Store(&s.State)
}

// sweep answers calls that the node keeps for longer than any request may take. The node times its
// requests out by itself; this is the guarantee that a client waits for a bounded time even so.
func (l *loop) sweep() {
	now := l.now()
	if now-l.lastSweep < sweepEvery {
		return
	}
	l.lastSweep = now
	late := l.desk.overdue(int64(now - l.overdue))
	if len(late) > 0 {
		l.log.Warn("answered requests that took too long", zap.Int("requests", len(late)))
	}
	for _, c := range late {
		l.settle(c, kv.Answer{Code: kv.ErrTimeout})
	}
}

// shut answers everybody who still waits.
func (l *loop) shut() {
	l.inbox.close()
	l.watches.table.end(l.watches.statuses[kv.ErrStopped], allStreams)
	work, _ := l.inbox.swap(batch{}, keepGoing)
	l.admit(&work)
	for _, c := range l.desk.overdue(math.MaxInt64) {
		l.settle(c, kv.Answer{Code: kv.ErrStopped})
	}
}

// do sends a request through the node and waits for its outcome, on the caller's goroutine. It
// fills in c.answer. It says false when ctx has ended first; the call is then lost to the caller.
func (l *loop) do(ctx context.Context, method kv.Method, c *call) bool {
	if !l.send(ctx, method, c) {
		return false
	}
	if c.granted {
		l.evaluate(c)
	}
	return true
}

// send is do without the reading: what is granted is left to the caller, who owes the view's end.
func (l *loop) send(ctx context.Context, method kv.Method, c *call) bool {
	request := &kv.Request{Method: method, Raw: c.raw, Identity: c.identity,
		Random: randomFor(method)}
	if code := l.inbox.request(request, c); code != kv.OK {
		c.answer = kv.Answer{Code: code}
		return true
	}
	return c.wait(ctx)
}

// evaluate runs the read that a call was granted and gives its view back.
func (l *loop) evaluate(c *call) {
	scratch := l.answers.scratch()
	c.answer, c.lent = c.read.Run(scratch), scratch.Lent()
	l.answers.giveScratch(scratch)
	l.reportDamage(&c.answer)
	l.inbox.viewEnd(c.read.View)
}

// reportDamage tells the node what a read met; it stops then.
func (l *loop) reportDamage(a *kv.Answer) {
	if words := a.Damage(); words != "" {
		l.inbox.put(kv.Input{Kind: kv.InputDamaged, Damage: words})
	}
}

// Answer completes the call that a waits for.
func (l *loop) Answer(a kv.Answer) {
	if c := l.desk.leave(a.Token); c != nil {
		c.served = l.sight.turn
		if since := time.Duration(c.turn); a.Index != 0 && c.served-since > l.slow {
			c.durable, c.committed = l.sight.marks.find(a.Index, since, c.served)
		}
		l.settle(c, a)
	}
}

func (l *loop) settle(c *call, a kv.Answer) {
	c.answer = a
	if !c.settle() {
		l.calls.give(c)
	}
}

// Read hands a read to the goroutine that asked for it. If nobody waits any more the view is given
// back at once.
func (l *loop) Read(r kv.Read) {
	c := l.desk.leave(r.Token)
	if c == nil {
		l.inbox.viewEnd(r.View)
		return
	}
	c.read, c.granted, c.served = r, true, l.sight.turn
	if !c.settle() {
		l.inbox.viewEnd(r.View)
		l.calls.give(c)
	}
}

// Note logs what the node wants people to know. Such a turn changed something worth publishing,
// and its answers, which come after its notes, must not be ahead of what is published.
func (l *loop) Note(n kv.Note) {
	if !l.published {
		l.published = true
		l.publish()
	}
	logNote(l.log, n)
}

// Halt ends the loop: the node has stopped for good.
func (l *loop) Halt(reason string) {
	l.reason = reason
	close(l.halted)
}

// leads says whether this member leads, and whether a leader is known, as of the last tick.
func (l *loop) leads() (leading, known bool) {
	s := l.state.Load()
	return s.Raft.Role == raft.Leader, s.Raft.Leader != 0
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
