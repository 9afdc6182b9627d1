package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/kv/watch"
)

// watchSeen is one response and what its stream was charged for it.
type watchSeen struct {
	response *pb.WatchResponse
	charge   int
}

func (m *member) seen(d *watch.Delivery) {
	if m.watched == nil {
		m.watched = map[watch.StreamID][]watchSeen{}
	}
	for _, to := range d.To {
		raw := watch.AppendID(nil, to.ID)
		for _, piece := range d.Body {
			raw = append(raw, piece...)
		}
		r := &pb.WatchResponse{}
		require.NoError(m.world.t, proto.Unmarshal(raw, r))
		m.watched[to.Stream] = append(m.watched[to.Stream], watchSeen{r, d.Charge})
	}
}

// watch sends a request on a stream to member i.
func (w *world) watch(i int, stream watch.StreamID, request *pb.WatchRequest) {
	raw, err := proto.Marshal(request)
	require.NoError(w.t, err)
	require.Equal(w.t, OK, ValidateWatch(raw))
	w.members[i].inbox = append(w.members[i].inbox, Input{Kind: InputWatch,
		Watch: &WatchInput{Stream: stream, Event: WatchAsked, Raw: raw}})
	w.settle()
}

func (w *world) watchCreate(i int, stream watch.StreamID, create *pb.WatchCreateRequest) {
	w.watch(i, stream, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: create}})
}

// watched takes what a stream got, and reports it as consumed.
func (w *world) watched(i int, stream watch.StreamID) (all []*pb.WatchResponse) {
	m := w.members[i]
	for len(m.watched[stream]) > 0 {
		list := m.watched[stream]
		m.watched[stream] = nil
		sum := 0
		for _, s := range list {
			all = append(all, s.response)
			sum += s.charge
		}
		m.inbox = append(m.inbox, Input{Kind: InputWatch, Watch: &WatchInput{Stream: stream,
			Event: WatchConsumed, Consumed: sum}})
		w.settle()
	}
	return all
}

func eventsOf(all []*pb.WatchResponse) (events []string) {
	for _, r := range all {
		for _, e := range r.Events {
			text := fmt.Sprintf("%d %s", e.Kv.ModRevision, e.Kv.Key)
			if e.Type == mvccpb.Event_DELETE {
				text += " gone"
			} else {
				text += "=" + string(e.Kv.Value)
			}
			if e.PrevKv != nil {
				text += " was " + string(e.PrevKv.Value)
			}
			events = append(events, text)
		}
	}
	return events
}

func (w *world) remove(i int, key, end string) {
	w.t.Helper()
	var res pb.DeleteRangeResponse
	require.Equal(w.t, OK, w.ask(i, MethodDeleteRange,
		&pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}, &res))
}

func TestAWatchSeesWhatHappensAndWhatHappened(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.run(3)
	w.put(0, "a", "1")
	w.watchCreate(0, 1, &pb.WatchCreateRequest{Key: []byte("a"), PrevKv: true})
	w.watchCreate(0, 1, &pb.WatchCreateRequest{RangeEnd: []byte{0}, StartRevision: 1})
	w.put(0, "a", "2")
	w.remove(0, "a", "")
	w.put(0, "b", "3")
	all := w.watched(0, 1)
	require.True(t, all[0].Created)
	require.EqualValues(t, 2, all[0].Header.Revision)
	require.EqualValues(t, 2, all[0].Header.RaftTerm)
	byID := map[int64][]*pb.WatchResponse{}
	for _, r := range all {
		byID[r.WatchId] = append(byID[r.WatchId], r)
	}
	require.Equal(t, []string{"3 a=2 was 1", "4 a gone was 2"}, eventsOf(byID[0]))
	require.Equal(t, []string{"2 a=1", "3 a=2", "4 a gone", "5 b=3"}, eventsOf(byID[1]))
	w.watch(0, 1, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}})
	all = w.watched(0, 1)
	require.Len(t, all, 1)
	require.EqualValues(t, -1, all[0].WatchId)
	require.EqualValues(t, 5, all[0].Header.Revision)
	w.watch(0, 1, &pb.WatchRequest{})
	w.watch(0, 1, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: 1}}})
	all = w.watched(0, 1)
	require.Len(t, all, 1)
	require.True(t, all[0].Canceled)
	w.agree()
}

func TestACompactedStartIsCreatedAndThenCanceled(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	for i := range 5 {
		w.put(0, "a", fmt.Sprint(i))
	}
	w.remove(0, "a", "")
	var res pb.CompactionResponse
	require.Equal(t, OK, w.ask(0, MethodCompact, &pb.CompactionRequest{Revision: 7,
		Physical: true}, &res))
	w.watchCreate(0, 1, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 6})
	w.watchCreate(0, 2, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 7, PrevKv: true})
	all := w.watched(0, 1)
	require.Len(t, all, 2)
	require.True(t, all[0].Created)
	require.False(t, all[0].Canceled)
	require.True(t, all[1].Canceled)
	require.EqualValues(t, 7, all[1].CompactRevision)
	require.Zero(t, all[1].Header.Revision)
	require.Empty(t, all[1].CancelReason)
	require.Equal(t, []string{"7 a gone"}, eventsOf(w.watched(0, 2)),
		"the compacted revision itself is there, what was before it is not")
}

// A revision that is larger than any step is delivered whole, through the history.
func TestAHugeRevisionIsDeliveredWhole(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) {
		l.WatchBytes, l.StepUnits = 1000, 100
		l.CacheBytes = 4 << 10
	})
	w.leader()
	const keys = 3000
	for i := range keys {
		w.put(0, fmt.Sprintf("k%05d", i), "v")
	}
	w.watchCreate(0, 1, &pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"),
		PrevKv: true})
	w.watchCreate(0, 2, &pb.WatchCreateRequest{Key: []byte("x")})
	w.remove(0, "k", "l")
	w.put(0, "x", "1")
	w.run(3)
	all := w.watched(0, 1)
	require.Len(t, all, 2)
	require.Len(t, all[1].Events, keys)
	for i, e := range all[1].Events {
		require.Equal(t, fmt.Sprintf("k%05d", i), string(e.Kv.Key))
		require.Equal(t, mvccpb.Event_DELETE, e.Type)
		require.NotNil(t, e.PrevKv)
	}
	require.Equal(t, []string{fmt.Sprint(keys+3, " x=1")}, eventsOf(w.watched(0, 2)))
	w.agree()
}

// Watchers on a member that is left behind, and gets a snapshot, miss nothing that is there.
func TestWatchersGoOnAfterASnapshot(t *testing.T) {
	w := newWorld(t, 3, func(l *Limits) {
		l.CheckpointCount, l.CatchUpEntries = 20, 5
		l.LogMemoryBytes, l.DataSegmentBytes, l.LogSegmentBytes = 2<<10, 8<<10, 8<<10
	})
	lead := w.leader()
	w.put(lead, "a", "first")
	w.run(3)
	behind := (lead + 1) % 3
	w.watchCreate(behind, 1, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 1})
	w.watchCreate(behind, 1, &pb.WatchCreateRequest{Key: []byte("a")})
	w.watchCreate(behind, 2, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 50})
	id := w.cfgs[behind].Member
	w.cut[id] = true
	lead = w.leader()
	for i := range 200 {
		w.put(lead, "a", fmt.Sprint(i))
	}
	delete(w.cut, id)
	w.run(60)
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprintf("%d a=%d", i+3, i))
	}
	byID := map[int64][]*pb.WatchResponse{}
	for _, r := range w.watched(behind, 1) {
		byID[r.WatchId] = append(byID[r.WatchId], r)
	}
	require.Equal(t, append([]string{"2 a=first"}, want...), eventsOf(byID[0]))
	require.Equal(t, want, eventsOf(byID[1]))
	require.Equal(t, want[47:], eventsOf(w.watched(behind, 2)))
	w.agree()
}

// The hand-written parser agrees with the generated one about every request.
func TestWatchRequestsAreReadAsTheGeneratedDecoderDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.WatchCreateRequest{
			Key:            []byte(rapid.StringN(1, 4, 8).Draw(t, "key")),
			RangeEnd:       rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "end"),
			StartRevision:  rapid.Int64().Draw(t, "start"),
			ProgressNotify: rapid.Bool().Draw(t, "notify"),
			PrevKv:         rapid.Bool().Draw(t, "prev"),
			WatchId:        rapid.Int64().Draw(t, "id"),
			Fragment:       rapid.Bool().Draw(t, "fragment"),
		}
		for _, f := range rapid.SliceOfN(rapid.Int32Range(0, 3), 0, 3).Draw(t, "filters") {
			want.Filters = append(want.Filters, pb.WatchCreateRequest_FilterType(f))
		}
		raw, err := proto.Marshal(&pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: want}})
		require.NoError(t, err)
		var got watchRequest
		require.NoError(t, parseWatch(raw, &got))
		require.Equal(t, watchCreate, got.kind)
		c := got.create
		require.Equal(t, string(want.Key), string(c.Spec.Key))
		require.Equal(t, string(want.RangeEnd), string(c.Spec.End))
		require.EqualValues(t, want.StartRevision, c.Start)
		require.Equal(t, want.WatchId, c.ID)
		require.Equal(t, want.ProgressNotify, c.Notify == watch.Periodically)
		options := watch.Options(0)
		for i, set := range []bool{false, false, want.PrevKv, want.Fragment} {
			if set {
				options |= 1 << i
			}
		}
		for _, f := range want.Filters {
			if f < 2 {
				options |= 1 << f
			}
		}
		require.Equal(t, options, c.Spec.Options)
		cut := rapid.IntRange(0, len(raw)-1).Draw(t, "cut")
		var r pb.WatchRequest
		wellFormed := proto.Unmarshal(raw[:cut], &r) == nil
		require.Equal(t, wellFormed, ValidateWatch(raw[:cut]) == OK)
	})
}
