package sim

import (
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/raft"
)

// commitOracle holds the one history of the cluster: the entry at every index, as the first member
// to apply it showed it, and the state of the reference model after it. Every other member, and
// every restart, must agree with both.
type commitOracle struct {
	// entries[i] is the entry at index i+firstIndex.
	entries []committed
	state   *linearizability.State
	alarms  []kv.Alarm // raised, oldest first
	windows map[raft.MemberID]*seen
	// since and compactions are what a judge of watches needs: when each revision, from 2 on, and
	// each compaction took effect on the first member.
	since       []int64
	newest      int64 // when the newest entry was first applied
	compactions []linearizability.CompactionTime
}

// truth is the true history, for judges of watches.
func (c *commitOracle) truth() *linearizability.WatchTruth {
	return &linearizability.WatchTruth{Newest: c.state, Since: c.since,
		Compactions: c.compactions}
}

// firstIndex is the first index that holds an entry; what precedes is the initial state.
const firstIndex = 2

// committed is one entry of the history.
type committed struct {
	mark     entryMark
	chain    uint64    // hash over this and all earlier entries
	seenTerm raft.Term // highest term with a leader when it was first applied
	revision int64     // of the model after it
	rights   *linearizability.Rights
	state    *linearizability.State
	digest   uint64 // of a member's state after it, 0 while unknown
	holder   int    // the member that digest is from
}

// seen is what a proposer's entries have shown: a twin of the node's request windows, without
// their bound.
type seen struct {
	incarnation raft.Incarnation
	applied     map[raft.Sequence]struct{}
}

func newCommitOracle() commitOracle {
	return commitOracle{
		state: linearizability.NewState(), windows: make(map[raft.MemberID]*seen),
	}
}

func (c *commitOracle) at(i raft.Index) *committed {
	if i < firstIndex || int(i-firstIndex) >= len(c.entries) {
		return nil
	}
	return &c.entries[i-firstIndex]
}

func (c *commitOracle) last() raft.Index { return firstIndex + raft.Index(len(c.entries)) - 1 }

// termAt is the term of a committed entry, 0 where none is known.
func (c *commitOracle) termAt(i raft.Index) raft.Term {
	if e := c.at(i); e != nil {
		return e.mark.term
	}
	return 0
}

// agrees says whether the leader of a term may have this entry at an index.
func (c *commitOracle) agrees(i raft.Index, mark entryMark, leaderTerm raft.Term) bool {
	e := c.at(i)
	return e == nil || e.mark == mark || leaderTerm <= e.seenTerm
}

// applied takes an entry that a member has applied.
func (c *commitOracle) applied(w *world, m *member, e *raft.Entry) {
	mark := w.oracle.identity(m, e)
	if known := c.at(e.Index); known != nil {
		if known.mark != mark {
			w.fail(OracleRaft,
				"member %d applies an entry of term %d at index %d, where one of term %d "+
					"was applied before", m.index, e.Term, e.Index, known.mark.term)
		}
		return
	}
	if e.Index != c.last()+1 {
		w.fail(OracleRaft, "member %d applies index %d, but nothing after %d was ever committed",
			m.index, e.Index, c.last())
		return
	}
	if !w.oracle.onQuorum(e.Index, e.Term) {
		w.fail(OracleDurable, "member %d applies index %d, which is durable on %d machines, and "+
			"they are no quorum: %s", m.index, e.Index, w.oracle.ledger.copies(e.Index, e.Term),
			w.situation())
		return
	}
	next := committed{mark: mark, seenTerm: w.oracle.wire.top, chain: fold(mark.hash,
		uint64(mark.term))}
	if before := c.at(e.Index - 1); before != nil {
		if mark.term < before.mark.term {
			w.fail(OracleRaft, "the entry at index %d has term %d, lower than the one before it",
				e.Index, mark.term)
		}
		next.chain = fold(before.chain, next.chain)
	}
	c.execute(w, e)
	next.revision, next.rights, next.state = c.state.Revision(), w.oracle.auth.rights, c.state
	for int64(len(c.since)) < next.revision-1 {
		c.since = append(c.since, c.seenFrom(w, e))
	}
	c.newest = w.now
	c.entries = append(c.entries, next)
	w.counts.Commits++
}

// execute does to the model what an entry must do, and tells the call what the world knows of it.
func (c *commitOracle) execute(w *world, e *raft.Entry) {
	if e.Type == raft.EntryConfig {
		w.oracle.reshaped(e)
		return
	}
	if at, ids, ok := kv.DecodeExpiry(e); ok {
		if c.admit(w, e) {
			c.expire(w, e, at, ids)
		}
		return
	}
	inner, who, ok := openSeal(e)
	if !ok {
		return
	}
	if kv.Method(inner.Type-raft.EntryApplication) == kv.MethodAuthenticate {
		c.loggedIn(w, e, inner.Data, who)
		return
	}
	if inner.Type == raft.EntryApplication+raft.EntryType(kv.MethodAlarm) {
		c.alarm(w, e, inner.Data)
		return
	}
	raw := requestIn(&inner)
	number, ok := markOf(raw)
	if !ok || number == 0 || number > uint64(len(w.calls)) {
		w.fail(OracleRaft, "the entry at index %d is no request of any client", e.Index)
		return
	}
	call := w.calls[number-1]
	if !call.sameRequest(raw) || who.Revision != 0 && who.User != call.user {
		w.fail(OracleRaft, "the entry at index %d is not what client %d sent as call %d", e.Index,
			call.client, number)
		return
	}
	if !c.admit(w, e) {
		return
	}
	if call.effective != 0 {
		w.fail(OracleRaft, "call %d takes effect at index %d and again at %d", number,
			call.effective,
			e.Index)
		return
	}
	call.effective, call.appliedAt, call.order = e.Index, w.now, orderOf(e.Index, 0)
	before, request, ttl := c.state, call.request.modelled, int64(0)
	if alarm := c.stopped(&request); alarm != "" {
		call.expectedErr = alarm
	} else if refused := w.oracle.auth.refuses(call, who, before); refused != "" {
		call.expectedErr = refused
	} else if call.request.auth != nil {
		w.oracle.auth.changed(call, e.Index)
	} else {
		if request.Grant != nil {
			request.Grant, ttl = c.grants(w, &inner, request.Grant)
			call.granted = request.Grant
		}
		c.state, call.expected, call.expectedErr = before.Apply(&request)
	}
	call.revision = c.state.Revision()
	if c.state != before {
		call.changed = changedStore
		w.oracle.leases.follow(w, e.Index, &request, ttl)
		if compact := call.request.modelled.Compact; compact != nil {
			c.compactions = append(c.compactions, linearizability.CompactionTime{
				Revision: compact.Revision, Time: w.now})
		}
	}
}

// requestIn is the client's request in an entry.
func requestIn(e *raft.Entry) []byte {
	if _, _, raw, ok := kv.DecodeGrant(e); ok {
		return raw
	}
	return e.Data
}

// admit says whether a request takes effect: once, not after a later start of its proposer, and not
// when that is no member any more.
func (c *commitOracle) admit(w *world, e *raft.Entry) bool {
	if w.oracle.membership.now().wasRemoved(e.Proposer) {
		return false
	}
	s := c.windows[e.Proposer]
	if s == nil {
		s = &seen{applied: make(map[raft.Sequence]struct{})}
		c.windows[e.Proposer] = s
	}
	if e.Incarnation < s.incarnation {
		return false
	}
	if e.Incarnation > s.incarnation {
		s.incarnation = e.Incarnation
		clear(s.applied)
	}
	if _, again := s.applied[e.Sequence]; again {
		return false
	}
	s.applied[e.Sequence] = struct{}{}
	return true
}

// stateAt compares a member's state with the model and with the other members at the same index.
func (c *commitOracle) stateAt(w *world, m *member, s *kv.State) {
	e := c.at(s.Applied)
	if e == nil {
		if s.Applied >= firstIndex {
			w.fail(OracleRaft, "member %d is at index %d, but nothing after %d was ever committed",
				m.index, s.Applied, c.last())
		}
		return
	}
	m.applied = s.Applied
	if s.Raft.Role == raft.Leader {
		w.oracle.leads(m, s.Raft.Term) // a lone member leads without a word
	}
	if int64(s.Revision) != e.revision {
		w.fail(OracleModel, "member %d is at revision %d at index %d, the model at %d", m.index,
			s.Revision, s.Applied, e.revision)
		return
	}
	if s.AuthRevision != e.rights.Revision || s.AuthEnabled != e.rights.Enabled {
		w.fail(OracleModel, "member %d has auth revision %d (enabled: %v) at index %d, the model "+
			"%d (%v)", m.index, s.AuthRevision, s.AuthEnabled, s.Applied, e.rights.Revision,
			e.rights.Enabled)
		return
	}
	if e.digest == 0 {
		e.digest, e.holder = s.Digest, m.index
	} else if e.digest != s.Digest {
		w.fail(OracleHash, "members %d and %d differ at index %d: digests %x and %x", m.index,
			e.holder,
			s.Applied, s.Digest, e.digest)
	}
}

// replied checks an answer to a write against what the history says about it.
func (o *oracles) replied(m *member, c *call, a *kv.Answer, body []byte) {
	w := o.world
	if a.Index == 0 {
		return
	}
	if c.request.isChange() {
		o.changed(m, c.request.method, a, body)
		return
	}
	switch {
	case c.effective == 0:
		w.fail(OracleRaft, "member %d answers call %d at index %d, where it took no effect",
			m.index,
			c.number, a.Index)
	case c.effective != a.Index:
		w.fail(OracleRaft, "member %d answers call %d at index %d, but it took effect at %d",
			m.index,
			c.number, a.Index, c.effective)
	case a.Code != kv.OK && a.Code.Text() != c.expectedErr && !a.Code.Maybe():
		w.fail(OracleModel, "call %d is answered %q, the model says %q: %s", c.number,
			a.Code.Text(),
			c.expectedErr, c.describe())
	case a.Code == kv.OK && c.expectedErr != "":
		w.fail(OracleModel, "call %d succeeds, the model says %q: %s", c.number, c.expectedErr,
			c.describe())
	}
}
