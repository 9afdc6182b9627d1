// Package keyed is the randomness of the simulated worlds: integers only, keyed by entity.
//
// A simulated run must be the same on every machine, Go release and processor, and removing one
// fault from a plan must leave all other draws alone. The standard library's generators promise
// neither a stream that stays the same between releases nor a draw that is a function of a key,
// and its floating-point distributions differ between processors that fuse a multiply and an add.
// So every draw here is a pure function: Hash(seed, entity, sequence) for a single decision, or a
// Rand seeded by such a hash for a decision that needs many draws. Golden vectors pin the outputs.
//
// This is not cryptography, and an adversary who knows the seed knows every draw.
package keyed

import "math/bits"

// gamma is the increment of the splitmix64 generator: 2^64 divided by the golden ratio, odd.
const gamma = 0x9e3779b97f4a7c15

// mix is splitmix64's finalizer, a bijection on 64-bit words with full avalanche.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Hash returns a draw that depends on seed and on every part, their number and their order. It
// does not allocate.
func Hash(seed uint64, parts ...uint64) uint64 {
	h := mix(seed + gamma)
	for _, p := range parts {
		h = mix((h ^ p) + gamma)
	}
	return h
}

// String returns a key for a name, to be used as a part of a Hash.
func String(s string) uint64 {
	h := mix(uint64(len(s)) + gamma)
	for len(s) > 0 {
		var word uint64
		n := min(len(s), 8)
		for i := range n {
			word |= uint64(s[i]) << (8 * i)
		}
		h = mix((h ^ word) + gamma)
		s = s[n:]
	}
	return h
}

// Chance says whether the draw h falls into num out of den equally likely cases. A num of at
// least den is certain. It panics when den is zero.
func Chance(h, num, den uint64) bool {
	if den == 0 {
		panic("keyed: a chance out of zero cases")
	}
	drawn, _ := bits.Mul64(h, den)
	return drawn < num
}

// Rand is a splitmix64 generator. The zero value is the generator of seed zero; a copy continues
// independently from the same point.
type Rand struct {
	state uint64
}

// New returns the generator of the key that seed and parts make.
func New(seed uint64, parts ...uint64) Rand {
	if len(parts) == 0 {
		return Rand{state: seed}
	}
	return Rand{state: Hash(seed, parts...)}
}

// Uint64 returns the next word of the stream.
func (r *Rand) Uint64() uint64 {
	r.state += gamma
	return mix(r.state)
}

// IntN returns a number in [0, n), each equally likely. It panics unless n is positive.
func (r *Rand) IntN(n int) int {
	if n <= 0 {
		panic("keyed: IntN of a range without a member")
	}
	return int(r.Uint64N(uint64(n)))
}

// Uint64N returns a number in [0, n), each equally likely. It panics when n is zero.
func (r *Rand) Uint64N(n uint64) uint64 {
	if n == 0 {
		panic("keyed: Uint64N of an empty range")
	}
	hi, lo := bits.Mul64(r.Uint64(), n)
	if lo < n {
		// The lowest -n%n products are surplus; without refusing them small numbers gain.
		for surplus := -n % n; lo < surplus; {
			hi, lo = bits.Mul64(r.Uint64(), n)
		}
	}
	return hi
}

// Between returns a number in [lo, hi], each equally likely. It panics when hi is below lo.
func (r *Rand) Between(lo, hi uint64) uint64 {
	if hi < lo {
		panic("keyed: Between with its bounds crossed")
	}
	if span := hi - lo + 1; span != 0 {
		return lo + r.Uint64N(span)
	}
	return r.Uint64()
}

// Chance draws once and is true in num out of den cases. It panics when den is zero.
func (r *Rand) Chance(num, den uint64) bool {
	return Chance(r.Uint64(), num, den)
}

// Exp returns a draw whose distribution is exponential with the given mean, to within one percent,
// by integer arithmetic only. The largest possible draw is about 45 means. Means of 2^58 or more
// are not supported.
func (r *Rand) Exp(mean uint64) uint64 {
	if mean >= 1<<58 {
		panic("keyed: mean of an exponential draw out of range")
	}
	u := r.Uint64() | 1
	zeros := bits.LeadingZeros64(u)
	// u is 2^(63-zeros) * (1+f). All of the following is fixed point with 16 fraction bits.
	f := u << zeros << 1 >> 48
	// log2(1+f) is f plus a bow, which a parabola follows to within a thousandth.
	bow := (f * (1<<16 - f) >> 16) * 22487 >> 16
	minusLog2 := uint64(zeros+1)<<16 - f - bow
	minusLn := minusLog2 * 45426 >> 16
	hi, lo := bits.Mul64(mean, minusLn)
	return hi<<48 | lo>>16
}

// Tail returns a heavy-tailed draw in [lo, hi]: reaching twice as far is half as likely (a Pareto
// distribution of exponent one, cut at hi). It panics when hi is below lo.
func (r *Rand) Tail(lo, hi uint64) uint64 {
	if hi < lo {
		panic("keyed: Tail with its bounds crossed")
	}
	u := r.Uint64()
	if u <= lo {
		return hi
	}
	quotient, _ := bits.Div64(lo, 0, u)
	return min(quotient, hi)
}

// Perm fills p with a permutation of 0 to len(p)-1, each equally likely.
func (r *Rand) Perm(p []int) {
	for i := range p {
		j := r.IntN(i + 1)
		p[i] = p[j]
		p[j] = i
	}
}

// Fill overwrites p with words of the stream.
func (r *Rand) Fill(p []byte) {
	for len(p) > 0 {
		word := r.Uint64()
		n := min(len(p), 8)
		for i := range n {
			p[i] = byte(word >> (8 * i))
		}
		p = p[n:]
	}
}
