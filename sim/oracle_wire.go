package sim

import "github.com/detcd/detcd/raft"

// wireOracle judges every message at the moment it is sent: a message is a promise, and what it
// rests on must hold already.
type wireOracle struct {
	leaders map[raft.Term]int
	// entries is the content of every entry that was ever seen, by its identity.
	entries map[position]uint64
	// prefix is the term of the entry that the leader of a term has at an index, where that term
	// differs from its own.
	prefix map[position]raft.Term
	votes  map[ballot]raft.MemberID // grants on the wire
	top    raft.Term                // highest term that has a leader
}

func newWireOracle() wireOracle {
	return wireOracle{
		leaders: make(map[raft.Term]int), entries: make(map[position]uint64),
		prefix: make(map[position]raft.Term), votes: make(map[ballot]raft.MemberID),
	}
}

func (o *oracles) sent(m *member, msg *raft.Message) {
	o.world.probes.sent(m, msg)
	switch msg.Type {
	case raft.MsgSnapshotOffer:
		o.world.counts.Offers++
	case raft.MsgSnapshotChunk:
		o.world.happened(OnState)
	case raft.MsgAppend:
		o.leads(m, msg.Term)
		o.appends(m, msg)
	case raft.MsgHeartbeat:
		o.leads(m, msg.Term)
	case raft.MsgPreVote:
		o.canvasses(m, msg)
	case raft.MsgVoteResp:
		if !msg.Reject {
			o.grants(m, msg)
		}
	case raft.MsgAppendResp:
		if !msg.Reject {
			o.acknowledges(m, msg)
			o.repeats(m, msg)
		}
	}
}

// leads checks election safety when a member shows itself as the leader of a term: nobody else
// does, and a quorum has durably voted for it.
func (o *oracles) leads(m *member, term raft.Term) {
	x := &o.wire
	leader, known := x.leaders[term]
	if known {
		if leader != m.index {
			o.world.fail(OracleRaft, "members %d and %d both lead in term %d", leader, m.index,
				term)
		}
		return
	}
	x.leaders[term] = m.index
	x.top = max(x.top, term)
	o.world.counts.Elections++
	o.world.probes.elected(m)
	o.world.happened(OnElection)
	if !o.elects(m, term) {
		o.world.fail(OracleRaft, "member %d leads in term %d without the durable votes of a quorum",
			m.index, term)
	}
}

// appends checks log matching over what leaders send, and leader completeness: who leads in a later
// term than the one in which an entry was known committed never sends another one in its place.
func (o *oracles) appends(m *member, msg *raft.Message) {
	if msg.Index > 0 && msg.LogTerm != msg.Term {
		o.wire.prefix[position{msg.Term, msg.Index}] = msg.LogTerm
	}
	for i := range msg.Entries {
		e := &msg.Entries[i]
		mark := o.identity(m, e)
		o.seen(m, msg.Term, e)
		if e.Term != msg.Term {
			o.wire.prefix[position{msg.Term, e.Index}] = e.Term
		}
		if !o.commit.agrees(e.Index, mark, msg.Term) {
			o.world.fail(OracleRaft,
				"member %d, leader of term %d, sends an entry of term %d at index %d, where "+
					"another one was committed before", m.index, msg.Term, e.Term, e.Index)
		}
	}
}

// identity checks that two entries of the same term and index are the same entry.
func (o *oracles) identity(m *member, e *raft.Entry) entryMark {
	mark := markEntry(e)
	at := position{e.Term, e.Index}
	if hash, known := o.wire.entries[at]; !known {
		o.wire.entries[at] = mark.hash
		if e.Type == raft.EntryConfig {
			o.changes(e)
		}
	} else if hash != mark.hash {
		o.world.fail(OracleRaft,
			"member %d has another entry at index %d of term %d than was seen "+
				"before", m.index, e.Index, e.Term)
	}
	return mark
}

// changes lets happen what waits for a change of the membership.
func (o *oracles) changes(e *raft.Entry) {
	o.world.happened(OnChange)
	if change, err := raft.DecodeChange(e.Data); err == nil && len(change.Changes) > 1 {
		o.world.happened(OnJoint)
	}
}

// grants checks a vote that leaves a member: it is the member's only one in the term, and durable.
func (o *oracles) grants(m *member, msg *raft.Message) {
	b := ballot{term: msg.Term, voter: m.index}
	if before, ok := o.wire.votes[b]; ok && before != msg.To {
		o.world.fail(OracleRaft, "member %d grants its vote in term %d to %s after %s", m.index,
			msg.Term, msg.To, before)
		return
	}
	o.wire.votes[b] = msg.To
	if durable := o.ledger.votes[b]; durable != msg.To {
		o.world.fail(OracleDurable,
			"member %d grants its vote in term %d to %s; its durable vote is "+
				"for %s", m.index, msg.Term, msg.To, durable)
	}
}

// acknowledges checks a match index that leaves a member: its durable log must reach there, with
// the very entry that the leader of the term has.
func (o *oracles) acknowledges(m *member, msg *raft.Message) {
	d := &o.ledger.members[m.index].durable
	if last := o.ledger.reaches(m, msg.Index); msg.Index > last {
		o.world.fail(OracleDurable,
			"member %d acknowledges index %d to %s in term %d; its durable log "+
				"ends at %d", m.index, msg.Index, msg.To, msg.Term, last)
		return
	}
	if term, known := o.leaderTermAt(msg.Term, msg.Index); known && !d.holds(msg.Index, term) {
		o.world.fail(OracleDurable,
			"member %d acknowledges index %d to the leader of term %d, which "+
				"has an entry of term %d there; the durable one is another", m.index, msg.Index,
			msg.Term, term)
	}
}

// leaderTermAt is the term of the entry at an index in the log of the leader of a term, as far as
// its messages have shown it.
func (o *oracles) leaderTermAt(term raft.Term, i raft.Index) (raft.Term, bool) {
	if t, ok := o.wire.prefix[position{term, i}]; ok {
		return t, true
	}
	_, own := o.wire.entries[position{term, i}]
	return term, own
}

// leader is the member that leads in the highest term, if it is up; -1 otherwise.
func (o *oracles) leader() int {
	if i, ok := o.wire.leaders[o.wire.top]; ok && o.world.members[i].life == up {
		return i
	}
	return -1
}
