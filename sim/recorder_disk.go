package sim

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// What a recorder writes down of disks and faults, and at the end of a run.

// submitted writes down an operation that a process gives to its disk.
func (r *recorder) submitted(m *member, op *diskio.Op) {
	d := DiskRecord{Member: m.index, Lane: op.Lane, Kind: op.Kind, File: op.File,
		Offset: op.Offset, Length: op.Length, Submitted: r.world.now, Begun: -1, Ended: -1,
		Event: r.world.trace.events}
	if op.Kind == diskio.Write {
		d.Length = int64(len(op.Data))
		r.logged(m, op, &d)
	}
	lane := &r.open[m.index][op.Lane]
	*lane = append(*lane, len(r.out.Disk))
	r.out.Disk = append(r.out.Disk, d)
}

// logged says which entries a write to the log carries, as the ledger has read them.
func (r *recorder) logged(m *member, op *diskio.Op, d *DiskRecord) {
	if !isLogFile(op.File) || op.Offset == 0 {
		return
	}
	groups := r.world.oracle.ledger.members[m.index].file(op.File).groups
	if len(groups) == 0 || groups[len(groups)-1].ticket != op.Ticket {
		return
	}
	for i := range groups[len(groups)-1].records {
		record := &groups[len(groups)-1].records[i]
		d.Term, d.Vote = record.hard.Term, record.hard.Vote
		if n := len(record.marks); n > 0 && record.kind == wal.RecordBatch {
			if d.First == 0 {
				d.First = record.first
			}
			d.Last = record.first + raft.Index(n) - 1
		}
	}
}

// begun notes that the device works on the oldest operation of a lane.
func (r *recorder) begun(m *member, lane diskio.Lane) {
	if open := r.open[m.index][lane]; len(open) > 0 {
		r.out.Disk[open[0]].Begun = r.world.now
	}
}

// finished notes the end of the oldest operation of a lane.
func (r *recorder) finished(m *member, lane diskio.Lane, status diskio.Status, fate DiskFate) {
	open := r.open[m.index][lane]
	if len(open) == 0 {
		return
	}
	d := &r.out.Disk[open[0]]
	d.Ended, d.EndEvent, d.Status, d.Fate = r.world.now, r.world.trace.events, status, fate
	r.open[m.index][lane] = open[1:]
}

// faultBegan writes down a fault, which may begin only once.
func (r *recorder) faultBegan(i int, s *faultState) {
	w := r.world
	f := &w.plan.Faults[i]
	r.out.Faults = append(r.out.Faults, FaultRecord{ID: f.ID, Kind: f.Kind, From: w.now, To: -1,
		Event: w.trace.events, Members: s.members, Text: f.String()})
	r.faults[i] = len(r.out.Faults)
}

// faultEnded notes its end.
func (r *recorder) faultEnded(i int) {
	if at := r.faults[i]; at > 0 && r.out.Faults[at-1].To < 0 {
		r.out.Faults[at-1].To = r.world.now
	}
}

// finish writes down what is known at the end of the run only.
func (r *recorder) finish() {
	w := r.world
	for _, m := range w.members {
		r.out.IDs = append(r.out.IDs, m.id)
	}
	for i, at := range r.faults {
		if at > 0 {
			f := &r.out.Faults[at-1]
			f.Felt = w.faults[i].felt + w.net.Felt(w.plan.Faults[i].ID)
		}
	}
	for _, k := range w.calls {
		r.call(k)
	}
	for _, c := range w.watchers {
		for _, k := range c.records {
			r.watch(c, k)
		}
	}
	if w.judged.Checker != "" {
		r.out.Picture = w.judged
		return
	}
	ops, commits := w.history()
	if bounded, err := linearizability.Bound(ops, commits); err == nil {
		r.out.Picture = linearizability.Picture(bounded)
	}
}

func (r *recorder) call(k *call) {
	c := CallRecord{Number: k.number, Client: r.world.clients[k.client].endpoint(),
		Text: k.describe(), Sent: k.sent, Ended: -1, Member: k.member, Tries: k.tries,
		Revision: k.revision, Effective: k.effective, EffectiveAt: k.appliedAt}
	switch k.end {
	case callAnswered:
		c.Ended, c.End, c.Answered, c.Member = k.ended, k.code.Text(), true, k.answerer
		if k.code == kv.OK {
			c.End = "ok"
			c.Answer = shortened(k.response.Text())
			if c.Revision == 0 {
				c.Revision = k.response.Revision()
			}
		} else {
			c.Failed = true
		}
	case callLost:
		c.Ended, c.End, c.Failed = k.ended, "no answer: its outcome is unknown", true
	default:
		c.End = "still waits"
	}
	r.out.Calls = append(r.out.Calls, c)
}

func (r *recorder) watch(c *watcher, k *record) {
	out := WatchRecord{Client: r.world.watchEndpoint(c.index), Member: k.conn.member,
		Stream: k.conn.number, ID: k.id, Text: k.Request.String(), Start: k.Request.StartRevision}
	for i := range k.Seen {
		s := &k.Seen[i]
		out.Seen = append(out.Seen, SeenRecord{At: s.Time, WatchResponse: digestWatch(s.Response)})
	}
	r.out.Watches = append(r.out.Watches, out)
}
