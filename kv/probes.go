package kv

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count, and none is part of the replicated state.

import (
	"slices"

	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/revlog"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// Probe names a rare place of the node itself; its parts have their own.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeAppliedAgain Probe = iota
	ProbeAppliedOld
	ProbeAppliedRemoved
	ProbeRepeatedLeader
	ProbeRepeatedOvertaken
	ProbeRepeatedSilence
	ProbeReturned
	ProbeOutcomeUnknown
	ProbeNeverLeft
	ProbeDeleteInParts
	ProbeTimeoutInParts
	ProbeMessageMeanwhile
	ProbeApplyWaits
	ProbeCheckpointWaits
	ProbeLeaseEndsInParts
	ProbeLeaseSpared
	ProbeLeasesExtended
	ProbeLeaseNoteUndone
	ProbeLeaseEndsForgotten
	ProbeLeaseReadHeld
	ProbeRoundRepeated
	ProbeViewOutlives
	ProbeQuotaReached
	ProbeSpaceLow
	ProbeReserveSpent
	ProbeAlarmRefused
	ProbeAlarmSparedLease
	ProbeAuthOld
	ProbeTokenUnknown
	ProbeTokenAwaited
	ProbeWriteDoubted
	ProbeDoubtSettled
	ProbeLoginRepeated
	ProbePasswordLate
	ProbeRemovedWithOpen
	ProbeChangeVoided
	ProbeChangeNotNow
	ProbeChangeUnsafe
	ProbeVotersTogether
	ProbeOfferRepeated
	ProbeOfferReplaces
	ProbeSenderSwitched
	ProbeChunkRepeated
	ProbeChunkStray
	ProbeReceiverDiskFull
	ProbeReceiverGaveUp
	ProbeShipGaveUp
	ProbeShipLostLead
	ProbeInstallWaits
	ProbeInstallNeedless
	ProbeInstallAnswers
	ProbeAskStray
	ProbeAskRepeated
	ProbeAskPassedOn
	ProbeMoveTimedOut
	ProbeLogRestarted
	ProbeTermFromState
	ProbeStateInstalled
	// NumProbes is the number of probes.
	NumProbes
)

// Probes says how often each probe was reached; a count wraps.
type Probes [NumProbes]uint32

// String says what happened.
func (p Probe) String() string {
	return probeNames[p]
}

var probeNames = [NumProbes]string{
	ProbeAppliedAgain:       "request in the log a second time changed nothing",
	ProbeAppliedOld:         "request of an earlier start of its proposer changed nothing",
	ProbeAppliedRemoved:     "request of a removed member changed nothing",
	ProbeRepeatedLeader:     "proposal repeated after a change of leader or term",
	ProbeRepeatedOvertaken:  "proposal repeated because later ones were applied",
	ProbeRepeatedSilence:    "proposal repeated after silence",
	ProbeReturned:           "proposal came back from raft",
	ProbeOutcomeUnknown:     "client told that the outcome of its write is unknown",
	ProbeNeverLeft:          "write that never left for want of a leader",
	ProbeDeleteInParts:      "huge delete went on in a later step",
	ProbeTimeoutInParts:     "client of a half applied write was told of a timeout",
	ProbeMessageMeanwhile:   "message taken while an entry was half applied",
	ProbeApplyWaits:         "apply waited for the engine to be written",
	ProbeCheckpointWaits:    "checkpoint waited for the log",
	ProbeLeaseEndsInParts:   "end of leases went on in a later step",
	ProbeLeaseSpared:        "end of a lease spared one that was gone, or its successor",
	ProbeLeasesExtended:     "new leader extended leases",
	ProbeLeaseNoteUndone:    "renewal waited until a note was undone",
	ProbeLeaseEndsForgotten: "deposed leader forgot ends of leases that it had proposed",
	ProbeLeaseReadHeld:      "read about leases waited for an entry",
	ProbeRoundRepeated:      "read round asked again",
	ProbeViewOutlives:       "view outlived the engine that it was taken of",
	ProbeQuotaReached:       "request refused by the quota",
	ProbeSpaceLow:           "disk counts as low on space",
	ProbeReserveSpent:       "reserve given up for a full disk",
	ProbeAlarmRefused:       "write refused by an alarm when it was applied",
	ProbeAlarmSparedLease:   "end of leases held back by an alarm",
	ProbeAuthOld:            "write refused at apply: the auth revision had moved",
	ProbeTokenUnknown:       "token that this member does not know",
	ProbeTokenAwaited:       "request waited for the entry that made its token",
	ProbeWriteDoubted:       "write by somebody unknown waited for a confirmed read",
	ProbeDoubtSettled:       "doubted write turned out to be by somebody known",
	ProbeLoginRepeated:      "password compared again because the store had moved",
	ProbePasswordLate:       "password came back after its request was answered",
	ProbeRemovedWithOpen:    "member removed while its proposals were open",
	ProbeChangeVoided:       "change of the membership gave its name to a void one",
	ProbeChangeNotNow:       "leader dropped a forwarded change of the membership",
	ProbeChangeUnsafe:       "change of the membership refused for the sake of the quorum",
	ProbeVotersTogether:     "several new voters counted together",
	ProbeOfferRepeated:      "offer of a running transfer repeated",
	ProbeOfferReplaces:      "offer ended another transfer",
	ProbeSenderSwitched:     "transfer went on from another sender",
	ProbeChunkRepeated:      "chunk that was not the next one",
	ProbeChunkStray:         "chunk of a transfer that does not run",
	ProbeReceiverDiskFull:   "transfer given up because the disk is full",
	ProbeReceiverGaveUp:     "receiver gave up a silent transfer",
	ProbeShipGaveUp:         "sender gave up a silent transfer",
	ProbeShipLostLead:       "sender gave up a transfer because it leads no longer",
	ProbeInstallWaits:       "installation waited for a checkpoint or a half applied entry",
	ProbeInstallNeedless:    "log caught up with a state before it was installed",
	ProbeInstallAnswers:     "installed state held proposals that were open",
	ProbeAskStray:           "ask came to a member that does not lead",
	ProbeAskRepeated:        "ask came a second time while it was being answered",
	ProbeAskPassedOn:        "read for the leader passed on to the next one",
	ProbeMoveTimedOut:       "transfer of leadership timed out for its client",
	ProbeLogRestarted:       "start found a state ahead of the log and began the log anew",
	ProbeTermFromState:      "start took the term of an installed state that its log did not know",
	ProbeStateInstalled:     "start from a state that was installed from a snapshot",
}

// ProbeNames names the probes of a node and of all its parts, in a fixed order.
func ProbeNames() (names []string) {
	for p := range raft.NumProbes {
		names = append(names, "raft: "+p.String())
	}
	for p := range wal.NumProbes {
		names = append(names, "log: "+p.String())
	}
	for p := range mvcc.NumProbes {
		names = append(names, "index: "+p.String())
	}
	for p := range revlog.NumProbes {
		names = append(names, "engine: "+p.String())
	}
	for p := range watch.NumProbes {
		names = append(names, "watch: "+p.String())
	}
	for p := range NumProbes {
		names = append(names, "node: "+p.String())
	}
	return names
}

// AddProbes adds how often each probe was reached since the start to counts, in the order of
// ProbeNames.
func (n *Node) AddProbes(counts []uint64) {
	consensus, log, hub := n.raft.Probes(), n.log.Probes(), n.watching.hub.Probes()
	index, engine := n.store.Probes()
	parts := slices.Concat(consensus[:], log[:], index[:], engine[:], hub[:], n.probes[:])
	for i, hits := range parts {
		counts[i] += uint64(hits)
	}
}

// noteSkipped counts why an entry changes nothing.
func (n *Node) noteSkipped(e *raft.Entry) {
	i, found := n.state.windowAt(e.Proposer)
	switch {
	case n.state.member(e.Proposer) == nil:
		n.probes[ProbeAppliedRemoved]++
	case found && e.Incarnation < n.state.windows[i].incarnation:
		n.probes[ProbeAppliedOld]++
	default:
		n.probes[ProbeAppliedAgain]++
	}
}

// noteRepeated counts why a proposal is made again that another member may have got.
func (n *Node) noteRepeated(pr *proposal) {
	if pr.sequence < n.proposals.overtaken {
		n.probes[ProbeRepeatedOvertaken]++
	} else {
		n.probes[ProbeRepeatedSilence]++
	}
}

// noteLost counts what became of a write that is given up.
func (n *Node) noteLost(pr *proposal) {
	if pr.sent == 0 {
		n.probes[ProbeNeverLeft]++
	} else {
		n.probes[ProbeOutcomeUnknown]++
	}
}

// noteStart counts in which shape a start finds state and log.
func (n *Node) noteStart(rec *wal.Recovered, loaded *mvcc.Loaded, joins bool) {
	if loaded.Previous == 0 && n.applied > bootstrapIndex {
		n.probes[ProbeStateInstalled]++
	}
	if joins || rec.Empty {
		return
	}
	n.probes[ProbeLogRestarted]++
	if n.appliedTerm > rec.Hard.Term {
		n.probes[ProbeTermFromState]++
	}
}

// noteReplaced counts what an installed state meets here.
func (n *Node) noteReplaced() {
	if len(n.views.open) > 0 {
		n.probes[ProbeViewOutlives]++
	}
}

// noteOffer counts what an offer ends, before it does.
func (n *Node) noteOffer(m *raft.Message) {
	r := n.receiving
	if r == nil {
		return
	}
	n.probes[ProbeOfferReplaces]++
	if r.from != m.From {
		n.probes[ProbeSenderSwitched]++
	}
}

// Stage says what a node is in the middle of, for observers who stop it there.
type Stage struct {
	Recovering    bool // what the start found is not durable yet
	Checkpointing bool
	Receiving     bool // a snapshot
	Installing    bool // a snapshot, whole
	Applying      bool // an entry is half applied
	Owing         bool // and a client of this member waits for it
}

// Stage says what a stop at this moment would interrupt.
func (n *Node) Stage() Stage {
	return Stage{
		Recovering:    n.phase == loading || n.phase == recovering,
		Checkpointing: n.store.Checkpointing() && !n.installing(),
		Receiving:     n.receiving != nil && !n.receiving.installing,
		Installing:    n.installing(),
		Applying:      n.apply != nil,
		Owing:         n.apply != nil && n.apply.token != 0,
	}
}
