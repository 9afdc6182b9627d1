package wal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

// The obvious twin of the log: every state that was ever issued, whole. After any crash the log
// must come back as one of them, at least as new as the newest whose ticket was reported durable.

// twinState is the log after one Append.
type twinState struct {
	ticket   raft.Ticket
	part     bool // only a part of the ticket's Append
	hard     raft.HardState
	snapshot raft.Snapshot
	entries  []raft.Entry // from snapshot.Index+1 on
}

func (s *twinState) last() raft.Index {
	return s.snapshot.Index + raft.Index(len(s.entries))
}

func (s *twinState) entry(i raft.Index) *raft.Entry {
	return &s.entries[i-s.snapshot.Index-1]
}

func (s *twinState) term(i raft.Index) raft.Term {
	if i == s.snapshot.Index {
		return s.snapshot.Term
	}
	return s.entry(i).Term
}

// after is the state that a makes of s when only its first n entries are written.
func (s *twinState) after(a *raft.Append, n int) twinState {
	next := *s
	next.ticket, next.part, next.hard = a.Ticket, false, a.Hard
	if a.Snapshot.Index != 0 {
		next.snapshot, next.entries = a.Snapshot, nil
	}
	if n > 0 {
		keep := a.Entries[0].Index - next.snapshot.Index - 1
		next.entries = append(slices.Clone(next.entries[:keep]), a.Entries[:n]...)
	}
	return next
}

// world is a log on a simulated disk, with its twin.
type world struct {
	t    require.TestingT
	disk *simdisk.Disk
	opt  Options
	log  *Log
	ops  []diskio.Op

	states   []twinState // the issued ones that may come back, oldest first
	known    int         // states[known] is durable for sure
	adopted  int         // states[adopted] is what this start recovered
	ticket   raft.Ticket
	started  raft.Incarnation // of the newest Start
	ready    raft.Incarnation // of the newest one that became durable
	term     raft.Term        // highest used
	leads    bool             // may create entries of term
	floor    raft.Index
	fetches  map[diskio.Ticket][2]raft.Index
	fetchSeq diskio.Ticket
	issued   []diskio.Op // without their data
	recorded []string
}

func newWorld(t require.TestingT, opt Options, sim simdisk.Options) *world {
	w := &world{t: t, opt: opt, disk: simdisk.New(sim), states: make([]twinState, 1),
		fetches: map[diskio.Ticket][2]raft.Index{}}
	w.open()
	return w
}

func smallOptions() Options {
	return Options{Dir: "wal", SegmentBytes: 8 << 10, MaxBatch: 2 << 10, KeepBytes: 1 << 10,
		Cluster: 0xc1, Member: 0xa1, TicketBase: 1 << 40}
}

// open recovers from the disk, compares with the twin and starts the next incarnation.
func (w *world) open() {
	log, rec, err := Open(w.disk, w.opt)
	require.NoError(w.t, err)
	w.adopted = w.judge(&rec)
	w.states = w.states[:w.adopted+1]
	if rec.Hard != w.state().hard {
		clamped := *w.state()
		clamped.hard = rec.Hard
		w.states = append(w.states, clamped)
		w.adopted++
	}
	w.log = log
	clear(w.fetches)
	w.leads = false
	w.started = rec.Incarnation + 1
	log.Start(w.started)
	w.flush()
}

func sameEntry(a, b raft.Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Type == b.Type && a.Time == b.Time &&
		a.Proposer == b.Proposer && a.Incarnation == b.Incarnation && a.Sequence == b.Sequence &&
		string(a.Data) == string(b.Data)
}

// judge finds the state that was recovered among the permitted ones.
func (w *world) judge(rec *Recovered) int {
	require.LessOrEqual(w.t, w.ready, rec.Incarnation)
	require.GreaterOrEqual(w.t, w.started, rec.Incarnation)
	var reasons []error
	for i := len(w.states) - 1; i >= w.known; i-- {
		err := w.compare(rec, &w.states[i])
		if err == nil {
			return i
		}
		reasons = append(reasons, fmt.Errorf("ticket %d: %w", w.states[i].ticket, err))
	}
	require.NoError(w.t, errors.Join(reasons...), "recovered %+v, durable ticket %d", rec,
		w.states[w.known].ticket)
	return -1
}

// compare says in what rec is not s.
func (w *world) compare(rec *Recovered, s *twinState) error {
	commit := max(min(s.hard.Commit, s.last()), s.snapshot.Index)
	switch {
	case rec.Hard.Term != s.hard.Term || rec.Hard.Vote != s.hard.Vote || rec.Hard.Commit != commit:
		return fmt.Errorf("hard state %+v, expected %+v", rec.Hard, s.hard)
	case rec.Last != s.last():
		return fmt.Errorf("last entry %d, expected %d", rec.Last, s.last())
	case rec.Snapshot.Index != s.snapshot.Index || rec.Snapshot.Term != s.snapshot.Term ||
		!slices.Equal(rec.Snapshot.Config.Voters, s.snapshot.Config.Voters):
		return fmt.Errorf("snapshot %+v, expected %+v", rec.Snapshot, s.snapshot)
	case rec.First <= s.snapshot.Index || rec.First > max(w.floor, s.snapshot.Index+1):
		return fmt.Errorf("first entry %d, snapshot %d, floor %d", rec.First, s.snapshot.Index,
			w.floor)
	}
	var configs []raft.Entry
	run := -1
	for i := rec.First; i <= rec.Last; i++ {
		for run+1 < len(rec.Runs) && rec.Runs[run+1].First <= i {
			run++
		}
		if run < 0 || rec.Runs[run].Term != s.term(i) {
			return fmt.Errorf("term runs %v do not give entry %d term %d", rec.Runs, i, s.term(i))
		}
		if e := s.entry(i); e.Type == raft.EntryConfig {
			configs = append(configs, *e)
		}
	}
	if run != len(rec.Runs)-1 || run >= 0 && rec.Runs[0].First != rec.First {
		return fmt.Errorf("term runs %v of entries %d..%d", rec.Runs, rec.First, rec.Last)
	}
	if !slices.EqualFunc(configs, rec.Configs, sameEntry) {
		return fmt.Errorf("configs %v, expected %v", rec.Configs, configs)
	}
	if n := len(rec.Entries); n > 0 {
		tail := s.entries[max(0, len(s.entries)-n):]
		if rec.Entries[n-1].Index != rec.Last || !slices.EqualFunc(tail, rec.Entries, sameEntry) {
			return fmt.Errorf("entries %v, expected %v", rec.Entries, tail)
		}
	}
	return nil
}

func (w *world) state() *twinState { return &w.states[len(w.states)-1] }

func (w *world) append(a raft.Append) {
	w.ticket++
	a.Ticket = w.ticket
	prev := *w.state()
	// A large append may be torn between its records.
	for n := range a.Entries {
		if n > 0 || a.Snapshot.Index != 0 {
			w.states = append(w.states, prev.after(&a, n))
			w.state().part = true
		}
	}
	w.states = append(w.states, prev.after(&a, len(a.Entries)))
	w.log.Append(a)
	w.recorded = append(w.recorded, fmt.Sprintf("\n append %d: snapshot %d, %d entries to %d", a.Ticket,
		a.Snapshot.Index, len(a.Entries), w.state().last()))
	w.flush()
}

func (w *world) flush() {
	w.ops = w.log.Flush(w.ops[:0])
	for _, op := range w.ops {
		w.recorded = append(w.recorded, fmt.Sprintf("\n%d %v", op.Lane, op))
		w.disk.Submit(op)
		w.issued = append(w.issued, op)
	}
}

// step lets one lane's device finish an operation; false if there is none.
func (w *world) step(lane diskio.Lane) bool {
	if _, ok := w.disk.Begin(lane); !ok {
		return false
	}
	c := w.disk.Finish(lane)
	w.recorded = append(w.recorded, fmt.Sprintf("\n   done %d %v %s %v", lane, c.Kind, c.File, c.Status))
	w.complete(c)
	return true
}

func (w *world) complete(c diskio.Completion) {
	if bounds, ok := w.fetches[c.Ticket]; ok {
		delete(w.fetches, c.Ticket)
		w.fetched(c, bounds)
		return
	}
	wasReady := w.log.Ready()
	ticket, err := w.log.Complete(c)
	require.NoError(w.t, err)
	if !wasReady && w.log.Ready() {
		w.ready = w.started
		w.known = max(w.known, w.adopted)
	}
	if ticket > 0 {
		w.know(ticket)
		require.LessOrEqual(w.t, w.log.Durable(), w.state().last())
	}
	w.flush()
}

func (w *world) know(ticket raft.Ticket) {
	for i := range w.states {
		if w.states[i].ticket <= ticket && !w.states[i].part {
			w.known = max(w.known, i)
		}
	}
}

func (w *world) fetch(lo, hi raft.Index, maxBytes int) {
	w.fetchSeq++
	op, ok := w.log.Fetch(w.fetchSeq, lo, hi, maxBytes)
	if !ok {
		return
	}
	w.fetches[w.fetchSeq] = [2]raft.Index{lo, hi}
	w.disk.Submit(op)
}

func (w *world) fetched(c diskio.Completion, b [2]raft.Index) {
	entries, err := w.log.Fetched(c, b[0], b[1], 700)
	require.NoError(w.t, err)
	s := w.state()
	for i, e := range entries {
		require.Equal(w.t, b[0]+raft.Index(i), e.Index)
		if e.Index > s.snapshot.Index && e.Index <= s.last() {
			require.True(w.t, sameEntry(*s.entry(e.Index), e), "entry %d of term %d\n%v",
				e.Index, e.Term, w.recorded)
		}
	}
	w.flush()
}

func (w *world) drain() {
	for w.step(diskio.LaneLog) || w.step(diskio.LaneBulk) {
	}
}

// peek opens a copy of the disk as a power loss now would leave it and judges what is found.
func (w *world) peek(kind simdisk.CrashKind, seed uint64) {
	image := w.disk.Clone()
	image.Crash(kind, seed)
	_, rec, err := Open(image, w.opt)
	if err != nil {
		Walk(image, "wal", func(p Place, r Record) error {
			w.recorded = append(w.recorded, fmt.Sprintf("\nREC %v %+v", p, r))
			return nil
		})
	}
	require.NoError(w.t, err, "%v", w.recorded)
	w.judge(&rec)
}

// fetchAll reads every durable entry back, in as few pieces as the log gives.
func (w *world) fetchAll() {
	s := w.state()
	for i := max(w.floor, s.snapshot.Index) + 1; i <= w.log.Durable(); {
		w.fetchSeq++
		op, ok := w.log.Fetch(w.fetchSeq, i, s.last(), 700)
		require.True(w.t, ok, "entry %d of %d", i, w.log.Durable())
		w.disk.Submit(op)
		for w.disk.Queued(diskio.LaneBulk) > 1 {
			w.step(diskio.LaneBulk)
		}
		w.disk.Begin(diskio.LaneBulk)
		entries, err := w.log.Fetched(w.disk.Finish(diskio.LaneBulk), i, s.last(), 700)
		require.NoError(w.t, err)
		require.NotEmpty(w.t, entries)
		for k := range entries {
			require.True(w.t, sameEntry(*s.entry(i), entries[k]), "entry %d", i)
			i++
		}
	}
}

func drawEntries(t *rapid.T, first raft.Index, term raft.Term) []raft.Entry {
	var entries []raft.Entry
	for range rapid.IntRange(1, 5).Draw(t, "entries") {
		e := raft.Entry{Term: term, Index: first + raft.Index(len(entries)),
			Type: raft.EntryNormal, Proposer: 1, Incarnation: 2, Sequence: 3, Time: 4}
		if rapid.IntRange(0, 9).Draw(t, "config") == 0 {
			e.Type = raft.EntryConfig
		}
		n := rapid.SampledFrom([]int{1, 20, 300, 2500}).Draw(t, "size")
		e.Data = make([]byte, n)
		for i := range e.Data {
			e.Data[i] = byte(uint64(e.Index)*7 + uint64(term)*31 + uint64(i))
		}
		entries = append(entries, e)
	}
	return entries
}

func (w *world) randomAppend(t *rapid.T) {
	s := w.state()
	a := raft.Append{Hard: s.hard, MustSync: true}
	last := s.last()
	switch rapid.IntRange(0, 9).Draw(t, "append") {
	case 0:
		w.term, w.leads = w.term+1, false
		a.Hard.Term = w.term
		a.Hard.Vote = raft.MemberID(rapid.Uint64Range(0, 3).Draw(t, "vote"))
	case 1:
		a.MustSync = false
		a.Hard.Commit = raft.Index(rapid.Uint64Range(uint64(s.hard.Commit),
			uint64(last)).Draw(t, "commit"))
	case 2:
		a.Snapshot = raft.Snapshot{Index: last + raft.Index(rapid.Uint64Range(0, 9).Draw(t, "jump")),
			Term: s.hard.Term, Config: raft.Config{Voters: []raft.MemberID{1, 2}}}
		if a.Snapshot.Index == 0 {
			a.Snapshot = raft.Snapshot{}
		}
		last = max(last, a.Snapshot.Index)
		a.Hard.Commit = max(a.Hard.Commit, a.Snapshot.Index)
	default:
		first, low := last+1, max(s.hard.Commit, s.snapshot.Index)+1
		cut := low < first && rapid.IntRange(0, 3).Draw(t, "cut") == 0
		if cut {
			first = raft.Index(rapid.Uint64Range(uint64(low), uint64(first)).Draw(t, "from"))
		}
		// An index and a term name one entry for ever.
		if cut || !w.leads || rapid.IntRange(0, 2).Draw(t, "term") == 0 {
			w.term, w.leads = w.term+1, true
		}
		a.Hard.Term = w.term
		a.Entries = drawEntries(t, first, w.term)
		last = a.Entries[len(a.Entries)-1].Index
		a.Hard.Commit = min(a.Hard.Commit+raft.Index(rapid.IntRange(0, 3).Draw(t, "move")), last)
	}
	w.append(a)
}

func TestTwinUnderCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := smallOptions()
		opt.SegmentBytes = rapid.SampledFrom([]int64{2 << 10, 8 << 10, 16 << 10}).Draw(t, "segment")
		sector := rapid.SampledFrom([]int{512, 4096}).Draw(t, "sector")
		opt.SegmentBytes = max(opt.SegmentBytes, int64(2*sector))
		w := newWorld(t, opt, simdisk.Options{Seed: 1, Sector: sector})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0, 1, 2:
				w.randomAppend(t)
			case 3:
				w.log.Mark()
				w.flush()
			case 4:
				s := w.state()
				if s.hard.Commit > 0 {
					w.floor = max(w.floor, raft.Index(rapid.Uint64Range(0,
						uint64(s.hard.Commit)).Draw(t, "floor")))
					w.log.Compact(w.floor)
				}
			case 5:
				if last := uint64(w.state().last()); last > 0 && w.log.Ready() {
					lo := rapid.Uint64Range(1, last).Draw(t, "lo")
					w.fetch(raft.Index(lo), raft.Index(last), 700)
				}
			case 6, 7:
				for range rapid.IntRange(1, 8).Draw(t, "device") {
					w.step(rapid.SampledFrom([]diskio.Lane{diskio.LaneLog,
						diskio.LaneBulk}).Draw(t, "lane"))
					w.peek(simdisk.PowerLoss, rapid.Uint64().Draw(t, "seed"))
				}
			case 8:
				w.drain()
				if w.log.Ready() { // a start on a full disk waits
					w.fetchAll()
				}
				w.peek(simdisk.PowerLoss, rapid.Uint64().Draw(t, "seed"))
			case 9:
				kind := rapid.SampledFrom([]simdisk.CrashKind{simdisk.ProcessCrash,
					simdisk.PowerLoss}).Draw(t, "crash")
				w.disk.Begin(diskio.LaneLog)
				w.disk.Begin(diskio.LaneBulk)
				w.recorded = append(w.recorded, fmt.Sprintf("\nCRASH %d", kind))
				w.disk.Crash(kind, rapid.Uint64().Draw(t, "seed"))
				w.open()
			case 10:
				w.randomRoom(t)
			}
		}
		w.disk.SetCapacity(0)
		w.log.Retry()
		w.flush()
		w.drain()
		require.Equal(t, w.state().last(), w.log.Durable(), "what has waited for room is written")
	})
}

// randomRoom fills the disk, or gives it room again. Only a segment that holds every entry may meet
// a full disk; kv sees to that.
func (w *world) randomRoom(t *rapid.T) {
	room := rapid.SampledFrom([]int64{0, 1, 3000, 20_000}).Draw(t, "room")
	switch {
	case room == 0:
		w.disk.SetCapacity(0)
		w.log.Retry()
	case w.opt.SegmentBytes >= 16<<10 || w.opt.SegmentBytes >= 8<<10 && w.disk.SectorSize() == 512:
		w.disk.SetCapacity(w.disk.Used() + room)
	}
	w.flush()
}
