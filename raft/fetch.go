package raft

import "fmt"

// Entries that have left memory come back through Fetch: for a follower that lags behind the
// window, and for the own state machine. There is at most one Fetch in flight per follower and one
// for apply. An answer that nobody waits for any longer is ignored.

// fetchFor asks for the entries that p needs next.
func (r *Raft) fetchFor(p *progress) {
	if p.fetch != 0 {
		return
	}
	r.probes[ProbeFetchForFollower]++
	p.fetch = r.requestFetch(p.next, r.log.windowFirst()-1, r.set.MaxMessageBytes)
}

func (r *Raft) requestFetch(lo, hi Index, maxBytes int) uint64 {
	if lo < r.log.first() || lo > hi || hi > r.disk.durable {
		panic(fmt.Sprintf("raft: fetch of %d..%d; the log is %d..%d, durable to %d",
			lo, hi, r.log.first(), r.log.last, r.disk.durable))
	}
	r.fetches++
	r.out.Fetches = append(r.out.Fetches, Fetch{
		ID: r.fetches, Lo: lo, Hi: hi, MaxBytes: maxBytes,
	})
	return r.fetches
}

// Fetched answers a Fetch. entries are consecutive from the Lo asked for; empty says that the log
// no longer holds them (a snapshot is needed).
func (r *Raft) Fetched(id uint64, entries []Entry) {
	if id == 0 {
		return
	}
	if id == r.applyFetch {
		r.fetchedForApply(entries)
		return
	}
	for i := range r.peers {
		if p := &r.peers[i]; p.fetch == id {
			p.fetch = 0
			r.fetchedFor(p, entries)
			return
		}
	}
	r.probes[ProbeFetchLate]++
}

// fetchedFor sends fetched entries on.
func (r *Raft) fetchedFor(p *progress, entries []Entry) {
	if p.state != stateReplicate || p.next < r.log.first() {
		return // replicate decides anew
	}
	if len(entries) == 0 {
		r.shipState(p)
		return
	}
	if entries[0].Index != p.next {
		return
	}
	r.checkFetched(entries)
	r.sendAppend(p, entries)
	p.sent(entries[len(entries)-1].Index, sizeOf(entries))
	p.poke = false
}

// checkFetched compares what the disk gave back with what is known of the log.
func (r *Raft) checkFetched(entries []Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Index != entries[0].Index+Index(i) || !r.log.matches(e.Index, e.Term) {
			t, ok := r.log.term(e.Index)
			panic(fmt.Sprintf("raft: fetched entry %d of term %d; the log has term %d (known %v)",
				e.Index, e.Term, t, ok))
		}
	}
}

func (r *Raft) fetchedForApply(entries []Entry) {
	r.applyFetch = 0
	if len(entries) == 0 {
		panic(fmt.Sprintf("raft: committed entry %d is not in the log", r.applied+1))
	}
	r.checkFetched(entries)
	r.fetched = entries
}

// NextCommitted returns committed entries after the applied index, at most maxBytes of them but at
// least one when any is in memory. If they left memory a Fetch is in the next Output and the
// result is empty until it is answered. The slice is valid until the next call of any method.
func (r *Raft) NextCommitted(maxBytes int) []Entry {
	lo := r.applied + 1
	if lo > r.commit {
		return nil
	}
	for len(r.fetched) > 0 && r.fetched[0].Index < lo {
		r.fetched = r.fetched[1:]
	}
	if len(r.fetched) > 0 && r.fetched[0].Index == lo {
		return limited(r.fetched, r.commit, maxBytes)
	}
	r.fetched = nil
	if entries := r.log.slice(lo, r.commit, maxBytes); len(entries) > 0 {
		return entries
	}
	if r.applyFetch == 0 {
		hi := min(r.commit, r.log.windowFirst()-1)
		r.probes[ProbeFetchForApply]++
		r.applyFetch = r.requestFetch(lo, hi, maxBytes)
	}
	return nil
}

// limited returns the entries up to index hi that fit into maxBytes, at least one.
func limited(entries []Entry, hi Index, maxBytes int) []Entry {
	n, bytes := 0, 0
	for n < len(entries) && entries[n].Index <= hi {
		bytes += entries[n].Size()
		if bytes > maxBytes && n > 0 {
			break
		}
		n++
	}
	return entries[:n]
}

// Applied tells that the state machine has applied everything up to i.
func (r *Raft) Applied(i Index) {
	if i < r.applied || i > r.commit {
		panic(fmt.Sprintf("raft: applied %d after %d, commit is %d", i, r.applied, r.commit))
	}
	r.applied = i
	r.evict()
}

// Compact drops entries up to and including i (applied) from the log; of what is not durable yet
// nothing is dropped.
func (r *Raft) Compact(i Index) {
	if i > r.applied {
		panic(fmt.Sprintf("raft: log compacted to %d, but only %d is applied", i, r.applied))
	}
	i = min(i, r.disk.durable)
	if i <= r.log.prev {
		return
	}
	r.log.compact(i)
	r.configs.compact(i)
}
