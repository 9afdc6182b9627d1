package sim

import (
	"bytes"
	"errors"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// Probes: the rare places that runs are meant to come by. Those of the members' processes are
// counted by these themselves; here are those that only the world can see, and the sum of all over
// a run. They are no part of the trace: a run is the same whatever is counted.

// worldProbe names a rare situation of the whole world.
type worldProbe uint8

const (
	probeTwoCrashes worldProbe = iota
	probeTornVote
	probeLostVote
	probeLeaderAppended
	probeInRecovery
	probeInCheckpoint
	probeInReceiving
	probeInInstalling
	probeInApplying
	probeRenameUnsynced
	probeNamesLost
	probeLieExposed
	probeAllDown
	probeTwoLeaders
	probeLogRefused
	probeDataRefused
	probeEndForgotten
	probeHaltView
	probeHaltDamage
	probeStreamResumed
	probeStreamCompacted
	numWorldProbes
)

var worldProbeNames = [numWorldProbes]string{
	probeTwoCrashes:      "two crashes of sender or receiver within one transfer of a snapshot",
	probeTornVote:        "write of a new vote torn",
	probeLostVote:        "crash while a new vote was on its way to the disk",
	probeLeaderAppended:  "leader crashed between its append and its commit",
	probeInRecovery:      "crash before what a start found was durable",
	probeInCheckpoint:    "crash inside a checkpoint",
	probeInReceiving:     "crash while a snapshot was received",
	probeInInstalling:    "crash while a received state was installed",
	probeInApplying:      "crash while an entry was half applied",
	probeRenameUnsynced:  "power lost between the rename of a manifest and its sync",
	probeNamesLost:       "power lost with names that were not synced",
	probeLieExposed:      "lie of a disk exposed by a loss of power",
	probeAllDown:         "all members down at once",
	probeTwoLeaders:      "member elected while another one still led in an older term",
	probeLogRefused:      "start refused: damage in the log below a witness",
	probeDataRefused:     "start refused: damage in the data",
	probeEndForgotten:    "damaged end of a log that nobody can tell from a torn write",
	probeHaltView:        "process stopped by damage that a view met",
	probeHaltDamage:      "process stopped by damage that it met itself",
	probeStreamResumed:   "range stream went on from another view",
	probeStreamCompacted: "range stream ended by a compaction after it was resumed",
}

// ProbeNames names all probes, in the order of Result.Probes.
func ProbeNames() []string {
	names := kv.ProbeNames()
	for _, name := range worldProbeNames {
		names = append(names, "world: "+name)
	}
	return names
}

// probed is what the world knows of probes.
type probed struct {
	world *world
	nodes []uint64 // of processes that have ended, in the order of kv.ProbeNames
	hits  [numWorldProbes]uint64
	// transfers are the snapshots on their way, by receiver.
	transfers []seenTransfer
	// renamed says of each member whether a manifest has its name since the last sync of names.
	renamed []bool
}

// seenTransfer is a snapshot on its way: from its first offer until its receiver has a state or
// follows the log, whoever sends it.
type seenTransfer struct {
	running bool
	sender  int
	crashes int
}

func newProbed(w *world) probed {
	return probed{world: w, nodes: make([]uint64, len(kv.ProbeNames())),
		transfers: make([]seenTransfer, w.plan.Members), renamed: make([]bool, w.plan.Members)}
}

// total is the sum over the run.
func (p *probed) total() []uint64 {
	for _, m := range p.world.members {
		if m.driver != nil {
			m.driver.Node.AddProbes(p.nodes)
		}
	}
	return append(p.nodes, p.hits[:]...)
}

// stopping looks at a process at the moment of its end.
func (p *probed) stopping(m *member) {
	if m.driver == nil {
		return
	}
	n := m.driver.Node
	n.AddProbes(p.nodes)
	if s := n.State(); s.Raft.Role == raft.Leader && s.Raft.Last > s.Raft.Commit {
		p.hits[probeLeaderAppended]++
	}
	stage := n.Stage()
	if stage.Recovering {
		p.hits[probeInRecovery]++
	}
	if stage.Checkpointing {
		p.hits[probeInCheckpoint]++
	}
	if stage.Receiving {
		p.hits[probeInReceiving]++
	}
	if stage.Installing {
		p.hits[probeInInstalling]++
	}
	if stage.Applying {
		p.hits[probeInApplying]++
	}
	for to := range p.transfers {
		t := &p.transfers[to]
		if !t.running || t.sender != m.index && to != m.index {
			continue
		}
		if t.crashes++; t.crashes == 2 {
			p.hits[probeTwoCrashes]++
		}
	}
}

// stopped looks at what the end of a process has left. lies are how often lies of its disk had been
// felt before.
func (p *probed) stopped(m *member, kind power, report *simdisk.CrashReport, lies uint64) {
	if report.NamesLost > 0 {
		p.hits[probeNamesLost]++
	}
	if m.disk.Counts().Felt[simdisk.SyncLies] > lies {
		p.hits[probeLieExposed]++
	}
	if kind == powerLost && p.renamed[m.index] {
		p.hits[probeRenameUnsynced]++
	}
	p.renamed[m.index] = false
	if p.world.heal.phase != chaos {
		return
	}
	for _, other := range p.world.members {
		if other != m && other.life == up {
			return
		}
	}
	p.hits[probeAllDown]++
}

// performed follows the operations that a member's disk has carried out.
func (p *probed) performed(m *member, op *diskio.Op, status diskio.Status) {
	switch {
	case status != diskio.OK || isLogFile(op.File):
	case op.Kind == diskio.Rename:
		p.renamed[m.index] = true
	case op.Kind == diskio.SyncDir && op.File != "log":
		p.renamed[m.index] = false
	}
}

// sent follows the transfers of snapshots.
func (p *probed) sent(m *member, msg *raft.Message) {
	const installed = 1 // in an acknowledgement's Round
	switch {
	case msg.Type == raft.MsgSnapshotOffer:
		if to := p.world.machineOf(msg.To); to >= 0 {
			t := &p.transfers[to]
			if !t.running {
				*t = seenTransfer{running: true}
			}
			t.sender = m.index
		}
	case msg.Type == raft.MsgSnapshotAck && msg.Round == installed,
		msg.Type == raft.MsgAppendResp && !msg.Reject:
		p.transfers[m.index].running = false
	}
}

// elected looks for others that still lead when a member comes to lead.
func (p *probed) elected(m *member) {
	for _, other := range p.world.members {
		if other == m || other.life != up {
			continue
		}
		if other.driver.Node.State().Raft.Role == raft.Leader {
			p.hits[probeTwoLeaders]++
		}
	}
}

// refused looks at why a process does not start.
func (p *probed) refused(err error) {
	if bad := (*wal.DamageError)(nil); errors.As(err, &bad) {
		p.hits[probeLogRefused]++
	}
	if bad := (*mvcc.DamageError)(nil); errors.As(err, &bad) {
		p.hits[probeDataRefused]++
	}
}

// forgets notes that a member's process is given up that lacks the end of its log.
func (p *probed) forgets(n *kv.Node) {
	n.AddProbes(p.nodes)
	p.hits[probeEndForgotten]++
}

// halted looks at why a process stopped by itself.
func (p *probed) halted(m *member) {
	switch {
	case m.failing > 0 && m.disk.failureSeen: // as it must
	case m.metDamage:
		p.hits[probeHaltView]++
	default:
		p.hits[probeHaltDamage]++
	}
}

// crashedWrite looks at a write to the log that was not synced when its process ended.
func (p *probed) crashedWrite(m *member, file string, durable raft.HardState, g *group) {
	n := len(g.records)
	if n == 0 {
		return
	}
	hard := g.records[n-1].hard
	if hard.Vote == 0 || hard.Term == durable.Term && hard.Vote == durable.Vote {
		return
	}
	p.hits[probeLostVote]++
	have := make([]byte, len(g.data))
	if k, _ := m.disk.ReadAt(file, have, g.offset); k < len(have) {
		return
	}
	if torn(have, g.data, m.disk.SectorSize()) {
		p.hits[probeTornVote]++
	}
}

// torn says whether a write lies on the disk in part: some of its sectors, or a part of one.
func torn(have, want []byte, sector int) bool {
	whole, other := 0, 0
	for off := 0; off < len(want); off += sector {
		a, b := have[off:min(off+sector, len(want))], want[off:min(off+sector, len(want))]
		if bytes.Equal(a, b) {
			whole++
			continue
		}
		other++
		if partly(a, b) {
			return true
		}
	}
	return whole > 0 && other > 0
}

// partly says whether a sector begins as it should, or is as it should be but for a few bytes. What
// an earlier use of the file has left there does neither: records begin with a checksum.
func partly(have, want []byte) bool {
	const head, few = 8, 8
	wrong := 0
	for i := range want {
		if have[i] != want[i] {
			wrong++
		}
	}
	return wrong <= few || len(want) > head && bytes.Equal(have[:head], want[:head]) &&
		!bytes.Equal(want[:head], make([]byte, head))
}
