package raft

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The twin of reachedByMajority tries every value and counts.
func plainReached(values []uint64) uint64 {
	best := uint64(0)
	for _, v := range values {
		n := 0
		for _, w := range values {
			if w >= v {
				n++
			}
		}
		if 2*n > len(values) {
			best = max(best, v)
		}
	}
	return best
}

func TestReachedByMajorityEqualsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Uint64Range(0, 9), 0, 7).Draw(t, "values")
		require.Equal(t, plainReached(values), reachedByMajority(slices.Clone(values)))
	})
}

// A ballot is won or lost exactly when no completion of the missing votes can change that.
func TestBallotEqualsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "voters")
		granted := rapid.IntRange(0, n).Draw(t, "granted")
		refused := rapid.IntRange(0, n-granted).Draw(t, "refused")
		alwaysWon, neverWon := true, true
		for more := 0; more <= n-granted-refused; more++ {
			if 2*(granted+more) > n {
				neverWon = false
			} else {
				alwaysWon = false
			}
		}
		want := ballotOpen
		if alwaysWon {
			want = ballotWon
		} else if neverWon {
			want = ballotLost
		}
		require.Equal(t, want, countBallot(n, granted, refused))
	})
}

func TestJointQuorumNeedsBothSets(t *testing.T) {
	joint := Config{Voters: []MemberID{1, 2, 3}, Outgoing: []MemberID{3, 4, 5}}
	c := newCluster(t, joint, 1, 2, 3, 4, 5)
	rapid.Check(t, func(t *rapid.T) {
		r := c.nodes[0].r
		r.role = Leader
		r.resetPeers()
		match := map[MemberID]uint64{1: 0}
		for i := range r.peers {
			r.peers[i].match = Index(rapid.IntRange(0, 5).Draw(t, "match"))
			match[r.peers[i].id] = uint64(r.peers[i].match)
		}
		in := plainReached([]uint64{match[1], match[2], match[3]})
		out := plainReached([]uint64{match[3], match[4], match[5]})
		require.Equal(t, min(in, out), r.quorumReached(quantityMatch))
		r.votes = votes{}
		yes := func(ids ...MemberID) (n int) {
			for _, id := range ids {
				if has(r.votes.granted, id) {
					n++
				}
			}
			return n
		}
		for m := MemberID(1); m <= 5; m++ {
			if rapid.Bool().Draw(t, "granted") {
				r.votes.add(m, false)
			}
		}
		won := yes(1, 2, 3) >= 2 && yes(3, 4, 5) >= 2
		require.Equal(t, won, r.tally() == ballotWon)
	})
}

// The twin of memLog keeps every entry for ever.
func TestLogEqualsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l memLog
		var plain []Entry // position 0 is index 1
		term := Term(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				term += Term(rapid.IntRange(0, 1).Draw(t, "newer"))
				e := Entry{Term: term, Index: l.last + 1, Type: EntryNormal, Sequence: Sequence(len(plain))}
				l.push(&e)
				plain = append(plain[:l.last-1], e)
			case 3:
				i := l.prev + Index(rapid.IntRange(0, int(l.last-l.prev)).Draw(t, "to"))
				l.truncate(i)
				plain = slices.Clone(plain[:i])
				term++
			case 4:
				l.evict(l.last, rapid.IntRange(0, 1000).Draw(t, "bytes"))
			case 5:
				l.compact(l.prev + Index(rapid.IntRange(0, int(l.last-l.prev)).Draw(t, "to")))
			}
			require.NoError(t, l.check())
			for i := Index(0); i <= l.last+2; i++ {
				got, ok := l.term(i)
				known := i >= l.prev && i <= l.last
				require.Equal(t, known, ok, "index %d", i)
				if known && i > 0 {
					require.Equal(t, plain[i-1].Term, got)
				}
			}
			for i := l.windowFirst(); i <= l.last; i++ {
				s := l.slice(i, l.last, 64)
				require.Equal(t, plain[i-1:i], s)
			}
			limit := Term(rapid.IntRange(0, int(term)).Draw(t, "limit"))
			want, found := l.prev, l.prevTerm <= limit
			for i := l.last; i > l.prev; i-- {
				if plain[i-1].Term <= limit {
					want, found = i, true
					break
				}
			}
			got, _, ok := l.joinAt(l.last+1, limit)
			require.Equal(t, found, ok)
			if found {
				require.Equal(t, want, got)
			}
		}
	})
}

// A slice that was handed out never changes, whatever happens to the log.
func TestHandedOutEntriesNeverChange(t *testing.T) {
	var l memLog
	for i := Index(1); i <= 4; i++ {
		l.push(&Entry{Term: 1, Index: i, Type: EntryNormal})
	}
	out := l.slice(2, 4, maxInt)
	was := slices.Clone(out)
	l.truncate(2)
	l.push(&Entry{Term: 2, Index: 3, Type: EntryNormal})
	require.Equal(t, was, out)
}
