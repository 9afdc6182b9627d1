package mvcc

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The history of a key against a plain slice; copies of its header must not notice anything.
func TestPastMatchesASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type frozen struct {
			p    past
			list []version
		}
		var p past
		var list []version
		var copies []frozen
		main := Revision(1)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "pushes") {
					main += Revision(rapid.IntRange(0, 2).Draw(t, "step"))
					v := version{main: main, sub: int32(len(list))}
					if rapid.IntRange(0, 9).Draw(t, "alive") > 0 {
						last := version{create: main}
						if n := len(list); n > 0 && !list[n-1].dead() {
							last = list[n-1]
						}
						v.create, v.number, v.lease = last.create, last.number+1, last.lease
						if rapid.IntRange(0, 9).Draw(t, "lease") == 0 {
							v.lease++
						}
					}
					p.push(v)
					list = append(list, v)
				}
			},
			"drop": func(t *rapid.T) {
				n := rapid.IntRange(0, len(list)).Draw(t, "drop")
				p.drop(n)
				list = list[n:]
				if len(list) == 0 { // the key goes with its last version
					p = past{}
				}
			},
			"copy": func(*rapid.T) { copies = append(copies, frozen{p, list}) },
			"": func(t *rapid.T) {
				requirePast(t, list, &p, main)
				for i := range copies {
					requirePast(t, copies[i].list, &copies[i].p, main)
				}
			},
		})
	})
}

func requirePast(t *rapid.T, list []version, p *past, main Revision) {
	require.Equal(t, len(list), p.len())
	for i := range list {
		require.Equal(t, list[i], p.at(i))
	}
	rev := Revision(rapid.Int64Range(0, int64(main)).Draw(t, "rev"))
	var want *version
	for i := range list {
		if list[i].main <= rev {
			want = &list[i]
		}
	}
	got, found := p.find(rev)
	require.Equal(t, want != nil, found)
	if found {
		require.Equal(t, *want, got)
	}
}
