package sim

import (
	"fmt"
	"strings"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// View is a member as it is at one event: named values in sections, for people to read and for
// programs to compare.
type View struct {
	Title    string
	Sections []Section
}

// Section is one aspect of a member. Names of fields are unique in it.
type Section struct {
	Name   string
	Fields []Field
}

// Field is one named value.
type Field struct{ Name, Value string }

// SectionNames lists the sections of every View, in their order.
var SectionNames = [...]string{"process", "raft", "log", "disk", "engine", "leases", "watchers",
	"queues"}

// View shows a member where the walk stands.
func (w *Walk) View(member int) (*View, error) {
	if member < 0 || member >= len(w.world.members) {
		return nil, fmt.Errorf("member %d is none: there are 0 to %d", member,
			len(w.world.members)-1)
	}
	m := w.world.members[member]
	n, _ := w.Event()
	v := &View{Title: fmt.Sprintf("member %d at event %d, %s", member, n,
		clockTime(w.world.now))}
	v.process(m)
	if m.life == up {
		s, in := m.driver.Node.State(), m.driver.Node.Inspect()
		v.raft(w.world, &s, &in)
		v.log(&s, &in)
		v.disk(m)
		v.engine(&s, &in)
		v.leases(&in)
		v.watchers(&s, &in)
		v.queues(m, &in)
	} else {
		v.disk(m)
	}
	return v, nil
}

// Cluster is one line about each member.
func (w *Walk) Cluster() string {
	var b strings.Builder
	for _, m := range w.world.members {
		fmt.Fprintf(&b, "member %d (%s) ", m.index, m.id)
		if m.life != up {
			fmt.Fprintf(&b, "%s %s\n", lifeNames[m.life], m.haltReason)
			continue
		}
		s := m.driver.Node.State()
		fmt.Fprintf(&b, "%s, term %d, commit %d, applied %d, log %d..%d, durable %d, revision %d",
			s.Raft.Role, s.Raft.Term, s.Raft.Commit, s.Applied, s.Raft.First, s.Raft.Last,
			s.Raft.Durable, s.Revision)
		if m.pauses > 0 {
			b.WriteString(", frozen")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var lifeNames = [...]string{"down", "up", "gone"}

func (v *View) add(section, name, format string, args ...any) {
	if n := len(v.Sections); n == 0 || v.Sections[n-1].Name != section {
		v.Sections = append(v.Sections, Section{Name: section})
	}
	s := &v.Sections[len(v.Sections)-1]
	s.Fields = append(s.Fields, Field{Name: name, Value: fmt.Sprintf(format, args...)})
}

func (v *View) process(m *member) {
	const section = "process"
	v.add(section, "id", "%s", m.id)
	v.add(section, "life", "%s", lifeNames[m.life])
	if m.haltReason != "" {
		v.add(section, "reason", "%s", m.haltReason)
	}
	v.add(section, "number", "%d", m.run)
	mono, wall := m.clock.read(m.world.now)
	v.add(section, "monotonic clock", "%s", clockTime(mono))
	v.add(section, "wall clock ahead by", "%s", clockTime(wall-wallEpoch-m.world.now))
	v.add(section, "frozen", "%v", m.pauses > 0)
	v.add(section, "stored bytes damaged", "%v", m.damaged)
	v.add(section, "disk has lied", "%v", m.liar)
	if m.crash.fault > 0 {
		v.add(section, "about to die", "%s", m.world.plan.Faults[m.crash.fault-1])
	}
}

func (v *View) raft(w *world, s *kv.State, in *kv.Inspection) {
	const section = "raft"
	r := &s.Raft
	v.add(section, "phase", "%s", in.Phase)
	v.add(section, "incarnation", "%d", in.Incarnation)
	v.add(section, "role", "%s", r.Role)
	v.add(section, "term", "%d", r.Term)
	v.add(section, "vote", "%s", w.memberName(r.Vote))
	v.add(section, "leader", "%s", w.memberName(r.Leader))
	v.add(section, "commit", "%d", r.Commit)
	v.add(section, "applied", "%d", s.Applied)
	v.add(section, "durable", "%d", r.Durable)
	v.add(section, "log", "%d..%d", r.First, r.Last)
	v.add(section, "voters", "%s", w.memberNames(r.Config.Voters))
	if len(r.Config.Outgoing) > 0 {
		v.add(section, "outgoing voters", "%s", w.memberNames(r.Config.Outgoing))
	}
	v.add(section, "learners", "%s", w.memberNames(r.Config.Learners))
	v.add(section, "configuration of entry", "%d", r.ConfigIndex)
	if r.Transferee != 0 {
		v.add(section, "hands over to", "%s", w.memberName(r.Transferee))
	}
	for i := range in.Peers {
		p := &in.Peers[i]
		v.add(section, "progress of "+w.memberName(p.Member), "%s, match %d, next %d, active %v",
			p.State, p.Match, p.Next, p.Active)
	}
}

// memberName is a member for people.
func (w *world) memberName(id raft.MemberID) string {
	if id == 0 {
		return "nobody"
	}
	if i := w.machineOf(id); i >= 0 {
		return fmt.Sprintf("member %d", i)
	}
	return id.String()
}

func (w *world) memberNames(ids []raft.MemberID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = w.memberName(id)
	}
	return strings.Join(names, ", ")
}

func (v *View) log(s *kv.State, in *kv.Inspection) {
	const section = "log"
	v.add(section, "bytes on disk", "%d", s.LogBytes)
	for i, run := range in.Runs {
		last := s.Raft.Last
		if i+1 < len(in.Runs) {
			last = in.Runs[i+1].First - 1
		}
		v.add(section, fmt.Sprintf("entries of term %d", run.Term), "%d..%d", run.First, last)
	}
	for i := range in.Entries {
		e := &in.Entries[i]
		mark := markEntry(e)
		v.add(section, fmt.Sprintf("entry %d", e.Index), "term %d type %d by %s, %d bytes, %016x",
			e.Term, e.Type, e.Proposer, len(e.Data), mark.hash)
	}
}

func (v *View) disk(m *member) {
	const section = "disk"
	v.add(section, "bytes used", "%d", m.disk.Used())
	v.add(section, "slower by", "%d", m.disk.slow)
	for lane := range diskio.NumLanes {
		name := fmt.Sprintf("lane %s", laneName(lane))
		if m.disk.stalls[lane] > 0 {
			v.add(section, name+" stands still", "%v", true)
		}
		for i, op := range m.disk.Waiting(lane) {
			v.add(section, fmt.Sprintf("%s, waiting %d", name, i+1), "%v (ticket %d)", op,
				op.Ticket)
		}
	}
	for _, f := range m.disk.Image() {
		if f.Dir && f.Naming == simdisk.Durable {
			continue
		}
		name := f.Name
		if f.Naming == simdisk.Doomed {
			name += " (old)"
		}
		v.add(section, name, "%s", describeFile(&f, int64(m.sector())))
	}
}

func laneName(l diskio.Lane) string { return [...]string{"log", "engine", "bulk"}[l] }

// describeFile says what of a file survives a loss of power now, and what does not.
func describeFile(f *simdisk.FileImage, sector int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d bytes, name %s", f.Size, f.Naming)
	if f.MediaSize != f.Size {
		fmt.Fprintf(&b, ", %d bytes on the media", f.MediaSize)
	}
	if f.Low < min(f.Size, f.MediaSize) {
		fmt.Fprintf(&b, ", void from %d on", f.Low)
	}
	if f.Dirty > 0 {
		fmt.Fprintf(&b, ", %d sectors of %d only cached", f.Dirty, sector)
	}
	if f.Lied > 0 {
		fmt.Fprintf(&b, ", %d of them reported as synced", f.Lied)
	}
	if f.Forgotten > 0 {
		fmt.Fprintf(&b, ", %d dropped by a failed sync", f.Forgotten)
	}
	const shown = 4
	for i, e := range f.Volatile {
		if i == shown {
			fmt.Fprintf(&b, " and %d more", len(f.Volatile)-shown)
			break
		}
		fmt.Fprintf(&b, " [%d,%d)", e.From, e.To)
	}
	for i := range f.Damage {
		fmt.Fprintf(&b, ", damage %s", f.Damage[i])
	}
	return b.String()
}

func (v *View) engine(s *kv.State, in *kv.Inspection) {
	const section = "engine"
	v.add(section, "revision", "%d", s.Revision)
	v.add(section, "compacted revision", "%d", s.Compacted)
	v.add(section, "keys", "%d", s.Keys)
	v.add(section, "digest", "%016x", s.Digest)
	v.add(section, "bytes in files", "%d", s.FileBytes)
	v.add(section, "checkpoints at", "%d, before it %d", in.Checkpoint, in.Older)
	v.add(section, "checkpoint under way", "%v", in.Checkpointing)
	if in.HalfApplied > 0 {
		v.add(section, "entry half applied", "%d", in.HalfApplied)
	}
	v.add(section, "cluster version", "%s", s.Version)
	for i := range s.Alarms {
		v.add(section, fmt.Sprintf("alarm %d", i+1), "%+v", s.Alarms[i])
	}
}

func (v *View) leases(in *kv.Inspection) {
	v.add("leases", "number", "%d", len(in.Leases))
	for i := range in.Leases {
		l := &in.Leases[i]
		left := "not known here"
		if l.Left >= 0 {
			left = fmt.Sprintf("%d s left", l.Left)
		}
		v.add("leases", fmt.Sprintf("lease %d of entry %d", l.ID, l.Granted),
			"granted %d s, %d s written down, %s", l.TTL, l.Remaining, left)
	}
}

func (v *View) watchers(s *kv.State, in *kv.Inspection) {
	v.add("watchers", "number", "%d on %d streams, %d behind", s.Watchers, s.WatchStreams,
		s.SlowWatchers)
	for i := range in.Watched {
		o := &in.Watched[i]
		v.add("watchers", fmt.Sprintf("stream %d watcher %d", o.Stream, o.ID),
			"%s, key %q to %q, next revision %d, %d bytes not consumed", o.State, o.Spec.Key,
			o.Spec.End, o.Next, o.Pending)
	}
}

func (v *View) queues(m *member, in *kv.Inspection) {
	const section = "queues"
	v.add(section, "inputs that wait for a turn", "%d", len(m.inbox))
	v.add(section, "requests without an answer", "%d", len(m.waiting))
	for _, q := range in.Queues {
		v.add(section, q.Name, "%d", q.Count)
	}
	for _, r := range in.Rounds {
		index := "not confirmed"
		if r.Index > 0 {
			index = fmt.Sprintf("read index %d", r.Index)
		}
		v.add(section, fmt.Sprintf("read round %d", r.ID), "%s, %d reads", index, r.Reads)
	}
	to := netsim.Endpoint(m.index)
	underway := 0
	for i := range m.world.heap.list {
		if e := &m.world.heap.list[i]; e.kind == eventMessage && netsim.Endpoint(e.node) == to {
			underway++
		}
	}
	v.add(section, "messages on their way here", "%d", underway)
}
