package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/linearizability"
)

// Clients that watch. Each has some subscriptions, keeps them alive over broken streams and dead
// members by starting again where it was, as real clients do, and writes down all that it sees.
// Some read slowly, some ask for progress all the time, some come and go. What they saw is judged
// after the run (linearizability.CheckWatches); that they have caught up once the faults have ended
// is judged during it.

// WatchScript is how one watching client behaves.
type WatchScript struct {
	Home    int
	RoamPPM uint32 // chance that a new stream goes to another member
	Start   int64
	Think   int64 // typical pause between two of its acts
	Read    int64 // typical time that it takes to read a response
	Window  int   // responses that travel ahead of its reading
	Most    int   // subscriptions at a time
	// Eager and Restless are the chances, in a million, that an act asks for progress, and that it
	// ends a subscription; a third as often it ends the stream.
	Eager, Restless uint32
	Keys            int
	Silent          bool // it never begins
}

// watcher is one watching client.
type watcher struct {
	world  *world
	index  int
	script *WatchScript
	die    die
	member int
	conn   *watchConn
	// subscriptions are those that it wants; records all that it ever had, for the judgement.
	subscriptions []*subscription
	records       []*record
	inbox         [][]byte // received and not yet read
	reading       bool
	known         int64 // the highest revision in any header
	compacted     int64 // the highest compacted revision that it was told of
	nextID        int64
	refusals      int // that it is owed on the present stream
}

// subscription is what a client wants to know of, over all streams.
type subscription struct {
	spec    *pb.WatchCreateRequest
	next    int64   // the revision to go on from, 0 for whatever comes
	current *record // on the present stream, nil if there is none
}

// record is one watcher on one stream, as the client saw it.
type record struct {
	linearizability.Watch
	of      *subscription
	conn    *watchConn
	id      int64
	created bool
	over    bool
	part    int64 // the newest revision of fragments that wait for their last one
}

func newWatcher(w *world, index int, s *WatchScript) *watcher {
	return &watcher{world: w, index: index, script: s, member: s.Home,
		die: newDie(w.plan.Seed, entityWatcher, uint64(index))}
}

// generateWatchers draws who watches, and how.
func generateWatchers(p *Plan) {
	d := newDie(p.Seed, entityWatcher, 1<<32)
	p.Limits.WatchBytes = int(d.spread(64, 64<<10))
	p.NotifyNanos = d.spread(100, 10_000) * millisecond
	for i := range d.within(2, 6) {
		d := newDie(p.Seed, entityWatcher, 1<<32+uint64(i)+1)
		p.Watchers = append(p.Watchers, WatchScript{
			Home:     int(d.below(int64(p.Members))),
			RoamPPM:  uint32(oneOf(&d, 0, 200_000, million)),
			Start:    d.within(0, 2*second),
			Think:    d.spread(20, 2000) * millisecond,
			Read:     oneOf(&d, millisecond, 10*millisecond, 200*millisecond, second),
			Window:   int(d.spread(1, 64)),
			Most:     int(d.within(1, 6)),
			Eager:    uint32(oneOf(&d, 30_000, 200_000, 500_000)),
			Restless: uint32(oneOf(&d, 3000, 30_000, 150_000)),
			Keys:     p.Scripts[0].Keys,
		})
	}
}

// act lets the client do something, and think until the next time.
func (c *watcher) act() {
	w := c.world
	think := c.script.Think/2 + int64(c.die.rand.Exp(uint64(c.script.Think/2)))
	if w.heal.phase != chaos {
		think = 20 * millisecond
	}
	w.schedule(event{at: w.now + think, kind: eventWatchAct, node: uint8(c.index)})
	switch {
	case c.conn == nil:
		c.connect()
	case w.heal.phase != chaos:
		c.restore()
	case c.die.chance(int64(c.script.Eager)):
		c.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
			ProgressRequest: &pb.WatchProgressRequest{}}})
	case c.die.chance(int64(c.script.Restless) / 3):
		w.breakConn(c.conn)
	case c.die.chance(int64(c.script.Restless)) && len(c.subscriptions) > 0:
		c.unsubscribe(int(c.die.below(int64(len(c.subscriptions)))))
	case c.die.chance(30_000):
		c.askNonsense()
	case len(c.subscriptions) < c.script.Most:
		c.subscriptions = append(c.subscriptions, c.draw())
		c.restore()
	default:
		c.restore()
	}
}

// connect opens a stream and starts everything again on it.
func (c *watcher) connect() {
	w := c.world
	if c.die.chance(int64(c.script.RoamPPM)) || w.members[c.member].life != up {
		c.member = w.nextServing(int(c.die.below(int64(w.plan.Members))))
	}
	c.conn = w.openConn(c.index, c.member)
	c.inbox, c.nextID, c.refusals = nil, 0, 0
	c.restore()
}

// restore makes a watcher for every subscription that has none.
func (c *watcher) restore() {
	for _, s := range c.subscriptions {
		if s.current == nil {
			c.create(s)
		}
	}
}

func (c *watcher) create(s *subscription) {
	request := proto.Clone(s.spec).(*pb.WatchCreateRequest)
	request.StartRevision = s.next
	c.nextID++
	request.WatchId = oneOf(&c.die, 0, 1000+c.nextID, -1000-c.nextID) // 0: the member chooses
	r := &record{of: s, conn: c.conn, id: request.WatchId,
		Watch: linearizability.Watch{Client: c.index, Request: request}}
	if r.id == 0 {
		r.id = unknownID
	}
	s.current = r
	c.records = append(c.records, r)
	c.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
}

// unknownID is the id of a watcher until its member has chosen one.
const unknownID = int64(-1) << 62

// askNonsense asks for a watcher that is refused whoever asks.
func (c *watcher) askNonsense() {
	request := &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: -1}
	c.refusals++
	c.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
}

func (c *watcher) ask(request *pb.WatchRequest) {
	raw, err := marshal(request)
	if err != nil {
		panic(fmt.Sprintf("sim: a watch request does not marshal: %v", err))
	}
	c.world.sendUp(c.conn, raw)
}

// unsubscribe cancels a watcher; what comes before the answer still counts.
func (c *watcher) unsubscribe(i int) {
	s := c.subscriptions[i]
	c.subscriptions = append(c.subscriptions[:i], c.subscriptions[i+1:]...)
	if s.current == nil {
		return
	}
	s.current.of = nil
	if s.current.id == unknownID {
		return
	}
	c.ask(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: s.current.id}}})
}

// draw makes up a subscription.
func (c *watcher) draw() *subscription {
	d := &c.die
	r := &pb.WatchCreateRequest{
		PrevKv: d.chance(400_000), ProgressNotify: d.chance(300_000), Fragment: d.chance(200_000),
	}
	switch d.below(6) {
	case 0, 1:
		r.Key = fmt.Appendf(nil, "k%d", d.below(int64(c.script.Keys)))
	case 2:
		r.Key, r.RangeEnd = []byte("k"), []byte("l")
	case 3:
		r.Key, r.RangeEnd = []byte("p"), []byte("q")
	case 4:
		r.RangeEnd = []byte{0}
	case 5:
		r.Key, r.RangeEnd = []byte("m"), []byte{0}
	}
	for _, f := range []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT,
		pb.WatchCreateRequest_NODELETE} {
		if d.chance(100_000) {
			r.Filters = append(r.Filters, f)
		}
	}
	s := &subscription{spec: r}
	switch d.below(4) {
	case 0:
		s.next = d.within(1, max(c.known, 1))
	case 1:
		s.next = max(c.known+d.within(-5, 5), 1)
	case 2:
		s.next = max(c.compacted, 1)
	}
	return s
}

// receive takes what the network brings; it is read later.
func (c *watcher) receive(conn *watchConn, response []byte) {
	if conn != c.conn {
		return
	}
	c.inbox = append(c.inbox, response)
	c.read()
}

// read schedules the reading of the next response.
func (c *watcher) read() {
	w := c.world
	if c.reading || len(c.inbox) == 0 {
		return
	}
	c.reading = true
	pause := int64(c.die.rand.Exp(uint64(c.script.Read)))
	if w.heal.phase != chaos {
		pause = 0
	}
	w.schedule(event{at: w.now + pause, kind: eventWatchRead, node: uint8(c.index),
		slot: c.conn.number})
}

// lost notices that the stream is broken: what was not read is gone.
func (c *watcher) lost(conn *watchConn) {
	if conn != c.conn {
		return
	}
	c.conn, c.inbox = nil, nil
	for _, s := range c.subscriptions {
		s.current = nil
	}
}

// readNext reads a response and lets the member know.
func (c *watcher) readNext(e *event) {
	c.reading = false
	if c.conn == nil || c.conn.number != e.slot || len(c.inbox) == 0 {
		c.read()
		return
	}
	w := c.world
	var r pb.WatchResponse
	raw := c.inbox[0]
	c.inbox = c.inbox[1:]
	if err := unmarshal(raw, &r); err != nil {
		w.fail(OracleCodec, "a watch response of member %d does not decode: %v", c.member, err)
		return
	}
	w.counts.WatchResponses++
	w.counts.WatchEvents += uint64(len(r.Events))
	c.known = max(c.known, r.GetHeader().GetRevision())
	c.compacted = max(c.compacted, r.CompactRevision)
	w.sendUp(c.conn, nil)
	c.saw(&r)
	c.read()
}

// saw writes a response down with the watcher that it is for, or with all of the stream.
func (c *watcher) saw(r *pb.WatchResponse) {
	w := c.world
	if c.refused(r) || c.nonsense(r) {
		return
	}
	if r.Created {
		c.identify(r.WatchId)
	}
	found := false
	for _, k := range c.records {
		all := r.WatchId == -1 && !r.Created
		if k.conn != c.conn || k.over || all && !k.created || !all && k.id != r.WatchId {
			continue
		}
		found = true
		k.Seen = append(k.Seen, linearizability.WatchSeen{Time: w.now, Response: r})
		k.learn(r)
	}
	if !found {
		w.fail(OracleWatch, "client %d gets a response for no watcher of its own from member "+
			"%d: %v", c.index, c.member, r)
	}
}

// nonsense says whether a response is the refusal of what the client had no right to get.
func (c *watcher) nonsense(r *pb.WatchResponse) bool {
	if r.WatchId != -1 || !r.Created || !r.Canceled || r.CancelReason == "" || c.refusals == 0 {
		return false
	}
	c.refusals--
	return true
}

// identify gives the id that a member has chosen to the watcher that has waited longest for one.
func (c *watcher) identify(id int64) {
	if id < 0 || id > 1000 {
		return // the client chose it
	}
	for _, k := range c.records {
		if k.conn == c.conn && k.id == unknownID {
			k.id = id
			return
		}
	}
}

func (k *record) subject() Subject { return Subject{Stream: k.conn.number, Watch: k.id} }

// learn moves the subscription on.
func (k *record) learn(r *pb.WatchResponse) {
	next := int64(0)
	switch {
	case r.Created:
		k.created = true
		if k.Request.StartRevision == 0 {
			next = r.GetHeader().GetRevision() + 1
		}
	case r.Canceled:
		k.over = true
		next = r.CompactRevision
		if k.of != nil {
			k.of.current = nil
		}
	case len(r.Events) > 0:
		k.part = r.Events[len(r.Events)-1].GetKv().GetModRevision()
		if !r.Fragment {
			next = k.part + 1
		}
	default:
		next = r.GetHeader().GetRevision() + 1
	}
	if k.of != nil {
		k.of.next = max(k.of.next, next)
	}
}

// watchLag says which watcher has not caught up; empty if none.
func (w *world) watchLag() (lag string, about Subject) {
	truth := w.oracle.commit.truth()
	for _, c := range w.watchers {
		for _, s := range c.subscriptions {
			k := s.current
			if c.conn == nil || c.conn.broken || k == nil || !k.created {
				return fmt.Sprintf("watching client %d has no watcher for %v", c.index, s.spec),
					Subject{}
			}
			if missing := truth.Missing(k.Request, s.next); missing != nil {
				return fmt.Sprintf("watching client %d lacks %v from %d on for %v", c.index,
					missing, s.next, s.spec), k.subject()
			}
		}
	}
	return "", Subject{}
}

// judgeWatches judges what all watchers saw.
func (w *world) judgeWatches() {
	var all []linearizability.Watch
	var records []*record
	for _, c := range w.watchers {
		for _, k := range c.records {
			all, records = append(all, k.Watch), append(records, k)
		}
	}
	r := linearizability.CheckWatches(w.oracle.commit.truth(), all)
	if r.Verdict == linearizability.Legal {
		return
	}
	var about Subject
	for i := range all {
		if r.Watcher == &all[i] {
			about = records[i].subject()
		}
	}
	w.failAbout(about, OracleWatch, "%v", r.Err())
}
