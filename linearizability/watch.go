package linearizability

import (
	"bytes"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// Watches are judged against the true sequence of states, which other checkers establish. What is
// promised of each watcher:
//
//   - filter: it gets only what it asked for;
//   - ordered: revisions ascend, and within one the changes come in their order;
//   - unique: nothing comes twice;
//   - atomic: what a revision holds for it comes in one response, fragments put together;
//   - reliable: nothing is missing between its start and the last thing that it got;
//   - resumable: that holds from any start that is not compacted, and the watcher that starts where
//     another one ended misses nothing;
//   - bookmarkable: after a progress notice of a revision nothing comes at or below it;
//   - truthful: at a progress notice nothing at or below its revision is missing;
//   - right: an event's KeyValue, the one before it, and whether it creates the key.
//
// And whoever is told that compaction has overtaken it had indeed a compacted revision to get.

// Watch is one watcher as its client saw it: the request that made it and, in order, everything
// that came for it, fragments and progress notices of the whole stream included.
type Watch struct {
	Client  int
	Request *pb.WatchCreateRequest
	Seen    []WatchSeen
	// Complete is the revision up to which the client must have got everything by the end, 0 for
	// none: the watcher lived and had time.
	Complete int64
}

// WatchSeen is one response and when it came.
type WatchSeen struct {
	Time     int64
	Response *pb.WatchResponse
}

// WatchTruth is what really happened.
type WatchTruth struct {
	Newest *State
	// Since holds, for every revision from 2 on, the earliest time at which it can have been seen;
	// nil when that is not known.
	Since []int64
	// Compactions holds the compacted revisions with the earliest time at which each took effect.
	Compactions []CompactionTime
}

// CompactionTime is one compaction.
type CompactionTime struct{ Revision, Time int64 }

// CheckWatches judges watchers; the first that saw something impossible makes the verdict.
func CheckWatches(truth *WatchTruth, watches []Watch) Result {
	result := Result{Checker: "watch", Verdict: Legal}
	for i := range watches {
		j := watchJudge{truth: truth, watch: &watches[i]}
		if d := j.run(); d != "" {
			result.Verdict = Illegal
			result.Detail = fmt.Sprintf("watcher %d of client %d (%v): %s", i, watches[i].Client,
				watches[i].Request, d)
			result.Watcher = &watches[i]
			return result
		}
	}
	return result
}

// Missing is what a watcher that has everything below next still has to get, nil if nothing.
func (t *WatchTruth) Missing(request *pb.WatchCreateRequest, next int64) []*mvccpb.Event {
	j := watchJudge{truth: t, watch: &Watch{Request: request}, next: next}
	return j.missing(t.Newest.revision)
}

// watchJudge walks through what one watcher saw.
type watchJudge struct {
	truth *WatchTruth
	watch *Watch
	// next is the first revision of which it has not got everything.
	next    int64
	created bool
	over    bool
	part    []*mvccpb.Event // of a response whose last fragment has not come
}

func (j *watchJudge) run() string {
	for i := range j.watch.Seen {
		s := &j.watch.Seen[i]
		if d := j.see(s); d != "" {
			return fmt.Sprintf("response %d at %d: %s: %v", i, s.Time, d, s.Response)
		}
	}
	if j.over || !j.created || j.watch.Complete == 0 {
		return ""
	}
	if missing := j.missing(j.watch.Complete); missing != nil {
		return fmt.Sprintf("at the end it lacks %v", missing)
	}
	return ""
}

func (j *watchJudge) see(s *WatchSeen) string {
	r := s.Response
	switch {
	case j.over:
		return "comes after the end"
	case !j.created:
		return j.begin(r)
	case r.Created:
		return "is created twice"
	case r.Canceled:
		j.over = true
		return j.end(s)
	case len(r.Events) == 0:
		return j.progress(s)
	}
	if rev := r.GetHeader().GetRevision(); rev > j.truth.Newest.revision {
		return "its header is of a revision that never was"
	}
	j.part = append(j.part, r.Events...)
	if r.Fragment {
		return ""
	}
	events := j.part
	j.part = nil
	return j.events(events, s)
}

func (j *watchJudge) begin(r *pb.WatchResponse) string {
	if !r.Created || len(r.Events) > 0 {
		return "comes before the created response"
	}
	j.created = true
	if r.Canceled {
		j.over = true
		return ""
	}
	j.next = j.watch.Request.StartRevision
	if j.next == 0 {
		j.next = r.GetHeader().GetRevision() + 1
	}
	return ""
}

// end judges a cancellation: one for compaction must be true.
func (j *watchJudge) end(s *WatchSeen) string {
	r := s.Response
	switch {
	case r.CompactRevision == 0:
		return ""
	case r.CompactRevision <= j.next:
		return fmt.Sprintf("compaction is no reason: it needs revision %d", j.next)
	case r.CompactRevision > j.truth.compactedAt(s.Time):
		return "that revision was not compacted"
	case r.GetHeader().GetRevision() != 0 || r.CancelReason != "":
		return "a cancellation by compaction has no revision and no reason"
	}
	return ""
}

func (j *watchJudge) progress(s *WatchSeen) string {
	rev := s.Response.GetHeader().GetRevision()
	switch {
	case len(j.part) > 0:
		return "progress between two fragments"
	case rev < j.next-1:
		return fmt.Sprintf("progress, but it got, or waits for, revision %d", j.next-1)
	case !j.truth.known(rev, s.Time):
		return "progress of a revision that was not there yet"
	}
	if missing := j.missing(rev); missing != nil {
		return fmt.Sprintf("progress, but it lacks %v", missing)
	}
	j.next = rev + 1
	return ""
}

// missing is what it should have got by a revision and has not, nil if nothing.
func (j *watchJudge) missing(until int64) []*mvccpb.Event {
	for rev := max(j.next, 2); rev <= min(until, j.truth.Newest.revision); rev++ {
		if events := j.wanted(rev); len(events) > 0 {
			return events
		}
	}
	return nil
}

// events judges the events of one whole response.
func (j *watchJudge) events(events []*mvccpb.Event, s *WatchSeen) string {
	for len(events) > 0 {
		rev := events[0].GetKv().GetModRevision()
		switch {
		case rev < j.next:
			return fmt.Sprintf("event of revision %d comes again or too late, next is %d", rev,
				j.next)
		case !j.truth.known(rev, s.Time):
			return fmt.Sprintf("event of revision %d, which was not there yet", rev)
		case s.Response.GetHeader().GetRevision() < rev:
			return fmt.Sprintf("event of revision %d under an older header", rev)
		}
		if missing := j.missing(rev - 1); missing != nil {
			return fmt.Sprintf("event of revision %d, but it lacks %v", rev, missing)
		}
		want := j.wanted(rev)
		if len(want) == 0 {
			return fmt.Sprintf("event of revision %d, which holds nothing for it", rev)
		}
		n := 0
		for n < len(events) && events[n].GetKv().GetModRevision() == rev {
			n++
		}
		if n != len(want) && rev <= j.truth.compactedAt(s.Time) {
			want = lastOfEachKey(want)
		}
		if n != len(want) {
			return fmt.Sprintf("%d of the %d events of revision %d", n, len(want), rev)
		}
		for i, w := range want {
			if d := j.same(events[i], w, s.Time); d != "" {
				return fmt.Sprintf("event %d of revision %d: %s, want %v", i, rev, d, w)
			}
		}
		events, j.next = events[n:], rev+1
	}
	return ""
}

// lastOfEachKey is what compaction leaves of a revision that changed a key more than once.
func lastOfEachKey(events []*mvccpb.Event) (last []*mvccpb.Event) {
	for i, e := range events {
		again := slices.ContainsFunc(events[i+1:], func(later *mvccpb.Event) bool {
			return bytes.Equal(later.Kv.Key, e.Kv.Key)
		})
		if !again {
			last = append(last, e)
		}
	}
	return last
}

// same says how an event differs from what it has to be; an earlier KeyValue may be missing when
// its revision was compacted.
func (j *watchJudge) same(got, want *mvccpb.Event, at int64) string {
	if got.Type != want.Type {
		return fmt.Sprintf("type %v", got.Type)
	}
	if !proto.Equal(got.Kv, want.Kv) {
		return fmt.Sprintf("kv %v", got.Kv)
	}
	if !j.watch.Request.PrevKv {
		if got.PrevKv != nil {
			return fmt.Sprintf("prev_kv %v, which nobody asked for", got.PrevKv)
		}
		return ""
	}
	if got.PrevKv == nil && want.Kv.ModRevision-1 < j.truth.compactedAt(at) {
		return ""
	}
	if !proto.Equal(got.PrevKv, want.PrevKv) {
		return fmt.Sprintf("prev_kv %v", got.PrevKv)
	}
	return ""
}

// wanted is what the watcher has to get of a revision.
func (j *watchJudge) wanted(rev int64) (out []*mvccpb.Event) {
	q := j.watch.Request
	key, end := q.Key, q.RangeEnd
	if len(key) == 0 {
		key = []byte{0}
	}
	for _, e := range j.truth.Newest.Events(rev) {
		filter := pb.WatchCreateRequest_NOPUT
		if e.Type == mvccpb.Event_DELETE {
			filter = pb.WatchCreateRequest_NODELETE
		}
		if contains(key, end, e.Kv.Key) && !slices.Contains(q.Filters, filter) {
			out = append(out, e)
		}
	}
	return out
}

// Events are the changes of one revision of the history that led to s, each with the KeyValue
// before the revision, in order.
func (s *State) Events(rev int64) []*mvccpb.Event {
	at := s.at(rev)
	if at == nil || at.parent == nil || at.revision != rev {
		return nil
	}
	events := make([]*mvccpb.Event, 0, len(at.changed))
	for _, kv := range at.changed {
		e := &mvccpb.Event{Kv: kv}
		i, found := at.parent.kvs.find(kv.Key)
		switch {
		case kv.ModRevision == 0:
			e.Type = mvccpb.Event_DELETE
			e.Kv = &mvccpb.KeyValue{Key: kv.Key, ModRevision: rev}
		case kv.CreateRevision == rev:
			found = false // a new life has nothing before it, whatever came before in the revision
		}
		if found {
			e.PrevKv = at.parent.kvs[i]
		}
		events = append(events, e)
	}
	return events
}

// known says whether a revision can have been seen at a time.
func (t *WatchTruth) known(rev, at int64) bool {
	if rev < 2 || t.Since == nil {
		return rev <= t.Newest.revision
	}
	return rev-2 < int64(len(t.Since)) && t.Since[rev-2] <= at
}

// compactedAt is the highest revision compacted by a time.
func (t *WatchTruth) compactedAt(at int64) int64 {
	highest := int64(-1)
	for _, c := range t.Compactions {
		if c.Time <= at {
			highest = max(highest, c.Revision)
		}
	}
	return highest
}
