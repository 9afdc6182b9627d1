package main

// Steps that wait: for a lease to end, for a watcher to be told how far the store is without its
// asking, for somebody else to give up a lock.

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// expiryLimit is for a lease of a few seconds on a busy machine.
const expiryLimit = 20 * time.Second

// awaitExpiry waits until neither server knows the lease that the step asks about, and both have
// deleted its keys.
func (r *run) awaitExpiry(ctx context.Context, s *step) *difference {
	for i, t := range r.pair.targets {
		request := t.ids.resolve(s.request, r.revisions, r.pair.limits)
		if !await(expiryLimit, func() bool {
			response := &pb.LeaseTimeToLiveResponse{}
			return t.ask(ctx, s.method, request, response) == nil && response.TTL == -1
		}) {
			return &difference{what: fmt.Sprintf("%s keeps a lease for ever",
				r.pair.targets[i].server.Program.Name)}
		}
	}
	r.awaitEqualRevisions(ctx)
	return nil
}

// awaitNotice waits until every watcher of a stream that wants to be told has heard of the present
// revision.
func (r *run) awaitNotice(s *step) *difference {
	for _, t := range r.pair.targets {
		w := t.watch[s.stream]
		if w == nil || !await(watchLimit, func() bool {
			return look(w, func() bool { return w.noticedAll(r.revisions.current) })
		}) {
			return &difference{what: t.server.Program.Name + " does not tell of progress"}
		}
	}
	return nil
}

func (w *watchStream) noticedAll(current int64) bool {
	some := false
	for _, x := range w.watchers {
		if x.live && x.notify {
			some = true
			if x.noticed < current {
				return false
			}
		}
	}
	return some
}

// background is a call that goes on while later steps are performed.
type background struct {
	step    *step
	method  method
	cancel  context.CancelFunc
	done    chan struct{}
	answers [2]*answer // when done is closed
}

// begin sends a call that has to wait for others, and returns when it does wait: it has put its key
// into the queue then.
func (r *run) begin(ctx context.Context, s *step, m method, data [2][]byte) *difference {
	b := &background{step: s, method: m, done: make(chan struct{})}
	ctx, b.cancel = context.WithCancel(ctx)
	before := r.revisions.current
	go func() {
		defer close(b.done)
		b.answers = r.ask(ctx, s, m, data)
	}()
	r.background[s.stream] = b
	if !await(watchLimit, func() bool {
		r.awaitEqualRevisions(ctx)
		return r.revisions.current > before
	}) {
		return &difference{what: "who waits is not in the queue"}
	}
	return nil
}

// finish waits for the answer to a call that was begun.
func (r *run) finish(s *step) *difference {
	b := r.background[s.stream]
	if b == nil {
		return nil // its beginning was left out
	}
	<-b.done // every call has its limit
	b.cancel()
	delete(r.background, s.stream)
	for i, t := range r.pair.targets {
		r.learn(t, b.step, b.answers[i])
	}
	r.coverage.answer(b.step, b.answers[0])
	return r.compare(b.step, b.answers[0], b.answers[1])
}

// endBackground gives up what is still waiting.
func (r *run) endBackground() {
	for _, b := range r.background {
		b.cancel()
		<-b.done
	}
	clear(r.background)
}

// special performs a step that is no plain call. ok is false when the step is one.
func (r *run) special(
	ctx context.Context, s *step, m method, data [2][]byte,
) (d *difference, ok bool, err error) {
	switch s.kind {
	case watch, watchEnd:
		d, err = r.watchStep(ctx, s, data)
	case notice:
		d = r.awaitNotice(s)
	case begin:
		d = r.begin(ctx, s, m, data)
	case finish:
		d = r.finish(s)
	default:
		return nil, false, nil
	}
	return d, true, err
}

// clearAbandoned deletes for etcd what a caller who waited in vain has left in the queue, where
// users count: etcd would not.
func (r *run) clearAbandoned(ctx context.Context, s *step) error {
	queue := ""
	switch q := s.request.(type) {
	case *lockpb.LockRequest:
		queue = "lock/"
		r.pair.tainted = r.pair.tainted || q.Lease == 0 // the key had an id in it that was drawn
	case *electionpb.CampaignRequest:
		queue = "vote/"
		r.pair.tainted = r.pair.tainted || q.Lease == 0
	}
	if !r.auth || queue == "" {
		return nil
	}
	etcd := r.pair.targets[0]
	if err := etcd.authenticate(ctx, asRoot); err != nil {
		return err
	}
	time.Sleep(settleAfterBlock)
	newest := &pb.RangeResponse{}
	if err := etcd.ask(ctx, pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte(queue),
		RangeEnd: prefixEnd([]byte(queue)), MinCreateRevision: r.revisions.current + 1},
		newest); err != nil {
		return err
	}
	for _, left := range newest.Kvs {
		r.coverage.deviations[abandonedLocks]++
		if err := etcd.ask(ctx, pb.KV_DeleteRange_FullMethodName,
			&pb.DeleteRangeRequest{Key: left.Key}, &pb.DeleteRangeResponse{}); err != nil {
			return err
		}
	}
	return nil
}
