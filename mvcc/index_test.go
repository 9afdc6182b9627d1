package mvcc

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Keys that share long beginnings, differ in length only, or hold zero bytes: what confuses a
// search by prefix and head.
func hostileKey() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		key := bytes.Repeat([]byte{'p'}, rapid.SampledFrom([]int{0, 1, 8, 9, 20}).Draw(t, "prefix"))
		return append(key, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'p', 0xff}), 1, 10).
			Draw(t, "rest")...)
	})
}

func TestIndexFindsEveryKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := newIndex(rapid.SampledFrom([]int{4, 8, 64}).Draw(t, "block keys"))
		newest := map[string]version{}
		main := Revision(1)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "puts") {
					key := hostileKey().Draw(t, "key")
					main++
					v := version{main: main}
					if old := newest[string(key)]; old.dead() || rapid.IntRange(0, 3).Draw(t, "k") > 0 {
						v.create, v.number = main, 1
					}
					ix.put(key, v)
					newest[string(key)] = v
				}
			},
			"": func(t *rapid.T) {
				c := checker{newest: main, compacted: main}
				ix.tree.ascend(nil, func(it item) bool {
					c.err = c.block(it, ix.epoch)
					return c.err == nil
				})
				require.NoError(t, c.err)
				from, to := hostileKey().Draw(t, "from"), hostileKey().Draw(t, "to")
				var want []string
				for key, v := range newest {
					got, ok := lookup(ix.tree, []byte(key), main)
					require.Equal(t, !v.dead(), ok)
					require.Equal(t, v, got)
					if key >= string(from) && key < string(to) {
						want = append(want, key)
					}
				}
				slices.Sort(want)
				_, ok := lookup(ix.tree, from, main)
				require.Equal(t, newest[string(from)].create != 0, ok)
				var got []string
				if bytes.Compare(from, to) < 0 {
					span(ix.tree, from, to, func(b *block, lo, hi int) bool {
						for i := lo; i < hi; i++ {
							got = append(got, string(b.key(i)))
						}
						return true
					})
				}
				require.Equal(t, want, got)
			},
		})
	})
}

func BenchmarkBlockClone(b *testing.B) {
	ix := newIndex(0)
	for i := range 180 {
		ix.put([]byte{'/', 'k', byte(i)}, version{main: Revision(i + 1), create: 1, number: 1})
	}
	it := seek(ix.tree, nil)
	b.ReportAllocs()
	for b.Loop() {
		it.clone(1)
	}
}
