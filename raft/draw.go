package raft

// Random draws. An election timeout must differ from member to member, and a run must repeat from
// its seed. So a draw is a keyed hash of who draws, for what, and for the how-manieth time: no
// draw depends on how many others were made before it for another purpose.

// purpose separates the streams of draws of one member.
type purpose uint64

const purposeElectionTimeout purpose = 1

// draw returns 64 well mixed bits.
func draw(set *Settings, p purpose, counter uint64) uint64 {
	h := set.Seed
	for _, w := range [...]uint64{
		uint64(set.ID), uint64(set.Incarnation), uint64(p), counter,
	} {
		h = mix(h ^ mix(w))
	}
	return h
}

// mix is a bijection in which every input bit reaches every output bit: two rounds of a shift and
// an odd multiplication, after an addition that keeps zero from being a fixed point.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
