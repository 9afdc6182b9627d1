package watch

import (
	"maps"
	"slices"

	"github.com/detcd/detcd/mvcc"
)

// Seen is one watcher as people see it.
type Seen struct {
	Stream StreamID
	ID     int64
	Spec   Spec
	Next   mvcc.Revision // the first revision that it has not got
	State  string
	// Pending is what its stream has been charged and not reported as consumed, in bytes.
	Pending int
}

// Watched lists all watchers, by stream and in the order of their creation.
func (h *Hub) Watched() []Seen {
	names := [...]string{"nowhere", "live", "passing", "waiting", "blocked", "future"}
	var all []Seen
	for _, id := range slices.Sorted(maps.Keys(h.streams)) {
		s := h.streams[id]
		for _, w := range s.watchers {
			next := w.next
			if w.state == live {
				next = h.front
			}
			all = append(all, Seen{Stream: id, ID: w.id, Spec: w.spec, Next: next,
				State: names[w.state], Pending: s.pending})
		}
	}
	return all
}
