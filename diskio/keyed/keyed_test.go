package keyed

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The stream is splitmix64's, whose reference outputs for this seed are widely published.
func TestStreamIsSplitmix64(t *testing.T) {
	r := New(1234567)
	want := []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423,
		4593380528125082431, 16408922859458223821}
	for _, w := range want {
		require.Equal(t, w, r.Uint64())
	}
}

// Recorded seeds are worth nothing once a draw moves, so every draw has a golden vector.
func TestGoldenVectors(t *testing.T) {
	require.Equal(t, []uint64{
		0xe220a8397b1dcdaf, 0xa706dd2f4d197e6f, 0x238275bc38fcbe91,
		0xd0734750fde362b3, 0x8f3ed33abd58deb9, 0xd62a7f6e291fef64,
		0xe220a8397b1dcdaf, 0x8f477ce316013ed2, 0x23efc05e5c4bb625,
	}, []uint64{
		Hash(0), Hash(0, 0), Hash(0, 0, 0), Hash(1, 2, 3), Hash(1, 3, 2), Hash(3, 2, 1),
		String(""), String("wal/0000000000000001"), String("wal/0000000000000002"),
	})
	r := New(7, 8)
	perm := make([]int, 8)
	r.Perm(perm)
	bytes := make([]byte, 11)
	r.Fill(bytes)
	require.Equal(t, []any{
		[]int{7, 3, 5, 1, 6, 2, 0, 4},
		[]byte{0xfb, 0x18, 0x5e, 0xe, 0xe7, 0x8b, 0xca, 0x1e, 0x23, 0xfd, 0x24},
		741, uint64(14), uint64(170), uint64(147), uint64(94774493184),
		uint64(12), uint64(14), true, uint64(984872435529259516),
	}, []any{
		perm, bytes, r.IntN(1000), r.Between(10, 20), r.Exp(1000), r.Exp(1000), r.Exp(1 << 40),
		r.Tail(10, 100000), r.Tail(10, 100000), r.Chance(1, 2), r.Uint64N(1 << 63),
	})
}

func TestHashDoesNotAllocate(t *testing.T) {
	var sum uint64
	require.Zero(t, testing.AllocsPerRun(100, func() {
		sum += Hash(sum, 1, 2, 3) + String("a name of a file")
	}))
}

func TestHashSeparatesNeighbours(t *testing.T) {
	seen := make(map[uint64]bool)
	for seed := range uint64(20) {
		for entity := range uint64(50) {
			for sequence := range uint64(50) {
				h := Hash(seed, entity, sequence)
				require.False(t, seen[h])
				seen[h] = true
			}
		}
	}
}

func TestDrawsStayInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New(rapid.Uint64().Draw(t, "seed"))
		n := rapid.Uint64Range(1, 1<<63).Draw(t, "n")
		require.Less(t, r.Uint64N(n), n)
		lo := rapid.Uint64().Draw(t, "lo")
		hi := rapid.Uint64Min(lo).Draw(t, "hi")
		for _, draw := range []uint64{r.Between(lo, hi), r.Tail(lo, hi)} {
			require.GreaterOrEqual(t, draw, lo)
			require.LessOrEqual(t, draw, hi)
		}
		require.True(t, r.Chance(n, n))
		require.False(t, r.Chance(0, n))
		perm := make([]int, rapid.IntRange(0, 40).Draw(t, "size"))
		r.Perm(perm)
		seen := make([]bool, len(perm))
		for _, i := range perm {
			require.False(t, seen[i])
			seen[i] = true
		}
	})
}

// The shapes are judged in integers too: counts over many draws of one fixed seed.
func TestDistributions(t *testing.T) {
	const draws, mean = 200_000, 1 << 20
	r := New(42)
	var sum uint64
	var above [8]int
	for range draws {
		x := r.Exp(mean)
		sum += x
		for k := range above {
			if x > uint64(k)*mean {
				above[k]++
			}
		}
	}
	average := sum / draws
	require.InDelta(t, mean, average, mean/100)
	// e^-1, e^-2 and e^-4 of the draws lie above 1, 2 and 4 means.
	require.InDelta(t, draws*36788/100000, above[1], draws/100)
	require.InDelta(t, draws*13534/100000, above[2], draws/100)
	require.InDelta(t, draws*1832/100000, above[4], draws/200)

	var far [12]int
	for range draws {
		x := r.Tail(1<<20, 1<<40)
		for k := range far {
			if x >= 1<<20<<k {
				far[k]++
			}
		}
	}
	for k := range far {
		require.InDelta(t, draws>>k, far[k], draws/100)
	}

	var buckets [7]int
	for range draws {
		buckets[r.IntN(len(buckets))]++
	}
	for _, n := range buckets {
		require.InDelta(t, draws/len(buckets), n, draws/200)
	}
}

func BenchmarkHash(b *testing.B) {
	var sum uint64
	for i := range b.N {
		sum += Hash(sum, uint64(i), 3)
	}
	_ = sum
}
