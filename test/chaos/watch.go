package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/linearizability"
)

// watchersPerMember watch on each member: one everything, the others a part.
const watchersPerMember = 3

// watcher follows the keys through one member. When its stream breaks it starts again where it was,
// on the same member, and what it sees then is judged as a watcher of its own.
type watcher struct {
	client   pb.WatchClient
	recorder *recorder
	spec     *pb.WatchCreateRequest

	mu      sync.Mutex
	next    int64 // the revision to go on from
	watches []linearizability.Watch
}

// audience is all watchers at work.
type audience struct {
	watchers []*watcher
	stop     context.CancelFunc
	done     sync.WaitGroup
	clients  []*clientv3.Client
}

func startAudience(c *cluster, r *recorder) (*audience, error) {
	ctx, stop := context.WithCancel(context.Background())
	a := &audience{stop: stop}
	for i, m := range c.members {
		client, err := dial(m.clientURL)
		if err != nil {
			a.end()
			return nil, err
		}
		a.clients = append(a.clients, client)
		for k := range watchersPerMember {
			w := &watcher{client: pb.NewWatchClient(client.ActiveConnection()), recorder: r, next: 1,
				spec: &pb.WatchCreateRequest{Key: key(0), RangeEnd: []byte{0}, PrevKv: i%2 == 0}}
			if k > 0 {
				w.spec.Key, w.spec.RangeEnd = key(5*k), key(5*k+6)
				w.spec.Filters = []pb.WatchCreateRequest_FilterType{
					pb.WatchCreateRequest_FilterType(k - 1)}
			}
			a.watchers = append(a.watchers, w)
			a.done.Go(func() { w.run(ctx) })
		}
	}
	return a, nil
}

func (a *audience) end() {
	a.stop()
	a.done.Wait()
	for _, c := range a.clients {
		_ = c.Close() // nothing is lost with a connection
	}
}

// finish waits until every watcher has everything up to a revision, and returns what all saw.
func (a *audience) finish(ctx context.Context, rev int64) ([]linearizability.Watch, error) {
	deadline := time.Now().Add(healthLimit)
	var all []linearizability.Watch
	for i, w := range a.watchers {
		for !w.has(rev) {
			if time.Now().After(deadline) || ctx.Err() != nil {
				return nil, fmt.Errorf("watcher %d has not got everything up to revision %d", i, rev)
			}
			time.Sleep(pace)
		}
	}
	a.stop()
	a.done.Wait()
	for _, w := range a.watchers {
		all = append(all, w.watches...)
	}
	return all, nil
}

func (w *watcher) has(rev int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next > rev
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.follow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(10 * pace):
		}
	}
}

// follow opens a stream and writes down what it brings until it breaks. It asks for progress all
// the time, which says in the end that nothing is missing.
func (w *watcher) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.Watch(ctx)
	if err != nil {
		return
	}
	create := &pb.WatchCreateRequest{Key: w.spec.Key, RangeEnd: w.spec.RangeEnd,
		Filters: w.spec.Filters, PrevKv: w.spec.PrevKv, StartRevision: w.next}
	if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: create}}) != nil {
		return
	}
	go func() {
		for ctx.Err() == nil {
			time.Sleep(10 * pace)
			if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
				ProgressRequest: &pb.WatchProgressRequest{}}}) != nil {
				return
			}
		}
	}()
	seen := linearizability.Watch{Request: create}
	defer func() { w.watches = append(w.watches, seen) }()
	for {
		r, err := stream.Recv()
		if err != nil {
			return
		}
		seen.Seen = append(seen.Seen, linearizability.WatchSeen{Time: w.recorder.now(), Response: r})
		w.learn(r)
	}
}

func (w *watcher) learn(r *pb.WatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case r.Created || r.Canceled:
	case len(r.Events) > 0:
		w.next = r.Events[len(r.Events)-1].Kv.ModRevision + 1
	default:
		w.next = r.Header.Revision + 1
	}
}

// judgeWatches judges what the watchers saw against the states that explain the history, and makes
// sure that the judge is awake: it must miss an event that is taken away.
func judgeWatches(run *linearizability.Run, watches []linearizability.Watch) error {
	truth := &linearizability.WatchTruth{Newest: run.States[len(run.States)-1]}
	events := 0
	result := linearizability.CheckWatches(truth, watches)
	if err := result.Err(); err != nil {
		return err
	}
	for i := range watches {
		for k := range watches[i].Seen {
			events += len(watches[i].Seen[k].Response.Events)
		}
	}
	fmt.Printf("%d watchers saw %d events\n", len(watches), events)
	for i := range watches {
		w := watches[i]
		for k := range w.Seen {
			if len(w.Seen[k].Response.Events) > 0 && k+1 < len(w.Seen) {
				w.Seen = append(append([]linearizability.WatchSeen(nil), w.Seen[:k]...),
					w.Seen[k+1:]...)
				result := linearizability.CheckWatches(truth, []linearizability.Watch{w})
				if result.Verdict == linearizability.Legal {
					return errors.New("canary: nobody misses an event")
				}
				return nil
			}
		}
	}
	return errors.New("canary: no watcher saw anything")
}
