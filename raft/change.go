package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Membership changes (dissertation 4.1, with the correction of 2015: a leader changes nothing
// before it has committed an entry of its own term). Majorities of two configurations that differ
// by one voter share a member, so it does not matter which of the two a server uses; the newest one
// in its log is used at once, committed or not. What differs by more goes through a joint
// configuration (joint.go).

// ChangeKind says what a Change does to a member.
type ChangeKind uint8

// The kinds of change.
const (
	_          ChangeKind = iota
	AddVoter              // a new voter, or a learner promoted
	AddLearner            // a new learner
	RemoveMember
	UpdateMember // changes nothing for Raft; Context is for the state machine
	LeaveJoint   // the outgoing voters go; only a leader makes it, Member is that leader
)

// Change is one change to one member.
type Change struct {
	Kind    ChangeKind
	Member  MemberID
	Context []byte // for the state machine (addresses, names); Raft carries it unread
}

// ConfigChange is the content of an EntryConfig. A list that changes more than one voter makes a
// joint configuration.
type ConfigChange struct {
	Changes []Change
}

// The reasons for which a change is not possible in any configuration.
var (
	errChangeEmpty      = errors.New("raft: a configuration change that changes nothing")
	errChangeJoint      = errors.New("raft: a joint configuration can only be left")
	errChangeNotJoint   = errors.New("raft: there is no joint configuration to leave")
	errChangeNoVoter    = errors.New("raft: no voter would be left")
	errChangeNotMember  = errors.New("raft: not a member")
	errChangeIsMember   = errors.New("raft: already a member")
	errChangeZeroMember = errors.New("raft: member 0 does not exist")
	errChangeOverlap    = errors.New("raft: a change contradicts itself")
	errChangeKind       = errors.New("raft: unknown kind of change")
)

// Apply returns the configuration that ch makes of c, or why it is not possible. It does not ask
// whether now is the time for it.
func (c *Config) Apply(ch ConfigChange) (Config, error) {
	if len(ch.Changes) == 0 {
		return Config{}, errChangeEmpty
	}
	if len(c.Outgoing) > 0 || ch.Changes[0].Kind == LeaveJoint {
		return c.leave(&ch)
	}
	next := c.Clone()
	for i := range ch.Changes {
		if err := next.applyOne(&ch.Changes[i]); err != nil {
			return Config{}, fmt.Errorf("change %d of member %v: %w", i, ch.Changes[i].Member, err)
		}
	}
	if len(next.Voters) == 0 {
		return Config{}, errChangeNoVoter
	}
	if voterDistance(c.Voters, next.Voters) > 1 {
		next.Outgoing = slices.Clone(c.Voters)
	}
	if err := next.Check(); err != nil {
		return Config{}, fmt.Errorf("%w: %w", errChangeOverlap, err)
	}
	return next, nil
}

func (c *Config) applyOne(ch *Change) error {
	m := ch.Member
	if m == 0 {
		return errChangeZeroMember
	}
	switch ch.Kind {
	case AddVoter:
		if c.IsVoter(m) {
			return errChangeIsMember
		}
		c.Learners = without(c.Learners, m)
		c.Voters = with(c.Voters, m)
	case AddLearner:
		if c.Contains(m) {
			return errChangeIsMember
		}
		c.Learners = with(c.Learners, m)
	case RemoveMember:
		if !c.Contains(m) {
			return errChangeNotMember
		}
		c.Learners = without(c.Learners, m)
		c.Voters = without(c.Voters, m)
	case UpdateMember:
		if !c.Contains(m) {
			return errChangeNotMember
		}
	default:
		return errChangeKind
	}
	return nil
}

func with(list []MemberID, m MemberID) []MemberID {
	i, _ := slices.BinarySearch(list, m)
	return slices.Insert(list, i, m)
}

func without(list []MemberID, m MemberID) []MemberID {
	if i, ok := slices.BinarySearch(list, m); ok {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// voterDistance counts the voters that are in one list only.
func voterDistance(a, b []MemberID) int {
	n := 0
	for _, m := range a {
		if !has(b, m) {
			n++
		}
	}
	for _, m := range b {
		if !has(a, m) {
			n++
		}
	}
	return n
}

// changePermitted says whether a leader may append a configuration entry now: not while another
// one is unsettled, which the log itself tells (so a new leader knows it too), and not before an
// entry of the own term is committed, or two leaders could commit rival changes.
func (r *Raft) changePermitted() bool {
	return r.ownTermCommitted() && r.configs.current().index <= r.commit
}

// planChange returns the configuration that e would make, and whether it may be appended now.
func (r *Raft) planChange(e *Entry) (Config, bool) {
	if !r.changePermitted() {
		return Config{}, false
	}
	next, err := r.configAfter(e)
	return next, err == nil
}

// configAfter returns what the entry makes of the configuration in force.
func (r *Raft) configAfter(e *Entry) (Config, error) {
	ch, err := DecodeChange(e.Data)
	if err != nil {
		return Config{}, err
	}
	return r.configs.current().config.Apply(ch)
}

// adopt puts a configuration in force.
func (r *Raft) adopt(i Index, c Config) {
	for _, m := range r.configs.current().config.Learners {
		if c.IsVoter(m) {
			r.probes[ProbeLearnerPromoted]++
		}
	}
	r.configs = append(r.configs, configAt{index: i, config: c})
	r.configChanged()
}

// configChanged brings what depends on the configuration in line with it.
func (r *Raft) configChanged() {
	if r.role == Leader {
		r.alignPeers()
	}
}

// rollBack forgets configurations whose entries were truncated.
func (r *Raft) rollBack(last Index) {
	if r.configs.truncate(last) {
		r.probes[ProbeConfigCut]++
		r.configChanged()
	}
}

// quorumReached returns the largest value that a quorum has reached, when value tells each
// member's. It is the one place where counting members happens, for matches and for rounds alike.
func (r *Raft) quorumReached(what quantity) uint64 {
	c := &r.configs.current().config
	reached := reachedByMajority(r.collect(c.Voters, what))
	if len(c.Outgoing) > 0 {
		reached = min(reached, reachedByMajority(r.collect(c.Outgoing, what)))
	}
	return reached
}

// quantity is what a leader counts per member.
type quantity uint8

const (
	quantityMatch  quantity = iota // durable up to here
	quantityRound                  // confirmed this read round
	quantityActive                 // 1 if heard of lately
)

// collect gathers one value per voter into scratch memory.
func (r *Raft) collect(voters []MemberID, what quantity) []uint64 {
	values := r.scratch[:0]
	for _, m := range voters {
		values = append(values, r.quantityOf(m, what))
	}
	r.scratch = values
	return values
}

func (r *Raft) quantityOf(m MemberID, what quantity) uint64 {
	if m == r.set.ID {
		switch what {
		case quantityMatch:
			return uint64(r.disk.durable)
		case quantityRound:
			return r.reads.round
		}
		return 1
	}
	p := r.peer(m)
	switch {
	case p == nil:
		return 0
	case what == quantityMatch:
		return uint64(p.match)
	case what == quantityRound:
		return p.round
	case p.active:
		return 1
	}
	return 0
}
