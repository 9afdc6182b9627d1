package lease

import "github.com/google/btree"

// Listing lists the leases as they were at one moment, soonest end first, in pieces. Leases without
// a known end come last, in order of ID. Making one costs nothing: it shares what does not change.
type Listing struct {
	over   []timed // leases whose time is over
	order  *btree.BTreeG[timed]
	after  timed // the last one listed of order, if some
	some   bool
	ends   *btree.BTreeG[timed] // who is listed by its end
	leases *Table               // for those without; nil when there are none left
	next   ID
}

// List begins a listing. s may be nil: a member that does not lead knows no end.
func (t *Table) List(s *Schedule) *Listing {
	l := &Listing{leases: &Table{leases: t.leases.Clone()}, next: -1 << 63}
	if s == nil {
		return l
	}
	l.over, l.order, l.ends, l.next = s.repeats, s.order.Clone(), s.ends.Clone(), s.next
	if s.all {
		l.leases = nil
	}
	return l
}

// Next returns up to most further leases, perhaps none; more says that some are left.
func (l *Listing) Next(most int) (ids []ID, more bool) {
	for looked := 0; len(l.over) > 0; looked++ {
		if looked == most {
			return ids, true
		}
		was := l.over[0]
		l.over = l.over[1:]
		if t, ok := l.ends.Get(was); ok && t == was {
			ids = append(ids, t.id)
		}
	}
	if l.order != nil {
		full := false
		l.order.AscendGreaterOrEqual(l.after, func(t timed) bool {
			if l.some && !timedByEnd(l.after, t) {
				return true
			}
			if full = len(ids) >= most; full {
				return false
			}
			ids = append(ids, t.id)
			l.after, l.some = t, true
			return true
		})
		if full {
			return ids, true
		}
		l.order = nil
	}
	if l.leases == nil {
		return ids, false
	}
	looked := len(ids)
	l.leases.Visit(l.next, func(lease Lease) bool {
		if looked >= most {
			l.next, more = lease.ID, true
			return false
		}
		looked++
		if l.ends == nil || !l.ends.Has(timed{id: lease.ID}) {
			ids = append(ids, lease.ID)
		}
		return true
	})
	return ids, more
}
