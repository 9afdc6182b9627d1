package raft

// Linearizable reads without log entries (dissertation 6.4). A leader notes its commit index, asks
// a quorum whether it still leads, and may then serve, at that index, every read that had arrived
// before it asked.
//
// Reads that arrive between two Takes share a round, and while roundsAhead rounds are in flight
// what arrives gathers for the next one: a round costs every voter a message, an answer and a turn.
// A read never joins a round that was sent before it arrived: between the two, another leader may
// have committed more. Heartbeats carry the number of the newest round, and confirming a round
// confirms the older ones. A heartbeat that is due anyway takes a new round along, however many are
// in flight: their messages may have been lost.
//
// Before it has committed an entry of its own term a leader does not know how far its predecessor
// committed, so reads wait for that. A read ends with an answer, or with index 0 when leadership
// changed; a request or answer lost on the way is repeated by the caller.

// readRequest is one waiting read: ours, or a follower's. The answer is meant for the start of the
// follower that asked: a later one may use the same id for a later read.
type readRequest struct {
	id    ReadID
	from  MemberID
	start Incarnation
}

// readRound is a round under way.
type readRound struct {
	round    uint64
	index    Index
	requests []readRequest
}

// forwardedReads is a group of our own reads that one request to the leader stands for.
type forwardedReads struct {
	key ReadID
	ids []ReadID
}

// readState belongs to both roles: rounds to a leader, forwarded to a follower.
type readState struct {
	round     uint64        // number of the newest round; grows for ever
	waiting   []readRequest // not yet part of a round
	rounds    []readRound   // sent, oldest first
	local     []ReadID      // a follower's reads since the last Take
	forwarded []forwardedReads
}

// maxReadsPerRound bounds how many requests may share a round.
const maxReadsPerRound = 1 << 14

// ReadIndex asks for a read index under id. All requests between two calls of Take share a round.
func (r *Raft) ReadIndex(id ReadID) {
	switch {
	case r.role == Leader:
		r.queueRead(readRequest{id: id, from: r.set.ID})
	case r.leader == 0 || len(r.reads.local) >= maxReadsPerRound:
		r.failRead(id)
	default:
		r.reads.local = append(r.reads.local, id)
	}
}

func (r *Raft) failRead(id ReadID) {
	r.out.Reads = append(r.out.Reads, ReadReady{ID: id})
}

// queueRead lets a request wait for the next round, or refuses it when too many wait.
func (r *Raft) queueRead(q readRequest) {
	if len(r.reads.waiting) < maxReadsPerRound {
		r.reads.waiting = append(r.reads.waiting, q)
		return
	}
	if q.from == r.set.ID {
		r.failRead(q.id)
		return
	}
	r.answerRead(&q, 0)
}

// answerRead answers a follower; index 0 refuses.
func (r *Raft) answerRead(q *readRequest, i Index) {
	r.send(Message{
		Type: MsgReadIndexResp, To: q.from, ToIncarnation: q.start, Term: r.term,
		Read: q.id, Index: i, Reject: i == 0,
	})
}

// ownTermCommitted says whether this leader knows what is committed.
func (r *Raft) ownTermCommitted() bool { return r.role == Leader && r.commit >= r.termStart }

// roundsAhead is how many rounds are in flight before reads gather.
const roundsAhead = 2

// startRound turns the waiting reads into a round, whose heartbeats leave in the same Take.
func (r *Raft) startRound() {
	if len(r.reads.waiting) == 0 || !r.ownTermCommitted() ||
		len(r.reads.rounds) >= r.set.MaxPendingReads ||
		len(r.reads.rounds) >= roundsAhead && !r.heartbeatDue {
		return
	}
	r.reads.round++
	r.reads.rounds = append(r.reads.rounds, readRound{
		round: r.reads.round, index: r.commit, requests: r.reads.waiting,
	})
	if len(r.reads.rounds) > roundsAhead {
		r.probes[ProbeManyRounds]++
	}
	r.reads.waiting = nil
	r.roundDue = true
	r.confirmRounds() // a single voter is its own quorum
}

// confirmRounds answers every round that a quorum has confirmed.
func (r *Raft) confirmRounds() {
	if len(r.reads.rounds) == 0 {
		return
	}
	confirmed := r.quorumReached(quantityRound)
	n := 0
	for n < len(r.reads.rounds) && r.reads.rounds[n].round <= confirmed {
		r.answerRound(&r.reads.rounds[n])
		n++
	}
	r.reads.rounds = append(r.reads.rounds[:0], r.reads.rounds[n:]...)
}

func (r *Raft) answerRound(round *readRound) {
	for k := range round.requests {
		q := &round.requests[k]
		if q.from == r.set.ID {
			r.out.Reads = append(r.out.Reads, ReadReady{ID: q.id, Index: round.index})
			continue
		}
		r.answerRead(q, round.index)
	}
}

// failReads ends the reads of a leader that leads no longer. Followers learn of it themselves.
func (r *Raft) failReads() {
	r.noteReadsFell()
	for i := range r.reads.rounds {
		r.failOwn(r.reads.rounds[i].requests)
	}
	r.failOwn(r.reads.waiting)
	r.reads.rounds, r.reads.waiting = nil, nil
	r.roundDue, r.heartbeatDue = false, false
}

func (r *Raft) failOwn(requests []readRequest) {
	for _, q := range requests {
		if q.from == r.set.ID {
			r.failRead(q.id)
		}
	}
}

// forwardReads sends the reads since the last Take to the leader, as one request.
func (r *Raft) forwardReads() {
	if len(r.reads.local) == 0 {
		return
	}
	if len(r.reads.forwarded) >= r.set.MaxPendingReads {
		r.failGroup(0) // the oldest: its request or its answer is lost, most likely
	}
	g := forwardedReads{key: r.reads.local[0], ids: r.reads.local}
	r.reads.local = nil
	r.reads.forwarded = append(r.reads.forwarded, g)
	r.send(Message{Type: MsgReadIndex, To: r.leader, Term: r.term, Read: g.key})
}

// failGroup ends the forwarded group at position k without an answer.
func (r *Raft) failGroup(k int) {
	for _, id := range r.reads.forwarded[k].ids {
		r.failRead(id)
	}
	r.reads.forwarded = append(r.reads.forwarded[:k], r.reads.forwarded[k+1:]...)
}

// failForwardedReads ends everything that was meant for a leader that is no longer ours.
func (r *Raft) failForwardedReads() {
	for len(r.reads.forwarded) > 0 {
		r.failGroup(0)
	}
	for _, id := range r.reads.local {
		r.failRead(id)
	}
	r.reads.local = nil
}

// handleReadIndex takes in a follower's request.
func (r *Raft) handleReadIndex(m *Message) {
	q := readRequest{id: m.Read, from: m.From, start: m.FromIncarnation}
	if r.role == Leader {
		r.queueRead(q)
		return
	}
	r.answerRead(&q, 0)
}

// handleReadIndexResponse hands the leader's answer to everyone who waits for it.
func (r *Raft) handleReadIndexResponse(m *Message) {
	for k := range r.reads.forwarded {
		g := &r.reads.forwarded[k]
		if g.key != m.Read {
			continue
		}
		if m.Reject || m.Index == 0 {
			r.failGroup(k)
			return
		}
		for _, id := range g.ids {
			r.out.Reads = append(r.out.Reads, ReadReady{ID: id, Index: m.Index})
		}
		r.reads.forwarded = append(r.reads.forwarded[:k], r.reads.forwarded[k+1:]...)
		return
	}
}
