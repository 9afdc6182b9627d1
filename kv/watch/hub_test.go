package watch

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
)

// history is a Store that is nothing but a list.
type history struct {
	revisions [][]mvcc.Change // [i] is revision i+2
	compacted mvcc.Revision
}

func (s *history) newest() mvcc.Revision { return mvcc.Revision(len(s.revisions)) + 1 }

func (s *history) Compacted() mvcc.Revision { return s.compacted }

func (s *history) Change(rev mvcc.Rev) (mvcc.Change, error) {
	return s.revisions[rev.Main-2][rev.Sub], nil
}

func (s *history) Changes(from mvcc.Rev, most, maxBytes int,
	visit func(rev mvcc.Rev, c mvcc.Change) bool) (mvcc.Rev, error) {
	for at := from; at.Main <= s.newest(); at = (mvcc.Rev{Main: at.Main + 1}) {
		for ; at.Main >= 2 && int(at.Sub) < len(s.revisions[at.Main-2]); at.Sub++ {
			c := s.revisions[at.Main-2][at.Sub]
			if most <= 0 || maxBytes <= 0 || !visit(at, c) {
				return at, nil
			}
			most, maxBytes = most-1, maxBytes-len(c.KV)
		}
	}
	return mvcc.Rev{Main: s.newest() + 1}, nil
}

func (s *history) At(key []byte, rev mvcc.Revision) ([]byte, bool, error) {
	if rev < s.compacted {
		return nil, false, nil
	}
	for ; rev >= 2; rev-- {
		for _, c := range s.revisions[rev-2] {
			if bytes.Equal(keyOf(c.KV), key) {
				return c.KV, c.Kind == mvcc.PutRecord, nil
			}
		}
	}
	return nil, false, nil
}

// write adds a revision that changes keys, each at most once.
func (s *history) write(keys []string, deletes []bool, value string) {
	var changes []mvcc.Change
	rev := s.newest() + 1
	for i, k := range keys {
		if prev, lived, _ := s.At([]byte(k), rev-1); deletes[i] && lived {
			_ = prev
			kv := mvcc.KeyValue{Key: []byte(k)}
			changes = append(changes, mvcc.Change{Kind: mvcc.TombstoneRecord, KV: kv.AppendWire(nil)})
		} else {
			kv := mvcc.KeyValue{Key: []byte(k), Mod: rev, Create: rev, Version: 1,
				Value: []byte(value)}
			if lived {
				old, _ := mvcc.ParseKeyValue(prev)
				kv.Create, kv.Version = old.Create, old.Version+1
			}
			changes = append(changes, mvcc.Change{Kind: mvcc.PutRecord, KV: kv.AppendWire(nil)})
		}
	}
	s.revisions = append(s.revisions, changes)
}

// events is what a watcher has to get of one revision.
func (s *history) events(spec *Spec, rev mvcc.Revision) (out []*mvccpb.Event) {
	if rev < 2 {
		return nil
	}
	for _, c := range s.revisions[rev-2] {
		key := keyOf(c.KV)
		to := spec.to()
		if spec.single() {
			to = append(bytes.Clone(spec.Key), 0)
		}
		deleted := c.Kind == mvcc.TombstoneRecord
		if bytes.Compare(key, spec.Key) < 0 || to != nil && bytes.Compare(key, to) >= 0 ||
			deleted && spec.Options&NoDelete != 0 || !deleted && spec.Options&NoPut != 0 {
			continue
		}
		e := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: key, ModRevision: int64(rev)}}
		if deleted {
			e.Type = mvccpb.Event_DELETE
		} else if err := proto.Unmarshal(c.KV, e.Kv); err != nil {
			panic(err)
		}
		if prev, ok, _ := s.At(key, rev-1); ok && spec.Options&PrevKV != 0 {
			e.PrevKv = &mvccpb.KeyValue{}
			if err := proto.Unmarshal(prev, e.PrevKv); err != nil {
				panic(err)
			}
		}
		out = append(out, e)
	}
	return out
}

// seen is what a test knows of one watcher.
type seen struct {
	spec    Spec
	next    mvcc.Revision // everything below has been got, or is not wanted
	created bool
	over    bool
	part    []*mvccpb.Event // of a response that is fragmented
}

type seat struct {
	stream StreamID
	id     int64
}

// audience plays the edge: it holds what streams got, consumes it and judges it.
type audience struct {
	t       require.TestingT
	hub     *Hub
	store   *history
	out     []Delivery
	now     int64
	seats   map[seat]*seen
	order   []seat
	charged map[StreamID][]int
	total   map[StreamID]int
	news    map[StreamID]int // progress answers for a whole stream
}

func newAudience(t require.TestingT, limits Limits) *audience {
	return &audience{t: t, hub: New(limits, 1), store: &history{compacted: -1},
		seats: map[seat]*seen{}, charged: map[StreamID][]int{}, total: map[StreamID]int{},
		news: map[StreamID]int{}}
}

func (a *audience) env() Env {
	return Env{Store: a.store, Now: a.now, Out: &a.out,
		Header: Header{Cluster: 1, Member: 2, Revision: a.store.newest(), Term: 3}}
}

func (a *audience) create(id StreamID, c Create) {
	at, before := a.store.newest(), len(a.out)
	a.hub.Create(a.env(), id, c)
	got := a.response(&a.out[before], a.out[before].To[0])
	if !got.Created || got.Canceled {
		return
	}
	k := seat{id, got.WatchId}
	s := &seen{spec: c.Spec, next: c.Start}
	if c.Start == 0 {
		s.next = at + 1
	}
	a.seats[k] = s
	a.order = append(a.order, k)
}

func joined(d *Delivery) []byte { return bytes.Join(d.Body, nil) }

func (a *audience) response(d *Delivery, to Recipient) *pb.WatchResponse {
	var r pb.WatchResponse
	raw := append(AppendID(nil, to.ID), joined(d)...)
	require.NoError(a.t, proto.Unmarshal(raw, &r))
	require.Equal(a.t, to.ID, r.WatchId)
	require.EqualValues(a.t, 2, r.Header.MemberId)
	return &r
}

// receive judges what has left.
func (a *audience) receive() {
	for i := range a.out {
		d := &a.out[i]
		size := 0
		for _, p := range d.Body {
			size += len(p)
		}
		require.Equal(a.t, size+responseCost, d.Charge)
		for _, to := range d.To {
			a.charged[to.Stream] = append(a.charged[to.Stream], d.Charge)
			a.total[to.Stream] += d.Charge
			r := a.response(d, to)
			require.Len(a.t, r.Events, d.Events)
			a.judge(to, r)
		}
	}
	a.out = a.out[:0]
	a.hub.Begin()
	require.NoError(a.t, a.hub.Check())
}

func (a *audience) judge(to Recipient, r *pb.WatchResponse) {
	if to.ID == noID {
		if r.Created {
			return // a refusal
		}
		a.news[to.Stream]++
		for _, k := range a.order {
			if s := a.seats[k]; k.stream == to.Stream && !s.over {
				a.promise(k, s, r)
			}
		}
		return
	}
	s := a.seats[seat{to.Stream, to.ID}]
	require.NotNil(a.t, s, "response for an unknown watcher %v", to)
	switch {
	case r.Created:
		require.False(a.t, s.created)
		s.created = true
	case r.Canceled:
		s.over = true
		if r.CompactRevision != 0 {
			require.Zero(a.t, r.Header.Revision)
			require.Less(a.t, s.next, mvcc.Revision(r.CompactRevision))
			require.Less(a.t, s.next, a.store.compacted)
		}
	case len(r.Events) == 0:
		a.promise(seat{to.Stream, to.ID}, s, r)
	default:
		require.True(a.t, s.created)
		require.False(a.t, s.over)
		s.part = append(s.part, r.Events...)
		if !r.Fragment {
			a.take(s, s.part)
			s.part = nil
		}
	}
}

// promise checks a progress notice: nothing up to its revision is missing, and nothing up to it
// may come later.
func (a *audience) promise(k seat, s *seen, r *pb.WatchResponse) {
	require.True(a.t, s.created)
	for rev := s.next; rev <= mvcc.Revision(r.Header.Revision); rev++ {
		require.Empty(a.t, a.store.events(&s.spec, rev), "%v misses revision %d", k, rev)
	}
	s.next = max(s.next, mvcc.Revision(r.Header.Revision)+1)
}

// take checks a response's events: whole revisions, all that matches, in order.
func (a *audience) take(s *seen, events []*mvccpb.Event) {
	for len(events) > 0 {
		rev := mvcc.Revision(events[0].Kv.ModRevision)
		require.GreaterOrEqual(a.t, rev, s.next, "an event comes twice, or out of order")
		for ; s.next < rev; s.next++ {
			require.Empty(a.t, a.store.events(&s.spec, s.next), "revision %d is missing", s.next)
		}
		want := a.store.events(&s.spec, rev)
		require.GreaterOrEqual(a.t, len(events), len(want), "half of revision %d", rev)
		for i, w := range want {
			if rev-1 < a.store.compacted && events[i].PrevKv != nil {
				w.PrevKv = events[i].PrevKv // it was let out before the compaction
			}
			require.True(a.t, proto.Equal(w, events[i]), "want %v, got %v", w, events[i])
		}
		events = events[len(want):]
		s.next = rev + 1
	}
}

// consume reports the first n responses of a stream, or all.
func (a *audience) consume(id StreamID, n int) {
	list := a.charged[id]
	n = min(n, len(list))
	sum := 0
	for _, c := range list[:n] {
		sum += c
	}
	a.charged[id] = list[n:]
	a.total[id] -= sum
	if sum > 0 {
		a.hub.Consumed(a.env(), id, sum)
	}
}

// settle lets everybody read everything, and demands that everybody has got it.
func (a *audience) settle() {
	for range 10_000 {
		a.receive()
		for _, k := range a.order {
			a.consume(k.stream, 1<<30)
		}
		more, err := a.hub.Work(a.env(), 50)
		require.NoError(a.t, err)
		if !more && len(a.out) == 0 && a.hub.Behind() == 0 {
			break
		}
	}
	a.receive()
	require.Zero(a.t, a.hub.Behind())
	for _, k := range a.order {
		s := a.seats[k]
		require.True(a.t, s.created)
		for rev := max(s.next, 2); rev <= a.store.newest() && !s.over; rev++ {
			require.Empty(a.t, a.store.events(&s.spec, rev), "%v misses revision %d", k, rev)
		}
	}
}

func tinyLimits(stream int) Limits {
	return Limits{StreamBytes: stream, FragmentBytes: 200, NotifyNanos: 1000, Seed: 7,
		LiveChanges: 1024, Passes: 8, Near: 10_000}
}

func drawCreate(t *rapid.T, newest mvcc.Revision) Create {
	letter := rapid.StringMatching("[a-d]")
	c := Create{Spec: Spec{Key: []byte(letter.Draw(t, "key")),
		Options: Options(rapid.IntRange(0, 15).Draw(t, "options"))}}
	switch rapid.IntRange(0, 3).Draw(t, "interval") {
	case 0:
		c.Spec.End = []byte{0}
	case 1:
		c.Spec.End = []byte(letter.Draw(t, "end"))
	}
	switch rapid.IntRange(0, 3).Draw(t, "from") {
	case 0:
		c.Start = newest + mvcc.Revision(rapid.IntRange(-1, 4).Draw(t, "around"))
	case 1:
		c.Start = mvcc.Revision(rapid.IntRange(-1, int(newest)).Draw(t, "start"))
	}
	if rapid.IntRange(0, 4).Draw(t, "chosen") == 0 {
		// Not -1: the answers for whole streams have it.
		c.ID = rapid.SampledFrom([]int64{-2, 0, 1, 2, 3}).Draw(t, "id")
	}
	c.Notify = Notify(rapid.IntRange(0, 1).Draw(t, "notify"))
	return c
}

// A hub against what everybody would expect of it, whatever happens in whatever order.
func TestEveryWatcherGetsEverythingOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAudience(t, tinyLimits(rapid.SampledFrom([]int{1, 300, 2000, 1 << 20}).
			Draw(t, "stream bytes")))
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			id := StreamID(rapid.IntRange(1, 4).Draw(t, "stream"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1:
				a.create(id, drawCreate(t, a.store.newest()))
			case 2:
				a.hub.Cancel(a.env(), id, int64(rapid.IntRange(-2, 4).Draw(t, "watch")))
			case 3:
				a.hub.Progress(a.env(), id)
			case 4:
				a.consume(id, rapid.IntRange(1, 9).Draw(t, "responses"))
			case 5:
				_, err := a.hub.Work(a.env(), rapid.IntRange(1, 30).Draw(t, "budget"))
				require.NoError(t, err)
			case 6:
				a.now += 700
				a.hub.Tick(a.env())
			case 7:
				drawHistory(t, a)
			default:
				drawWrite(t, a)
				n := len(a.store.revisions)
				require.NoError(t, a.hub.Advance(a.env(), a.store.newest(),
					len(a.store.revisions[n-1])))
			}
			a.receive()
		}
		a.settle()
	})
}

func drawWrite(t *rapid.T, a *audience) {
	keys := rapid.SliceOfNDistinct(rapid.StringMatching("[a-e]"), 1, 4, rapid.ID[string]).
		Draw(t, "keys")
	deletes := rapid.SliceOfN(rapid.Bool(), len(keys), len(keys)).Draw(t, "deletes")
	size := rapid.SampledFrom([]int{0, 5, 80, 700}).Draw(t, "size")
	a.store.write(keys, deletes, string(bytes.Repeat([]byte{'x'}, size)))
}

// drawHistory does what is rare: a compaction, a revision of unknown size, an installed state.
func drawHistory(t *rapid.T, a *audience) {
	switch rapid.IntRange(0, 3).Draw(t, "rare") {
	case 0:
		newest := int(a.store.newest())
		a.store.compacted = max(a.store.compacted,
			mvcc.Revision(rapid.IntRange(1, newest).Draw(t, "compact")))
	case 1:
		drawWrite(t, a)
		require.NoError(t, a.hub.Advance(a.env(), a.store.newest(), a.hub.limits.LiveChanges+1))
	case 2:
		for range rapid.IntRange(1, 5).Draw(t, "revisions") {
			drawWrite(t, a)
		}
		require.NoError(t, a.hub.Advance(a.env(), a.store.newest(), -1))
	case 3:
		id := StreamID(rapid.IntRange(1, 4).Draw(t, "ended"))
		a.receive()
		a.hub.End(id)
		var rest []seat
		for _, k := range a.order {
			if k.stream == id {
				delete(a.seats, k)
			} else {
				rest = append(rest, k)
			}
		}
		a.order = rest
		delete(a.charged, id)
	}
}

func TestARefusedWatcherIsToldWhy(t *testing.T) {
	a := newAudience(t, tinyLimits(1<<20))
	a.store.write([]string{"a"}, []bool{false}, "v")
	require.NoError(t, a.hub.Advance(a.env(), 2, 1))
	refusal := func(c Create) string {
		a.hub.Create(a.env(), 1, c)
		d := a.out[len(a.out)-1]
		r := a.response(&d, d.To[0])
		require.EqualValues(t, -1, r.WatchId)
		require.True(t, r.Created && r.Canceled)
		require.EqualValues(t, 2, r.Header.Revision)
		return r.CancelReason
	}
	a.create(1, Create{Spec: Spec{Key: []byte("a")}, ID: 5})
	require.Equal(t, emptyRange, refusal(Create{Spec: Spec{Key: []byte("b"), End: []byte("b")}}))
	require.Equal(t, duplicateID, refusal(Create{Spec: Spec{Key: []byte("b")}, ID: 5}))
	require.Equal(t, compacted, refusal(Create{Spec: Spec{Key: []byte("b")}, Start: -1}))
	require.Equal(t, "no", refusal(Create{Spec: Spec{Key: []byte("b")}, Refusal: "no"}))
	require.Equal(t, 1, a.hub.Watchers())
}

func TestIDsAreChosenAsEtcdDoes(t *testing.T) {
	a := newAudience(t, tinyLimits(1<<20))
	for _, id := range []int64{1, 0, 0, 0, -7} {
		a.create(1, Create{Spec: Spec{Key: []byte("a")}, ID: id})
	}
	var got []int64
	for _, k := range a.order {
		got = append(got, k.id)
	}
	require.Equal(t, []int64{1, 0, 2, 3, -7}, got)
	a.hub.Cancel(a.env(), 1, 1)
	a.receive()
	a.create(1, Create{Spec: Spec{Key: []byte("a")}, ID: 1})
	require.Equal(t, 5, a.hub.Watchers())
}

func TestProgressWaitsForThoseBehindAndTheFuture(t *testing.T) {
	a := newAudience(t, tinyLimits(1<<20))
	a.hub.Progress(a.env(), 1)
	a.create(1, Create{Spec: Spec{Key: []byte("a")}})
	a.receive()
	a.hub.Progress(a.env(), 1)
	a.receive()
	require.Equal(t, 1, a.news[1])
	a.create(1, Create{Spec: Spec{Key: []byte("a")}, Start: 3})
	a.hub.Progress(a.env(), 1)
	a.receive()
	require.Equal(t, 1, a.news[1], "one watcher begins in the future")
	a.store.write([]string{"a"}, []bool{false}, "v")
	require.NoError(t, a.hub.Advance(a.env(), 2, 1))
	a.hub.Progress(a.env(), 1)
	a.receive()
	require.Equal(t, 2, a.news[1])
	a.create(1, Create{Spec: Spec{Key: []byte("a")}, Start: 2})
	a.hub.Progress(a.env(), 1)
	a.receive()
	require.Equal(t, 2, a.news[1], "one watcher is behind")
	a.settle()
	a.hub.Progress(a.env(), 1)
	a.receive()
	require.Equal(t, 3, a.news[1])
}

// One who reads nothing holds its limit and one response more, and nobody up.
func TestAStreamThatIsNotReadHoldsItsLimit(t *testing.T) {
	const limit = 5000
	a := newAudience(t, tinyLimits(limit))
	a.create(1, Create{Spec: Spec{Key: []byte("a")}})
	a.create(2, Create{Spec: Spec{Key: []byte("a")}})
	for i := range 500 {
		a.store.write([]string{"a"}, []bool{false}, fmt.Sprint(i))
		require.NoError(t, a.hub.Advance(a.env(), a.store.newest(), 1))
		_, err := a.hub.Work(a.env(), 100)
		require.NoError(t, err)
		a.receive()
		a.consume(2, 1<<30)
		require.Equal(t, a.store.newest()+1, a.seats[seat{2, 0}].next)
	}
	require.Less(t, a.total[1], limit+400)
	require.Less(t, a.seats[seat{1, 0}].next, mvcc.Revision(60))
	a.settle()
}

func TestManyWatchersOfOneKeyShareOneResponse(t *testing.T) {
	a := newAudience(t, tinyLimits(1<<20))
	for i := range 100 {
		a.create(StreamID(i%10+1), Create{Spec: Spec{Key: []byte("a")}})
	}
	a.receive()
	a.store.write([]string{"a"}, []bool{false}, "v")
	require.NoError(t, a.hub.Advance(a.env(), 2, 1))
	require.Len(t, a.out, 1)
	require.Len(t, a.out[0].To, 100)
	lent := a.out[0].To
	before := append([]Recipient(nil), lent...)
	a.hub.Cancel(a.env(), 3, 0)
	a.hub.End(4)
	require.Equal(t, before, lent, "what is lent does not change within the turn")
	a.out = a.out[:1]
	a.receive()
}

// Watchers that are far behind never slow those that are near, who join no walk through old times.
func TestNearWatchersDoNotWaitForFarOnes(t *testing.T) {
	a := newAudience(t, tinyLimits(1<<20))
	for i := range 2 * tinyLimits(1).Near {
		a.store.write([]string{"a"}, []bool{false}, fmt.Sprint(i))
	}
	require.NoError(t, a.hub.Advance(a.env(), a.store.newest(), -1))
	for i := range 20 {
		a.create(1, Create{Spec: Spec{Key: []byte("b")}, Start: mvcc.Revision(1 + 50*(20-i))})
	}
	a.create(2, Create{Spec: Spec{Key: []byte("a")}, Start: a.store.newest() - 5})
	a.receive()
	require.LessOrEqual(t, len(a.hub.passes), tinyLimits(1).Passes)
	require.EqualValues(t, a.store.newest()+1-701, a.hub.Lag(), "the seventh pass begins at 701")
	for range 3 * tinyLimits(1).Passes {
		_, err := a.hub.Work(a.env(), 100)
		require.NoError(t, err)
		a.receive()
	}
	require.Equal(t, a.store.newest()+1, a.seats[seat{2, 0}].next)
	a.settle()
	require.Zero(t, a.hub.Lag())
}

// Notices that nobody asked for do not pile up where nobody reads.
func TestAFullStreamGetsNoNotices(t *testing.T) {
	a := newAudience(t, tinyLimits(1000))
	a.create(1, Create{Spec: Spec{Key: []byte("a")}, Notify: Periodically})
	for range 1000 {
		a.now += 1200
		a.hub.Tick(a.env())
		a.receive()
	}
	require.Less(t, a.total[1], 1300)
	require.Greater(t, len(a.charged[1]), 3)
}

func BenchmarkOneKeyToManyWatchers(b *testing.B) {
	for _, n := range []int{500, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := newAudience(b, Limits{StreamBytes: 1 << 20, FragmentBytes: 2 << 20,
				LiveChanges: 1024, Passes: 8, Near: 10_000, NotifyNanos: 1e9})
			for i := range n {
				a.hub.Create(a.env(), StreamID(i+1), Create{Spec: Spec{Key: []byte("a")}})
			}
			a.store.write([]string{"a"}, []bool{false}, string(make([]byte, 256)))
			env := a.env()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				a.out = a.out[:0]
				a.hub.Begin()
				a.hub.front = 2
				if err := a.hub.Advance(env, 2, 1); err != nil {
					b.Fatal(err)
				}
				for i := range n {
					a.hub.Consumed(env, StreamID(i+1), a.out[0].Charge)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func BenchmarkAHundredThousandWatchersOfOtherKeys(b *testing.B) {
	a := newAudience(b, Limits{StreamBytes: 1 << 20, FragmentBytes: 2 << 20, NotifyNanos: 1e9,
		LiveChanges: 1024, Passes: 8, Near: 10_000})
	for i := range 100_000 {
		spec := Spec{Key: fmt.Appendf(nil, "k%06d", i)}
		if i%2 == 0 {
			spec.End = fmt.Appendf(nil, "k%06d", i+10)
		}
		a.hub.Create(a.env(), StreamID(i%100+1), Create{Spec: spec})
	}
	a.store.write([]string{"k055555"}, []bool{false}, "v")
	env := a.env()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		a.out = a.out[:0]
		a.hub.Begin()
		a.hub.front = 2
		if err := a.hub.Advance(env, 2, 1); err != nil {
			b.Fatal(err)
		}
		for i := range a.out {
			a.hub.Consumed(env, a.out[i].To[0].Stream, a.out[i].Charge)
		}
	}
}
