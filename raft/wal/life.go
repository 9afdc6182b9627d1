package wal

// Every file has a life, a number in its header that seeds the checksums of its records. It keeps
// apart what looks alike: what an earlier use of a recycled file left in it, and what a client
// stored. Recovery looks for records at sector boundaries behind a torn write, and so inside of
// values; a value may hold a copy of a log file, or be made to look like a record by somebody who
// knows what a log counts. So the life comes from a nonce that clients do not know.
//
// It does not keep out whoever can read the files.

import "github.com/detcd/detcd/raft"

// life is that of the file with a sequence number. Within an incarnation no two lives, nor the two
// halves of them that a checksum folds, are equal.
func (l *Log) life(sequence uint64) uint64 { return l.nonce ^ sequence }

// nonceOf is the nonce of an incarnation: another one for each member and start.
func (o *Options) nonceOf(inc raft.Incarnation) uint64 {
	n := o.Nonce
	for _, part := range [...]uint64{o.Cluster, uint64(o.Member), uint64(inc)} {
		n = scatter(n ^ part)
	}
	return n
}

// scatter is a bijection that lets each bit of n decide about every bit of the result: splitmix64.
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
