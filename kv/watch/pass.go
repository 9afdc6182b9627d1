package watch

// Bringing up to date those who are behind. A pass walks the history from some revision to the
// newest one, and takes everybody along whose next revision it comes by, so that a thousand
// watchers that are behind cost one walk. It gathers up to a thousand revisions to a batch; then
// each member gets one response, or leaves the pass because its stream has no room. At the end its
// members are live.
//
//	history   1 2 3 4 5 6 7 8 9        members' next: 3, 3, 6
//	                ^     ^   ^
//	            first   front newest   the one from 6 gets only what this batch holds from 6 on
//
// There are a few passes at a time, which work in turn. One is for those who are nearly there, and
// they join none that is far behind: they never wait for a walk through a long history.
//
// Compaction may overtake a pass: members that still need what is gone are told so.

import (
	"github.com/detcd/detcd/mvcc"
)

const (
	// batchRevisions is etcd's number of revisions in one response to a watcher that is behind.
	batchRevisions = 1000
	// retriesPerStep is the number of waiting watchers that a step looks at again.
	retriesPerStep = 256
	// bytesPerUnit is what a unit of work, a microsecond, may read of the history.
	bytesPerUnit = 1024
)

// pass is one walk.
type pass struct {
	group *group
	// front is the next change to be looked at, first the revision with which the batch begins.
	front     mvcc.Rev
	first     mvcc.Revision
	revisions int // in the batch
	bytes     int // gathered in the batch
}

// late gives a watcher that is behind, and in no place, to a pass.
func (h *Hub) late(env Env, w *watcher) {
	switch {
	case w.next >= h.front:
		h.settle(env, w)
		return
	case w.next < env.Store.Compacted():
		h.overtake(env, w)
		return
	case h.isFull(w.stream):
		w.state = blocked
		h.probes[ProbeBlocked]++
		w.stream.blocked = withWatcher(w.stream.blocked, w)
		return
	}
	p := h.passFor(w)
	if p == nil {
		w.state = waiting
		h.probes[ProbeWaiting]++
		h.waiting = withWatcher(h.waiting, w)
		return
	}
	w.state = passing
	p.group.add(w)
}

// passFor finds the pass that comes by w.next soonest, or starts one; nil if w has to wait.
func (h *Hub) passFor(w *watcher) *pass {
	near := h.front-w.next <= h.limits.Near
	var best *pass
	for _, p := range h.passes {
		ahead := p.front.Main > w.next || p.front.Main == w.next && p.front.Sub > 0
		if ahead || near && w.next-p.front.Main > h.limits.Near {
			continue
		}
		if best == nil || best.front.Main < p.front.Main {
			best = p
		}
	}
	if free := h.limits.Passes - len(h.passes); best != nil || free == 0 || free == 1 && !near {
		return best
	}
	p := &pass{group: newGroup(), front: mvcc.Rev{Main: w.next}, first: w.next}
	h.passes = append(h.passes, p)
	return p
}

// Work brings watchers that are behind forward, within about budget microseconds, and says whether
// more is to do.
func (h *Hub) Work(env Env, budget int) (more bool, err error) {
	h.retry(env)
	if len(h.passes) > 0 {
		h.turnPass = (h.turnPass + 1) % len(h.passes)
		p := h.passes[h.turnPass]
		done, err := h.walk(env, p, budget)
		if err != nil {
			return false, err
		}
		if done {
			h.passes = append(h.passes[:h.turnPass], h.passes[h.turnPass+1:]...)
			h.freed = true
		}
	}
	return len(h.passes)+len(h.retrying) > 0 || h.freed && len(h.waiting) > 0, nil
}

// retry looks again at watchers that wait for a pass, after one has ended.
func (h *Hub) retry(env Env) {
	if len(h.retrying) == 0 && h.freed {
		h.waiting, h.retrying, h.freed = h.retrying, h.waiting, false
	}
	for range min(len(h.retrying), retriesPerStep) {
		w := h.retrying[len(h.retrying)-1]
		h.retrying = withoutWatcher(h.retrying, w)
		w.state = nowhere
		h.late(env, w)
	}
}

// walk moves a pass forward and says whether it has ended.
func (h *Hub) walk(env Env, p *pass, budget int) (done bool, err error) {
	h.overtaken(env, p)
	if p.group.members == 0 {
		return true, nil
	}
	full := func() bool {
		return p.revisions >= batchRevisions ||
			p.revisions > 0 && p.bytes >= h.limits.StreamBytes/2
	}
	var failed error
	next, err := env.Store.Changes(p.front, budget, budget*bytesPerUnit,
		func(at mvcc.Rev, c mvcc.Change) bool {
			if at.Sub == 0 && full() {
				return false
			}
			n, err := h.gather(env, p.group, at, c)
			if err != nil {
				failed = err
				return false
			}
			if at.Sub == 0 {
				p.revisions++
			}
			p.bytes += n
			return true
		})
	if err == nil {
		err = failed
	}
	if err != nil {
		return false, err
	}
	p.front = next
	ended := next.Main >= h.front
	if next.Sub != 0 || !full() && !ended {
		return false, nil
	}
	h.flush(env, p.group, env.Header, p.first, next.Main-1)
	p.first, p.revisions, p.bytes = next.Main, 0, 0
	if !ended {
		return p.group.members == 0, nil
	}
	for _, w := range p.group.all() {
		h.probes[ProbeCaughtUp]++
		h.detach(w)
		w.next = h.front
		h.enliven(w)
	}
	return true, nil
}

// overtaken ends the members of a pass that need compacted revisions; the others go on from there.
func (h *Hub) overtaken(env Env, p *pass) {
	floor := env.Store.Compacted()
	if p.front.Main >= floor {
		return
	}
	h.probes[ProbePassOvertaken]++
	p.group.forget()
	for _, w := range p.group.all() {
		if max(w.next, p.first) < floor {
			h.overtake(env, w)
		}
	}
	p.front, p.first, p.revisions, p.bytes = mvcc.Rev{Main: floor}, floor, 0, 0
}
