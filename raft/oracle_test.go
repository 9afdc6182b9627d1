package raft

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
)

// The naive oracle: it sees every member's memory and disk image, keeps the history of the whole
// cluster in plain maps, and compares after every step. Its checks carry the names of the rules.

type createdEntry struct {
	name     string // who proposed it and what it says
	prevTerm Term
}

type voteKey struct {
	member MemberID
	term   Term
}

type readKey struct {
	member MemberID
	start  Incarnation
	id     ReadID
}

// lastSeen is what must not move back within one start.
type lastSeen struct {
	start           Incarnation
	term            Term
	commit, applied Index
	leader          bool
	last            Index
}

type oracle struct {
	t           require.TestingT
	c           *testCluster
	leaders     map[Term]string
	votes       map[voteKey]MemberID
	created     map[Term]map[Index]createdEntry
	committed   []Entry // position 0 is index 1
	committedBy []Term  // the term of the leader that first knew it
	reads       map[readKey]Index
	seen        map[MemberID]lastSeen
	reached     map[string]int
}

func newOracle(t require.TestingT, c *testCluster) *oracle {
	return &oracle{
		t: t, c: c, leaders: map[Term]string{}, votes: map[voteKey]MemberID{},
		created: map[Term]map[Index]createdEntry{}, reads: map[readKey]Index{},
		seen: map[MemberID]lastSeen{}, reached: map[string]int{},
	}
}

func entryName(e *Entry) string {
	return fmt.Sprintf("%d/%v/%d/%d/%q", e.Type, e.Proposer, e.Incarnation, e.Sequence, e.Data)
}

// outputs judges what member n wants done, before any of it happens.
func (o *oracle) outputs(n *testNode, out *Output) {
	for i := range out.Messages {
		o.promise(n, &out.Messages[i])
	}
	for i := range out.Appends {
		o.written(n, &out.Appends[i])
	}
	for _, rd := range out.Reads {
		key := readKey{n.id, n.set.Incarnation, rd.ID}
		floor, asked := o.reads[key]
		require.True(o.t, asked, "read %d was not asked by %v, or answered twice", rd.ID, n.id)
		delete(o.reads, key)
		if rd.Index != 0 {
			o.reached["read served"]++
			require.GreaterOrEqual(o.t, rd.Index, floor, "stale read at member %v", n.id)
		}
	}
}

// promise: votes and acknowledgements on the wire are on the disk.
func (o *oracle) promise(n *testNode, m *Message) {
	switch {
	case m.Type == MsgVoteResp && !m.Reject:
		key := voteKey{n.id, m.Term}
		old, voted := o.votes[key]
		require.True(o.t, !voted || old == m.To, "member %v votes twice in term %d", n.id, m.Term)
		o.votes[key] = m.To
		h := n.disk.hard
		require.True(o.t, h.Term > m.Term || (h.Term == m.Term && h.Vote == m.To),
			"vote of %v for %v in term %d leaves before it is durable: %+v", n.id, m.To, m.Term, h)
	case m.Type == MsgAppendResp && !m.Reject:
		t := o.termOf(n, m.Index)
		require.True(o.t, n.disk.holds(m.Index, t) || n.disk.installed.Index >= m.Index,
			"member %v acknowledges %d of term %d; its disk ends at %d",
			n.id, m.Index, t, n.disk.last())
	case m.Type == MsgHeartbeat:
		to := o.c.node(m.To)
		if to.up && m.Commit > 0 && to.r.term == m.Term {
			require.True(o.t, to.disk.last() >= m.Commit, "heartbeat commit beyond what matches")
		}
	}
}

func (o *oracle) termOf(n *testNode, i Index) Term {
	t, ok := n.r.log.term(i)
	if !ok {
		require.LessOrEqual(o.t, int(i), len(o.committed))
		t = o.committed[i-1].Term
	}
	return t
}

// written: one entry per term and index ever, and always after the same entry (log matching).
func (o *oracle) written(n *testNode, a *Append) {
	for i := range a.Entries {
		e := &a.Entries[i]
		prev, ok := n.r.log.term(e.Index - 1)
		if i > 0 {
			prev, ok = a.Entries[i-1].Term, true
		}
		if !ok {
			continue // overwritten again meanwhile
		}
		byIndex := o.created[e.Term]
		if byIndex == nil {
			byIndex = map[Index]createdEntry{}
			o.created[e.Term] = byIndex
		}
		now := createdEntry{entryName(e), prev}
		old, known := byIndex[e.Index]
		require.True(o.t, !known || old == now, "two entries (%d, term %d): %v and %v",
			e.Index, e.Term, old, now)
		byIndex[e.Index] = now
	}
}

// step judges the state of member n after anything happened to it.
func (o *oracle) step(n *testNode) {
	if !n.up {
		return
	}
	r := n.r
	was := o.seen[n.id]
	if was.start != n.set.Incarnation {
		was = lastSeen{start: n.set.Incarnation}
	}
	require.GreaterOrEqual(o.t, r.term, was.term)
	require.GreaterOrEqual(o.t, r.commit, was.commit)
	require.GreaterOrEqual(o.t, r.applied, was.applied)
	leads := r.role == Leader
	if leads && was.leader && was.term == r.term {
		require.GreaterOrEqual(o.t, r.log.last, was.last, "a leader's log shrinks")
	}
	o.newlyCommitted(n, was.commit)
	if leads && (!was.leader || was.term != r.term) {
		o.newLeader(n)
	}
	o.unsettledChanges(n)
	o.seen[n.id] = lastSeen{n.set.Incarnation, r.term, r.commit, r.applied, leads, r.log.last}
	require.NoError(o.t, r.Check())
}

// newLeader: one leader per term, with every committed entry.
func (o *oracle) newLeader(n *testNode) {
	name := fmt.Sprintf("%v/%d", n.id, n.set.Incarnation)
	old, known := o.leaders[n.r.term]
	require.True(o.t, !known || old == name, "two leaders in term %d: %s, %s", n.r.term, old, name)
	o.leaders[n.r.term] = name
	o.reached["leader elected"]++
	o.elected(n)
	for i := range o.committed {
		at := Index(i + 1)
		if o.committedBy[i] >= n.r.term || at < n.r.log.prev {
			continue
		}
		t, ok := n.r.log.term(at)
		require.True(o.t, ok && t == o.committed[i].Term,
			"leader %s of term %d lacks committed entry %d", name, n.r.term, at)
	}
}

// elected: majorities of both halves of the leader's configuration have voted for it, durably.
func (o *oracle) elected(n *testNode) {
	config := &n.r.configs.current().config
	if len(config.Outgoing) > 0 {
		o.reached["elected in joint"]++
	}
	for _, voters := range [][]MemberID{config.Voters, config.Outgoing} {
		votes := 0
		for _, v := range voters {
			if o.votes[voteKey{v, n.r.term}] == n.id || v == n.id {
				votes++
			}
		}
		require.True(o.t, len(voters) == 0 || votes >= majority(len(voters)),
			"%v leads term %d with %d votes of %v", n.id, n.r.term, votes, voters)
	}
}

// newlyCommitted: members agree on what is committed, and it is on a quorum of disks.
func (o *oracle) newlyCommitted(n *testNode, from Index) {
	for i := max(from, n.r.log.prev) + 1; i <= n.r.commit; i++ {
		t, ok := n.r.log.term(i)
		require.True(o.t, ok)
		if int(i) <= len(o.committed) {
			require.Equal(o.t, o.committed[i-1].Term, t, "members differ at committed index %d", i)
			continue
		}
		require.Equal(o.t, int(i), len(o.committed)+1)
		require.Equal(o.t, Leader, n.r.role, "first known committed by a %v", n.r.role)
		w := n.r.log.slice(i, i, 1)
		if len(w) == 0 {
			w = []Entry{n.disk.log[i-n.disk.snap.Index-1]}
		}
		o.committed = append(o.committed, w[0])
		o.committedBy = append(o.committedBy, n.r.term)
	}
	if n.r.role != Leader || n.r.commit <= from || n.r.commit == n.r.log.prev {
		return
	}
	top := n.r.commit
	t, _ := n.r.log.term(top)
	require.Equal(o.t, n.r.term, t, "leader commits an entry of another term directly")
	o.reached["commit"]++
	config := &n.r.configs.current().config
	if len(config.Outgoing) > 0 {
		o.reached["joint commit"]++
	}
	for _, voters := range [][]MemberID{config.Voters, config.Outgoing} {
		holders := 0
		for _, v := range voters {
			d := &o.c.node(v).disk
			if d.holds(top, t) || d.installed.Index >= top {
				holders++
			}
		}
		require.True(o.t, len(voters) == 0 || holders >= majority(len(voters)),
			"entry %d is committed on %d disks of %v", top, holders, voters)
	}
}

// unsettledChanges: no log holds two configuration entries that are not committed.
func (o *oracle) unsettledChanges(n *testNode) {
	unsettled := 0
	for i := range n.r.configs {
		if int(n.r.configs[i].index) > len(o.committed) {
			unsettled++
		}
	}
	require.LessOrEqual(o.t, unsettled, 1, "member %v holds two unsettled changes", n.id)
	if unsettled == 1 {
		o.reached["change unsettled"]++
	}
}

// applied: what a member applies is what was committed, without a gap.
func (o *oracle) applied(n *testNode, before Index, entries []Entry) {
	for i := range entries {
		at := before + Index(i) + 1
		require.Equal(o.t, at, entries[i].Index)
		require.LessOrEqual(o.t, int(at), len(o.committed))
		require.Equal(o.t, entryName(&o.committed[at-1]), entryName(&entries[i]),
			"member %v applies something else at %d", n.id, at)
	}
}

// asked notes the floor of a read: all that was committed when it began.
func (o *oracle) asked(n *testNode, id ReadID) {
	o.reads[readKey{n.id, n.set.Incarnation, id}] = Index(len(o.committed))
}

// forget drops the unanswered reads of a member that crashed.
func (o *oracle) forget(n *testNode) {
	for key := range o.reads {
		if key.member == n.id {
			delete(o.reads, key)
		}
	}
}

func sortedCounts(m map[string]int) (lines []string) {
	for k, v := range m {
		lines = append(lines, fmt.Sprintf("%s %d", k, v))
	}
	slices.Sort(lines)
	return lines
}
