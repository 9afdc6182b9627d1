package raft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// survivor returns member 1 at a start with a log of four entries, of which two are known to be
// committed, in configuration c.
func survivor(c Config) *Raft {
	set := testSettings(1)
	set.Incarnation = 5
	st := Restored{Hard: HardState{Term: 3, Vote: 2, Commit: 2}, Snapshot: Snapshot{Config: c},
		Last: 4, Runs: []TermRun{{First: 1, Term: 3}}}
	for i := range 4 {
		st.Entries = append(st.Entries, Entry{Term: 3, Index: Index(i + 1), Type: EntryNormal})
	}
	return New(set, st)
}

func TestASurvivorKeepsItsLogAndLeadsAlone(t *testing.T) {
	for _, c := range []Config{
		voters(1, 2, 3),
		voters(1, 2),
		{Voters: []MemberID{1, 2, 3}, Learners: []MemberID{4, 5}},
		{Voters: []MemberID{2, 3, 4}, Learners: []MemberID{1}},
		{Voters: []MemberID{1, 2, 3, 4}, Outgoing: []MemberID{1, 2}},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			r := survivor(c)
			used, err := r.Seclude()
			require.NoError(t, err)
			require.NotZero(t, used)
			alone := voters(1)
			require.True(t, alone.Equal(&r.configs.current().config))
			require.Equal(t, Index(2), r.Status().Commit, "nothing counts before it is durable")
			last := Index(4) + Index(used)
			for range 20 {
				r.Tick(1)
				out := take(r)
				require.Empty(t, out.Messages)
				for _, a := range out.Appends {
					r.Synced(a.Ticket)
				}
			}
			st := r.Status()
			require.Equal(t, Leader, st.Role)
			require.Equal(t, Term(5), st.Term, "one term for the changes, one for the leadership")
			require.Equal(t, []Index{last + 1, last + 1}, []Index{st.Commit, st.Last})
			for i := Index(1); i <= last; i++ {
				term, known := r.log.term(i)
				require.True(t, known)
				require.Equal(t, Term(3)+Term(min(1, i/5)), term)
			}
			require.NoError(t, r.Check())
		})
	}
}

func TestWhoIsAloneOrNoMemberIsNotSecluded(t *testing.T) {
	r := survivor(voters(1))
	used, err := r.Seclude()
	require.NoError(t, err)
	require.Zero(t, used)
	require.Equal(t, Term(3), r.Status().Term)
	_, err = survivor(voters(2, 3)).Seclude()
	require.ErrorIs(t, err, errChangeNotMember)
	running := lagging()
	require.Panics(t, func() { _, _ = running.Seclude() }, "it follows a leader")
}
