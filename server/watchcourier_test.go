package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A courier that ran before its first stream was counted found none and ended; whoever watched on
// that connection heard nothing, for ever.
func TestANewCourierStays(t *testing.T) {
	var c couriers
	for range 20_000 {
		k := c.join("somewhere")
		k.add(&watchStream{over: true})
		nudge(k.wake)
		visited := func() bool { return k.visits.Load() > 0 }
		for end := time.Now().Add(10 * time.Second); !visited() && time.Now().Before(end); {
			time.Sleep(time.Microsecond)
		}
		require.True(t, visited(), "the courier is gone")
		c.leave(k)
	}
}
