package raft

import "slices"

// What the layers above look at in every turn, cheaper than a whole Status.

// CommitIndex is the highest index known to be committed.
func (r *Raft) CommitIndex() Index { return r.commit }

// HasCommitted says whether NextCommitted would return something, now and without a Fetch on its
// way.
func (r *Raft) HasCommitted() bool { return r.commit > r.applied && r.applyFetch == 0 }

// Durable is the last index whose final write is durable here.
func (r *Raft) Durable() Index { return r.disk.durable }

// MemoryBytes is the size of the entries in memory.
func (r *Raft) MemoryBytes() int64 { return int64(r.log.bytes) }

// Leadership returns the known leader (0 if none), the term, and this member's role.
func (r *Raft) Leadership() (MemberID, Term, Role) { return r.leader, r.term, r.role }

// ChangeableAt says whether this member may append a configuration change now: it leads, knows what
// is committed, and the configuration in force was made by an entry up to the applied index.
func (r *Raft) ChangeableAt(applied Index) bool {
	return r.changePermitted() && r.configs.current().index <= applied
}

// Window is a copy of the entries in memory, which end at the last index, and Runs of the terms of
// the whole log. Both are for people who look into a member.
func (r *Raft) Window() []Entry { return slices.Clone(r.log.window) }

// Runs says which entries have which term; see Window.
func (r *Raft) Runs() []TermRun { return slices.Clone(r.log.runs) }

// LastIndex is the last index of the log.
func (r *Raft) LastIndex() Index { return r.log.last }
