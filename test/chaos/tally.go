package main

// A fault that nobody feels tests nothing. The tally counts, per family, how often faults were
// injected and what clients, members and the network itself noticed of them.

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// slowLimit is when a request counts as slow: many times what it takes when nothing is wrong.
const slowLimit = 150 * time.Millisecond

// senses is what was noticed up to now, or in one round.
type senses struct {
	elections int64 // terms
	suffered  int64 // requests that were slow, or whose answers were lost
	full      int64 // refusals for want of room, by members to clients and to the operator
	ended     int64 // processes that a full disk has ended
	traffic
}

// sense looks.
func (c *cluster) sense(ctx context.Context, r *recorder) senses {
	_, _ = c.leader(ctx) // whoever has the highest term is heard of; nobody need lead
	return senses{elections: int64(c.term), suffered: r.suffered.Load(),
		full: r.full.Load() + int64(c.refused), ended: int64(c.ended), traffic: c.network.soFar()}
}

func (s senses) plus(o senses, sign int64) senses {
	s.elections += sign * o.elections
	s.suffered += sign * o.suffered
	s.full += sign * o.full
	s.ended += sign * o.ended
	s.held += sign * o.held
	s.delayed += sign * o.delayed
	s.torn += sign * o.torn
	return s
}

// feels says whether a round was felt as its fault has to be.
func (f fault) feels(s *senses) bool {
	noticed := s.elections > 0 || s.suffered > 0
	switch f.family() {
	case parting, oneWay, bridging:
		return s.held > 0 && noticed
	case delaying:
		return s.delayed > 0 && s.suffered > 0
	case tearing:
		return s.torn > 0
	case clienting:
		return s.torn > 0 || s.delayed > 0 && s.suffered > 0
	case filling:
		return s.full > 0 || s.ended > 0
	}
	return noticed
}

func (s senses) String() string {
	var parts []string
	for _, part := range []struct {
		count int64
		what  string
	}{
		{s.elections, "elections"}, {s.suffered, "requests slow or lost"},
		{s.full, "refused for want of room"}, {s.ended, "processes ended by it"},
		{s.held, "bytes held"}, {s.delayed, "bytes delayed"}, {s.torn, "connections torn"},
	} {
		if part.count != 0 {
			parts = append(parts, fmt.Sprint(part.count, " ", part.what))
		}
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// tally is the count of one run.
type tally struct {
	order    []family // of the first appearance
	injected map[family]int
	felt     map[family]int
	sum      map[family]senses
}

func newTally() *tally {
	return &tally{injected: map[family]int{}, felt: map[family]int{}, sum: map[family]senses{}}
}

func (t *tally) add(f fault, s senses) {
	kind := f.family()
	if t.injected[kind] == 0 {
		t.order = append(t.order, kind)
	}
	t.injected[kind]++
	if f.feels(&s) {
		t.felt[kind]++
	}
	t.sum[kind] = t.sum[kind].plus(s, 1)
}

// print tells everything, and err what was never felt.
func (t *tally) print() {
	for _, kind := range t.order {
		fmt.Printf("  %-15s  injected %2d, felt %2d: %v\n", kind, t.injected[kind], t.felt[kind],
			t.sum[kind])
	}
}

func (t *tally) err() error {
	for _, kind := range t.order {
		if t.felt[kind] == 0 {
			return fmt.Errorf("nobody has felt the family %q", kind)
		}
	}
	return nil
}
