package mvcc

// Searching sorted keys costs cache misses, not instructions: a binary search over keys that lie
// somewhere in memory misses twice per step. So a sorted list of keys keeps heads, the 8 bytes of
// each key behind what all of them begin with, as numbers in one array that sort like the keys. A
// search looks there first, and compares whole keys only where heads are equal.

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// headOf is the first 8 bytes of a key's rest as a number that sorts like them; missing ones are
// zero.
func headOf(rest []byte) uint64 {
	if len(rest) >= 8 {
		return binary.BigEndian.Uint64(rest)
	}
	var padded [8]byte
	copy(padded[:], rest)
	return binary.BigEndian.Uint64(padded[:])
}

// less is 1 if a < b, else 0, without a branch that would be mispredicted every other time.
func less(a, b uint64) int {
	_, borrow := bits.Sub64(a, b, 0)
	return int(borrow)
}

// firstHead returns the position of the first head that is not less than h. It looks at seven
// places at once, so that their cache misses overlap: two rounds find a place among 256 heads,
// where halving would wait for four or five misses one after the other.
func firstHead(heads []uint64, h uint64) int {
	lo, n := 0, len(heads) // the place is in [lo, lo+n]
	for n > 8 {
		step := n / 8
		p := heads[lo+step-1 : lo+7*step]
		// Each place's head that is less moves the range one step on.
		k := less(p[0], h) + less(p[step], h) + less(p[2*step], h) + less(p[3*step], h) +
			less(p[4*step], h) + less(p[5*step], h) + less(p[6*step], h)
		lo += k * step
		if k < 7 {
			n = step - 1
		} else {
			n -= 7 * step
		}
	}
	k := 0
	for _, head := range heads[lo : lo+n] {
		k += less(head, h)
	}
	return lo + k
}

// ties returns the range of heads that are h.
func ties(heads []uint64, h uint64) (lo, hi int) {
	lo = firstHead(heads, h)
	for hi = lo; hi < len(heads) && heads[hi] == h; hi++ {
		// There are few, but a list may be all ties.
		if hi-lo == 8 {
			if h == math.MaxUint64 {
				return lo, len(heads)
			}
			return lo, hi + firstHead(heads[hi:], h+1)
		}
	}
	return lo, hi
}

func commonPrefix(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
