package sim

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/netsim"
)

// The same plan gives the same trace, however many processors there are.
func TestEqualSeedsGiveEqualTraces(t *testing.T) {
	for _, seed := range []uint64{3, 17, 29} {
		plan := Generate(seed)
		if d := Diverge(&plan); d != nil {
			t.Fatalf("seed %d: %v", seed, d)
		}
		want := RunPlan(&plan, Options{History: SkipHistory})
		before := runtime.GOMAXPROCS(1)
		got := RunPlan(&plan, Options{History: SkipHistory})
		runtime.GOMAXPROCS(before)
		require.Equal(t, want.Hash, got.Hash, "seed %d", seed)
		require.Equal(t, want.Counts, got.Counts, "seed %d", seed)
	}
}

// Watching a run does not change it.
func TestWatchingChangesNothing(t *testing.T) {
	plan := Generate(5)
	want := RunPlan(&plan, Options{History: SkipHistory})
	got := RunPlan(&plan, Options{History: SkipHistory, From: 100, To: 5000})
	require.Equal(t, want.Hash, got.Hash)
	require.Len(t, got.Window, 4900)
	require.EqualValues(t, 100, got.Window[0].Number)
}

// A difference between two windows is found at its first event.
func TestDivergenceNamesTheFirstDifference(t *testing.T) {
	plan := Generate(5)
	events := RunPlan(&plan, Options{History: SkipHistory, From: 4096, To: 8192}).Window
	changed := append([]TracedEvent(nil), events...)
	for i := 777; i < len(changed); i++ {
		changed[i].Hash++
	}
	d := compareWindows(events, changed)
	require.NotNil(t, d)
	require.EqualValues(t, 4096+777, d.Event)
	require.Contains(t, d.String(), events[777].Text)
	require.Nil(t, compareWindows(events, events))
}

// Taking a fault out of a plan leaves what happens before its time as it was.
func TestTakingAFaultOutChangesNothingBeforeIt(t *testing.T) {
	plan := Generate(8)
	require.NotEmpty(t, plan.Faults)
	last := plan.Faults[len(plan.Faults)-1]
	full := RunPlan(&plan, Options{History: SkipHistory, To: 1 << 40})
	plan.Faults = plan.Faults[:len(plan.Faults)-1]
	less := RunPlan(&plan, Options{History: SkipHistory, To: 1 << 40})
	same := 0
	for same < min(len(full.Window), len(less.Window)) && full.Window[same] == less.Window[same] {
		same++
	}
	require.Greater(t, same, 1000)
	require.Contains(t, full.Window[same].Text, last.String())
}

// Every field of a plan follows from the seed.
func TestPlansAreFunctionsOfTheSeed(t *testing.T) {
	for seed := range uint64(200) {
		first, second := Generate(seed), Generate(seed)
		require.Equal(t, first, second)
		checkPlan(t, &first)
	}
}

func checkPlan(t *testing.T, p *Plan) {
	rotten := map[int]bool{}
	for i, f := range p.Faults {
		require.Equal(t, uint32(i+1), f.ID)
		require.Less(t, f.At, p.Chaos)
		if f.Kind.damages() {
			rotten[f.Member] = true
		}
	}
	for i := range p.Members {
		if p.Absent.Has(netsim.Endpoint(i)) {
			require.NotContains(t, rotten, i)
			rotten[i] = true
		}
	}
	if !p.Overdrawn {
		require.LessOrEqual(t, len(rotten), (p.Members-1)/2)
	}
	require.Len(t, p.Machines, p.Members)
	require.NotEmpty(t, p.Scripts)
}
