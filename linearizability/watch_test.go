package linearizability

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// watched makes a history of some keys and, for a request, what a correct store shows of it: one
// response for each revision, at ten times the revision, and a progress notice at the end.
func watched(request *pb.WatchCreateRequest) (*WatchTruth, *Watch) {
	s := newScript()
	s.put("a", "1")
	s.put("b", "2")
	s.put("a", "3")
	s.do(remove("a"))
	s.do(putIfEqual("b", "2", "4", "a"))
	s.put("c", "5")
	s.do(Request{DeleteRange: &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("c")}})
	s.put("b", "6")
	truth := &WatchTruth{Newest: s.state}
	w := &Watch{Request: request, Complete: s.state.revision}
	j := watchJudge{truth: truth, watch: w}
	show := func(at int64, r *pb.WatchResponse) {
		w.Seen = append(w.Seen, WatchSeen{Time: at, Response: r})
	}
	from := request.StartRevision
	if from == 0 {
		from = 2
	}
	show(5, &pb.WatchResponse{Header: header(from - 1), Created: true})
	for rev := int64(2); rev <= s.state.revision; rev++ {
		truth.Since = append(truth.Since, rev*10)
		events := j.wanted(rev)
		if rev < from || len(events) == 0 {
			continue
		}
		r := &pb.WatchResponse{Header: header(rev)}
		for _, e := range events {
			e = proto.Clone(e).(*mvccpb.Event)
			if !request.PrevKv {
				e.PrevKv = nil
			}
			r.Events = append(r.Events, e)
		}
		show(rev*10, r)
	}
	show(1000, &pb.WatchResponse{Header: header(s.state.revision)})
	return truth, w
}

func everything() *pb.WatchCreateRequest {
	return &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte{0}, PrevKv: true}
}

func TestLegalWatchesPass(t *testing.T) {
	for _, r := range []*pb.WatchCreateRequest{
		everything(),
		{Key: []byte("a")},
		{Key: []byte("a"), PrevKv: true, Filters: []pb.WatchCreateRequest_FilterType{
			pb.WatchCreateRequest_NODELETE}},
		{Key: []byte("a"), RangeEnd: []byte("c"), Filters: []pb.WatchCreateRequest_FilterType{
			pb.WatchCreateRequest_NOPUT}},
		{RangeEnd: []byte{0}, StartRevision: 4},
	} {
		truth, w := watched(r)
		result := CheckWatches(truth, []Watch{*w})
		require.Equal(t, Legal, result.Verdict, result.Detail)
		require.Greater(t, len(w.Seen), 2)
	}
}

func TestFragmentsMakeOneResponse(t *testing.T) {
	truth, w := watched(everything())
	for i, s := range w.Seen {
		if r := s.Response; len(r.Events) == 2 {
			half := proto.Clone(r).(*pb.WatchResponse)
			half.Events, half.Fragment = half.Events[:1], true
			r.Events = r.Events[1:]
			w.Seen = slices.Insert(w.Seen, i, WatchSeen{Time: s.Time, Response: half})
			break
		}
	}
	result := CheckWatches(truth, []Watch{*w})
	require.Equal(t, Legal, result.Verdict, result.Detail)
}

// plantedWatches are things that no correct store shows, and a word of what is said about each.
// Responses: 0 created, 1 to 3 puts of a, b, a, 4 a's removal, 5 b and a, 6 c, 7 removals of a and
// b, 8 b, 9 progress.
var plantedWatches = []struct {
	name, says string
	plant      func(truth *WatchTruth, w *Watch)
}{
	{"an event is missing", "lacks", func(_ *WatchTruth, w *Watch) {
		w.Seen = slices.Delete(w.Seen, 3, 4)
	}},
	{"the last event is missing", "lacks", func(_ *WatchTruth, w *Watch) {
		w.Seen = w.Seen[:8]
	}},
	{"an event comes twice", "again", func(_ *WatchTruth, w *Watch) {
		w.Seen = slices.Insert(w.Seen, 3, w.Seen[2])
	}},
	{"two responses change places", "lacks", func(_ *WatchTruth, w *Watch) {
		w.Seen[2], w.Seen[3] = w.Seen[3], w.Seen[2]
	}},
	{"half of a transaction", "1 of the 2", func(_ *WatchTruth, w *Watch) {
		w.Seen[5].Response.Events = w.Seen[5].Response.Events[:1]
	}},
	{"a transaction in two responses", "1 of the 2", func(_ *WatchTruth, w *Watch) {
		rest := proto.Clone(w.Seen[5].Response).(*pb.WatchResponse)
		rest.Events = rest.Events[1:]
		w.Seen[5].Response.Events = w.Seen[5].Response.Events[:1]
		w.Seen = slices.Insert(w.Seen, 6, WatchSeen{Time: 60, Response: rest})
	}},
	{"a transaction in the wrong order", "kv", func(_ *WatchTruth, w *Watch) {
		slices.Reverse(w.Seen[5].Response.Events)
	}},
	{"an event of another key", "holds nothing", func(_ *WatchTruth, w *Watch) {
		w.Request.RangeEnd = []byte("c")
	}},
	{"a filtered event", "holds nothing", func(_ *WatchTruth, w *Watch) {
		w.Request.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
	}},
	{"an event before the start", "again or too late", func(_ *WatchTruth, w *Watch) {
		w.Request.StartRevision = 3
	}},
	{"a wrong value", "kv", func(_ *WatchTruth, w *Watch) {
		w.Seen[3].Response.Events[0].Kv.Value = []byte("x")
	}},
	{"a removal that is a put", "type", func(_ *WatchTruth, w *Watch) {
		w.Seen[4].Response.Events[0].Type = mvccpb.Event_PUT
	}},
	{"a wrong creation", "kv", func(_ *WatchTruth, w *Watch) {
		w.Seen[3].Response.Events[0].Kv.CreateRevision = 4
	}},
	{"no previous value", "prev_kv", func(_ *WatchTruth, w *Watch) {
		w.Seen[3].Response.Events[0].PrevKv = nil
	}},
	{"a wrong previous value", "prev_kv", func(_ *WatchTruth, w *Watch) {
		w.Seen[8].Response.Events[0].PrevKv = w.Seen[5].Response.Events[0].Kv
	}},
	{"a previous value that nobody wants", "asked for", func(_ *WatchTruth, w *Watch) {
		w.Request.PrevKv = false
	}},
	{"progress ahead of the events", "lacks", func(_ *WatchTruth, w *Watch) {
		w.Seen = slices.Insert(w.Seen, 5,
			WatchSeen{Time: 90, Response: &pb.WatchResponse{Header: header(6)}})
	}},
	{"progress of the future", "not there yet", func(_ *WatchTruth, w *Watch) {
		w.Seen[9].Response.Header.Revision++
	}},
	{"progress that is too old", "waits for", func(_ *WatchTruth, w *Watch) {
		w.Seen[9].Response.Header.Revision = 4
	}},
	{"an event before it was committed", "not there yet", func(truth *WatchTruth, _ *Watch) {
		truth.Since[2] = 41
	}},
	{"an event under an older header", "older header", func(_ *WatchTruth, w *Watch) {
		w.Seen[3].Response.Header.Revision--
	}},
	{"an event before the created response", "before the created", func(_ *WatchTruth, w *Watch) {
		w.Seen = w.Seen[1:]
	}},
	{"something after the end", "after the end", func(_ *WatchTruth, w *Watch) {
		w.Seen = slices.Insert(w.Seen, 4,
			WatchSeen{Time: 45, Response: &pb.WatchResponse{Canceled: true}})
	}},
	{"a compaction that never was", "not compacted", func(_ *WatchTruth, w *Watch) {
		w.Seen[3] = WatchSeen{Time: 45,
			Response: &pb.WatchResponse{Canceled: true, CompactRevision: 7}}
		w.Seen = w.Seen[:4]
	}},
	{"a compaction of what is not needed", "no reason", func(truth *WatchTruth, w *Watch) {
		truth.Compactions = []CompactionTime{{Revision: 3, Time: 1}}
		w.Seen[3] = WatchSeen{Time: 45,
			Response: &pb.WatchResponse{Canceled: true, CompactRevision: 3}}
		w.Seen = w.Seen[:4]
	}},
}

func TestPlantedWatchesAreCaught(t *testing.T) {
	for _, p := range plantedWatches {
		t.Run(p.name, func(t *testing.T) {
			truth, w := watched(everything())
			require.Len(t, w.Seen, 10)
			p.plant(truth, w)
			result := CheckWatches(truth, []Watch{*w})
			require.Equal(t, Illegal, result.Verdict)
			require.Contains(t, result.Detail, p.says)
		})
	}
}

func TestCompactionExcusesWhatItTook(t *testing.T) {
	truth, w := watched(everything())
	truth.Compactions = []CompactionTime{{Revision: 4, Time: 35}}
	w.Seen[3].Response.Events[0].PrevKv = nil // of revision 3, gone before revision 4 was sent
	require.Equal(t, Legal, CheckWatches(truth, []Watch{*w}).Verdict)
	w.Seen = append(w.Seen[:2], WatchSeen{Time: 40,
		Response: &pb.WatchResponse{Canceled: true, CompactRevision: 4}})
	require.Equal(t, Legal, CheckWatches(truth, []Watch{*w}).Verdict)
}
