package sim

import (
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The heap gives events in the order of a stable sort by time.
func TestHeapOrdersLikeASort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h eventHeap
		var twin []event
		for range rapid.IntRange(0, 300).Draw(t, "operations") {
			if len(twin) > 0 && rapid.IntRange(0, 2).Draw(t, "pop") == 0 {
				e, ok := h.pop()
				require.True(t, ok)
				require.Equal(t, twin[0].slot, e.slot)
				twin = twin[1:]
				continue
			}
			e := event{at: rapid.Int64Range(0, 20).Draw(t, "at"), slot: uint32(h.seq)}
			h.push(e)
			twin = append(twin, e)
			sort.SliceStable(twin, func(i, j int) bool { return twin[i].at < twin[j].at })
		}
		require.Len(t, h.list, len(twin))
	})
}

func BenchmarkHeap(b *testing.B) {
	var h eventHeap
	d := newDie(1, entityConfig, 0)
	for range 1000 {
		h.push(event{at: d.below(1000)})
	}
	for b.Loop() {
		e, _ := h.pop()
		e.at += d.below(1000)
		h.push(e)
	}
}
