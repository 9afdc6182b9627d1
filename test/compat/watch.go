package main

// Watch streams. Their messages come when they come, so they are not answers of a step: they are
// gathered per watcher, and compared when both servers have said all they had to say.
//
// How messages are cut is not compared. A server may join revisions for a watcher that lags, and
// the revision in the header runs ahead of the events then. What is held against each message is
// what a client relies on: the header is not behind the events, and the events of one revision come
// together unless the watcher allowed fragments.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	watchLimit = 3 * time.Second
	// quiet is how long a stream is given to catch up where no progress answer can prove it: two of
	// the rounds in which etcd looks after watchers that lag.
	quiet = 250 * time.Millisecond
	poll  = time.Millisecond
)

// watcher is what one watcher of one stream has heard.
type watcher struct {
	log     []string // creations, cancellations and events in order
	last    int64    // modification revision of the last event
	open    bool     // the last message said that its revision goes on
	live    bool
	future  int64 // created for a revision that was not there yet
	zombie  bool  // etcd keeps one that was compacted away until the client cancels it
	notify  bool  // asked to be told now and then how far the store is
	notices int   // how often it was
	noticed int64 // revision of the newest of them
	reused  bool  // the id had belonged to another watcher before
}

// watchStream is one stream to one server.
type watchStream struct {
	cancel context.CancelFunc
	stream grpc.ClientStream

	mu       sync.Mutex
	watchers map[int64]*watcher
	created  int   // answers to create requests
	newest   int64 // watcher that the last of them was about
	notify   bool  // what the create request that is under way asks for
	progress int64 // revision of the newest progress answer since the newest watcher
	answers  int   // progress answers
	parts    int   // messages that said that their revision goes on
	broken   string
	ended    string // status that the server ended the stream with
}

func (t *target) openWatch(ctx context.Context, s *step) (*watchStream, error) {
	if w := t.watch[s.stream]; w != nil {
		return w, nil
	}
	ctx, cancel := context.WithCancel(t.dress(ctx, s))
	stream, err := t.conn.NewStream(ctx,
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, s.method)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watchStream{cancel: cancel, stream: stream, watchers: map[int64]*watcher{}}
	t.watch[s.stream] = w
	go w.receive()
	return w, nil
}

func (t *target) endWatches() {
	for _, w := range t.watch {
		w.cancel()
	}
	clear(t.watch)
}

func (w *watchStream) receive() {
	for {
		var data []byte
		if err := w.stream.RecvMsg(&data); err != nil {
			s := status.Convert(err)
			w.mu.Lock()
			w.ended = fmt.Sprintf("%v: %s", s.Code(), s.Message())
			w.mu.Unlock()
			return
		}
		r := &pb.WatchResponse{}
		err := proto.Unmarshal(data, r)
		w.mu.Lock()
		if err != nil {
			w.broken = fmt.Sprintf("undecodable message %q: %v", data, err)
		} else {
			w.take(r)
		}
		w.mu.Unlock()
	}
}

func (w *watchStream) take(r *pb.WatchResponse) {
	if r.WatchId == -1 && !r.Created && !r.Canceled && len(r.Events) == 0 {
		w.progress = max(w.progress, r.Header.GetRevision())
		w.answers++
		return
	}
	x := w.watchers[r.WatchId]
	if x == nil {
		x = &watcher{}
		w.watchers[r.WatchId] = x
	}
	switch {
	case r.Created:
		w.created++
		w.newest = r.WatchId
		w.progress = 0 // an answer from before says nothing of this watcher
		x.reused = x.reused || len(x.log) > 0 && !r.Canceled
		x.live, x.zombie, x.notify = !r.Canceled, false, w.notify
		x.last, x.open = 0, false
		x.log = append(x.log, fmt.Sprintf("created at %d, canceled %v, compacted %d, %q",
			r.Header.GetRevision(), r.Canceled, r.CompactRevision, r.CancelReason))
	case r.Canceled:
		x.live, x.zombie = false, r.CompactRevision != 0
		x.log = append(x.log, fmt.Sprintf("canceled at %d, compacted %d, %q",
			r.Header.GetRevision(), r.CompactRevision, r.CancelReason))
	case len(r.Events) == 0:
		w.takeNotice(x, r)
	}
	w.takeEvents(x, r)
}

// takeNotice counts what the clock makes a server say; how often, nobody can compare.
func (w *watchStream) takeNotice(x *watcher, r *pb.WatchResponse) {
	x.notices++
	x.noticed = r.Header.GetRevision()
	switch {
	case !x.notify || !x.live:
		w.broken = fmt.Sprintf("watcher %d was told of progress, which it did not ask for", r.WatchId)
	case x.noticed < x.last:
		w.broken = fmt.Sprintf("watcher %d was told of progress up to %d after an event of %d",
			r.WatchId, x.noticed, x.last)
	}
}

func (w *watchStream) takeEvents(x *watcher, r *pb.WatchResponse) {
	for i, e := range r.Events {
		if e.Kv.GetModRevision() > r.Header.GetRevision() {
			w.broken = fmt.Sprintf("header %d is behind the event of %d",
				r.Header.GetRevision(), e.Kv.GetModRevision())
		}
		if i == 0 && e.Kv.GetModRevision() == x.last && !x.open {
			w.broken = fmt.Sprintf("revision %d came in two messages of watcher %d",
				x.last, r.WatchId)
		}
		x.last = e.Kv.GetModRevision()
		hideDrawn(e)
		x.log = append(x.log, "event "+describe(e))
	}
	x.open = r.Fragment
	if r.Fragment {
		w.parts++
	}
	if len(r.Events) > 0 {
		x.future = 0
	}
}

// transcript is everything that the watchers of a stream heard.
func (w *watchStream) transcript() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, id := range slices.Sorted(maps.Keys(w.watchers)) {
		for _, line := range w.watchers[id].log {
			all = append(all, fmt.Sprintf("watcher %d: %s", id, line))
		}
	}
	if w.ended != "" {
		all = append(all, "the stream ended: "+w.ended)
	}
	return all
}

// look evaluates f under the stream's lock.
func look[T any](w *watchStream, f func() T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return f()
}

// quietness is what may be expected of a stream.
type quietness uint8

const (
	answering quietness = iota // an answer about progress, once everything has been told
	silent                     // none: a watcher waits for a revision to come, or etcd keeps a zombie
	dead                       // nothing: nothing is watched
)

func (w *watchStream) quietness(current int64) quietness {
	return look(w, func() quietness {
		live, kept := false, false
		for _, x := range w.watchers {
			live = live || x.live
			kept = kept || x.zombie || x.live && x.future > current
		}
		switch {
		case !live:
			return dead
		case kept:
			return silent
		}
		return answering
	})
}

func await(limit time.Duration, f func() bool) bool {
	for end := time.Now().Add(limit); !f(); time.Sleep(poll) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// settle waits until both streams have told everything up to the current revision, and compares
// what they told.
func (p *pair) settle(id int, current int64) *difference {
	a, b := p.targets[0].watch[id], p.targets[1].watch[id]
	if a == nil || b == nil {
		return nil
	}
	switch a.quietness(current) {
	case silent:
		time.Sleep(quiet)
	case answering:
		if d := p.askProgress(id, current); d != nil {
			return d
		}
	}
	same := func() bool { return slices.Equal(a.transcript(), b.transcript()) }
	if await(watchLimit, same) {
		for i, w := range []*watchStream{a, b} {
			if broken := look(w, func() string { return w.broken }); broken != "" {
				return &difference{what: fmt.Sprintf("%s broke a rule of watch stream %d: %s",
					p.targets[i].server.Program.Name, id, broken)}
			}
		}
		return nil
	}
	return transcriptDifference(fmt.Sprintf("watch stream %d", id), a.transcript(), b.transcript())
}

// askProgress asks both streams until both have answered for the current revision.
func (p *pair) askProgress(id int, current int64) *difference {
	request, err := proto.Marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}})
	if err != nil {
		panic(fmt.Sprintf("encode a progress request: %v", err)) // it has no fields
	}
	for end := time.Now().Add(watchLimit); ; {
		behind := ""
		for _, t := range p.targets {
			w := t.watch[id]
			if look(w, func() bool { return w.progress >= current || w.ended != "" }) {
				continue
			}
			behind += " " + t.server.Program.Name
			_ = w.stream.SendMsg(request) // a stream that ended says so to its receiver
		}
		if behind == "" {
			return nil
		}
		if p.targets[0].watch[id].quietness(current) != answering {
			time.Sleep(quiet) // a watcher turned out to have been overtaken by a compaction
			return nil
		}
		if time.Now().After(end) {
			return &difference{what: fmt.Sprintf(
				"watch stream %d: no progress answer for revision %d from%s", id, current, behind)}
		}
		time.Sleep(20 * poll)
	}
}
