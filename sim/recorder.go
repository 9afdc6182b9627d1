package sim

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// recorder fills in a Record. The world calls it wherever something happens, if there is one; the
// calls cost a comparison with nil otherwise.
type recorder struct {
	world *world
	out   *Record
	seen  []recorded // by member
	// open are the operations of each lane of each disk that are not finished, by their position.
	open [][diskio.NumLanes][]int
	// faults is the position of each planned fault's record plus one, 0 before it began.
	faults []int
}

// recorded is what was last written down of a member.
type recorded struct {
	life   lifeState
	frozen bool
	run    uint32
	glance kv.Glance
}

func newRecorder(w *world, out *Record) *recorder {
	*out = Record{Members: w.plan.Members}
	r := &recorder{world: w, out: out, seen: make([]recorded, w.plan.Members),
		open:   make([][diskio.NumLanes][]int, w.plan.Members),
		faults: make([]int, len(w.plan.Faults))}
	for i := range w.plan.Members {
		out.Endpoints = append(out.Endpoints, fmt.Sprintf("member %d", i))
		r.seen[i].life = w.members[i].life
	}
	for i := range w.plan.Scripts {
		out.Endpoints = append(out.Endpoints, fmt.Sprintf("client %d", i))
	}
	out.Endpoints = append(out.Endpoints, "operator", "the world")
	for i := range w.plan.Watchers {
		out.Endpoints = append(out.Endpoints, fmt.Sprintf("watching client %d", i))
	}
	if w.plan.Auth.on() {
		out.Endpoints = append(out.Endpoints, "administrator")
	}
	return r
}

// after looks for what an event has changed.
func (r *recorder) after(e *event) {
	for _, m := range r.world.members {
		r.lives(m)
	}
	switch e.kind {
	case eventTurn, eventRestart, eventDisk:
		if m := r.world.members[e.node]; m.life == up {
			r.state(m)
		}
	}
}

func (r *recorder) lives(m *member) {
	s := &r.seen[m.index]
	frozen := m.pauses > 0
	if s.life == m.life && s.run == m.run && s.frozen == frozen {
		return
	}
	add := func(l Life, reason string) {
		r.out.Lives = append(r.out.Lives, LifeRecord{Member: m.index, At: r.world.now,
			Event: r.world.trace.events, Life: l, Reason: reason})
	}
	if s.life == up && (m.life != up || s.run != m.run) {
		if m.lastPower == powerLost {
			add(PowerLost, "")
		} else {
			add(Stopped, "")
		}
		for lane := range r.open[m.index] {
			for _, at := range r.open[m.index][lane] {
				r.out.Disk[at].Fate = Dropped
			}
			r.open[m.index][lane] = nil
		}
	}
	if m.life == up && (s.life != up || s.run != m.run) {
		add(Started, fmt.Sprintf("process %d", m.run))
		s.glance = kv.Glance{}
	}
	if m.life == gone && s.life != gone {
		add(Lost, m.haltReason)
	}
	if frozen != s.frozen {
		if frozen {
			add(Frozen, "")
		} else {
			add(Thawed, "")
		}
	}
	s.life, s.run, s.frozen = m.life, m.run, frozen
}

func (r *recorder) state(m *member) {
	s := &r.seen[m.index]
	glance := m.driver.Node.Glance()
	if glance == s.glance {
		return
	}
	s.glance = glance
	r.out.States = append(r.out.States, StateRecord{Member: m.index, At: r.world.now,
		Event: r.world.trace.events, Run: m.run, State: m.driver.Node.State()})
}

// sent writes down a message with the fate that the network drew, and returns its name, which
// every copy carries.
func (r *recorder) sent(kind eventKind, l *letter, fate *netsim.Fate) uint32 {
	m := MessageRecord{From: l.from, To: l.to}
	switch kind {
	case eventMessage:
		m.raft(l.message)
	case eventRequest:
		m.Kind, m.Call = KindRequest, l.call
	default:
		a := l.answer
		m.Kind, m.Call, m.Code, m.Index, m.Bytes = KindAnswer, l.call, a.code, a.index, len(a.body)
		m.Broken = a.broken == broken
		m.Confirmed, m.Applied, m.Revision = a.confirmed, a.applied, a.revision
	}
	return r.add(&m, fate)
}

// sentWatch is sent for what travels on a watch stream.
func (r *recorder) sentWatch(kind eventKind, from, to netsim.Endpoint, l *watchLetter,
	fate *netsim.Fate) uint32 {
	m := MessageRecord{Kind: KindWatchUp, From: from, To: to, Stream: l.conn,
		Bytes: len(l.request) + len(l.response)}
	if kind == eventWatchDown {
		m.Kind = KindWatchDown
		var response pb.WatchResponse
		if err := unmarshal(l.response, &response); err != nil {
			m.Watch.Text = err.Error() // its client is going to object
		} else {
			m.Watch = digestWatch(&response)
		}
	} else if l.request == nil {
		m.Watch.Text = "has read a response"
	} else {
		m.Watch.Text = "asks"
	}
	return r.add(&m, fate)
}

func (r *recorder) add(m *MessageRecord, fate *netsim.Fate) uint32 {
	w := r.world
	m.Sent, m.Event, m.Why = w.now, w.trace.events, w.net.Why()
	m.Copies = make([]CopyRecord, fate.Copies)
	for i := range m.Copies {
		m.Copies[i].At = w.now + fate.Delays[i]
	}
	r.out.Messages = append(r.out.Messages, *m)
	return uint32(len(r.out.Messages))
}

func (m *MessageRecord) raft(msg *raft.Message) {
	m.Kind, m.Term, m.LogTerm, m.HintTerm = MessageKind(msg.Type), msg.Term, msg.LogTerm,
		msg.HintTerm
	m.Index, m.Commit, m.Hint, m.Rejects = msg.Index, msg.Commit, msg.Hint, msg.Reject
	m.Round, m.Read, m.Bytes = msg.Round, msg.Read, len(msg.Data)
	for i := range msg.Entries {
		m.Bytes += len(msg.Entries[i].Data)
	}
	if n := len(msg.Entries); n > 0 {
		m.First, m.Last = msg.Entries[0].Index, msg.Entries[n-1].Index
	}
}

// arrived writes down what became of a copy. The copies of one message differ in when they arrive.
func (r *recorder) arrived(name uint32, o Outcome) {
	if name == 0 {
		return
	}
	w := r.world
	for i := range r.out.Messages[name-1].Copies {
		c := &r.out.Messages[name-1].Copies[i]
		if c.Outcome == Underway && c.Event == 0 && c.At == w.now {
			c.Event, c.Outcome = w.trace.events, o
			if o == Refused {
				c.Why = w.net.Why()
			}
			return
		}
	}
}

// digestWatch is a response in short.
func digestWatch(res *pb.WatchResponse) WatchResponse {
	d := WatchResponse{ID: res.WatchId, Revision: res.GetHeader().GetRevision(),
		Events: len(res.Events)}
	if n := len(res.Events); n > 0 {
		d.First = res.Events[0].GetKv().GetModRevision()
		d.Last = res.Events[n-1].GetKv().GetModRevision()
	}
	var words []string
	if res.Created {
		words = append(words, "created")
	}
	if res.Canceled {
		words = append(words, "canceled "+res.CancelReason)
	}
	if res.CompactRevision > 0 {
		words = append(words, fmt.Sprintf("compacted up to %d", res.CompactRevision))
	}
	if res.Fragment {
		words = append(words, "more follows")
	}
	if len(words) == 0 && len(res.Events) == 0 {
		words = append(words, "progress")
	}
	d.Text = strings.Join(words, ", ")
	return d
}

// note writes down what a node says.
func (r *recorder) note(m *member, n *kv.Note) {
	text := n.Message
	for _, f := range n.Fields {
		text += fmt.Sprintf(" %s=%s", f.Name, f.Value)
	}
	r.out.Notes = append(r.out.Notes, NoteRecord{Member: m.index, At: r.world.now,
		Event: r.world.trace.events, Text: text})
}
