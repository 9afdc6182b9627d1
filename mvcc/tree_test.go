package mvcc

import (
	"cmp"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFirstHeadEqualsASearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heads := rapid.SliceOfN(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 9)), 0, 300).
			Draw(t, "heads")
		slices.Sort(heads)
		for _, h := range append([]uint64{0, 1, 5, 1<<64 - 1}, heads...) {
			want := sort.Search(len(heads), func(i int) bool { return heads[i] >= h })
			require.Equal(t, want, firstHead(heads, h))
			end := sort.Search(len(heads), func(i int) bool { return heads[i] > h })
			lo, hi := ties(heads, h)
			require.Equal(t, []int{want, end}, []int{lo, hi})
		}
	})
}

// treeTwin is a list of bounds with their blocks, and the same as living views saw it.
type treeTwin struct {
	lows   []string
	blocks map[string]*block
}

func (w *treeTwin) clone() treeTwin {
	c := treeTwin{slices.Clone(w.lows), map[string]*block{}}
	for _, low := range w.lows {
		c.blocks[low] = w.blocks[low]
	}
	return c
}

func (w *treeTwin) require(t *rapid.T, tr *tree, probes [][]byte) {
	require.NoError(t, tr.check())
	i := 0
	tr.ascend(nil, func(it item) bool {
		require.Equal(t, w.lows[i], string(it.low))
		require.Same(t, w.blocks[w.lows[i]], it.block)
		i++
		return true
	})
	require.Len(t, w.lows, i)
	for _, key := range probes {
		at, found := slices.BinarySearch(w.lows, string(key))
		if !found {
			at--
		}
		require.Equal(t, w.lows[at], string(seek(tr, key).low))
		next, ok := following(tr, key)
		require.Equal(t, at+1 < len(w.lows), ok)
		if ok {
			require.Equal(t, w.lows[at+1], string(next.low))
		}
		tr.ascend(key, func(it item) bool {
			require.Equal(t, w.lows[at], string(it.low))
			return false
		})
	}
}

func TestTreeEqualsASortedListAndViewsSeeNoChange(t *testing.T) {
	type seen struct {
		tree  *tree
		epoch uint64
		want  treeTwin
	}
	rapid.Check(t, func(t *rapid.T) {
		ix := newIndex(rapid.SampledFrom([]int{4, 8, 40}).Draw(t, "fan"))
		now := treeTwin{[]string{""}, map[string]*block{"": seek(ix.tree, nil).block}}
		var views []seen
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			low := string(hostileKey().Draw(t, "low"))
			at, found := slices.BinarySearch(now.lows, low)
			switch rapid.SampledFrom([]string{"add", "add", "add", "drop", "set", "view",
				"release"}).Draw(t, "action") {
			case "add":
				if !found {
					now.lows = slices.Insert(now.lows, at, low)
					now.blocks[low] = newBlock(ix.epoch)
					ix.addBlock([]byte(low), now.blocks[low])
				}
			case "drop":
				if at = max(min(at, len(now.lows)-1), 1); at < len(now.lows) {
					ix.dropBlock([]byte(now.lows[at]))
					now.lows = slices.Delete(now.lows, at, at+1)
				}
			case "set":
				low = now.lows[min(at, len(now.lows)-1)]
				now.blocks[low] = newBlock(ix.epoch)
				ix.setBlock([]byte(low), now.blocks[low])
			case "view":
				tr, epoch := ix.share()
				views = append(views, seen{tr, epoch, now.clone()})
			case "release":
				if len(views) > 0 {
					i := rapid.IntRange(0, len(views)-1).Draw(t, "view")
					ix.unshare(views[i].epoch)
					views = slices.Delete(views, i, i+1)
				}
			}
			probes := [][]byte{nil, []byte(low), hostileKey().Draw(t, "probe")}
			now.require(t, ix.tree, probes)
			for _, v := range views {
				v.want.require(t, v.tree, probes)
			}
		}
		require.True(t, slices.IsSortedFunc(views, func(a, b seen) int {
			return cmp.Compare(a.epoch, b.epoch)
		}))
	})
}
