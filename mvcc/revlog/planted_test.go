package revlog

// Scenarios that random runs meet too seldom, each of them once the survivor of a planted bug.

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRecordsThatDieDuringARewriteStayDead lets a record die, and the copying go on, before and
// after each operation of a reclaim.
func TestRecordsThatDieDuringARewriteStayDead(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		d := newTestDisk()
		l, _, _ := mustOpen(t, d, testOptions())
		fill(l, 2, 200, 100)
		checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 200})
		var live []Rev
		for m := Revision(2); m <= 200; m++ {
			if rng.IntN(2) == 0 {
				l.Dead(Rev{m, 0})
			} else {
				live = append(live, Rev{m, 0})
			}
		}
		die := func() {
			if w := l.rewrite; w != nil && len(live) > 0 {
				i := rng.IntN(len(live))
				if w.at < len(w.from) && rng.IntN(2) == 0 { // the very next one to be copied
					i = max(0, slices.Index(live, w.from[w.at].table.rev(w.record)))
				}
				l.Dead(live[i])
				live = slices.Delete(live, i, i+1)
			}
			l.Work(1 + rng.IntN(4))
		}
		for die(); l.Reclaiming(); die() {
			for _, op := range l.Flush(nil) {
				d.Submit(op)
			}
			die()
			if len(d.queue) > 0 {
				require.NoError(t, l.Complete(d.step()))
			}
			require.NoError(t, l.Check())
		}
		for _, rev := range live {
			kv, err := l.Read(rev)
			require.NoError(t, err)
			require.Equal(t, kvOf(rev, 100), kv)
		}
	}
}

// TestAGoodRecordInTheWrongPlaceIsDamage has the disk misdirect a write inside a file.
func TestAGoodRecordInTheWrongPlaceIsDamage(t *testing.T) {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 300, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 300})
	whole := d.clone()
	l, _, _ = mustOpen(t, d, testOptions())
	s := l.spans[1]
	data := d.names[s.name].data
	from, end := s.bounds(3)
	to, _ := s.bounds(5)
	copy(data[to:], data[from:end])
	var damage *DamageError
	_, err := l.Read(s.table.rev(5))
	require.ErrorAs(t, err, &damage)
	require.Equal(t, to, damage.Offset)
	_, _, err = load(d)
	require.ErrorAs(t, err, &damage)

	kv := []byte("not what was written, but with a good checksum of its own; " +
		"only the segment's sum can tell......................................")[:100]
	data = whole.names[s.name].data
	putRecord(data[to:to+recordHeader+100], s.seed, s.table.rev(5), Put, [][]byte{kv})
	_, _, err = load(whole)
	require.ErrorAs(t, err, &damage)
	require.Equal(t, s.name, damage.File)
}

// TestARecordOfAnotherLifeIsDamage has a file hold a record that a former life of it left.
func TestARecordOfAnotherLifeIsDamage(t *testing.T) {
	b := make([]byte, recordHeader+3)
	putRecord(b, seedOf(1), Rev{5, 6}, Put, [][]byte{[]byte("abc")})
	r, reason := parseRecord(b, seedOf(1))
	require.Empty(t, reason)
	require.Equal(t, Record{Rev{5, 6}, Put, []byte("abc")}, r)
	_, reason = parseRecord(b, seedOf(2))
	require.NotEmpty(t, reason)
}

// TestATableFindsWhatItHolds compares the guesses of find with a plain search.
func TestATableFindsWhatItHolds(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var tab table
		var revs []Rev
		rev := Rev{Main: Revision(rng.Int64N(1 << 40))}
		for range rng.IntN(300) {
			revs = append(revs, rev)
			tab.add(rev, int64(len(revs)))
			if seed%3 > 0 && rng.IntN(3) == 0 {
				rev.Sub += 1 + rng.Int32N(3)
			} else {
				rev = Rev{Main: rev.Main + 1 + Revision(rng.Int64N(1+int64(seed%5)*1000))}
			}
		}
		for i, r := range revs {
			require.Equal(t, r, tab.rev(i))
			require.Equal(t, i, tab.find(r))
			require.Equal(t, i, tab.after(int64(i+1)))
			for _, near := range []Rev{{r.Main + 1, 0}, {r.Main, r.Sub + 1}, {r.Main - 1, r.Sub}} {
				require.Equal(t, slices.Index(revs, near), tab.find(near))
			}
		}
		require.Equal(t, -1, tab.find(Rev{1 << 60, 0}))
	}
}
