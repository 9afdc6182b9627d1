package raft

// Quorum arithmetic, knowing nothing of who uses it. A quorum is a majority of the incoming voters
// and, while there are outgoing ones, a majority of those too (dissertation 4.3).
//
//	voters 1 2 3 with values 9 4 7: the majority (2 of 3) has reached 7
//	voters 1 2   with values 9 4:   the majority (2 of 2) has reached 4

// majority is how many of n are more than half.
func majority(n int) int { return n/2 + 1 }

// reachedByMajority sorts values in place and returns the largest one that a majority of them has
// reached; without any voter nothing is ever reached.
func reachedByMajority(values []uint64) uint64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	// Insertion sort, descending: a configuration has a handful of voters.
	for i := 1; i < n; i++ {
		for j := i; j > 0 && values[j] > values[j-1]; j-- {
			values[j], values[j-1] = values[j-1], values[j]
		}
	}
	return values[majority(n)-1]
}

// ballot is the outcome of counting votes.
type ballot uint8

const (
	ballotOpen ballot = iota
	ballotWon
	ballotLost
)

// countBallot judges one set of voters.
func countBallot(voters, granted, refused int) ballot {
	switch {
	case voters == 0:
		return ballotLost
	case granted >= majority(voters):
		return ballotWon
	case voters-refused < majority(voters):
		return ballotLost
	}
	return ballotOpen
}

// joinBallots needs both sets to be won, and is lost with either.
func joinBallots(incoming, outgoing ballot) ballot {
	switch {
	case incoming == ballotLost || outgoing == ballotLost:
		return ballotLost
	case incoming == ballotWon && outgoing == ballotWon:
		return ballotWon
	}
	return ballotOpen
}
