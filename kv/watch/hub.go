// Package watch lets watchers of keys know of every change: each once, in order, whole revisions at
// a time, from wherever they begin, however slowly they read.
//
// A Hub is plain data that belongs to a node. It is told of every revision as it becomes visible
// and of every request of a watch stream, and appends to a list the responses that leave.
//
// A watcher is in one of these places:
//
//	live     has got everything up to the newest revision; gets the next one as it appears
//	pass     is being brought up to date: a pass walks the history in bounded steps, see pass.go
//	waiting  is behind, and no pass comes its way
//	blocked  is behind, and its stream has no room
//	future   starts at a revision that does not exist yet
//
// Flow control is per stream. What leaves is charged to the stream until its edge reports it as
// consumed; while the limit is reached nothing more leaves, and the watchers that would have got
// something are behind from that revision on. They go on from the history when there is room, so a
// client that never reads holds one limit of memory and nobody up.
//
// Invariant: between two calls every live watcher has got everything below Hub.front, which is one
// above the newest visible revision. So a progress notice needs no look into any queue: whatever it
// promises was let out before it.
//
// What it does not do: it knows no clients, no permissions and no sockets, and nothing of it
// survives the process.
package watch

import (
	"bytes"
	"fmt"

	"github.com/detcd/detcd/mvcc"
)

// StreamID names a stream; the edge chooses it and uses none twice.
type StreamID uint64

// Options say which events a watcher wants, and how.
type Options uint8

// The options.
const (
	NoPut    Options = 1 << iota
	NoDelete         //
	PrevKV           // events carry the KeyValue before them
	Fragment         // a response may be split when it is large
)

// Spec is what a watcher wants to know of: Key alone when End is empty, everything from Key on when
// End is one zero byte, else [Key, End).
type Spec struct {
	Key, End []byte
	Options  Options
}

func (s *Spec) single() bool { return len(s.End) == 0 }

// to is the end of the interval, nil if it has none.
func (s *Spec) to() []byte {
	if len(s.End) == 1 && s.End[0] == 0 {
		return nil
	}
	return s.End
}

// empty says that no key can be in the interval.
func (s *Spec) empty() bool {
	return !s.single() && s.to() != nil && bytes.Compare(s.Key, s.End) >= 0
}

// Create asks for a watcher.
type Create struct {
	Spec  Spec
	Start mvcc.Revision // 0: what comes next
	ID    int64         // 0: the stream's next free one
	// Notify says that the watcher wants a sign of life when nothing happens.
	Notify Notify
	// Refusal, when not empty, is why the watcher must not be: the client is told so.
	Refusal string
}

// Notify says whether a watcher gets progress notices by itself.
type Notify uint8

// The choices.
const (
	OnRequest Notify = iota
	Periodically
)

// Limits bounds what a hub lets out.
type Limits struct {
	StreamBytes   int // let out to a stream and not yet consumed
	FragmentBytes int // from which on a response is split for those who allow it
	// LiveChanges is the number of changes up to which a revision is let out at once. What is
	// larger makes every live watcher late, and the passes bring it in bounded steps.
	LiveChanges int
	// Passes is the number of passes at a time, at least 2; the last one is for watchers that are
	// near. Near is how many revisions a watcher is behind at most that counts as near.
	Passes int
	Near   mvcc.Revision
	// NotifyNanos is the time between progress notices; Seed keys each stream's share of a tenth
	// of it that comes on top.
	NotifyNanos int64
	Seed        uint64
}

// Store is the history: *mvcc.Engine, or its twin.
type Store interface {
	// Compacted is the last compacted revision, -1 if there is none.
	Compacted() mvcc.Revision
	// Change returns one change of the newest revisions.
	Change(rev mvcc.Rev) (mvcc.Change, error)
	// Changes calls visit for changes from a place on; see Engine.Changes.
	Changes(from mvcc.Rev, most, maxBytes int,
		visit func(rev mvcc.Rev, c mvcc.Change) (more bool)) (next mvcc.Rev, err error)
	// At returns the KeyValue of a key at a revision; ok is false when it did not live or the
	// revision is compacted.
	At(key []byte, rev mvcc.Revision) (kv []byte, ok bool, err error)
}

// Env is the world as of a call: the history, the header of answers made now, and where responses
// go.
type Env struct {
	Store  Store
	Header Header
	Now    int64 // nanoseconds of the node's clock
	Out    *[]Delivery
}

// watcher is one watcher of one stream.
type watcher struct {
	id     int64
	stream *stream
	spec   Spec
	// next is the first revision that it has not got. For a member of a group it may be lower: what
	// precedes the group's present batch has reached every member whose next is below it.
	next  mvcc.Revision
	state state
	group *group // when live or in a pass
	scope *scope
	place int // in scope.watchers, or in the list or heap of its state
	// index is its position in stream.watchers.
	index  int
	notify Notify
	// quiet says that it got nothing since the stream's last round of notices.
	quiet bool
}

// state says where a watcher is.
type state uint8

const (
	nowhere state = iota
	live
	passing
	waiting
	blocked
	future
)

func (w *watcher) due() int64      { return int64(w.next) }
func (w *watcher) moved(place int) { w.place = place }

// Hub is all watchers of a node. It is not safe for concurrent use.
type Hub struct {
	limits  Limits
	turn    uint64        // counts steps of the node
	front   mvcc.Revision // the next revision to be let out
	streams map[StreamID]*stream

	live     *group
	passes   []*pass
	futures  heap[*watcher]
	notices  heap[*stream]
	waiting  []*watcher // behind, without a pass
	retrying []*watcher // waiting ones that are looked at again
	freed    bool       // a pass has ended since waiting was looked at
	turnPass int        // the pass that works next
	watchers int
	cost     int // of what was let out since Cost was asked, in sixteenths of a microsecond

	hits []*scope   // reused
	full []*watcher // reused

	probes Probes
}

// New returns a hub for a store whose newest revision is current.
func New(limits Limits, current mvcc.Revision) *Hub {
	if limits.StreamBytes <= 0 || limits.FragmentBytes <= 0 || limits.NotifyNanos <= 0 ||
		limits.LiveChanges <= 0 || limits.Passes < 2 || limits.Near < 0 {
		panic(fmt.Sprintf("watch: limits %+v", limits))
	}
	return &Hub{limits: limits, front: current + 1, streams: make(map[StreamID]*stream),
		live: newGroup()}
}

// Begin starts a step: what was lent in the last one is the hub's again.
func (h *Hub) Begin() { h.turn++ }

// Watchers is the number of watchers, Streams that of streams.
func (h *Hub) Watchers() int { return h.watchers }

// Streams is the number of streams that have asked for anything.
func (h *Hub) Streams() int { return len(h.streams) }

// Behind is the number of watchers that have not got everything that is there for them.
func (h *Hub) Behind() int { return h.watchers - h.live.members - len(h.futures.list) }

// Lag is how many revisions the pass that is farthest behind has to go, 0 when all have everything.
func (h *Hub) Lag() (revisions int64) {
	for _, p := range h.passes {
		revisions = max(revisions, int64(h.front-p.front.Main))
	}
	return revisions
}

// Cost is about how many microseconds letting events out has taken since it was last asked: whoever
// lets revisions out in steps of bounded work counts it.
func (h *Hub) Cost() (units int) {
	units = h.cost / 16
	h.cost %= 16
	return units
}

// The words of refusals.
const (
	emptyRange  = "mvcc: watcher range is empty"
	duplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
	compacted   = "etcdserver: mvcc: required revision has been compacted"
)

// noID is the watch id of responses that are about no watcher.
const noID = -1

// responseCost is charged for every response beside its bytes.
const responseCost = 128

func (h *Hub) stream(id StreamID) *stream {
	s := h.streams[id]
	if s == nil {
		s = &stream{id: id, slot: -1}
		h.streams[id] = s
	}
	return s
}

// send lets out one response to one recipient, whether there is room or not: answers are as many as
// requests, and the edge takes no more of these while it cannot get rid of those.
func (h *Hub) send(env Env, s *stream, id int64, body []byte) {
	d := Delivery{To: []Recipient{{s.id, id}}, Body: [][]byte{body},
		Charge: len(body) + responseCost}
	s.pending += d.Charge
	*env.Out = append(*env.Out, d)
}

// Create makes a watcher. Its created response leaves before anything else of it.
func (h *Hub) Create(env Env, id StreamID, c Create) {
	s := h.stream(id)
	refusal := c.Refusal
	switch {
	case c.Start < 0:
		refusal = compacted
	case refusal != "":
	case c.Spec.empty():
		refusal = emptyRange
	case c.ID != 0 && s.find(c.ID) != nil:
		refusal = duplicateID
	}
	if refusal != "" {
		n := notice{created: true, canceled: true, reason: refusal}
		h.send(env, s, noID, n.encode(env.Header))
		return
	}
	w := &watcher{id: c.ID, stream: s, spec: c.Spec, next: c.Start, notify: c.Notify, quiet: true}
	if w.id == 0 {
		w.id = s.freeID()
	}
	if w.next == 0 {
		w.next = h.front
	}
	s.add(w)
	h.watchers++
	h.send(env, s, w.id, notice{created: true}.encode(env.Header))
	if w.notify == Periodically {
		h.wantNotices(env, s)
	}
	h.settle(env, w)
}

// settle puts a watcher where its next revision is.
func (h *Hub) settle(env Env, w *watcher) {
	switch {
	case w.next == h.front:
		h.enliven(w)
	case w.next > h.front:
		w.state = future
		h.futures.push(w)
	default:
		h.late(env, w)
	}
}

func (h *Hub) enliven(w *watcher) {
	w.state = live
	w.stream.live++
	h.live.add(w)
}

// Cancel ends a watcher at its client's wish; an unknown id gets no answer.
func (h *Hub) Cancel(env Env, id StreamID, watch int64) {
	s := h.streams[id]
	if s == nil {
		return
	}
	w := s.find(watch)
	if w == nil {
		return
	}
	h.remove(w)
	h.send(env, s, watch, notice{canceled: true}.encode(env.Header))
}

// overtake ends a watcher whose next revision is compacted.
func (h *Hub) overtake(env Env, w *watcher) {
	h.probes[ProbeOvertaken]++
	s, id := w.stream, w.id
	h.remove(w)
	header := env.Header
	header.Revision = 0
	h.send(env, s, id, notice{canceled: true, compacted: env.Store.Compacted()}.encode(header))
}

// remove forgets a watcher.
func (h *Hub) remove(w *watcher) {
	h.detach(w)
	s := w.stream
	s.drop(w)
	h.watchers--
	if w.notify == Periodically {
		if s.notices--; s.notices == 0 {
			h.notices.remove(s.slot)
		}
	}
}

// detach takes a watcher out of its place.
func (h *Hub) detach(w *watcher) {
	switch w.state {
	case live:
		w.stream.live--
		h.live.remove(w, h.turn)
	case passing:
		w.group.remove(w, h.turn)
	case waiting:
		// It is in one of two lists, at its place.
		if w.place < len(h.waiting) && h.waiting[w.place] == w {
			h.waiting = withoutWatcher(h.waiting, w)
		} else {
			h.retrying = withoutWatcher(h.retrying, w)
		}
	case blocked:
		w.stream.blocked = withoutWatcher(w.stream.blocked, w)
	case future:
		h.futures.remove(w.place)
	}
	w.state = nowhere
}

func withWatcher(list []*watcher, w *watcher) []*watcher {
	w.place = len(list)
	return append(list, w)
}

func withoutWatcher(list []*watcher, w *watcher) []*watcher {
	last := len(list) - 1
	list[w.place] = list[last]
	list[w.place].place = w.place
	list[last] = nil
	return list[:last]
}

// End forgets a stream and its watchers.
func (h *Hub) End(id StreamID) {
	s := h.streams[id]
	if s == nil {
		return
	}
	for len(s.watchers) > 0 {
		h.remove(s.watchers[len(s.watchers)-1])
	}
	delete(h.streams, id)
}

// Consumed takes a report of an edge: so many bytes of what was charged are gone.
func (h *Hub) Consumed(env Env, id StreamID, bytes int) {
	s := h.streams[id]
	if s == nil {
		return
	}
	if s.pending -= bytes; s.pending < 0 {
		panic(fmt.Sprintf("watch: stream %x consumed %d bytes more than it got", id, -s.pending))
	}
	if h.isFull(s) {
		return
	}
	list := s.blocked
	s.blocked = nil
	for _, w := range list {
		w.state = nowhere
		h.late(env, w)
	}
}

func (h *Hub) isFull(s *stream) bool { return s.pending >= h.limits.StreamBytes }
