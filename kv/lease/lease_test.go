package lease

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive is table and schedule as one would explain them: a map, looked through as a whole.
type naive struct {
	leases  map[ID]naiveLease
	leading bool
	tenure  Tenure
	since   int
}

type naiveLease struct {
	lease    Lease
	end      int64
	standing standing
	again    int64 // when it is proposed again
	since    int   // the number of its grant or renewal in this tenure
}

func (n *naive) sorted() (ids []ID) {
	for id := range n.leases {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (n *naive) grant(l Lease, now int64) {
	n.since++
	n.leases[l.ID] = naiveLease{lease: l, since: n.since,
		end: now + int64(l.TTL)*nanosPerSecond + n.tenure.Slack}
}

func (n *naive) lead(t Tenure) {
	n.leading, n.tenure = true, t
	for id, k := range n.leases {
		k.end = t.Now + int64(k.lease.Left())*nanosPerSecond + t.Slack + t.Extension
		k.standing, k.since = running, 0
		if k.lease.Remaining > 0 {
			k.standing = noted
		}
		n.leases[id] = k
	}
}

// expire proposes everything that is over.
func (n *naive) expire(now int64) (ids []ID) {
	for _, id := range n.sorted() {
		k := n.leases[id]
		switch {
		case k.standing != proposed && k.end <= now:
		case k.standing == proposed && k.again <= now:
		default:
			continue
		}
		k.standing, k.again = proposed, now+n.tenure.Patience
		n.leases[id] = k
		ids = append(ids, id)
	}
	return ids
}

// listed is the order of a listing: proposed ones first, in the order of their proposals, then by
// end.
func (n *naive) listed() []ID {
	ids := n.sorted()
	slices.SortStableFunc(ids, func(a, b ID) int {
		x, y := n.leases[a], n.leases[b]
		if c := cmp.Compare(n.rank(x), n.rank(y)); c != 0 || !n.leading || x.standing == proposed {
			return c
		}
		return cmp.Or(cmp.Compare(x.end, y.end), cmp.Compare(x.since, y.since))
	})
	return ids
}

func (n *naive) rank(k naiveLease) int {
	if n.leading && k.standing == proposed {
		return 0
	}
	return 1
}

// pair is the real thing and its twin.
type pair struct {
	table    *Table
	schedule *Schedule
	twin     naive
	now      int64
}

func (p *pair) anyID(t *rapid.T) ID {
	return ID(rapid.Int64Range(-3, 12).Filter(func(id int64) bool { return id != 0 }).Draw(t, "id"))
}

func (p *pair) grants(t *rapid.T) {
	l := Lease{ID: p.anyID(t), TTL: Seconds(rapid.Int64Range(1, 40).Draw(t, "ttl"))}
	if rapid.IntRange(0, 20).Draw(t, "longest") == 0 {
		l.TTL = MaxTTL
	}
	if p.table.Has(l.ID) {
		t.Skip("exists")
	}
	p.table.Grant(l)
	if p.schedule != nil {
		p.schedule.Granted(l.ID, p.now)
	}
	p.twin.grant(l, p.now)
}

func (p *pair) revokes(t *rapid.T) {
	id := p.anyID(t)
	_, known := p.twin.leases[id]
	require.Equal(t, known, p.table.Revoke(id))
	if p.schedule != nil {
		p.schedule.Gone(id)
	}
	delete(p.twin.leases, id)
}

func (p *pair) renews(t *rapid.T) {
	if p.schedule == nil {
		t.Skip("does not lead")
	}
	id := p.anyID(t)
	ttl, how := p.schedule.Renew(id, p.now)
	k, known := p.twin.leases[id]
	switch {
	case !known || k.standing == proposed:
		require.Equal(t, Refused, how)
		require.Zero(t, ttl)
	case k.standing != running:
		require.Equal(t, Written, how)
		k.standing = restoring
		if rapid.Bool().Draw(t, "undone") {
			p.table.Checkpoint(id, 0, 0)
			p.schedule.Restored(id)
			k.lease.Remaining, k.standing = 0, running
		}
	default:
		require.Equal(t, Renewed, how)
		require.Equal(t, k.lease.TTL, ttl)
		k.end = p.now + int64(k.lease.TTL)*nanosPerSecond + p.twin.tenure.Slack
		p.twin.since++
		k.since = p.twin.since
	}
	if known {
		p.twin.leases[id] = k
	}
}

func (p *pair) expires(t *rapid.T) {
	if p.schedule == nil {
		t.Skip("does not lead")
	}
	p.settle()
	want := p.twin.expire(p.now)
	require.Equal(t, len(want) > 0, p.schedule.Due(p.now))
	var got []ID
	for most := rapid.IntRange(1, 5).Draw(t, "most"); ; {
		ids := p.schedule.Expire(p.now, most)
		require.LessOrEqual(t, len(ids), most)
		if len(ids) == 0 {
			break
		}
		got = append(got, ids...)
	}
	slices.Sort(got)
	require.Equal(t, want, got)
}

// notes writes down what is left, as the log would, at once or never.
func (p *pair) notes(t *rapid.T) {
	if p.schedule == nil {
		t.Skip("does not lead")
	}
	const interval = 3 * nanosPerSecond
	at, want := ID(-1<<63), map[ID]Seconds{}
	for id, k := range p.twin.leases {
		left := max(k.end-p.twin.tenure.Slack-p.now, 0)
		if k.standing < restoring && left > 0 &&
			int64(k.lease.Left())*nanosPerSecond-left >= interval {
			want[id] = Seconds((left + nanosPerSecond - 1) / nanosPerSecond)
			k.standing = noted
			p.twin.leases[id] = k
		}
	}
	got := map[ID]Seconds{}
	for {
		var notes []Note
		notes, at = p.schedule.Spent(at, p.now, interval, 3)
		for _, note := range notes {
			got[note.ID] = note.Remaining
		}
		if at == -1<<63 {
			break
		}
	}
	require.Equal(t, want, got)
	if rapid.Bool().Draw(t, "applied") {
		for id, remaining := range want {
			require.True(t, p.table.Checkpoint(id, remaining, 0))
			k := p.twin.leases[id]
			k.lease.Remaining = min(remaining, k.lease.TTL)
			p.twin.leases[id] = k
		}
	}
}

func (p *pair) settle() {
	for p.schedule.Time(2) {
	}
}

func (p *pair) leads(t *rapid.T) {
	tenure := Tenure{Now: p.now, Extension: 1e9, Slack: rapid.Int64Range(0, 1e9).Draw(t, "slack"),
		Patience: 2e9}
	p.schedule = NewSchedule(p.table, tenure)
	p.twin.lead(tenure)
}

func (p *pair) retires(*rapid.T) { p.schedule, p.twin.leading = nil, false }

// moves encodes the table and goes on with what was read back.
func (p *pair) moves(t *rapid.T) {
	back, rest, err := Read(append(p.table.Append(nil), "rest"...))
	require.NoError(t, err)
	require.Equal(t, "rest", string(rest))
	p.table = back
	p.retires(t)
}

func (p *pair) waits(t *rapid.T) { p.now += rapid.Int64Range(0, 9e9).Draw(t, "elapsed") }

func (p *pair) times(t *rapid.T) {
	if p.schedule != nil {
		p.schedule.Time(rapid.IntRange(1, 3).Draw(t, "budget"))
	}
}

func (p *pair) check(t *rapid.T) {
	require.NoError(t, p.table.Check())
	require.Equal(t, len(p.twin.leases), p.table.Len())
	at := 0
	ids := p.twin.sorted()
	p.table.Visit(-1<<63, func(l Lease) bool {
		require.Equal(t, p.twin.leases[ids[at]].lease, l)
		at++
		return true
	})
	if p.schedule == nil {
		require.Equal(t, ids, listAll(t, p.table.List(nil)))
		return
	}
	require.NoError(t, p.schedule.Check())
	if rapid.Bool().Draw(t, "ask") {
		id := p.anyID(t)
		want := Seconds(0)
		if k, ok := p.twin.leases[id]; ok && k.standing != proposed {
			want = Seconds(max(k.end-p.twin.tenure.Slack-p.now-1, 0) / nanosPerSecond)
		}
		require.Equal(t, want, p.schedule.Left(id, p.now))
	}
	got := listAll(t, p.table.List(p.schedule))
	if !p.schedule.all {
		slices.Sort(got)
		require.Equal(t, ids, got)
		return
	}
	want := p.twin.listed()
	over := 0
	for over < len(want) && p.twin.leases[want[over]].standing == proposed {
		over++
	}
	slices.Sort(got[:over]) // proposed in pieces, and again in another order
	require.Equal(t, want, got)
}

func listAll(t *rapid.T, l *Listing) (all []ID) {
	for range 1000 {
		ids, more := l.Next(2)
		all = append(all, ids...)
		if !more {
			return all
		}
	}
	require.Fail(t, "the listing does not end")
	return nil
}

func TestScheduleMatchesItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{table: NewTable(), twin: naive{leases: map[ID]naiveLease{}}}
		t.Repeat(map[string]func(*rapid.T){
			"grant": p.grants, "grant more": p.grants, "revoke": p.revokes, "renew": p.renews,
			"expire": p.expires, "note": p.notes, "lead": p.leads, "retire": p.retires,
			"move": p.moves, "wait": p.waits, "wait more": p.waits, "time": p.times, "": p.check,
		})
	})
}

func FuzzReadTable(f *testing.F) {
	table := NewTable()
	table.Grant(Lease{ID: -1, TTL: 5, Remaining: 3})
	table.Grant(Lease{ID: 9, TTL: MaxTTL})
	f.Add(table.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, rest, err := Read(raw)
		if err != nil {
			return
		}
		require.NoError(t, table.Check())
		require.Equal(t, raw, append(table.Append(nil), rest...))
	})
}

// A lease that was granted for the longest time does not end before it began.
func TestTheLongestLeaseNeverEnds(t *testing.T) {
	table := NewTable()
	table.Grant(Lease{ID: 1, TTL: MaxTTL})
	s := NewSchedule(table, Tenure{Now: 1 << 60, Extension: 1e9, Slack: 1})
	require.False(t, s.Due(1<<62))
	s.Time(10)
	require.False(t, s.Due(1<<62))
}

// A proposal that was lost is repeated, and not before its patience is over.
func TestALostProposalIsRepeated(t *testing.T) {
	table := NewTable()
	s := NewSchedule(table, Tenure{Patience: 3e9})
	table.Grant(Lease{ID: 1, TTL: 2})
	s.Granted(1, 0)
	require.Empty(t, s.Expire(2e9-1, 10))
	require.Equal(t, []ID{1}, s.Expire(2e9, 10))
	require.Empty(t, s.Expire(5e9-1, 10))
	_, how := s.Renew(1, 4e9)
	require.Equal(t, Refused, how)
	require.Equal(t, []ID{1}, s.Expire(5e9, 10))
	table.Revoke(1)
	s.Gone(1)
	require.Empty(t, s.Expire(9e9, 10))
}
