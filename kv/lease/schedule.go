package lease

// A Schedule is a leader's idea of when leases end. Its clock is the leader's lease clock, in
// nanoseconds: monotonic, of no meaning to anybody else, and never faster than true time by more
// than the machine's drift.
//
// What was granted is a promise to the client, who counts from the moment it asked. So a schedule
// errs on the late side only: a lease that it takes over at the beginning of a tenure gets all that
// may be left of it, and an extension on top; and each end lies a slack behind the time to live,
// because the clock's reading may be that old when a lease is renewed.
//
// A lease whose time is over is proposed to end and from then on refuses to be renewed. If it is
// still there after the patience of its proposer, the proposal was lost, and it is proposed again.
//
// Example, TTL 10 s, slack 0: granted at clock 100 s, ends at 110 s; renewed at 105 s, ends at
// 115 s; at 115 s it is proposed, renewals fail; gone at 115.1 s when the entry is applied.

import (
	"fmt"
	"math"

	"github.com/google/btree"
)

const nanosPerSecond = 1_000_000_000

// standing says how a lease stands with its leader.
type standing uint8

const (
	running standing = iota
	// noted is running, and what is left of it was written down or is about to be: a renewal has to
	// undo that first.
	noted
	restoring // as noted, and the undoing is on its way
	proposed  // its time is over; it waits for its end to be applied
)

// timed is a lease's end; of one that is proposed, when it is proposed again.
type timed struct {
	id ID
	at int64
	// since orders those that end at the same reading of the clock: it counts grants and renewals,
	// and is 0 for what the tenure began with.
	since    uint64
	standing standing
}

func timedByID(a, b timed) bool { return a.id < b.id }

func timedByEnd(a, b timed) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.since != b.since {
		return a.since < b.since
	}
	return a.id < b.id
}

// Tenure is what a schedule is begun with, all in nanoseconds.
type Tenure struct {
	Now       int64 // the lease clock as the tenure begins
	Extension int64 // what leases get beyond what may be left of them
	Slack     int64 // how old the clock's reading may be
	Patience  int64 // how long a proposed end may take before it is proposed again
}

// Schedule says when the leases of a table end. It must be told of every lease that is granted or
// gone.
type Schedule struct {
	table  *Table
	tenure Tenure
	// Leases from next on are not timed yet, unless all are: that takes a step for every few
	// thousand. Who is asked about meanwhile is timed at once.
	next ID
	all  bool
	ends *btree.BTreeG[timed] // by ID
	// order is ends by time, without those that are proposed, which are in repeats.
	order   *btree.BTreeG[timed]
	repeats []timed // in order of time; one whose lease went on is void
	since   uint64  // grants and renewals so far
}

// NewSchedule begins a tenure: every lease of the table is given what may be left of it.
func NewSchedule(table *Table, tenure Tenure) *Schedule {
	return &Schedule{
		table: table, tenure: tenure, next: math.MinInt64,
		ends: btree.NewG(degree, timedByID), order: btree.NewG(degree, timedByEnd),
	}
}

// add is a+b, no further than the end of time.
func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// end is when a lease with this time to live ends.
func (s *Schedule) end(now int64, ttl Seconds) int64 {
	return add(now, add(int64(ttl)*nanosPerSecond, s.tenure.Slack))
}

// Time gives up to budget leases that existed when the tenure began their end; more says that some
// are left.
func (s *Schedule) Time(budget int) (more bool) {
	if s.all {
		return false
	}
	s.all = true
	s.table.Visit(s.next, func(l Lease) bool {
		if budget == 0 {
			s.next, s.all = l.ID, false
			return false
		}
		budget--
		s.take(l)
		return true
	})
	return !s.all
}

// take times a lease that existed when the tenure began, unless it has its time already.
func (s *Schedule) take(l Lease) timed {
	if t, ok := s.ends.Get(timed{id: l.ID}); ok {
		return t
	}
	t := timed{id: l.ID, at: add(s.end(s.tenure.Now, l.Left()), s.tenure.Extension)}
	if l.Remaining > 0 {
		t.standing = noted
	}
	s.set(t)
	return t
}

func (s *Schedule) set(t timed) {
	s.ends.ReplaceOrInsert(t)
	s.order.ReplaceOrInsert(t)
}

// find returns a lease with its end.
func (s *Schedule) find(id ID) (Lease, timed, bool) {
	l, ok := s.table.Get(id)
	if !ok {
		return Lease{}, timed{}, false
	}
	return l, s.take(l), true
}

// Granted says that a lease was added to the table.
func (s *Schedule) Granted(id ID, now int64) {
	l, ok := s.table.Get(id)
	if !ok {
		panic(fmt.Sprintf("lease: %x was granted, and is not in the table", id))
	}
	if old, known := s.ends.Get(timed{id: id}); known {
		panic(fmt.Sprintf("lease: %x was granted, and ends at %d already", id, old.at))
	}
	s.since++
	s.set(timed{id: id, at: s.end(now, l.TTL), since: s.since})
}

// Gone says that a lease was removed from the table.
func (s *Schedule) Gone(id ID) {
	if t, ok := s.ends.Delete(timed{id: id}); ok {
		s.order.Delete(t)
	}
}

// Answer is a schedule's answer to a renewal.
type Answer uint8

// The answers.
const (
	Renewed Answer = iota
	// Refused: there is no such lease, or its time is over.
	Refused
	// Written: what is left was written down, and a note that undoes this has to be applied before
	// a renewal means anything to a later leader.
	Written
)

// Renew lets a lease begin anew.
func (s *Schedule) Renew(id ID, now int64) (ttl Seconds, a Answer) {
	l, t, ok := s.find(id)
	switch {
	case !ok || t.standing == proposed:
		return 0, Refused
	case t.standing != running:
		s.order.Delete(t)
		t.standing = restoring
		s.set(t)
		return 0, Written
	}
	s.order.Delete(t)
	s.since++
	t.at, t.since = s.end(now, l.TTL), s.since
	s.set(t)
	return l.TTL, Renewed
}

// Left is the time that is left of a lease of the table, in whole seconds; it is 0 when the lease's
// time is over.
func (s *Schedule) Left(id ID, now int64) Seconds {
	_, t, ok := s.find(id)
	if !ok || t.standing == proposed {
		return 0
	}
	// Some of the second that is under way has passed, though the clock may not show it yet.
	return Seconds(max(t.at-s.tenure.Slack-now-1, 0) / nanosPerSecond)
}

// Expire returns up to most leases whose time is over, and takes them for proposed.
func (s *Schedule) Expire(now int64, most int) (ids []ID) {
	for len(s.repeats) > 0 && s.repeats[0].at <= now && len(ids) < most {
		t := s.repeats[0]
		s.repeats = s.repeats[1:]
		if s.holds(t) {
			ids = append(ids, t.id)
		}
	}
	for len(ids) < most {
		t, ok := s.order.Min()
		if !ok || t.at > now {
			break
		}
		s.order.Delete(t)
		ids = append(ids, t.id)
	}
	for _, id := range ids {
		t := timed{id: id, at: add(now, s.tenure.Patience), standing: proposed}
		s.ends.ReplaceOrInsert(t)
		s.repeats = append(s.repeats, t)
	}
	return ids
}

// holds says whether a lease still stands as t says.
func (s *Schedule) holds(t timed) bool {
	now, ok := s.ends.Get(t)
	return ok && now == t
}

// Due says whether Expire would return anything.
func (s *Schedule) Due(now int64) bool {
	for len(s.repeats) > 0 && !s.holds(s.repeats[0]) {
		s.repeats = s.repeats[1:]
	}
	if len(s.repeats) > 0 && s.repeats[0].at <= now {
		return true
	}
	t, ok := s.order.Min()
	return ok && t.at <= now
}

// Note is what is left of a lease, to be written down.
type Note struct {
	ID        ID
	Remaining Seconds // 0: all of its time to live again
}

// Spent looks at up to budget leases, from one on, for those that have spent interval or more since
// what is known of them: their time to live, or what was written down last. It notes what is left
// of each, and says where to go on.
func (s *Schedule) Spent(from ID, now, interval int64, budget int) (notes []Note, next ID) {
	next = math.MinInt64
	s.table.Visit(from, func(l Lease) bool {
		if budget == 0 {
			next = l.ID
			return false
		}
		budget--
		t := s.take(l)
		left := max(t.at-s.tenure.Slack-now, 0)
		if t.standing >= restoring || left == 0 ||
			int64(l.Left())*nanosPerSecond-left < interval {
			return true
		}
		s.order.Delete(t)
		t.standing = noted
		s.set(t)
		up := Seconds((left + nanosPerSecond - 1) / nanosPerSecond)
		notes = append(notes, Note{ID: l.ID, Remaining: up})
		return true
	})
	return notes, next
}

// Restored says that a lease's whole time to live was written down. That of a lease which was noted
// again meanwhile means nothing: what it undid comes after it in the log.
func (s *Schedule) Restored(id ID) {
	if t, ok := s.ends.Get(timed{id: id}); ok && t.standing == restoring {
		s.order.Delete(t)
		t.standing = running
		s.set(t)
	}
}

// Check verifies that the schedule times leases of the table, each once.
func (s *Schedule) Check() error {
	proposals := 0
	var err error
	s.ends.Ascend(func(t timed) bool {
		ordered, ok := s.order.Get(t)
		switch {
		case !s.table.Has(t.id):
			err = fmt.Errorf("lease: %x ends at %d, and does not exist", t.id, t.at)
		case t.standing == proposed:
			proposals++
			if ok {
				err = fmt.Errorf("lease: %x is proposed and in the order of ends", t.id)
			}
		case !ok || ordered != t:
			err = fmt.Errorf("lease: %x (%+v) is in the order of ends as %+v", t.id, t, ordered)
		}
		return err == nil
	})
	if n := s.order.Len() + proposals; err == nil && n != s.ends.Len() {
		err = fmt.Errorf("lease: %d leases have an end, %d are in order or proposed", s.ends.Len(),
			n)
	}
	if err == nil && s.all && s.ends.Len() != s.table.Len() {
		err = fmt.Errorf("lease: %d of %d leases have an end", s.ends.Len(), s.table.Len())
	}
	return err
}
