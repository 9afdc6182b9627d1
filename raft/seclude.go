package raft

import "fmt"

// Seclusion: the last survivor of a lost quorum becomes the only member of its cluster, because an
// operator says that the others never come back. Raft as published has no such step, and it is not
// safe: entries that only the others had are lost. What it keeps is everything in this member's
// log, whether or not it is known to be committed. An entry that was acknowledged and is here must
// not be dropped, and one that was not acknowledged may take effect as well.
//
// The way there is made of ordinary changes of one member each, appended without anybody's consent
// in a term of its own. So the log stays one that recovery, followers that join later, and the
// state machine read without knowing of any of this, and in no earlier term could another member
// have put something else at the same index. After the last change this member is a quorum.
//
//	configuration {1 2 3} + learner 4, survivor 1, term 5     log ... 17
//	18 (term 6) remove 2   19 (term 6) remove 3   20 (term 6) remove 4

// Seclude appends what makes this member the only one, at a start, before anything else has
// happened. It returns the sequences that the changes have used up, in this member's name, from 1.
// It is an error if this member belongs to no configuration.
func (r *Raft) Seclude() (Sequence, error) {
	if r.role != Follower || r.leader != 0 || r.disk.issued != 0 {
		panic(fmt.Sprintf("raft: seclusion of a %v that follows %v and has written %d times",
			r.role, r.leader, r.disk.issued))
	}
	c := r.configs.current().config.Clone()
	if !c.Contains(r.set.ID) {
		return 0, fmt.Errorf("%w: %v", errChangeNotMember, r.set.ID)
	}
	changes := secluding(&c, r.set.ID)
	if len(changes) == 0 {
		return 0, nil
	}
	r.enterTerm(r.term + 1)
	r.vote = r.set.ID
	for i := range changes {
		change := ConfigChange{Changes: changes[i : i+1]}
		r.appendOwn(&Entry{Type: EntryConfig, Proposer: r.set.ID, Incarnation: r.set.Incarnation,
			Sequence: Sequence(i + 1), Data: EncodeChange(nil, change)})
	}
	if now := r.configs.current().config; len(now.Members()) != 1 || !now.IsVoter(r.set.ID) {
		panic(fmt.Sprintf("raft: secluded in %v", now))
	}
	r.elapsed = r.timeout // there is nobody to hear from first
	return Sequence(len(changes)), nil
}

// secluding lists the changes that leave self alone in c, in an order in which each is possible.
func secluding(c *Config, self MemberID) (changes []Change) {
	if len(c.Outgoing) > 0 {
		changes = append(changes, Change{Kind: LeaveJoint, Member: self})
	}
	if !has(c.Voters, self) {
		changes = append(changes, Change{Kind: AddVoter, Member: self})
	}
	for _, m := range append(c.Voters[:len(c.Voters):len(c.Voters)], c.Learners...) {
		if m != self {
			changes = append(changes, Change{Kind: RemoveMember, Member: m})
		}
	}
	return changes
}
