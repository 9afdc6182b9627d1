package sim

import (
	"slices"
	"strings"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// The ledger of promises knows, for every member, what a restart after a power loss at this very
// moment is sure to find in its log. It learns that by reading the log's writes as they pass to the
// disk: a record counts once the file that holds it was synced and the file's name is durable. So
// whoever acknowledges an entry or grants a vote can be asked whether it may.
//
// It trusts the simulated disk to report what became durable, and the log's record format; it does
// not trust the log's own idea of what is durable, nor raft's.
type ledger struct {
	world   *world
	members []memberLedger
	votes   map[ballot]raft.MemberID // durable votes, for ever
}

// ballot is one member's vote in one term.
type ballot struct {
	term  raft.Term
	voter int
}

type memberLedger struct {
	lives   map[string]uint64 // by file name: the life in the header
	files   []ledgerFile
	durable logView
	// trail lists the durable records that no later durable record vouches for yet, covered is what
	// the last one that has such a witness promised.
	trail   []promise
	covered promise
	found   raft.Index // applied in the state that the latest start found
}

// promise is what a log holds after one of its records.
type promise struct {
	position wal.Position
	last     raft.Index
	hard     raft.HardState
}

// ledgerFile is what was written to one file and is not sure to survive yet.
type ledgerFile struct {
	name   string
	named  bool // its name is durable
	groups []group
}

// group is the content of one write.
type group struct {
	ticket  diskio.Ticket
	stage   stage
	records []ledgerRecord
	data    []byte // as the process gave it, which is only sure until it is synced
	offset  int64
}

// stage says how far a write has come.
type stage uint8

const (
	submitted stage = iota
	written
	synced
)

// ledgerRecord is a decoded record, reduced to what promises are about.
type ledgerRecord struct {
	kind        wal.RecordType
	hard        raft.HardState
	first       raft.Index // of marks; the last index before the segment in a start
	marks       []entryMark
	snapshot    raft.Index
	snapTerm    raft.Term
	incarnation raft.Incarnation
	position    wal.Position
	synced      wal.Position
}

// logView is a log reduced to marks: the entries after base.
type logView struct {
	base     raft.Index
	baseTerm raft.Term
	marks    []entryMark
	hard     raft.HardState
}

func (v *logView) last() raft.Index { return v.base + raft.Index(len(v.marks)) }

// holds says whether the view covers index i with an entry of term.
func (v *logView) holds(i raft.Index, term raft.Term) bool {
	if i <= v.base {
		return true
	}
	return i <= v.last() && v.marks[i-v.base-1].term == term
}

func (v *logView) apply(r *ledgerRecord) {
	v.hard = r.hard
	switch r.kind {
	case wal.RecordStart:
		v.cut(r.first)
		if r.first > v.last() || r.snapshot > v.last() {
			v.base, v.baseTerm, v.marks = max(r.first, r.snapshot), r.snapTerm, v.marks[:0]
		}
	case wal.RecordSnapshot:
		v.base, v.baseTerm, v.marks = r.snapshot, r.snapTerm, v.marks[:0]
	case wal.RecordBatch:
		v.cut(r.first - 1)
		v.marks = append(v.marks, r.marks...)
	}
}

// cut drops what follows index i.
func (v *logView) cut(i raft.Index) {
	if i < v.base {
		v.base, v.marks = i, v.marks[:0]
	} else if i < v.last() {
		v.marks = v.marks[:i-v.base]
	}
}

func newLedger(w *world) ledger {
	l := ledger{world: w, votes: make(map[ballot]raft.MemberID)}
	l.members = make([]memberLedger, w.plan.Members)
	for i := range l.members {
		l.members[i].lives = make(map[string]uint64)
	}
	return l
}

func isLogFile(name string) bool { return strings.HasPrefix(name, "log/") }

// submitted reads a write on its way to the disk.
func (l *ledger) submitted(m *member, op *diskio.Op) {
	if op.Kind != diskio.Write || !isLogFile(op.File) {
		return
	}
	ml := &l.members[m.index]
	if op.Offset == 0 {
		h, err := wal.DecodeHeader(op.Data)
		if err != nil {
			l.world.fail(OracleCodec, "member %d writes a log header that does not decode: %v",
				m.index, err)
			return
		}
		ml.lives[op.File] = h.Life
		return
	}
	g := group{ticket: op.Ticket, data: op.Data, offset: op.Offset}
	err := wal.DecodeBatch(ml.lives[op.File], op.Data, func(r wal.Record) error {
		g.records = append(g.records, reduce(&r))
		for i := range r.Entries {
			l.world.oracle.noted(m, &r.Entries[i])
		}
		return nil
	})
	if err != nil {
		l.world.fail(OracleCodec, "member %d writes log records that do not decode: %v", m.index,
			err)
		return
	}
	f := ml.file(op.File)
	f.groups = append(f.groups, g)
}

func reduce(r *wal.Record) ledgerRecord {
	lr := ledgerRecord{kind: r.Type, hard: r.Hard, incarnation: r.Incarnation, first: r.Last,
		position: r.Position, synced: r.Synced,
		snapshot: r.Snapshot.Index, snapTerm: r.Snapshot.Term}
	if len(r.Entries) > 0 {
		lr.first = r.Entries[0].Index
		lr.marks = make([]entryMark, len(r.Entries))
		for i := range r.Entries {
			lr.marks[i] = markEntry(&r.Entries[i])
		}
	}
	return lr
}

// file returns the record of a file; an unknown one has no durable name yet.
func (ml *memberLedger) file(name string) *ledgerFile {
	for i := range ml.files {
		if ml.files[i].name == name {
			return &ml.files[i]
		}
	}
	ml.files = append(ml.files, ledgerFile{name: name})
	return &ml.files[len(ml.files)-1]
}

// performed follows an operation that the disk has carried out.
func (l *ledger) performed(m *member, op *diskio.Op, status diskio.Status) {
	ml := &l.members[m.index]
	if op.Kind == diskio.SyncDir && status == diskio.OK {
		if op.File == "log" {
			for i := range ml.files {
				ml.files[i].named = true
				l.settle(m.index, &ml.files[i])
			}
		}
		return
	}
	if !isLogFile(op.File) {
		return
	}
	switch op.Kind {
	case diskio.Write, diskio.Sync:
		f := ml.file(op.File)
		f.advance(op, status)
		l.settle(m.index, f)
	case diskio.Rename:
		ml.files = slices.DeleteFunc(ml.files, func(f ledgerFile) bool { return f.name == op.To })
		f := ml.file(op.File)
		f.name, f.named = op.To, false
		ml.lives[op.To] = ml.lives[op.File]
	case diskio.Remove:
		ml.files = slices.DeleteFunc(ml.files, func(f ledgerFile) bool { return f.name == op.File })
	}
}

func (f *ledgerFile) advance(op *diskio.Op, status diskio.Status) {
	if op.Kind == diskio.Sync && status == diskio.Failed {
		// What a failed sync was to keep may be gone for ever, whatever later syncs say.
		f.groups = slices.DeleteFunc(f.groups, func(g group) bool { return g.stage == written })
		return
	}
	if status != diskio.OK {
		return
	}
	for i := range f.groups {
		g := &f.groups[i]
		switch {
		case op.Kind == diskio.Write && g.stage == submitted && g.ticket == op.Ticket:
			g.stage = written
		case op.Kind == diskio.Sync && g.stage == written:
			g.stage = synced
		}
	}
}

// settle moves what has become durable into the member's view. A file that is still being prepared
// is none that a restart would read.
func (l *ledger) settle(member int, f *ledgerFile) {
	if strings.HasSuffix(f.name, ".new") {
		return
	}
	ml := &l.members[member]
	for f.named && len(f.groups) > 0 && f.groups[0].stage == synced {
		for i := range f.groups[0].records {
			r := &f.groups[0].records[i]
			ml.durable.apply(r)
			ml.cover(r)
			l.vote(member, r.hard)
		}
		f.groups = f.groups[1:]
	}
}

// cover follows which records have a witness: a later one that was issued when they were durable.
// Damage to a record without one cannot be told from a write that was torn.
func (ml *memberLedger) cover(r *ledgerRecord) {
	last := ml.durable.last()
	ml.covered.last = min(ml.covered.last, last)
	if r.kind == wal.RecordStart { // it replaces what had its position and higher ones
		ml.trail = slices.DeleteFunc(ml.trail, func(p promise) bool {
			return p.position >= r.position
		})
	}
	for len(ml.trail) > 0 && ml.trail[0].position <= r.synced {
		ml.covered = ml.trail[0]
		ml.trail = ml.trail[1:]
	}
	for i := range ml.trail {
		ml.trail[i].last = min(ml.trail[i].last, last)
	}
	ml.trail = append(ml.trail, promise{position: r.position, last: last, hard: r.hard})
}

// memory says how a restarted member's log compares with what was durable.
type memory uint8

const (
	whole   memory = iota
	forgets        // it lacks something that no later record vouched for
)

// remembers judges a damaged member's log. What has a witness must be there, or the start must have
// been refused; what has none may be missing, and then the member is no better than one whose disk
// lied: nobody but its peers can know, so the budget counts it as lost.
func (l *ledger) remembers(m *member, s *kv.State) memory {
	d, c, r := &l.members[m.index].durable, &l.members[m.index].covered, &s.Raft
	if l.overruled(d, r) {
		d.cut(r.Last)
	}
	if !m.liar && (r.Term < c.hard.Term || r.Last < min(c.last, d.last()) &&
		d.holds(s.Applied, l.world.oracle.commit.termAt(s.Applied))) {
		l.world.fail(OracleDurable, "member %d, damaged, restarts in term %d with a log that ends "+
			"at %d, though term %d and entries up to %d were known to be durable", m.index, r.Term,
			r.Last, c.hard.Term, c.last)
	}
	if r.Term < d.hard.Term || r.Term == d.hard.Term && d.hard.Vote != 0 &&
		r.Vote != d.hard.Vote || r.Last < d.last() {
		return forgets
	}
	return whole
}

// vote notes a durable vote, which can never change.
func (l *ledger) vote(member int, hard raft.HardState) {
	if hard.Vote == 0 {
		return
	}
	b := ballot{term: hard.Term, voter: member}
	if before, ok := l.votes[b]; ok && before != hard.Vote {
		l.world.fail(OracleRaft, "member %d votes for %s in term %d, and had voted for %s", member,
			hard.Vote, hard.Term, before)
	}
	l.votes[b] = hard.Vote
}

// crashed forgets what had not become durable: a restart may or may not find it, and rewrites what
// it found.
func (l *ledger) crashed(m *member) {
	ml := &l.members[m.index]
	ml.files = slices.DeleteFunc(ml.files, func(f ledgerFile) bool { return !f.named })
	for i := range ml.files {
		f := &ml.files[i]
		for k := range f.groups {
			if f.groups[k].stage != synced {
				l.world.probes.crashedWrite(m, f.name, ml.durable.hard, &f.groups[k])
			}
		}
		f.groups = nil
	}
}

// reopened compares what a restart found with what it had to find.
func (l *ledger) reopened(m *member, s *kv.State) {
	d := &l.members[m.index].durable
	r := &s.Raft
	if r.Term < d.hard.Term || r.Term == d.hard.Term && d.hard.Vote != 0 && r.Vote != d.hard.Vote {
		l.world.fail(OracleDurable,
			"member %d restarts in term %d with a vote for %s; term %d and the "+
				"vote for %s were durable", m.index, r.Term, r.Vote, d.hard.Term, d.hard.Vote)
	}
	if l.overruled(d, r) {
		d.cut(r.Last)
	}
	// A log that does not hold the state's last entry was replaced by the state of a snapshot.
	if r.Last < d.last() && d.holds(s.Applied, l.world.oracle.commit.termAt(s.Applied)) {
		l.world.fail(OracleDurable,
			"member %d restarts in term %d with a log that ends at %d; entries up to %d, of "+
				"term %d, were durable", m.index, r.Term, r.Last, d.last(),
			d.marks[len(d.marks)-1].term)
	}
}

// reaches is the last index that a member may acknowledge. A start that found a state ahead of its
// log may answer for that state before the log's marker is durable; from then on it must be found.
func (l *ledger) reaches(m *member, i raft.Index) raft.Index {
	ml := &l.members[m.index]
	d := &ml.durable
	if i > d.last() && i <= ml.found {
		d.base, d.baseTerm, d.marks = ml.found, l.world.oracle.commit.termAt(ml.found), d.marks[:0]
	}
	return d.last()
}

// overruled says whether the tail that a restarted log lacks conflicts with the leader of its term,
// in its first entry or in the one before, which that leader has replaced together with all that
// followed. Such a tail may go before what replaces it is durable, as when a write that begins with
// the cut is torn: nothing in it can ever be committed, and its promise was made to an earlier
// leader.
func (l *ledger) overruled(d *logView, r *raft.Status) bool {
	for i := r.Last; i <= min(r.Last+1, d.last()); i++ {
		if term, known := l.world.oracle.leaderTermAt(r.Term, i); known && !d.holds(i, term) {
			return true
		}
	}
	return false
}

// copies counts the members whose durable log holds the entry at an index.
func (l *ledger) copies(i raft.Index, term raft.Term) int {
	n := 0
	for k := range l.members {
		if l.members[k].durable.holds(i, term) {
			n++
		}
	}
	return n
}
