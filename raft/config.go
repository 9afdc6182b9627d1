package raft

import (
	"fmt"
	"slices"
)

// Config is a cluster configuration: who votes, who learns. A quorum needs a majority of Voters
// and, while Outgoing is not empty, a majority of Outgoing too (joint consensus, Raft dissertation
// 4.3). Changes of a single voter never fill Outgoing.
//
// Invariant: each list is sorted and free of repeats; Learners is disjoint from both others.
type Config struct {
	Voters   []MemberID // the incoming set
	Outgoing []MemberID
	Learners []MemberID
}

// IsVoter says whether m votes, in either set.
func (c *Config) IsVoter(m MemberID) bool { return has(c.Voters, m) || has(c.Outgoing, m) }

// IsLearner says whether m only learns.
func (c *Config) IsLearner(m MemberID) bool { return has(c.Learners, m) }

// Contains says whether m is a member at all.
func (c *Config) Contains(m MemberID) bool { return c.IsVoter(m) || c.IsLearner(m) }

// Members returns everyone, sorted.
func (c *Config) Members() []MemberID {
	all := slices.Concat(c.Voters, c.Outgoing, c.Learners)
	slices.Sort(all)
	return slices.Compact(all)
}

// Clone returns a Config that shares nothing with c.
func (c *Config) Clone() Config {
	return Config{
		Voters:   slices.Clone(c.Voters),
		Outgoing: slices.Clone(c.Outgoing),
		Learners: slices.Clone(c.Learners),
	}
}

// Equal compares contents; nil and empty lists are the same.
func (c *Config) Equal(o *Config) bool {
	return slices.Equal(c.Voters, o.Voters) && slices.Equal(c.Outgoing, o.Outgoing) &&
		slices.Equal(c.Learners, o.Learners)
}

// Check verifies the invariant.
func (c *Config) Check() error {
	for _, list := range [...][]MemberID{c.Voters, c.Outgoing, c.Learners} {
		for i, m := range list {
			if m == 0 {
				return fmt.Errorf("raft: configuration %v names member 0", *c)
			}
			if i > 0 && list[i-1] >= m {
				return fmt.Errorf("raft: configuration %v is not in order", *c)
			}
		}
	}
	for _, m := range c.Learners {
		if c.IsVoter(m) {
			return fmt.Errorf("raft: member %v both votes and learns", m)
		}
	}
	return nil
}

func has(list []MemberID, m MemberID) bool {
	_, ok := slices.BinarySearch(list, m)
	return ok
}

// configAt is a configuration and the entry that made it.
type configAt struct {
	index  Index
	config Config
}

// configHistory holds the configurations that the log made, oldest first, the one in force last. A
// configuration is adopted when its entry is appended, committed or not, and is forgotten when the
// entry is truncated (dissertation 4.1), so the way back must be kept.
//
// Invariant: never empty; ascending in index; the first is the one in force at memLog.prev.
type configHistory []configAt

func (h configHistory) current() *configAt { return &h[len(h)-1] }

// at returns the configuration in force at index i.
func (h configHistory) at(i Index) *configAt {
	k := len(h) - 1
	for k > 0 && h[k].index > i {
		k--
	}
	return &h[k]
}

// truncate forgets what entries after i made, and says whether that was anything.
func (h *configHistory) truncate(i Index) bool {
	n := len(*h)
	for n > 1 && (*h)[n-1].index > i {
		n--
	}
	changed := n < len(*h)
	*h = (*h)[:n]
	return changed
}

// compact forgets what was replaced at or before i.
func (h *configHistory) compact(i Index) {
	k := 0
	for k+1 < len(*h) && (*h)[k+1].index <= i {
		k++
	}
	*h = append((*h)[:0], (*h)[k:]...)
}
