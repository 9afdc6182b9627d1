package raft

// What a leader knows of one other member, and how much it may send there.
//
//	probe      where the logs join is not known: one append at a time, then wait for its answer
//	replicate  it is known: appends are sent ahead of the answers, within the limits
//	snapshot   the entries needed are gone: nothing is sent until the state transfer has ended
//
// A rejection leads from replicate to probe, an acknowledgement from probe to replicate, an entry
// that the log no longer holds to snapshot, and the transfer's end from there to probe.

type peerState uint8

const (
	stateProbe peerState = iota
	stateReplicate
	stateSnapshot
)

func (s peerState) String() string {
	return [...]string{"probe", "replicate", "snapshot"}[s]
}

// progress is the leader's view of one member.
//
// Invariant: match < next; match never shrinks within one incarnation of the member.
type progress struct {
	id    MemberID
	state peerState
	match Index // durable there and equal to our log
	next  Index // first entry to send

	waiting bool // probe: an append is out, its answer is not here
	poke    bool // send an empty append when there is nothing else to send
	active  bool // heard of since the last check of the quorum

	// told is the highest commit index sent where the member could use it.
	told  Index
	round uint64 // highest read round confirmed
	fetch uint64 // the Fetch in flight for this member, 0 if none

	// leaving counts down the ticks for which a removed member is still served, so that it can
	// hear of its own removal. It is 0 for members.
	leaving int

	inflight      []flight // appends without an answer, oldest first
	inflightBytes int
}

// flight is one append under way.
type flight struct {
	last  Index
	bytes int
}

func (p *progress) becomeProbe(next Index) {
	p.state, p.next, p.waiting, p.poke, p.fetch = stateProbe, max(next, p.match+1), false, false, 0
	p.inflight, p.inflightBytes = p.inflight[:0], 0
}

func (p *progress) becomeReplicate() {
	p.becomeProbe(p.match + 1)
	p.state = stateReplicate
}

func (p *progress) becomeSnapshot() {
	p.becomeProbe(p.next)
	p.state = stateSnapshot
}

// sent accounts for an append of replicate state.
func (p *progress) sent(last Index, bytes int) {
	p.next = last + 1
	p.inflight = append(p.inflight, flight{last: last, bytes: bytes})
	p.inflightBytes += bytes
}

// acknowledged takes in that everything up to i is durable there.
func (p *progress) acknowledged(i Index) {
	p.match = max(p.match, i)
	p.next = max(p.next, i+1)
	n := 0
	for n < len(p.inflight) && p.inflight[n].last <= i {
		p.inflightBytes -= p.inflight[n].bytes
		n++
	}
	p.inflight = append(p.inflight[:0], p.inflight[n:]...)
}

func (p *progress) full(set *Settings) bool {
	return len(p.inflight) >= set.MaxInflightMessages || p.inflightBytes >= set.MaxInflightBytes
}

// peer returns the progress of m, nil if there is none.
func (r *Raft) peer(m MemberID) *progress {
	for i := range r.peers {
		if r.peers[i].id == m {
			return &r.peers[i]
		}
	}
	return nil
}

// resetPeers forgets all progress, for a new leader.
func (r *Raft) resetPeers() {
	r.peers = nil
	r.alignPeers()
}

// alignPeers makes peers follow the configuration in force. Newcomers are probed from the end of
// the log. Who has left is served a little longer.
func (r *Raft) alignPeers() {
	c := &r.configs.current().config
	for _, m := range c.Members() {
		if m == r.set.ID {
			continue
		}
		if p := r.peer(m); p != nil {
			p.leaving = 0
			continue
		}
		k := 0
		for k < len(r.peers) && r.peers[k].id < m {
			k++
		}
		r.peers = append(r.peers, progress{})
		copy(r.peers[k+1:], r.peers[k:])
		r.peers[k] = progress{id: m, next: r.log.last + 1, active: true}
	}
	for i := range r.peers {
		if p := &r.peers[i]; p.leaving == 0 && !c.Contains(p.id) {
			p.leaving = 2 * r.set.ElectionTicks
		}
	}
}

// farewell stops serving removed members that know of it or had the time to.
func (r *Raft) farewell() {
	conf := r.configs.current().index
	kept := r.peers[:0]
	for _, p := range r.peers {
		if p.leaving > 0 {
			p.leaving--
			informed := r.commit >= conf && p.told >= conf && p.match >= conf
			if !informed && p.leaving == 0 {
				r.probes[ProbeFarewellTimedOut]++
			}
			if informed || p.leaving == 0 {
				continue
			}
		}
		kept = append(kept, p)
	}
	r.peers = kept
}

// Progress tells how far a leader knows a member to be; ok is false on a non-leader or a stranger.
type Progress struct {
	Match, Next Index
	State       string // probe, replicate, snapshot
	Active      bool   // heard of within the last election timeout
}

// Progress returns the leader's view of member m.
func (r *Raft) Progress(m MemberID) (Progress, bool) {
	if r.role != Leader {
		return Progress{}, false
	}
	p := r.peer(m)
	if p == nil {
		return Progress{}, false
	}
	return Progress{p.match, p.next, p.state.String(), p.active}, true
}
