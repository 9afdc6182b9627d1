package netsim

import "github.com/detcd/detcd/diskio/keyed"

// A purpose keeps the draws of one message apart, so that a rule that asks for one more draw leaves
// the others alone.
type purpose uint64

const (
	purposeLoss purpose = iota + 1
	purposeDuplicate
	purposeHold
	purposeHoldTime
	purposeTail
	purposeAlter
	purposeDelay // one for each copy, so it comes last
)

// draws is the source of all randomness of one message.
type draws struct {
	seed, link, message uint64
}

func (d *draws) word(p purpose) uint64 {
	return keyed.Hash(d.seed, d.link, d.message, uint64(p))
}

const million = 1_000_000

func (d *draws) chance(p purpose, ppm uint32) bool {
	return ppm > 0 && keyed.Chance(d.word(p), uint64(ppm), million)
}

func (d *draws) between(p purpose, lo, hi int64) int64 {
	r := keyed.New(d.word(p))
	return int64(r.Between(uint64(lo), uint64(hi)))
}

// delay draws one copy's travelling time: about exponential around the mean, or, once in a while,
// from a tail in which twice as long is half as likely. A second copy is always from the tail: it
// is meant to arrive after the answer, after a new leader, after a restart.
func (d *draws) delay(q *Quality, copyNumber int) int64 {
	r := keyed.New(d.word(purposeDelay + purpose(copyNumber)))
	if copyNumber > 0 || d.chance(purposeTail, q.TailPPM) {
		return q.MinDelay + int64(r.Tail(uint64(q.MeanDelay)+1, uint64(q.TailDelay+q.MeanDelay)+1))
	}
	return q.MinDelay + int64(r.Exp(uint64(q.MeanDelay)))
}
