package linearizability

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// script writes a history of requests that do not overlap, answered by the reference model; a
// test then falsifies an answer. Operation i is called at 10i+1 and returns at 10i+5.
type script struct {
	state   *State
	history []Operation
}

func newScript() *script { return &script{state: NewState()} }

// do executes a request and returns its operation.
func (s *script) do(req Request) *Operation {
	op := s.see(s.state, req)
	next, _, _ := s.state.Apply(&req)
	s.state = next
	return op
}

// see answers a request from some state, right or wrong, and changes nothing.
func (s *script) see(state *State, req Request) *Operation {
	_, resp, err := state.Apply(&req)
	at := int64(len(s.history)) * 10
	op := Operation{Call: at + 1, Return: at + 5, Request: req, Outcome: OK, Response: resp, Err: err}
	if err != "" {
		op.Outcome = Failed
	}
	s.history = append(s.history, op)
	return &s.history[len(s.history)-1]
}

func (s *script) put(key, value string) *Operation { return s.do(put(key, value)) }

func put(key, value string) Request {
	return Request{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}
}

func get(key string) Request { return Request{Range: &pb.RangeRequest{Key: []byte(key)}} }

func getAll() Request {
	return Request{Range: &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}}
}

func remove(key string) Request {
	return Request{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}
}

func serializable(req Request) Request {
	req.Range = proto.Clone(req.Range).(*pb.RangeRequest)
	req.Range.Serializable = true
	return req
}

// putIfEqual puts two keys if the first has an expected value.
func putIfEqual(key, expected, value, other string) Request {
	return Request{Txn: &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: []byte(key), Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte(expected)},
		}},
		Success: []*pb.RequestOp{wrap(put(key, value).Put), wrap(put(other, value).Put)},
		Failure: []*pb.RequestOp{wrap(get(key).Range)},
	}}
}

// edit changes a copy of a response message, since the model's answers share their records.
func edit[M proto.Message](m *M, change func(M)) {
	*m = proto.Clone(*m).(M)
	change(*m)
}

func (s *script) tamper(i int, change func(*pb.RangeResponse)) {
	edit(&s.history[i].Response.Range, change)
}

// planted is a history that no correct store could have produced, and who has to notice. Replay
// and CheckStore must agree on all of them.
type planted struct {
	name  string
	keys  bool   // CheckKeys sees it too
	only  string // "serializable": nobody but that checker
	build func(s *script)
}

var illegal = []planted{
	{name: "stale read", keys: true, build: func(s *script) {
		s.put("a", "1")
		old := s.state
		s.put("a", "2")
		s.see(old, get("a"))
	}},
	{name: "lost write", keys: true, build: func(s *script) {
		s.put("a", "1")
		before := s.state
		s.put("a", "2")
		s.state = before
		s.do(get("a"))
		s.put("b", "3")
	}},
	{name: "revision going back", build: func(s *script) {
		s.put("a", "1")
		s.put("a", "2")
		s.do(get("a"))
		s.do(get("a"))
		s.tamper(3, func(r *pb.RangeResponse) { r.Header.Revision-- })
	}},
	{name: "wrong version after re-create", build: func(s *script) {
		s.put("a", "1")
		s.do(remove("a"))
		s.put("a", "2")
		s.do(get("a"))
		s.tamper(3, func(r *pb.RangeResponse) { r.Kvs[0].Version = 2 })
	}},
	{name: "create revision kept over a delete", build: func(s *script) {
		s.put("a", "1")
		s.do(remove("a"))
		s.put("a", "2")
		s.do(get("a"))
		s.tamper(3, func(r *pb.RangeResponse) { r.Kvs[0].CreateRevision = 2 })
	}},
	{name: "two writes with one revision", build: func(s *script) {
		before := s.state
		s.put("a", "1")
		s.state = before
		s.put("b", "2")
	}},
	{name: "revision without a write", build: func(s *script) {
		s.put("a", "1")
		s.state = s.state.extend(s.state.kvs)
		s.put("a", "2")
	}},
	{name: "dirty read of a failed txn", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.do(putIfEqual("a", "0", "2", "b"))
		s.do(get("a"))
		s.tamper(2, func(r *pb.RangeResponse) { r.Kvs[0].Value = []byte("2") })
	}},
	{name: "txn that succeeded wrongly", keys: true, build: func(s *script) {
		s.put("a", "1")
		wrong, _, _ := s.state.Apply(&Request{Put: put("a", "0").Put})
		s.state, _, _ = wrong.Apply(&Request{Put: put("c", "0").Put})
		s.do(putIfEqual("a", "0", "2", "b"))
	}},
	{name: "half a txn visible", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.put("b", "1")
		s.do(putIfEqual("a", "1", "2", "b"))
		s.do(getAll())
		s.tamper(3, func(r *pb.RangeResponse) { r.Kvs[1].Value = []byte("1") })
	}},
	{name: "deleted key visible again", keys: true, build: func(s *script) {
		s.put("a", "1")
		old := s.state
		s.do(remove("a"))
		s.see(old, get("a"))
	}},
	{name: "value never written", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.do(get("a"))
		s.tamper(1, func(r *pb.RangeResponse) { r.Kvs[0].Value = []byte("9") })
	}},
	{name: "wrong count", build: func(s *script) {
		s.put("a", "1")
		s.do(getAll())
		s.tamper(1, func(r *pb.RangeResponse) { r.Count = 2 })
	}},
	{name: "count cut to the limit", build: func(s *script) {
		s.put("a", "1")
		s.put("b", "1")
		req := getAll()
		req.Range.Limit = 1
		s.do(req)
		s.tamper(2, func(r *pb.RangeResponse) { r.Count = 1 })
	}},
	{name: "more forgotten", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.put("b", "1")
		req := getAll()
		req.Range.Limit = 1
		s.do(req)
		s.tamper(2, func(r *pb.RangeResponse) { r.More = false })
	}},
	{name: "descending order by key broken", build: func(s *script) {
		s.put("a", "1")
		s.put("b", "1")
		req := getAll()
		req.Range.SortOrder = pb.RangeRequest_DESCEND
		s.do(req)
		s.tamper(2, func(r *pb.RangeResponse) { r.Kvs[0], r.Kvs[1] = r.Kvs[1], r.Kvs[0] })
	}},
	{name: "one key twice in a tie", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.put("b", "1")
		req := getAll()
		req.Range.SortTarget = pb.RangeRequest_VERSION
		s.do(req)
		s.tamper(2, func(r *pb.RangeResponse) { r.Kvs[1] = r.Kvs[0] })
	}},
	{name: "wrong prev_kv", keys: true, build: func(s *script) {
		s.put("a", "1")
		s.put("a", "2")
		req := put("a", "3")
		req.Put.PrevKv = true
		op := s.do(req)
		edit(&op.Response.Put, func(r *pb.PutResponse) { r.PrevKv.Value = []byte("1") })
	}},
	{name: "delete of nothing counted", keys: true, build: func(s *script) {
		s.put("b", "1")
		op := s.do(remove("a"))
		edit(&op.Response.DeleteRange, func(r *pb.DeleteRangeResponse) { r.Deleted = 1 })
	}},
	{name: "old revision shows new content", build: func(s *script) {
		s.put("a", "1")
		s.put("a", "2")
		req := get("a")
		req.Range.Revision = 2
		s.do(req)
		s.tamper(2, func(r *pb.RangeResponse) { r.Kvs[0].Value = []byte("2") })
	}},
	{name: "compacted revision still read", build: func(s *script) {
		s.put("a", "1")
		s.put("a", "2")
		before := s.state
		s.do(Request{Compact: &pb.CompactionRequest{Revision: 3}})
		req := get("a")
		req.Range.Revision = 2
		s.see(before, req)
	}},
	{name: "compaction refused without cause", build: func(s *script) {
		s.put("a", "1")
		op := s.do(Request{Compact: &pb.CompactionRequest{Revision: 2}})
		op.Outcome, op.Response, op.Err = Failed, Response{}, ErrCompacted
	}},
	{name: "future revision refused that exists", build: func(s *script) {
		s.put("a", "1")
		req := get("a")
		req.Range.Revision = 2
		op := s.do(req)
		op.Outcome, op.Response, op.Err = Failed, Response{}, ErrFutureRev
	}},
	{name: "refused write took effect", keys: true, build: func(s *script) {
		s.put("a", "1")
		op := s.put("a", "2")
		op.Outcome, op.Response, op.Err = Failed, Response{}, "etcdserver: too many requests"
		s.do(get("a"))
	}},
	{name: "nested compare sees the txn's own write", keys: true, build: func(s *script) {
		s.put("a", "1")
		nested := putIfEqual("a", "2", "3", "b").Txn
		op := s.do(Request{Txn: &pb.TxnRequest{
			Success: []*pb.RequestOp{wrap(put("c", "2").Put), wrap(nested)},
		}})
		edit(&op.Response.Txn, func(r *pb.TxnResponse) {
			r.Responses[1].GetResponseTxn().Succeeded = true
		})
	}},
	{name: "serializable read of a state that never was", only: "serializable",
		build: func(s *script) {
			s.put("a", "1")
			s.put("b", "2")
			s.do(serializable(getAll()))
			s.tamper(2, func(r *pb.RangeResponse) { r.Kvs, r.Count = r.Kvs[1:], 1 })
		}},
	{name: "serializable read from the future", only: "serializable", build: func(s *script) {
		s.put("a", "1")
		later, _, _ := s.state.Apply(&Request{Put: put("a", "2").Put})
		s.see(later, serializable(get("a")))
		s.put("a", "2")
	}},
	{name: "member's serializable reads going back", only: "serializable", build: func(s *script) {
		s.put("a", "1")
		old := s.state
		s.put("a", "2")
		s.do(serializable(get("a"))).Member = 7
		s.see(old, serializable(get("a"))).Member = 7
	}},
}

func TestFindsPlantedViolations(t *testing.T) {
	for _, p := range illegal {
		t.Run(p.name, func(t *testing.T) {
			s := newScript()
			p.build(s)
			run, replay := Replay(s.history)
			store := CheckStore(s.history, patience)
			keys := CheckKeys(s.history, patience)
			require.Equal(t, replay.Verdict, store.Verdict)
			if p.only == "serializable" {
				require.Equal(t, Legal, store.Verdict)
				serializable := run.CheckSerializable(s.history)
				require.Equal(t, Illegal, serializable.Verdict)
				return
			}
			require.Equal(t, Illegal, store.Verdict)
			require.Equal(t, p.keys, keys.Verdict == Illegal, keys.Detail)

			var page strings.Builder
			require.NoError(t, store.Visualize(&page))
			require.Contains(t, page.String(), "<html")
		})
	}
}

// An answer that never came leaves two pasts possible, but not one after the other.
func TestUnknownWriteVisibleThenGone(t *testing.T) {
	s := newScript()
	s.put("a", "1")
	before := s.state
	s.put("a", "2").lose()
	s.do(get("a"))
	s.see(before, get("a"))
	require.Equal(t, Illegal, verdict(CheckStore(s.history, patience)))
	require.Equal(t, Illegal, verdict(CheckKeys(s.history, patience)))

	bounded, err := Bound(s.history, []Commit{{Op: 1, Revision: 3}})
	require.NoError(t, err)
	require.Equal(t, Illegal, verdict(CheckStore(bounded, patience)))
	_, replay := Replay(bounded)
	require.Equal(t, Illegal, replay.Verdict)

	s.history = s.history[:3]
	require.Equal(t, Legal, verdict(CheckStore(s.history, patience)))
	require.Equal(t, Legal, verdict(CheckKeys(s.history, patience)))
}

// A write that is certain to have taken effect must be seen by whoever asks later.
func TestCommittedWriteMustBeSeen(t *testing.T) {
	s := newScript()
	s.put("a", "1")
	before := s.state
	s.put("a", "2").lose()
	s.see(before, get("a"))
	for _, at := range []struct {
		time int64
		want Verdict
	}{{0, Legal}, {12, Illegal}, {25, Legal}} {
		bounded, err := Bound(s.history, []Commit{{Op: 1, Revision: 3, Time: at.time}})
		require.NoError(t, err)
		require.Equal(t, at.want, verdict(CheckStore(bounded, patience)), at.time)
		_, replay := Replay(bounded)
		require.Equal(t, at.want, replay.Verdict, at.time)
	}
}

func TestBoundRefusesContradictions(t *testing.T) {
	s := newScript()
	s.put("a", "1")
	for _, commits := range [][]Commit{
		{{Op: 0, Revision: 3}}, {{Op: 0, Revision: 2}, {Op: 0, Revision: 2}}, {{Op: 5, Revision: 2}},
	} {
		_, err := Bound(s.history, commits)
		require.Error(t, err)
	}
}

func verdict(r Result) Verdict { return r.Verdict }

func TestDumpFindsWhatHistoryHides(t *testing.T) {
	build := func() (*script, Dump) {
		s := newScript()
		dump := Dump{{Revision: 1}}
		for _, value := range []string{"1", "2", "3"} {
			s.put("a", value)
			dump = append(dump, Snapshot{s.state.revision, s.state.kvs})
		}
		return s, dump
	}
	check := func(s *script, dump Dump) error {
		bounded, err := BoundByDump(s.history, dump)
		if err != nil {
			return err
		}
		run, replay := Replay(bounded)
		if err := replay.Err(); err != nil {
			return err
		}
		matched := run.MatchDump(dump)
		return matched.Err()
	}
	s, dump := build()
	require.NoError(t, check(s, dump))

	s, dump = build()
	s.history[1].lose()
	require.NoError(t, check(s, dump))

	s, dump = build()
	require.ErrorContains(t, check(s, dump[:3]), "the store ends at 3")

	s, dump = build()
	s.history = s.history[:2]
	require.ErrorContains(t, check(s, dump), "no operation explains revision 4")

	s, dump = build()
	dump[2].KeyValues = []*mvccpb.KeyValue{{
		Key: []byte("a"), Value: []byte("9"), CreateRevision: 2, ModRevision: 3, Version: 2,
	}}
	require.ErrorContains(t, check(s, dump), "revision 3: keys")
}

// mutations falsify one field of one answer; each must be noticed whatever the history is.
var mutations = map[string]func(op *Operation) bool{
	"revision":      func(op *Operation) bool { return shift(op, +1) },
	"revision back": func(op *Operation) bool { return shift(op, -1) },
	"value": func(op *Operation) bool {
		return record(op, func(kv *mvccpb.KeyValue) { kv.Value = append(kv.Value[:0:0], "x"...) })
	},
	"version": func(op *Operation) bool {
		return record(op, func(kv *mvccpb.KeyValue) { kv.Version++ })
	},
	"create revision": func(op *Operation) bool {
		return record(op, func(kv *mvccpb.KeyValue) { kv.CreateRevision++ })
	},
	"mod revision": func(op *Operation) bool {
		return record(op, func(kv *mvccpb.KeyValue) { kv.ModRevision-- })
	},
	"lease": func(op *Operation) bool {
		return record(op, func(kv *mvccpb.KeyValue) { kv.Lease = 1 })
	},
	"key missing": func(op *Operation) bool {
		if len(op.Response.Range.GetKvs()) == 0 {
			return false
		}
		edit(&op.Response.Range, func(r *pb.RangeResponse) { r.Kvs = r.Kvs[1:] })
		return true
	},
	"count": func(op *Operation) bool {
		if op.Response.Range != nil {
			edit(&op.Response.Range, func(r *pb.RangeResponse) { r.Count++ })
		}
		return op.Response.Range != nil
	},
	"more": func(op *Operation) bool {
		if op.Response.Range != nil {
			edit(&op.Response.Range, func(r *pb.RangeResponse) { r.More = !r.More })
		}
		return op.Response.Range != nil
	},
	"deleted": func(op *Operation) bool {
		if op.Response.DeleteRange != nil {
			edit(&op.Response.DeleteRange, func(r *pb.DeleteRangeResponse) { r.Deleted++ })
		}
		return op.Response.DeleteRange != nil
	},
	"succeeded": func(op *Operation) bool {
		if op.Response.Txn != nil {
			edit(&op.Response.Txn, func(r *pb.TxnResponse) { r.Succeeded = !r.Succeeded })
		}
		return op.Response.Txn != nil
	},
	"error": func(op *Operation) bool {
		op.Outcome, op.Response, op.Err = Failed, Response{}, ErrCompacted
		return op.Request.Range.GetRevision() <= 0
	},
}

func shift(op *Operation, by int64) bool {
	// Only what changed something has a revision that is its alone, also where a serializable
	// answer from another state would look the same.
	if op.Response.Put == nil {
		return false
	}
	edit(&op.Response.Put, func(r *pb.PutResponse) { r.Header.Revision += by })
	return true
}

func record(op *Operation, change func(*mvccpb.KeyValue)) bool {
	if len(op.Response.Range.GetKvs()) == 0 {
		return false
	}
	edit(&op.Response.Range, func(r *pb.RangeResponse) { change(r.Kvs[0]) })
	return true
}

func TestFindsEveryMutation(t *testing.T) {
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			found := 0
			for seed := range int64(40) {
				draw := randDrawer{rand.New(rand.NewSource(seed))}
				s := runSchedule(draw, shape{
					clients: 4, operations: 80, keys: 4, lostPercent: 3, compacts: true,
				})
				bounded, err := Bound(s.history, s.commits)
				require.NoError(t, err)
				if !mutateOne(draw, bounded, mutate) {
					continue
				}
				run, replay := Replay(bounded)
				require.Equal(t, replay.Verdict, verdict(CheckStore(bounded, patience)))
				if replay.Verdict == Legal {
					require.Equal(t, Illegal, verdict(run.CheckSerializable(bounded)), seed)
				}
				found++
			}
			require.Greater(t, found, 20)
		})
	}
}

// mutateOne tries operations from a random one on until a mutation applies.
func mutateOne(d drawer, history []Operation, mutate func(op *Operation) bool) bool {
	from := d.below(len(history))
	for i := range history {
		op := &history[(from+i)%len(history)]
		if old := *op; op.Outcome == OK {
			if mutate(op) {
				return true
			}
			*op = old
		}
	}
	return false
}
