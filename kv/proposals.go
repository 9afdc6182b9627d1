// Writes on their way into the log.
//
// A write gets a sequence, is proposed, and waits until an entry with its name is applied. It may
// be proposed again, under the same name, when raft dropped it, when the leader changed, or when
// nothing was heard for long: the windows let it take effect once. Waiters are found by name,
// never by log position.
//
// Invariant: open proposals are consecutive in sequence, so one is found by subtraction, and their
// span stays below windowSpan, so none falls out of its window while somebody waits for it.
package kv

import (
	"github.com/detcd/detcd/raft"
)

// The types of the node's own entries: those of requests are entryRequest plus the method.
const (
	entryRequest raft.EntryType = raft.EntryApplication
	entryPublish raft.EntryType = raft.EntryApplication + 100 // Data is an encoded Member
	entryVersion raft.EntryType = raft.EntryApplication + 101 // Data is a cluster version
	entryCompact raft.EntryType = raft.EntryApplication + 102 // a leader's own CompactionRequest
	// entryDowngraded ends a downgrade to the version in Data.
	entryDowngraded raft.EntryType = raft.EntryApplication + 103
	// entrySealed plus the method is a request together with who asks, see seal.
	entrySealed raft.EntryType = raft.EntryApplication + 120
)

type proposal struct {
	token    Token
	typ      raft.EntryType
	data     []byte
	sequence raft.Sequence
	deadline int64 // mono; when the client is told that the outcome is unknown
	sent     int64 // mono; when it was last proposed, 0 for never
	status   proposalStatus
	refusal  Code // of a void change: what the client is told when it is applied
}

type proposalStatus uint8

const (
	proposalWaiting proposalStatus = iota // not proposed, or raft dropped it
	proposalSent
	proposalDone // answered; leaves the queue when it is the oldest
)

// proposals is the queue of open writes, oldest first.
type proposals struct {
	queue []proposal
	next  raft.Sequence
	// unanswered counts those in the queue that are not done, bytes their data.
	unanswered int
	bytes      int64
	// overtaken is the highest sequence that was applied: what was proposed before it and is still
	// open was lost on the way, or delayed.
	overtaken raft.Sequence
	// change is the sequence of the configuration change that may be proposed now, 0 for none.
	change raft.Sequence
	// dirty says that some are waiting to be proposed.
	dirty bool
}

// find returns the open proposal with this sequence, nil if it is not open.
func (p *proposals) find(s raft.Sequence) *proposal {
	if len(p.queue) == 0 || s < p.queue[0].sequence {
		return nil
	}
	i := s - p.queue[0].sequence
	if i >= raft.Sequence(len(p.queue)) || p.queue[i].status == proposalDone {
		return nil
	}
	return &p.queue[i]
}

// done marks a proposal as answered.
func (p *proposals) done(pr *proposal) {
	p.close(pr)
	p.trim()
}

// close marks a proposal as answered and leaves it in the queue.
func (p *proposals) close(pr *proposal) {
	p.unanswered--
	p.bytes -= int64(len(pr.data))
	pr.status, pr.data = proposalDone, nil
}

// trim drops the answered proposals at the front.
func (p *proposals) trim() {
	i := 0
	for i < len(p.queue) && p.queue[i].status == proposalDone {
		i++
	}
	p.queue = p.queue[i:]
}

// propose queues a write; the turn's writes go to raft together.
func (n *Node) propose(token Token, typ raft.EntryType, data []byte) {
	p := &n.proposals
	p.queue = append(p.queue, proposal{token: token, typ: typ, data: data, sequence: p.next,
		deadline: n.mono + n.requestTimeout()})
	p.next++
	p.unanswered++
	p.bytes += int64(len(data))
	p.dirty = true
}

// admitWrite says whether a write may enter now, and with which refusal if not.
func (n *Node) admitWrite(r *Request) Code {
	lim := &n.cfg.Limits
	if lim.QuotaBytes >= 0 && n.overQuota(r) {
		n.probes[ProbeQuotaReached]++
		n.raiseAlarm(AlarmNoSpace)
		return ErrNoSpace
	}
	if n.space.low && r.grows() {
		return ErrNoSpace
	}
	p := &n.proposals
	if p.unanswered >= lim.MaxPending || len(p.queue) >= windowSpan-1 ||
		p.bytes > 0 && p.bytes+int64(len(r.Raw)) > lim.MaxPendingBytes ||
		n.raft.CommitIndex()-n.applied > raft.Index(lim.MaxBacklog) {
		return ErrTooManyRequests
	}
	return OK
}

// grows says whether the request puts anything, in any branch.
func (r *Request) grows() bool { return r.cost() > 0 }

// putsAnything says whether a transaction puts, in any branch.
func putsAnything(t *txnRequest) bool {
	for _, branch := range [2][]requestOp{t.success, t.failure} {
		for i := range branch {
			if branch[i].kind == opPut || branch[i].kind == opTxn && putsAnything(branch[i].txn) {
				return true
			}
		}
	}
	return false
}

// proposeWaiting hands every waiting proposal to raft as one batch.
func (n *Node) proposeWaiting() {
	p := &n.proposals
	if !p.dirty || n.leader == 0 {
		return
	}
	p.dirty = false
	n.vetChanges()
	var batch []raft.Entry
	for i := range p.queue {
		pr := &p.queue[i]
		if pr.status != proposalWaiting || pr.typ == raft.EntryConfig && pr.sequence != p.change {
			continue
		}
		pr.status, pr.sent = proposalSent, n.mono
		batch = append(batch, raft.Entry{Type: pr.typ, Proposer: n.cfg.Member,
			Incarnation: n.incarnation, Sequence: pr.sequence, Data: pr.data})
	}
	if len(batch) > 0 {
		n.raft.Propose(batch)
	}
}

// dropped handles proposals that raft did not take. Those of other members are theirs to repeat.
func (n *Node) dropped(entries []raft.Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Proposer != n.cfg.Member || e.Incarnation != n.incarnation {
			continue
		}
		if pr := n.proposals.find(e.Sequence); pr != nil {
			n.probes[ProbeReturned]++
			pr.status = proposalWaiting // proposed again at the next tick
		}
	}
}

// reproposeAll makes every open proposal wait again: the leader changed, and what the old one held
// may be lost.
func (n *Node) reproposeAll() {
	p := &n.proposals
	for i := range p.queue {
		if p.queue[i].status == proposalSent {
			n.probes[ProbeRepeatedLeader]++
			p.queue[i].status = proposalWaiting
		}
	}
	p.dirty = len(p.queue) > 0
}

// tickProposals repeats what was lost, and gives up on what is too old. A leader's own proposals
// are in its log, so only those that went to another member can be lost: they are repeated soon
// when later ones have been applied, and after two election timeouts of silence otherwise. A change
// of the membership is refused without a word while another is under way, and repeated soon.
func (n *Node) tickProposals() {
	p := &n.proposals
	for len(p.queue) > 0 && p.queue[0].deadline <= n.mono {
		pr := &p.queue[0]
		n.noteLost(pr)
		n.counters.ProposalsFailed++
		n.answer(pr.token, n.lostCode(pr), nil, 0)
		if x := n.apply; x != nil && x.token == pr.token && pr.token != 0 {
			n.probes[ProbeTimeoutInParts]++
			x.token = 0 // what is left of it goes on without an answer
		}
		p.done(pr)
	}
	for i := range p.queue {
		pr := &p.queue[i]
		patience := 2 * n.electionTimeout()
		if pr.sequence < p.overtaken || pr.typ == raft.EntryConfig {
			patience = n.electionTimeout() / 8
		}
		if pr.status == proposalSent && n.role != raft.Leader && n.mono-pr.sent > patience {
			n.noteRepeated(pr)
			pr.status = proposalWaiting
		}
		if pr.status == proposalWaiting {
			p.dirty = true
		}
	}
}

// lostCode is etcd's word for a write of which nothing was heard.
func (n *Node) lostCode(pr *proposal) Code {
	asked := pr.deadline - n.requestTimeout()
	switch {
	case pr.sent == 0:
		return ErrDeadline // it never left, for want of a leader
	case n.leader == 0:
		return ErrTimeoutConnLost
	case asked <= n.leaderSince && asked > n.leaderSince-2*n.electionTimeout():
		return ErrTimeoutLeaderFail
	}
	return ErrTimeout
}

// endCovered answers the open proposals that an installed state already holds: they took effect,
// but what they did is not known here.
func (n *Node) endCovered() {
	p := &n.proposals
	i, found := n.state.windowAt(n.cfg.Member)
	if !found {
		return
	}
	w := &n.state.windows[i]
	for k := range p.queue {
		pr := &p.queue[k]
		if pr.status != proposalDone && w.applied(n.incarnation, pr.sequence) {
			n.probes[ProbeInstallAnswers]++
			n.counters.ProposalsFailed++
			n.answer(pr.token, ErrTimeout, nil, 0)
			p.close(pr)
		}
	}
	p.trim()
}
