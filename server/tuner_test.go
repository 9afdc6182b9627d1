package server

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoomForGarbageIsAboutConstantWithinLimits(t *testing.T) {
	require.Equal(t, maxGCPercent, gcPercent(0))
	require.Equal(t, maxGCPercent, gcPercent(1<<20))
	require.Equal(t, 100, gcPercent(floorBytes/2))
	require.Equal(t, 50, gcPercent(floorBytes*2/3), "the floor is reached")
	require.Equal(t, 31, gcPercent(38<<20), "roomBytes beside it")
	require.Equal(t, minGCPercent, gcPercent(1<<30))
}

func TestTunerFollowsCollectionsUntilItIsStopped(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	tuner := startTuner()
	large := make([]byte, 8*roomBytes)
	for i := 0; ; i++ {
		require.Less(t, i, 1000, "no collection was noticed")
		runtime.GC()
		if metrics.Read(percent); percent[0].Value.Uint64() == minGCPercent {
			break
		}
	}
	runtime.KeepAlive(large)
	tuner.stop()
}
