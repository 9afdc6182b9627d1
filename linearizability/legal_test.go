package linearizability

import (
	"bytes"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

type rapidDrawer struct{ t *rapid.T }

func (r rapidDrawer) below(n int) int { return rapid.IntRange(0, n-1).Draw(r.t, "below") }

const patience = 20 * time.Second

// requireLegal demands that every checker accepts a schedule.
func requireLegal(t require.TestingT, s *schedule) {
	bounded, err := Bound(s.history, s.commits)
	require.NoError(t, err)
	judgeAll(t, bounded)
	keys := CheckKeys(s.history, patience)
	require.NoError(t, keys.Err())
}

func judgeAll(t require.TestingT, bounded []Operation) *Run {
	run, replay := Replay(bounded)
	require.NoError(t, replay.Err())
	store := CheckStore(bounded, patience)
	require.NoError(t, store.Err())
	serializable := run.CheckSerializable(bounded)
	require.NoError(t, serializable.Err())
	return run
}

// Whatever a correct store may do under concurrency, every checker accepts it.
func TestAcceptsEveryLegalSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requireLegal(t, runSchedule(rapidDrawer{t}, shape{
			clients: 4, operations: rapid.IntRange(1, 60).Draw(t, "operations"), keys: 3,
			lostPercent: 8, compacts: true,
		}))
	})
}

// A dump alone settles the lost answers as well as ground truth does.
func TestDumpSettlesLostAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := runSchedule(rapidDrawer{t}, shape{
			clients: 4, operations: rapid.IntRange(1, 60).Draw(t, "operations"), keys: 3,
			lostPercent: 8,
		})
		bounded, err := BoundByDump(s.history, s.dump)
		require.NoError(t, err)
		dumped := judgeAll(t, bounded).MatchDump(s.dump)
		require.NoError(t, dumped.Err())
	})
}

// Unsettled histories are judged too, as long as little is unknown.
func TestStoreSearchesUnknownOutcomes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := runSchedule(rapidDrawer{t}, shape{
			clients: 3, operations: rapid.IntRange(1, 15).Draw(t, "operations"), keys: 2,
			lostPercent: 4, compacts: true,
		})
		store := CheckStore(s.history, patience)
		require.NoError(t, store.Err())
	})
}

func TestSavedHistoryIsTheSame(t *testing.T) {
	s := runSchedule(randDrawer{rand.New(rand.NewSource(1))}, shape{
		clients: 4, operations: 300, keys: 4, lostPercent: 8, compacts: true,
	})
	bounded, err := Bound(s.history, s.commits)
	require.NoError(t, err)
	for _, history := range [][]Operation{s.history, bounded} {
		var file bytes.Buffer
		require.NoError(t, Save(&file, history))
		loaded, err := Load(&file)
		require.NoError(t, err)
		require.Len(t, loaded, len(history))
		for i := range history {
			want, got := &history[i], &loaded[i]
			require.Equal(t, want.String(), got.String())
			require.Equal(t, [3]int64{want.Call, want.Return, want.Revision},
				[3]int64{got.Call, got.Return, got.Revision})
			_, a := want.Request.message()
			_, b := got.Request.message()
			require.True(t, proto.Equal(a, b))
		}
	}
}

func TestLoadRefusesNonsense(t *testing.T) {
	for _, text := range []string{
		"{", `{"kind":"put","outcome":"ok"}`, `{"kind":"pet","outcome":"ok","request":{}}`,
		`{"kind":"put","outcome":"fine","request":{}}`,
		`{"kind":"put","call":2,"return":1,"outcome":"unknown","request":{}}`,
	} {
		_, err := Load(bytes.NewReader([]byte(text)))
		require.Error(t, err, text)
	}
}

func longSchedule(lostPercent int) *schedule {
	return runSchedule(randDrawer{rand.New(rand.NewSource(7))}, shape{
		clients: 8, operations: 10_000, keys: 8, lostPercent: lostPercent, simple: true,
	})
}

func TestLongHistoriesAreJudged(t *testing.T) {
	requireLegal(t, longSchedule(5))
}

func BenchmarkStore10k(b *testing.B) {
	s := longSchedule(5)
	bounded, err := Bound(s.history, s.commits)
	require.NoError(b, err)
	for b.Loop() {
		CheckStore(bounded, patience)
	}
}

func BenchmarkReplay10k(b *testing.B) {
	s := longSchedule(5)
	bounded, err := Bound(s.history, s.commits)
	require.NoError(b, err)
	for b.Loop() {
		Replay(bounded)
	}
}

func BenchmarkKeys10k(b *testing.B) {
	s := longSchedule(5)
	for b.Loop() {
		CheckKeys(s.history, patience)
	}
}
