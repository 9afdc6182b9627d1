package raft

import "slices"

// Joint consensus (dissertation 4.3). A list that changes several voters at once, a replacement for
// instance, makes a configuration in which the old voters and the new ones each are a quorum of
// their own: whatever is decided needs both majorities, so neither set can decide alone while some
// servers know only the old one. When that configuration is committed, the leader (any leader, for
// it sees it in its log) lets the old voters go by a second entry. Until then nothing else changes.
//
//	1 2 3          replace 3 by 4
//	1 2 4 & 1 2 3  majorities of both
//	1 2 4          left when the joint entry is committed
//
// A leader that is no incoming voter leads until the second entry is committed.

// leave returns the configuration after the one change that a joint one permits.
func (c *Config) leave(ch *ConfigChange) (Config, error) {
	only := len(ch.Changes) == 1 && ch.Changes[0].Kind == LeaveJoint
	switch {
	case len(c.Outgoing) > 0 && !only:
		return Config{}, errChangeJoint
	case len(c.Outgoing) == 0:
		return Config{}, errChangeNotJoint
	}
	next := c.Clone()
	next.Outgoing = nil
	return next, nil
}

// follows says whether c may come right after a configuration: their majorities must meet.
func (c *Config) follows(before *Config) bool {
	switch {
	case len(before.Outgoing) > 0:
		return len(c.Outgoing) == 0 && slices.Equal(c.Voters, before.Voters)
	case len(c.Outgoing) > 0:
		return slices.Equal(c.Outgoing, before.Voters)
	}
	return voterDistance(before.Voters, c.Voters) <= 1
}

// leaveJoint ends a joint configuration that is committed.
func (r *Raft) leaveJoint() {
	if len(r.configs.current().config.Outgoing) == 0 || !r.changePermitted() || r.transferee != 0 {
		return
	}
	if r.configs.current().index < r.termStart {
		r.probes[ProbeJointInherited]++
	}
	change := ConfigChange{Changes: []Change{{Kind: LeaveJoint, Member: r.set.ID}}}
	r.appendOwn(&Entry{Type: EntryConfig, Data: EncodeChange(nil, change)})
}
