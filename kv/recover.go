// What a start does: read the disk, join what it holds, and say what must be durable first.
//
// A start has four shapes. A first start finds nothing: it makes the initial members the state at
// index 1, checkpoints that, and begins the log after it; every initial member does the same, so
// all logs join at index 1. The first start of a member that was added to a cluster makes no state;
// until a leader has shipped it one, its state is that of index 0, which no log begins after. An
// ordinary start finds a manifest and a log that holds the entries after it. A start after a crash
// in a snapshot's installation finds a manifest ahead of the log: the manifest came first, so the
// log's entries are obsolete; its term and vote are not.
//
// Everything else is damage, and the node refuses: one of the two is missing, the log begins after
// the manifest's index, it ends before an index that this member itself checkpointed, or its
// marker names a state that is gone.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// The ticket spaces keep apart the completions of those who share the disk.
const (
	ticketLog   diskio.Ticket = 1 << 60
	ticketStore diskio.Ticket = 2 << 60
	ticketFetch diskio.Ticket = 4 << 60

	ticketReserve diskio.Ticket = 3 << 60
	ticketSpace   diskio.Ticket = 7 << 60
)

// Directories of the log and of the engine.
const (
	logDir  = "log"
	dataDir = "data"
)

// bootstrapIndex is the index, of bootstrapTerm, at which the initial members are the state.
const (
	bootstrapIndex raft.Index = 1
	bootstrapTerm  raft.Term  = 1
)

// Open reads what the disk holds and returns a node ready for its first step. An error names what
// is wrong with the disk; a *wal.DamageError or *mvcc.DamageError says exactly what is damaged.
// Nothing is written: what must be is in the effects of the first step.
func Open(cfg Config, disk diskio.Reader) (*Node, error) {
	n := &Node{cfg: cfg, disk: disk, state: newReplicated(),
		release: releaseOf(cfg.Version), storedVersion: firstRelease,
		checkpointVersion: firstRelease}
	store, loaded, err := mvcc.Open(disk, storeOptions(&cfg.Limits))
	if err != nil {
		return nil, fmt.Errorf("kv: open the data of member %s: %w", cfg.Member, err)
	}
	log, rec, err := wal.Open(disk, wal.Options{
		Dir: logDir, MaxBatch: 4 << 20,
		// No entry makes a segment longer: what is prepared is all that an append needs.
		SegmentBytes: max(cfg.Limits.LogSegmentBytes, int64(cfg.Limits.MaxRequestBytes)+16<<10),
		KeepBytes:    cfg.Limits.LogMemoryBytes, Cluster: cfg.Cluster, Member: cfg.Member,
		Nonce: cfg.Seed, TicketBase: ticketLog,
	})
	if err != nil {
		return nil, fmt.Errorf("kv: open the log of member %s: %w", cfg.Member, err)
	}
	n.store, n.log = store, log
	n.findReserve()
	n.startWatching()
	n.incarnation = rec.Incarnation + 1
	switch {
	case loaded.Empty && !rec.Empty:
		return nil, fmt.Errorf("kv: member %s has a log but no data: directory %q is missing "+
			"or was emptied", cfg.Member, dataDir)
	case !loaded.Empty && rec.Empty && loaded.Checkpoint.Applied > uint64(bootstrapIndex):
		return nil, fmt.Errorf("kv: member %s has data but no log: directory %q is missing or "+
			"was emptied, and with it this member's votes", cfg.Member, logDir)
	case loaded.Empty && cfg.Start == Seclude:
		return nil, n.nothingToSeclude()
	case loaded.Empty && cfg.Start == Join:
		n.await()
		return n, nil
	case loaded.Empty:
		n.bootstrap()
		return n, nil
	}
	if n.state, err = decodeReplicated(loaded.Checkpoint.State); err != nil {
		return nil, err
	}
	if words := n.leftBehind(); words != "" {
		return nil, fmt.Errorf("kv: %s", words)
	}
	n.storedVersion = atLeastFirst(n.state.version)
	n.checkpointVersion = n.storedVersion
	n.applied = raft.Index(loaded.Checkpoint.Applied)
	n.appliedTerm = raft.Term(loaded.Checkpoint.Term)
	if err := n.join(rec, &loaded); err != nil {
		return nil, err
	}
	n.ignored = loaded.Ignored
	if cfg.Start == Seclude {
		return n, n.seclude()
	}
	return n, nil
}

// bootstrap makes the initial members the state at bootstrapIndex.
func (n *Node) bootstrap() {
	n.applied, n.appliedTerm = bootstrapIndex, bootstrapTerm
	n.state.found(n.cfg.Members)
	n.store.StartCheckpoint(n.checkpoint())
	n.restartLog(raft.HardState{})
}

// await makes a member that joins a cluster out of an empty disk: it knows nobody, holds nothing
// and waits for a leader, from whom it gets its first state as a snapshot. The checkpoint of that
// nothing tells a later start that its log was not orphaned.
func (n *Node) await() {
	n.store.StartCheckpoint(n.checkpoint())
	n.newRaft(raft.HardState{}, wal.Recovered{})
}

// join continues from a checkpoint and the log beside it.
func (n *Node) join(rec wal.Recovered, loaded *mvcc.Loaded) error {
	first := rec.Snapshot.Index + 1 // of the entries that the log holds
	if len(rec.Runs) > 0 {
		first = rec.Runs[0].First
	}
	if rec.Snapshot.Index > n.applied {
		return fmt.Errorf("kv: the log says that the state at index %d was installed, but the "+
			"newest data is at index %d", rec.Snapshot.Index, n.applied)
	}
	term, known := termAt(rec, n.applied)
	joins := known && term == n.appliedTerm
	n.noteStart(&rec, loaded, joins)
	if rec.Last > n.applied && first > n.applied+1 {
		return fmt.Errorf("kv: the log begins at index %d, but the data ends at index %d: "+
			"entries between them are lost", first, n.applied)
	}
	if !joins && loaded.Previous != 0 {
		// Only a snapshot's installation, whose generation has no predecessor, may outrun the log.
		return fmt.Errorf("kv: the log ends at index %d, but the data was checkpointed at index "+
			"%d of term %d: entries that were durable are lost", rec.Last, n.applied,
			n.appliedTerm)
	}
	if !joins {
		n.restartLog(rec.Hard)
		return nil
	}
	hard := rec.Hard
	hard.Commit = min(max(hard.Commit, n.applied), max(rec.Last, n.applied))
	n.newRaft(hard, rec)
	return nil
}

// restartLog begins the log anew after the checkpoint: there is none yet, or the installation of a
// snapshot was cut short. Term and vote are kept.
func (n *Node) restartLog(hard raft.HardState) {
	if n.appliedTerm > hard.Term {
		hard.Term, hard.Vote = n.appliedTerm, 0
	}
	hard.Commit = n.applied
	n.marker = raft.Append{Hard: hard, Snapshot: n.snapshot(), MustSync: true}
	n.newRaft(hard, wal.Recovered{})
}

// snapshot names the node's state as of the applied index.
func (n *Node) snapshot() raft.Snapshot {
	return raft.Snapshot{Index: n.applied, Term: n.appliedTerm, Config: n.state.config}
}

// termAt returns the term of an index that the recovered log knows.
func termAt(rec wal.Recovered, i raft.Index) (raft.Term, bool) {
	if i == rec.Snapshot.Index && i != 0 {
		return rec.Snapshot.Term, true
	}
	if i > rec.Last || len(rec.Runs) == 0 || i < rec.Runs[0].First {
		return 0, false
	}
	var term raft.Term
	for _, run := range rec.Runs {
		if run.First <= i {
			term = run.Term
		}
	}
	return term, true
}

// newRaft starts raft on the log's part after the applied index. What precedes that stays in the
// log's files until it is compacted, but a follower that needs it gets a snapshot.
func (n *Node) newRaft(hard raft.HardState, rec wal.Recovered) {
	st := raft.Restored{Hard: hard, Snapshot: n.snapshot(), Applied: n.applied,
		Last: max(rec.Last, n.applied)}
	for i, run := range rec.Runs {
		end := rec.Last
		if i+1 < len(rec.Runs) {
			end = rec.Runs[i+1].First - 1
		}
		if end > n.applied {
			run.First = max(run.First, n.applied+1)
			st.Runs = append(st.Runs, run)
		}
	}
	for _, e := range rec.Configs {
		if e.Index > n.applied {
			st.Configs = append(st.Configs, e)
		}
	}
	for i := range rec.Entries {
		if rec.Entries[i].Index > n.applied {
			st.Entries = rec.Entries[i:]
			break
		}
	}
	n.compacted, n.checkpointApplied = n.applied, n.applied
	n.raft = raft.New(n.raftSettings(), st)
	n.proposals.next = 1
}

func (n *Node) raftSettings() raft.Settings {
	lim := &n.cfg.Limits
	return raft.Settings{
		ID: n.cfg.Member, Incarnation: n.incarnation, Seed: n.cfg.Seed,
		HeartbeatTicks: n.cfg.HeartbeatTicks, ElectionTicks: n.cfg.ElectionTicks,
		MaxMessageBytes: lim.MessageBytes, MaxInflightBytes: lim.InflightBytes,
		MaxInflightMessages: lim.InflightMessages, MaxLogBytes: lim.LogMemoryBytes,
		MaxUncommittedBytes: uncommittedFlights * lim.InflightBytes, MaxPendingReads: 256,
	}
}

// uncommittedFlights is how many times what one follower is sent ahead of its answers a leader
// takes beyond what is committed, and beyond what its own disk has.
const uncommittedFlights = 4

// start moves a start forward: from the durable checkpoint to the log, whose beginning may name
// it, and from the durable log to running.
func (n *Node) start() {
	if n.ignored != "" {
		n.note(Warn, "the disk has damaged an older manifest; the newest is whole",
			Field{"file", n.ignored})
		n.ignored = ""
	}
	if n.phase == loading && n.store.Ready() && !n.store.Checkpointing() {
		n.log.Start(n.incarnation)
		if n.marker.Snapshot.Index != 0 {
			n.log.Append(n.marker)
		}
		n.phase = recovering
	}
	if n.phase == recovering && n.log.Ready() {
		n.phase = running
		early := n.early
		n.early = nil
		for i := range early {
			n.request(&early[i])
		}
		n.watchEarly()
	}
}
