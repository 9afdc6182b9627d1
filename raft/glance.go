package raft

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
