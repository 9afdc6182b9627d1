package raft

import (
	"errors"
	"fmt"
)

// The invariants of one member, all of them, for tests and the simulator. What can be verified at
// the moment of a change is asserted there as well.

// Check verifies the internal invariants and says what is broken. For tests and the simulator.
func (r *Raft) Check() error {
	return errors.Join(r.checkIndexes(), r.log.check(), r.checkConfigs(), r.checkRole())
}

func (r *Raft) checkIndexes() error {
	l := &r.log
	if l.prev > r.applied || r.applied > r.commit || r.commit > l.last {
		return fmt.Errorf("raft: prev %d, applied %d, commit %d, last %d",
			l.prev, r.applied, r.commit, l.last)
	}
	if r.disk.durable > l.handed || l.handed > l.last {
		return fmt.Errorf("raft: durable %d, handed %d, last %d", r.disk.durable, l.handed, l.last)
	}
	if l.windowFirst() > r.disk.durable+1 && len(l.window) > 0 && l.windowFirst() > l.first() {
		return fmt.Errorf("raft: entries before %d left memory, but only %d are durable",
			l.windowFirst(), r.disk.durable)
	}
	if r.following.acked > r.disk.durable {
		return fmt.Errorf("raft: acknowledged %d, durable %d", r.following.acked, r.disk.durable)
	}
	if l.lastTerm() > r.term {
		return fmt.Errorf("raft: log ends in term %d, term is %d", l.lastTerm(), r.term)
	}
	return nil
}

func (l *memLog) check() error {
	if (len(l.runs) == 0) != (l.last == l.prev) || l.windowFirst() < l.first() {
		return fmt.Errorf("raft: log %d..%d, window from %d, runs %v",
			l.first(), l.last, l.windowFirst(), l.runs)
	}
	for i, run := range l.runs {
		bad := run.First > l.last || run.Term < l.prevTerm
		if i == 0 {
			bad = bad || run.First != l.first()
		} else {
			bad = bad || run.First <= l.runs[i-1].First || run.Term <= l.runs[i-1].Term
		}
		if bad {
			return fmt.Errorf("raft: log %d..%d has runs %v", l.first(), l.last, l.runs)
		}
	}
	bytes := 0
	for i := range l.window {
		e := &l.window[i]
		if e.Index != l.windowFirst()+Index(i) || !l.matches(e.Index, e.Term) {
			return fmt.Errorf("raft: entry %d of term %d at position %d of the window from %d",
				e.Index, e.Term, i, l.windowFirst())
		}
		bytes += e.Size()
	}
	if bytes != l.bytes {
		return fmt.Errorf("raft: window has %d bytes, counted %d", bytes, l.bytes)
	}
	return nil
}

func (r *Raft) checkConfigs() error {
	if len(r.configs) == 0 {
		return errors.New("raft: no configuration")
	}
	for i := range r.configs {
		c := &r.configs[i]
		if err := c.config.Check(); err != nil {
			return err
		}
		if c.index > r.log.last || (i > 0 && r.configs[i-1].index >= c.index) {
			return fmt.Errorf("raft: configuration of entry %d, last index %d", c.index, r.log.last)
		}
		if i > 0 && !c.config.follows(&r.configs[i-1].config) {
			return fmt.Errorf("raft: configuration %v follows %v in one step",
				c.config, r.configs[i-1].config)
		}
	}
	return nil
}

func (r *Raft) checkRole() error {
	if r.role != Leader {
		if len(r.peers) > 0 || r.uncommitted != 0 || len(r.reads.rounds) > 0 {
			return fmt.Errorf("raft: a %v with leader's state", r.role)
		}
		return nil
	}
	if r.leader != r.set.ID || r.vote != r.set.ID || !r.disk.promiseKept() {
		return fmt.Errorf("raft: leads term %d with vote %v, leader %v", r.term, r.vote, r.leader)
	}
	if t, ok := r.log.term(r.termStart); ok && t != r.term {
		return fmt.Errorf("raft: leadership of term %d began at %d of term %d",
			r.term, r.termStart, t)
	}
	for i := range r.peers {
		p := &r.peers[i]
		bytes := 0
		for _, f := range p.inflight {
			bytes += f.bytes
		}
		if p.match >= p.next || p.match > r.log.last || bytes != p.inflightBytes ||
			(i > 0 && r.peers[i-1].id >= p.id) {
			return fmt.Errorf("raft: progress %+v, last index %d", *p, r.log.last)
		}
	}
	return nil
}
