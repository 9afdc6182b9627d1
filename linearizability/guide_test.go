package linearizability

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A guided search comes to the verdict of one without a guide, for legal histories and for those in
// which an answer was falsified.
func TestGuideChangesNoVerdict(t *testing.T) {
	verdicts := map[porcupine.CheckResult]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := runSchedule(rapidDrawer{t}, shape{
			clients: 3, operations: rapid.IntRange(2, 14).Draw(t, "operations"), keys: 2,
			lostPercent: 4, compacts: true,
		})
		history, err := Bound(s.history, s.commits)
		require.NoError(t, err)
		if len(history) > 1 && rapid.Bool().Draw(t, "falsified") {
			falsify(t, history)
		}
		ops := storeOperations(history)
		want := porcupine.CheckOperationsTimeout(storeModel(NewState()), ops, patience)
		require.Equal(t, want,
			porcupine.CheckOperationsTimeout(newGuide(history).model(), ops, patience))
		verdicts[want]++
	})
	require.NotZero(t, verdicts[porcupine.Ok])
	require.NotZero(t, verdicts[porcupine.Illegal])
}

// falsify gives an operation the times of another, or the answer of another of its kind.
func falsify(t *rapid.T, history []Operation) {
	at := rapid.SliceOfNDistinct(rapid.IntRange(0, len(history)-1), 2, 2, rapid.ID[int]).Draw(t, "two")
	a, b := &history[at[0]], &history[at[1]]
	if a.Outcome == OK && b.Outcome == OK && a.Request.answers(&b.Response) {
		a.Response, b.Response = b.Response, a.Response
		return
	}
	a.Call, a.Return, b.Call, b.Return = b.Call, b.Return, a.Call, a.Return
}

// After a stall everything that waited takes effect at once. Real time tells nothing of the order,
// what was called last took effect first, and a search that tries the first call first is wrong at
// every turn.
func TestSearchAfterAStallEnds(t *testing.T) {
	s := newScript()
	for i := range 40 {
		id := int64(i%5 + 1)
		s.do(grant(id))
		s.do(leasedPut("a", id))
		s.do(get("a"))
		s.do(keysOf(id))
		s.do(leasedPut("b", 9)) // refused
		s.do(revoke(id))
	}
	history := s.ordered()
	last := int64(len(history))
	for i := range history {
		history[i].Call, history[i].Return = last-int64(i), 2*last
	}
	store := CheckStore(history, patience)
	require.NoError(t, store.Err())
}
