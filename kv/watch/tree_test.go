package watch

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
)

// The tree against its obvious twin, a list that is looked through.
func TestTreeFindsWhatHoldsAKey(t *testing.T) {
	type interval struct{ from, to string } // an empty to has no end
	end := func(i interval) []byte {
		if i.to == "" {
			return nil
		}
		return []byte(i.to)
	}
	rapid.Check(t, func(t *rapid.T) {
		var tr tree
		twin := map[interval]*scope{}
		letter := rapid.StringMatching("[a-e]{1,2}")
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			i := interval{letter.Draw(t, "from"), letter.Draw(t, "to")}
			if rapid.IntRange(0, 5).Draw(t, "open") == 0 {
				i.to = ""
			}
			if twin[i] != nil {
				require.Equal(t, twin[i], tr.find([]byte(i.from), end(i)).scopes[0])
				tr.remove([]byte(i.from), end(i))
				delete(twin, i)
			} else {
				require.Nil(t, tr.find([]byte(i.from), end(i)))
				twin[i] = &scope{spec: Spec{Key: []byte(fmt.Sprint(i))}}
				tr.insert(&span{from: []byte(i.from), to: end(i), scopes: []*scope{twin[i]}})
			}
			n, err := tr.root.check()
			require.NoError(t, err)
			require.Equal(t, len(twin), n)
			key := letter.Draw(t, "key")
			var want, got []string
			for i, s := range twin {
				if key >= i.from && (i.to == "" || key < i.to) {
					want = append(want, string(s.spec.Key))
				}
			}
			for _, s := range tr.stab([]byte(key), nil) {
				got = append(got, string(s.spec.Key))
			}
			slices.Sort(want)
			slices.Sort(got)
			require.Equal(t, want, got)
		}
	})
}

func TestHeapGivesTheEarliestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap[*watcher]
		var twin []*watcher
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(twin) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(twin)-1).Draw(t, "which")
				h.remove(twin[i].place)
				require.Equal(t, -1, twin[i].place)
				twin = slices.Delete(twin, i, i+1)
			} else {
				w := &watcher{next: mvcc.Revision(rapid.IntRange(1, 20).Draw(t, "due"))}
				h.push(w)
				twin = append(twin, w)
			}
			first, ok := h.first()
			require.Equal(t, len(twin) > 0, ok)
			for i, w := range h.list {
				require.Equal(t, i, w.place)
				require.LessOrEqual(t, first.next, w.next)
			}
		}
	})
}

func TestCompareEndsPutsNoEndLast(t *testing.T) {
	require.Zero(t, compareEnds(nil, nil))
	require.Positive(t, compareEnds(nil, bytes.Repeat([]byte{0xff}, 9)))
	require.Negative(t, compareEnds([]byte("a"), nil))
	require.Negative(t, compareEnds([]byte("a"), []byte("b")))
}
