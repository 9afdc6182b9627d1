package sim

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// memberOracle knows the membership after every committed change, as plain lists, and the changes
// that were seen on their way. From that it says whose word makes a quorum: the other oracles count
// by its lists, not by what a member believes.
//
// Two rules of membership are judged here, at the moment a leader sends a change: an entry of its
// own term is on a quorum of disks, and so is the change before it. Breaking either does harm only
// in rare company, so the rule itself is watched.
type memberOracle struct {
	// history is the membership after the change at each index, the initial one first.
	history []membership
	// sent are changes that were seen and are not committed yet.
	sent []sentChange
	// judged are those of them that their leader has sent.
	judged []position
}

// membership is who belongs to the cluster.
type membership struct {
	index   raft.Index // of the change that made it
	members []fellow   // sorted by id
	// outgoing are the old voters while a change of several is under way.
	outgoing []raft.MemberID
	removed  []raft.MemberID
}

// fellow is one member.
type fellow struct {
	id      raft.MemberID
	votes   bool // it counts
	learner bool // clients see a learner
	urls    []string
}

type sentChange struct {
	at     position
	change raft.ConfigChange
}

func newMemberOracle(p *Plan) memberOracle {
	first := membership{index: firstIndex - 1}
	for i := range p.Founders {
		first.members = append(first.members, fellow{id: memberID(i), votes: true,
			urls: []string{machineURL(i)}})
	}
	return memberOracle{history: []membership{first}}
}

// now is the membership after the last committed change.
func (o *memberOracle) now() *membership { return &o.history[len(o.history)-1] }

// at is the membership in force at an index, as far as that is committed.
func (o *memberOracle) at(i raft.Index) *membership {
	k := len(o.history) - 1
	for k > 0 && o.history[k].index > i {
		k--
	}
	return &o.history[k]
}

// wasRemoved says whether an id was a member's and must not come back.
func (m *membership) wasRemoved(id raft.MemberID) bool { return slices.Contains(m.removed, id) }

// voters are those who count.
func (m *membership) voters() (ids []raft.MemberID) {
	for _, f := range m.members {
		if f.votes {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// after is the membership that a change makes; ok is false if it makes no sense.
func (m *membership) after(i raft.Index, change *raft.ConfigChange) (next membership, ok bool) {
	next = membership{index: i, members: slices.Clone(m.members),
		removed: slices.Clone(m.removed)}
	if leaves := change.Changes[0].Kind == raft.LeaveJoint; leaves || len(m.outgoing) > 0 {
		return next, leaves && len(m.outgoing) > 0
	}
	for _, c := range change.Changes {
		k := slices.IndexFunc(next.members, func(f fellow) bool { return f.id == c.Member })
		var sent kv.Member
		if len(c.Context) > 0 {
			var err error
			if sent, err = kv.DecodeMember(c.Context); err != nil {
				return next, false
			}
		}
		switch {
		case c.Kind == raft.RemoveMember && k >= 0:
			next.members = slices.Delete(next.members, k, k+1)
			next.removed = append(next.removed, c.Member)
		case c.Kind == raft.UpdateMember && k >= 0:
			if len(c.Context) > 0 {
				next.members[k].urls = sent.PeerURLs
			}
		case c.Kind == raft.AddVoter && k >= 0 && !next.members[k].votes:
			next.members[k].votes, next.members[k].learner = true, false
		case (c.Kind == raft.AddLearner || c.Kind == raft.AddVoter) && k < 0 &&
			!next.wasRemoved(c.Member):
			next.members = append(next.members, fellow{id: c.Member,
				votes: c.Kind == raft.AddVoter, learner: sent.Learner == kv.LearnerOnly,
				urls: sent.PeerURLs})
		default:
			return next, false
		}
	}
	slices.SortFunc(next.members, func(a, b fellow) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	if differ(m.voters(), next.voters()) > 1 {
		next.outgoing = m.voters()
	}
	return next, true
}

// differ counts those who are in one list only.
func differ(a, b []raft.MemberID) (count int) {
	for _, pair := range [2][2][]raft.MemberID{{a, b}, {b, a}} {
		for _, id := range pair[0] {
			if !slices.Contains(pair[1], id) {
				count++
			}
		}
	}
	return count
}

// quorum says whether a majority of the voters, and of the outgoing ones if there are any, passes.
func (m *membership) quorum(passing map[raft.MemberID]bool) bool {
	for _, voters := range [][]raft.MemberID{m.voters(), m.outgoing} {
		count := 0
		for _, id := range voters {
			if passing[id] {
				count++
			}
		}
		if len(voters) > 0 && count <= len(voters)/2 {
			return false
		}
	}
	return true
}

// reshaped takes a committed change.
func (o *oracles) reshaped(e *raft.Entry) {
	x := &o.membership
	change, err := raft.DecodeChange(e.Data)
	if err != nil {
		o.world.fail(OracleCodec, "the change at index %d does not decode: %v", e.Index, err)
		return
	}
	next, ok := x.now().after(e.Index, &change)
	if !ok {
		o.world.fail(OracleRaft, "the change at index %d makes no sense after the one at %d: %+v",
			e.Index, x.now().index, change)
		return
	}
	before := x.now()
	x.history = append(x.history, next)
	x.sent = slices.DeleteFunc(x.sent, func(s sentChange) bool { return s.at.index <= e.Index })
	for _, f := range next.members {
		known := slices.ContainsFunc(before.members, func(g fellow) bool { return g.id == f.id })
		if !known {
			o.world.enlist(f.id, f.urls)
		}
	}
	o.world.counts.Changes++
	if len(next.outgoing) > 0 {
		o.world.counts.Joints++
	}
}

// noted remembers a change that a member writes to its log.
func (o *oracles) noted(m *member, e *raft.Entry) {
	if e.Type != raft.EntryConfig || e.Index <= o.commit.last() {
		return
	}
	x := &o.membership
	at := position{e.Term, e.Index}
	if slices.ContainsFunc(x.sent, func(s sentChange) bool { return s.at == at }) {
		return
	}
	change, err := raft.DecodeChange(e.Data)
	if err != nil {
		o.world.fail(OracleCodec, "member %d has a change that does not decode: %v", m.index, err)
		return
	}
	x.sent = append(x.sent, sentChange{at: at, change: change})
}

// seen judges whether the leader of a term may send a change, once for each that it made.
func (o *oracles) seen(m *member, leader raft.Term, e *raft.Entry) {
	at := position{e.Term, e.Index}
	if e.Type != raft.EntryConfig || e.Index <= o.commit.last() || e.Term != leader ||
		slices.Contains(o.membership.judged, at) {
		return
	}
	o.noted(m, e)
	o.mayChange(m, e)
	o.membership.judged = append(o.membership.judged, at)
}

// mayChange judges a change that the leader of its term made.
func (o *oracles) mayChange(m *member, e *raft.Entry) {
	first := o.commit.last() + 1 // the first of the leader's own term, if none is known committed
	for first < e.Index {
		if _, own := o.wire.entries[position{e.Term, first}]; own {
			break
		}
		first++
	}
	if o.commit.termAt(o.commit.last()) < e.Term && !o.onQuorum(first, e.Term) {
		o.world.fail(OracleRaft, "member %d changes the membership at index %d, before an entry "+
			"of its term %d is committed", m.index, e.Index, e.Term)
		return
	}
	for _, s := range o.membership.sent {
		term, known := o.leaderTermAt(e.Term, s.at.index)
		if s.at.index < e.Index && s.at.index > o.commit.last() && known && term == s.at.term &&
			!o.onQuorum(s.at.index, s.at.term) {
			o.world.fail(OracleRaft, "member %d changes the membership at index %d, while the "+
				"change at index %d is not committed", m.index, e.Index, s.at.index)
			return
		}
	}
}

// onQuorum says whether an entry is on a quorum of disks, by the membership in force there or by
// that of a change that may follow it in the leader's log.
func (o *oracles) onQuorum(i raft.Index, term raft.Term) bool {
	x := &o.membership
	if o.holds(x.at(i), i, term) {
		return true
	}
	for k := range x.sent {
		if next, ok := x.now().after(x.sent[k].at.index, &x.sent[k].change); ok &&
			o.holds(&next, i, term) {
			return true
		}
	}
	return o.onQuorumAhead(i, term)
}

// onQuorumAhead counts by the membership of a leader whose next change waits in memory for its turn
// at the log: it is in force there, and one step from what is committed.
func (o *oracles) onQuorumAhead(i raft.Index, term raft.Term) bool {
	for _, machine := range o.world.members {
		if machine.life != up {
			continue
		}
		s := machine.driver.Node.State().Raft
		if s.Role != raft.Leader || s.Term < term {
			continue
		}
		var next membership
		for _, id := range s.Config.Voters {
			next.members = append(next.members, fellow{id: id, votes: true})
		}
		next.outgoing = s.Config.Outgoing
		now := o.membership.now()
		single := len(next.outgoing) == 0 && differ(now.voters(), next.voters()) <= 1
		joint := slices.Equal(next.outgoing, now.voters())
		if (single || joint) && o.holds(&next, i, term) {
			return true
		}
	}
	return false
}

// holds counts the disks of one membership.
func (o *oracles) holds(m *membership, i raft.Index, term raft.Term) bool {
	holders := make(map[raft.MemberID]bool)
	for k, machine := range o.world.members {
		holders[machine.id] = o.ledger.members[k].durable.holds(i, term)
	}
	return m.quorum(holders)
}

// elects says whether the durable votes for a member in a term are a quorum, by the committed
// membership or by that of a change on its way.
func (o *oracles) elects(leader *member, term raft.Term) bool {
	x := &o.membership
	if o.votesFor(x.now(), leader.id, term) {
		return true
	}
	for k := range x.sent {
		if next, ok := x.now().after(x.sent[k].at.index, &x.sent[k].change); ok &&
			o.votesFor(&next, leader.id, term) {
			return true
		}
	}
	return false
}

func (o *oracles) votesFor(m *membership, leader raft.MemberID, term raft.Term) bool {
	votes := make(map[raft.MemberID]bool)
	for k, machine := range o.world.members {
		votes[machine.id] = o.ledger.votes[ballot{term: term, voter: k}] == leader
	}
	return m.quorum(votes)
}

// listed compares the answer to a change, or a list of members, with the membership as of then.
func (o *oracles) listed(m *member, index raft.Index, listed []*pb.Member) {
	want := o.membership.at(index).members
	same := slices.EqualFunc(want, listed, func(f fellow, l *pb.Member) bool {
		return uint64(f.id) == l.ID && f.learner == l.IsLearner && slices.Equal(f.urls, l.PeerURLs)
	})
	if !same {
		o.world.fail(OracleModel, "member %d lists %v as of index %d, the model %+v", m.index,
			listed, index, want)
	}
}

// changed checks the answer to a change.
func (o *oracles) changed(m *member, method kv.Method, a *kv.Answer, body []byte) {
	if a.Code != kv.OK {
		return
	}
	var added pb.MemberAddResponse
	var others pb.MemberRemoveResponse
	var err error
	if method == kv.MethodMemberAdd {
		err = unmarshal(body, &added)
		others.Members = added.Members
	} else {
		err = unmarshal(body, &others)
	}
	if err != nil {
		o.world.fail(OracleCodec, "the answer of member %d to a change does not decode: %v",
			m.index, err)
		return
	}
	o.listed(m, a.Index, others.Members)
}
