package sim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
)

// stallPlan is a calm world in which one lane of the leader's disk stands still for long.
func stallPlan(lane diskio.Lane) Plan {
	plan := BenchPlan(3, 60, 40*second)
	plan.Limits.UnwrittenBytes, plan.Limits.MaxBacklog = 16<<10, 50
	plan.Faults = []Fault{{ID: 1, Kind: FaultStall, Target: TargetLeader, At: 6 * second,
		For: 30 * second, Amount: stallLane(lane)}}
	return plan
}

// A leader whose log stands still gives way: the oracle demands it, and clients go on being served.
func TestAStalledLogMovesLeadership(t *testing.T) {
	plan := stallPlan(diskio.LaneLog)
	r := RunPlan(&plan, Options{})
	require.Nil(t, r.Failure)
	require.GreaterOrEqual(t, r.Counts.Elections, uint64(2))
	require.Greater(t, r.Counts.Commits, uint64(600))
}

// An engine that stands still holds apply back, within bounds, and refuses what piles up.
func TestAStalledEngineHoldsApplyBack(t *testing.T) {
	plan := stallPlan(diskio.LaneEngine)
	plan.Limits.DataSegmentBytes, plan.Limits.ChunkBytes = 4<<10, 1<<10
	r := RunPlan(&plan, Options{})
	require.Nil(t, r.Failure)
	require.NotZero(t, r.Counts.Refused)
}

// A disk that runs full stops nobody, whether the process is told or finds out.
func TestAFullDiskStopsNobody(t *testing.T) {
	for _, v := range []voice{aloud, silent} {
		plan := fullPlan(v)
		r := RunPlan(&plan, Options{})
		require.Nil(t, r.Failure)
		require.Zero(t, r.Counts.Halts)
		require.EqualValues(t, 1, r.Counts.Felt[FaultFull])
		require.Greater(t, r.Counts.Answered, uint64(600))
	}
}

// fullPlan is a calm world in which the leader's disk has a kilobyte left for long.
func fullPlan(v voice) Plan {
	plan := BenchPlan(3, 60, 40*second)
	plan.Limits.LogSegmentBytes, plan.Limits.DataSegmentBytes = 32<<10, 8<<10
	plan.Limits.MaxRequestBytes, plan.Limits.UnwrittenBytes = 4<<10, 16<<10
	plan.Limits.CheckpointCount, plan.Limits.ChunkBytes = 100, 1<<10
	plan.Faults = []Fault{{ID: 1, Kind: FaultFull, Target: TargetLeader, At: 6 * second,
		For: 30 * second, Amount: 1 << 10, PPM: uint32(v)}}
	return plan
}
