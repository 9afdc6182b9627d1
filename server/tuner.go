// How much memory the garbage collector may leave unused.
//
// A store's heap is mostly long-lived: index, caches, the log's tail. Collecting whenever the heap
// has grown by a fixed share, as Go does, is too often while the heap is small (each request leaves
// a few kilobytes behind) and too generous when it is large (a gigabyte of data would be given
// another gigabyte of air). The tuner keeps the room for garbage about constant instead: roomBytes,
// within limits on both sides, and whatever is left up to floorBytes, because a collection costs
// most by the thousand stacks of waiting requests that it walks and shrinks, which a small heap
// would pay for very often. It looks after every collection, because the share that suits a small
// heap would give a list of many megabytes, just made, several times its size.
package server

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	roomBytes    = 12 << 20
	floorBytes   = 48 << 20
	minGCPercent = 30
	maxGCPercent = 400
)

type tuner struct {
	done, ended chan struct{}
	collected   chan struct{} // capacity 1
}

// cycle is unreachable from its creation on, so the next collection finds it.
type cycle struct{ tuner *tuner }

func startTuner() *tuner {
	t := &tuner{done: make(chan struct{}), ended: make(chan struct{}),
		collected: make(chan struct{}, 1)}
	debug.SetGCPercent(gcPercent(0))
	go t.run()
	t.await()
	return t
}

// await asks to be told of the next collection.
func (t *tuner) await() {
	runtime.SetFinalizer(&cycle{t}, func(c *cycle) {
		select {
		case c.tuner.collected <- struct{}{}:
		default:
		}
		if !isClosed(c.tuner.done) {
			c.tuner.await()
		}
	})
}

func (t *tuner) run() {
	defer close(t.ended)
	// The share is taken of everything that the collector walks through.
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"}}
	set := gcPercent(0)
	for {
		select {
		case <-t.done:
			return
		case <-t.collected:
		}
		metrics.Read(sample)
		live := uint64(0)
		for i := range sample {
			live += sample[i].Value.Uint64()
		}
		if want := gcPercent(live); differs(want, set) {
			debug.SetGCPercent(want)
			set = want
		}
	}
}

func (t *tuner) stop() {
	close(t.done)
	<-t.ended
}

// gcPercent is the growth in percent that leaves roomBytes beside live bytes, or lets them grow to
// floorBytes.
func gcPercent(live uint64) int {
	if live == 0 {
		return maxGCPercent
	}
	room := uint64(roomBytes)
	if live+room < floorBytes {
		room = floorBytes - live
	}
	return int(min(max(room*100/live, minGCPercent), maxGCPercent))
}

// differs says whether a change is worth the pause that setting it costs.
func differs(a, b int) bool { return 8*max(a-b, b-a) > b }
