package raft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Rules that need a closer look than a script gives. SAFETY.md says which rule is guarded where.

// lagging returns a follower whose log ends at (2, term 1), commit 1, and which hears leader 2.
func lagging() *Raft {
	set := testSettings(1)
	set.Incarnation = 5
	r := New(set, Restored{
		Hard:     HardState{Term: 1, Commit: 1},
		Snapshot: Snapshot{Config: voters(1, 2, 3)},
		Last:     2, Runs: []TermRun{{First: 1, Term: 1}},
		Entries: []Entry{
			{Term: 1, Index: 1, Type: EntryNormal}, {Term: 1, Index: 2, Type: EntryNormal},
		},
	})
	r.Receive(Message{Type: MsgHeartbeat, From: 2, To: 1, FromIncarnation: 1, Term: 1})
	return r
}

func take(r *Raft) Output {
	var out Output
	r.Take(&out)
	return out
}

func only(t *testing.T, out Output, kind MessageType) Message {
	t.Helper()
	var found []Message
	for _, m := range out.Messages {
		if m.Type == kind {
			found = append(found, m)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

func TestSnapshotIsRefusedUnlessItBringsTheMemberForward(t *testing.T) {
	r := lagging()
	require.False(t, r.WantsSnapshot(1, 1), "committed already")
	require.False(t, r.WantsSnapshot(2, 1), "the log has that entry")
	require.True(t, r.WantsSnapshot(2, 3), "the log has another entry there")
	require.True(t, r.WantsSnapshot(9, 3))
	require.Panics(t, func() {
		r.Applied(1)
		r.Restore(Snapshot{Index: 1, Term: 1})
	}, "the state machine must not go back")
}

func TestRestoreReplacesAConflictingLog(t *testing.T) {
	r := lagging()
	r.Restore(Snapshot{Index: 9, Term: 3, Config: voters(1, 2)})
	out := take(r)
	require.Len(t, out.Appends, 1)
	require.Equal(t, Index(9), out.Appends[0].Snapshot.Index)
	require.True(t, out.Appends[0].MustSync)
	require.Equal(t, Term(3), out.Appends[0].Hard.Term)
	require.Empty(t, out.Messages, "nothing is acknowledged before the marker is durable")
	r.Synced(out.Appends[0].Ticket)
	require.Empty(t, take(r).Messages, "the leader of term 3 is not known yet")
	r.Receive(Message{
		Type: MsgAppend, From: 3, To: 1, FromIncarnation: 1, Term: 3, Index: 9, LogTerm: 3,
	})
	require.Equal(t, Index(9), only(t, take(r), MsgAppendResp).Index)
	st := r.Status()
	require.Equal(t, []Index{9, 9, 10, 9, 9},
		[]Index{st.Commit, st.Applied, st.First, st.Last, st.Durable})
	require.Equal(t, voters(1, 2), st.Config)
	require.NoError(t, r.Check())
}

// Power is lost after a state was installed and before its marker was written.
func TestStateAheadOfTheLogBringsItsTerm(t *testing.T) {
	r := New(testSettings(1), Restored{
		Hard:     HardState{Term: 2, Vote: 3},
		Snapshot: Snapshot{Index: 9, Term: 4, Config: voters(1, 2, 3)},
		Applied:  9, Last: 9,
	})
	require.Equal(t, Term(4), r.Status().Term)
	require.Zero(t, r.Status().Vote)
	out := take(r)
	require.Equal(t, HardState{Term: 4, Commit: 9}, out.Appends[0].Hard)
}

// What follows the snapshot in a log that agrees with it may have been acknowledged.
func TestRestoreKeepsALogThatHasCaughtUp(t *testing.T) {
	r := lagging()
	r.Receive(Message{
		Type: MsgAppend, From: 2, To: 1, FromIncarnation: 1, Term: 1, Index: 2, LogTerm: 1,
		Entries: []Entry{{Term: 1, Index: 3, Type: EntryNormal}},
	})
	r.Restore(Snapshot{Index: 2, Term: 1, Config: voters(1, 2, 3)})
	st := r.Status()
	require.Equal(t, []Index{2, 2, 3}, []Index{st.Commit, st.Applied, st.Last})
	require.NoError(t, r.Check())
}

// The grant was given to a log; a later start of the candidate may have lost the end of that log.
func TestGrantIsMeantForTheStartThatAsked(t *testing.T) {
	r := lagging()
	r.sinceLeader = r.set.ElectionTicks
	r.Receive(Message{
		Type: MsgVote, From: 3, To: 1, FromIncarnation: 6, Term: 2, Index: 2, LogTerm: 1,
	})
	out := take(r)
	require.Empty(t, out.Messages)
	r.Receive(Message{Type: MsgPreVote, From: 3, To: 1, FromIncarnation: 7, Term: 3})
	r.Synced(out.Appends[0].Ticket)
	require.Equal(t, Incarnation(6), only(t, take(r), MsgVoteResp).ToIncarnation)
}

// A later start of a follower may use the same read id for a later read.
func TestReadAnswerIsMeantForTheStartThatAsked(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3), 1, 2, 3)
	l := c.elect(1)
	ask := Message{Type: MsgReadIndex, From: 2, To: 1, FromIncarnation: 1, Term: l.r.term, Read: 9}
	l.r.Receive(ask)
	take(l.r)
	round := l.r.reads.round
	later := ask
	later.FromIncarnation, later.Read = 2, 10
	l.r.Receive(later)
	l.r.Receive(Message{
		Type: MsgHeartbeatResp, From: 3, To: 1, FromIncarnation: 1, ToIncarnation: 1,
		Term: l.r.term, Round: round,
	})
	answer := only(t, take(l.r), MsgReadIndexResp)
	require.Equal(t, ReadID(9), answer.Read)
	require.Equal(t, Incarnation(1), answer.ToIncarnation)
}

// Answers that were meant for an earlier start of ours, and messages from an earlier start of
// theirs, do not count.
func TestMessagesAcrossARestartAreDropped(t *testing.T) {
	r := lagging()
	r.sinceLeader = r.set.ElectionTicks
	for r.role != PreCandidate {
		r.Tick(1)
	}
	yes := Message{
		Type: MsgPreVoteResp, From: 2, To: 1, FromIncarnation: 1, ToIncarnation: 4, Term: 2,
	}
	r.Receive(yes)
	require.Equal(t, PreCandidate, r.role, "meant for start 4; this is 5")
	r.Receive(Message{Type: MsgPreVote, From: 2, To: 1, FromIncarnation: 3, Term: 1})
	yes.ToIncarnation = 5
	r.Receive(yes)
	require.Equal(t, PreCandidate, r.role, "from start 1 of member 2, which is at 3")
	yes.FromIncarnation = 3
	r.Receive(yes)
	require.Equal(t, Candidate, r.role)
}

// Whoever acknowledges in a term must not fall back behind it: the leader of an earlier term could
// then cut what was acknowledged.
func TestAcknowledgementWaitsForTheTerm(t *testing.T) {
	r := lagging()
	r.Receive(Message{
		Type: MsgAppend, From: 3, To: 1, FromIncarnation: 1, Term: 2, Index: 2, LogTerm: 1,
	})
	out := take(r)
	require.Empty(t, out.Messages)
	require.Equal(t, Term(2), out.Appends[0].Hard.Term)
	r.Synced(out.Appends[0].Ticket)
	require.Equal(t, Index(2), only(t, take(r), MsgAppendResp).Index)
}

func TestStaleLeaderIsToldTheTerm(t *testing.T) {
	for _, kind := range []MessageType{MsgAppend, MsgHeartbeat, MsgVote, MsgPreVote} {
		r := lagging()
		r.Receive(Message{Type: MsgHeartbeat, From: 3, To: 1, FromIncarnation: 1, Term: 8})
		r.Receive(Message{Type: kind, From: 2, To: 1, FromIncarnation: 1, Term: 1})
		out := take(r)
		require.Len(t, out.Messages, 1)
		require.Equal(t, Term(8), out.Messages[0].Term)
		require.True(t, out.Messages[0].Reject || kind == MsgHeartbeat)
	}
}

// The same leader in a new term has forgotten what it was asked in the old one.
func TestForwardedReadsFailWithTheTerm(t *testing.T) {
	r := lagging()
	r.ReadIndex(4)
	only(t, take(r), MsgReadIndex)
	r.Receive(Message{Type: MsgHeartbeat, From: 2, To: 1, FromIncarnation: 1, Term: 3})
	require.Equal(t, []ReadReady{{ID: 4}}, take(r).Reads)
}

func TestUncommittedBytesAreBounded(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3), 1, 2, 3)
	l := c.elect(1)
	l.r.set.MaxUncommittedBytes = 3 * entryHeaderSize
	c.propose(l, "", "", "", "", "")
	require.Len(t, take(l.r).Dropped, 2)
	c.propose(l, "")
	require.Len(t, take(l.r).Dropped, 1)
	c.propose(c.node(2), make([]string, 2000)...)
	require.NotEmpty(t, take(c.node(2).r).Dropped, "a follower's queue is bounded too")
}

// What a disk that stands still has not taken is bounded, at a leader whose followers commit
// without it and at a follower.
func TestWhatIsNotDurableIsBounded(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3, 4, 5), 1, 2, 3, 4, 5)
	l, f := c.elect(1), c.node(5)
	bound := 20 * entryHeaderSize
	for _, n := range []*testNode{l, f} {
		n.r.set.MaxLogBytes, n.r.set.MaxUncommittedBytes = bound/2, bound/2
	}
	dropped := 0
	for range 100 {
		c.propose(l, "")
		dropped += len(take(l.r).Dropped)
		last := l.r.log.last
		f.r.Receive(Message{Type: MsgAppend, From: 1, FromIncarnation: 1, To: 5,
			ToIncarnation: 1, Term: l.r.term, Index: last - 1, LogTerm: l.r.term,
			Commit: l.r.commit, Entries: l.r.log.slice(last, last, 1)})
		take(f.r)
		for from := MemberID(2); from <= 4; from++ {
			l.r.Receive(Message{Type: MsgAppendResp, From: from, FromIncarnation: 1, To: 1,
				ToIncarnation: 1, Term: l.r.term, Index: last})
		}
		take(l.r)
		require.LessOrEqual(t, l.r.log.bytes, bound+2*entryHeaderSize)
		require.LessOrEqual(t, f.r.log.bytes, bound+2*entryHeaderSize)
	}
	require.Greater(t, dropped, 50)
	require.Greater(t, l.r.commit, l.r.disk.durable)
}

func TestInflightMessagesAreBounded(t *testing.T) {
	c := newCluster(t, voters(1, 2), 1, 2)
	l := c.elect(1)
	l.r.set.MaxInflightMessages = 2
	appends := 0
	for range 5 {
		c.propose(l, "x")
		for _, m := range take(l.r).Messages {
			if m.Type == MsgAppend {
				appends++
			}
		}
	}
	require.Equal(t, 2, appends)
}

func TestOneAppendPerFollowerCarriesAllThatGathered(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3), 1, 2, 3)
	l := c.elect(1)
	for range 10 {
		c.propose(l, "x")
	}
	out := take(l.r)
	require.Len(t, out.Appends, 1)
	require.Len(t, out.Appends[0].Entries, 10)
	require.Len(t, out.Messages, 2)
	for _, m := range out.Messages {
		require.Len(t, m.Entries, 10)
	}
}

func TestEntryTimesNeverGoBack(t *testing.T) {
	c := newCluster(t, voters(1), 1)
	c.tick(25)
	l := c.leader()
	l.r.Tick(1 << 40)
	c.propose(l, "a")
	l.r.Tick(500)
	c.propose(l, "b")
	w := l.r.log.window
	require.Equal(t, []int64{1 << 40, 1 << 40}, []int64{w[len(w)-2].Time, w[len(w)-1].Time})
}

func TestNewRefusesContradictions(t *testing.T) {
	good := func() Restored {
		return Restored{
			Hard:     HardState{Term: 2, Commit: 1},
			Snapshot: Snapshot{Config: voters(1)},
			Last:     2, Runs: []TermRun{{1, 1}, {2, 2}},
			Entries: []Entry{{Term: 2, Index: 2, Type: EntryNormal}},
		}
	}
	require.NotPanics(t, func() { New(testSettings(1), good()) })
	for name, spoil := range map[string]func(*Restored){
		"commit beyond log":     func(st *Restored) { st.Hard.Commit = 3 },
		"applied beyond log":    func(st *Restored) { st.Applied = 3 },
		"term below log":        func(st *Restored) { st.Hard.Term = 1 },
		"run missing":           func(st *Restored) { st.Runs = st.Runs[1:] },
		"runs out of order":     func(st *Restored) { st.Runs[1].Term = 1 },
		"entry of other term":   func(st *Restored) { st.Entries[0].Term = 1 },
		"entries end elsewhere": func(st *Restored) { st.Entries[0].Index = 1 },
		"config of nowhere":     func(st *Restored) { st.Configs = []Entry{{Term: 1, Index: 1}} },
	} {
		st := good()
		spoil(&st)
		require.Panics(t, func() { New(testSettings(1), st) }, name)
	}
}

func TestChangesThatAreRefused(t *testing.T) {
	c := Config{Voters: []MemberID{1, 2}, Learners: []MemberID{5}}
	for _, ch := range []ConfigChange{
		{},
		{Changes: []Change{{Kind: AddVoter, Member: 0}}},
		{Changes: []Change{{Kind: AddVoter, Member: 1}}},
		{Changes: []Change{{Kind: AddLearner, Member: 1}}},
		{Changes: []Change{{Kind: AddLearner, Member: 5}}},
		{Changes: []Change{{Kind: RemoveMember, Member: 9}}},
		{Changes: []Change{{Kind: UpdateMember, Member: 9}}},
		{Changes: []Change{{Kind: LeaveJoint, Member: 1}}},
		{Changes: []Change{{Kind: AddVoter, Member: 3}, {Kind: RemoveMember, Member: 1},
			{Kind: AddLearner, Member: 1}}},
	} {
		_, err := c.Apply(ch)
		require.Error(t, err, "%+v", ch)
	}
	one := Config{Voters: []MemberID{1}}
	_, err := one.Apply(ConfigChange{Changes: []Change{{Kind: RemoveMember, Member: 1}}})
	require.Error(t, err, "no voter would be left")
	got, err := c.Apply(ConfigChange{Changes: []Change{
		{Kind: AddVoter, Member: 5}, {Kind: AddLearner, Member: 7}, {Kind: UpdateMember, Member: 2},
	}})
	require.NoError(t, err)
	require.Equal(t, Config{Voters: []MemberID{1, 2, 5}, Learners: []MemberID{7}},
		Config{Voters: got.Voters, Learners: got.Learners})
}

func TestSeveralVotersChangeThroughAJointConfiguration(t *testing.T) {
	c := Config{Voters: []MemberID{1, 2, 3}, Learners: []MemberID{5}}
	joint, err := c.Apply(ConfigChange{Changes: []Change{{Kind: AddVoter, Member: 5},
		{Kind: RemoveMember, Member: 1}}})
	require.NoError(t, err)
	require.Equal(t, []MemberID{2, 3, 5}, joint.Voters)
	require.Equal(t, []MemberID{1, 2, 3}, joint.Outgoing)
	require.Empty(t, joint.Learners)
	require.True(t, joint.follows(&c))
	for _, ch := range []Change{{Kind: AddLearner, Member: 7}, {Kind: RemoveMember, Member: 2},
		{Kind: UpdateMember, Member: 2}} {
		_, err = joint.Apply(ConfigChange{Changes: []Change{ch}})
		require.ErrorIs(t, err, errChangeJoint)
	}
	left, err := joint.Apply(ConfigChange{Changes: []Change{{Kind: LeaveJoint, Member: 2}}})
	require.NoError(t, err)
	require.Equal(t, []MemberID{2, 3, 5}, left.Voters)
	require.Empty(t, left.Outgoing)
	require.True(t, left.follows(&joint))
	require.False(t, left.follows(&c), "two voters differ")
}

func TestDrawsDifferByMemberStartAndCounter(t *testing.T) {
	base := testSettings(1)
	seen := map[uint64]bool{}
	for id := MemberID(1); id <= 3; id++ {
		for start := Incarnation(1); start <= 3; start++ {
			for counter := range uint64(10) {
				set := base
				set.ID, set.Incarnation = id, start
				v := draw(&set, purposeElectionTimeout, counter)
				require.Equal(t, v, draw(&set, purposeElectionTimeout, counter))
				require.False(t, seen[v])
				seen[v] = true
			}
		}
	}
}

func TestPendingReadsAreBounded(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3), 1, 2, 3)
	l, f := c.elect(1), c.node(2)
	for id := ReadID(1); id <= 10; id++ {
		l.r.ReadIndex(id)
		f.r.ReadIndex(id)
		c.take(l)
		c.take(f)
	}
	require.Len(t, l.r.reads.rounds, roundsAhead, "the others gather")
	require.Len(t, f.r.reads.forwarded, f.set.MaxPendingReads)
	require.Len(t, f.reads, 10-f.set.MaxPendingReads, "the oldest have failed")
	c.settle()
	require.Len(t, l.reads, 10)
	for _, rd := range l.reads {
		require.Equal(t, l.r.commit, rd.Index)
	}
}

// The terms of a log that left memory stay known, so a restarted member compares correctly.
func TestNoTermIsGuessed(t *testing.T) {
	l := memLog{}
	l.reset(5, 3)
	for _, i := range []Index{0, 4, 6} {
		_, ok := l.term(i)
		require.False(t, ok, "index %d", i)
		require.False(t, l.matches(i, 0))
	}
	require.True(t, l.matches(5, 3))
}
