package netsim

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	lively = Quality{
		MinDelay: 1000, MeanDelay: 5000, TailPPM: 10_000, TailDelay: 1_000_000, LossPPM: 50_000,
		DuplicatePPM: 50_000, Capacity: 1 << 20,
	}
)

func fates(n *Network, from, to Endpoint, count int) []Fate {
	var all []Fate
	for range count {
		all = append(all, n.Send(from, to, 1))
	}
	return all
}

// What happens on one link depends on nothing that happens on another one.
func TestLinksDrawAlone(t *testing.T) {
	alone := New(7, 5, 3, lively, lively)
	want := fates(alone, 0, 1, 500)

	busy := New(7, 5, 3, lively, lively)
	busy.Add(Rule{Fault: 1, From: Of(2), To: Of(1), LossPPM: 500_000, HoldPPM: 1000, HoldDelay: 100})
	var got []Fate
	for range 500 {
		busy.Send(2, 1, 3)
		got = append(got, busy.Send(0, 1, 1))
		busy.Send(1, 0, 2)
	}
	require.Equal(t, want, got)
}

// A rule that holds messages back leaves their loss, duplication and base delay as they were.
func TestRulesAddToFates(t *testing.T) {
	plain := fates(New(7, 5, 3, lively, lively), 0, 1, 500)
	n := New(7, 5, 3, lively, lively)
	n.Add(Rule{Fault: 1, From: Of(0), To: Of(1), Delay: 77})
	for i, f := range fates(n, 0, 1, 500) {
		require.Equal(t, plain[i].Copies, f.Copies)
		for c := range f.Copies {
			require.Equal(t, plain[i].Delays[c]+77, f.Delays[c])
		}
	}
	require.NotZero(t, n.Felt(1))
	n.Remove(1)
	require.Empty(t, n.rules)
}

func TestQuality(t *testing.T) {
	n := New(9, 2, 2, lively, lively)
	var sum, copies int64
	const messages = 20_000
	for _, f := range fates(n, 0, 1, messages) {
		for c := range f.Copies {
			require.GreaterOrEqual(t, f.Delays[c], lively.MinDelay)
			require.LessOrEqual(t, f.Delays[c], lively.MinDelay+lively.TailDelay+50*lively.MeanDelay)
		}
		if f.Copies == 1 {
			sum += f.Delays[0]
			copies++
		}
	}
	mean := sum / copies
	require.InDelta(t, float64(lively.MinDelay+lively.MeanDelay), float64(mean), 1000)
	counts := n.Counts()
	require.InDelta(t, messages/20, float64(counts.Lost), 150)
	require.InDelta(t, messages/20, float64(counts.Duplicated), 150)
}

// A conversation comes a second time, late, in the order in which it was held.
func TestEchoesComeLateAndInOrder(t *testing.T) {
	n := New(5, 2, 2, Quality{MinDelay: 10, MeanDelay: 10, TailDelay: 20, Capacity: 1000}, Quality{})
	n.Add(Rule{Fault: 1, From: Of(0), To: Of(1), DuplicatePPM: million, EchoDelay: 6400})
	for _, f := range fates(n, 0, 1, 200) {
		require.Equal(t, 2, f.Copies)
		require.Less(t, f.Delays[0], int64(1000))
		require.Equal(t, f.Delays[0]+6400, f.Delays[1])
	}
}

func TestQueuesAreBounded(t *testing.T) {
	q := lively
	q.Capacity, q.LossPPM, q.DuplicatePPM = 3, 0, 0
	n := New(1, 2, 2, q, q)
	for range 3 {
		require.Equal(t, 1, n.Send(0, 1, 1).Copies)
	}
	require.Zero(t, n.Send(0, 1, 1).Copies)
	require.EqualValues(t, 1, n.Counts().Overflowed)
	require.True(t, n.Arrive(0, 1, 1, 1))
	require.Equal(t, 1, n.Send(0, 1, 1).Copies)
}

// Filters act at delivery: a cut stops what is under way, and its end lets the rest through.
func TestCutsActAtDelivery(t *testing.T) {
	q := Quality{MinDelay: 1, MeanDelay: 1, Capacity: 10}
	n := New(1, 4, 3, q, q)
	require.Equal(t, 1, n.Send(0, 1, 1).Copies)
	require.Equal(t, 1, n.Send(0, 1, 1).Copies)
	n.Add(Rule{Fault: 4, From: Of(0), To: Of(1), Cut: true})
	require.False(t, n.Passes(0, 1))
	require.True(t, n.Passes(1, 0))
	require.False(t, n.Arrive(0, 1, 1, 1))
	n.Remove(4)
	require.True(t, n.Arrive(0, 1, 1, 1))
	require.EqualValues(t, 1, n.Felt(4))
}

// Every shape cuts what its name says.
func TestShapes(t *testing.T) {
	q := Quality{MinDelay: 1, MeanDelay: 1, Capacity: 10}
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.IntRange(1, 7).Draw(t, "members")
		s := Shape(rapid.IntRange(0, int(NumShapes)-1).Draw(t, "shape"))
		side := Set(rapid.Uint64().Draw(t, "side"))
		concerned := Set(rapid.Uint64().Draw(t, "concerned")) & (1<<(members+4) - 1)
		target := Endpoint(rapid.IntRange(0, members-1).Draw(t, "target"))
		n := New(1, members+4, members, q, q)
		for _, r := range Cuts(s, 1, members, concerned, side, target) {
			n.Add(r)
		}
		all := Set(1)<<members - 1 | concerned
		for from := Endpoint(0); int(from) < members+4; from++ {
			for to := Endpoint(0); int(to) < members+4; to++ {
				if from == to {
					continue
				}
				passes := n.Passes(from, to)
				if !all.Has(from) || !all.Has(to) {
					require.True(t, passes, "%v: %d to %d is not concerned", s, from, to)
					continue
				}
				across := side.Has(from) != side.Has(to)
				switch s {
				case Split:
					require.Equal(t, !across, passes)
				case SplitOneWay:
					require.Equal(t, !(across && side.Has(from)), passes)
				case Bridge:
					require.Equal(t, !across || from == target || to == target, passes)
				case Isolate:
					require.Equal(t, from != target && to != target, passes)
				case IsolateIn:
					require.Equal(t, to != target, passes)
				case IsolateOut:
					require.Equal(t, from != target, passes)
				}
			}
		}
		if s == Ring {
			ringIsConnected(t, n, members)
		}
	})
}

func ringIsConnected(t *rapid.T, n *Network, members int) {
	reached := Of(0)
	for range members {
		for from := Endpoint(0); int(from) < members; from++ {
			for to := Endpoint(0); int(to) < members && reached.Has(from); to++ {
				if n.Passes(from, to) {
					reached |= Of(to)
				}
			}
		}
	}
	require.Equal(t, members, reached.Len())
	for from := Endpoint(0); int(from) < members; from++ {
		near := 0
		for to := Endpoint(0); int(to) < members; to++ {
			if from != to && n.Passes(from, to) {
				near++
			}
		}
		require.LessOrEqual(t, near, 2)
	}
}

func BenchmarkSend(b *testing.B) {
	n := New(1, 10, 5, lively, lively)
	for b.Loop() {
		f := n.Send(0, 1, 1)
		for range f.Copies {
			n.Arrive(0, 1, 1, f.Number)
		}
	}
}
