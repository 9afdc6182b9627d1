package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/linearizability"
)

const (
	clients        = 8
	keys           = 20
	requestTimeout = time.Second
	pace           = 15 * time.Millisecond // between two requests of a client
)

// recorder is the history, written by all clients. Times are nanoseconds since its start, of the
// monotonic clock.
type recorder struct {
	began   time.Time
	mu      sync.Mutex
	history []linearizability.Operation
	// acknowledged counts writes, unknown lost answers; suffered those that were lost or slow, and
	// full those whose request was refused for want of room.
	acknowledged, unknown, suffered, full atomic.Int64
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

func (r *recorder) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.history)
}

// load is the clients at work.
type load struct {
	recorder *recorder
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// startLoad starts the clients. The first five balance over all members, the others ask one each.
func startLoad(c *cluster, seed uint64) (*load, error) {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{recorder: &recorder{began: time.Now()}, stop: stop}
	for i := range clients {
		endpoints := c.endpoints()
		if i >= 5 {
			endpoints = endpoints[i%len(endpoints):][:1]
		}
		client, err := dial(endpoints...)
		if err != nil {
			stop()
			return nil, err
		}
		w := &worker{
			id: i, recorder: l.recorder, random: rand.New(rand.NewPCG(seed, uint64(i))),
			kv: clientv3.RetryKVClient(client),
		}
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			defer client.Close()
			w.run(ctx)
		}()
	}
	return l, nil
}

// finish ends the load and returns the history.
func (l *load) finish() []linearizability.Operation {
	l.stop()
	l.done.Wait()
	return l.recorder.history
}

// worker is one client: it asks, waits for the answer, and asks again.
type worker struct {
	id       int
	recorder *recorder
	random   *rand.Rand
	kv       pb.KVClient
	written  int
	// read is the last record seen of each key, for transactions that depend on it.
	read [keys]int64
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.ask(w.request())
		select {
		case <-ctx.Done():
		case <-time.After(pace):
		}
	}
}

// ask sends one request and records how it ended. A request that began is always waited for, so
// that the end of the run loses no answers.
func (w *worker) ask(req linearizability.Request) {
	op := linearizability.Operation{Client: w.id, Request: req, Call: w.recorder.now()}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	resp, err := w.send(ctx, &req)
	op.Return = w.recorder.now()
	refusedForRoom := errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace)
	switch {
	case refusedForRoom:
		w.recorder.full.Add(1)
	case time.Duration(op.Return-op.Call) >= slowLimit || err != nil && refused(err) == "":
		w.recorder.suffered.Add(1)
	}
	switch {
	case err == nil:
		op.Outcome, op.Response = linearizability.OK, resp
		if !req.ReadOnly() {
			w.recorder.acknowledged.Add(1)
		}
		w.learn(&req, &resp)
	case refused(err) != "":
		op.Outcome, op.Err = linearizability.Failed, refused(err)
	default:
		op.Outcome, op.Return = linearizability.Unknown, linearizability.Never
		w.recorder.unknown.Add(1)
	}
	w.recorder.mu.Lock()
	defer w.recorder.mu.Unlock()
	w.recorder.history = append(w.recorder.history, op)
}

func (w *worker) send(
	ctx context.Context, req *linearizability.Request,
) (resp linearizability.Response, err error) {
	switch {
	case req.Range != nil:
		resp.Range, err = w.kv.Range(ctx, req.Range)
	case req.Put != nil:
		resp.Put, err = w.kv.Put(ctx, req.Put)
	case req.DeleteRange != nil:
		resp.DeleteRange, err = w.kv.DeleteRange(ctx, req.DeleteRange)
	case req.Txn != nil:
		resp.Txn, err = w.kv.Txn(ctx, req.Txn)
	}
	return resp, err
}

// refused is the text of an error that promises that nothing happened and that depends on the
// store's content; any other error promises nothing.
func refused(err error) string {
	text := err.Error()
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		text = known.Error()
	} else if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	switch text {
	case linearizability.ErrKeyNotFound, linearizability.ErrFutureRev:
		return text
	}
	return ""
}

func (w *worker) learn(req *linearizability.Request, resp *linearizability.Response) {
	for _, kv := range resp.Range.GetKvs() {
		var n int
		if _, err := fmt.Sscanf(string(kv.Key), "key%02d", &n); err == nil && n < keys {
			w.read[n] = kv.ModRevision
		}
	}
}

// request draws what to ask next. Values are unique, so that a value names its write.
func (w *worker) request() linearizability.Request {
	n := w.random.IntN(keys)
	switch kind := w.random.IntN(100); {
	case kind < 30:
		put := w.put(n)
		put.PrevKv = w.random.IntN(4) == 0
		if w.random.IntN(20) == 0 {
			put.IgnoreValue, put.Value = true, nil
		}
		return linearizability.Request{Put: put}
	case kind < 38:
		return linearizability.Request{DeleteRange: w.deletion(n)}
	case kind < 60:
		return linearizability.Request{Txn: w.txn(n)}
	}
	return linearizability.Request{Range: w.get(n)}
}

func key(n int) []byte { return fmt.Appendf(nil, "key%02d", n) }

func (w *worker) put(n int) *pb.PutRequest {
	w.written++
	return &pb.PutRequest{Key: key(n), Value: fmt.Appendf(nil, "c%d-%d", w.id, w.written)}
}

func (w *worker) deletion(n int) *pb.DeleteRangeRequest {
	del := &pb.DeleteRangeRequest{Key: key(n), PrevKv: w.random.IntN(2) == 0}
	if w.random.IntN(6) == 0 {
		del.RangeEnd = key(n + 2)
	}
	return del
}

func (w *worker) get(n int) *pb.RangeRequest {
	get := &pb.RangeRequest{Key: key(n), Serializable: w.random.IntN(4) == 0}
	if w.random.IntN(4) == 0 {
		get.RangeEnd = []byte{0}
		get.Limit = int64(w.random.IntN(8))
		get.SortOrder = pb.RangeRequest_SortOrder(w.random.IntN(3))
		get.SortTarget = pb.RangeRequest_SortTarget(w.random.IntN(5))
		get.KeysOnly, get.CountOnly = w.random.IntN(6) == 0, w.random.IntN(6) == 0
		if w.random.IntN(4) == 0 {
			get.MinModRevision, get.MaxCreateRevision = w.read[n], w.read[(n+1)%keys]
		}
	}
	if w.random.IntN(10) == 0 && w.read[n] > 0 {
		get.Revision = w.read[n]
	}
	return get
}

// txn writes two keys together if the first is as it was last read, and else reads both. Some
// ask for a nested condition, or only read.
func (w *worker) txn(n int) *pb.TxnRequest {
	other := (n + 1 + w.random.IntN(keys-1)) % keys
	txn := &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: key(n), Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: w.read[n]},
		}},
		Failure: []*pb.RequestOp{rangeOp(n), rangeOp(other)},
	}
	if w.random.IntN(4) == 0 {
		txn.Compare = []*pb.Compare{w.compare(n)}
	}
	switch w.random.IntN(4) {
	case 0:
		txn.Success = []*pb.RequestOp{rangeOp(other), rangeOp(n)}
	case 1:
		nested := &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key(other), Target: pb.Compare_VERSION}},
			Success: []*pb.RequestOp{putOp(w.put(other))},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &pb.DeleteRangeRequest{Key: key(other), PrevKv: true},
			}}},
		}
		txn.Success = []*pb.RequestOp{putOp(w.put(n)), {
			Request: &pb.RequestOp_RequestTxn{RequestTxn: nested},
		}, rangeOp(other)}
	default:
		txn.Success = []*pb.RequestOp{putOp(w.put(n)), putOp(w.put(other)), rangeOp(n)}
	}
	return txn
}

// compare draws a condition of any kind, on one key or several.
func (w *worker) compare(n int) *pb.Compare {
	c := &pb.Compare{
		Key: key(n), Target: pb.Compare_CompareTarget(w.random.IntN(5)),
		Result: pb.Compare_CompareResult(w.random.IntN(4)),
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(w.random.IntN(4))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: w.read[n]}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: w.read[n]}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: fmt.Appendf(nil, "c%d-", w.random.IntN(clients))}
	}
	if w.random.IntN(3) == 0 {
		c.RangeEnd = key(n + 3)
	}
	return c
}

func rangeOp(n int) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: key(n)},
	}}
}

func putOp(put *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
}
