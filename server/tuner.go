// How much memory the garbage collector may leave unused.
//
// A store's heap is mostly long-lived: index, caches, the log's tail. Collecting whenever the heap
// has grown by a fixed share, as Go does, is too often while the heap is small (each request leaves
// a few hundred bytes behind) and too generous when it is large (a gigabyte of data would be given
// another gigabyte of air). The tuner keeps the room for garbage about constant instead: roomBytes,
// within limits on both sides.
package server

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	roomBytes     = 48 << 20
	minGCPercent  = 40
	maxGCPercent  = 800
	tunerInterval = 2 * time.Second
	liveMetric    = "/gc/heap/live:bytes"
)

type tuner struct{ done, ended chan struct{} }

func startTuner() *tuner {
	t := &tuner{done: make(chan struct{}), ended: make(chan struct{})}
	debug.SetGCPercent(gcPercent(0))
	go t.run()
	return t
}

func (t *tuner) run() {
	defer close(t.ended)
	tick := time.NewTicker(tunerInterval)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: liveMetric}}
	set := gcPercent(0)
	for {
		select {
		case <-t.done:
			return
		case <-tick.C:
		}
		metrics.Read(sample)
		if want := gcPercent(sample[0].Value.Uint64()); differs(want, set) {
			debug.SetGCPercent(want)
			set = want
		}
	}
}

func (t *tuner) stop() {
	close(t.done)
	<-t.ended
}

// gcPercent is the growth in percent that leaves roomBytes beside live bytes.
func gcPercent(live uint64) int {
	if live == 0 {
		return maxGCPercent
	}
	return int(min(max(roomBytes*100/live, minGCPercent), maxGCPercent))
}

// differs says whether a change is worth the pause that setting it costs.
func differs(a, b int) bool { return 8*max(a-b, b-a) > b }
