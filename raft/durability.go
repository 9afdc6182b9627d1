package raft

import "fmt"

// Durability. A promise made to others (a vote, an acknowledged entry, a leader's count of itself)
// must outlive a loss of power, so it waits until the write that carries it is synced. All writes
// go through one lane in order; each has a ticket, and a completed ticket covers the smaller ones.
//
// An index may be written more than once: a new leader replaces a tail whose write is still on its
// way. The completion of the old write then says nothing of the new entries at the same indexes.
//
//	ticket 7 writes 5 6 7       pending: (7, up to 7)
//	truncation to 5             pending: (7, up to 5)      6 and 7 of ticket 7 count no more
//	ticket 8 writes 6'          pending: (7, up to 5) (8, up to 6)
//	ticket 7 completes          durable: 5
//	ticket 8 completes          durable: 6
//
// Invariant: durable <= memLog.handed <= memLog.last.

// pendingWrite is an Append whose entries, as far as they were not replaced, end at last.
type pendingWrite struct {
	ticket Ticket
	last   Index
}

// durability tracks what the disk is known to hold.
type durability struct {
	issued  Ticket // the newest ticket given out
	synced  Ticket // the newest ticket reported complete
	durable Index  // the last index whose final write is complete, as is everything before it
	pending []pendingWrite
	// awaited is the ticket of pending[0] as of the last tick, waited the ticks since it is.
	awaited Ticket
	waited  int

	hardTicket Ticket // carries the current term and vote, once given out
	hardDirty  bool   // term or vote moved since the last Append
	commit     Index  // the commit index in the last Append
	commitDue  bool   // record the commit index even if nothing else is to be written
}

// promiseKept says whether the current term and vote are durable.
func (d *durability) promiseKept() bool { return !d.hardDirty && d.synced >= d.hardTicket }

// issue gives out the next ticket for a write whose entries end at last (0: no entries).
func (d *durability) issue(last, commit Index) Ticket {
	d.issued++
	if last != 0 {
		d.pending = append(d.pending, pendingWrite{ticket: d.issued, last: last})
	}
	if d.hardDirty {
		d.hardTicket, d.hardDirty = d.issued, false
	}
	d.commit, d.commitDue = commit, false
	return d.issued
}

// overwrite says that indexes from i on are about to get new content.
func (d *durability) overwrite(i Index) {
	d.durable = min(d.durable, i-1)
	for k := range d.pending {
		d.pending[k].last = min(d.pending[k].last, i-1)
	}
}

// complete accounts for every write up to ticket t.
func (d *durability) complete(t Ticket) {
	if t > d.issued {
		panic(fmt.Sprintf("raft: ticket %d synced, but only %d issued", t, d.issued))
	}
	d.synced = max(d.synced, t)
	n := 0
	for n < len(d.pending) && d.pending[n].ticket <= t {
		d.durable = max(d.durable, d.pending[n].last)
		n++
	}
	d.pending = append(d.pending[:0], d.pending[n:]...)
}

// Synced reports that every Append up to and including ticket t is durable.
func (r *Raft) Synced(t Ticket) {
	r.disk.complete(t)
	if r.disk.durable > r.log.handed {
		panic(fmt.Sprintf("raft: durable index %d, but only %d handed out",
			r.disk.durable, r.log.handed))
	}
	switch r.role {
	case Candidate:
		r.decideElection()
	case Leader:
		r.advanceCommit()
	}
	r.evict()
}

// evict keeps the entries in memory within their bound. The oldest go first, and those are the
// applied ones; what is not durable stays, because nobody else could give it back.
func (r *Raft) evict() {
	if r.log.bytes > r.set.MaxLogBytes {
		r.log.evict(r.disk.durable, r.set.MaxLogBytes)
	}
}

// emitAppend hands out what the disk does not have yet.
func (r *Raft) emitAppend() {
	entries := r.log.slice(r.log.handed+1, r.log.last, maxInt)
	if len(entries) == 0 && !r.disk.hardDirty && !(r.disk.commitDue && r.disk.commit < r.commit) {
		return
	}
	var last Index
	if len(entries) > 0 {
		last = r.log.last
	}
	must := r.disk.hardDirty || len(entries) > 0
	r.out.Appends = append(r.out.Appends, Append{
		Ticket:   r.disk.issue(last, r.commit),
		Hard:     r.hardState(),
		Entries:  entries,
		MustSync: must,
	})
	r.log.handed = r.log.last
}

const maxInt = int(^uint(0) >> 1)

func (r *Raft) hardState() HardState {
	return HardState{Term: r.term, Vote: r.vote, Commit: r.commit}
}
