package raft

// Config is a cluster configuration: who votes, who learns. A quorum needs a majority of Voters
// and, while Outgoing is not empty, a majority of Outgoing too (joint consensus, Raft dissertation
// 4.3). Today's single changes never fill Outgoing; the type and the formats hold it from the
// first day.
//
// Invariant: each list is sorted and free of repeats; Learners is disjoint from both others.
type Config struct {
	Voters   []MemberID // the incoming set
	Outgoing []MemberID
	Learners []MemberID
}

// ChangeKind says what a Change does to a member.
type ChangeKind uint8

// The kinds of change.
const (
	_          ChangeKind = iota
	AddVoter              // a new voter, or a learner promoted
	AddLearner            // a new learner
	RemoveMember
	UpdateMember // changes nothing for Raft; Context is for the state machine
)

// Change is one change to one member.
type Change struct {
	Kind    ChangeKind
	Member  MemberID
	Context []byte // for the state machine (addresses, names); Raft carries it unread
}

// ConfigChange is the content of an EntryConfig: a list, so that joint changes fit the format. A
// leader that cannot do joint consensus refuses a list that changes more than one voter.
type ConfigChange struct {
	Changes []Change
}
