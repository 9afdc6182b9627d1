package watch

// Progress notices: a response without events says that everything up to its header's revision has
// been delivered. It is true because a notice concerns live watchers only, and those have been let
// out everything below the front, in order, before it.

import "fmt"

// Progress answers a client's question for a stream, in one response for all its watchers. There is
// none while one of them is behind or in the future, or when there are no watchers: the client asks
// again.
func (h *Hub) Progress(env Env, id StreamID) {
	s := h.streams[id]
	if s == nil || len(s.watchers) == 0 || s.live < len(s.watchers) {
		return
	}
	h.sendProgress(env, s, noID)
}

func (h *Hub) sendProgress(env Env, s *stream, id int64) {
	if env.Header.Revision >= h.front {
		panic(fmt.Sprintf("watch: progress notice of revision %d, let out below %d",
			env.Header.Revision, h.front))
	}
	h.send(env, s, id, notice{}.encode(env.Header))
}

// wantNotices counts a watcher that wants notices, the first of a stream starts its clock.
func (h *Hub) wantNotices(env Env, s *stream) {
	if s.notices++; s.notices == 1 {
		s.noticeAt = env.Now + h.noticePeriod(s)
		h.notices.push(s)
	}
}

// noticePeriod is the time between a stream's notices: not the same for all streams, lest all of
// them come at once.
func (h *Hub) noticePeriod(s *stream) int64 {
	x := (h.limits.Seed + uint64(s.id)) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	return h.limits.NotifyNanos + int64(x>>33)%(h.limits.NotifyNanos/10+1)
}

// Tick sends the notices that are due: to live watchers that wanted them and got nothing since
// the last time. A stream that is full gets none: nobody asked for them, so nothing else would
// bound them.
func (h *Hub) Tick(env Env) {
	for {
		s, ok := h.notices.first()
		if !ok || s.noticeAt > env.Now {
			return
		}
		for _, w := range s.watchers {
			if w.notify != Periodically {
				continue
			}
			if w.quiet && w.state == live && !h.isFull(s) {
				h.sendProgress(env, s, w.id)
			}
			w.quiet = true
		}
		h.notices.remove(s.slot)
		s.noticeAt = env.Now + h.noticePeriod(s)
		h.notices.push(s)
	}
}
