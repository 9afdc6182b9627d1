package main

// Choices, and the small things that all requests are made of. Keys come from few, so that requests
// meet; among them are all that are odd. Everything shrinks towards the first choice.

import (
	"math"
	"math/bits"

	"pgregory.net/rapid"
)

// draw makes choices bit by bit, so that each is as likely as it says: rapid's own integers favour
// small ones.
type draw struct{ t *rapid.T }

func (d draw) bits(n int) int {
	v := 0
	for range n {
		v <<= 1
		if rapid.Bool().Draw(d.t, "bit") {
			v |= 1
		}
	}
	return v
}

// below is one of 0..n-1.
func (d draw) below(n int) int { return d.bits(bits.Len(uint(n-1))+3) % n }

// percent says yes in p of a hundred cases, and shrinks to no.
func (d draw) percent(p int) bool { return d.bits(7)*100/128 >= 100-p }

func pick[T any](d draw, from ...T) T { return from[d.below(len(from))] }

// weighted is one of the things that can be drawn.
type weighted[T any] struct {
	weight int
	draw   func(draw) T
}

func pickWeighted[T any](d draw, from []weighted[T]) T {
	sum := 0
	for _, w := range from {
		sum += w.weight
	}
	n := d.bits(10) * sum / 1024
	for _, w := range from {
		if n -= w.weight; n < 0 {
			return w.draw(d)
		}
	}
	panic("unreachable: the weights are their own sum")
}

// The keys. The names of locks and elections are "lock" and "vote".
var plainKeys = []string{"a", "b", "c", "ab", "abc", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"}

var oddKeys = []string{"\x00", "\x00\x00", "a\x00", "a\xff", "\xff", "\xff\xff", "lock/", "vote",
	"\xfe\xff\x00", "a very long key: 0123456789012345678901234567890123456789012345678901234567890"}

// key is rarely empty.
func (d draw) key() []byte {
	switch {
	case d.percent(12):
		return []byte(pick(d, oddKeys...))
	case d.percent(2):
		return nil
	}
	return []byte(pick(d, plainKeys...))
}

// end is the end of an interval that begins with key: mostly none.
func (d draw) end(key []byte) []byte {
	if !d.percent(45) {
		return nil
	}
	switch d.below(5) {
	case 0:
		return prefixEnd(key)
	case 1:
		return []byte{0}
	case 2:
		return key // empty
	case 3:
		return append(append([]byte{}, key...), 0) // the key alone
	}
	return []byte(pick(d, append(plainKeys, oddKeys...)...)) // anything, inverted too
}

// interval is a key, an end and now and then everything.
func (d draw) interval() (key, end []byte) {
	if d.percent(20) {
		return []byte{0}, []byte{0}
	}
	key = d.key()
	return key, d.end(key)
}

func prefixEnd(prefix []byte) []byte {
	end := append([]byte{}, prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

// value is short, seldom empty, and very seldom of a size at which a limit bites. The band within
// 200 bytes below the limit is left out: there the two servers' own envelopes decide.
func (d draw) value() []byte {
	switch {
	case d.percent(1):
		return sizedValue(pick(d, nearLimit, 1, 1000, 512<<10))
	case d.percent(5):
		return nil
	}
	return []byte(pick(d, "v", "w", "10", "9", "\x00", "\xff\xfe", "a longer value"))
}

// nearLimit is how far below the limit the largest value is that a request may have; inside a
// transaction it would be the other operations that decide, so it is farther there.
const (
	nearLimit    = -300
	nearTxnLimit = -8000
)

// revision is mostly none, else near one of the interesting ones.
func (d draw) revision() int64 {
	if !d.percent(35) {
		return 0
	}
	return d.someRevision()
}

func (d draw) someRevision() int64 {
	switch d.below(8) {
	case 0, 1, 2:
		return symbol(symRevision, int64(-d.below(12)))
	case 3:
		return symbol(symRevision, int64(1+d.below(3)))
	case 4, 5:
		return symbol(symCompact, int64(d.below(4)-1))
	case 6:
		return int64(-1 - d.below(2))
	}
	return pick[int64](d, 1, 2, math.MaxInt64, math.MinInt64)
}

// lease is one for keys, mostly none. It is never one that a server drew: the id would be in the
// store, and no hash would agree any more.
func (d draw) lease(percent int) int64 {
	if !d.percent(percent) {
		return 0
	}
	if d.percent(5) {
		return pick[int64](d, absent, math.MinInt64)
	}
	return pick(d, explicitLeases...)
}

// explicitLeases are ids that clients choose.
var explicitLeases = []int64{1, 77, -77, math.MaxInt64}
