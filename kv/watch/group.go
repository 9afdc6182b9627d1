package watch

// A group is a set of watchers that are at the same revision, found by the keys that they watch.
//
// Watchers that ask for the same (interval, filters, previous values) share a scope: an event is
// matched once for a scope and encoded once for all scopes, however many watchers there are. Scopes
// of a single key lie in a map, others in the interval tree.
//
// Invariant: a scope has watchers, watchers[i] is to[i], and every watcher knows its place. A
// scope's to may be lent to effects until the turn ends: until then it is only appended to, and
// copied before anything else is done to it.

import (
	"fmt"
	"slices"

	"github.com/detcd/detcd/mvcc"
)

// Recipient names one watcher of one stream.
type Recipient struct {
	Stream StreamID
	ID     int64
}

// event is one event of a scope, framed as a field of a WatchResponse.
type event struct {
	rev   mvcc.Revision
	bytes []byte // immutable, shared by all who get it
}

// scope is all that its watchers have in common.
type scope struct {
	spec     Spec
	watchers []*watcher
	to       []Recipient
	lent     uint64  // the newest turn in which to was lent
	at       int     // position in group.scopes
	events   []event // gathered for the next response
	size     int     // their bytes
}

type group struct {
	singles map[string][]*scope // by key; never ranged
	spans   tree
	scopes  []*scope
	touched []*scope // those that have gathered events
	members int
}

func newGroup() *group { return &group{singles: make(map[string][]*scope)} }

// match appends the scopes that watch key.
func (g *group) match(key []byte, out []*scope) []*scope {
	out = append(out, g.singles[string(key)]...)
	return g.spans.stab(key, out)
}

// add takes a watcher in.
func (g *group) add(w *watcher) {
	s := g.scopeOf(&w.spec)
	w.group, w.scope, w.place = g, s, len(s.watchers)
	s.watchers = append(s.watchers, w)
	s.to = append(s.to, Recipient{w.stream.id, w.id})
	g.members++
}

// scopeOf finds the scope of a spec, or makes it.
func (g *group) scopeOf(spec *Spec) *scope {
	var among *[]*scope
	if spec.single() {
		list := g.singles[string(spec.Key)]
		among = &list
	} else {
		n := g.spans.find(spec.Key, spec.to())
		if n == nil {
			n = &span{from: spec.Key, to: spec.to()}
			g.spans.insert(n)
		}
		among = &n.scopes
	}
	for _, s := range *among {
		if s.spec.Options == spec.Options {
			return s
		}
	}
	s := &scope{spec: *spec, at: len(g.scopes)}
	g.scopes = append(g.scopes, s)
	*among = append(*among, s)
	if spec.single() {
		g.singles[string(spec.Key)] = *among
	}
	return s
}

// remove lets a watcher go. turn is the present one.
func (g *group) remove(w *watcher, turn uint64) {
	s := w.scope
	if s.lent == turn {
		s.to, s.lent = slices.Clone(s.to), 0
	}
	last := len(s.watchers) - 1
	s.watchers[w.place], s.to[w.place] = s.watchers[last], s.to[last]
	s.watchers[w.place].place = w.place
	s.watchers[last] = nil
	s.watchers, s.to = s.watchers[:last], s.to[:last]
	w.group, w.scope, w.place = nil, nil, 0
	g.members--
	if last == 0 {
		g.drop(s)
	}
}

// drop forgets a scope that has no watchers any more.
func (g *group) drop(s *scope) {
	last := len(g.scopes) - 1
	g.scopes[s.at] = g.scopes[last]
	g.scopes[s.at].at = s.at
	g.scopes[last] = nil
	g.scopes = g.scopes[:last]
	g.touched = without(g.touched, s)
	if !s.spec.single() {
		n := g.spans.find(s.spec.Key, s.spec.to())
		if n.scopes = without(n.scopes, s); len(n.scopes) == 0 {
			g.spans.remove(s.spec.Key, s.spec.to())
		}
		return
	}
	if list := without(g.singles[string(s.spec.Key)], s); len(list) > 0 {
		g.singles[string(s.spec.Key)] = list
	} else {
		delete(g.singles, string(s.spec.Key))
	}
}

func without(list []*scope, s *scope) []*scope {
	if i := slices.Index(list, s); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// all lists the watchers.
func (g *group) all() []*watcher {
	list := make([]*watcher, 0, g.members)
	for _, s := range g.scopes {
		list = append(list, s.watchers...)
	}
	return list
}

// forget drops what was gathered.
func (g *group) forget() {
	for _, s := range g.touched {
		s.reset()
	}
	clear(g.touched)
	g.touched = g.touched[:0]
}

// keptEvents is how much room a scope keeps for the events of its next response.
const keptEvents = 16

func (s *scope) reset() {
	clear(s.events)
	s.events, s.size = s.events[:0], 0
	if cap(s.events) > keptEvents {
		s.events = nil
	}
}

func (g *group) check() error {
	members := 0
	for i, s := range g.scopes {
		members += len(s.watchers)
		if s.at != i || len(s.watchers) == 0 || len(s.watchers) != len(s.to) {
			return fmt.Errorf("scope %d believes to be %d, with %d watchers and %d recipients", i,
				s.at, len(s.watchers), len(s.to))
		}
		if !slices.Contains(g.match(s.spec.Key, nil), s) {
			return fmt.Errorf("scope %d is not found by its key %q", i, s.spec.Key)
		}
		for k, w := range s.watchers {
			if w.group != g || w.scope != s || w.place != k ||
				s.to[k] != (Recipient{w.stream.id, w.id}) {
				return fmt.Errorf("watcher %d of stream %x is lost in scope %d", w.id, w.stream.id,
					i)
			}
		}
	}
	if members != g.members {
		return fmt.Errorf("group of %d watchers has %d", g.members, members)
	}
	_, err := g.spans.root.check()
	return err
}

// check verifies a subtree and returns its number of scopes.
func (s *span) check() (scopes int, err error) {
	if s == nil {
		return 0, nil
	}
	l, err := s.left.check()
	if err != nil {
		return 0, err
	}
	r, err := s.right.check()
	if err != nil {
		return 0, err
	}
	height, highest := s.height, s.max
	lean := s.left.tall() - s.right.tall()
	s.renew()
	switch {
	case len(s.scopes) == 0 || lean < -1 || lean > 1 || height != s.height ||
		compareEnds(highest, s.max) != 0:
		return 0, fmt.Errorf("interval %q to %q: %d scopes, lean %d, height %d, highest end %q",
			s.from, s.to, len(s.scopes), lean, height, highest)
	case s.left != nil && s.compare(s.left.from, s.left.to) >= 0,
		s.right != nil && s.compare(s.right.from, s.right.to) <= 0:
		return 0, fmt.Errorf("interval %q to %q is out of order", s.from, s.to)
	}
	return l + r + len(s.scopes), nil
}
