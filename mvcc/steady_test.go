package mvcc_test

// What a store needs on the disk follows what lives in it, however long it runs.

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Short-lived keys beside long-lived ones, of which one is written now and then: the segments of
// these always hold something dead, and never much.
func TestTombstonesDoNotPileUp(t *testing.T) {
	for _, rewrites := range []int{0, 1, 15} {
		p := newPair(t)
		for i := range 60 {
			p.put(t, fmt.Sprintf("live%02d", i), make([]byte, 60))
		}
		var early, late int64
		for round := range 45 {
			if round < rewrites {
				p.put(t, fmt.Sprintf("live%02d", 5+3*round), make([]byte, 60))
			}
			for i := range 40 {
				key := fmt.Sprintf("tmp-%d-%d", round, i)
				p.put(t, key, make([]byte, 40))
				p.remove(t, key, "")
			}
			p.compactAll(t)
			for range 2 {
				p.startCheckpoint()
				p.finishCheckpoint(t)
				p.settle(t)
			}
			files, _ := p.engine.Size()
			if round < 15 {
				early = max(early, files)
			} else {
				late = max(late, files)
			}
		}
		require.LessOrEqual(t, late, early+early/4, "after %d rewrites", rewrites)
		_, inUse := p.engine.Size()
		require.Less(t, inUse, int64(60*130*5/4), "after %d rewrites", rewrites)
		p.requireSameState(t)
		p.reopen(t)
		p.requireSameState(t)
	}
}

// Reclaim and its purges go on at any pace while keys that have lain in old segments for long are
// deleted and compacted away: after a restart from any checkpoint none of them is back.
func TestNoReclaimBringsADeletedKeyBack(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		p := newPair(t)
		for i := range 150 {
			p.put(t, fmt.Sprintf("old%03d", i), make([]byte, 30))
		}
		for step := range 500 {
			switch rng.IntN(10) {
			case 0:
				p.remove(t, fmt.Sprintf("old%03d", rng.IntN(150)), "")
			case 1:
				rev := p.engine.Revision()
				require.Equal(t, p.twin.Compact(rev), p.engine.Compact(rev))
			case 2:
				if !p.engine.Checkpointing() {
					p.startCheckpoint()
				}
			case 3, 4:
				for range rng.IntN(20) {
					p.engine.Work(1 + rng.IntN(8))
					p.run(t, 1)
				}
			case 5:
				if rng.IntN(10) == 0 {
					p.reopen(t)
					p.requireSameState(t)
				}
			default:
				for i := range 8 {
					key := fmt.Sprintf("new%d-%d", step, i)
					p.put(t, key, nil)
					p.remove(t, key, "")
				}
			}
		}
		p.settle(t)
		p.checkpointAndReopen(t)
		p.requireSameState(t)
	}
}
