package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

func marshalTest(m proto.Message) ([]byte, error) { return proto.Marshal(m) }

// The samples hold the past of one retention: their first is the revision that the naive record of
// all times shows for the moment one retention ago, to the length of a sample.
func TestSamplesReachBackOneRetention(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := AutoCompact{Retention: rapid.Int64Range(1, 30*hourNanos).Draw(t, "retention")}
		var a autoCompact
		var at []int64
		now, revision := int64(1), mvcc.Revision(1)
		for range rapid.IntRange(1, 400).Draw(t, "samples") {
			revision++
			a.take(&c, revision, now)
			at = append(at, now)
			require.Equal(t, now+c.sample(), a.next)
			now = a.next
		}
		oldest := at[len(at)-len(a.samples)]
		last := at[len(at)-1]
		require.LessOrEqual(t, last-oldest, c.Retention)
		if len(a.samples) < len(at) {
			require.Greater(t, last-oldest, c.Retention-c.sample())
		}
		require.Equal(t, revision, a.samples[len(a.samples)-1])
	})
}

func autoWorld(t *testing.T, c AutoCompact) *world {
	w := newWorld(t, 3, nil)
	for i := range w.cfgs {
		w.cfgs[i].AutoCompact = c
		w.members[i].driver.Node.cfg.AutoCompact = c
	}
	w.leader()
	return w
}

func TestAPeriodicCompactionFollowsTheClock(t *testing.T) {
	w := autoWorld(t, AutoCompact{Retention: 10_000_000_000})
	written := map[mvcc.Revision]int64{}
	for i := range 300 {
		r := w.put(0, "k", fmt.Sprint(i))
		written[mvcc.Revision(r.Header.Revision)] = w.now
		w.run(1)
		compacted := w.members[0].driver.Node.store.Compacted()
		if w.now < 10_000_000_000 {
			require.EqualValues(t, -1, compacted, "not before a retention has passed")
		}
		if compacted > 1 {
			age := w.now - written[compacted]
			require.GreaterOrEqual(t, age, int64(9_000_000_000))
			require.LessOrEqual(t, age, int64(22_000_000_000))
		}
	}
	require.Positive(t, w.members[0].driver.Node.store.Compacted())
	// A new leader goes on: it has its own samples.
	before := w.members[0].driver.Node.store.Compacted()
	down := w.leader()
	w.stop(down)
	for i := range 200 {
		w.put((down+1)%3, "k", fmt.Sprint(i))
		w.run(1)
	}
	require.Greater(t, w.members[(down+1)%3].driver.Node.store.Compacted(), before)
	w.start(down)
	w.agree()
}

func TestACompactionByRevisionKeepsSoMany(t *testing.T) {
	w := autoWorld(t, AutoCompact{Mode: ByRevision, Retention: 20})
	for i := range 50 {
		w.put(0, "k", fmt.Sprint(i))
	}
	n := w.members[w.leader()].driver.Node
	w.run(2900)
	require.EqualValues(t, -1, n.store.Compacted())
	w.run(200)
	require.Equal(t, n.store.Revision()-20, n.store.Compacted())
	applied := n.applied
	w.run(3100)
	require.Equal(t, applied, n.applied, "nothing new, nothing to do")
	require.Equal(t, raft.Leader, n.role)
}

// The leader's own compactions need nobody's rights.
func TestAutoCompactionGoesOnUnderAuth(t *testing.T) {
	w := autoWorld(t, AutoCompact{Retention: 1_000_000_000})
	root, _ := w.protect()
	before := w.members[0].driver.Node.store.Compacted()
	for range 5 {
		require.Equal(t, OK, w.putAs(root, 0, "k"))
		w.run(10)
	}
	require.Greater(t, w.members[0].driver.Node.store.Compacted(), before)
	w.agree()
}
