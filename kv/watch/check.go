package watch

import (
	"fmt"
	"slices"
)

// Check verifies the hub's invariants.
func (h *Hub) Check() error {
	if err := h.live.check(); err != nil {
		return fmt.Errorf("watch: live: %w", err)
	}
	count := h.live.members + len(h.waiting) + len(h.retrying) + len(h.futures.list)
	for i, p := range h.passes {
		if err := p.group.check(); err != nil {
			return fmt.Errorf("watch: pass %d: %w", i, err)
		}
		if p.first > p.front.Main || p.front.Main > h.front {
			return fmt.Errorf("watch: pass %d: batch from %d, at %v, newest %d", i, p.first,
				p.front, h.front-1)
		}
		count += p.group.members
	}
	for i, w := range h.futures.list {
		if w.state != future || w.place != i || w.next <= h.front {
			return fmt.Errorf("watch: watcher from %d is no future one at %d", w.next, h.front)
		}
	}
	for _, s := range h.notices.list {
		if s.notices == 0 || slices.Index(h.notices.list, s) != s.slot {
			return fmt.Errorf("watch: stream %x wants no notices", s.id)
		}
	}
	for _, w := range slices.Concat(h.waiting, h.retrying) {
		if w.state != waiting || w.stream.find(w.id) != w {
			return fmt.Errorf("watch: watcher %d of stream %x waits in state %d", w.id, w.stream.id,
				w.state)
		}
	}
	if count > h.watchers {
		return fmt.Errorf("watch: %d watchers are in places, %d are counted", count, h.watchers)
	}
	return nil
}
