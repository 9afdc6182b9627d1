package sim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/netsim"
)

// What a made-up failure needs is found, and nothing else stays: two of the faults, one client's
// act, one limit.
func TestShrinkingKeepsWhatTheFailureNeeds(t *testing.T) {
	plan := Generate(3)
	plan.Scripts[1].Silent = false
	needs := []uint32{plan.Faults[1].ID, plan.Faults[len(plan.Faults)-1].ID}
	fails := func(p *Plan) bool {
		found := 0
		for i := range p.Faults {
			if p.Faults[i].ID == needs[0] || p.Faults[i].ID == needs[1] {
				found++
			}
		}
		return found == 2 && len(p.Scripts) > 1 && !p.Scripts[1].Silent &&
			p.Scripts[1].sends(7) && p.Limits.StepUnits == plan.Limits.StepUnits
	}
	f := &finderOf{t: t, fails: fails}
	s := Shrinking{Plan: plan, Width: 2, Finder: f}
	acts := make([]uint64, len(plan.Scripts))
	acts[1] = 100
	s.Shrink(&Failure{At: plan.Chaos + second}, acts)
	require.True(t, fails(&s.Plan))
	require.Len(t, s.Plan.Faults, 2)
	require.Len(t, s.Plan.Scripts, 2)
	require.True(t, s.Plan.Scripts[0].Silent)
	require.Equal(t, []Span{{7, 7}}, s.Plan.Scripts[1].Sends)
	require.LessOrEqual(t, s.Plan.Members, 2)
	small := Scenario{Plan: s.Plan}
	require.LessOrEqual(t, small.Lines(), 6, small.Text())
	require.Less(t, f.runs, 2000)
}

// finderOf runs nothing: a function says what fails.
type finderOf struct {
	t     *testing.T
	fails func(*Plan) bool
	runs  int
}

func (f *finderOf) Stage(string) {}

func (f *finderOf) First(all []Plan) int {
	for i := range all {
		f.runs++
		require.NoError(f.t, all[i].check())
		if f.fails(&all[i]) {
			return i
		}
	}
	return -1
}

func TestDroppingAMemberMovesThoseBehindIt(t *testing.T) {
	p := Plan{Members: 3, Founders: 3, Machines: make([]Machine, 3), Scripts: []Script{{Home: 2}},
		Faults: []Fault{{Member: 1, Side: netsim.Of(0, 2, 3), Concerned: netsim.Of(1, 2)}}}
	require.True(t, p.dropMember(1))
	require.Equal(t, 2, p.Founders)
	require.Equal(t, 1, p.Scripts[0].Home)
	require.Equal(t, netsim.Of(0, 1, 2), p.Faults[0].Side)
	require.Equal(t, netsim.Of(1), p.Faults[0].Concerned)
}

// Leaving out one act of a client changes nothing that others draw.
func TestLeavingOutAnActChangesNoOtherDraw(t *testing.T) {
	drawn := func(skip uint64) map[uint64]string {
		plan := Generate(4)
		plan.Faults, plan.Watchers, plan.Reshapes, plan.Auth = nil, nil, nil, AuthPlan{}
		plan.Scripts = plan.Scripts[:1]
		if skip > 0 {
			plan.Scripts[0].Sends = []Span{{1, skip - 1}, {skip + 1, 1 << 40}}
		}
		plan.Scripts[0].Mix = Mix{shapeGet: 1, shapeSerializable: 1, shapePut: 1}
		plan.Scripts[0].Timeout = 8 * second
		w := newWorld(&plan, &Options{})
		all := map[uint64]string{}
		for !w.done && w.failure == nil && w.clients[0].act < 40 {
			e, _ := w.heap.pop()
			w.now = e.at
			w.dispatch(&e)
			if k := w.clients[0].pending; e.kind == eventIssue && e.node == 0 && k != nil {
				all[w.clients[0].act] = shapeOf(k)
			}
		}
		require.Nil(t, w.failure)
		return all
	}
	whole, without := drawn(0), drawn(20)
	delete(whole, 20)
	require.Greater(t, len(whole), 30)
	require.Equal(t, whole, without)
}

// shapeOf is what of a request does not depend on what its client has seen.
func shapeOf(k *call) string {
	m := &k.request.modelled
	switch {
	case m.Put != nil:
		return "put " + string(m.Put.Key)
	case m.Range != nil:
		return "range " + string(m.Range.Key)
	}
	return "other"
}
