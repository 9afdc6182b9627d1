package sim

import (
	"math/bits"

	"github.com/detcd/detcd/diskio/keyed"
)

// entity names whose draws a die makes. Every entity has its own stream, so what one of them draws
// never shifts what another one gets.
type entity uint64

const (
	entityConfig entity = iota + 1
	entityLimits
	entityMachine
	entityScript
	entityFaults
	entityEpisode
	entityClient
	entityTurn
	entityRead
	entityWire
	entityCrash
	entityProbe
	entityEdge
	entityWatcher
	entityConn
	entityAuth
	entityPassword
	entityStream
	entityOperator
	entityBudget
)

// die is the keyed stream of one entity.
type die struct {
	rand keyed.Rand
}

// newDie returns the stream of the number-th entity of a kind.
func newDie(seed uint64, e entity, number uint64) die {
	return die{rand: keyed.New(seed, uint64(e), number)}
}

// below returns a number in [0, n), 0 for n below 2.
func (d *die) below(n int64) int64 {
	if n < 2 {
		return 0
	}
	return int64(d.rand.Uint64N(uint64(n)))
}

// within returns a number in [lo, hi].
func (d *die) within(lo, hi int64) int64 { return lo + d.below(hi-lo+1) }

// chance is true in ppm of a million cases.
func (d *die) chance(ppm int64) bool { return d.below(million) < ppm }

const million = 1_000_000

// spread returns a number in [lo, hi] (both above 0) whose logarithm is about uniform: small values
// are as likely as large ones, at every scale.
func (d *die) spread(lo, hi int64) int64 {
	octaves := int64(bits.Len64(uint64(hi/lo))) - 1
	low := lo << d.within(0, octaves)
	high := min(2*low, hi)
	return d.within(low, high)
}

// oneOf returns one of the values.
func oneOf[T any](d *die, values ...T) T { return values[d.below(int64(len(values)))] }

// weighted returns an index with a chance in proportion to its weight.
func (d *die) weighted(weights []uint16) int {
	var sum int64
	for _, w := range weights {
		sum += int64(w)
	}
	at := d.below(sum)
	for i, w := range weights {
		if at < int64(w) {
			return i
		}
		at -= int64(w)
	}
	return len(weights) - 1
}
