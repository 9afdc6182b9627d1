package watch

// Letting events out: what a revision, or a batch of revisions, holds for the watchers of a group.
// First the changes are gathered, each matched and encoded once; then every scope that has gathered
// anything lets out one response.

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
)

// Advance tells of the newest visible revision, and how many changes it has, -1 if nobody knows.
// Watchers that are live get it; if it is too large, or not the next one, because a state was
// installed, they are behind.
func (h *Hub) Advance(env Env, newest mvcc.Revision, changes int) error {
	if newest < h.front {
		return nil
	}
	if h.live.members > 0 {
		if newest == h.front && changes >= 0 && changes <= h.limits.LiveChanges {
			if err := h.publish(env, changes); err != nil {
				return err
			}
		} else {
			h.noteDelay(newest, changes)
			h.delay(env, newest)
		}
	}
	h.front = newest + 1
	for {
		w, ok := h.futures.first()
		if !ok || w.next > h.front {
			return nil
		}
		h.futures.remove(w.place)
		w.state = nowhere
		h.settle(env, w)
	}
}

// publish lets out revision front to the live watchers.
func (h *Hub) publish(env Env, changes int) error {
	rev := h.front
	for i := range changes {
		at := mvcc.Rev{Main: rev, Sub: int32(i)}
		c, err := env.Store.Change(at)
		if err != nil {
			return err
		}
		if _, err := h.gather(env, h.live, at, c); err != nil {
			return err
		}
	}
	header := env.Header
	header.Revision = rev
	h.front = rev + 1 // whoever has no room is behind from here on
	h.flush(env, h.live, header, rev, rev)
	return nil
}

// delay makes every live watcher late.
func (h *Hub) delay(env Env, newest mvcc.Revision) {
	all := h.live.all()
	next := h.front
	h.front = newest + 1
	for _, w := range all {
		h.detach(w)
		w.next = next
		h.late(env, w)
	}
}

// gather adds one change to the scopes of g that watch its key, and returns what that made them
// hold.
func (h *Hub) gather(env Env, g *group, at mvcc.Rev, c mvcc.Change) (bytes int, err error) {
	key := keyOf(c.KV)
	h.hits = g.match(key, h.hits[:0])
	h.cost += 2 + len(h.hits)
	refused := NoPut
	if c.Kind == mvcc.TombstoneRecord {
		refused = NoDelete
	}
	var plain, full []byte
	for _, s := range h.hits {
		if s.spec.Options&refused != 0 {
			continue
		}
		if s.spec.Options&PrevKV == 0 && plain == nil {
			plain = encodeEvent(c, at.Main, nil)
		}
		if s.spec.Options&PrevKV != 0 && full == nil {
			if full, err = encodeFull(env.Store, key, at.Main, c); err != nil {
				return 0, err
			}
		}
		e := event{rev: at.Main, bytes: plain}
		if s.spec.Options&PrevKV != 0 {
			e.bytes = full
		}
		if len(s.events) == 0 {
			g.touched = append(g.touched, s)
		}
		s.events = append(s.events, e)
		s.size += len(e.bytes)
		bytes += eventCost
	}
	clear(h.hits)
	return bytes + len(plain) + len(full), nil
}

// eventCost is about what an event costs a scope that shares its bytes with others.
const eventCost = 40

// encodeFull writes an event with the KeyValue before its revision, if the key lived and that
// revision is not compacted. The creation of a key has none, even if the same transaction has
// removed the key before.
func encodeFull(store Store, key []byte, rev mvcc.Revision, c mvcc.Change) ([]byte, error) {
	if created(c, rev) {
		return encodeEvent(c, rev, nil), nil
	}
	prev, lived, err := store.At(key, rev-1)
	if err != nil {
		return nil, err
	}
	if !lived {
		prev = nil
	}
	return encodeEvent(c, rev, prev), nil
}

// created says whether a change begins the life of its key.
func created(c mvcc.Change, rev mvcc.Revision) bool {
	kv, err := mvcc.ParseKeyValue(c.KV)
	if err != nil {
		panic(fmt.Sprintf("watch: a stored KeyValue is malformed: %v", err))
	}
	return c.Kind == mvcc.PutRecord && kv.Create == rev
}

// keyOf returns the key of a stored KeyValue, which is its first field.
func keyOf(kv []byte) []byte {
	n, size := protowire.ConsumeVarint(kv[1:])
	if kv[0] != tagKey || size < 0 {
		panic(fmt.Sprintf("watch: a KeyValue begins with %x", kv[0]))
	}
	return kv[1+size : 1+size+int(n)]
}

// flush lets out what the group's scopes have gathered of the revisions first to last. Watchers
// whose stream is full leave the group: they are behind from the first of them on.
func (h *Hub) flush(env Env, g *group, header Header, first, last mvcc.Revision) {
	if len(g.touched) == 0 {
		return
	}
	head := appendHeader(make([]byte, 0, headerRoom), header)
	h.full = h.full[:0]
	for _, s := range g.touched {
		h.letOut(env, s, head, first, last)
		s.reset()
	}
	clear(g.touched)
	g.touched = g.touched[:0]
	for _, w := range h.full {
		h.detach(w)
		w.next = max(w.next, first)
		h.late(env, w)
	}
	clear(h.full)
}

// letOut sends a scope's events to those of its watchers that have room.
func (h *Hub) letOut(env Env, s *scope, head []byte, first, last mvcc.Revision) {
	parts := h.split(s, head)
	h.cost += 8 + len(s.watchers)
	charge := 0
	for i := range parts {
		charge += parts[i].Charge
	}
	var to []Recipient // of those who get all of it; nil while that is everybody
	except := func(i int) {
		if to == nil {
			to = append(make([]Recipient, 0, len(s.to)), s.to[:i]...)
		}
	}
	for i, w := range s.watchers {
		st := w.stream
		switch {
		case w.next > last: // in a pass only: it got this before
			except(i)
			continue
		case h.isFull(st):
			except(i)
			h.full = append(h.full, w)
			continue
		}
		w.quiet = false
		if w.next > first {
			except(i)
			h.letOutFrom(env, s, w, head)
			continue
		}
		st.pending += charge
		if to != nil {
			to = append(to, s.to[i])
		}
	}
	if to == nil {
		to, s.lent = s.to[:len(s.to):len(s.to)], h.turn
	}
	if len(to) == 0 {
		return
	}
	for i := range parts {
		parts[i].To = to
		*env.Out = append(*env.Out, parts[i])
	}
}

// letOutFrom sends one watcher the part of the events that it has not got.
func (h *Hub) letOutFrom(env Env, s *scope, w *watcher, head []byte) {
	rest := scope{spec: s.spec, events: s.events}
	for len(rest.events) > 0 && rest.events[0].rev < w.next {
		rest.events = rest.events[1:]
	}
	if len(rest.events) == 0 {
		return
	}
	for i := range rest.events {
		rest.size += len(rest.events[i].bytes)
	}
	for _, d := range h.split(&rest, head) {
		d.To = []Recipient{{w.stream.id, w.id}}
		w.stream.pending += d.Charge
		*env.Out = append(*env.Out, d)
	}
}

// split makes a scope's events into a response, or into several if they are large and the watchers
// allow it; each of those is as long as fits below the limit, but has one event at least.
func (h *Hub) split(s *scope, head []byte) []Delivery {
	if s.spec.Options&Fragment == 0 || len(head)+s.size < h.limits.FragmentBytes ||
		len(s.events) < 2 {
		return []Delivery{delivery(encodeEvents(head, s.events, s.size, whole), len(s.events))}
	}
	var parts []Delivery
	for from := 0; from < len(s.events); {
		size, to := len(head)+2, from
		for to < len(s.events) {
			grown := size + len(s.events[to].bytes)
			if to > from && grown >= h.limits.FragmentBytes {
				break
			}
			size, to = grown, to+1
		}
		f := fragment
		if to == len(s.events) {
			f = whole
		}
		parts = append(parts, delivery(encodeEvents(head, s.events[from:to], size, f), to-from))
		from = to
	}
	return parts
}

func delivery(body [][]byte, events int) Delivery {
	d := Delivery{Body: body, Charge: responseCost, Events: events}
	for _, piece := range body {
		d.Charge += len(piece)
	}
	return d
}
