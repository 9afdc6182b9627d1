package report

import (
	"github.com/detcd/detcd/sim"
)

// The page's data. Tables are columns: an array of numbers, or, where most are zero, the positions
// and values of the others. Times and events ascend within a table, so only their steps are kept.

// column is a list of whole numbers.
type column []int64

// sparse is a column most of which is zero.
type sparse struct {
	Length int     `json:"n"`
	Pairs  []int64 `json:"s"` // step from the position before, value
}

// packed is the shorter form of a column.
func packed(c column) any {
	set := 0
	for _, v := range c {
		if v != 0 {
			set++
		}
	}
	if set*3 > len(c) {
		return c
	}
	s := sparse{Length: len(c), Pairs: []int64{}}
	before := 0
	for i, v := range c {
		if v != 0 {
			s.Pairs = append(s.Pairs, int64(i-before), v)
			before = i
		}
	}
	return s
}

// steps turns an ascending column into the differences between neighbours.
func steps(c column) column {
	out := make(column, len(c))
	before := int64(0)
	for i, v := range c {
		out[i], before = v-before, v
	}
	return out
}

// table collects the columns of one kind of thing. Columns named at and event are kept as steps.
type table struct {
	names   []string
	columns []column
}

func newTable(names ...string) *table {
	return &table{names: names, columns: make([]column, len(names))}
}

// add appends a row, whose values come in the order of the names.
func (t *table) add(values ...int64) {
	if len(values) != len(t.names) {
		panic("report: a row does not fit its table")
	}
	for i, v := range values {
		t.columns[i] = append(t.columns[i], v)
	}
}

func (t *table) pack() map[string]any {
	out := make(map[string]any, len(t.names))
	for i, name := range t.names {
		c := t.columns[i]
		if name == "at" || name == "event" {
			c = steps(c)
		}
		out[name] = packed(c)
	}
	return out
}

// interned numbers strings in the order of their first use.
type interned struct {
	numbers map[string]int64
	list    []string
}

func newInterned() *interned {
	return &interned{numbers: map[string]int64{"": 0}, list: []string{""}}
}

func (t *interned) number(s string) int64 {
	if n, ok := t.numbers[s]; ok {
		return n
	}
	n := int64(len(t.list))
	t.numbers[s], t.list = n, append(t.list, s)
	return n
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

func statesTable(r *sim.Record) *table {
	t := newTable("at", "event", "member", "role", "term", "vote", "leader", "commit", "applied",
		"first", "last", "durable", "revision", "compacted", "keys", "digest", "leases",
		"watchers", "behind", "pending", "run")
	for i := range r.States {
		s := &r.States[i]
		t.add(s.At, int64(s.Event), int64(s.Member), int64(s.Raft.Role), int64(s.Raft.Term),
			place(r, s.Raft.Vote), place(r, s.Raft.Leader), int64(s.Raft.Commit),
			int64(s.Applied), int64(s.Raft.First), int64(s.Raft.Last), int64(s.Raft.Durable),
			int64(s.Revision), int64(s.Compacted), s.Keys, int64(s.Digest>>32),
			int64(s.Leases.Live), int64(s.Watchers), int64(s.SlowWatchers), int64(s.Pending),
			int64(s.Run))
	}
	return t
}

func messagesTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "event", "kind", "from", "to", "cause", "fault",
		"took", "steps", "outcome", "why", "by", // of the first copy
		"took2", "steps2", "outcome2", "why2", "by2",
		"term", "logterm", "index", "commit", "first", "last", "reject", "hint", "hintterm",
		"round", "read", "bytes", "call", "code", "broken", "confirmed", "applied", "revision",
		"stream", "watch", "header", "firstrev", "lastrev", "events", "text")
	for i := range r.Messages {
		m := &r.Messages[i]
		row := []int64{m.Sent, int64(m.Event), int64(m.Kind), int64(m.From), int64(m.To),
			int64(m.Why.Cause), int64(m.Why.Fault)}
		for k := range 2 {
			if k >= len(m.Copies) {
				row = append(row, -1, 0, 0, 0, 0)
				continue
			}
			c := &m.Copies[k]
			after := int64(0)
			if c.Event > 0 {
				after = int64(c.Event) - int64(m.Event)
			}
			row = append(row, c.At-m.Sent, after, int64(c.Outcome), int64(c.Why.Cause),
				int64(c.Why.Fault))
		}
		code := int64(0)
		if m.Kind == sim.KindAnswer && m.Code != 0 {
			code = names.number(m.Code.Text())
		}
		row = append(row, int64(m.Term), int64(m.LogTerm), int64(m.Index), int64(m.Commit),
			int64(m.First), int64(m.Last), flag(m.Rejects), int64(m.Hint), int64(m.HintTerm),
			int64(m.Round), int64(m.Read), int64(m.Bytes), int64(m.Call), code, flag(m.Broken),
			int64(m.Confirmed), int64(m.Applied), m.Revision, int64(m.Stream), m.Watch.ID,
			m.Watch.Revision, m.Watch.First, m.Watch.Last, int64(m.Watch.Events),
			names.number(m.Watch.Text))
		t.add(row...)
	}
	return t
}

func diskTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "event", "member", "lane", "kind", "file", "offset", "length", "begun",
		"took", "endevent", "status", "fate", "first", "last", "term", "vote")
	for i := range r.Disk {
		d := &r.Disk[i]
		begun, took := int64(-1), int64(-1)
		if d.Begun >= 0 {
			begun = d.Begun - d.Submitted
		}
		if d.Ended >= 0 {
			took = d.Ended - d.Submitted
		}
		t.add(d.Submitted, int64(d.Event), int64(d.Member), int64(d.Lane), int64(d.Kind),
			names.number(d.File), d.Offset, d.Length, begun, took, int64(d.EndEvent),
			int64(d.Status), int64(d.Fate), int64(d.First), int64(d.Last), int64(d.Term),
			place(r, d.Vote))
	}
	return t
}

func callsTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "number", "client", "took", "text", "end", "answer", "member", "tries",
		"revision", "effective", "effectiveat", "answered", "failed")
	for i := range r.Calls {
		c := &r.Calls[i]
		took := int64(-1)
		if c.Ended >= 0 {
			took = c.Ended - c.Sent
		}
		t.add(c.Sent, int64(c.Number), int64(c.Client), took, names.number(c.Text),
			names.number(c.End), names.number(c.Answer), int64(c.Member), int64(c.Tries),
			c.Revision, int64(c.Effective), c.EffectiveAt, flag(c.Answered), flag(c.Failed))
	}
	return t
}

func livesTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "event", "member", "life", "reason")
	for i := range r.Lives {
		l := &r.Lives[i]
		t.add(l.At, int64(l.Event), int64(l.Member), int64(l.Life), names.number(l.Reason))
	}
	return t
}

func notesTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "event", "member", "text")
	for i := range r.Notes {
		n := &r.Notes[i]
		t.add(n.At, int64(n.Event), int64(n.Member), names.number(n.Text))
	}
	return t
}

func faultsTable(r *sim.Record, names *interned) *table {
	t := newTable("at", "event", "id", "kind", "to", "members", "text", "felt")
	for i := range r.Faults {
		f := &r.Faults[i]
		t.add(f.From, int64(f.Event), int64(f.ID), names.number(f.Kind.String()), f.To,
			int64(f.Members), names.number(f.Text), int64(f.Felt))
	}
	return t
}

func watchesTables(r *sim.Record, names *interned) (watches, seen *table) {
	watches = newTable("client", "member", "stream", "id", "text", "start")
	seen = newTable("watch", "time", "header", "firstrev", "lastrev", "events", "text")
	for i := range r.Watches {
		w := &r.Watches[i]
		watches.add(int64(w.Client), int64(w.Member), int64(w.Stream), w.ID,
			names.number(w.Text), w.Start)
		for k := range w.Seen {
			s := &w.Seen[k]
			seen.add(int64(i), s.At, s.Revision, s.First, s.Last, int64(s.Events),
				names.number(s.Text))
		}
	}
	return watches, seen
}
