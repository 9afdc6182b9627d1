package raft

// Probes: rare places where mistakes like to live. Each counts how often it was reached, in
// production as in the simulator, whose campaigns fail when one was never reached. Nothing depends
// on a count.

// Probe names a rare place in this package.
type Probe uint8

// The probes; String says what each stands for.
const (
	ProbeElectedWithTail Probe = iota
	ProbeElectedInJoint
	ProbeWonBeforeDurable
	ProbePreVoteRefusedFresh
	ProbeVoteRefusedFresh
	ProbeVoteRefusedLog
	ProbeVoteRefusedGiven
	ProbeVoteOrdered
	ProbeCandidateYields
	ProbeQuorumLost
	ProbeLeaderSkips
	ProbeFollowerSkips
	ProbeCutOne
	ProbeCutMany
	ProbeCutDurable
	ProbeCutInFlight
	ProbeConfigCut
	ProbeCommitHeldBack
	ProbeCommitBeyondMatch
	ProbeManyRounds
	ProbeReadsFellEarly
	ProbeReadsFellInFlight
	ProbeProposalOverLimit
	ProbeProposalInTransfer
	ProbeProposalStray
	ProbeTransferEnded
	ProbeTransferTimedOut
	ProbeTransferRefused
	ProbeJointInherited
	ProbeLearnerPromoted
	ProbeLeaderRemoved
	ProbeFarewellTimedOut
	ProbeFetchForFollower
	ProbeFetchForApply
	ProbeFetchLate
	ProbeMemberRestarted
	ProbeOldStart
	ProbeOldAnswer
	ProbeFullBytes
	ProbeFullMessages
	ProbeStateNeeded
	ProbeStateFailed
	ProbeStateCovered
	ProbeSwamped
	ProbeGaveWay
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
	ProbeElectedWithTail:     "elected with a tail that is not known to be committed",
	ProbeElectedInJoint:      "elected in a joint configuration",
	ProbeWonBeforeDurable:    "won an election before its own vote was durable",
	ProbePreVoteRefusedFresh: "pre-vote refused because the leader is alive",
	ProbeVoteRefusedFresh:    "vote of a later term refused because the leader is alive",
	ProbeVoteRefusedLog:      "vote refused for an older log",
	ProbeVoteRefusedGiven:    "vote refused because it was given to another",
	ProbeVoteOrdered:         "voted for a successor while the leader was alive",
	ProbeCandidateYields:     "candidate followed the leader of its own term",
	ProbeQuorumLost:          "leader stepped down for want of a quorum",
	ProbeLeaderSkips:         "leader walked back over a term that the follower has not",
	ProbeFollowerSkips:       "follower asked to walk back over terms of its own",
	ProbeCutOne:              "follower cut a conflicting tail of one entry",
	ProbeCutMany:             "follower cut a conflicting tail of several entries",
	ProbeCutDurable:          "follower cut entries that were durable",
	ProbeCutInFlight:         "follower cut entries whose write was on its way",
	ProbeConfigCut:           "configuration rolled back with its entry",
	ProbeCommitHeldBack:      "commit held back: a quorum has entries of older terms only",
	ProbeCommitBeyondMatch:   "commit index of a heartbeat clamped to what matches",
	ProbeManyRounds:          "three and more read rounds in flight",
	ProbeReadsFellEarly:      "leader fell before the first commit of its term, with reads waiting",
	ProbeReadsFellInFlight:   "leader fell with read rounds in flight",
	ProbeProposalOverLimit:   "proposal dropped by a bound of the leader",
	ProbeProposalInTransfer:  "proposal dropped during a transfer of leadership",
	ProbeProposalStray:       "forwarded proposal came to a member that does not lead",
	ProbeTransferEnded:       "leadership ended during its transfer",
	ProbeTransferTimedOut:    "transfer of leadership given up",
	ProbeTransferRefused:     "transfer of leadership refused",
	ProbeJointInherited:      "joint configuration left by a leader that did not begin it",
	ProbeLearnerPromoted:     "learner became a voter",
	ProbeLeaderRemoved:       "leader stepped down after its own removal",
	ProbeFarewellTimedOut:    "removed member served in vain until the time was up",
	ProbeFetchForFollower:    "entries fetched from the disk for a follower",
	ProbeFetchForApply:       "entries fetched from the disk for apply",
	ProbeFetchLate:           "entries fetched for nobody",
	ProbeMemberRestarted:     "progress reset by a new start of the follower",
	ProbeOldStart:            "message of an earlier start of its sender dropped",
	ProbeOldAnswer:           "answer to an earlier start of ours dropped",
	ProbeFullBytes:           "flow control stopped a follower by bytes",
	ProbeFullMessages:        "flow control stopped a follower by messages",
	ProbeStateNeeded:         "follower needs a state",
	ProbeStateFailed:         "transfer of a state failed",
	ProbeStateCovered:        "installed state that the log had caught up with",
	ProbeSwamped:             "append not taken: too much is not durable",
	ProbeGaveWay:             "leader with a standing disk handed over",
}

// Probes returns the counts since this instance was made.
func (r *Raft) Probes() Probes { return r.probes }

// noteElected counts in which state an election was won.
func (r *Raft) noteElected() {
	if r.log.last > r.commit {
		r.probes[ProbeElectedWithTail]++
	}
	if len(r.configs.current().config.Outgoing) > 0 {
		r.probes[ProbeElectedInJoint]++
	}
}

// noteRefusal counts why a vote or a pre-vote of the term at hand is refused.
func (r *Raft) noteRefusal(m *Message, current bool) {
	switch pre := m.Type == MsgPreVote; {
	case pre && m.Term > r.term && current:
		r.probes[ProbePreVoteRefusedFresh]++
	case m.Term > r.term:
		r.probes[ProbeVoteRefusedFresh]++
	case !pre && m.Term == r.term && !current:
		r.probes[ProbeVoteRefusedLog]++
	case !pre && m.Term == r.term && r.vote != 0 && r.vote != m.From:
		r.probes[ProbeVoteRefusedGiven]++
	}
}

// noteCut counts what is about to be cut: everything after last.
func (r *Raft) noteCut(last Index) {
	if r.log.last == last+1 {
		r.probes[ProbeCutOne]++
	} else {
		r.probes[ProbeCutMany]++
	}
	if r.disk.durable > last {
		r.probes[ProbeCutDurable]++
	}
	if r.log.handed > max(last, r.disk.durable) {
		r.probes[ProbeCutInFlight]++
	}
}

// noteFull counts what kept a follower from being sent more.
func (r *Raft) noteFull(p *progress) {
	switch {
	case len(p.inflight) >= r.set.MaxInflightMessages:
		r.probes[ProbeFullMessages]++
	case p.inflightBytes >= r.set.MaxInflightBytes:
		r.probes[ProbeFullBytes]++
	}
}

// noteReadsFell counts which reads a leader leaves behind that leads no longer.
func (r *Raft) noteReadsFell() {
	if len(r.reads.rounds) > 0 {
		r.probes[ProbeReadsFellInFlight]++
	}
	if len(r.reads.waiting) > 0 && r.commit < r.termStart {
		r.probes[ProbeReadsFellEarly]++
	}
}
