package linearizability

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A stale read in the middle of a long history with many lost answers is found by everyone, and
// the search for an order that does not exist ends.
func TestLongIllegalHistoriesAreDecided(t *testing.T) {
	for _, lostPercent := range []int{0, 5, 10} {
		s := longSchedule(lostPercent)
		falsified := 0
		for i := len(s.history) / 2; falsified < 3; i++ {
			op := &s.history[i]
			r := op.Request.Range
			if op.Outcome != OK || r == nil || r.Serializable || r.Revision > 0 || r.KeysOnly ||
				len(r.RangeEnd) > 0 || len(op.Response.Range.Kvs) == 0 ||
				op.Response.Range.Kvs[0].Version < 4 {
				continue
			}
			before := op.Response.Range.Kvs[0].ModRevision - 1
			_, op.Response, _ = s.states[len(s.states)-1].at(before).Apply(&op.Request)
			falsified++
		}
		bounded, err := Bound(s.history, s.commits)
		require.NoError(t, err)
		_, replay := Replay(bounded)
		require.Equal(t, Illegal, replay.Verdict)
		require.Equal(t, Illegal, verdict(CheckStore(bounded, patience)))
		require.Equal(t, Illegal, verdict(CheckKeys(s.history, patience)))
	}
}

// CheckKeys does not search over lost writes whose values nobody saw, but it counts them.
func TestKeysCountHiddenWrites(t *testing.T) {
	gone := func(s *script) { s.see(NewState(), get("a")) }
	for _, test := range []struct {
		name  string
		build func(s *script)
		want  Verdict
	}{
		{"a lost delete explains a missing key", func(s *script) {
			s.put("a", "1")
			s.do(remove("a")).lose()
			gone(s)
		}, Legal},
		{"but not one that was called later", func(s *script) {
			s.put("a", "1")
			gone(s)
			s.do(remove("a")).lose()
		}, Illegal},
		{"and not twice", func(s *script) {
			s.put("a", "1")
			s.do(remove("a")).lose()
			gone(s)
			s.put("a", "2")
			gone(s)
		}, Illegal},
		{"two lost deletes explain two", func(s *script) {
			s.put("a", "1")
			s.do(remove("a")).lose()
			s.do(remove("a")).lose()
			gone(s)
			s.put("a", "2")
			gone(s)
		}, Legal},
		{"a deleted key is not back for nothing", func(s *script) {
			s.put("a", "1")
			s.do(remove("a")).lose()
			gone(s)
			s.see(s.state, get("a"))
			before, _, _ := s.state.Apply(&Request{Put: put("a", "1").Put})
			s.see(before, get("a"))
		}, Illegal},
		{"a lost put makes a key present", func(s *script) {
			s.put("a", "1").lose()
			counted := get("a")
			counted.Range.CountOnly = true
			s.do(counted)
		}, Legal},
		{"nobody's put does not", func(s *script) {
			s.put("b", "1").lose()
			s.state, _, _ = s.state.Apply(&Request{Put: put("a", "1").Put})
			s.do(remove("a"))
		}, Illegal},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript()
			test.build(s)
			keys := CheckKeys(s.history, patience)
			require.Equal(t, test.want, keys.Verdict, keys.Detail)
		})
	}
}
